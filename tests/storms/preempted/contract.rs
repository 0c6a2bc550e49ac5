//! A model of one circuit, after the contract: what an
//! operation answers, and the states that it leads to.
//!
//! Some answers depend on what overlaps with the operation. There the contract allows
//! several. A call that overlaps with a change of the settings obeys the old or the
//! new ones. A call that overlaps with a step of the clock sees the time before or
//! after it. [`When`] says what a call may have seen. [`Circuit::after`] returns the
//! possible states of the circuit, one for each case that explains the answer.

use std::collections::{BTreeMap, HashSet};

use brama::{RejectionKind, State};

use super::calls::{Answer, Id, Length, Op, Outcome, Rules, Shown};

/// After so many changes of state, a permit that is still
/// out can be taken for a current one, as documented.
const GENERATIONS: u64 = 8_192;

/// What a call may have seen.
#[derive(Clone, Copy, Debug)]
pub struct When<'a> {
    /// What the clock showed, in order.
    pub times: &'a [u64],
    pub rules: &'a [Rules],
    pub timing: Timing,
    /// How many acquisitions overlap with the call. An acquisition that
    /// meets a change of state may hold a probe's place for a moment.
    pub acquisitions: usize,
}

/// Whether a failure has a time: from the first window of the circuit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// There was no window yet.
    Never,
    /// The first window is set while the call runs.
    Perhaps,
    Always,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Mode {
    Closed,
    /// Open for a given time, or with `None` until it is closed by hand.
    Open(Option<Opening>),
    HalfOpen {
        successes: u32,
        /// The probes that are out, and when their leases end.
        leases: BTreeMap<Id, u64>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Opening {
    begin: u64,
    given: u64,
}

impl Opening {
    fn end(self) -> u64 {
        self.begin + self.given
    }

    /// How long a caller that looks at the clock at `now`
    /// has to wait: at most the given time and 1 ms.
    fn wait(self, now: u64) -> u64 {
        self.end().saturating_sub(now).min(self.given + 1)
    }
}

/// What a permit remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Admission {
    period: u64,
    is_probe: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Circuit {
    mode: Mode,
    /// Counts the changes of state.
    period: u64,
    in_a_row: u32,
    /// The times of the failures that count, from the first window on.
    times: Vec<u64>,
    trips: u32,
    permits: BTreeMap<Id, Admission>,
}

impl Circuit {
    /// A circuit that was just registered.
    pub fn new() -> Self {
        Circuit {
            mode: Mode::Closed,
            period: 0,
            in_a_row: 0,
            times: Vec::new(),
            trips: 0,
            permits: BTreeMap::new(),
        }
    }

    /// How many failures count, in a row and with times.
    pub fn failures(&self) -> usize {
        self.times.len().max(self.in_a_row as usize)
    }

    pub fn has_permit(&self, id: Id) -> bool {
        self.permits.contains_key(&id)
    }

    /// The states that the circuit can be in after a call
    /// with this answer. None if the answer is wrong.
    pub fn after(&self, op: Op, answer: Answer, when: When<'_>) -> Vec<Circuit> {
        let mut out = HashSet::new();
        for (number, now) in when.times.iter().enumerate() {
            let times = &when.times[number..];
            let mut circuit = self.clone();
            circuit.catch_up(*now);
            for rules in when.rules {
                out.extend(circuit.decide(op, answer, rules, When { times, ..when }));
            }
        }
        out.into_iter().collect()
    }

    /// [`Circuit::after`] with these rules, if the call decided
    /// at the first of the times whether an opening is over.
    fn decide(&self, op: Op, answer: Answer, rules: &Rules, when: When<'_>) -> Vec<Circuit> {
        let mut next = self.clone();
        let is_right = match op {
            Op::Success => {
                next.succeed(rules);
                answer == Answer::Done
            }
            Op::Failure => return next.fail(answer, rules, when),
            Op::Report(id, outcome) => return next.report(id, outcome, answer, rules, when),
            Op::Acquire(id) => return next.acquire(id, answer, rules, when),
            Op::Open(length) => return next.open_by_hand(length, answer, when),
            Op::Close => {
                next.close();
                answer == Answer::Done
            }
            Op::HalfOpen => {
                next.half_open();
                answer == Answer::Done
            }
            Op::Reset => {
                next.close();
                next.forget_failures();
                next.trips = 0;
                answer == Answer::Done
            }
            Op::State => answer == Answer::State(next.state()),
            Op::Status => {
                let show = |count: &u64, wait: &u64| next.shown(rules, *count, *wait);
                let is_shown = |count| {
                    let mut waits = when.times.iter();
                    waits.any(|wait| answer == Answer::Status(show(count, wait)))
                };
                when.times.iter().any(is_shown)
            }
            Op::Cycle(times) => {
                next.half_open();
                for _ in 0..times.min(1) {
                    next.close();
                    next.half_open();
                }
                next.period += 2 * times.saturating_sub(1);
                answer == Answer::Done
            }
            // Other calls see these changes through their own `When`.
            Op::Advance(_) | Op::Configure(_) => return vec![self.clone()],
        };
        match is_right {
            true => vec![next],
            false => Vec::new(),
        }
    }

    /// Half-opens the circuit if its opening is over at `now`.
    fn catch_up(&mut self, now: u64) {
        if let Mode::Open(Some(opening)) = self.mode
            && opening.end() <= now
        {
            self.half_open();
        }
    }

    fn change(&mut self, mode: Mode) {
        self.mode = mode;
        self.period += 1;
    }

    fn close(&mut self) {
        if self.mode != Mode::Closed {
            self.change(Mode::Closed);
        }
    }

    fn half_open(&mut self) {
        if !matches!(self.mode, Mode::HalfOpen { .. }) {
            let (successes, leases) = (0, BTreeMap::new());
            self.change(Mode::HalfOpen { successes, leases });
        }
    }

    fn forget_failures(&mut self) {
        self.in_a_row = 0;
        self.times.clear();
    }

    fn state(&self) -> State {
        match self.mode {
            Mode::Closed => State::Closed,
            Mode::Open(_) => State::Open,
            Mode::HalfOpen { .. } => State::HalfOpen,
        }
    }

    fn count(&self, rules: &Rules, time: u64) -> u32 {
        match rules.window {
            None => self.in_a_row,
            // A failure of age `window` is outside.
            Some(window) => self.times.iter().filter(|t| **t + window > time).count() as u32,
        }
    }

    /// What a status shows if it counts the failures at the
    /// time `count`, and computes the wait at the time `wait`.
    fn shown(&self, rules: &Rules, count: u64, wait: u64) -> Shown {
        Shown {
            state: self.state(),
            failures: self.count(rules, count),
            trips: self.trips,
            retry_after: match self.mode {
                Mode::Open(opening) => opening.map(|opening| opening.wait(wait)),
                _ => None,
            },
        }
    }

    fn succeed(&mut self, rules: &Rules) {
        self.forget_failures();
        match &mut self.mode {
            Mode::Closed => self.trips = 0,
            Mode::Open(_) => {}
            Mode::HalfOpen { successes, .. } => {
                *successes += 1;
                if *successes >= rules.half_open_successes {
                    self.trips = 0;
                    self.change(Mode::Closed);
                }
            }
        }
    }

    fn fail(self, answer: Answer, rules: &Rules, when: When<'_>) -> Vec<Circuit> {
        let Answer::Count(count) = answer else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for (number, time) in when.times.iter().enumerate() {
            let with_it = match rules.window {
                None => self.in_a_row + 1,
                Some(_) => self.count(rules, *time) + 1,
            };
            if with_it != count {
                continue;
            }
            let opens = match self.mode {
                Mode::Closed => count >= rules.max_attempts,
                Mode::HalfOpen { .. } => true,
                Mode::Open(_) => false,
            };
            let later = &when.times[number..];
            for mut next in self.timed(When {
                times: later,
                ..when
            }) {
                next.in_a_row += 1;
                if !opens {
                    out.push(next);
                    continue;
                }
                next.trips += 1;
                for begin in later {
                    let mut open = next.clone();
                    let (begin, given) = (*begin, rules.expiry);
                    open.change(Mode::Open(Some(Opening { begin, given })));
                    out.push(open);
                }
            }
        }
        out
    }

    /// The states with the time of one more failure. The time lies within
    /// the report, and is no earlier than that of the failure before.
    fn timed(&self, when: When<'_>) -> Vec<Circuit> {
        let mut out = Vec::new();
        if when.timing != Timing::Always {
            out.push(self.clone());
        }
        if when.timing != Timing::Never {
            out.extend(when.times.iter().map(|time| {
                let mut next = self.clone();
                let last = next.times.last().copied().unwrap_or_default();
                next.times.push(last.max(*time));
                next
            }));
        }
        out
    }

    fn report(
        mut self,
        id: Id,
        outcome: Outcome,
        answer: Answer,
        rules: &Rules,
        when: When<'_>,
    ) -> Vec<Circuit> {
        let Some(permit) = self.permits.remove(&id) else {
            // The call was rejected, or its permit was reported before.
            return match answer {
                Answer::NoPermit => vec![self],
                _ => Vec::new(),
            };
        };
        let is_its_state = match self.mode {
            Mode::Closed => !permit.is_probe,
            Mode::Open(_) => false,
            Mode::HalfOpen { .. } => permit.is_probe,
        };
        let age = self.period - permit.period;
        let mut out = Vec::new();
        if age > 0 && (answer == Answer::Stale || outcome == Outcome::Dropped) {
            out.push(self.clone());
        }
        if !is_its_state || !age.is_multiple_of(GENERATIONS) {
            return out;
        }
        if let Mode::HalfOpen { leases, .. } = &mut self.mode {
            // A permit that is 8192 changes late may be taken for any other probe.
            let others = leases.keys().copied().filter(|_| age > 0);
            for freed in others.chain([id]).collect::<Vec<_>>() {
                let mut next = self.clone();
                if let Mode::HalfOpen { leases, .. } = &mut next.mode {
                    leases.remove(&freed);
                }
                out.extend(next.count_report(outcome, answer, rules, when));
            }
        } else {
            out.extend(self.count_report(outcome, answer, rules, when));
        }
        out
    }

    fn count_report(
        mut self,
        outcome: Outcome,
        answer: Answer,
        rules: &Rules,
        when: When<'_>,
    ) -> Vec<Circuit> {
        match (outcome, answer) {
            (Outcome::Failure, _) => self.fail(answer, rules, when),
            (Outcome::Success, Answer::Done) => {
                self.succeed(rules);
                vec![self]
            }
            (Outcome::Ignored | Outcome::Dropped, Answer::Done) => vec![self],
            _ => Vec::new(),
        }
    }

    fn acquire(self, id: Id, answer: Answer, rules: &Rules, when: When<'_>) -> Vec<Circuit> {
        let period = self.period;
        let admit = |is_probe| {
            let mut next = self.clone();
            next.permits.insert(id, Admission { period, is_probe });
            next
        };
        match (&self.mode, answer) {
            (Mode::Closed, Answer::Passed) => vec![admit(false)],
            (Mode::Open(opening), Answer::Rejected(kind, wait)) => {
                let is_right = match opening {
                    None => kind == RejectionKind::HeldOpen && wait.is_none(),
                    Some(opening) => {
                        let waits = |now: &u64| wait == Some(opening.wait(*now));
                        kind == RejectionKind::Open && when.times.iter().any(waits)
                    }
                };
                if is_right { vec![self] } else { Vec::new() }
            }
            (Mode::HalfOpen { leases, .. }, Answer::Probe) => {
                let mut out = Vec::new();
                for (number, now) in when.times.iter().enumerate() {
                    if running(leases, *now) >= rules.half_open_max_calls as usize {
                        continue;
                    }
                    for begin in &when.times[number..] {
                        let mut next = admit(true);
                        if let Mode::HalfOpen { leases, .. } = &mut next.mode {
                            leases.insert(id, begin + rules.probe_timeout);
                        }
                        out.push(next);
                    }
                }
                out
            }
            (Mode::HalfOpen { leases, .. }, Answer::Rejected(kind, wait)) => {
                let is_full = |now: &u64| {
                    let taken = running(leases, *now) + when.acquisitions;
                    taken >= rules.half_open_max_calls as usize
                };
                let is_right = kind == RejectionKind::ProbesOut
                    && wait.is_some_and(|wait| (1..=1_000).contains(&wait))
                    && when.times.iter().any(is_full);
                if is_right { vec![self] } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    fn open_by_hand(self, length: Length, answer: Answer, when: When<'_>) -> Vec<Circuit> {
        if answer != Answer::Done {
            return Vec::new();
        }
        let open = |begin: &u64| {
            let begin = *begin;
            let opening = match length {
                Length::Ms(given) => Some(Opening { begin, given }),
                Length::Never => None,
            };
            let mut next = self.clone();
            match &mut next.mode {
                Mode::Open(current) => *current = opening,
                _ => {
                    next.trips += 1;
                    next.change(Mode::Open(opening));
                }
            }
            next
        };
        when.times.iter().map(open).collect()
    }
}

fn running(leases: &BTreeMap<Id, u64>, now: u64) -> usize {
    leases.values().filter(|ends| **ends > now).count()
}
