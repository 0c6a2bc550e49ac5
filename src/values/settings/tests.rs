use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// These options, applied to a connection without settings of its own.
fn applied(options: &ConnectionOptions, global: &Overrides) -> Result<Overrides, Error> {
    options.applied_to(&Overrides::NONE, global)
}

fn own(options: ConnectionOptions) -> Overrides {
    Overrides::NONE.updated_by(&options.changes)
}

fn refused(options: ConnectionOptions) -> String {
    applied(&options, &Overrides::NONE)
        .expect_err("should be refused")
        .to_string()
}

fn progressive() -> ConnectionOptions {
    ConnectionOptions::new().expiry_strategy(ExpiryStrategy::Progressive)
}

/// For each kind, values that are out of its range, each with what the error says.
mod wrong {
    use super::*;

    pub(super) fn attempts() -> Vec<(u32, &'static str)> {
        vec![(0, "0: must be at least 1")]
    }

    pub(super) fn calls() -> Vec<(u32, &'static str)> {
        vec![
            (0, "0: must be 1 to 65535"),
            (65_536, "65536: must be 1 to 65535"),
            (u32::MAX, "4294967295: must be 1 to 65535"),
        ]
    }

    pub(super) fn time() -> Vec<(Duration, &'static str)> {
        let says = "less than 1 ms: must be at least 1 ms";
        vec![
            (Duration::ZERO, says),
            (Duration::from_nanos(999_999), says),
        ]
    }

    pub(super) fn optional_time() -> Vec<(Duration, &'static str)> {
        time()
    }

    pub(super) fn bounded_time() -> Vec<(Duration, &'static str)> {
        vec![
            (Duration::ZERO, "less than 1 ms: must be 1000 to 3600000 ms"),
            (
                Duration::from_micros(998_001),
                "999 ms: must be 1000 to 3600000 ms",
            ),
            (
                Duration::new(3_600, 1),
                "3600001 ms: must be 1000 to 3600000 ms",
            ),
            (
                Duration::MAX,
                "18446744073709551615 ms: must be 1000 to 3600000 ms",
            ),
        ]
    }

    pub(super) use attempts as count;

    pub(super) fn optional_calls() -> Vec<(u32, &'static str)> {
        vec![
            (0, "0: must be 10 to 100000"),
            (9, "9: must be 10 to 100000"),
            (100_001, "100001: must be 10 to 100000"),
            (u32::MAX, "4294967295: must be 10 to 100000"),
        ]
    }

    pub(super) fn optional_rate() -> Vec<(f64, &'static str)> {
        vec![
            (0.0, "0: must be above 0.0 and at most 1.0"),
            (-0.0, "-0: must be above 0.0 and at most 1.0"),
            (-0.1, "-0.1: must be above 0.0 and at most 1.0"),
            (1.1, "1.1: must be above 0.0 and at most 1.0"),
            (f64::NAN, "NaN: must be above 0.0 and at most 1.0"),
            (f64::INFINITY, "inf: must be above 0.0 and at most 1.0"),
            (f64::NEG_INFINITY, "-inf: must be above 0.0 and at most 1.0"),
        ]
    }

    pub(super) use optional_rate as share;

    pub(super) fn factor() -> Vec<(f64, &'static str)> {
        vec![
            (0.999, "0.999: must be finite and at least 1.0"),
            (-2.0, "-2: must be finite and at least 1.0"),
            (f64::NAN, "NaN: must be finite and at least 1.0"),
            (f64::INFINITY, "inf: must be finite and at least 1.0"),
            (f64::NEG_INFINITY, "-inf: must be finite and at least 1.0"),
        ]
    }

    pub(super) fn part() -> Vec<(f64, &'static str)> {
        vec![
            (-0.1, "-0.1: must be 0.0 to 1.0"),
            (1.1, "1.1: must be 0.0 to 1.0"),
            (f64::NAN, "NaN: must be 0.0 to 1.0"),
            (f64::INFINITY, "inf: must be 0.0 to 1.0"),
        ]
    }

    /// The type has no other values.
    pub(super) fn strategy() -> Vec<(ExpiryStrategy, &'static str)> {
        Vec::new()
    }

    /// The type has no other values.
    pub(super) fn mode() -> Vec<(crate::Mode, &'static str)> {
        Vec::new()
    }

    /// The type has no other values.
    pub(super) fn flag() -> Vec<(bool, &'static str)> {
        Vec::new()
    }
}

/// For each kind, a value that is no setting's default.
mod other {
    use super::*;

    pub(super) const fn attempts() -> u32 {
        7
    }

    pub(super) use attempts as calls;

    pub(super) const fn time() -> Duration {
        Duration::from_secs(70)
    }

    pub(super) const fn optional_time() -> Option<Duration> {
        Some(time())
    }

    pub(super) use time as bounded_time;

    pub(super) use attempts as count;

    pub(super) const fn optional_calls() -> Option<u32> {
        Some(700)
    }

    pub(super) const fn optional_rate() -> Option<f64> {
        Some(0.5)
    }

    pub(super) const fn factor() -> f64 {
        7.0
    }

    pub(super) use part as share;

    pub(super) const fn part() -> f64 {
        0.5
    }

    pub(super) const fn strategy() -> ExpiryStrategy {
        ExpiryStrategy::Progressive
    }

    pub(super) const fn mode() -> crate::Mode {
        crate::Mode::Shadow
    }

    pub(super) const fn flag() -> bool {
        false
    }
}

macro_rules! wrong_values_are_refused {
    ($($(#[$doc:meta])* $name:ident $variant:ident $field:ident: $kind:ident = $default:expr;)*) => {
        $(for (value, says) in wrong::$kind() {
            let expected = format!("`{}` = {says}", stringify!($name));
            let message = refused(ConnectionOptions::new().$name(value));
            assert!(message.contains(&expected), "{message} / {expected}");
            let config = Config::new().$name(value);
            let error = Global::default().updated_by(&config).expect_err("out of range");
            assert!(error.to_string().contains(&expected), "{error} / {expected}");
        })*
    };
}

#[test]
fn every_setting_out_of_range_is_refused_by_name_value_and_rule() {
    setting_table!(wrong_values_are_refused);
}

macro_rules! settings_win_and_are_taken_back {
    ($($(#[$doc:meta])* $name:ident $variant:ident $field:ident: $kind:ident = $default:expr;)*) => {
        $({
            let name = stringify!($name);
            let default = Settings::DEFAULT.$name();
            let other = own(ConnectionOptions::new().$name(other::$kind()));
            let given = Overrides::resolve(Some(&other), &Overrides::NONE).$name();
            assert!(given != default, "{name}: {default:?} is its default");
            assert_eq!(Overrides::resolve(None, &other).$name(), given, "{name}");
            let back = ConnectionOptions::new().inherit(Setting::$variant);
            let level = applied(&back, &Overrides::NONE).expect("not refused");
            assert_eq!(level, Overrides::NONE, "{name}");
            let level = back.applied_to(&other, &Overrides::NONE).expect("not refused");
            assert_eq!(level, Overrides::NONE, "{name}");
        })*
    };
}

#[test]
fn every_setting_wins_over_its_default_and_is_taken_back() {
    setting_table!(settings_win_and_are_taken_back);
}

/// Giving or taking back one setting changes whether circuits are watched only if `concern_starts`
/// says so.
macro_rules! what_watches_is_walked_for {
    ([$base:expr] $($(#[$doc:meta])* $name:ident $variant:ident $field:ident: $kind:ident = $default:expr;)*) => {
        $(for options in [
            ConnectionOptions::new().$name(other::$kind()),
            ConnectionOptions::new().inherit(Setting::$variant),
        ] {
            let before = Overrides::resolve(None, &$base);
            let after = Overrides::resolve(None, &$base.updated_by(&options.changes));
            let is_concerned = options.changes.concern_starts();
            let changed = before.is_watched() != after.is_watched();
            assert!(is_concerned || !changed, "{options:?} over {:?}", $base);
        })*
    };
}

#[test]
fn every_setting_that_makes_circuits_watched_concerns_starts() {
    let level = ConnectionOptions::new;
    let slow = || level().slow_call_rate(0.5).slow_call_duration(SECOND);
    let bases = [
        level(),
        level().failure_rate(0.5),
        level().slow_call_rate(0.5),
        level().rate_calls(100),
        level().rate_calls(100).failure_rate(0.5),
        slow(),
        slow().rate_calls(100),
        level().cancelled_after(SECOND),
    ];
    for base in bases {
        setting_table!(what_watches_is_walked_for, own(base.clone()));
    }
}

#[test]
fn circuits_are_watched_for_starts_and_for_places_among_the_last_calls() {
    let level = ConnectionOptions::new;
    let cases = [
        (level(), false),
        (level().failure_rate(0.5), false),
        (level().failure_rate(0.5).rate_window(SECOND), false),
        (level().rate_calls(100), false),
        (level().rate_calls(100).failure_rate(0.5), true),
        // No call is slow: this rate counts nothing.
        (level().rate_calls(100).slow_call_rate(0.5), false),
        (level().slow_call_rate(0.5), false),
        (level().slow_call_duration(SECOND), true),
        (level().cancelled_after(SECOND), true),
    ];
    for (options, is_watched) in cases {
        let settings = Overrides::resolve(Some(&own(options.clone())), &Overrides::NONE);
        assert_eq!(settings.is_watched(), is_watched, "{options:?}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let cases = [
        (
            progressive().initial_expiry(2 * SECOND).max_expiry(SECOND),
            "`max_expiry` = 1000 ms: must be at least initial_expiry (2000 ms)",
        ),
        (
            progressive().max_expiry(SECOND),
            "must be at least initial_expiry (60000 ms)",
        ),
        (
            ConnectionOptions::new().window(SECOND).max_attempts(65_537),
            "`max_attempts` = 65537: with a window, at most 65536 or unlimited",
        ),
    ];
    for (options, expected) in cases {
        let message = refused(options);
        assert!(message.contains(expected), "{message} / {expected}");
    }
}

#[test]
fn the_extremes_of_every_range_are_accepted() {
    let options = ConnectionOptions::new()
        .unlimited_attempts()
        .window(Duration::MAX)
        .expiry(Duration::from_millis(u64::MAX))
        .max_expiry(Duration::MAX)
        .backoff_factor(1e308)
        .jitter(1.0)
        .half_open_max_calls(65_535)
        .half_open_successes(65_535)
        .cancelled_after(Duration::MAX)
        .failure_rate(f64::MIN_POSITIVE)
        .rate_window(Duration::from_millis(3_600_000))
        .minimum_calls(u32::MAX)
        .slow_call_duration(Duration::MAX)
        .slow_call_rate(1.0)
        .probe_timeout(Duration::from_millis(1));
    applied(&options, &Overrides::NONE).unwrap();
}

#[test]
fn defaults_are_those_of_the_manual() {
    let settings = Overrides::resolve(None, &Overrides::NONE);
    assert_eq!(settings, Settings::DEFAULT);
    let config = Housekeeping::default();
    assert_eq!(config.cleanup_interval(), 10_000);
    assert_eq!(config.inactive_threshold(), Some(86_400_000));
    assert!(!config.auto_register());
}

#[test]
fn initial_follows_expiry_and_max_is_ten_times_initial() {
    let global = own(ConnectionOptions::new().expiry(3 * SECOND));
    let settings = Overrides::resolve(None, &global);
    assert_eq!(settings.initial_expiry(), 3 * SECOND);
    assert_eq!(settings.max_expiry(), 30 * SECOND);
    let long = Duration::from_millis(1_000_000_000_000_000_000);
    let settings = Overrides::resolve(None, &own(ConnectionOptions::new().expiry(long)));
    let longest = Duration::from_millis(i64::MAX.cast_unsigned());
    assert_eq!(settings.max_expiry(), longest, "C can give it back");
}

#[test]
fn the_connection_wins_over_the_global_setting_and_that_over_the_default() {
    let global = own(ConnectionOptions::new().max_attempts(7).jitter(0.5));
    let own = own(ConnectionOptions::new().max_attempts(2).window(None));
    let settings = Overrides::resolve(Some(&own), &global);
    assert_eq!(settings.max_attempts(), Some(2));
    assert_eq!(settings.jitter(), 0.5);
    assert_eq!(settings.backoff_factor(), 2.0);
}

#[test]
fn an_explicit_absence_wins_over_an_inherited_window() {
    let global = own(ConnectionOptions::new().window(SECOND));
    let own = own(ConnectionOptions::new().window(None));
    assert_eq!(Overrides::resolve(Some(&own), &global).window(), None);
    assert_eq!(Overrides::resolve(None, &global).window(), Some(SECOND));
}

#[test]
fn levels_that_contradict_each_other_later_never_shorten_an_opening() {
    let own_level = applied(&progressive().max_expiry(70 * SECOND), &Overrides::NONE).unwrap();
    let global = own(ConnectionOptions::new().initial_expiry(100 * SECOND));
    let settings = Overrides::resolve(Some(&own_level), &global);
    assert_eq!(settings.max_expiry(), 100 * SECOND);
}

#[test]
fn a_longer_expiry_of_a_connection_raises_an_inherited_cap() {
    let global = own(progressive().expiry(SECOND).max_expiry(5 * SECOND));
    let longer = ConnectionOptions::new().expiry(20 * SECOND);
    let level = applied(&longer, &global).expect("not refused");
    let settings = Overrides::resolve(Some(&level), &global);
    assert_eq!(settings.max_expiry(), 20 * SECOND);
    let contradictory = longer.max_expiry(5 * SECOND);
    assert!(applied(&contradictory, &global).is_err(), "its own cap");
}

#[test]
fn the_fixed_strategy_heeds_no_cap() {
    let fixed = ConnectionOptions::new()
        .expiry(20 * SECOND)
        .max_expiry(SECOND);
    let level = applied(&fixed, &Overrides::NONE).expect("not refused");
    let message = progressive()
        .applied_to(&level, &Overrides::NONE)
        .expect_err("from now on it is heeded")
        .to_string();
    assert!(message.contains("`max_expiry` = 1000 ms"), "{message}");
}

#[test]
fn a_setting_can_be_taken_back() {
    let global = own(ConnectionOptions::new().max_attempts(7).window(SECOND));
    let level = own(ConnectionOptions::new()
        .max_attempts(2)
        .window(None)
        .jitter(0.5));
    let back = ConnectionOptions::new()
        .inherit(Setting::MaxAttempts)
        .inherit(Setting::Window);
    let level = back.applied_to(&level, &global).unwrap();
    let settings = Overrides::resolve(Some(&level), &global);
    assert_eq!(settings.max_attempts(), Some(7));
    assert_eq!(settings.window(), Some(SECOND));
    assert_eq!(settings.jitter(), 0.5, "what is not named stays");
}

#[test]
fn an_update_changes_only_what_it_names_and_an_invalid_one_nothing() {
    let config = || Config::new().max_attempts(3).cleanup_interval(SECOND);
    let before = Global::default().updated_by(&config()).unwrap();
    let after = before.updated_by(&Config::new().jitter(0.1)).unwrap();
    let expected = Global::default().updated_by(&config().jitter(0.1));
    assert_eq!(after, expected.unwrap());
    let invalid = [
        Config::new().jitter(0.2).max_attempts(0),
        Config::new().cleanup_interval(Duration::ZERO),
        Config::new().inactive_threshold(Duration::ZERO),
        Config::new()
            .expiry_strategy(ExpiryStrategy::Progressive)
            .max_expiry(SECOND),
    ];
    for config in invalid {
        assert!(before.updated_by(&config).is_err(), "{config:?}");
    }
}

#[test]
fn fractions_of_a_millisecond_round_up() {
    let options = ConnectionOptions::new().expiry(Duration::from_micros(1_001));
    assert_eq!(own(options).expiry, Some(2));
}
