//! The evidence of the rates: which reports count, and when a rule is asked.
//!
//! The counts lie in a block, over a span of time ([`in_time`]) or over a number of calls
//! ([`LastCalls`]). Which rule fires is decided by [`rates`](crate::values::rates). This file has
//! what lies between:
//!
//! - **A shape.** The settings say over which span of time, or how many calls, rates are taken. A
//!   thread that changes them gives the record another block ([`Record::fit_rates`]), which begins
//!   empty. A report that finds a block of another shape than its settings counts in it, and asks
//!   no rule.
//! - **Since when.** A rate counts only what was reported in the present state, since the last
//!   reset. The generation shows that. A ramp and the closed circuit after it are one state here.
//! - **Once.** A report is counted as soon as it is known to belong to the state, before the rules
//!   are asked. So of two threads that report at once, one sees both reports. A success of a
//!   circuit that is not watched is counted in its cell before that is known. If it turns out to be
//!   stale, it is taken back.
//! - **When.** A rule is asked when something bad was reported to a closed circuit, or in a ramp.
//!
//! The rule is asked before the exchange that opens the circuit. A thread that is stopped between
//! the two opens it by what it found before, if the word is the same when it goes on: even beside a
//! reset, and after successes, which do not change the word. Rejected: changing the word at each
//! reset, by skipping a position of the [tally](crate::values::tally). A tally with positions says
//! that the failures have times, and a circuit with a rate alone has no window for them: a window
//! that is set later would find a position without a time, and take an old failure for a new one.

mod generation_sums;
mod in_time;

use std::time::Duration;

use super::Record;
use crate::circuit::context::Context;
use crate::structures::last_calls::LastCalls;
use crate::structures::replaceable::Loaded;
use crate::structures::striped_counter::Cell;
use crate::sys::atomic::{AtomicU64, Ordering, fence};
use crate::sys::clock::Tick;
use crate::values::cause::Cause;
use crate::values::generation::Generation;
use crate::values::rates::{Counts, Outcome, Shape, Sums};
use crate::values::settings::Settings;
use crate::values::state::Word;
use in_time::InTime;

/// What a record keeps for its rates.
pub(super) struct Rates {
    shape: Shape,
    reports: Reports,
    /// A [`FastBelow`], for the short way of reports. For calls that are not known to be fast, the
    /// settings decide.
    fast_below: AtomicU64,
}

/// The number of ms below which a call is not slow: `version of the settings (32) | ms (32)`. A
/// thread that writes it may have been stopped since it read the settings. So the value of later
/// settings stays.
#[derive(Clone, Copy)]
struct FastBelow(u64);

impl FastBelow {
    /// Not known.
    fn none(version: u32) -> Self {
        FastBelow(u64::from(version) << 32)
    }

    /// The value of `settings`, which are at least as new as `version`.
    fn of(version: u32, settings: &Settings) -> Self {
        let limit = settings.slow_call_duration.unwrap_or(u64::MAX);
        FastBelow(u64::from(version) << 32 | limit.min(u32::MAX.into()))
    }

    fn ms(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }

    fn is_later(self, other: FastBelow) -> bool {
        let version = |it: FastBelow| (it.0 >> 32) as u32;
        version(self).wrapping_sub(version(other)).cast_signed() > 0
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "it lies on the heap, once for a connection"
)]
enum Reports {
    Time(InTime),
    Calls(LastCalls),
}

/// A report on its way into the rates. Its thread may have to decide more than once, and counts
/// it once.
pub(super) struct RateReport {
    failed: bool,
    /// Set once the report is counted.
    outcome: Option<Outcome>,
}

impl RateReport {
    pub(super) fn failure() -> Self {
        RateReport {
            failed: true,
            outcome: None,
        }
    }

    pub(super) fn success() -> Self {
        RateReport {
            failed: false,
            outcome: None,
        }
    }

    /// Counts it as a report to this word, and returns whether the call was slow. `now` is of the
    /// coarse clock.
    pub(super) fn count(
        &mut self,
        rates: &Rates,
        word: Word,
        now: u64,
        is_slow: impl FnOnce() -> bool,
    ) -> bool {
        let outcome = self.outcome.unwrap_or_else(|| {
            let outcome = Outcome {
                failed: self.failed,
                slow: is_slow(),
            };
            rates.count(word, outcome, now);
            outcome
        });
        self.outcome = Some(outcome);
        outcome.slow
    }
}

impl Rates {
    fn new(record: &Record, shape: Shape, version: u32, now: u64) -> Self {
        Rates {
            shape,
            reports: match shape {
                Shape::Time(span) => Reports::Time(InTime::new(record, span, now)),
                Shape::Calls(calls) => Reports::Calls(LastCalls::new(calls)),
            },
            fast_below: AtomicU64::new(FastBelow::none(version).0),
        }
    }

    /// Whether a call that has lasted so long is known to be fast, without the settings.
    pub(super) fn is_fast(&self, lasted: Duration) -> bool {
        // Relaxed: a report beside a change of the settings obeys either.
        let fast = FastBelow(self.fast_below.load(Ordering::Relaxed));
        lasted < Duration::from_millis(fast.ms())
    }

    /// Brings up to date which calls are fast, unless later settings have done so.
    fn note_fast(&self, fast: FastBelow) {
        let replace = |bits: u64| (!FastBelow(bits).is_later(fast)).then_some(fast.0);
        // Relaxed: the word says which settings it is of.
        let _ = self
            .fast_below
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, replace);
    }

    /// Over which span of time, or how many calls, the rates are taken.
    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Counts a report to this word, once. `now` is of the coarse clock.
    pub(super) fn count(&self, word: Word, outcome: Outcome, now: u64) {
        match &self.reports {
            Reports::Time(reports) => reports.count(outcome, now),
            Reports::Calls(reports) => count_last(reports, word, outcome),
        }
    }

    /// [`Rates::count`] of a success that was not slow, which is in its cell.
    pub(super) fn count_good(&self, word: Word) {
        if let Reports::Calls(reports) = &self.reports {
            count_last(reports, word, Outcome::GOOD);
        }
    }

    /// The rule that opens the circuit, which is closed or in a ramp, if a rate does.
    pub(super) fn rule_that_fires(
        &self,
        record: &Record,
        context: &Context,
        settings: &Settings,
        word: Word,
    ) -> Option<Cause> {
        if settings.rate_shape() != Some(self.shape) {
            return None;
        }
        let generation = word.evidence_generation()?;
        let counts = match &self.reports {
            Reports::Time(reports) => reports.evidence(record, context, settings, generation)?,
            Reports::Calls(reports) => reports.counts(generation),
        };
        settings.rate_that_fires(counts)
    }

    /// What counts beside this word, which is closed or a ramp.
    fn counts(&self, record: &Record, context: &Context, word: Word) -> Option<Counts> {
        let generation = word.evidence_generation()?;
        match &self.reports {
            Reports::Time(reports) => reports.counts(record, context, generation),
            Reports::Calls(reports) => Some(reports.counts(generation)),
        }
    }
}

/// Adds a report to this word to the last calls.
fn count_last(reports: &LastCalls, word: Word, outcome: Outcome) {
    // Successes of a circuit that is not watched do not come here, so failures must not, either.
    if (word.is_watched() || word.is_ramp())
        && let Some(generation) = word.evidence_generation()
    {
        reports.report(generation, outcome);
    }
}

/// Where the evidence of a closed circuit or of a ramp begins.
pub(super) struct Beginning(Option<(Loaded<Rates>, Sums)>);

impl Beginning {
    /// The block whose evidence it is, to be compared.
    fn block(&self) -> Option<*const Rates> {
        let (rates, _) = self.0.as_ref()?;
        Some(std::ptr::from_ref(&**rates))
    }
}

impl Record {
    /// What is kept for rates, if settings ask for them.
    pub(super) fn rates(&self) -> Option<Loaded<Rates>> {
        self.cold().rare.get()?.rates.load()
    }

    /// Turns the window, if rates are taken over time, before a cell counts the first success of a
    /// tick.
    pub(super) fn begin_bucket(&self, cell: &Cell, now: Tick) {
        if let Some(rates) = self.rates()
            && let Reports::Time(reports) = &rates.reports
        {
            reports.begin_bucket(self, cell, now);
        }
    }

    /// Takes a success at `now` out of the rates: it is in its cell, and belongs to no rate.
    #[cold]
    pub(super) fn take_back(&self, now: u64) {
        if let Some(rates) = self.rates()
            && let Reports::Time(reports) = &rates.reports
        {
            reports.take_back(now);
        }
    }

    /// What counts for the rates beside this word, which is closed or a ramp.
    pub(super) fn rate_counts(&self, context: &Context, word: Word) -> Option<Counts> {
        self.rates()?.counts(self, context, word)
    }

    /// Where the evidence begins, read before the exchange that closes or resets a circuit, or
    /// begins a ramp.
    pub(super) fn before_evidence(&self) -> Beginning {
        // ORDERING: SeqCst, partner of the fence in `fit_rates_to`: either this thread finds the
        // new block, or that one finds in the cells what was reported before this.
        fence(Ordering::SeqCst);
        Beginning(self.rates().map(|rates| {
            let sums = match &rates.reports {
                Reports::Time(reports) => reports.sums(self),
                Reports::Calls(_) => Sums::default(),
            };
            (rates, sums)
        }))
    }

    /// Begins the evidence of this word, after the exchange that closed the circuit or began a
    /// ramp. Reports may have come in between.
    pub(super) fn begin_evidence(&self, Beginning(beginning): &Beginning, word: Word) {
        if let (Some((rates, sums)), Some(generation)) = (beginning, word.evidence_generation()) {
            match &rates.reports {
                Reports::Time(reports) => reports.begin(self, generation, *sums),
                Reports::Calls(reports) => reports.follow(generation),
            }
        }
    }

    /// Begins the evidence of this word in another block, if the rates have got one since `before`
    /// was read: its evidence may be of the generation before. Called after
    /// [`Record::begin_evidence`].
    pub(super) fn begin_evidence_of_new_block(&self, before: &Beginning, word: Word) {
        // Its fence is the partner of that in `fit_rates_to`: either this thread finds the new
        // block, or that one this word.
        let beginning = self.before_evidence();
        if beginning.block() != before.block() {
            self.begin_evidence(&beginning, word);
        }
    }

    /// Begins the evidence again in the same generation, after the exchange that reset the circuit.
    pub(super) fn begin_evidence_again(&self, Beginning(beginning): Beginning, word: Word) {
        if let Some((rates, sums)) = beginning {
            match &rates.reports {
                Reports::Time(reports) => reports.begin(self, word.generation(), sums),
                Reports::Calls(reports) => reports.restart(word.generation()),
            }
        }
    }

    /// Notes a change to a state without evidence. The last calls can order only half a round of
    /// generations, and a circuit may change more often than that before it closes.
    pub(super) fn end_evidence(&self, word: Word) {
        if let Some(rates) = self.rates()
            && let Reports::Calls(reports) = &rates.reports
        {
            reports.follow(word.generation());
        }
    }

    /// The generation of the evidence that begins now; in a state without evidence, that of the
    /// word.
    fn evidence_generation(&self) -> Generation {
        let word = self.word_now();
        word.evidence_generation().unwrap_or(word.generation())
    }

    /// Gives the record the block that the settings in effect ask for. Allocates.
    pub(crate) fn fit_rates(&self, context: &Context) {
        loop {
            let version = context.version();
            self.fit_rates_to(context, version, &self.settings(context));
            // ORDERING: SeqCst, partner of the fence in `Engine::configure`: either the walk there
            // finds this block, or this thread the new version.
            fence(Ordering::SeqCst);
            if context.version() == version {
                return;
            }
        }
    }

    /// [`Record::fit_rates`] for these settings, which are at least as new as the version.
    pub(super) fn fit_rates_to(&self, context: &Context, version: u32, settings: &Settings) {
        let wanted = settings.rate_shape();
        let rare = match wanted {
            Some(_) => self.rare(),
            None => match self.cold().rare.get() {
                Some(rare) => rare,
                None => return,
            },
        };
        loop {
            let current = rare.rates.load();
            if current.as_ref().map(|rates| rates.shape) == wanted {
                if let Some(rates) = current {
                    rates.note_fast(FastBelow::of(version, settings));
                }
                return;
            }
            let now = context.clock.now();
            let next = wanted.map(|shape| Box::new(Rates::new(self, shape, version, now)));
            if !rare.rates.replace(current.as_ref(), next) {
                continue;
            }
            // ORDERING: SeqCst, partner of the fence in `before_evidence`.
            fence(Ordering::SeqCst);
            let Some(rates) = rare.rates.load() else {
                continue;
            };
            let Reports::Time(reports) = &rates.reports else {
                continue;
            };
            // If this thread was stopped, cells may have counted without a mark in the block.
            if reports.is_stale(now, context.clock.now()) {
                rare.rates.replace(Some(&rates), None);
                continue;
            }
            // A thread that reset or closed the circuit since the block was made has begun the
            // evidence of the earlier block. So the evidence begins once more here.
            let generation = self.evidence_generation();
            reports.begin(self, generation, reports.sums(self));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::circuit::record::{Profile, RecordRef, Registrant};
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;
    use crate::values::event::Report;
    use crate::values::settings::{ConnectionOptions, Overrides};
    use crate::values::state::State;

    /// The thread that gives a circuit its rates is stopped after it has made the block, or visits
    /// a million others: successes are not among the last calls yet.
    ///
    /// Mutation: `failures-of-a-circuit-that-is-not-watched`.
    #[test]
    fn among_the_last_calls_are_failures_only_where_successes_are() {
        let context = Context::alone(Clock::Manual(ManualClock::new()));
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        let options = ConnectionOptions::new()
            .failure_rate(0.5)
            .minimum_calls(10)
            .rate_calls(10);
        let overrides = options.applied_to(&Overrides::NONE, &Overrides::NONE);
        let profile = Profile {
            overrides: overrides.expect("valid"),
            ..Profile::default()
        };
        assert!(record.replace_profile(&None, profile.into()));
        context.next_version();
        record.fit_rates(&context);
        let report = |failures| {
            for _ in 0..9 {
                record
                    .success(&context, None, &Report::NONE)
                    .expect("there");
            }
            for _ in 0..failures {
                record
                    .failure(&context, None, &Report::NONE)
                    .expect("there");
            }
        };
        for _ in 0..20 {
            report(1);
        }
        assert_eq!(record.word_now().state(), State::Closed);
        record.watch(&context);
        report(9);
        assert_eq!(record.word_now().state(), State::Open);
    }

    /// A thread that has read settings is stopped until they have been changed.
    ///
    /// Mutation: `older-settings-that-say-what-is-fast`.
    #[test]
    fn what_later_settings_call_fast_stays() {
        let context = Context::alone(Clock::Manual(ManualClock::new()));
        let profile = |ms| {
            let options = ConnectionOptions::new()
                .slow_call_duration(Duration::from_millis(ms))
                .slow_call_rate(0.5);
            let overrides = options.applied_to(&Overrides::NONE, &Overrides::NONE);
            Profile {
                overrides: overrides.expect("valid"),
                ..Profile::default()
            }
        };
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        assert!(record.replace_profile(&None, profile(500).into()));
        context.next_version();
        let stopped = (context.version(), record.settings(&context));
        let is_fast = |ms| {
            let rates = record.rates().expect("asked for");
            rates.is_fast(Duration::from_millis(ms))
        };

        assert!(record.replace_profile(&record.profile(), profile(100).into()));
        context.next_version();
        record.follow_settings(&context);
        assert!(is_fast(99) && !is_fast(100));
        record.fit_rates_to(&context, stopped.0, &stopped.1);
        assert!(is_fast(99) && !is_fast(100));

        assert!(record.replace_profile(&record.profile(), profile(u64::MAX).into()));
        context.next_version();
        record.follow_settings(&context);
        assert!(is_fast(u32::MAX as u64 - 1) && !is_fast(u32::MAX.into()));
    }
}
