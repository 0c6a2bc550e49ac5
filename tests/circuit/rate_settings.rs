//! Combinations of rate settings on two levels: which are in effect, and which are refused.

use std::time::Duration;

use super::bad_input::{Bad, are_refused_wherever_they_are_given, bad};
use crate::common::{fail, manager, manager_with, ms};
use brama::{Brama, Cause, Config, Connection, ConnectionOptions, Error, Setting, Settings, State};

fn own() -> ConnectionOptions {
    ConnectionOptions::new()
}

fn global() -> Config {
    Config::new()
}

fn db(brama: &Brama, options: ConnectionOptions) -> Connection {
    brama.register("db", options).expect("valid")
}

fn settings(connection: &Connection) -> Settings {
    connection.status().expect("registered").settings
}

/// The window of the rates: a number of calls, or else a time in ms.
fn counted(connection: &Connection) -> Result<u32, u128> {
    let settings = settings(connection);
    settings
        .rate_calls()
        .ok_or(settings.rate_window().as_millis())
}

fn is_about(error: &Error, field: &str, says: &str) -> bool {
    matches!(error, Error::InvalidConfig(invalid) if invalid.name == field)
        && error.to_string().contains(says)
}

#[test]
fn two_windows_in_one_call_are_refused_and_nothing_changes() {
    let (brama, _clock) = manager();
    let x = db(&brama, own().rate_calls(50));
    let before = settings(&x);
    let both = own().jitter(0.5).rate_window(ms(2_000)).rate_calls(100);
    let says = "`rate_calls` = 100: cannot be given together with `rate_window`";
    let errors = [
        x.configure(both.clone()).expect_err("both"),
        brama
            .configure_connection("db", both.clone())
            .expect_err("both"),
        brama.register("new", both.clone()).expect_err("both"),
        brama.get_or_register("new", both).expect_err("both"),
        brama
            .configure(global().jitter(0.5).rate_window(ms(2_000)).rate_calls(100))
            .expect_err("both"),
        Brama::builder()
            .rate_calls(100)
            .rate_window(ms(2_000))
            .build()
            .expect_err("both"),
    ];
    for error in errors {
        assert!(is_about(&error, "rate_calls", says), "{error}");
    }
    assert_eq!(settings(&x), before);
    assert_eq!(brama.state("new"), State::Unknown);
    assert_eq!(
        settings(&brama.register("new", None).expect("valid")).jitter(),
        0.0
    );
}

#[test]
fn of_two_windows_in_one_level_the_later_call_decides() {
    let (brama, _clock) = manager();
    let x = db(&brama, own().rate_window(ms(2_000)));
    assert_eq!(counted(&x), Err(2_000));
    x.configure(own().rate_calls(100)).expect("valid");
    assert_eq!(counted(&x), Ok(100));
    x.configure(own().rate_window(ms(3_000))).expect("valid");
    assert_eq!(counted(&x), Err(3_000));
    // The earlier windows are removed, not hidden.
    x.configure(own().inherit(Setting::RateWindow))
        .expect("valid");
    assert_eq!(counted(&x), Err(10_000));
    brama.configure(global().rate_calls(70)).expect("valid");
    brama
        .configure(global().rate_window(ms(4_000)))
        .expect("valid");
    assert_eq!(counted(&x), Err(4_000));
    brama.configure(global().rate_calls(80)).expect("valid");
    assert_eq!(counted(&x), Ok(80));
    assert_eq!(settings(&x).rate_window(), ms(10_000), "the default");
    // All setters of a builder are one call, and `config` is a later one.
    let later = Brama::builder()
        .background(false)
        .rate_calls(90)
        .config(global().rate_window(ms(5_000)))
        .build()
        .expect("valid");
    assert_eq!(counted(&db(&later, own())), Err(5_000));
    let later = Brama::builder()
        .background(false)
        .rate_window(ms(5_000))
        .config(global().rate_calls(90))
        .build()
        .expect("valid");
    assert_eq!(counted(&db(&later, own())), Ok(90));
}

#[test]
fn the_nearest_level_that_names_a_window_decides() {
    let (brama, _clock) = manager_with(|b| b.rate_calls(100));
    let x = db(&brama, own().rate_window(ms(2_000)));
    assert_eq!(counted(&x), Err(2_000), "time over calls");
    x.configure(own().inherit(Setting::RateWindow))
        .expect("valid");
    assert_eq!(counted(&x), Ok(100), "and back");
    brama
        .configure(global().rate_window(ms(5_000)))
        .expect("valid");
    x.configure(own().rate_calls(50)).expect("valid");
    assert_eq!(counted(&x), Ok(50), "calls over time");
    x.configure(own().inherit(Setting::RateCalls))
        .expect("valid");
    assert_eq!(counted(&x), Err(5_000), "and back");
    // One call may take back one window and give the other.
    x.configure(own().inherit(Setting::RateWindow).rate_calls(60))
        .expect("valid");
    assert_eq!(counted(&x), Ok(60));
    x.configure(own().inherit(Setting::RateCalls).rate_window(ms(6_000)))
        .expect("valid");
    assert_eq!(counted(&x), Err(6_000));
}

#[test]
fn no_rate_calls_is_a_setting_of_its_own() {
    let (brama, _clock) = manager_with(|b| b.rate_calls(100));
    let x = db(&brama, own().rate_calls(None));
    assert_eq!(
        counted(&x),
        Err(10_000),
        "in time, whatever the manager says"
    );
    x.configure(own().rate_calls(None).rate_window(ms(2_000)))
        .expect("these do not contradict each other");
    assert_eq!(counted(&x), Err(2_000));
    // The time window is taken back. `rate_calls(None)` still overrides the manager's calls.
    x.configure(own().inherit(Setting::RateWindow))
        .expect("valid");
    assert_eq!(counted(&x), Err(10_000));
    x.configure(own().inherit(Setting::RateCalls))
        .expect("valid");
    assert_eq!(counted(&x), Ok(100));
    brama
        .configure(global().rate_window(ms(5_000)))
        .expect("valid");
    x.configure(own().rate_calls(None)).expect("valid");
    assert_eq!(counted(&x), Err(5_000), "it names no length");
}

#[test]
fn a_minimum_above_the_calls_of_its_level_is_refused() {
    let (brama, _clock) = manager();
    let says = "`minimum_calls` = 51: must be at most `rate_calls` (50)";
    let both = || own().minimum_calls(51).rate_calls(50);
    let error = brama.register("db", both()).expect_err("never met");
    assert!(is_about(&error, "minimum_calls", says), "{error}");
    let x = db(&brama, own().minimum_calls(51));
    let before = settings(&x);
    for options in [both(), own().rate_calls(50).jitter(0.5)] {
        let error = x.configure(options).expect_err("never met");
        assert!(is_about(&error, "minimum_calls", says), "{error}");
    }
    assert_eq!(settings(&x), before);
    let error = brama
        .configure(global().minimum_calls(51).rate_calls(50))
        .expect_err("never met");
    assert!(is_about(&error, "minimum_calls", says), "{error}");
    x.configure(own().minimum_calls(50).rate_calls(50))
        .expect("equal");
    let error = x.configure(own().minimum_calls(51)).expect_err("never met");
    assert!(is_about(&error, "minimum_calls", says), "{error}");
    // A time window has no such limit.
    x.configure(own().minimum_calls(51).rate_window(ms(1_000)))
        .expect("the calls are gone");
    assert_eq!(settings(&x).minimum_calls(), 51);
}

#[test]
fn a_minimum_that_other_levels_give_is_lowered_to_the_calls() {
    let (brama, _clock) = manager();
    let x = db(&brama, own().rate_calls(10));
    assert_eq!(settings(&x).minimum_calls(), 10, "the default");
    brama.configure(global().minimum_calls(30)).expect("valid");
    assert_eq!(settings(&x).minimum_calls(), 10, "the manager's");
    x.configure(own().rate_calls(200)).expect("valid");
    assert_eq!(settings(&x).minimum_calls(), 30, "it was not changed");
    x.configure(own().inherit(Setting::RateCalls).minimum_calls(40))
        .expect("valid");
    brama
        .configure(global().minimum_calls(11).rate_calls(15))
        .expect("valid");
    assert_eq!(settings(&x).minimum_calls(), 15, "the connection's");
    x.configure(own().rate_window(ms(1_000))).expect("valid");
    assert_eq!(settings(&x).minimum_calls(), 40);
}

#[test]
fn a_failure_rate_alone_switches_failures_in_a_row_off() {
    let (brama, _clock) = manager_with(|b| b.failure_rate(1.0));
    let x = db(&brama, own());
    fail(&x, 19);
    assert_eq!(x.state(), State::Closed);
    assert_eq!(settings(&x).max_attempts(), None, "unlimited");
    // Without the rate, the default number of failures applies again.
    x.configure(own().failure_rate(None)).expect("valid");
    assert_eq!(settings(&x).max_attempts(), Some(5));
    fail(&x, 1);
    let status = x.status().expect("registered");
    assert_eq!(
        (status.state, status.cause),
        (State::Open, Some(Cause::Consecutive))
    );
}

#[test]
fn beside_a_failure_rate_the_counts_that_were_given_stay() {
    let opens_after = |level: Config, options: ConnectionOptions| {
        let (brama, _clock) = manager_with(|b| b.config(level));
        let x = db(&brama, options);
        let limit = settings(&x).max_attempts();
        let failures = (1..=19).find(|_| x.failure(None).is_ok() && x.state() == State::Open);
        assert_eq!(failures, limit);
        failures
    };
    let rate = || global().failure_rate(1.0);
    assert_eq!(opens_after(rate(), own()), None);
    assert_eq!(opens_after(rate(), own().max_attempts(3)), Some(3));
    assert_eq!(opens_after(rate().max_attempts(4), own()), Some(4));
    assert_eq!(opens_after(rate().max_attempts(5), own()), Some(5));
    assert_eq!(
        opens_after(global().max_attempts(4), own().failure_rate(1.0)),
        Some(4)
    );
    // A window keeps the default number of failures, on either level.
    assert_eq!(opens_after(rate(), own().window(ms(1_000))), Some(5));
    assert_eq!(opens_after(rate().window(ms(1_000)), own()), Some(5));
    assert_eq!(
        opens_after(rate().window(ms(1_000)), own().window(None)),
        Some(5)
    );
    // `None` is no window.
    assert_eq!(opens_after(rate(), own().window(None)), None);
    assert_eq!(opens_after(rate().window(None), own()), None);
    // A setting that is taken back counts as not given.
    let back = own().max_attempts(3).inherit(Setting::MaxAttempts);
    assert_eq!(opens_after(rate(), back), None);
}

#[test]
fn a_rate_of_slow_calls_leaves_failures_in_a_row() {
    let slow = own().slow_call_rate(0.5).slow_call_duration(ms(100));
    let (brama, _clock) = manager();
    let x = db(&brama, slow);
    assert_eq!(settings(&x).max_attempts(), Some(5));
    fail(&x, 5);
    assert_eq!(x.state(), State::Open);
}

#[test]
fn a_connections_rate_of_slow_calls_needs_to_know_what_is_slow() {
    let (brama, _clock) = manager();
    let says = "`slow_call_rate` = 0.5: needs a `slow_call_duration` in effect";
    let refused = |answer: Result<(), Error>| {
        let error = answer.expect_err("no call is slow");
        assert!(is_about(&error, "slow_call_rate", says), "{error}");
    };
    let rate = || own().slow_call_rate(0.5);
    refused(brama.register("db", rate()).map(drop));
    refused(
        brama
            .register("db", rate().slow_call_duration(None))
            .map(drop),
    );
    let x = db(&brama, own());
    refused(x.configure(rate()));
    assert_eq!(settings(&x).slow_call_rate(), None);
    // A duration alone only measures calls. With it in effect, the rate is valid.
    x.configure(own().slow_call_duration(ms(100)))
        .expect("valid");
    x.configure(rate()).expect("valid");
    refused(x.configure(own().inherit(Setting::SlowCallDuration)));
    refused(x.configure(own().slow_call_duration(None)));
    assert_eq!(settings(&x).slow_call_duration(), Some(ms(100)));
    x.configure(own().slow_call_duration(None).slow_call_rate(None))
        .expect("both are gone");
    // The manager may give the duration. A manager's rate takes effect once a connection has one.
    brama
        .configure(global().slow_call_duration(ms(200)))
        .expect("valid");
    x.configure(rate().inherit(Setting::SlowCallDuration))
        .expect("valid");
    brama
        .configure(
            global()
                .inherit(Setting::SlowCallDuration)
                .slow_call_rate(0.25),
        )
        .expect("a connection may say what is slow");
    x.configure(own().jitter(0.5))
        .expect("it has to do with neither");
    x.configure(own().inherit(Setting::SlowCallRate))
        .expect("valid");
    x.configure(own().slow_call_duration(ms(300)))
        .expect("valid");
    assert_eq!(settings(&x).slow_call_rate(), Some(0.25));
}

#[test]
fn the_ends_of_each_range_are_allowed() {
    let (brama, _clock) = manager();
    let x = db(&brama, own());
    for options in [
        own().failure_rate(f64::MIN_POSITIVE).rate_window(ms(1_000)),
        own().failure_rate(1.0).rate_window(ms(3_600_000)),
        own().rate_calls(10).minimum_calls(1),
        own().rate_calls(100_000).minimum_calls(100_000),
        own().rate_window(ms(1_000)).minimum_calls(u32::MAX),
        own()
            .slow_call_duration(ms(1))
            .slow_call_rate(f64::MIN_POSITIVE),
        own().slow_call_duration(Duration::MAX).slow_call_rate(1.0),
    ] {
        x.configure(options.clone())
            .unwrap_or_else(|error| panic!("{options:?}: {error}"));
    }
}

#[test]
fn settings_of_rates_out_of_range_are_refused_wherever_they_are_given() {
    let tiny = Duration::from_nanos(999_999);
    are_refused_wherever_they_are_given(bad![
        "failure_rate": failure_rate(0.0),
        "failure_rate": failure_rate(-0.5),
        "failure_rate": failure_rate(1.000_001),
        "failure_rate": failure_rate(50.0),
        "failure_rate": failure_rate(f64::NAN),
        "failure_rate": failure_rate(f64::INFINITY),
        "failure_rate": failure_rate(f64::NEG_INFINITY),
        "rate_window": rate_window(Duration::ZERO),
        "rate_window": rate_window(tiny),
        "rate_window": rate_window(Duration::from_micros(998_999)),
        "rate_window": rate_window(Duration::new(3_600, 1)),
        "rate_window": rate_window(Duration::MAX),
        "rate_calls": rate_calls(0),
        "rate_calls": rate_calls(9),
        "rate_calls": rate_calls(100_001),
        "rate_calls": rate_calls(u32::MAX),
        "minimum_calls": minimum_calls(0),
        "slow_call_duration": slow_call_duration(Duration::ZERO),
        "slow_call_duration": slow_call_duration(tiny),
        "slow_call_rate": slow_call_rate(0.0),
        "slow_call_rate": slow_call_rate(-0.0),
        "slow_call_rate": slow_call_rate(1.1),
        "slow_call_rate": slow_call_rate(f64::NAN),
    ]);
}
