//! A storm: threads that are stopped at random instructions report into small rings. After each
//! round the counts must be those of the last positions.
//!
//! `BRAMA_STORM_SECONDS` says how long it lasts, `BRAMA_STORM_SEED` repeats one that has failed.

use super::*;
use crate::values::key::scramble;
use common::storm::{Call, Rounds, play, storm};

#[allow(dead_code)]
#[path = "../../../../tests/common"]
mod common {
    pub mod preempt;
    pub mod storm;
}

const SECONDS: u64 = 3;
const THREADS: u64 = 3;
const ROUNDS: u64 = 2_000;
/// The number of operations of each thread in a round.
const OPERATIONS: u64 = 6;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Report(Outcome),
    Restart,
}

/// The position that an operation took, if it was a report.
type Answer = Option<(u64, u64, u32)>;

struct Weather<'a> {
    ring: &'a LastCalls,
    seed: u64,
    round: u64,
    /// The outcomes of the last positions, in order.
    last: Vec<((u64, u64, u32), Outcome)>,
}

impl Weather<'_> {
    fn operation(&self, thread: u64, number: u64) -> Operation {
        let position = (self.round * THREADS + thread) * OPERATIONS + number;
        let random = scramble(self.seed.wrapping_mul(1 << 24).wrapping_add(position));
        match random % 64 {
            0 => Operation::Restart,
            1..32 => Operation::Report(GOOD),
            _ => Operation::Report(outcome(random >> 32)),
        }
    }
}

impl Rounds for Weather<'_> {
    type Op = Operation;
    type Answer = Answer;

    fn next(&mut self) -> Option<Vec<Vec<Vec<Operation>>>> {
        self.round += 1;
        (self.round <= ROUNDS).then(|| {
            let part = |thread| (0..OPERATIONS).map(move |number| (thread, number));
            let parts = (0..THREADS).map(|thread| {
                part(thread)
                    .map(|(thread, number)| self.operation(thread, number))
                    .collect()
            });
            vec![parts.collect()]
        })
    }

    fn check(&mut self, calls: Vec<Vec<Call<Operation, Answer>>>) -> Result<(), String> {
        for call in calls.iter().flatten() {
            if let (Operation::Report(outcome), Some(position)) = (call.op, call.answer) {
                self.last.push((position, outcome));
            }
        }
        self.last.sort_by_key(|&(position, _)| position);
        let epoch = self.ring.read_head().epoch().number();
        self.last.retain(|(position, _)| position.0 == epoch);
        let many = self.ring.shape.slots() as usize;
        self.last.drain(..self.last.len().saturating_sub(many));
        let exact = counts_of(self.last.iter().map(|(_, outcome)| outcome));
        let now = self.ring.now();
        if now == exact {
            return Ok(());
        }
        Err(format!(
            "{now:?}, and not {exact:?} of the last {many}: {calls:#?}"
        ))
    }
}

#[test]
fn the_last_positions_count_whenever_threads_are_stopped() {
    storm("last calls", SECONDS, |seed| {
        let ring = LastCalls::new(1 + (seed % 5) as u32);
        let (round, last) = (0, Vec::new());
        let mut weather = Weather {
            ring: &ring,
            seed,
            round,
            last,
        };
        play(&mut weather, THREADS as usize, seed, |_| {
            |operation: &Operation| match *operation {
                Operation::Restart => {
                    ring.restart(generation(1));
                    None
                }
                Operation::Report(outcome) => {
                    let claim = ring.begin();
                    ring.settle(claim, outcome);
                    Some(claim.order())
                }
            }
        })
    });
}
