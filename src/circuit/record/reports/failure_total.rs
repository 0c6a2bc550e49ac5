//! A failure in the totals: its number, its reason and its time.
//!
//! All failures come here before they count anywhere else. The time of the last one is kept for the
//! status and for a cleanup. As with a success, the coarse clock would take longer than the rest.
//! So a failure that only counts in a row asks the [tick word](crate::sys::tick_word) first, and
//! reads the clock where time has moved. A failure with an event, an opening or a rate needs its
//! own time ([`Record::total_failure`]).
//!
//! The time lies in the record, where all threads find it: a failure exchanges the record's word in
//! any case. Rejected: a time for each thread, as for successes. It would take eight more bytes of
//! every record and every cell.

use super::super::Record;
use crate::circuit::context::Context;
use crate::structures::striped_counter::{self, is_look};
use crate::sys::atomic::Ordering;
use crate::sys::clock::Tick;

impl Record {
    /// Counts a failure in the totals, before it counts in the word: so no thread sees more
    /// failures in a row than failures. Reads the clock only if the tick word does not say that
    /// time has not moved since the last failure. Every 64th failure of a thread checks the ticker.
    #[inline(always)]
    pub(super) fn total_failure_in_tick(&self, context: &Context, reason: Option<&str>) {
        if let Some(reason) = reason {
            self.note_failure_reason(context, reason);
        }
        match self.totals().try_failed_in_own() {
            Some(count) => {
                let is_known = self.last_failure.load(Ordering::Relaxed) >= context.ticks.word();
                if !is_known || is_look(count.into()) {
                    self.look_at_time_of_failure(context, count.into());
                }
            }
            None => _ = self.total_failure_otherwise(context),
        }
    }

    #[cold]
    #[inline(never)]
    fn look_at_time_of_failure(&self, context: &Context, count: u64) {
        let now = self.stamp_failure(context);
        if is_look(count) {
            context.look_at_ticks(now, count);
        }
    }

    /// Counts a failure in the totals, as [`Record::total_failure_in_tick`] does, and returns its
    /// time.
    pub(super) fn total_failure(&self, context: &Context, reason: Option<&str>) -> Tick {
        if let Some(reason) = reason {
            self.note_failure_reason(context, reason);
        }
        self.total_failure_otherwise(context)
    }

    /// Counts a failure in the totals wherever its thread counts. Returns its time.
    #[cold]
    #[inline(never)]
    fn total_failure_otherwise(&self, context: &Context) -> Tick {
        if !self.totals().failed() {
            striped_counter::stocks().for_each(|stock| context.want(stock));
        }
        self.stamp_failure(context)
    }

    /// Keeps the time of a failure that happens now, and returns it.
    pub(super) fn stamp_failure(&self, context: &Context) -> Tick {
        let now = context.clock.tick();
        // Load first: a storm of failures falls into one tick.
        if self.last_failure.load(Ordering::Relaxed) < now.to_word() {
            self.begin_tick_of_failures(now);
        }
        now
    }

    fn begin_tick_of_failures(&self, now: Tick) {
        self.last_failure
            .fetch_max(now.to_word(), Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::circuit::record::{Begun, RecordRef, Registrant};
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;
    use crate::sys::tick_word::{Ticker, Ticks};
    use crate::values::settings::ConnectionOptions;

    /// A circuit that no failures open, its clock, and a tick word of its own.
    fn ticking() -> (Context, RecordRef, ManualClock) {
        let clock = ManualClock::new();
        let mut context = Context::alone(Clock::Manual(clock.clone()));
        context.ticks = Ticks::of_a_test();
        let mut registrant = Registrant::new(&context, "db".into());
        let options = ConnectionOptions::new().unlimited_attempts();
        registrant.with(&context, Some(options)).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        record.learn_interest(&*context.sink);
        (context, record, clock)
    }

    fn ticker(context: &Context) -> Ticker<'_> {
        let now = context.clock.tick();
        context.ticks.want_ticker(now);
        context.ticks.begin(|| now).expect("wanted, and off")
    }

    fn fail(context: &Context, record: &Record, times: usize) {
        for _ in 0..times {
            let begun = record.try_failure_without_permit(context, None);
            assert!(matches!(begun, Begun::Done(_)));
        }
    }

    /// Mutation: `a-failure-that-asks-no-tick`.
    #[test]
    fn a_failure_has_the_time_of_its_tick() {
        let (context, record, clock) = ticking();
        clock.advance(Duration::from_millis(7));
        let mut ticker = ticker(&context);
        fail(&context, &record, 1);
        assert_eq!(record.last_failure_ms(), Some(7));
        clock.advance(Duration::from_millis(4));
        fail(&context, &record, 1);
        assert_eq!(record.last_failure_ms(), Some(7), "time has not moved");
        assert!(ticker.tick(|| context.clock.tick()));
        fail(&context, &record, 1);
        assert_eq!(record.last_failure_ms(), Some(11));
        ticker.end(|| context.clock.tick());
        clock.advance(Duration::from_millis(1));
        fail(&context, &record, 1);
        assert_eq!(record.last_failure_ms(), Some(12), "without a ticker");
    }

    /// Mutation: `a-failure-that-never-looks`.
    #[test]
    fn a_stopped_ticker_hides_no_failure_after_the_64th() {
        let (context, record, clock) = ticking();
        clock.advance(Duration::from_millis(7));
        let _stopped = ticker(&context);
        fail(&context, &record, 1);
        clock.advance(Duration::from_secs(60));
        fail(&context, &record, 62);
        assert_eq!(record.last_failure_ms(), Some(7));
        assert!(context.ticks.is_on());
        fail(&context, &record, 1);
        assert_eq!(record.last_failure_ms(), Some(60_007));
        assert!(!context.ticks.is_on());
        assert_eq!(record.totals().sum().failures, 64);
    }

    /// Two threads have read the clock, and the one that has read it first is stopped.
    ///
    /// Mutation: `an-earlier-failure-that-is-the-last`.
    #[test]
    fn the_last_failure_is_the_latest() {
        let (_context, record, _clock) = ticking();
        assert_eq!(record.last_failure_ms(), None);
        for (ms, last) in [(7, 7), (5, 7), (9, 9)] {
            record.begin_tick_of_failures(Tick::from_ms(ms));
            assert_eq!(record.last_failure_ms(), Some(last));
        }
    }
}
