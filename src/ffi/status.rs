//! The status of connections.

use std::cell::RefCell;
use std::ffi::{c_char, c_void};
use std::mem::size_of;
use std::ptr;
use std::time::Duration;

use super::args::{self, Extensible, handle, init, key, null, validate_place, wanted_scope, write};
use super::callback::HostBool;
use super::errors::brama_result_t;
use super::guard::{self, Failure};
use super::handles::{brama_connection_t, brama_t};
use super::settings::{brama_settings_t, in_effect};
use super::text::{Texts, WaitRoom};
use super::types::{self, *};
use crate::circuit::record::Status;
use crate::values::error::Error;
use crate::values::state::State;

/// The health of one connection at one moment. Times are Unix ms, or BRAMA_NONE if the event has
/// not happened yet; lengths of time are ms.
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
    /// The settings in effect, as from brama_connection_settings; not NULL. Their size says which
    /// fields are filled in.
    pub settings: *const brama_settings_t,
    /// As of now. Closed while the mode is BRAMA_MODE_DISABLED.
    pub state: brama_state_t,
    /// Failures in a row, or inside the window if there is one.
    pub failure_count: u32,
    /// The number of openings since the circuit was last healthy, at most 255.
    pub trips: u32,
    /// Why the circuit opened last, even if it has closed or was reset since.
    pub cause: brama_cause_t,
    /// The reason of the last opening, even if the circuit has closed since: that of the failure
    /// that opened it, or the one given when it was opened by hand. At most 256 bytes of it. NULL:
    /// none.
    pub reason: *const c_char,
    /// The reason of the last failure that had one, at most 256 bytes of it. NULL: none yet.
    pub last_failure_reason: *const c_char,
    /// Successes reported since registration.
    pub total_successes: u64,
    /// Failures reported since registration.
    pub total_failures: u64,
    /// Calls rejected since registration.
    pub total_rejections: u64,
    /// Permits reported as ignored, or as cancelled without being a failure, since registration.
    /// Stops at 4294967295.
    pub total_ignored: u64,
    /// Successes / (successes + failures); -1.0 before the first report.
    pub success_rate: f64,
    /// The share of the calls that pass now, in a ramp (ramp_ms); otherwise, and in
    /// BRAMA_MODE_DISABLED, BRAMA_NONE_F64. In BRAMA_MODE_SHADOW all calls pass; there it is the
    /// share that BRAMA_MODE_NORMAL would let pass.
    pub ramp_share: f64,
    /// Time of the last success. It lags by up to a tick of the coarse clock (1 to 10 ms), or by
    /// two while calls are frequent.
    pub last_success_time_ms: u64,
    /// Time of the last failure. It may lag as `last_success_time_ms` does.
    pub last_failure_time_ms: u64,
    /// Time of the last opening, also after a reset.
    pub opened_at_ms: u64,
    /// Time of the last change of state.
    pub last_state_change_ms: u64,
    /// Time since the last change of state, or since the registration if there was none.
    pub time_in_state_ms: u64,
    /// While the circuit is open, how long this opening lasts (BRAMA_NEVER: until it is closed by
    /// hand); otherwise how long one would last by the settings, with the present trips.
    pub expiry_ms: u64,
    /// While the circuit is open, how long until probes are admitted (BRAMA_NEVER: not until it is
    /// closed by hand); otherwise BRAMA_NONE.
    pub retry_after_ms: u64,
    /// The number of reports that count for the rates: within the window, and since the circuit
    /// closed or was reset last. While the circuit is not closed, the number when it opened.
    /// BRAMA_NONE if no rate is set, after an opening by hand or by a failed probe, while the mode
    /// is BRAMA_MODE_DISABLED, and if the number is not known.
    pub window_calls: u64,
    /// The failures among window_calls; BRAMA_NONE if window_calls is.
    pub window_failures: u64,
    /// The slow calls among window_calls, failed or not; BRAMA_NONE if window_calls is.
    pub window_slow: u64,
    /// Calls since registration that passed in BRAMA_MODE_SHADOW and that BRAMA_MODE_NORMAL would
    /// have rejected.
    pub would_reject: u64,
    /// Probes that are out now: admitted, not reported, and within their probe_timeout_ms.
    pub probes_out: u32,
    /// The mode in effect.
    pub mode: brama_mode_t,
    /// The number of reports that a rate had counted when it opened the circuit last, even if it
    /// has closed since. BRAMA_NONE if no rate opened it last, or if the number is not known.
    pub opened_calls: u64,
    /// The number of failures that a rule had counted when it opened the circuit last, even if it
    /// has closed since: in a row, inside the window, or among opened_calls, as cause says.
    /// BRAMA_NONE after an opening by hand, by a failed probe or by brama_failure_for, or if the
    /// number is not known.
    pub opened_failures: u64,
    /// The slow calls among opened_calls, failed or not; BRAMA_NONE if opened_calls is.
    pub opened_slow: u64,
}

/// Called by brama_for_each with one status. What status points to is valid until the callback
/// returns. Returning false ends the walk. A host that has no bool returns a byte: 0 is false. Must
/// not throw.
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
        ramp_share: BRAMA_NONE_F64,
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
        would_reject: 0,
        probes_out: 0,
        mode: BRAMA_MODE_NORMAL,
        opened_calls: BRAMA_NONE,
        opened_failures: BRAMA_NONE,
        opened_slow: BRAMA_NONE,
    };
}

thread_local! {
    /// The strings of the thread's last status.
    static TEXTS: RefCell<Texts> = RefCell::default();
}

/// Sets the size, and every field to none or zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_status_init(status: *mut brama_status_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(status) }
}

/// Fills in the status of a connection. Initialise the struct with brama_status_init. Its strings,
/// metadata and settings belong to the library and are valid until this thread's next call of
/// brama_status or brama_connection_status, or until the thread ends. Never registers a connection.
///
/// Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN;
/// BRAMA_ERR_UNSUPPORTED in a destructor that runs because the thread ends.
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
            validate_place("status", status)?;
            let known = args::manager(manager).status(key(identifier, scope)?)?;
            lend(&known, status)
        }
    })
}

/// brama_status on a handle.
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
            validate_place("status", status)?;
            lend(&handle.connection.status()?, status)
        }
    })
}

/// Calls callback with the status of every connection, ordered by scope and identifier. A snapshot
/// is taken first, so the callback may call anything, even brama_unregister. Each status is
/// consistent with itself; together they are not one instant.
///
/// scope: only its connections; BRAMA_NO_SCOPE: only those without one; NULL: all. Errors:
/// BRAMA_ERR_INVALID_ARGUMENT. The callback runs on the calling thread.
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
            // SAFETY: the host's function, with a status and the user data that the host gave with
            // it: `brama_status_fn` in the header.
            if !unsafe { callback(&status, user_data) }.is_true() {
                break;
            }
        }
        Ok(())
    })
}

/// Fills in a status whose strings stay in the thread's `TEXTS`.
///
/// # Safety
///
/// `validate_place` has returned `Ok` for `to`.
unsafe fn lend(status: &Status, to: *mut brama_status_t) -> Result<(), Failure> {
    let lent = TEXTS.try_with(|texts| translate(status, &mut texts.borrow_mut()));
    let lent = lent.map_err(|_| Failure::ThreadEnds)?;
    // SAFETY: `validate_place` has returned `Ok` for `to`: this function's # Safety.
    unsafe { write(to, &lent) };
    Ok(())
}

/// The status of all connections, or of those of a scope.
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
        ramp_share: status.ramp_share.unwrap_or(BRAMA_NONE_F64),
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
        would_reject: status.would_reject,
        probes_out: status.probes_out,
        mode: super::kinds::mode::shown(status.mode),
        opened_calls: status.opened_calls.unwrap_or(BRAMA_NONE),
        opened_failures: status.opened_failures.unwrap_or(BRAMA_NONE),
        opened_slow: status.opened_slow.unwrap_or(BRAMA_NONE),
    }
}

/// A length of time in ms; BRAMA_NONE for `None`.
pub(super) fn ms(length: Option<Duration>) -> u64 {
    length.map_or(BRAMA_NONE, crate::sys::clock::millis)
}
