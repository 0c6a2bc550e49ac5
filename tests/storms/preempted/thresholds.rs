//! Storms on the rates of one circuit: when a rate opens it.
//!
//! Before each round the circuit is reset, and has some good calls. Then threads report
//! bad ones at once: exactly as many as the rate needs, or one fewer. With as many, the
//! circuit is open afterwards, and the status shows all of them that the rate counts.
//! With one fewer the circuit stays closed, and the next bad call opens it.
//!
//! That holds for every interleaving. Each bad call is counted before its thread applies the
//! rules. So the thread whose call is counted last finds all of them, and no thread finds more.
//! A call with a permit may turn out to be stale, if another thread has opened the circuit
//! since it was counted. A success is then taken back, perhaps before the status is written.

use brama::{Cause, ConnectionOptions, State};

use super::rate_hands::{Answer, Hands, Id, Kind, Op, Over, SLOW, counts, shape};
use crate::common::random::Random;
use crate::common::storm::{self, Rounds};
use crate::common::{manager_with, ms};

const THREADS: usize = 3;
const ROUNDS: u64 = 30;
const MOST_BAD: u64 = 9;

const GOOD: Kind = Kind {
    failed: false,
    slow: false,
};

/// What the status has to show after a round.
struct Expected {
    /// Successes, failures and slow calls.
    counts: [u64; 3],
    cause: Cause,
    /// How many more good calls count while the bad one is missing.
    before: u64,
    /// The bad call that is missing, if one is.
    missing: Option<Kind>,
}

struct Storm<'a> {
    random: Random,
    hands: Hands<'a>,
    rounds_left: u64,
    length: u64,
    last_permit: Id,
    expected: Expected,
}

/// One storm with this seed: how many rounds it had, or what is wrong.
pub fn tempest(over: Over, seed: u64) -> Result<u64, String> {
    let mut random = Random::new(seed);
    let length = match over {
        Over::Time => random.pick(&[1_000, 1_001, 3_000]),
        Over::Calls => 10 + random.below(8),
    };
    let (brama, clock) = manager_with(|builder| {
        let builder = builder.unlimited_attempts().failure_rate(1.0);
        builder.slow_call_duration(ms(SLOW)).minimum_calls(1)
    });
    let db = brama
        .register("db", shape(over, length))
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
        length,
        last_permit: 0,
        expected: Expected {
            counts: [0; 3],
            cause: Cause::Manual,
            before: 0,
            missing: None,
        },
    };
    storm::play(&mut storm, THREADS, seed, |number| {
        let mut hands = hands(number);
        move |op: &Op| hands.act(*op)
    })
}

fn add(counts: &mut [u64; 3], kind: Kind) {
    for (count, is) in counts
        .iter_mut()
        .zip([!kind.failed, kind.failed, kind.slow])
    {
        *count += u64::from(is);
    }
}

impl Storm<'_> {
    fn bad(&mut self, cause: Cause) -> Kind {
        let other = self.random.once_in(3);
        match cause {
            Cause::FailureRate => Kind {
                failed: true,
                slow: other,
            },
            _ => Kind {
                failed: other,
                slow: true,
            },
        }
    }

    /// Sets the rules by which `bad` bad calls open the circuit, and reports
    /// good calls: first some that do not count, then those that do.
    fn prepare(&mut self, bad: u64, cause: Cause) {
        let over = self.hands.over;
        let good = match over {
            Over::Time => self.random.below(12),
            Over::Calls => self.length - bad,
        };
        let all = good + bad;
        // Without good calls a single bad one is a rate of 1. So the rate needs all calls then.
        let minimum = if good == 0 {
            all
        } else {
            1 + self.random.below(all)
        };
        let rate = bad as f64 / all as f64;
        let (failure_rate, slow_call_rate) = match cause {
            Cause::FailureRate => (Some(rate), None),
            _ => (None, Some(rate)),
        };
        let rules = ConnectionOptions::new()
            .failure_rate(failure_rate)
            .slow_call_rate(slow_call_rate)
            .minimum_calls(minimum as u32);
        self.hands.db.configure(rules).expect("valid settings");
        self.hands.act(Op::Reset);
        let calls = |storm: &mut Self, many| {
            for _ in 0..many {
                storm.hands.act(Op::Report(GOOD));
            }
        };
        let before = self.random.below(20);
        calls(self, before);
        if over == Over::Time {
            let by = self.length + self.random.below(self.length);
            self.hands.act(Op::Advance(by));
        }
        calls(self, good);
        self.expected.counts = [good, 0, 0];
        // The last good call before these has the place of the bad call that is missing.
        self.expected.before = u64::from(over == Over::Calls).min(before);
    }

    /// Checks the status while no call runs. `stale`: how many calls were answered as stale.
    fn expect(&self, state: State, trips: u32, stale: u64) -> Result<(), String> {
        let status = self.hands.db.status().expect("registered");
        let Expected {
            counts: wanted,
            cause,
            ..
        } = &self.expected;
        let counted = counts(self.hands.db);
        let is_cause = state == State::Closed || status.cause == Some(*cause);
        let is_counted = counted.is_some_and(|[successes, failures, slow]| {
            // A failure is counted before it is counted as slow, and may have opened the circuit.
            let is_slow_enough = match (state, cause) {
                (State::Open, Cause::FailureRate) => slow <= wanted[2],
                _ => slow == wanted[2],
            };
            let least = wanted[0].saturating_sub(stale);
            (least..=wanted[0]).contains(&successes) && failures == wanted[1] && is_slow_enough
        });
        match status.state == state && status.trips == trips && is_cause && is_counted {
            true => Ok(()),
            false => Err(format!(
                "{counted:?}, {wanted:?} by {cause:?} and {state:?} wanted, in {status:#?}"
            )),
        }
    }
}

impl Rounds for Storm<'_> {
    type Op = Op;
    type Answer = Answer;

    fn next(&mut self) -> Option<Vec<Vec<Vec<Op>>>> {
        self.rounds_left = self.rounds_left.checked_sub(1)?;
        // Threads that have none get cells.
        self.hands.brama.poll();
        let cause = self.random.pick(&[Cause::FailureRate, Cause::SlowCallRate]);
        let bad = 1 + self.random.below(MOST_BAD);
        self.prepare(bad, cause);
        let misses_one = self.random.once_in(3);
        let [mut acquire, mut report] = [(); 2].map(|()| vec![Vec::new(); THREADS]);
        for _ in u64::from(misses_one)..bad {
            let kind = self.bad(cause);
            add(&mut self.expected.counts, kind);
            let thread = self.random.below(THREADS as u64) as usize;
            report[thread].push(match self.random.once_in(2) {
                true => Op::Report(kind),
                false => {
                    self.last_permit += 1;
                    acquire[thread].push(Op::Acquire(self.last_permit));
                    Op::Settle(self.last_permit, kind)
                }
            });
        }
        if self.hands.over == Over::Time && self.random.once_in(3) {
            let place = self.random.below(report[0].len() as u64 + 1) as usize;
            report[0].insert(place, Op::Advance(self.length / 10));
        }
        self.expected.cause = cause;
        if misses_one {
            self.expected.counts[0] += self.expected.before;
        }
        self.expected.missing = misses_one.then(|| self.bad(cause));
        Some(vec![acquire, report])
    }

    fn check(&mut self, calls: Vec<Vec<storm::Call<Op, Answer>>>) -> Result<(), String> {
        let stale = calls
            .iter()
            .flatten()
            .filter(|call| call.answer == Answer::Stale);
        let stale = stale.count() as u64;
        let found = match self.expected.missing {
            None => self.expect(State::Open, 1, stale),
            Some(bad) => self.expect(State::Closed, 0, 0).and_then(|()| {
                self.expected.counts[0] -= self.expected.before;
                self.hands.act(Op::Report(bad));
                add(&mut self.expected.counts, bad);
                self.expect(State::Open, 1, 0)
            }),
        };
        found.map_err(|wrong| format!("{wrong}\n{calls:#?}"))
    }
}
