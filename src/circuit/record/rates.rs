//! The evidence of the rates: which reports a rule counts, and when it is asked.
//!
//! What is counted lies in a [`RateWindow`] or in the [`LastCalls`], and which rule fires says
//! [`rates`](crate::values::rates). Here is what lies between:
//!
//! - **A shape.** The settings say over what rates are taken. A thread that changes them gives the
//!   record another block ([`Record::fit_rates`]), which begins empty. A report that finds a block of
//!   another shape than its settings counts in it and asks no rule.
//! - **Since when.** A rate counts only what was reported in the state that the circuit is in, since
//!   the last reset. The thread that closes a circuit reads the sums before its exchange, and writes
//!   them with the new generation after it: the *baseline*. What counts is at most what was
//!   reported since. If that thread is stopped in between, the next bad report finds the baseline
//!   of another generation, takes one itself, and opens nothing.
//! - **Once.** A report is counted as soon as it is known to belong to the state, before the rules
//!   are asked. So of two threads that report at once, one sees both reports. A success is in its
//!   cell before; if it turns out to be stale it is taken back.
//! - **Seldom.** Adding up the cells of all threads takes time. It is put off as long as the bad
//!   reports could not reach the rate, even if no call was reported since the last time.

use std::mem;
use std::sync::Arc;

use arc_swap::Guard;

use super::Record;
use super::generation_sums::GenerationSums;
use super::transition::Change;
use crate::circuit::context::Context;
use crate::structures::rate_window::RateWindow;
use crate::structures::striped_counter::Cell;
use crate::sys::atomic::{AtomicU64, Ordering, fence};
use crate::sys::clock::Tick;
use crate::values::cause::Cause;
use crate::values::generation::Generation;
use crate::values::rates::{Counts, Outcome, Shape, Sums};
use crate::values::settings::Settings;
use crate::values::state::Word;

/// What a record keeps for its rates.
pub(super) struct Rates {
    shape: Shape,
    window: RateWindow,
    /// Where the evidence begins.
    baseline: GenerationSums,
    /// What led to the last opening, by the generation of the open circuit.
    opening: GenerationSums,
    /// How many calls were found the last time: [`Known`].
    known: AtomicU64,
}

/// Whether a report is counted already: its thread may have to decide again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum InRates {
    No,
    Yes,
}

/// How many calls count at least, in a bucket and a generation: `calls 32 | bucket 19 | generation
/// 13`. It only saves work.
struct Known;

impl Known {
    const BUCKET_BITS: u32 = 32 - Generation::BITS;

    fn pack(calls: u64, bucket: u64, generation: Generation) -> u64 {
        let bucket = bucket & ((1 << Self::BUCKET_BITS) - 1);
        calls.min(u32::MAX.into()) << 32 | bucket << Generation::BITS | generation.bits()
    }
}

impl Rates {
    fn new(record: &Record, shape: Shape, now: u64) -> Self {
        let Shape::Time(span) = shape else { todo!() };
        let totals = record.totals();
        let window = RateWindow::new(span, totals, now);
        let sums = window.sums(totals);
        let generation = record.word_now().generation();
        Rates {
            shape,
            window,
            baseline: GenerationSums::new(generation, sums),
            opening: GenerationSums::new(generation, Sums::default()),
            known: AtomicU64::new(0),
        }
    }

    /// Counts a report at `now`, by the coarse clock, once. A success is in its cell already.
    pub(super) fn count(&self, in_rates: &mut InRates, outcome: Outcome, now: u64) {
        if mem::replace(in_rates, InRates::Yes) == InRates::Yes {
            return;
        }
        if outcome.failed {
            self.window.failed(now);
        }
        if outcome.slow {
            self.window.was_slow(now);
        }
    }

    /// The rule that opens the closed circuit, if a rate does.
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
        let counts = self.evidence(record, context, settings, word.generation())?;
        settings.rate_that_fires(counts)
    }

    /// What counts in the state of this generation, if a rate can be reached.
    fn evidence(
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
        let known = self.known.load(Ordering::Relaxed);
        let calls = match known & u64::from(u32::MAX) == Known::pack(0, bucket, generation) {
            true => known >> 32,
            false => 0,
        };
        let (failures, slow) = self.window.bad(now);
        if !settings.can_reach_a_rate(failures, slow, calls) {
            return None;
        }
        let counts = self.counts(record, context, baseline)?;
        let known = Known::pack(counts.calls, bucket, generation);
        self.known.store(known, Ordering::Relaxed);
        Some(counts)
    }

    fn counts(&self, record: &Record, context: &Context, baseline: Sums) -> Option<Counts> {
        let totals = record.totals();
        let within = self.window.within(totals, || context.clock.now())?;
        let since = self.window.sums(totals).since(baseline);
        Some(within.at_most(since).counts())
    }

    /// What counts in the state of this generation.
    pub(super) fn counted(
        &self,
        record: &Record,
        context: &Context,
        generation: Generation,
    ) -> Option<Counts> {
        self.counts(record, context, self.baseline.of(generation)?)
    }

    pub(super) fn sums(&self, record: &Record) -> Sums {
        self.window.sums(record.totals())
    }

    /// The evidence of this generation begins with these sums.
    pub(super) fn begin(&self, record: &Record, generation: Generation, sums: Sums) {
        let now = || record.word_now().generation();
        self.baseline.write(generation, sums, now);
        self.known.store(0, Ordering::Relaxed);
    }

    /// What counted when the circuit opened, beside its word after that.
    fn before_opening(&self, word: Word) -> Option<Counts> {
        let generation = word.generation();
        // Half-open is the generation after.
        let sums = self.opening.of(generation);
        let sums = sums.or_else(|| self.opening.of(generation.previous()));
        sums.map(Sums::counts)
    }
}

/// The block of a record, if its settings ask for rates.
pub(super) type Loaded = Guard<Option<Arc<Rates>>>;

impl Record {
    /// What is kept for rates, if settings ask for them.
    pub(super) fn rates(&self) -> Option<Loaded> {
        let loaded = self.cold().rare.get()?.rates.load();
        loaded.is_some().then_some(loaded)
    }

    /// Before a cell counts the first success of a tick.
    #[cold]
    #[inline(never)]
    pub(super) fn turn(&self, cell: &Cell, now: Tick) {
        self.begin_buckets(cell, now);
        cell.begin_tick(now);
    }

    pub(super) fn begin_buckets(&self, cell: &Cell, now: Tick) {
        if let Some(Some(rates)) = self.rates().as_deref() {
            rates.window.turn(self.totals(), cell, now.ms());
        }
    }

    /// A success at `now` is in its cell, and belongs to no rate.
    #[cold]
    pub(super) fn take_back(&self, now: u64) {
        if let Some(Some(rates)) = self.rates().as_deref() {
            rates.window.was_late(now);
        }
    }

    /// Notes what led to an opening of the closed circuit, after the exchange.
    pub(super) fn note_evidence(&self, context: &Context, change: Change) -> Option<Counts> {
        let rates = self.rates()?;
        let rates = rates.as_deref()?;
        let counts = rates.counted(self, context, change.before.generation())?;
        let now = || self.word_now().generation();
        rates
            .opening
            .write(change.after.generation(), counts.sums(), now);
        Some(counts)
    }

    /// What counts for the rates beside this word, or counted when the circuit opened.
    pub(super) fn rate_counts(&self, context: &Context, word: Word) -> Option<Counts> {
        let rates = self.rates()?;
        let rates = rates.as_deref()?;
        match word.tally() {
            Some(_) => rates.counted(self, context, word.generation()),
            None => rates.before_opening(word),
        }
    }

    /// Sums for a baseline, before the exchange that begins a generation.
    pub(super) fn rate_sums(&self) -> Option<(Loaded, Sums)> {
        let loaded = self.rates()?;
        let sums = loaded.as_deref()?.sums(self);
        Some((loaded, sums))
    }

    /// Where the evidence of this generation begins, after that exchange.
    pub(super) fn begin_evidence(&self, sums: Option<(Loaded, Sums)>, generation: Generation) {
        if let Some((loaded, sums)) = sums
            && let Some(rates) = loaded.as_deref()
        {
            rates.begin(self, generation, sums);
        }
    }

    /// Gives the record what the settings in effect ask for. Allocates.
    pub(crate) fn fit_rates(&self, context: &Context) {
        loop {
            let version = context.version();
            self.fit_rates_to(context, self.settings(context).rate_shape());
            // ORDERING: SeqCst, partner of the fence in `Engine::configure`: either the walk there
            // finds this block, or this thread the new version.
            fence(Ordering::SeqCst);
            if context.version() == version {
                return;
            }
        }
    }

    pub(super) fn fit_rates_to(&self, context: &Context, wanted: Option<Shape>) {
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
                return;
            }
            let now = context.clock.now();
            let next = wanted.map(|shape| Arc::new(Rates::new(self, shape, now)));
            // While this thread was stopped, cells have counted that have no mark in the block.
            let is_stale = |rates: &Arc<Rates>| rates.window.is_stale(now, context.clock.now());
            let previous = rare.rates.compare_and_swap(&current, next.clone());
            let is_mine = same(&previous, &current);
            if is_mine && next.as_ref().is_some_and(is_stale) {
                rare.rates.compare_and_swap(&next, None);
            }
        }
    }
}

fn same(one: &Option<Arc<Rates>>, other: &Option<Arc<Rates>>) -> bool {
    one.as_ref().map(Arc::as_ptr) == other.as_ref().map(Arc::as_ptr)
}
