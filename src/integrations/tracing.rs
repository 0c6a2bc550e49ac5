//! Events of a manager as events of [`tracing`].
//!
//! ```
//! use brama::{Brama, EventFilter, EventType};
//!
//! # fn main() -> Result<(), brama::Error> {
//! let brama = Brama::builder().build()?;
//! let wanted = EventFilter::new().types([
//!     EventType::CircuitOpened,
//!     EventType::CircuitHalfOpened,
//!     EventType::CircuitClosed,
//! ]);
//! brama::integrations::tracing::subscribe(&brama, wanted)?.detach();
//! # Ok(())
//! # }
//! ```
//!
//! The target is `brama`. The level follows from the type:
//!
//! | level | types |
//! |---|---|
//! | `WARN` | `circuit_opened`, `notice` |
//! | `INFO` | `circuit_half_opened`, `circuit_closed`, `circuit_reset`, `registration`, `connection_registered`, `connection_unregistered`, `connection_removed`, `cleanup` |
//! | `DEBUG` | `state_change`, `expiry`, `failure`, `call_rejected`, `probe` |
//! | `TRACE` | `success` |
//!
//! `state_change` and `expiry` come together with one of the circuit's own types,
//! which has the higher level.
//!
//! | field | type | |
//! |---|---|---|
//! | `event` | string | the type's name |
//! | `connection` | string | the identifier |
//! | `scope` | string | absent without a scope |
//! | `previous_state`, `new_state` | string | `closed`, `open`, `half_open`, `unknown` |
//! | `cause` | string | why the circuit is open; absent if it is not |
//! | `reason` | string | absent without one |
//! | `mode` | string | `normal`, `disabled` or `shadow` |
//! | `deferred` | bool | true if it was done by hand while the circuit was disabled; otherwise absent |
//! | `failure_count` | u64 | |
//! | `expiry_ms` | u64 | of the opening; absent if not open or held open |
//! | `window_calls`, `window_failures`, `window_slow` | u64 | what counted for the rates when the circuit opened; absent if none did |
//! | `sequence` | u64 | orders the events of one connection |
//! | `timestamp_ms` | u64 | Unix time of the happening, which is before that of the log line |
//!
//! The manager's thread emits the events, or the thread that polls if there is no background
//! thread. So a subscriber of `tracing` that is the default of another thread only does not see
//! them, and spans of the caller are not entered.
//!
//! Name the types you want. A filter that lets `success` pass makes every success
//! a notice, whether or not the level is enabled.

use ::tracing::Level;

use crate::Brama;
use crate::Error;
use crate::Subscription;
use crate::values::cause::Cause;
use crate::values::event::{Event, EventFilter, EventType};

/// Emits every event that `filter` lets pass, until the subscription is dropped.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// let openings = brama::EventFilter::new().types([brama::EventType::CircuitOpened]);
/// let subscription = brama::integrations::tracing::subscribe(&brama, openings)?;
/// # Ok::<(), brama::Error>(())
/// ```
///
/// # Errors
///
/// As [`Brama::subscribe`].
pub fn subscribe(brama: &Brama, filter: EventFilter) -> Result<Subscription, Error> {
    brama.subscribe(filter, emit)
}

// The level is part of the static description of a place in the source.
macro_rules! emit_at {
    ($level:expr, $event:expr) => {
        ::tracing::event!(
            target: "brama",
            $level,
            event = $event.event_type().as_str(),
            connection = $event.connection(),
            scope = $event.scope(),
            previous_state = $event.previous_state().as_str(),
            new_state = $event.new_state().as_str(),
            cause = $event.cause().map(Cause::as_str),
            reason = $event.reason(),
            mode = $event.mode().as_str(),
            deferred = $event.is_deferred().then_some(true),
            failure_count = u64::from($event.failure_count()),
            expiry_ms = expiry_ms($event),
            window_calls = $event.window_calls(),
            window_failures = $event.window_failures(),
            window_slow = $event.window_slow(),
            sequence = $event.sequence(),
            timestamp_ms = $event.timestamp(),
        )
    };
}

fn emit(event: &Event) {
    match event.event_type() {
        EventType::CircuitOpened | EventType::Notice => emit_at!(Level::WARN, event),
        EventType::CircuitHalfOpened
        | EventType::CircuitClosed
        | EventType::CircuitReset
        | EventType::Registration
        | EventType::ConnectionRegistered
        | EventType::ConnectionUnregistered
        | EventType::ConnectionRemoved
        | EventType::Cleanup => emit_at!(Level::INFO, event),
        EventType::StateChange
        | EventType::Expiry
        | EventType::Failure
        | EventType::CallRejected
        | EventType::Probe => emit_at!(Level::DEBUG, event),
        EventType::Success => emit_at!(Level::TRACE, event),
    }
}

fn expiry_ms(event: &Event) -> Option<u64> {
    event
        .expiry()
        .map(|expiry| u64::try_from(expiry.as_millis()).unwrap_or(u64::MAX))
}
