//! Constants, small structs and names that all parts of the interface share.

use std::ffi::{CStr, c_char, c_void};

use super::guard;
use crate::values::cause::Cause;
use crate::values::event::EventType;
use crate::values::state::State;

/// The state of a circuit: one of the BRAMA_STATE_ values.
pub type brama_state_t = i32;

/// Not registered.
pub const BRAMA_STATE_UNKNOWN: brama_state_t = 0;
/// Healthy: calls pass.
pub const BRAMA_STATE_CLOSED: brama_state_t = 1;
/// Failing: calls are rejected.
pub const BRAMA_STATE_OPEN: brama_state_t = 2;
/// Probing: a limited number of calls test whether the dependency recovered. Then it may
/// ramp up: a growing share of the calls passes.
pub const BRAMA_STATE_HALF_OPEN: brama_state_t = 3;

/// Why a circuit opened: one of the BRAMA_CAUSE_ values. More may come.
pub type brama_cause_t = i32;

/// It never opened, or is not open after the event, or the cause is not known yet.
pub const BRAMA_CAUSE_NONE: brama_cause_t = 0;
/// There were max_attempts failures in a row.
pub const BRAMA_CAUSE_CONSECUTIVE: brama_cause_t = 1;
/// There were max_attempts failures within the window.
pub const BRAMA_CAUSE_WINDOW: brama_cause_t = 2;
/// The share of failures reached failure_rate.
pub const BRAMA_CAUSE_FAILURE_RATE: brama_cause_t = 3;
/// The share of slow calls reached slow_call_rate.
pub const BRAMA_CAUSE_SLOW_CALL_RATE: brama_cause_t = 4;
/// The dependency asked to be left alone: brama_failure_for.
pub const BRAMA_CAUSE_RETRY_AFTER: brama_cause_t = 5;
/// A probe failed, or the share of failed probes reached half_open_failure_rate.
pub const BRAMA_CAUSE_PROBE: brama_cause_t = 6;
/// By hand: brama_open_circuit.
pub const BRAMA_CAUSE_MANUAL: brama_cause_t = 7;

/// How long a circuit stays open while a dependency stays down: one of the
/// BRAMA_EXPIRY_ values, or in a setting BRAMA_NOT_GIVEN_I32 or BRAMA_INHERIT_I32.
pub type brama_expiry_strategy_t = i32;

/// Every opening lasts `expiry_ms`.
pub const BRAMA_EXPIRY_FIXED: brama_expiry_strategy_t = 0;
/// The n-th opening in a row lasts
/// min(max_expiry_ms, initial_expiry_ms * backoff_factor^(n-1)).
pub const BRAMA_EXPIRY_PROGRESSIVE: brama_expiry_strategy_t = 1;

/// What a circuit does: one of the BRAMA_MODE_ values, or in a setting BRAMA_NOT_GIVEN_I32 or
/// BRAMA_INHERIT_I32. More may come.
pub type brama_mode_t = i32;

/// It opens, and rejects calls.
pub const BRAMA_MODE_NORMAL: brama_mode_t = 0;
/// It does nothing. Every call passes. Reports change the totals only, and are never stale. Nothing
/// opens, closes or expires, and the state is closed. Control by hand takes effect when this mode
/// ends. The end of this mode resets the circuit, with two exceptions: an opening by hand stays,
/// and so does a half-open state that was made by hand in this mode.
pub const BRAMA_MODE_DISABLED: brama_mode_t = 1;
/// It opens and closes as in BRAMA_MODE_NORMAL, and rejects nothing. A call that it would reject
/// passes, and counts in the totals only.
pub const BRAMA_MODE_SHADOW: brama_mode_t = 2;

/// The outcome of a call: one of the BRAMA_OUTCOME_ values.
pub type brama_outcome_t = i32;

/// The dependency is fine.
pub const BRAMA_OUTCOME_SUCCESS: brama_outcome_t = 1;
/// The dependency failed.
pub const BRAMA_OUTCOME_FAILURE: brama_outcome_t = 2;

/// What an event is about: one of the BRAMA_EVENT_ values.
pub type brama_event_type_t = i32;

/// The circuit's state changed.
pub const BRAMA_EVENT_STATE_CHANGE: brama_event_type_t = 1;
/// A connection was registered. A BRAMA_EVENT_CONNECTION_REGISTERED with the same content follows
/// it: subscribe to that one, the counterpart of BRAMA_EVENT_CONNECTION_REMOVED.
pub const BRAMA_EVENT_REGISTRATION: brama_event_type_t = 2;
/// A failure was reported. May be dropped under overload.
pub const BRAMA_EVENT_FAILURE: brama_event_type_t = 3;
/// A success was reported. May be dropped under overload.
pub const BRAMA_EVENT_SUCCESS: brama_event_type_t = 4;
/// An opening reached its end.
pub const BRAMA_EVENT_EXPIRY: brama_event_type_t = 5;
/// A connection was removed because it was not used.
pub const BRAMA_EVENT_CLEANUP: brama_event_type_t = 6;
/// The circuit opened, or an open one was given another deadline.
pub const BRAMA_EVENT_CIRCUIT_OPENED: brama_event_type_t = 7;
/// The circuit closed.
pub const BRAMA_EVENT_CIRCUIT_CLOSED: brama_event_type_t = 8;
/// The circuit was reset.
pub const BRAMA_EVENT_CIRCUIT_RESET: brama_event_type_t = 9;
/// A connection was registered. Comes right after BRAMA_EVENT_REGISTRATION, with the same content.
pub const BRAMA_EVENT_CONNECTION_REGISTERED: brama_event_type_t = 10;
/// A connection was unregistered.
pub const BRAMA_EVENT_CONNECTION_UNREGISTERED: brama_event_type_t = 11;
/// The circuit admits probes.
pub const BRAMA_EVENT_CIRCUIT_HALF_OPENED: brama_event_type_t = 12;
/// A connection was removed: unregistered or cleaned up.
pub const BRAMA_EVENT_CONNECTION_REMOVED: brama_event_type_t = 13;
/// A call was not admitted. May be dropped under overload.
pub const BRAMA_EVENT_CALL_REJECTED: brama_event_type_t = 14;
/// A probe was admitted. May be dropped under overload.
pub const BRAMA_EVENT_PROBE: brama_event_type_t = 15;
/// Something other than a change of state, for those who use the connection: the event's reason is
/// a text about it.
pub const BRAMA_EVENT_NOTICE: brama_event_type_t = 16;

/// A number that was not given, in a field of type uint32_t.
pub const BRAMA_NOT_GIVEN_U32: u32 = 0xfffffffe;
/// A number that was not given, in a field or argument of type uint64_t.
pub const BRAMA_NOT_GIVEN_U64: u64 = 0xfffffffffffffffe;
/// A choice that was not given, in a field of type int32_t.
pub const BRAMA_NOT_GIVEN_I32: i32 = -2;
/// A number that was not given, in a field of type int64_t.
pub const BRAMA_NOT_GIVEN_I64: i64 = -2;
/// A number that was not given, in a field of type double.
pub const BRAMA_NOT_GIVEN_F64: f64 = -1.0e300;

/// Takes a setting of type uint32_t back: a connection follows its manager again, a manager the
/// default.
pub const BRAMA_INHERIT_U32: u32 = 0xfffffffd;
/// Takes a setting of type uint64_t back.
pub const BRAMA_INHERIT_U64: u64 = 0xfffffffffffffffd;
/// Takes a setting of type int32_t back.
pub const BRAMA_INHERIT_I32: i32 = -3;
/// Takes a setting of type double back.
pub const BRAMA_INHERIT_F64: f64 = -2.0e300;

/// `max_attempts` of a circuit that no number of failures opens. Without a rate it never opens by
/// itself.
pub const BRAMA_UNLIMITED: u32 = 0xffffffff;
/// A time that never comes or a wait that never ends.
pub const BRAMA_NEVER: u64 = 0xffffffffffffffff;
/// No value: the time of something that has not happened, a window that is not set.
pub const BRAMA_NONE: u64 = 0xfffffffffffffffc;
/// No value, in a field of type double: a rate that is not set.
pub const BRAMA_NONE_F64: f64 = -3.0e300;

/// A key and a value, user-supplied UTF-8 that ends with a NUL. Of several pairs with one key, the
/// last counts. Pairs come in arrays, so this struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_pair_t {
    /// Not NULL.
    pub key: *const c_char,
    /// Not NULL.
    pub value: *const c_char,
}

/// Called once with the user data that was given with it, when the library needs the data no more.
/// May call anything in this library. Must not throw.
pub type brama_destroy_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Returns "unknown", "closed", "open" or "half_open"; "unknown" also for other numbers. Never
/// NULL, valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn brama_state_name(state: brama_state_t) -> *const c_char {
    let name: &CStr = match state {
        BRAMA_STATE_CLOSED => c"closed",
        BRAMA_STATE_OPEN => c"open",
        BRAMA_STATE_HALF_OPEN => c"half_open",
        _ => c"unknown",
    };
    name.as_ptr()
}

/// Returns the name of an event type, such as "state_change"; "unknown" for other numbers. Never
/// NULL, valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn brama_event_type_name(event_type: brama_event_type_t) -> *const c_char {
    let name: &CStr = match event_type {
        BRAMA_EVENT_STATE_CHANGE => c"state_change",
        BRAMA_EVENT_REGISTRATION => c"registration",
        BRAMA_EVENT_FAILURE => c"failure",
        BRAMA_EVENT_SUCCESS => c"success",
        BRAMA_EVENT_EXPIRY => c"expiry",
        BRAMA_EVENT_CLEANUP => c"cleanup",
        BRAMA_EVENT_CIRCUIT_OPENED => c"circuit_opened",
        BRAMA_EVENT_CIRCUIT_CLOSED => c"circuit_closed",
        BRAMA_EVENT_CIRCUIT_RESET => c"circuit_reset",
        BRAMA_EVENT_CONNECTION_REGISTERED => c"connection_registered",
        BRAMA_EVENT_CONNECTION_UNREGISTERED => c"connection_unregistered",
        BRAMA_EVENT_CIRCUIT_HALF_OPENED => c"circuit_half_opened",
        BRAMA_EVENT_CONNECTION_REMOVED => c"connection_removed",
        BRAMA_EVENT_CALL_REJECTED => c"call_rejected",
        BRAMA_EVENT_PROBE => c"probe",
        BRAMA_EVENT_NOTICE => c"notice",
        _ => c"unknown",
    };
    name.as_ptr()
}

/// Returns "normal", "disabled" or "shadow"; "unknown" for other numbers. Never NULL, valid for
/// ever.
#[unsafe(no_mangle)]
pub extern "C" fn brama_mode_name(mode: brama_mode_t) -> *const c_char {
    let name: &CStr = match mode {
        BRAMA_MODE_NORMAL => c"normal",
        BRAMA_MODE_DISABLED => c"disabled",
        BRAMA_MODE_SHADOW => c"shadow",
        _ => c"unknown",
    };
    name.as_ptr()
}

/// Returns the name of a cause, such as "window"; "none" for BRAMA_CAUSE_NONE, "unknown" for other
/// numbers. Never NULL, valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn brama_cause_name(cause: brama_cause_t) -> *const c_char {
    let name: &CStr = match cause {
        BRAMA_CAUSE_NONE => c"none",
        BRAMA_CAUSE_CONSECUTIVE => c"consecutive",
        BRAMA_CAUSE_WINDOW => c"window",
        BRAMA_CAUSE_FAILURE_RATE => c"failure_rate",
        BRAMA_CAUSE_SLOW_CALL_RATE => c"slow_call_rate",
        BRAMA_CAUSE_RETRY_AFTER => c"retry_after",
        BRAMA_CAUSE_PROBE => c"probe",
        BRAMA_CAUSE_MANUAL => c"manual",
        _ => c"unknown",
    };
    name.as_ptr()
}

/// Returns why the circuit had opened, if this thread's last call that failed was a rejection.
/// BRAMA_CAUSE_NONE if it was not, or if the cause is not known.
#[unsafe(no_mangle)]
pub extern "C" fn brama_last_error_cause() -> brama_cause_t {
    cause(guard::last_cause())
}

/// Returns the reason of that opening: the text of the failure that opened the circuit, or the one
/// given when it was opened by hand. At most 256 bytes of it; NULL if there is none. Valid until
/// the next call of this thread that fails, or until the thread ends.
#[unsafe(no_mangle)]
pub extern "C" fn brama_last_error_reason() -> *const c_char {
    guard::last_reason()
}

pub(super) fn cause(cause: Option<Cause>) -> brama_cause_t {
    match cause {
        None => BRAMA_CAUSE_NONE,
        Some(Cause::Consecutive) => BRAMA_CAUSE_CONSECUTIVE,
        Some(Cause::Window) => BRAMA_CAUSE_WINDOW,
        Some(Cause::FailureRate) => BRAMA_CAUSE_FAILURE_RATE,
        Some(Cause::SlowCallRate) => BRAMA_CAUSE_SLOW_CALL_RATE,
        Some(Cause::RetryAfter) => BRAMA_CAUSE_RETRY_AFTER,
        Some(Cause::Probe) => BRAMA_CAUSE_PROBE,
        Some(Cause::Manual) => BRAMA_CAUSE_MANUAL,
    }
}

pub(super) fn state(state: State) -> brama_state_t {
    state as brama_state_t
}

// The constants equal the numbers of the Rust enums.
const _: () = {
    assert!(State::Unknown as i32 == BRAMA_STATE_UNKNOWN);
    assert!(State::Closed as i32 == BRAMA_STATE_CLOSED);
    assert!(State::Open as i32 == BRAMA_STATE_OPEN);
    assert!(State::HalfOpen as i32 == BRAMA_STATE_HALF_OPEN);
    assert!(EventType::StateChange as i32 == BRAMA_EVENT_STATE_CHANGE);
    assert!(EventType::Registration as i32 == BRAMA_EVENT_REGISTRATION);
    assert!(EventType::Failure as i32 == BRAMA_EVENT_FAILURE);
    assert!(EventType::Success as i32 == BRAMA_EVENT_SUCCESS);
    assert!(EventType::Expiry as i32 == BRAMA_EVENT_EXPIRY);
    assert!(EventType::Cleanup as i32 == BRAMA_EVENT_CLEANUP);
    assert!(EventType::CircuitOpened as i32 == BRAMA_EVENT_CIRCUIT_OPENED);
    assert!(EventType::CircuitClosed as i32 == BRAMA_EVENT_CIRCUIT_CLOSED);
    assert!(EventType::CircuitReset as i32 == BRAMA_EVENT_CIRCUIT_RESET);
    assert!(EventType::ConnectionRegistered as i32 == BRAMA_EVENT_CONNECTION_REGISTERED);
    assert!(EventType::ConnectionUnregistered as i32 == BRAMA_EVENT_CONNECTION_UNREGISTERED);
    assert!(EventType::CircuitHalfOpened as i32 == BRAMA_EVENT_CIRCUIT_HALF_OPENED);
    assert!(EventType::ConnectionRemoved as i32 == BRAMA_EVENT_CONNECTION_REMOVED);
    assert!(EventType::CallRejected as i32 == BRAMA_EVENT_CALL_REJECTED);
    assert!(EventType::Probe as i32 == BRAMA_EVENT_PROBE);
    assert!(EventType::Notice as i32 == BRAMA_EVENT_NOTICE);
};
