//! Storms on the rates of one circuit: which reports count.
//!
//! Threads report at once, while buckets of time begin, the circuit is reset, opened
//! and closed, and its rates get another window. No rate opens the circuit. With
//! `rate_calls`, either no call fails and no rate of slow calls is set, or a success
//! between two rounds keeps the share of failed or slow calls in the window below 1.
//!
//! The oracle is a log of the reports. The order in which
//! reports and changes began and ended bounds each number:
//!
//! - A report counts from its end on, and may count from its beginning on. With
//!   `rate_calls`, each other report under way may make a number differ by one.
//! - A change of the evidence (a reset, a new state, a new window) ends the reports that
//!   ended before it. One that overlaps with it may be on either side. A change lasts until
//!   the last call that overlaps with it has ended, since that call's thread may finish it.
//! - A report counts as of some time between its beginning and its end.
//! - A success that turns out to be stale is counted, and taken back. Beside a change, or beside a
//!   step of the clock, the two may be on different sides: then one success less counts.
//!
//! If no calls have overlapped and none runs, both bounds are the same number.

use super::rate_hands::{Answer, Hands, Id, Kind, Op, Over, SLOW, counts, shape};
use super::rate_log::{Bounds, Change, Entry, Span};
use crate::common::random::Random;
use crate::common::storm::{self, Rounds};
use crate::common::{manager_with, ms};

const THREADS: usize = 3;
const STAGES: usize = 4;
const ROUNDS: u64 = 30;
/// More than the reports of a round and the success between two rounds.
const LEAST_CALLS: u64 = (THREADS * STAGES) as u64 * MOST_OPS + 2;
/// The most operations of a thread in a stage.
const MOST_OPS: u64 = 3;

type Call = storm::Call<Op, Answer>;

/// A storm on one circuit.
struct Storm<'a> {
    random: Random,
    hands: Hands<'a>,
    rounds_left: u64,
    /// Whether calls may fail.
    fails: bool,
    lengths: Vec<u64>,
    /// The index of the current length.
    current: usize,
    now: u64,
    /// The last number in the order of the storm. And what is added to the numbers
    /// of a round, since calls between two rounds have numbers of their own.
    last: u64,
    skew: u64,
    entries: Vec<Entry>,
    last_permit: Id,
    held: Vec<Vec<Id>>,
}

/// One storm with this seed: how many rounds it had, or what is wrong.
pub fn tempest(over: Over, seed: u64) -> Result<u64, String> {
    let mut random = Random::new(seed);
    // A small window is overwritten within a round of the storm. With one, no call fails.
    let fails = over == Over::Time || random.once_in(2);
    let lengths: Vec<u64> = match over {
        Over::Time => vec![1_000, 1_500, 1_001],
        Over::Calls => {
            let least = match fails {
                true => LEAST_CALLS + random.below(90),
                false => 10 + random.below(9),
            };
            (least..least + 3).collect()
        }
    };
    let (brama, clock) = manager_with(|builder| {
        builder
            .failure_rate(1.0)
            .slow_call_rate(fails.then_some(1.0))
            .slow_call_duration(ms(SLOW))
            // More than any window has. With `rate_calls`, brama
            // lowers it to the number of calls in the window.
            .minimum_calls(u32::MAX)
    });
    let db = brama
        .register("db", shape(over, lengths[0]))
        .expect("a new name");
    let hands = |number: usize| Hands {
        brama: &brama,
        db: &db,
        clock: &clock,
        over,
        permits: Vec::new(),
        ways: Random::new(seed ^ number as u64),
    };
    let mut storm = Storm {
        random,
        hands: hands(THREADS),
        rounds_left: ROUNDS,
        fails,
        lengths,
        current: 0,
        now: 0,
        last: 0,
        skew: 0,
        entries: Vec::new(),
        last_permit: 0,
        held: vec![Vec::new(); THREADS],
    };
    storm::play(&mut storm, THREADS, seed, |number| {
        let mut hands = hands(number);
        move |op: &Op| hands.act(*op)
    })
}

impl Storm<'_> {
    fn length(&self) -> u64 {
        self.lengths[self.current]
    }

    fn kind(&mut self) -> Kind {
        Kind {
            failed: self.fails && self.random.once_in(3),
            slow: self.random.once_in(3),
        }
    }

    fn op(&mut self, thread: usize) -> Op {
        let kind = self.kind();
        let held = &mut self.held[thread];
        match self.random.below(40) {
            0..=5 if held.len() < 3 => {
                self.last_permit += 1;
                held.push(self.last_permit);
                Op::Acquire(self.last_permit)
            }
            6..=12 if !held.is_empty() => {
                let place = self.random.below(held.len() as u64) as usize;
                Op::Settle(held.swap_remove(place), kind)
            }
            13..=15 => Op::Status,
            16 if self.random.once_in(2) => Op::Reset,
            16 => Op::Cycle,
            _ => Op::Report(kind),
        }
    }

    fn stage(&mut self) -> Vec<Vec<Op>> {
        let mut todo: Vec<Vec<Op>> = (0..THREADS)
            .map(|thread| {
                // With a small window, other threads may report as
                // many calls as it has while a thread is stopped.
                let most = if self.fails { MOST_OPS } else { 5 * MOST_OPS };
                let many = 1 + self.random.below(most);
                (0..many).map(|_| self.op(thread)).collect()
            })
            .collect();
        // One thread changes the window or advances the clock.
        let change = match (self.random.below(24), self.hands.over) {
            (0, _) => {
                self.current = (self.current + 1) % self.lengths.len();
                Op::Reshape(self.length())
            }
            (1..=9, Over::Time) => {
                let bucket = self.length() / 10;
                let steps = [1, bucket - 1, bucket, bucket + 1, 3 * bucket, 9 * bucket];
                Op::Advance(self.random.pick(&steps))
            }
            _ => return todo,
        };
        let place = self.random.below(todo[0].len() as u64 + 1) as usize;
        todo[0].insert(place, change);
        todo
    }

    /// The bounds of the numbers that a call within `view` may see.
    fn bounds(&self, changes: &[Change], view: &Span) -> [Bounds; 3] {
        let mut all = [Bounds::default(); 3];
        for entry in &self.entries {
            if view.is_before(&entry.span) || entry.passes && entry.span.is_before(view) {
                continue;
            }
            let mut entry = *entry;
            let mut is_over = false;
            for change in changes.iter().filter(|c| !view.is_before(&c.span)) {
                match entry.after(change) {
                    Some(after) if change.span.is_before(view) => entry = after,
                    Some(after) => entry = entry.or(after),
                    None if change.span.is_before(view) => is_over = true,
                    None => entry = entry.maybe(),
                }
            }
            if !entry.span.is_before(view) {
                entry = entry.maybe();
            }
            let (surely_in, surely_out) = match self.hands.over {
                Over::Time => self.within_time(&entry, view),
                Over::Calls => self.within_calls(&entry, view),
            };
            if is_over || surely_out {
                continue;
            }
            if !surely_in {
                entry = entry.maybe();
            }
            for (sum, adds) in all.iter_mut().zip(entry.adds) {
                sum.add(adds);
            }
        }
        all
    }

    /// Whether a report is certainly within the window, and whether it certainly is not.
    fn within_time(&self, entry: &Entry, view: &Span) -> (bool, bool) {
        let bucket = |at: u64| at * 10 / self.length();
        let first = |at: u64| bucket(at).saturating_sub(9);
        let surely_in = bucket(entry.span.first) >= first(view.last);
        let surely_out = bucket(entry.span.last) < first(view.first);
        (surely_in, surely_out && !entry.moves_beginning)
    }

    fn within_calls(&self, entry: &Entry, view: &Span) -> (bool, bool) {
        let others = self
            .entries
            .iter()
            .filter(|other| other.span.began != entry.span.began);
        let (mut perhaps, mut surely) = (0, 0);
        for other in others {
            if !other.span.is_before(&entry.span) && !view.is_before(&other.span) {
                perhaps += 1;
            }
            if entry.span.is_before(&other.span) && other.span.is_before(view) && other.is_certain()
            {
                surely += 1;
            }
        }
        (perhaps < self.length(), surely >= self.length())
    }

    /// Adds a report to the log, if it was accepted or was stale.
    fn note(
        &mut self,
        kind: Kind,
        answer: Answer,
        span: Span,
        changes: &[Change],
        is_reshaped: bool,
    ) {
        let Kind { failed, slow } = kind;
        let adds = [!failed, failed, slow].map(Bounds::exactly);
        match answer {
            Answer::Done => self.entries.push(Entry::new(span, adds)),
            Answer::Stale => {
                let mut adds = adds.map(Bounds::maybe);
                let is_beside_change = changes.iter().any(|change| change.span.is_beside(&span));
                if !failed && self.hands.over == Over::Time {
                    let passing = Entry::new(span, [adds[0], Bounds::default(), Bounds::default()]);
                    self.entries.push(Entry {
                        passes: true,
                        ..passing
                    });
                    // The success may have been taken back from the window before this one.
                    let most = i64::from(is_reshaped);
                    adds[0] = Bounds { least: -1, most };
                }
                if is_beside_change || span.first != span.last {
                    self.entries.push(Entry {
                        moves_beginning: is_beside_change && adds[0].least < 0,
                        ..Entry::new(span, adds)
                    });
                }
            }
            _ => {}
        }
    }

    /// Takes the calls of a round into the log, and checks what threads saw meanwhile.
    fn account(&mut self, threads: &[Vec<Call>]) -> Result<(), String> {
        let mut times = vec![self.now];
        let mut advances = Vec::new();
        let calls = || threads.iter().flatten();
        for call in calls() {
            if let Op::Advance(by) = call.op {
                self.now += by;
                times.push(self.now);
                advances.push((call.began, call.ended));
            }
        }
        let span = |call: &Call| {
            let before = advances.iter().filter(|(_, ended)| *ended < call.began);
            let begun = advances.iter().filter(|(began, _)| *began < call.ended);
            Span {
                began: call.began + self.skew,
                ended: call.ended + self.skew,
                first: times[before.count()],
                last: times[begun.count()],
            }
        };
        let spans: Vec<(Op, Answer, Span)> = calls()
            .map(|call| (call.op, call.answer, span(call)))
            .collect();
        // A thread that finds a closing under way finishes it, and may be stopped before the evidence
        // has begun.
        let with_helpers = |change: &Span| {
            let beside = spans.iter().filter(|(.., span)| span.is_beside(change));
            let ends = beside.map(|(.., span)| span.ended);
            Span {
                ended: ends.max().unwrap_or(change.ended),
                ..*change
            }
        };
        let changes: Vec<Change> = spans
            .iter()
            .filter(|(op, ..)| op.begins_evidence())
            .map(|(op, _, span)| Change {
                span: with_helpers(span),
                is_reset: matches!(op, Op::Reset),
            })
            .collect();
        let is_reshaped = calls().any(|call| matches!(call.op, Op::Reshape(_)));
        for (op, answer, span) in &spans {
            self.last = self.last.max(span.ended);
            if let Op::Report(kind) | Op::Settle(_, kind) = op {
                self.note(*kind, *answer, *span, &changes, is_reshaped);
            }
        }
        for (_, answer, view) in &spans {
            if let Answer::Counts(counts) = answer
                && !is_reshaped
            {
                self.agree(*counts, &changes, view)?;
            }
        }
        self.entries.retain(|entry| !entry.passes);
        for change in &changes {
            let after = self.entries.iter().filter_map(|entry| entry.after(change));
            self.entries = after.collect();
        }
        Ok(())
    }

    /// Whether these numbers may be seen within `view`.
    fn agree(
        &self,
        counts: Option<[u64; 3]>,
        changes: &[Change],
        view: &Span,
    ) -> Result<(), String> {
        let is_quiet = |change: &Change| !change.span.is_beside(view);
        let Some(counts) = counts else {
            // The marks of a thread that was stopped may be
            // overwritten, or a new beginning not written yet.
            return match changes.iter().all(is_quiet) && view.first == view.last {
                true => Err(format!("nothing is known within {view:?}")),
                false => Ok(()),
            };
        };
        let slack = match self.hands.over {
            Over::Calls if view.ended <= self.last => THREADS as i64 - 1,
            _ => 0,
        };
        let bounds = self.bounds(changes, view);
        let holds = |(bounds, count): (&Bounds, u64)| bounds.holds(count, slack);
        if bounds.iter().zip(counts).all(holds) {
            return Ok(());
        }
        Err(format!(
            "{counts:?} is not within {bounds:?}, {slack}, at {view:?}, of\n{:#?}",
            self.entries
                .iter()
                .map(|entry| format!("{entry:?}"))
                .collect::<Vec<_>>()
        ))
    }

    fn quiet_span(&mut self) -> Span {
        let began = self.last + 1;
        self.last += 2;
        self.skew += 2;
        Span {
            began,
            ended: began + 1,
            first: self.now,
            last: self.now,
        }
    }

    /// Compares the status with the log, while no call runs.
    fn look(&mut self) -> Result<(), String> {
        let mut view = self.quiet_span();
        // The view ends after all reports.
        view.ended += 1;
        let counts = counts(self.hands.db);
        self.agree(counts, &[], &view)?;
        if let (Over::Calls, Some([successes, failures, _])) = (self.hands.over, counts) {
            let places = |bounds: fn(&Entry) -> i64| {
                let places: i64 = self.entries.iter().map(bounds).sum();
                (places as u64).min(self.length())
            };
            let least = places(|entry| entry.adds[0].least + entry.adds[1].least);
            let most = places(|entry| entry.adds[0].most + entry.adds[1].most);
            if !(least..=most).contains(&(successes + failures)) {
                return Err(format!("{counts:?} are not {least} to {most} calls"));
            }
        }
        let is_out = |entry: &Entry| match self.hands.over {
            Over::Time => self.within_time(entry, &view).1,
            Over::Calls => self.within_calls(entry, &view).1,
        };
        let stay = self.entries.iter().filter(|entry| !is_out(entry));
        self.entries = stay.copied().collect();
        Ok(())
    }
}

impl Rounds for Storm<'_> {
    type Op = Op;
    type Answer = Answer;

    fn next(&mut self) -> Option<Vec<Vec<Vec<Op>>>> {
        self.rounds_left = self.rounds_left.checked_sub(1)?;
        Some((0..STAGES).map(|_| self.stage()).collect())
    }

    fn check(&mut self, calls: Vec<Vec<Call>>) -> Result<(), String> {
        let before = self.entries.clone();
        self.account(&calls)
            .and_then(|()| self.look())
            .map_err(|wrong| format!("{wrong}\n{calls:#?}\nbegan with\n{before:#?}"))?;
        // Refills the reserve, so that threads without cells get some.
        self.hands.brama.poll();
        let fast = Kind {
            failed: false,
            slow: false,
        };
        let answer = self.hands.act(Op::Report(fast));
        let span = self.quiet_span();
        self.note(fast, answer, span, &[], false);
        if self.random.once_in(3) {
            let by = self.random.below(self.length());
            self.hands.clock.advance(ms(by));
            self.now += by;
        }
        self.look()
    }
}
