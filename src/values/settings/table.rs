//! Every setting of a circuit, once.
//!
//! A line of [`setting_table`] has everything about a setting: its documentation, its name, its
//! name in `Setting`, its field in C, its kind and its default. From it follow the stored form, the
//! setters of every holder of settings, the resolved value with its getter, the check of its range,
//! its name in `Setting`, and what C's structs of settings hold, say and show. Rules that concern
//! several settings at once are in the parent module.
//!
//! | kind | stored as | given as | range |
//! |---|---|---|---|
//! | `attempts` | `u32` | a number | ≥ 1 |
//! | `calls` | `u32` | a number | 1 to 65 535 |
//! | `time` | `u64` ms | a duration | ≥ 1 ms |
//! | `optional_time` | `Option<u64>` ms | a duration or `None` | ≥ 1 ms |
//! | `bounded_time` | `u64` ms | a duration | 1 s to 1 h |
//! | `count` | `u32` | a number | ≥ 1 |
//! | `optional_calls` | `Option<u32>` | a number or `None` | 10 to 100 000 |
//! | `factor` | `f64` | a number | finite, ≥ 1.0 |
//! | `part` | `f64` | a number | 0.0 to 1.0 |
//! | `optional_rate` | `Option<f64>` | a number or `None` | above 0.0, at most 1.0 |
//! | `share` | `f64` | a number | above 0.0, at most 1.0 |
//! | `strategy` | [`ExpiryStrategy`](super::ExpiryStrategy) | itself | |
//! | `flag` | `bool` | itself | |
//! | `mode` | [`Mode`](crate::Mode) | itself | |
//!
//! # Adding a setting
//!
//! 1. Its line in the table, and what it does: it is a field of `Settings`.
//! 2. `cargo check --all-features`: the compiler names C's structs that lack the field
//!    (`src/ffi/config.rs`, `src/ffi/settings.rs`). Add it with a comment for C programmers.
//! 3. `BRAMA_BLESS=1 cargo test -p brama-capi --test header`, until it passes: it writes the
//!    header and the table that other tests read, and says which lines are missing, in C's
//!    comments, in `brama.hpp`, in the Python package and its README, and in `src/docs/rules.md`.
//! 4. `BRAMA_BLESS=1 cargo test -p brama-capi --test ffi` writes down the new layout.
//!
//! Tests check already what is true of all settings of a kind: values out of range, defaults,
//! giving, showing and taking back. A setting that a connection cannot be given alone is named in
//! those tests (`with_what_it_needs`, in Python `NEEDED`). Once a version of C's structs is
//! published, the field goes to their end and zero in it means "not given": the rules of `ffi`.
//!
//! A new kind is a line of the table above, a function in `range`, an arm of `stored` and of
//! `example` (and of `answered`, `setter` and `getter`, if it is not given as it is stored), a
//! module in `ffi::kinds`, and what each test that goes over the table asks for then.

/// Calls the macro `$with` with all settings, after `[..]` with what else it is given. The order
/// is that of the fields of C's structs.
macro_rules! setting_table {
    ($with:ident $(, $($more:tt)+)?) => {
        $with! {
            $([$($more)+])?

            /// Failures that open the circuit: in a row, or within the window if
            /// there is one. At least 1; with a window at most 65 536. Default 5. With a
            /// `failure_rate` and no window the default is unlimited.
            max_attempts MaxAttempts max_attempts: attempts = 5;

            /// How the expiry grows while the dependency stays down. Default fixed.
            expiry_strategy ExpiryStrategy expiry_strategy: strategy = ExpiryStrategy::Fixed;

            /// How long an opening lasts under [`ExpiryStrategy::Fixed`](crate::ExpiryStrategy).
            /// At least 1 ms; fractions of a millisecond round up. Default 60 s.
            expiry Expiry expiry_ms: time = 60_000;

            /// The first expiry of the progressive strategy. At least 1 ms. Default:
            /// the expiry.
            initial_expiry InitialExpiry initial_expiry_ms: time = 60_000;

            /// The longest expiry of the progressive strategy, which alone heeds it. At least
            /// the initial one. Default: ten times the initial one.
            max_expiry MaxExpiry max_expiry_ms: time = 600_000;

            /// The factor of the progressive strategy. Finite, at least 1.0. Default 2.0.
            backoff_factor BackoffFactor backoff_factor: factor = 2.0;

            /// Prolongs every automatic expiry by a random part of up to `jitter`
            /// times itself, so that a fleet does not probe in step. 0.0 to 1.0.
            /// Default 0.
            jitter Jitter jitter: part = 0.0;

            /// Failures count if they happened less than this long ago. `None`:
            /// failures in a row count, however old. At least 1 ms. Default none.
            window Window window_ms: optional_time = None;

            /// How long a probe may take before another call may take its slot. `None`: as long
            /// as the current expiry, at least 1 s. At least 1 ms. Default none.
            probe_timeout ProbeTimeout probe_timeout_ms: optional_time = None;

            /// Probes admitted at once while half-open. 1 to 65 535. Default 1.
            half_open_max_calls HalfOpenMaxCalls half_open_max_calls: calls = 1;

            /// Successes that close a half-open circuit. 1 to 65 535. Default 1.
            half_open_successes HalfOpenSuccesses half_open_successes: calls = 1;

            /// A call that its caller gives up counts as a failure if it lasted at least so
            /// long. `None`: it is ignored. At least 1 ms. Default none.
            cancelled_after CancelledAfter cancelled_after_ms: optional_time = None;

            /// Whether a success clears the failures in the window. If not, they count until they
            /// are as old as the window; only a recovery and a reset
            /// clear them. So a dependency that fails between successes opens the circuit, too.
            /// Then each success after the first failure looks at the circuit's settings until a
            /// recovery: some tens of ns. Without a window a success always clears them. Default
            /// true.
            success_clears_window SuccessClearsWindow success_clears_window: flag = true;

            /// What the circuit does: rejects calls, only says which it would reject, or nothing.
            /// Default [`Mode::Normal`](crate::Mode::Normal).
            mode Mode mode: mode = $crate::values::mode::Mode::Normal;

            /// The share of failures among the reports that opens the circuit, once there are
            /// [`minimum_calls`](crate::ConnectionOptions::minimum_calls). Above 0.0, at most 1.0.
            /// `None`: the share does not count. With a `failure_rate` the circuit opens for
            /// failures in a row only if `max_attempts` or `window` is given on some level. Default
            /// none.
            failure_rate FailureRate failure_rate: optional_rate = None;

            /// The time over which the rates count reports. 1 s to 1 h; fractions of a millisecond
            /// round up. It takes the place of a `rate_calls` of its level and of the level
            /// below; one call cannot give both. Default 10 s.
            rate_window RateWindow rate_window_ms: bounded_time = 10_000;

            /// How many of the last reports the rates count, in place of those within
            /// `rate_window`. 10 to 100 000. It takes the place of a `rate_window` of its level and
            /// of the level below; one call cannot give both. `None`: the rates count in time,
            /// whatever the level below says. Default none.
            rate_calls RateCalls rate_calls: optional_calls = None;

            /// How many reports a rate needs before it opens the circuit: with fewer in its window
            /// a rate never does. At least 1, and with `rate_calls` at most as many: one level
            /// cannot contradict itself, and an inherited or default minimum is lowered.
            /// Default 20.
            minimum_calls MinimumCalls minimum_calls: count = 20;

            /// A call that lasts at least so long is slow. `None`: no call is. At least 1 ms.
            /// Default none.
            slow_call_duration SlowCallDuration slow_call_duration_ms: optional_time = None;

            /// The share of slow calls among the reports that opens the circuit, once there are
            /// `minimum_calls`. Above 0.0, at most 1.0. `None`: the share does not count. A slow
            /// failure counts as slow, too. A connection's needs a `slow_call_duration` in effect;
            /// a manager's waits for one of a connection. Default none.
            slow_call_rate SlowCallRate slow_call_rate: optional_rate = None;

            /// The share of failures among `half_open_max_calls` probes that opens a half-open
            /// circuit again; a smaller one closes it. It is decided as soon as it is certain, and so
            /// many probes are admitted in all. A slow success counts as a failure where
            /// `slow_call_rate` is set. It takes the place of a `half_open_successes` of its level
            /// and of the level below; one call cannot give both. Above 0.0, at most 1.0. `None`:
            /// one failure opens it, `half_open_successes` close it. Default none.
            half_open_failure_rate HalfOpenFailureRate half_open_failure_rate: optional_rate = None;

            /// For how long a circuit whose probes have succeeded stays half-open and admits a
            /// growing share of the calls, until it closes. Two failures in a row open it again,
            /// and so does a rate. At least 1 ms; the end is rounded up to an even ms of the clock.
            /// `None`: it closes at once. Default none.
            ramp Ramp ramp_ms: optional_time = None;

            /// The share of the calls that a `ramp` admits at its start. Above 0.0, at most 1.0.
            /// Default 0.1.
            ramp_start RampStart ramp_start: share = 0.1;
        }
    };
}

/// What a kind is stored as.
macro_rules! stored {
    (attempts) => { u32 };
    (calls) => { u32 };
    (time) => { u64 };
    (optional_time) => { Option<u64> };
    (bounded_time) => { u64 };
    (count) => { u32 };
    (optional_calls) => { Option<u32> };
    (factor) => { f64 };
    (part) => { f64 };
    (optional_rate) => { Option<f64> };
    (share) => { f64 };
    (strategy) => { $crate::values::settings::ExpiryStrategy };
    (flag) => { bool };
    (mode) => { $crate::values::mode::Mode };
}

/// What a getter returns for a kind.
macro_rules! answered {
    (attempts) => { Option<u32> };
    (time) => { std::time::Duration };
    (optional_time) => { Option<std::time::Duration> };
    (bounded_time) => { std::time::Duration };
    ($kind:ident) => { $crate::values::settings::stored!($kind) };
}

/// An example of a setting: a value of its kind.
macro_rules! example {
    (attempts) => {
        "3"
    };
    (calls) => {
        "2"
    };
    (time) => {
        "std::time::Duration::from_secs(5)"
    };
    (optional_time) => {
        "std::time::Duration::from_secs(5)"
    };
    (bounded_time) => {
        "std::time::Duration::from_secs(60)"
    };
    (count) => {
        "20"
    };
    (optional_calls) => {
        "100"
    };
    (factor) => {
        "1.5"
    };
    (part) => {
        "0.2"
    };
    (optional_rate) => {
        "0.5"
    };
    (share) => {
        "0.2"
    };
    (strategy) => {
        "brama::ExpiryStrategy::Progressive"
    };
    (flag) => {
        "false"
    };
    (mode) => {
        "brama::Mode::Shadow"
    };
}

/// A setter of a kind.
macro_rules! setter {
    (time, $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(mut self, $name: std::time::Duration) -> Self {
            let ms = $crate::values::settings::given_ms($name);
            self.changes.$name = $crate::values::settings::Given::Value(ms);
            self
        }
    };
    (bounded_time, $(#[$doc:meta])* $name:ident) => {
        $crate::values::settings::setter!(time, $(#[$doc])* $name);
    };
    (optional_calls, $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(mut self, $name: impl Into<Option<u32>>) -> Self {
            self.changes.$name = $crate::values::settings::Given::Value($name.into());
            self
        }
    };
    (optional_rate, $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(mut self, $name: impl Into<Option<f64>>) -> Self {
            self.changes.$name = $crate::values::settings::Given::Value($name.into());
            self
        }
    };
    (optional_time, $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(mut self, $name: impl Into<Option<std::time::Duration>>) -> Self {
            let ms = $name.into().map($crate::values::settings::given_ms);
            self.changes.$name = $crate::values::settings::Given::Value(ms);
            self
        }
    };
    ($kind:ident, $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(mut self, $name: $crate::values::settings::stored!($kind)) -> Self {
            self.changes.$name = $crate::values::settings::Given::Value($name);
            self
        }
    };
}

/// The setters that every holder of settings shares.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident $variant:ident $field:ident: $kind:ident = $default:expr;)*) => {
        $($crate::values::settings::setter!(
            $kind,
            $(#[$doc])*
            #[doc = ""]
            #[doc = "```"]
            #[doc = concat!(
                "let options = brama::ConnectionOptions::new().", stringify!($name),
                "(", $crate::values::settings::example!($kind), ");"
            )]
            #[doc = "```"]
            $name
        );)*

        /// No number of failures opens the circuit. Without a rate it never opens by itself.
        ///
        /// ```
        /// let options = brama::ConnectionOptions::new().failure_rate(0.5).unlimited_attempts();
        /// ```
        pub fn unlimited_attempts(mut self) -> Self {
            self.changes.max_attempts = $crate::values::settings::Given::Value($crate::values::settings::UNLIMITED);
            self
        }

        /// Takes a setting back. A connection's setting follows the manager's again, and a
        /// manager's the default.
        ///
        /// ```
        /// # use brama::{Brama, ConnectionOptions, Setting};
        /// # fn main() -> Result<(), brama::Error> {
        /// let brama = Brama::builder().max_attempts(7).build()?;
        /// let db = brama.register("db", ConnectionOptions::new().max_attempts(2))?;
        /// db.configure(ConnectionOptions::new().inherit(Setting::MaxAttempts))?;
        /// assert_eq!(db.status()?.settings.max_attempts(), Some(7));
        /// # Ok(())
        /// # }
        /// ```
        pub fn inherit(mut self, setting: $crate::Setting) -> Self {
            match setting {
                $($crate::Setting::$variant => {
                    self.changes.$name = $crate::values::settings::Given::Inherit;
                })*
            }
            self
        }
    };
}

/// A getter of a kind.
macro_rules! getter {
    (attempts, $value:expr) => {
        ($value != $crate::values::settings::UNLIMITED).then_some($value)
    };
    (time, $value:expr) => {
        std::time::Duration::from_millis($value)
    };
    (bounded_time, $value:expr) => {
        std::time::Duration::from_millis($value)
    };
    (optional_time, $value:expr) => {
        $value.map(std::time::Duration::from_millis)
    };
    ($kind:ident, $value:expr) => {
        $value
    };
}

/// The types that hold settings.
macro_rules! holders {
    ($($(#[$doc:meta])* $name:ident $variant:ident $field:ident: $kind:ident = $default:expr;)*) => {
        /// Names a setting, to [take it back](ConnectionOptions::inherit).
        ///
        /// ```
        /// let options = brama::ConnectionOptions::new().inherit(brama::Setting::Expiry);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Setting {
            $($(#[$doc])* $variant,)*
        }

        /// What one call says of the settings.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(crate) struct Changes {
            $(pub(crate) $name: Given<stored!($kind)>,)*
        }

        /// What one level has of the settings: those that were given.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(crate) struct Overrides {
            $(pub(crate) $name: Option<stored!($kind)>,)*
        }

        /// The settings in effect for one connection: its own over the global ones over
        /// the defaults.
        ///
        /// ```
        /// # let brama = brama::Brama::builder().background(false).max_attempts(7).build()?;
        /// let db = brama.register("db", None)?;
        /// assert_eq!(db.status()?.settings.max_attempts(), Some(7));
        /// # Ok::<(), brama::Error>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct Settings {
            $(pub(crate) $name: stored!($kind),)*
        }

        impl Changes {
            pub(crate) const NONE: Changes = Changes {
                $($name: Given::Keep,)*
            };

            /// Checks each given value alone.
            pub(crate) fn validate(&self) -> Result<(), Error> {
                $(if let Given::Value(value) = self.$name {
                    range::$kind(stringify!($name), value)?;
                })*
                Ok(())
            }

            /// The names of the given values that are not in effect.
            pub(crate) fn not_in(&self, effective: &Settings) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if matches!(self.$name, Given::Value(value) if value != effective.$name) {
                    names.push(stringify!($name));
                })*
                if self.has_idle_window_in(effective) && !names.contains(&"rate_window") {
                    names.push("rate_window");
                }
                let idle = "half_open_successes";
                if self.has_idle_successes_in(effective) && !names.contains(&idle) {
                    names.push(idle);
                }
                names
            }

            /// These changes, with `newer` on top of them.
            pub(crate) fn and(&self, newer: &Changes) -> Changes {
                let both = Changes {
                    $($name: newer.$name.or(self.$name),)*
                };
                both.with_window_of(self, newer).with_probes_of(self, newer)
            }
        }

        impl Overrides {
            pub(crate) const NONE: Overrides = Overrides {
                $($name: None,)*
            };

            /// This level, changed.
            pub(crate) fn updated_by(&self, changes: &Changes) -> Overrides {
                let changed = Overrides {
                    $($name: changes.$name.applied_to(self.$name),)*
                };
                changed
                    .with_window_of_changes(changes)
                    .with_probes_of_changes(changes)
            }

            /// This level over the one below it.
            fn over(&self, below: &Overrides) -> Overrides {
                Overrides {
                    $($name: self.$name.or(below.$name),)*
                }
            }

            /// What these levels say, and the default where they say nothing.
            fn or_default(connection: &Overrides, global: &Overrides) -> Settings {
                let default = &Settings::DEFAULT;
                Settings {
                    $($name: connection.$name.or(global.$name).unwrap_or(default.$name),)*
                }
            }
        }

        impl Settings {
            pub(crate) const DEFAULT: Settings = Settings {
                $($name: $default,)*
            };

            $($(#[$doc])*
            #[doc = ""]
            #[doc = "```"]
            #[doc = "# let brama = brama::Brama::builder().background(false).build()?;"]
            #[doc = "# let db = brama.register(\"db\", None)?;"]
            #[doc = concat!("let in_effect = db.status()?.settings.", stringify!($name), "();")]
            #[doc = "# Ok::<(), brama::Error>(())"]
            #[doc = "```"]
            pub fn $name(&self) -> answered!($kind) {
                getter!($kind, self.$name)
            })*
        }
    };
}

pub(crate) use {answered, example, getter, holders, setter, setters, setting_table, stored};
