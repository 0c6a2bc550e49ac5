//! The evidence of a rate over a span of time.
//!
//! The window counts what was reported lately, in whatever state. What was reported in the present
//! state, since the last reset, is what the sums have grown by since the *baseline*. Both count
//! reports up to the same moment, each from another moment on. So the lesser of the two is what
//! counts.
//!
//! The thread that closes a circuit reads the sums before its exchange, and writes them with the
//! new generation after it. If it is stopped in between, the next bad report finds the baseline of
//! another generation, writes one itself, and opens nothing.
//!
//! Adding up the cells of all threads takes time. It is put off while the bad reports could not
//! reach a rate among as many calls as were found the last time.

use super::super::Record;
use super::generation_sums::GenerationSums;
use crate::circuit::context::Context;
use crate::structures::rate_window::RateWindow;
use crate::structures::striped_counter::Cell;
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::clock::Tick;
use crate::values::generation::Generation;
use crate::values::rates::{Counts, Outcome, Sums};
use crate::values::settings::Settings;

pub(super) struct InTime {
    window: RateWindow,
    /// Where the evidence begins.
    baseline: GenerationSums,
    /// How many calls were found when the cells were last added up, a [`Known`].
    known: AtomicU64,
}

/// How many calls count at least, in a bucket and since a baseline: `calls 32 | a mix of both 32`.
/// It only saves work. A thread may write it late, after the evidence has begun again. So the word
/// itself says which bucket and baseline it is of.
#[derive(Clone, Copy)]
struct Known(u64);

impl Known {
    fn new(calls: u64, bucket: u64, baseline: Sums) -> Self {
        // Odd, and without a pattern: different buckets and reports nearly always give another mix.
        const SPREAD: u64 = 0x9e37_79b9;
        let reports = baseline.successes.wrapping_add(baseline.failures);
        let mix = reports.wrapping_mul(SPREAD).wrapping_add(bucket) as u32;
        Known(calls.min(u32::MAX.into()) << 32 | u64::from(mix))
    }

    fn calls(self, bucket: u64, baseline: Sums) -> u64 {
        match self.0 as u32 == Known::new(0, bucket, baseline).0 as u32 {
            true => self.0 >> 32,
            false => 0,
        }
    }
}

impl InTime {
    /// Counts over the last `span` ms, from `now` on.
    pub(super) fn new(record: &Record, span: u64, now: u64) -> Self {
        let generation = record.evidence_generation();
        let window = RateWindow::new(span, record.totals(), now);
        let sums = window.sums(record.totals());
        InTime {
            window,
            baseline: GenerationSums::new(generation, sums),
            known: AtomicU64::new(0),
        }
    }

    /// Counts what is bad about a report. A success is in its cell already.
    pub(super) fn count(&self, outcome: Outcome, now: u64) {
        if outcome.failed {
            self.window.failed(now);
        }
        if outcome.slow {
            self.window.was_slow(now);
        }
    }

    pub(super) fn take_back(&self, now: u64) {
        self.window.was_late(now);
    }

    pub(super) fn begin_bucket(&self, record: &Record, cell: &Cell, now: Tick) {
        self.window.turn(record.totals(), cell, now.ms());
    }

    /// Whether cells may have counted without marks, since the block was not the record's yet.
    pub(super) fn is_stale(&self, made: u64, now: u64) -> bool {
        self.window.is_stale(made, now)
    }

    /// What counts in this generation, if that can reach a rate.
    pub(super) fn evidence(
        &self,
        record: &Record,
        context: &Context,
        settings: &Settings,
        generation: Generation,
    ) -> Option<Counts> {
        let Some(baseline) = self.baseline.of(generation) else {
            self.begin(record, generation, self.sums(record));
            return None;
        };
        let now = context.clock.now();
        let bucket = self.window.bucket(now);
        // Relaxed: the word itself says what it is of.
        let known = Known(self.known.load(Ordering::Relaxed)).calls(bucket, baseline);
        let (failures, slow) = self.window.bad(now);
        if !settings.can_reach_a_rate(failures, slow, known) {
            return None;
        }
        let counts = self.counts_since(record, context, baseline)?;
        // Asked after the counting, which may have missed successes.
        if context.doubts_successes_since(now.saturating_sub(self.window.span())) {
            return None;
        }
        let known = Known::new(counts.calls, bucket, baseline);
        self.known.store(known.0, Ordering::Relaxed);
        Some(counts)
    }

    /// What counts in this generation.
    pub(super) fn counts(
        &self,
        record: &Record,
        context: &Context,
        generation: Generation,
    ) -> Option<Counts> {
        self.counts_since(record, context, self.baseline.of(generation)?)
    }

    fn counts_since(&self, record: &Record, context: &Context, baseline: Sums) -> Option<Counts> {
        let clock = || context.clock.now();
        let counted = self.window.counted(record.totals(), clock)?;
        let since = counted.in_all.since(baseline);
        Some(counted.within.at_most(since).counts())
    }

    pub(super) fn sums(&self, record: &Record) -> Sums {
        self.window.sums(record.totals())
    }

    /// The evidence of this generation begins with these sums.
    pub(super) fn begin(&self, record: &Record, generation: Generation, sums: Sums) {
        let now = || record.evidence_generation();
        self.baseline.write(generation, sums, now);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::super::Reports;
    use super::*;
    use crate::circuit::record::{RecordRef, Registrant};
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;
    use crate::sys::tick_word::{Ticker, Ticks};
    use crate::values::event::Report;
    use crate::values::settings::ConnectionOptions;
    use crate::values::state::State;

    /// A thread that had added up before a reset writes down what it found afterwards.
    ///
    /// Mutation: `known-calls-of-another-beginning`.
    #[test]
    fn what_is_known_of_calls_ends_with_their_evidence() {
        let (context, record) = circuit();
        let known = || {
            let rates = record.rates().expect("asked for");
            match &rates.reports {
                Reports::Time(reports) => reports.known.load(Ordering::Relaxed),
                Reports::Calls(_) => unreachable!("it counts in time"),
            }
        };
        let fail_twice = || {
            for _ in 0..2 {
                record
                    .failure(&context, None, &Report::NONE)
                    .expect("there");
            }
        };
        for _ in 0..9 {
            record
                .success(&context, None, &Report::NONE)
                .expect("there");
        }
        fail_twice();
        assert_eq!(record.word_now().state(), State::Closed);
        let late = known();
        assert_ne!(late, 0);
        record.reset(&context).expect("there");
        {
            let rates = record.rates().expect("asked for");
            if let Reports::Time(reports) = &rates.reports {
                reports.known.store(late, Ordering::Relaxed);
            }
        }
        fail_twice();
        assert_eq!(record.word_now().state(), State::Open);
    }

    /// A circuit that opens when both of two calls fail.
    fn circuit() -> (Context, RecordRef) {
        circuit_at(&ManualClock::new())
    }

    fn circuit_at(clock: &ManualClock) -> (Context, RecordRef) {
        let context = Context::alone(Clock::Manual(clock.clone()));
        let options = ConnectionOptions::new()
            .failure_rate(1.0)
            .minimum_calls(2)
            .rate_window(Duration::from_secs(10));
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, Some(options)).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        (context, record)
    }

    /// [`circuit`] whose clock is advanced, and whose word is its own.
    fn ticking() -> (Context, RecordRef, ManualClock) {
        let clock = ManualClock::new();
        let (mut context, record) = circuit_at(&clock);
        context.ticks = Ticks::of_a_test();
        (context, record, clock)
    }

    fn ticker(context: &Context) -> Ticker<'_> {
        let now = context.clock.tick();
        context.ticks.want_ticker(now);
        context.ticks.begin(|| now).expect("wanted, and off")
    }

    fn succeed(context: &Context, record: &Record, times: usize) {
        for _ in 0..times {
            if !record.try_success_without_permit(context) {
                let success = record.success(context, None, &Report::NONE);
                success.expect("there");
            }
        }
    }

    fn fail(context: &Context, record: &Record, times: usize) {
        for _ in 0..times {
            let failure = record.failure(context, None, &Report::NONE);
            failure.expect("there");
        }
    }

    /// Successes are taken for those of a quarter of a minute ago.
    ///
    /// Mutation: `a-rate-that-trusts-the-tick-word`.
    #[test]
    fn a_starved_ticker_opens_no_circuit() {
        let (context, record, clock) = ticking();
        let ticker = ticker(&context);
        succeed(&context, &record, 1);
        clock.advance(Duration::from_secs(15));
        succeed(&context, &record, 40);
        fail(&context, &record, 9);
        assert_eq!(record.word_now().state(), State::Closed);
        ticker.end(|| context.clock.tick());
        // Once that is found, successes are doubted for one window.
        clock.advance(Duration::from_millis(10_000));
        fail(&context, &record, 9);
        assert_eq!(record.word_now().state(), State::Closed);
        clock.advance(Duration::from_millis(1));
        fail(&context, &record, 9);
        assert_eq!(record.word_now().state(), State::Open);
    }

    /// The thread that asks the rates is the first that finds the starved ticker.
    ///
    /// Mutation: `a-starved-ticker-that-marks-nothing`.
    #[test]
    fn a_ticker_that_was_starved_and_is_gone_opens_no_circuit() {
        let (context, record, clock) = ticking();
        let ticker = ticker(&context);
        succeed(&context, &record, 1);
        clock.advance(Duration::from_secs(15));
        succeed(&context, &record, 40);
        ticker.end(|| context.clock.tick());
        fail(&context, &record, 9);
        assert_eq!(record.word_now().state(), State::Closed);
    }

    /// Within the limit, a success counts as of the tick that it was taken for.
    #[test]
    fn a_ticker_that_is_late_moves_a_success_by_as_much() {
        let (context, record, clock) = ticking();
        let counts = || record.rate_counts(&context, record.word_now());
        clock.advance(Duration::from_millis(999));
        let mut ticker = ticker(&context);
        succeed(&context, &record, 1);
        clock.advance(Duration::from_millis(20));
        // These fall into the next bucket, and count in this one.
        succeed(&context, &record, 2);
        assert!(ticker.tick(|| context.clock.tick()));
        succeed(&context, &record, 4);
        let calls = |counts: Option<Counts>| counts.expect("it counts in time").calls;
        assert_eq!(calls(counts()), 7);
        clock.advance(Duration::from_millis(9_000));
        assert_eq!(calls(counts()), 4);
        fail(&context, &record, 9);
        assert_eq!(record.word_now().state(), State::Closed, "4 successes");
    }

    /// Mutation: `a-cell-that-never-looks`.
    #[test]
    fn a_stopped_ticker_hides_no_success_after_the_64th() {
        let (context, record, clock) = ticking();
        let _stopped = ticker(&context);
        succeed(&context, &record, 1);
        clock.advance(Duration::from_secs(60));
        let now = context.clock.now();
        succeed(&context, &record, 62);
        assert_ne!(record.totals().sum().last_success_ms, Some(now));
        assert!(context.ticks.is_on());
        succeed(&context, &record, 1);
        assert_eq!(record.totals().sum().last_success_ms, Some(now));
        assert!(!context.ticks.is_on());
        assert_eq!(record.totals().sum().successes, 64);
    }

    /// The thread that closed the circuit was stopped before it wrote where the evidence begins.
    #[test]
    fn a_baseline_of_another_generation_opens_nothing_and_is_replaced() {
        let (context, record) = circuit();
        let fail = || {
            record
                .failure(&context, None, &Report::NONE)
                .expect("there")
        };
        fail();
        {
            let rates = record.rates().expect("asked for");
            let Reports::Time(reports) = &rates.reports else {
                unreachable!("it counts in time");
            };
            let other = record.word_now().generation().next();
            reports.baseline.write(other, Sums::default(), || other);
        }
        fail();
        assert_eq!(record.word_now().state(), State::Closed);
        fail();
        assert_eq!(record.word_now().state(), State::Closed, "one since");
        fail();
        assert_eq!(record.word_now().state(), State::Open);
    }

    #[test]
    fn what_is_known_of_calls_is_of_one_bucket_and_one_baseline() {
        let baseline = |successes, failures| Sums {
            successes,
            failures,
            slow: 0,
        };
        let known = Known::new(7, 3, baseline(5, 1));
        assert_eq!(known.calls(3, baseline(5, 1)), 7);
        assert_eq!(known.calls(4, baseline(5, 1)), 0);
        assert_eq!(known.calls(3, baseline(6, 1)), 0);
        assert_eq!(known.calls(3, baseline(5, 2)), 0);
        let most = baseline(u64::MAX, u64::MAX);
        let known = Known::new(u64::MAX, u64::MAX, most);
        assert_eq!(known.calls(u64::MAX, most), u64::from(u32::MAX));
    }
}
