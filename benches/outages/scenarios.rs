//! The nine scenarios that Shopify published in the folder `experiments` of semian.
//!
//! A scenario is a sequence of phases, each with a condition. An outage is what lies
//! between two healthy phases. How long outages are is chance, and a breaker that opens
//! for 15 s looks better or worse if 15 s divides the length. So each scenario is run
//! twice: with the published lengths, and with outages 0.75 to 1.5 times as long.

use rand::RngExt;

use crate::chance::{self, Purpose};

/// Virtual time, in µs since the run began.
pub type Micros = u64;

pub const SECOND: Micros = 1_000_000;

/// The share of calls that fail in a healthy phase, and always to services that nothing is wrong with.
pub const BACKGROUND: f64 = 0.01;

/// How many calls a second there are unless a scenario says otherwise.
pub const CALLS_PER_SECOND: u64 = 300;

/// What is wrong in a phase.
#[derive(Clone, Copy, PartialEq)]
pub enum Condition {
    Healthy,
    /// So many calls fail.
    Errors(f64),
    /// Calls to one service take 9.95 s longer: all of them end in the client's time-out.
    TimesOut,
    /// One more endpoint of one service takes 9.5 s longer.
    SlowEndpoint,
}

pub struct Phase {
    pub condition: Condition,
    pub length: Micros,
}

impl Phase {
    pub fn is_degraded(&self) -> bool {
        self.condition != Condition::Healthy
    }
}

pub struct Scenario {
    pub name: &'static str,
    pub calls_per_second: u64,
    pub phases: Vec<Phase>,
    pub services: usize,
    /// How many errors in 20 s open semian's classic
    /// breaker. Semian's experiments set it by scenario.
    pub classic_errors: usize,
    /// How many calls can be in flight at once.
    pub callers: Option<usize>,
    /// How many calls each service works on at once.
    pub places: Option<usize>,
}

/// How long the outages last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lengths {
    Published,
    /// 0.75 to 1.5 times as long, by the seed.
    Varied,
}

impl Lengths {
    pub const ALL: [Lengths; 2] = [Lengths::Published, Lengths::Varied];

    pub fn name(self) -> &'static str {
        match self {
            Lengths::Published => "published lengths",
            Lengths::Varied => "varied lengths",
        }
    }
}

pub fn all() -> Vec<Scenario> {
    use Condition::{Errors, Healthy, SlowEndpoint, TimesOut};
    let errors = |name, seconds: u64, conditions: &[(usize, &[Condition])]| {
        let repeated = conditions
            .iter()
            .flat_map(|(times, part)| part.repeat(*times));
        let phase = |condition| Phase {
            condition,
            length: seconds * SECOND,
        };
        Scenario {
            name,
            calls_per_second: CALLS_PER_SECOND,
            phases: repeated.map(phase).collect(),
            services: 1,
            classic_errors: 12,
            callers: None,
            places: None,
        }
    };
    let slow = |name, condition, classic_errors, places| Scenario {
        services: 10,
        classic_errors,
        callers: Some(60),
        places,
        ..errors(
            name,
            30,
            &[(1, &[Healthy]), (10, &[condition]), (3, &[Healthy])],
        )
    };
    let gradual = [0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05].map(Errors);
    let spike = |name, rate| {
        let conditions: [(usize, &[Condition]); 3] =
            [(3, &[Healthy]), (1, &[Errors(rate)]), (3, &[Healthy])];
        errors(name, 20, &conditions)
    };
    vec![
        errors(
            "near target",
            30,
            &[(1, &[Healthy]), (4, &[Errors(0.012)]), (1, &[Healthy])],
        ),
        errors(
            "gradual increase",
            60,
            &[(1, &[Healthy]), (1, &gradual), (1, &[Healthy])],
        ),
        errors(
            "oscillating",
            10,
            &[
                (2, &[Healthy]),
                (9, &[Errors(0.02), Errors(0.06)]),
                (2, &[Healthy]),
            ],
        ),
        spike("spike 20 %", 0.2),
        spike("spike 100 %", 1.0),
        errors(
            "spikes 20/60/100 %",
            20,
            &[
                (3, &[Healthy]),
                (1, &[Errors(0.2)]),
                (3, &[Healthy]),
                (1, &[Errors(0.6)]),
                (3, &[Healthy]),
                (1, &[Errors(1.0)]),
                (3, &[Healthy]),
            ],
        ),
        errors(
            "sustained 20 %",
            30,
            &[(4, &[Healthy]), (10, &[Errors(0.2)]), (4, &[Healthy])],
        ),
        slow("one of many", TimesOut, 2, None),
        slow("slow query", SlowEndpoint, 3, Some(15)),
    ]
}

impl Scenario {
    /// The same, with more calls a second or fewer.
    pub fn at(self, calls_per_second: u64) -> Self {
        Scenario {
            calls_per_second,
            ..self
        }
    }

    /// The phases, with their lengths for this seed.
    pub fn lasting(&self, lengths: Lengths, seed: u64) -> Vec<Phase> {
        let mut chance = chance::of(seed, Purpose::Lengths);
        let mut phases = Vec::new();
        for outage in self
            .phases
            .chunk_by(|a, b| a.is_degraded() == b.is_degraded())
        {
            let factor = match lengths {
                Lengths::Varied if outage[0].is_degraded() => chance.random_range(0.75..1.5),
                _ => 1.0,
            };
            phases.extend(outage.iter().map(|phase| Phase {
                condition: phase.condition,
                length: (phase.length as f64 * factor) as Micros,
            }));
        }
        phases
    }

    /// Whether each phase is healthy, or lets a share of the calls fail.
    pub fn is_of_errors(&self) -> bool {
        let conditions = self.phases.iter().map(|phase| phase.condition);
        conditions
            .into_iter()
            .all(|condition| matches!(condition, Condition::Healthy | Condition::Errors(_)))
    }
}
