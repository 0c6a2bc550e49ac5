//! Events in the form that C gets.

use std::ffi::c_char;
use std::mem::size_of;
use std::ptr;
use std::slice;

use super::args::Extensible;
use super::kinds;
use super::status::ms;
use super::text::{Texts, WaitRoom};
use super::types::{self, *};
use crate::values::event::Event;

/// In brama_event_t.flags: the event stands for one or more events of its type and connection that
/// found no room. It has the state that held when the event was made, which may be later than the
/// change that its type names. Its reason and metadata may be missing.
pub const BRAMA_EVENT_COALESCED: u32 = 1;
/// In brama_event_t.flags: the reason or the metadata is not as the reporter gave it. The library
/// cut it or left it out to keep the bounds that brama_report_t names, or made it valid UTF-8.
pub const BRAMA_EVENT_TRUNCATED: u32 = 2;

/// In brama_event_t.flags: the mode is BRAMA_MODE_SHADOW, so the circuit rejects nothing. With this
/// flag, a BRAMA_EVENT_CALL_REJECTED is about a call that passed.
pub const BRAMA_EVENT_SHADOW: u32 = 4;
/// In brama_event_t.flags: the circuit was controlled by hand while it was disabled. The change
/// takes effect when the circuit is enabled again. The reason says so, too.
pub const BRAMA_EVENT_DEFERRED: u32 = 8;

/// An event: something that happened to one connection.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_event_t {
    /// Bytes of this struct that are filled in.
    pub size: usize,
    /// What it is about.
    pub event_type: brama_event_type_t,
    /// The state before; BRAMA_STATE_UNKNOWN for a registration.
    pub previous_state: brama_state_t,
    /// The state after; BRAMA_STATE_UNKNOWN for a removal.
    pub new_state: brama_state_t,
    /// Failures in a row, or inside the window, when it happened.
    pub failure_count: u32,
    /// BRAMA_EVENT_COALESCED, BRAMA_EVENT_TRUNCATED, BRAMA_EVENT_SHADOW and
    /// BRAMA_EVENT_DEFERRED, as far as they apply. Other bits may come: ignore them.
    pub flags: u32,
    /// Why the circuit is open, if it is open after the event. BRAMA_CAUSE_NONE if it is not, or if
    /// the cause is not known yet.
    pub cause: brama_cause_t,
    /// Orders the events of one connection: of two events, the one with the larger number has the
    /// later state. Grows in the order of delivery. No order between connections is promised.
    pub sequence: u64,
    /// The number of the registration, in its manager. A name that is registered again has a larger
    /// number.
    pub registration: u64,
    /// When it happened, in Unix ms, to a few ms.
    pub timestamp_ms: u64,
    /// How long the opening lasts, if the circuit is open after the event. In the events of an
    /// expiry (BRAMA_EVENT_EXPIRY, and BRAMA_EVENT_STATE_CHANGE and BRAMA_EVENT_CIRCUIT_HALF_OPENED
    /// with it), and of the removal of an open circuit: how long the opening that has ended was to
    /// last. BRAMA_NONE in other events, for an opening until it is closed by hand, and if the
    /// length is not known, for example after an expiry in an event with BRAMA_EVENT_COALESCED.
    pub expiry_ms: u64,
    /// The connection's identifier, a string; never NULL.
    pub connection: *const c_char,
    /// The connection's scope; NULL: none.
    pub scope: *const c_char,
    /// The reason that the reporter gave, or the text of a notice; NULL: none.
    pub reason: *const c_char,
    /// The metadata of the report; NULL: none.
    pub metadata: *const brama_pair_t,
    /// How many pairs metadata has.
    pub metadata_count: usize,
    /// The reports that counted for the rates when the circuit opened, as in brama_status_t.
    /// BRAMA_NONE if the event is not about an opening, after an opening by hand or by a failed
    /// probe, if no rate was set, and in an event with BRAMA_EVENT_COALESCED.
    pub window_calls: u64,
    /// The failures among window_calls; BRAMA_NONE if window_calls is.
    pub window_failures: u64,
    /// The slow calls among window_calls, failed or not; BRAMA_NONE if window_calls is.
    pub window_slow: u64,
    /// The mode that was in effect. If it is BRAMA_MODE_DISABLED, the states of the event are those
    /// that hold once the circuit is enabled again; meanwhile brama_state is BRAMA_STATE_CLOSED.
    pub mode: brama_mode_t,
    /// Zero.
    pub reserved: u32,
}

// SAFETY: numbers and pointers after the size.
unsafe impl Extensible for brama_event_t {
    const NAME: &'static str = "brama_event_t";
    const INIT: &'static str = "sizeof";
    const FIRST_SIZE: usize = size_of::<Self>();
    const BLANK: Self = brama_event_t {
        size: size_of::<Self>(),
        event_type: 0,
        previous_state: BRAMA_STATE_UNKNOWN,
        new_state: BRAMA_STATE_UNKNOWN,
        failure_count: 0,
        flags: 0,
        cause: BRAMA_CAUSE_NONE,
        sequence: 0,
        registration: 0,
        timestamp_ms: 0,
        expiry_ms: BRAMA_NONE,
        connection: c"".as_ptr(),
        scope: ptr::null(),
        reason: ptr::null(),
        metadata: ptr::null(),
        metadata_count: 0,
        window_calls: BRAMA_NONE,
        window_failures: BRAMA_NONE,
        window_slow: BRAMA_NONE,
        mode: BRAMA_MODE_NORMAL,
        reserved: 0,
    };
}

/// How much room the strings of these events need.
pub(super) fn room_for(events: &[Event]) -> WaitRoom {
    let mut room = WaitRoom::default();
    for event in events {
        room.text(Some(event.connection()));
        room.text(event.scope());
        room.text(event.reason());
        room.map(event.metadata());
    }
    room
}

/// An event for C, with its strings in `texts`, in which the caller has reserved room.
pub(super) fn translate(event: &Event, texts: &mut Texts) -> brama_event_t {
    let (metadata, metadata_count) = texts.map(event.metadata());
    brama_event_t {
        size: size_of::<brama_event_t>(),
        event_type: event.event_type() as brama_event_type_t,
        previous_state: types::state(event.previous_state()),
        new_state: types::state(event.new_state()),
        failure_count: event.failure_count(),
        flags: flag(event.is_coalesced(), BRAMA_EVENT_COALESCED)
            | flag(event.is_truncated(), BRAMA_EVENT_TRUNCATED)
            | flag(event.is_shadow(), BRAMA_EVENT_SHADOW)
            | flag(event.is_deferred(), BRAMA_EVENT_DEFERRED),
        cause: types::cause(event.cause()),
        sequence: event.sequence(),
        registration: event.registration(),
        timestamp_ms: event.timestamp(),
        expiry_ms: ms(event.expiry()),
        connection: texts.text(Some(event.connection())),
        scope: texts.text(event.scope()),
        reason: texts.text(event.reason()),
        metadata,
        metadata_count,
        window_calls: event.window_calls().unwrap_or(BRAMA_NONE),
        window_failures: event.window_failures().unwrap_or(BRAMA_NONE),
        window_slow: event.window_slow().unwrap_or(BRAMA_NONE),
        mode: kinds::mode::shown(event.mode()),
        reserved: 0,
    }
}

fn flag(is_set: bool, flag: u32) -> u32 {
    if is_set { flag } else { 0 }
}

pub(super) fn translate_one(event: &Event, texts: &mut Texts) -> brama_event_t {
    texts.begin(room_for(slice::from_ref(event)));
    translate(event, texts)
}
