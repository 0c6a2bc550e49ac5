//! One run of a scenario with a breaker and a seed, in virtual time.
//!
//! Events are answers, calls that give up waiting for a place, and the calls that begin. Nothing here
//! depends on the machine or on real time.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use crate::breakers::Circuits;
use crate::figures::Figures;
use crate::load::{Call, Load, SICK};
use crate::scenarios::{Lengths, Micros, SECOND, Scenario};

/// How long a call waits for a place in a service whose places are all taken.
const PATIENCE: Micros = SECOND;

/// A call that was admitted.
struct InFlight<T> {
    call: Call,
    circuit: usize,
    ticket: T,
}

enum Event<T> {
    Answer(InFlight<T>),
    /// The call that has waited longest for a place of this service may have waited enough.
    Patience(usize),
}

struct Due<T> {
    at: Micros,
    /// Of two events at the same time, the one that was planned first comes first.
    order: u64,
    event: Event<T>,
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Due<T> {}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A service that works on so many calls at once.
struct Service<T> {
    free: usize,
    /// Waiting calls in the order in which they came, each with the time at which it gives up.
    waiting: VecDeque<(Micros, InFlight<T>)>,
}

struct Run<'s, C: Circuits> {
    scenario: &'s Scenario,
    circuits: C,
    /// By phase.
    degraded: Vec<bool>,
    due: BinaryHeap<Reverse<Due<C::Ticket>>>,
    planned: u64,
    services: Vec<Service<C::Ticket>>,
    in_flight: usize,
    next_second: Micros,
    figures: Figures,
}

/// The figures of a breaker in this scenario. `circuit_of`
/// returns the number of the circuit that a call asks.
pub fn run<C: Circuits>(
    scenario: &Scenario,
    lengths: Lengths,
    seed: u64,
    circuits: C,
    circuit_of: impl Fn(&Call) -> usize,
) -> Figures {
    let phases = scenario.lasting(lengths, seed);
    let service = |_| Service {
        free: scenario.places.unwrap_or(usize::MAX),
        waiting: VecDeque::new(),
    };
    let mut run = Run {
        scenario,
        circuits,
        degraded: phases.iter().map(|phase| phase.is_degraded()).collect(),
        due: BinaryHeap::new(),
        planned: 0,
        services: (0..scenario.services).map(service).collect(),
        in_flight: 0,
        next_second: SECOND,
        figures: Figures::default(),
    };
    for call in Load::new(scenario, &phases, seed) {
        run.advance(call.begins);
        let circuit = circuit_of(&call);
        run.begin(call, circuit);
    }
    run.figures
}

impl<C: Circuits> Run<'_, C> {
    /// Handles everything that is due until `now`.
    fn advance(&mut self, now: Micros) {
        let is_due = |Reverse(due): &Reverse<Due<_>>| due.at <= now;
        while self.due.peek().is_some_and(is_due) {
            let Some(Reverse(due)) = self.due.pop() else {
                return;
            };
            self.tick(due.at);
            match due.event {
                Event::Answer(answered) => {
                    let service = answered.call.service;
                    let failed = answered.call.fails;
                    self.report(answered, failed, due.at);
                    self.leave(service, due.at);
                }
                Event::Patience(service) => self.give_up(service, due.at),
            }
        }
        self.tick(now);
    }

    /// Calls [`Circuits::second`] for each second that has begun.
    fn tick(&mut self, now: Micros) {
        while self.next_second <= now {
            self.circuits.second(self.next_second);
            self.next_second += SECOND;
        }
    }

    fn begin(&mut self, call: Call, circuit: usize) {
        let now = call.begins;
        let is_degraded = self.degraded[call.phase];
        let callers = self.scenario.callers;
        if callers.is_some_and(|callers| self.in_flight >= callers) {
            self.figures.not_served(&call, is_degraded);
            return;
        }
        let Some(ticket) = self.circuits.admit(circuit, now) else {
            self.figures.not_served(&call, is_degraded);
            return;
        };
        self.in_flight += 1;
        let admitted = InFlight {
            call,
            circuit,
            ticket,
        };
        self.enter(admitted, now);
    }

    /// Takes a place in the service, or waits for one.
    fn enter(&mut self, admitted: InFlight<C::Ticket>, now: Micros) {
        let number = admitted.call.service;
        let service = &mut self.services[number];
        if service.free == 0 {
            service.waiting.push_back((now + PATIENCE, admitted));
            self.plan(now + PATIENCE, Event::Patience(number));
        } else {
            service.free -= 1;
            self.plan(now + admitted.call.takes, Event::Answer(admitted));
        }
    }

    /// Frees a place, and gives it to the call that has waited longest.
    fn leave(&mut self, number: usize, now: Micros) {
        let service = &mut self.services[number];
        service.free += 1;
        if let Some((_, admitted)) = service.waiting.pop_front() {
            self.enter(admitted, now);
        }
    }

    fn give_up(&mut self, number: usize, now: Micros) {
        let waiting = &mut self.services[number].waiting;
        // If a place became free in time, another call is the first by now.
        if waiting.front().is_some_and(|(until, _)| *until <= now)
            && let Some((_, admitted)) = waiting.pop_front()
        {
            self.report(admitted, true, now);
        }
    }

    fn report(&mut self, answered: InFlight<C::Ticket>, failed: bool, now: Micros) {
        self.in_flight -= 1;
        let InFlight {
            call,
            circuit,
            ticket,
        } = answered;
        if failed && call.service == SICK && self.degraded[call.phase] {
            self.figures.failed += 1;
        }
        self.circuits.report(circuit, ticket, failed, now);
    }

    fn plan(&mut self, at: Micros, event: Event<C::Ticket>) {
        self.planned += 1;
        let order = self.planned;
        self.due.push(Reverse(Due { at, order, event }));
    }
}
