//! A model of semian's classic breaker, with the settings of its experiments.
//!
//! It opens at the n-th error within 20 s. A success clears no error. It stays
//! open until 15 s after the latest error, even if that error arrives while it
//! is open. While half-open it limits no calls: two successes close it, one
//! error opens it again. A report counts in the state in which it arrives.

use std::collections::VecDeque;

use super::Circuits;
use crate::scenarios::{Micros, SECOND};

const WINDOW: Micros = 20 * SECOND;
const OPEN: Micros = 15 * SECOND;
const SUCCESSES: usize = 2;

enum State {
    Closed,
    Open,
    HalfOpen { successes: usize },
}

struct Circuit {
    state: State,
    /// The times of the latest errors, at most as many as open it.
    errors: VecDeque<Micros>,
}

pub struct Classic {
    /// How many errors open a circuit.
    threshold: usize,
    circuits: Vec<Circuit>,
}

impl Classic {
    pub fn new(circuits: usize, threshold: usize) -> Self {
        let circuit = || Circuit {
            state: State::Closed,
            errors: VecDeque::with_capacity(threshold),
        };
        Classic {
            threshold,
            circuits: std::iter::repeat_with(circuit).take(circuits).collect(),
        }
    }
}

impl Circuits for Classic {
    type Ticket = ();

    fn admit(&mut self, circuit: usize, now: Micros) -> Option<()> {
        let circuit = &mut self.circuits[circuit];
        if let State::Open = circuit.state {
            let latest = circuit.errors.back();
            if latest.is_none_or(|latest| latest + OPEN >= now) {
                return None;
            }
            circuit.state = State::HalfOpen { successes: 0 };
        }
        Some(())
    }

    fn report(&mut self, circuit: usize, _ticket: (), failed: bool, now: Micros) {
        let circuit = &mut self.circuits[circuit];
        if failed {
            circuit.errors.retain(|error| error + WINDOW >= now);
            if circuit.errors.len() == self.threshold {
                circuit.errors.pop_front();
            }
            circuit.errors.push_back(now);
            let opens = match circuit.state {
                State::Closed => circuit.errors.len() == self.threshold,
                State::Open => false,
                State::HalfOpen { .. } => true,
            };
            if opens {
                circuit.state = State::Open;
            }
        } else if let State::HalfOpen { successes } = &mut circuit.state {
            *successes += 1;
            if *successes == SUCCESSES {
                circuit.state = State::Closed;
                circuit.errors.clear();
            }
        }
    }
}
