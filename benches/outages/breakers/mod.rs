//! The breakers that are compared, one row of the table each.
//!
//! A breaker is a set of circuits: one for each service, or one for each worker and
//! service. With "own" circuits a worker learns only from its own calls, as in semian.

mod adaptive;
mod classic;
mod gate;
mod none;

use crate::figures::Figures;
use crate::load::WORKERS;
use crate::run::run;
use crate::scenarios::{Lengths, Micros, Scenario};

pub use gate::Settings;

/// The circuits of one breaker. Time only moves on.
pub trait Circuits {
    /// What a call holds from its admission to its report.
    type Ticket;

    fn admit(&mut self, circuit: usize, now: Micros) -> Option<Self::Ticket>;

    fn report(&mut self, circuit: usize, ticket: Self::Ticket, failed: bool, now: Micros);

    /// Called at each full second.
    fn second(&mut self, _now: Micros) {}
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Breaker {
    None,
    Classic,
    Adaptive,
    Brama(Settings),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Each worker has a circuit of its own for each service.
    Own,
    /// One circuit for each service.
    Shared,
}

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    pub breaker: Breaker,
    pub sharing: Sharing,
}

impl Row {
    pub const NONE: Row = Row::new(Breaker::None, Sharing::Shared);
    pub const CLASSIC_OWN: Row = Row::new(Breaker::Classic, Sharing::Own);
    pub const ADAPTIVE_OWN: Row = Row::new(Breaker::Adaptive, Sharing::Own);
    pub const CLASSIC_SHARED: Row = Row::new(Breaker::Classic, Sharing::Shared);
    pub const ADAPTIVE_SHARED: Row = Row::new(Breaker::Adaptive, Sharing::Shared);
    pub const BRAMA_OWN: Row = Row::new(Breaker::Brama(Settings::Recommended), Sharing::Own);
    pub const BRAMA_SHARED: Row = Row::new(Breaker::Brama(Settings::Recommended), Sharing::Shared);
    pub const WITHOUT_RAMP: Row = Row::new(Breaker::Brama(Settings::WithoutRamp), Sharing::Shared);
    pub const DEFAULTS: Row = Row::new(Breaker::Brama(Settings::Defaults), Sharing::Shared);

    /// All that are compared, ours last.
    pub const ALL: [Row; 9] = [
        Row::NONE,
        Row::CLASSIC_OWN,
        Row::ADAPTIVE_OWN,
        Row::CLASSIC_SHARED,
        Row::ADAPTIVE_SHARED,
        Row::BRAMA_OWN,
        Row::BRAMA_SHARED,
        Row::WITHOUT_RAMP,
        Row::DEFAULTS,
    ];

    const fn new(breaker: Breaker, sharing: Sharing) -> Self {
        Row { breaker, sharing }
    }

    pub fn name(self) -> String {
        let sharing = match self.sharing {
            Sharing::Own => "own",
            Sharing::Shared => "shared",
        };
        match self.breaker {
            Breaker::None => "no breaker".to_owned(),
            Breaker::Classic => format!("semian classic, {sharing}"),
            Breaker::Adaptive => format!("semian adaptive, {sharing}"),
            Breaker::Brama(Settings::Recommended) => format!("brama, {sharing}"),
            Breaker::Brama(Settings::WithoutRamp) => format!("brama, {sharing}, no ramp"),
            Breaker::Brama(Settings::Defaults) => format!("brama, {sharing}, defaults"),
        }
    }

    /// Whether this is the library itself, and no model.
    pub fn is_ours(self) -> bool {
        matches!(self.breaker, Breaker::Brama(_))
    }

    /// One run of this breaker.
    pub fn run(self, scenario: &Scenario, lengths: Lengths, seed: u64) -> Figures {
        let services = scenario.services;
        let circuits = match self.sharing {
            Sharing::Own => services * WORKERS,
            Sharing::Shared => services,
        };
        let circuit_of = |call: &crate::load::Call| match self.sharing {
            Sharing::Own => call.worker * services + call.service,
            Sharing::Shared => call.service,
        };
        match self.breaker {
            Breaker::None => run(scenario, lengths, seed, none::None, circuit_of),
            Breaker::Classic => {
                let classic = classic::Classic::new(circuits, scenario.classic_errors);
                run(scenario, lengths, seed, classic, circuit_of)
            }
            Breaker::Adaptive => {
                let adaptive = adaptive::Adaptive::new(circuits, seed);
                run(scenario, lengths, seed, adaptive, circuit_of)
            }
            Breaker::Brama(settings) => {
                let gates = gate::Gates::new(circuits, settings);
                run(scenario, lengths, seed, gates, circuit_of)
            }
        }
    }
}
