//! A failure that is about to be counted in the tally, and its time, which goes to the window.
//!
//! It is computed from what was read, and changes nothing. Its time is written only after the
//! exchange that counts it has succeeded ([`Failure::write`]).

use super::super::Record;
use crate::circuit::context::Context;
use crate::values::settings::Settings;
use crate::values::tally::{Position, Tally};
use crate::values::trip_rule::FailureCounts;

/// A failure that is about to be counted.
pub(super) struct Failure {
    /// What counts without it. Timed if the circuit has, or ever had, a window.
    pub(super) before: Tally,
    /// How many are in the window with it.
    in_window: Option<u32>,
    /// How many count with it.
    pub(super) count: u32,
    time: u64,
}

impl Failure {
    pub(super) fn new(
        record: &Record,
        context: &Context,
        settings: &Settings,
        tally: Tally,
    ) -> Self {
        let window = record.window();
        let before = match window {
            Some(_) => tally.timed_from(Position::ZERO),
            None => tally,
        };
        let mut failure = Failure {
            before,
            in_window: None,
            count: before.plus_failure().in_a_row(),
            time: 0,
        };
        let (Some(window), Some(timed)) = (window, before.timed()) else {
            return failure;
        };
        // Read after the tally: what is in it happened before.
        failure.time = context.clock.now_exact();
        if let Some(span) = settings.window {
            let clock = || context.clock.now_exact();
            let count = window.count(timed, span, failure.time, clock) + 1;
            failure.in_window = Some(count);
            failure.count = count;
        }
        failure
    }

    pub(super) fn evidence(&self) -> FailureCounts {
        let with_it = self.before.plus_failure();
        FailureCounts {
            in_a_row: match with_it.timed() {
                // The tally stops at this count: as many, or more.
                Some(timed) if timed.count == Tally::SMALL => u32::MAX,
                _ => with_it.in_a_row(),
            },
            in_window: self.in_window,
        }
    }

    /// Writes the failure's time to the position that it took. Called after it was counted.
    pub(super) fn write(&self, record: &Record, context: &Context) {
        if let (Some(window), Some(timed)) = (record.window(), self.before.timed()) {
            let clock = || context.clock.now_exact();
            window.write(timed, self.time, clock);
        }
    }
}
