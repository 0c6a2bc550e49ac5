//! Storms on one circuit: threads report, acquire and control it at once.
//!
//! After each round the contract of one circuit (`contract.rs`) has to explain
//! the answers (`common/explain.rs`), and the status that the circuit shows
//! when no call runs. The next round begins with all states that are still
//! possible. So a mistake that shows only in a later round is found there.

use std::collections::HashSet;
use std::mem;

use brama::{
    Brama, Config, Connection, ConnectionOptions, Error, ManualClock, OpenFor, Permit, Rejected,
    Status,
};

use super::calls::{Answer, Id, Length, Op, Outcome, Rules, Shown};
use super::contract::{Circuit, Timing, When};
use crate::common::explain::explain;
use crate::common::random::Random;
use crate::common::storm::{self, Rounds};
use crate::common::{manager, ms};

pub const THREADS: usize = 3;
const STAGES: usize = 4;
/// If more states than this are possible, a reset makes them one.
/// Each failure whose time is not certain may double their number.
const MANY: usize = 200;
/// A ring remembers at least 256 failures exactly. The
/// storm resets the circuit before there are more.
const REMEMBERED: usize = 200;

type Call = storm::Call<Op, Answer>;

/// What distinguishes one storm from another.
pub struct Theme {
    /// The settings that the circuit has one after the other.
    pub rules: fn(&mut Random) -> Vec<Rules>,
    /// What threads do, and how likely it is.
    pub ops: &'static [(Kind, u64)],
    /// How a thread's reports end.
    pub outcomes: &'static [Outcome],
    pub rounds: u64,
    /// What happens before the first round, and now and then between two.
    pub before: fn(&mut Storm) -> Result<(), String>,
    pub between: fn(&mut Storm) -> Result<(), String>,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Success,
    Failure,
    Acquire,
    Report,
    Open,
    Close,
    HalfOpen,
    Reset,
    State,
    Status,
}

/// A thread's handle of the circuit, with the permits that it holds.
struct Hands<'a> {
    brama: &'a Brama,
    db: &'a Connection,
    clock: &'a ManualClock,
    rules: &'a [Rules],
    /// Whether the settings are the manager's, or the connection's own.
    is_global: bool,
    permits: Vec<(Id, Permit<'a>)>,
    /// Chooses between ways to the same operation.
    ways: Random,
}

macro_rules! with_rules {
    ($options:expr, $rules:expr) => {
        $options
            .max_attempts($rules.max_attempts)
            .window($rules.window.map(ms))
            .half_open_max_calls($rules.half_open_max_calls)
            .half_open_successes($rules.half_open_successes)
            .probe_timeout(ms($rules.probe_timeout))
            .expiry(ms($rules.expiry))
    };
}

impl<'a> Hands<'a> {
    fn act(&mut self, op: Op) -> Answer {
        let by_name = self.ways.once_in(3);
        match op {
            Op::Success if by_name => done(self.brama.success("db")),
            Op::Success => done(self.db.success()),
            Op::Failure if by_name => count(self.brama.failure("db", None)),
            Op::Failure => count(self.db.failure(None)),
            Op::Acquire(id) => self.acquire(id),
            Op::Report(id, outcome) => self.report(id, outcome),
            Op::Open(length) => {
                let length = match length {
                    Length::Ms(length) => OpenFor::Custom(ms(length)),
                    Length::Never => OpenFor::Never,
                };
                done(self.db.open_circuit("by hand", length))
            }
            Op::Close => done(self.db.close_circuit()),
            Op::HalfOpen => done(self.db.half_open_circuit()),
            Op::Reset => done(self.db.reset_circuit()),
            Op::State => Answer::State(self.db.state()),
            Op::Status => Answer::Status(shown(&self.db.status().expect("registered"))),
            Op::Advance(by) => {
                self.clock.advance(ms(by));
                Answer::Done
            }
            Op::Configure(number) => {
                configure(self.brama, self.db, self.is_global, &self.rules[number]);
                Answer::Done
            }
            Op::Cycle(times) => {
                self.db.half_open_circuit().expect("registered");
                for _ in 0..times {
                    self.db.close_circuit().expect("registered");
                    self.db.half_open_circuit().expect("registered");
                }
                Answer::Done
            }
        }
    }

    fn acquire(&mut self, id: Id) -> Answer {
        let permit = match self.ways.below(4) {
            0 => self.brama.acquire("db"),
            1 => self.db.acquire_owned(),
            _ => self.db.acquire(),
        };
        match permit {
            Ok(permit) => {
                let is_probe = permit.is_probe();
                self.permits.push((id, permit));
                if is_probe {
                    Answer::Probe
                } else {
                    Answer::Passed
                }
            }
            Err(Error::Rejected(Rejected {
                kind, retry_after, ..
            })) => Answer::Rejected(kind, retry_after.map(|wait| wait.as_millis() as u64)),
            Err(error) => panic!("{error}"),
        }
    }

    fn report(&mut self, id: Id, outcome: Outcome) -> Answer {
        let Some(place) = self.permits.iter().position(|(other, _)| *other == id) else {
            return Answer::NoPermit;
        };
        let (_, permit) = self.permits.swap_remove(place);
        match outcome {
            Outcome::Success => done(permit.success()),
            Outcome::Failure => count(permit.failure(None)),
            Outcome::Ignored => done(permit.ignore()),
            Outcome::Dropped => {
                drop(permit);
                Answer::Done
            }
        }
    }
}

/// A call that overlaps with no other one.
fn alone(op: Op, answer: Answer) -> Call {
    Call {
        op,
        answer,
        began: 0,
        ended: 1,
    }
}

/// How many other calls that overlap with this one do an operation that `does` accepts.
fn beside(threads: &[Vec<Call>], call: &Call, does: impl Fn(Op) -> bool) -> usize {
    let is_beside = |other: &&Call| {
        let overlaps = other.began < call.ended && call.began < other.ended;
        overlaps && other.began != call.began && does(other.op)
    };
    threads.iter().flatten().filter(is_beside).count()
}

fn is_acquisition(op: Op) -> bool {
    matches!(op, Op::Acquire(_))
}

fn configure(brama: &Brama, db: &Connection, is_global: bool, rules: &Rules) {
    match is_global {
        true => brama.configure(with_rules!(Config::new(), rules)),
        false => db.configure(with_rules!(ConnectionOptions::new(), rules)),
    }
    .expect("valid settings");
}

fn done(answer: Result<(), Error>) -> Answer {
    match answer {
        Ok(()) => Answer::Done,
        Err(Error::Stale) => Answer::Stale,
        Err(error) => panic!("{error}"),
    }
}

fn count(answer: Result<u32, Error>) -> Answer {
    match answer {
        Ok(count) => Answer::Count(count),
        Err(Error::Stale) => Answer::Stale,
        Err(error) => panic!("{error}"),
    }
}

fn shown(status: &Status) -> Shown {
    Shown {
        state: status.state,
        failures: status.failure_count,
        trips: status.trips,
        retry_after: status.retry_after.map(|wait| wait.as_millis() as u64),
    }
}

/// Totals: successes, failures, rejections, ignored calls.
type Totals = [u64; 4];

/// A storm on one circuit.
pub struct Storm<'a> {
    theme: &'a Theme,
    pub random: Random,
    hands: Hands<'a>,
    rounds_left: u64,
    /// All states that the circuit can be in.
    states: HashSet<Circuit>,
    /// What the clock shows and which settings are in effect while no call runs.
    now: u64,
    current: usize,
    timing: Timing,
    totals: Totals,
    last_permit: Id,
    /// The permits that each thread may hold.
    held: Vec<Vec<Id>>,
}

/// One storm with this seed: how many rounds it had, or what is wrong.
pub fn tempest(theme: &Theme, seed: u64) -> Result<u64, String> {
    let mut random = Random::new(seed);
    let rules = (theme.rules)(&mut random);
    let is_global = random.once_in(2);
    let (brama, clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    configure(&brama, &db, is_global, &rules[0]);
    let hands = |number: usize| Hands {
        brama: &brama,
        db: &db,
        clock: &clock,
        rules: &rules,
        is_global,
        permits: Vec::new(),
        ways: Random::new(seed ^ number as u64),
    };
    let mut storm = Storm {
        theme,
        hands: hands(THREADS),
        rounds_left: theme.rounds,
        states: HashSet::from([Circuit::new()]),
        now: 0,
        current: 0,
        timing: match rules[0].window {
            Some(_) => Timing::Always,
            None => Timing::Never,
        },
        totals: [0; 4],
        last_permit: 0,
        held: vec![Vec::new(); THREADS],
        random,
    };
    (theme.before)(&mut storm)?;
    storm::play(&mut storm, THREADS, seed, |number| {
        let mut hands = hands(number);
        move |op: &Op| hands.act(*op)
    })
    .and_then(|rounds| storm.conclude().map(|()| rounds))
    .map_err(|wrong| format!("{wrong}\nrules: {rules:#?}"))
}

impl Storm<'_> {
    /// Reports failures, and resets the circuit. Only the
    /// totals and the positions in the ring of times remain.
    pub fn leave_behind(&mut self, failures: u64) -> Result<(), String> {
        for _ in 0..failures {
            self.hands.act(Op::Failure);
        }
        self.totals[1] += failures;
        self.hands.act(Op::Reset);
        // It behaves like a new circuit, since no permit is out.
        self.states = HashSet::from([Circuit::new()]);
        self.look()
    }

    pub fn quietly(&mut self, op: Op) -> Result<Answer, String> {
        let answer = self.hands.act(op);
        self.account(vec![vec![alone(op, answer)]])?;
        Ok(answer)
    }

    /// Some time passes.
    pub fn pass(&mut self, at_most: u64) -> Result<(), String> {
        let by = 1 + self.random.below(at_most);
        self.quietly(Op::Advance(by)).map(drop)
    }

    /// The number of the next settings, in turn.
    fn next_rules(&mut self) -> usize {
        (self.current + 1) % self.hands.rules.len()
    }

    fn op(&mut self, thread: usize) -> Op {
        let random = &mut self.random;
        let held = &mut self.held[thread];
        match random.weigh(self.theme.ops) {
            Kind::Success => Op::Success,
            Kind::Report if held.is_empty() => Op::Failure,
            Kind::Report => {
                let place = random.below(held.len() as u64) as usize;
                Op::Report(held.swap_remove(place), random.pick(self.theme.outcomes))
            }
            Kind::Acquire if held.len() < 3 => {
                self.last_permit += 1;
                held.push(self.last_permit);
                Op::Acquire(self.last_permit)
            }
            Kind::Acquire | Kind::Failure => Op::Failure,
            Kind::Open => Op::Open(random.pick(&[Length::Ms(1), Length::Ms(5), Length::Never])),
            Kind::Close => Op::Close,
            Kind::HalfOpen => Op::HalfOpen,
            Kind::Reset => Op::Reset,
            Kind::State => Op::State,
            Kind::Status => Op::Status,
        }
    }

    fn stage(&mut self) -> Vec<Vec<Op>> {
        let mut todo: Vec<Vec<Op>> = (0..THREADS)
            .map(|thread| {
                let many = 1 + self.random.below(3);
                (0..many).map(|_| self.op(thread)).collect()
            })
            .collect();
        // One thread advances the clock or changes the settings.
        let change = match self.random.below(8) {
            0 => Op::Advance(1 + self.random.below(3)),
            1 => Op::Configure(self.next_rules()),
            _ => return todo,
        };
        let place = self.random.below(todo[0].len() as u64 + 1) as usize;
        todo[0].insert(place, change);
        todo
    }

    /// Explains the calls, and keeps the states that the circuit can be in
    /// after them. Fails if no order of the calls explains the answers.
    fn account(&mut self, threads: Vec<Vec<Call>>) -> Result<(), String> {
        let (mut times, mut rules) = (vec![self.now], vec![self.current]);
        let (mut advances, mut configures) = (Vec::new(), Vec::new());
        for call in threads.iter().flatten() {
            match call.op {
                Op::Advance(by) => {
                    self.now += by;
                    times.push(self.now);
                    advances.push((call.began, call.ended));
                }
                Op::Configure(number) => {
                    self.current = number;
                    rules.push(number);
                    configures.push((call.began, call.ended));
                }
                _ => {}
            }
        }
        let rules: Vec<Rules> = rules.iter().map(|n| self.hands.rules[*n]).collect();
        // The changes come one after the other. A call sees at least those that
        // ended before it began, and at most those that began before it ended.
        let may_see = |changes: &[(u64, u64)], call: &Call| {
            let before = changes.iter().filter(|(_, ended)| *ended < call.began);
            let begun = changes.iter().filter(|(began, _)| *began < call.ended);
            before.count()..=begun.count()
        };
        let timing = self.timing;
        if rules.iter().any(|rules| rules.window.is_some()) {
            self.timing = Timing::Always;
        }
        // The first window is set during these calls, so a call may be before it or after it.
        let timing = match (timing, self.timing) {
            (Timing::Never, Timing::Always) => Timing::Perhaps,
            (before, _) => before,
        };
        let states = explain(&self.states, &threads, |state, call| {
            let when = When {
                times: &times[may_see(&advances, call)],
                rules: &rules[may_see(&configures, call)],
                timing,
                acquisitions: beside(&threads, call, is_acquisition),
            };
            state.after(call.op, call.answer, when)
        });
        for call in threads.iter().flatten() {
            let number = match (call.op, call.answer) {
                (_, Answer::NoPermit) => continue,
                (Op::Success | Op::Report(_, Outcome::Success), _) => 0,
                (Op::Failure | Op::Report(_, Outcome::Failure), _) => 1,
                (_, Answer::Rejected(..)) => 2,
                (Op::Report(..), _) => 3,
                _ => continue,
            };
            self.totals[number] += 1;
        }
        let before = mem::replace(&mut self.states, states);
        match self.states.is_empty() {
            true => Err(format!(
                "no order explains\n{threads:#?}\nafter\n{before:#?}"
            )),
            false => self
                .look()
                .map_err(|wrong| format!("{wrong}\nbegan as\n{before:#?}\n{threads:#?}")),
        }
    }

    /// Compares the status with the possible states, while no call runs.
    fn look(&mut self) -> Result<(), String> {
        let status = self.hands.db.status().expect("registered");
        let totals = [
            status.total_successes,
            status.total_failures,
            status.total_rejections,
            status.total_ignored,
        ];
        if totals != self.totals {
            return Err(format!("totals {totals:?} instead of {:?}", self.totals));
        }
        let answer = Answer::Status(shown(&status));
        let when = When {
            times: &[self.now],
            rules: &[self.hands.rules[self.current]],
            timing: self.timing,
            acquisitions: 0,
        };
        let possible = mem::take(&mut self.states);
        let shown = possible
            .iter()
            .flat_map(|s| s.after(Op::Status, answer, when));
        self.states = shown.collect();
        match self.states.is_empty() {
            true => Err(format!("{answer:?} is shown by none of\n{possible:#?}")),
            false => Ok(()),
        }
    }

    /// Checks that a half-open circuit admits a probe once no call runs and every lease has ended.
    fn conclude(&mut self) -> Result<(), String> {
        // Every thread has dropped its permits.
        let is_out = |id: &Id| self.states.iter().any(|state| state.has_permit(*id));
        let left = self.held.iter().flatten().copied().filter(is_out);
        let drops = left.map(|id| alone(Op::Report(id, Outcome::Dropped), Answer::Done));
        self.account(drops.map(|call| vec![call]).collect())?;
        self.quietly(Op::HalfOpen)?;
        let longest = self.hands.rules.iter().map(|rules| rules.probe_timeout);
        self.quietly(Op::Advance(longest.max().unwrap_or_default()))?;
        match self.quietly(Op::Acquire(0))? {
            Answer::Probe => Ok(()),
            other => Err(format!("wedged: {other:?}")),
        }
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
        self.account(calls)?;
        let failures = self.states.iter().map(Circuit::failures).max();
        if self.states.len() > MANY || failures > Some(REMEMBERED) {
            self.quietly(Op::Reset)?;
        }
        (self.theme.between)(self)
    }
}
