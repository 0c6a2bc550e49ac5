//! A storm on a circuit that recovers by a sample of probes and a ramp.
//!
//! Threads call a dependency that is down in some rounds and well in others,
//! while time goes on. Leases are longer than a storm, and every permit is
//! reported by the end of its round. These promises hold for every interleaving:
//!
//! - **Probes.** Each time that the circuit half-opens, it admits at most as many probes
//!   as a sample has places, and one more for each probe that is reported as ignored.
//! - **Events.** The circuit has left *closed* as often as it has come back, and
//!   once more while it is not closed. Likewise for the other states. If a notice
//!   arrives after that of a later change, the dispatcher delivers the state that
//!   then holds. So the storm counts changes only until the first such event.
//! - **Totals.** They count each report and each rejection once, also those that were late.
//! - **Recovery.** When the dependency is well the circuit closes, within an opening, a sample and
//!   a ramp.

use std::collections::{HashMap, VecDeque};

use brama::{
    Brama, Connection, Event, EventFilter, EventQueue, EventType, ManualClock, Permit, State,
};

use crate::common::random::Random;
use crate::common::storm::{self, Rounds};
use crate::common::{manager_with, ms};

const THREADS: usize = 3;
const ROUNDS: u64 = 40;
const PLACES: u64 = 4;
const EXPIRY: u64 = 1_000;
const RAMP: u64 = 500;

#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    Success,
    Failure,
    Ignored,
}

#[derive(Clone, Copy, Debug)]
pub enum Op {
    Acquire,
    /// Reports the permit that the thread has held longest, if it has one.
    Settle(Outcome),
    Advance(u64),
    Look,
}

#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Nothing,
    Admitted { to_probe: bool },
    Rejected,
    Reported { outcome: Outcome, of_probe: bool },
}

type Call = storm::Call<Op, Answer>;

/// Carries out the operations of one thread.
struct Hands<'a> {
    db: &'a Connection,
    clock: &'a ManualClock,
    permits: VecDeque<Permit<'a>>,
}

impl Hands<'_> {
    fn act(&mut self, op: Op) -> Answer {
        match op {
            Op::Acquire => match self.db.acquire() {
                Ok(permit) => {
                    let to_probe = permit.is_probe();
                    self.permits.push_back(permit);
                    Answer::Admitted { to_probe }
                }
                Err(_) => Answer::Rejected,
            },
            Op::Settle(outcome) => {
                let Some(permit) = self.permits.pop_front() else {
                    return Answer::Nothing;
                };
                let of_probe = permit.is_probe();
                // A late report is in the totals, too.
                match outcome {
                    Outcome::Success => drop(permit.success()),
                    Outcome::Failure => drop(permit.failure(None)),
                    Outcome::Ignored => drop(permit.ignore()),
                }
                Answer::Reported { outcome, of_probe }
            }
            Op::Advance(by) => {
                self.clock.advance(ms(by));
                Answer::Nothing
            }
            Op::Look => {
                let share = self.db.status().expect("registered").ramp_share;
                assert!(share.is_none_or(|share| share == 1.0));
                Answer::Nothing
            }
        }
    }
}

#[derive(Debug, Default)]
struct Counted {
    successes: u64,
    failures: u64,
    ignored: u64,
    rejections: u64,
    /// Calls that were admitted to probe, and those of them that were ignored.
    probes: u64,
    probes_ignored: u64,
    /// How often each state has begun, and ended.
    begun: HashMap<State, u64>,
    ended: HashMap<State, u64>,
    /// Whether a notice came after that of a later change.
    is_coalesced: bool,
}

impl Counted {
    fn call(&mut self, answer: Answer) {
        match answer {
            Answer::Nothing => {}
            Answer::Admitted { to_probe } => self.probes += u64::from(to_probe),
            Answer::Rejected => self.rejections += 1,
            Answer::Reported { outcome, of_probe } => match outcome {
                Outcome::Success => self.successes += 1,
                Outcome::Failure => self.failures += 1,
                Outcome::Ignored => {
                    self.ignored += 1;
                    self.probes_ignored += u64::from(of_probe);
                }
            },
        }
    }

    fn event(&mut self, event: &Event) {
        self.is_coalesced |= event.is_coalesced();
        if event.event_type() == EventType::StateChange {
            *self.begun.entry(event.new_state()).or_default() += 1;
            *self.ended.entry(event.previous_state()).or_default() += 1;
        }
    }

    /// By the counted changes, 1 if the circuit is in this state, 0 if not.
    fn is_in(&self, state: State) -> u64 {
        let of = |counts: &HashMap<State, u64>| counts.get(&state).copied().unwrap_or(0);
        let at_first = u64::from(state == State::Closed);
        (at_first + of(&self.begun)).wrapping_sub(of(&self.ended))
    }
}

struct Storm<'a> {
    random: Random,
    brama: &'a Brama,
    hands: Hands<'a>,
    events: EventQueue,
    rounds_left: u64,
    counted: Counted,
}

/// One storm with this seed: how many rounds it had, or what is wrong.
pub fn tempest(seed: u64) -> Result<u64, String> {
    let (brama, clock) = manager_with(|builder| {
        builder
            .failure_rate(0.5)
            .minimum_calls(6)
            .expiry(ms(EXPIRY))
            .half_open_max_calls(PLACES as u32)
            .half_open_failure_rate(0.5)
            .probe_timeout(ms(3_600_000))
            .ramp(ms(RAMP))
            .ramp_start(1.0)
    });
    let db = brama.register("db", None).expect("a new name");
    let changes = EventFilter::new().types([EventType::StateChange]);
    let events = brama.subscribe_queue(changes, 4_096).expect("valid");
    let hands = || Hands {
        db: &db,
        clock: &clock,
        permits: [].into(),
    };
    let mut storm = Storm {
        random: Random::new(seed),
        brama: &brama,
        hands: hands(),
        events,
        rounds_left: ROUNDS,
        counted: Counted::default(),
    };
    storm::play(&mut storm, THREADS, seed, |_| {
        let mut hands = hands();
        move |op: &Op| hands.act(*op)
    })
}

impl Storm<'_> {
    fn op(&mut self, is_down: bool) -> Op {
        match self.random.below(20) {
            0..=8 => Op::Acquire,
            9..=16 => Op::Settle(match self.random.below(10) {
                0 => Outcome::Ignored,
                1 => Outcome::Success,
                2 => Outcome::Failure,
                _ if is_down => Outcome::Failure,
                _ => Outcome::Success,
            }),
            17 | 18 => Op::Advance(self.random.pick(&[1, RAMP / 2, RAMP + 1, EXPIRY])),
            _ => Op::Look,
        }
    }

    fn act(&mut self, op: Op) {
        let answer = self.hands.act(op);
        self.counted.call(answer);
    }

    /// Reports successes of a dependency that is well, and checks that the circuit closes.
    fn recover(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            // An opening ends, and then the ramp.
            self.act(Op::Advance(EXPIRY));
            for _ in 0..PLACES {
                self.act(Op::Acquire);
                self.act(Op::Settle(Outcome::Success));
            }
        }
        match self.hands.db.state() {
            State::Closed => Ok(()),
            other => Err(format!("{other} after the dependency has recovered")),
        }
    }

    fn look(&mut self) -> Result<(), String> {
        self.brama.poll();
        for event in self.events.drain(10_000) {
            self.counted.event(&event);
        }
        let status = self.hands.db.status().expect("registered");
        let counted = &self.counted;
        let totals = [
            (status.total_successes, counted.successes),
            (status.total_failures, counted.failures),
            (status.total_ignored, counted.ignored),
            (status.total_rejections, counted.rejections),
        ];
        let states = [State::Closed, State::Open, State::HalfOpen];
        let is_wrong = |state| {
            !counted.is_coalesced && counted.is_in(state) != u64::from(state == status.state)
        };
        let half_opened = counted.begun.get(&State::HalfOpen).copied();
        let most = PLACES * half_opened.unwrap_or(0) + counted.probes_ignored;
        match () {
            () if totals.iter().any(|(is, should)| is != should) => {
                Err(format!("the totals and what was reported: {totals:?}"))
            }
            () if states.into_iter().any(is_wrong) => {
                Err(format!("{counted:?}, in {:?}", status.state))
            }
            () if counted.probes > most && !counted.is_coalesced => {
                Err(format!("more than {most} probes: {counted:?}"))
            }
            () => Ok(()),
        }
    }
}

impl Rounds for Storm<'_> {
    type Op = Op;
    type Answer = Answer;

    fn next(&mut self) -> Option<Vec<Vec<Vec<Op>>>> {
        self.rounds_left = self.rounds_left.checked_sub(1)?;
        let is_down = self.random.once_in(2);
        let mut stages: Vec<Vec<Vec<Op>>> = (0..3)
            .map(|_| {
                let many = 1 + self.random.below(8);
                (0..THREADS)
                    .map(|_| (0..many).map(|_| self.op(is_down)).collect())
                    .collect()
            })
            .collect();
        // No thread has more permits than it has acquired.
        let settle = vec![Op::Settle(Outcome::Success); 24];
        stages.push(vec![settle; THREADS]);
        Some(stages)
    }

    fn check(&mut self, calls: Vec<Vec<Call>>) -> Result<(), String> {
        for call in calls.iter().flatten() {
            self.counted.call(call.answer);
        }
        let mut found = self.look();
        if found.is_ok() && self.random.once_in(3) {
            found = self.recover().and_then(|()| self.look());
        }
        found.map_err(|wrong| format!("{wrong}\n{calls:#?}"))
    }
}
