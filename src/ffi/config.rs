//! Settings.

use std::ffi::c_char;
use std::mem::size_of;
use std::ptr;

use super::args::{self, Extensible, handle, init, key, pairs, read, read_or_blank};
use super::errors::brama_result_t;
use super::guard::{self, Failure};
use super::handles::{brama_clock_t, brama_connection_t, brama_t};
use super::kinds;
use super::types::*;
use super::words_of_c::in_c;
use crate::manager::builder::Builder;
use crate::values::error::Error;
use crate::values::settings::{
    Changes, Config, ConnectionOptions, Given, Housekeeping, setting_table,
};

/// The changes that a struct with the fields of settings gives.
macro_rules! changes {
    ([$given:expr] $($(#[$doc:meta])* $name:ident $variant:ident $field:ident: $kind:ident = $default:expr;)*) => {
        Changes {
            $($name: kinds::$kind::given(stringify!($field), $given.$field)?,)*
        }
    };
}

/// A struct in which no setting is given.
macro_rules! nothing_given {
    ([$type:ident { $($more:tt)* }] $($(#[$doc:meta])* $name:ident $variant:ident $field:ident: $kind:ident = $default:expr;)*) => {
        $type {
            $($field: kinds::$kind::NOT_GIVEN,)*
            $($more)*
        }
    };
}

/// Settings of one connection. A setting that is not given follows the manager's, even when that
/// changes later. BRAMA_INHERIT_U32, BRAMA_INHERIT_U64, BRAMA_INHERIT_I32 or BRAMA_INHERIT_F64
/// takes a setting back that was given before.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_options_t {
    /// Bytes of this struct; set by brama_options_init.
    pub size: usize,
    /// The number of failures that opens the circuit: in a row, or within the window if there is
    /// one. At least 1, with a window at most 65536; or BRAMA_UNLIMITED. Default 5. With a
    /// failure_rate and no window the default is BRAMA_UNLIMITED.
    pub max_attempts: u32,
    /// BRAMA_EXPIRY_FIXED (default) or BRAMA_EXPIRY_PROGRESSIVE.
    pub expiry_strategy: brama_expiry_strategy_t,
    /// How long an opening lasts. At least 1. Default 60000.
    pub expiry_ms: u64,
    /// The first expiry of the progressive strategy. At least 1. Default: expiry_ms.
    pub initial_expiry_ms: u64,
    /// The longest expiry of the progressive strategy. At least 1. With
    /// BRAMA_EXPIRY_PROGRESSIVE also at least initial_expiry_ms; other strategies ignore it.
    /// Default: ten times initial_expiry_ms.
    pub max_expiry_ms: u64,
    /// The factor of the progressive strategy. Finite, at least 1.0. Default 2.0.
    pub backoff_factor: f64,
    /// Prolongs every automatic expiry by a random length, at most this part of the expiry. 0.0 to
    /// 1.0. Default 0.0.
    pub jitter: f64,
    /// The length of the window: failures count if they happened less than this long ago. At least
    /// 1; BRAMA_NONE (default): failures in a row count, however old.
    pub window_ms: u64,
    /// How long a probe may take before another call may take its place. At least 1;
    /// BRAMA_NONE (default): as long as the current expiry, at least 1000.
    pub probe_timeout_ms: u64,
    /// Probes admitted at once while half-open. 1 to 65535. Default 1.
    pub half_open_max_calls: u32,
    /// Successes that close a half-open circuit. 1 to 65535. Default 1.
    pub half_open_successes: u32,
    /// A call that its caller gives up (brama_permit_cancelled) counts as a failure if it
    /// lasted at least so long. At least 1; BRAMA_NONE (default): it is ignored.
    pub cancelled_after_ms: u64,
    /// 1 (default): a success clears the failures in the window. 0: they count until they are as
    /// old as the window; only a recovery and a reset clear them. With 0, each success after the
    /// first failure looks at the circuit's settings until a recovery: some tens of ns. Without a
    /// window a success always clears the failures in a row.
    pub success_clears_window: i32,
    /// BRAMA_MODE_NORMAL (default), BRAMA_MODE_DISABLED or BRAMA_MODE_SHADOW.
    pub mode: brama_mode_t,
    /// The share of failures among the reports that opens the circuit, once there are
    /// minimum_calls. Above 0.0, at most 1.0; BRAMA_NONE_F64 (default): the share does not count.
    /// With a failure_rate the circuit opens for failures in a row only if max_attempts or
    /// window_ms is given, here or in brama_config_t.
    pub failure_rate: f64,
    /// The time over which the rates count reports. 1000 to 3600000. It replaces a rate_calls that
    /// was given before or is the manager's; one call cannot give both. Default 10000.
    pub rate_window_ms: u64,
    /// How many of the last reports the rates count, in place of those within rate_window_ms.
    /// 10 to 100000. It replaces a rate_window_ms that was given before or is the manager's; one
    /// call cannot give both. BRAMA_NONE (default): the rates count in time, whatever the manager's
    /// setting says.
    pub rate_calls: u64,
    /// How many reports in its window a rate needs before it may open the circuit. At least 1. A
    /// connection, or manager, that has a rate_calls of its own cannot have a larger minimum of its
    /// own; an inherited or default one is lowered. Default 20.
    pub minimum_calls: u64,
    /// A call that lasts at least so long is slow. At least 1; BRAMA_NONE (default): no call is.
    pub slow_call_duration_ms: u64,
    /// The share of slow calls among the reports that opens the circuit, once there are
    /// minimum_calls; a slow failure counts as slow, too. Above 0.0, at most 1.0; BRAMA_NONE_F64
    /// (default): the share does not count. Without a slow_call_duration_ms in effect, a
    /// connection's is refused, and a manager's has no effect.
    pub slow_call_rate: f64,
    /// The share of failures among half_open_max_calls probes that opens a half-open circuit
    /// again; a smaller share closes it. No more than half_open_max_calls probes are admitted in
    /// all, and the circuit changes as soon as the result is certain. A slow success counts as a
    /// failure where slow_call_rate is set. It replaces a half_open_successes that was given before
    /// or is the manager's; one call cannot give both. Above 0.0, at most 1.0; BRAMA_NONE_F64
    /// (default): one failure opens the circuit, half_open_successes close it.
    pub half_open_failure_rate: f64,
    /// The length of the ramp: a circuit whose probes have succeeded stays half-open for so long
    /// and admits a growing share of the calls, and then closes. Two failures in a row open it
    /// again, and so does a rate. At least 1, rounded up to 2; BRAMA_NONE (default): it closes at
    /// once.
    pub ramp_ms: u64,
    /// The share of the calls that a ramp admits at its start. Above 0.0, at most 1.0.
    /// Default 0.1.
    pub ramp_start: f64,
    /// For how many ms the circuit is open from its registration on. It is a length of time, no
    /// BRAMA_STATE_ constant: BRAMA_STATE_OPEN is 2, which means open for 2 ms. 0 (default): the
    /// circuit begins closed. -1, which is BRAMA_NEVER: open until it is closed or reset by hand.
    /// The cause of such an opening is BRAMA_CAUSE_MANUAL. For a registration only:
    /// brama_configure_connection and brama_connection_configure refuse it; brama_get_or_register
    /// ignores it if the connection exists.
    pub initial_state: i64,
    /// The connection's metadata, which replaces all that it had. NULL: not given.
    pub metadata: *const brama_pair_t,
    /// How many pairs metadata has.
    pub metadata_count: usize,
}

/// Settings of a manager. In brama_new a setting that is not given has its default; in
/// brama_configure it stays as it is. BRAMA_INHERIT_... stands for the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_config_t {
    /// Bytes of this struct; set by brama_config_init.
    pub size: usize,
    /// For connections that do not set their own. This and the following fields of the same names
    /// have the meaning, the limits and the defaults that brama_options_t gives.
    pub max_attempts: u32,
    /// As in brama_options_t.
    pub expiry_strategy: brama_expiry_strategy_t,
    /// As in brama_options_t.
    pub expiry_ms: u64,
    /// As in brama_options_t.
    pub initial_expiry_ms: u64,
    /// As in brama_options_t.
    pub max_expiry_ms: u64,
    /// As in brama_options_t.
    pub backoff_factor: f64,
    /// As in brama_options_t.
    pub jitter: f64,
    /// As in brama_options_t.
    pub window_ms: u64,
    /// As in brama_options_t.
    pub probe_timeout_ms: u64,
    /// As in brama_options_t.
    pub half_open_max_calls: u32,
    /// As in brama_options_t.
    pub half_open_successes: u32,
    /// As in brama_options_t.
    pub cancelled_after_ms: u64,
    /// As in brama_options_t.
    pub success_clears_window: i32,
    /// As in brama_options_t.
    pub mode: brama_mode_t,
    /// As in brama_options_t.
    pub failure_rate: f64,
    /// As in brama_options_t.
    pub rate_window_ms: u64,
    /// As in brama_options_t.
    pub rate_calls: u64,
    /// As in brama_options_t.
    pub minimum_calls: u64,
    /// As in brama_options_t.
    pub slow_call_duration_ms: u64,
    /// As in brama_options_t.
    pub slow_call_rate: f64,
    /// As in brama_options_t.
    pub half_open_failure_rate: f64,
    /// As in brama_options_t.
    pub ramp_ms: u64,
    /// As in brama_options_t.
    pub ramp_start: f64,
    /// The time between two cleanups, which remove unused connections. At least 1.
    /// Default 10000.
    pub cleanup_interval_ms: u64,
    /// A connection without activity for this long is removed. At least 1, or
    /// BRAMA_NEVER. Default 86400000 (a day).
    pub inactive_threshold_ms: u64,
    /// 1: an unknown name is registered, with the manager's settings, by its first
    /// use. Default 0.
    pub auto_register: i32,
    /// 1 (default): the manager has a background thread, which does what is due while no call
    /// comes. 0: call brama_poll now and then. Only for brama_new.
    pub background: i32,
    /// How many happenings can wait to be delivered as events. brama_new allocates some 128 bytes
    /// for each. 1 to 16777216. Default 1024. Only for brama_new.
    pub event_capacity: u64,
    /// The clock that the manager reads instead of the machine's, if not NULL. May be freed after
    /// brama_new. Only for brama_new.
    pub clock: *const brama_clock_t,
}

// SAFETY: numbers and pointers after the size.
unsafe impl Extensible for brama_options_t {
    const NAME: &'static str = "brama_options_t";
    const INIT: &'static str = "brama_options_init";
    const FIRST_SIZE: usize = size_of::<Self>();
    const BLANK: Self = setting_table!(
        nothing_given,
        brama_options_t {
            size: size_of::<Self>(),
            initial_state: BRAMA_NOT_GIVEN_I64,
            metadata: ptr::null(),
            metadata_count: 0,
        }
    );
}

// SAFETY: numbers and pointers after the size.
unsafe impl Extensible for brama_config_t {
    const NAME: &'static str = "brama_config_t";
    const INIT: &'static str = "brama_config_init";
    const FIRST_SIZE: usize = size_of::<Self>();
    const BLANK: Self = setting_table!(
        nothing_given,
        brama_config_t {
            size: size_of::<Self>(),
            cleanup_interval_ms: BRAMA_NOT_GIVEN_U64,
            inactive_threshold_ms: BRAMA_NOT_GIVEN_U64,
            auto_register: BRAMA_NOT_GIVEN_I32,
            background: BRAMA_NOT_GIVEN_I32,
            event_capacity: BRAMA_NOT_GIVEN_U64,
            clock: ptr::null(),
        }
    );
}

/// Sets every field to "not given".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_options_init(options: *mut brama_options_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(options) }
}

/// Sets every field to "not given".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_config_init(config: *mut brama_config_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(config) }
}

/// Changes the manager's settings that are given, all at once; the others stay. Connections
/// without a setting of their own follow. Counts, deadlines and permits survive.
///
/// Errors: BRAMA_ERR_INVALID_CONFIG (nothing was changed), BRAMA_ERR_INVALID_ARGUMENT,
/// BRAMA_ERR_SHUT_DOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_configure(
    manager: *mut brama_t,
    config: *const brama_config_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `config` is NULL or a config: the rule for pointers in `args`.
        let config = unsafe { read("config", config) }?;
        refuse_if_given("background", config.background != BRAMA_NOT_GIVEN_I32)?;
        refuse_if_given(
            "event_capacity",
            config.event_capacity != BRAMA_NOT_GIVEN_U64,
        )?;
        refuse_if_given("clock", !config.clock.is_null())?;
        let given = config.translate()?;
        // SAFETY: `manager` is NULL or a manager: the rule for pointers in `args`.
        unsafe { args::manager(manager) }
            .configure(given)
            .map_err(in_c)?;
        Ok(())
    })
}

/// Changes the settings of one connection, by name, that are given, all at once; the others stay.
/// Counts, deadlines and permits survive. brama_connection_configure does this on a handle.
///
/// Errors: BRAMA_ERR_INVALID_CONFIG (nothing was changed), BRAMA_ERR_INVALID_ARGUMENT,
/// BRAMA_ERR_NOT_FOUND, BRAMA_ERR_SHUT_DOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_configure_connection(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    options: *const brama_options_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; the options
        // are NULL or options: the rule for pointers in `args`.
        unsafe {
            let key = key(identifier, scope)?;
            let options = read("options", options)?.translate()?;
            args::manager(manager)
                .configure_connection(key, options)
                .map_err(in_c)?;
        }
        Ok(())
    })
}

/// brama_configure_connection on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_configure(
    connection: *const brama_connection_t,
    options: *const brama_options_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `connection` is NULL or a handle; the options are NULL or options: the rule
        // for pointers in `args`.
        unsafe {
            let handle = handle(connection)?;
            let options = read("options", options)?.translate()?;
            handle.connection.configure(options).map_err(in_c)?;
        }
        Ok(())
    })
}

impl brama_options_t {
    /// The options that a caller gives; none for NULL.
    ///
    /// # Safety
    ///
    /// The rule for pointers in [`args`].
    pub(super) unsafe fn given(options: *const Self) -> Result<ConnectionOptions, Error> {
        // SAFETY: `options` is NULL or options, whose metadata is what it says: this function's
        // # Safety.
        unsafe { read_or_blank("options", options)?.translate() }
    }

    /// # Safety
    ///
    /// `metadata` is NULL or `metadata_count` pairs: the rule for pointers in [`args`].
    unsafe fn translate(&self) -> Result<ConnectionOptions, Error> {
        let options = ConnectionOptions {
            changes: setting_table!(changes, self),
            metadata: None,
            initial_state: kinds::initial_state("initial_state", self.initial_state)?,
        };
        // SAFETY: the metadata is NULL or so many pairs: this function's # Safety.
        let metadata = unsafe { pairs(self.metadata, self.metadata_count) }?;
        Ok(match metadata {
            Some(pairs) => options.metadata(pairs),
            None => options,
        })
    }
}

impl brama_config_t {
    /// A builder with the configuration that a caller gives; with the defaults for NULL.
    ///
    /// # Safety
    ///
    /// The rule for pointers in [`args`].
    pub(super) unsafe fn builder(config: *const Self) -> Result<Builder, Failure> {
        // SAFETY: `config` is NULL or a config: this function's # Safety.
        let given = unsafe { read_or_blank("config", config) }?;
        let mut builder = Builder::new().config(given.translate()?);
        if let Some(on) = kinds::lasting_flag("background", given.background)? {
            builder = builder.background(on);
        }
        if let Some(capacity) = kinds::capacity("event_capacity", given.event_capacity)? {
            builder = builder.event_capacity(capacity);
        }
        // SAFETY: the config's clock is NULL or a clock: this function's # Safety.
        if let Some(clock) = unsafe { given.clock.as_ref() } {
            builder = builder.clock(clock.clock.clone());
        }
        Ok(builder)
    }

    /// The part that brama_configure can change.
    fn translate(&self) -> Result<Config, Error> {
        Ok(Config {
            changes: setting_table!(changes, self),
            housekeeping: self.housekeeping()?,
        })
    }

    fn housekeeping(&self) -> Result<Housekeeping, Error> {
        let default = Housekeeping::default();
        Ok(Housekeeping {
            cleanup_interval_ms: given_or_default(
                kinds::time::given("cleanup_interval_ms", self.cleanup_interval_ms)?,
                default.cleanup_interval(),
            ),
            inactive_threshold_ms: given_or_default(
                kinds::endless_time("inactive_threshold_ms", self.inactive_threshold_ms)?,
                default.inactive_threshold(),
            ),
            auto_register: given_or_default(
                kinds::flag::given("auto_register", self.auto_register)?,
                default.auto_register(),
            ),
        })
    }
}

/// A manager's setting. The level below it is the default.
fn given_or_default<T>(given: Given<T>, default: T) -> Option<T> {
    match given {
        Given::Keep => None,
        Given::Inherit => Some(default),
        Given::Value(value) => Some(value),
    }
}

fn refuse_if_given(field: &'static str, given: bool) -> Result<(), Error> {
    match given {
        true => Err(Error::config(field, "given", "only for brama_new")),
        false => Ok(()),
    }
}
