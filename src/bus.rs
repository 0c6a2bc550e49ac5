//! What happened to a connection, on its way to those who want to know.
//!
//! Every change goes through [`Bus::publish`], called by the one thread whose
//! CAS made it, after the CAS. Nothing below this file knows what becomes of it.

use crate::record::Record;
use crate::state::Word;

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening<'a> {
    Registered,
    Unregistered,
    CleanedUp,
    /// The state word changed its state, or somebody asked for a state by hand
    /// that it was already in.
    #[expect(dead_code, reason = "for the subscribers")]
    Moved {
        cause: Cause,
        before: Word,
        after: Word,
        reason: Option<&'a str>,
    },
}

/// Why a state word changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Success,
    Failure,
    Expiry,
    OpenedByHand,
    ClosedByHand,
    HalfOpenedByHand,
    Reset,
}

/// The way from the records to the subscribers of one manager.
#[derive(Debug)]
pub(crate) struct Bus;

impl Bus {
    pub(crate) fn new() -> Self {
        Bus
    }

    /// Tells that `happening` happened to `record`.
    pub(crate) fn publish(&self, _record: &Record, _happening: Happening<'_>) {}
}

impl Cause {
    /// Somebody asked for it, so it is told even if nothing changed.
    pub(crate) fn is_by_hand(self) -> bool {
        matches!(
            self,
            Cause::OpenedByHand | Cause::ClosedByHand | Cause::HalfOpenedByHand | Cause::Reset
        )
    }
}
