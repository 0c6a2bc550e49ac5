//! What is known of connections.

use std::cell::RefCell;
use std::ffi::{c_char, c_void};
use std::mem::size_of;
use std::ptr;
use std::time::Duration;

use super::args::{self, Extensible, handle, init, judge_place, key, null, wanted_scope, write};
use super::callback::HostBool;
use super::errors::brama_result_t;
use super::guard::{self, Failure};
use super::handles::{brama_connection_t, brama_t};
use super::kinds;
use super::text::{Texts, WaitRoom};
use super::types::{self, *};
use crate::circuit::record::Status;
use crate::values::error::Error;
use crate::values::settings::{Settings, setting_table};
use crate::values::state::State;

/// The struct that knows no setting.
macro_rules! blank {
    ($($(#[$doc:meta])* $name:ident $variant:ident $field:ident: $kind:ident = $default:expr;)*) => {
        brama_settings_t {
            size: size_of::<brama_settings_t>(),
            $($field: kinds::$kind::BLANK,)*
            reserved: 0,
        }
    };
}

/// The struct that shows these settings.
macro_rules! shown {
    ([$settings:expr] $($(#[$doc:meta])* $name:ident $variant:ident $field:ident: $kind:ident = $default:expr;)*) => {
        brama_settings_t {
            size: size_of::<brama_settings_t>(),
            $($field: kinds::$kind::shown($settings.$name()),)*
            reserved: 0,
        }
    };
}

/// The settings in effect for a connection; the fields are those of brama_options_t.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_settings_t {
    /// Bytes of this struct; set by brama_settings_init.
    pub size: usize,
    /// BRAMA_UNLIMITED: no number of failures opens the circuit.
    pub max_attempts: u32,
    /// See brama_options_t.
    pub expiry_strategy: brama_expiry_strategy_t,
    /// See brama_options_t.
    pub expiry_ms: u64,
    /// See brama_options_t.
    pub initial_expiry_ms: u64,
    /// See brama_options_t.
    pub max_expiry_ms: u64,
    /// See brama_options_t.
    pub backoff_factor: f64,
    /// See brama_options_t.
    pub jitter: f64,
    /// BRAMA_NONE: failures in a row count.
    pub window_ms: u64,
    /// BRAMA_NONE: the current expiry, at least 1000.
    pub probe_timeout_ms: u64,
    /// See brama_options_t.
    pub half_open_max_calls: u32,
    /// See brama_options_t.
    pub half_open_successes: u32,
    /// BRAMA_NONE: a call that is given up is ignored.
    pub cancelled_after_ms: u64,
    /// 0: a success leaves the failures in the window, unless the circuit is half-open.
    pub success_clears_window: i32,
    /// Zero.
    pub reserved: u32,
    /// BRAMA_NONE_F64: the share of failures does not count.
    pub failure_rate: f64,
    /// Without effect while there are rate_calls.
    pub rate_window_ms: u64,
    /// BRAMA_NONE: the rates count reports within rate_window_ms.
    pub rate_calls: u64,
    /// See brama_options_t.
    pub minimum_calls: u64,
    /// BRAMA_NONE: no call is slow.
    pub slow_call_duration_ms: u64,
    /// BRAMA_NONE_F64: the share of slow calls does not count.
    pub slow_call_rate: f64,
    /// BRAMA_NONE_F64: one failure opens a half-open circuit, half_open_successes close it.
    pub half_open_failure_rate: f64,
    /// BRAMA_NONE: the circuit closes as soon as its probes have succeeded.
    pub ramp_ms: u64,
    /// See brama_options_t.
    pub ramp_start: f64,
}

/// The health of one connection at one moment. Times are Unix ms, BRAMA_NONE if there
/// was none yet; lengths of time are ms.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_status_t {
    /// Bytes of this struct; set by brama_status_init.
    pub size: usize,
    /// Never NULL.
    pub identifier: *const c_char,
    /// NULL: none.
    pub scope: *const c_char,
    /// The connection's metadata; NULL if there is none.
    pub metadata: *const brama_pair_t,
    /// How many pairs metadata has.
    pub metadata_count: usize,
    /// The settings in effect, as brama_connection_settings tells them; not NULL. Their size
    /// says which fields are filled in.
    pub settings: *const brama_settings_t,
    /// As of now.
    pub state: brama_state_t,
    /// Failures in a row, or inside the window if there is one.
    pub failure_count: u32,
    /// Openings since the circuit was last healthy, at most 255.
    pub trips: u32,
    /// Why the circuit opened last, also after it has closed or was reset.
    pub cause: brama_cause_t,
    /// The reason of the failure that opened the circuit last, or of the hand that did, also
    /// after it has closed: at most 256 bytes of it. NULL if there was none.
    pub reason: *const c_char,
    /// The reason of the last failure that had one: at most 256 bytes of it. NULL before that.
    pub last_failure_reason: *const c_char,
    /// Successes reported since registration.
    pub total_successes: u64,
    /// Failures reported since registration.
    pub total_failures: u64,
    /// Calls rejected since registration.
    pub total_rejections: u64,
    /// Permits given back without a success or a failure since registration: calls that
    /// were cancelled or ignored. Stops at 4294967295.
    pub total_ignored: u64,
    /// Successes / (successes + failures); negative before the first report.
    pub success_rate: f64,
    /// Time of the last success.
    pub last_success_time_ms: u64,
    /// Time of the last failure.
    pub last_failure_time_ms: u64,
    /// Time of the last opening, also after a reset.
    pub opened_at_ms: u64,
    /// Time of the last change of state.
    pub last_state_change_ms: u64,
    /// Since the last change of state; since registration before the first.
    pub time_in_state_ms: u64,
    /// While open, how long this opening lasts (BRAMA_NEVER: until closed by hand);
    /// otherwise what the settings say for the present number of trips.
    pub expiry_ms: u64,
    /// While open, how long until probes are admitted (BRAMA_NEVER: never by itself);
    /// BRAMA_NONE if it is not open.
    pub retry_after_ms: u64,
    /// Reports that count for the rates: within the window, and since the circuit closed or was
    /// reset last. While it is not closed, those that counted when it opened. BRAMA_NONE if no
    /// rate is set, after an opening by hand or by a failed probe, and if the number is not known.
    pub window_calls: u64,
    /// The failures among window_calls; BRAMA_NONE if window_calls is.
    pub window_failures: u64,
    /// The slow calls among window_calls, failed or not; BRAMA_NONE if window_calls is.
    pub window_slow: u64,
}

/// How many connections of a manager are in each state.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_state_counts_t {
    /// Bytes of this struct; set by brama_state_counts_init.
    pub size: usize,
    /// Healthy.
    pub closed: u64,
    /// Failing.
    pub open: u64,
    /// Probing.
    pub half_open: u64,
}

/// Called by brama_for_each. What status points to is valid until it returns. Returning
/// false ends the walk. A host that has no bool returns a byte: 0 is false. Must not throw.
pub type brama_status_fn =
    Option<unsafe extern "C" fn(status: *const brama_status_t, user_data: *mut c_void) -> HostBool>;

// SAFETY: numbers and pointers after the size.
unsafe impl Extensible for brama_status_t {
    const NAME: &'static str = "brama_status_t";
    const INIT: &'static str = "brama_status_init";
    const FIRST_SIZE: usize = size_of::<Self>();
    const BLANK: Self = brama_status_t {
        size: size_of::<Self>(),
        identifier: c"".as_ptr(),
        scope: ptr::null(),
        metadata: ptr::null(),
        metadata_count: 0,
        settings: ptr::null(),
        state: BRAMA_STATE_UNKNOWN,
        failure_count: 0,
        trips: 0,
        cause: BRAMA_CAUSE_NONE,
        reason: ptr::null(),
        last_failure_reason: ptr::null(),
        total_successes: 0,
        total_failures: 0,
        total_rejections: 0,
        total_ignored: 0,
        success_rate: -1.0,
        last_success_time_ms: BRAMA_NONE,
        last_failure_time_ms: BRAMA_NONE,
        opened_at_ms: BRAMA_NONE,
        last_state_change_ms: BRAMA_NONE,
        time_in_state_ms: 0,
        expiry_ms: 0,
        retry_after_ms: BRAMA_NONE,
        window_calls: BRAMA_NONE,
        window_failures: BRAMA_NONE,
        window_slow: BRAMA_NONE,
    };
}

// SAFETY: numbers after the size.
unsafe impl Extensible for brama_settings_t {
    const NAME: &'static str = "brama_settings_t";
    const INIT: &'static str = "brama_settings_init";
    const FIRST_SIZE: usize = size_of::<Self>();
    const BLANK: Self = setting_table!(blank);
}

// SAFETY: numbers after the size.
unsafe impl Extensible for brama_state_counts_t {
    const NAME: &'static str = "brama_state_counts_t";
    const INIT: &'static str = "brama_state_counts_init";
    const FIRST_SIZE: usize = size_of::<Self>();
    const BLANK: Self = brama_state_counts_t {
        size: size_of::<Self>(),
        closed: 0,
        open: 0,
        half_open: 0,
    };
}

thread_local! {
    /// The strings of the thread's last status.
    static TEXTS: RefCell<Texts> = RefCell::default();
}

/// Makes a status that knows nothing. NULL is fine: nothing happens. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_status_init(status: *mut brama_status_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(status) }
}

/// Sets the size, and every field to none or zero. NULL is fine: nothing happens. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_settings_init(settings: *mut brama_settings_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(settings) }
}

/// Sets the size and zeroes. NULL is fine: nothing happens. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_state_counts_init(counts: *mut brama_state_counts_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(counts) }
}

/// Fills in everything that is known of a connection; registers nothing. The struct has
/// been through brama_status_init. Its strings, metadata and settings belong to the library and
/// are valid until this thread's next call of brama_status or brama_connection_status,
/// or its end.
///
/// A NULL manager is the default one, a NULL scope is none, status must not be NULL.
/// Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN, and
/// BRAMA_ERR_UNSUPPORTED in a destructor that runs because the thread ends; the struct
/// is then as it was. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_status(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    status: *mut brama_status_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `status` is
        // NULL or a status: the rule for pointers in `args`.
        unsafe {
            judge_place("status", status)?;
            let known = args::manager(manager).status(key(identifier, scope)?)?;
            lend(&known, status)
        }
    })
}

/// brama_status on a handle, which must not be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_status(
    connection: *const brama_connection_t,
    status: *mut brama_status_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `connection` is NULL or a handle; `status` is NULL or a status: the rule for
        // pointers in `args`.
        unsafe {
            let handle = handle(connection)?;
            judge_place("status", status)?;
            lend(&handle.connection.status()?, status)
        }
    })
}

/// Fills in the settings that are in effect for a connection; registers nothing. The struct
/// has been through brama_settings_init.
///
/// A NULL manager is the default one, a NULL scope is none, settings must not be NULL.
/// Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_settings(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    settings: *mut brama_settings_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `settings` is
        // NULL or settings: the rule for pointers in `args`.
        unsafe {
            judge_place("settings", settings)?;
            let known = args::manager(manager).status(key(identifier, scope)?)?;
            write(settings, &in_effect(&known.settings));
        }
        Ok(())
    })
}

/// brama_settings on a handle, which must not be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_settings(
    connection: *const brama_connection_t,
    settings: *mut brama_settings_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `connection` is NULL or a handle; `settings` is NULL or settings: the rule
        // for pointers in `args`.
        unsafe {
            let handle = handle(connection)?;
            judge_place("settings", settings)?;
            write(settings, &in_effect(&handle.connection.status()?.settings));
        }
        Ok(())
    })
}

/// Calls back with the status of every connection, ordered by scope and identifier. A
/// snapshot is taken first, so the callback may call anything, also brama_unregister.
/// Each status is consistent with itself; together they are not one instant.
///
/// scope: only its connections; BRAMA_NO_SCOPE: only those without one; NULL: all. A
/// NULL manager is the default one, a NULL callback is refused. Errors:
/// BRAMA_ERR_INVALID_ARGUMENT. Any thread; the callback runs on the calling one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_for_each(
    manager: *mut brama_t,
    scope: *const c_char,
    callback: brama_status_fn,
    user_data: *mut c_void,
) -> brama_result_t {
    guard::result(|| {
        let callback = callback.ok_or_else(|| null("callback"))?;
        // SAFETY: `manager` is NULL or a manager; `scope` is NULL or a string: the rule for
        // pointers in `args`.
        let snapshot = unsafe { snapshot(manager, scope) }?;
        let mut texts = Texts::default();
        for status in &snapshot {
            let status = translate(status, &mut texts);
            // SAFETY: the host's function, with the data that it asked for.
            if !unsafe { callback(&status, user_data) }.is_true() {
                break;
            }
        }
        Ok(())
    })
}

/// Counts the connections in each state. The struct has been through
/// brama_state_counts_init. A NULL manager is the default one, NULL counts are refused.
/// Errors: BRAMA_ERR_INVALID_ARGUMENT. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_state_counts(
    manager: *mut brama_t,
    counts: *mut brama_state_counts_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager; `counts` is NULL or counts: the rule for
        // pointers in `args`.
        unsafe {
            judge_place("counts", counts)?;
            let known = args::manager(manager).state_counts();
            let known = brama_state_counts_t {
                closed: known.closed as u64,
                open: known.open as u64,
                half_open: known.half_open as u64,
                ..Extensible::BLANK
            };
            write(counts, &known);
        }
        Ok(())
    })
}

/// # Safety
///
/// `judge_place` has found `to` right.
unsafe fn lend(status: &Status, to: *mut brama_status_t) -> Result<(), Failure> {
    let lent = TEXTS.try_with(|texts| translate(status, &mut texts.borrow_mut()));
    let lent = lent.map_err(|_| Failure::ThreadEnds)?;
    // SAFETY: `judge_place` has found `to` right: this function's # Safety.
    unsafe { write(to, &lent) };
    Ok(())
}

/// Of all connections, or those of a scope.
///
/// # Safety
///
/// The rule for pointers in [`args`].
pub(super) unsafe fn snapshot(
    manager: *mut brama_t,
    scope: *const c_char,
) -> Result<Vec<Status>, Error> {
    // SAFETY: `manager` is NULL or a manager; `scope` is NULL or a string: this function's
    // # Safety.
    let (brama, scope) = unsafe { (args::manager(manager), wanted_scope("scope", scope)?) };
    Ok(match scope {
        None => brama.snapshot(),
        Some(scope) => brama.snapshot_of_scope(scope),
    })
}

pub(super) fn translate(status: &Status, texts: &mut Texts) -> brama_status_t {
    let mut room = WaitRoom::default();
    room.text(Some(&status.identifier));
    room.text(status.scope.as_deref());
    room.text(status.reason.as_deref());
    room.text(status.last_failure_reason.as_deref());
    room.map(Some(&status.metadata));
    texts.begin(room);
    let (metadata, metadata_count) = texts.map(Some(&status.metadata));
    let is_open = status.state == State::Open;
    brama_status_t {
        size: size_of::<brama_status_t>(),
        identifier: texts.text(Some(&status.identifier)),
        scope: texts.text(status.scope.as_deref()),
        metadata,
        metadata_count,
        settings: texts.settings(in_effect(&status.settings)),
        state: types::state(status.state),
        failure_count: status.failure_count,
        trips: status.trips,
        cause: types::cause(status.cause),
        reason: texts.text(status.reason.as_deref()),
        last_failure_reason: texts.text(status.last_failure_reason.as_deref()),
        total_successes: status.total_successes,
        total_failures: status.total_failures,
        total_rejections: status.total_rejections,
        total_ignored: status.total_ignored,
        success_rate: status.success_rate.unwrap_or(-1.0),
        last_success_time_ms: status.last_success_time.unwrap_or(BRAMA_NONE),
        last_failure_time_ms: status.last_failure_time.unwrap_or(BRAMA_NONE),
        opened_at_ms: status.opened_at.unwrap_or(BRAMA_NONE),
        last_state_change_ms: status.last_state_change.unwrap_or(BRAMA_NONE),
        time_in_state_ms: ms(Some(status.time_in_state)),
        expiry_ms: status.expiry.map_or(BRAMA_NEVER, crate::sys::clock::millis),
        retry_after_ms: match status.retry_after {
            None if is_open => BRAMA_NEVER,
            length => ms(length),
        },
        window_calls: status.window_calls.unwrap_or(BRAMA_NONE),
        window_failures: status.window_failures.unwrap_or(BRAMA_NONE),
        window_slow: status.window_slow.unwrap_or(BRAMA_NONE),
    }
}

fn in_effect(settings: &Settings) -> brama_settings_t {
    setting_table!(shown, settings)
}

/// BRAMA_NONE for none.
pub(super) fn ms(length: Option<Duration>) -> u64 {
    length.map_or(BRAMA_NONE, crate::sys::clock::millis)
}
