//! The calls: an open loop.
//!
//! 300 calls a second, unless the scenario says otherwise, at even intervals. Service,
//! worker, endpoint and the luck that decides about failure are drawn for each call
//! before a breaker is asked. So every breaker sees the same calls, and the bench knows
//! whether a refused call would have succeeded. (Semian's own experiments are a closed
//! loop: a worker that refuses takes the next call at once, which inflates the refusals.)

use rand::RngExt;

use crate::chance::{self, Chance, Purpose};
use crate::scenarios::{BACKGROUND, Condition, Micros, Phase, SECOND, Scenario};

pub const WORKERS: usize = 60;

/// The number of the service that is degraded.
pub const SICK: usize = 0;

const ENDPOINTS: usize = 10;

const MS: Micros = SECOND / 1_000;

/// How long each endpoint takes to answer: 0.15 s on average.
const LATENCY: [Micros; ENDPOINTS] = {
    let (quick, slow) = (100 * MS, 350 * MS);
    [
        quick, quick, quick, quick, quick, quick, quick, quick, slow, slow,
    ]
};

/// After which time the client gives up.
const TIME_OUT: Micros = 10 * SECOND;

/// A call, and its result if the breaker admits it and the service has a place for it.
pub struct Call {
    pub begins: Micros,
    pub phase: usize,
    pub service: usize,
    pub worker: usize,
    pub takes: Micros,
    pub fails: bool,
    /// Whether it is wrong to refuse the call: it would succeed, and its endpoint is not slowed.
    pub is_healthy: bool,
}

/// All calls of a run, by time.
pub struct Load<'p> {
    phases: &'p [Phase],
    services: usize,
    calls_per_second: u64,
    /// For each phase, a bit mask of the sick service's endpoints that are slow.
    slowed: Vec<u16>,
    chance: Chance,
    calls: u64,
    phase: usize,
    /// When the current phase ends.
    ends: Micros,
}

impl<'p> Load<'p> {
    pub fn new(scenario: &Scenario, phases: &'p [Phase], seed: u64) -> Self {
        Load {
            phases,
            services: scenario.services,
            calls_per_second: scenario.calls_per_second,
            slowed: slowed(phases, seed),
            chance: chance::of(seed, Purpose::Calls),
            calls: 0,
            phase: 0,
            ends: phases[0].length,
        }
    }
}

/// For each phase, a bit mask of the slow endpoints. Each `SlowEndpoint` phase adds one at
/// random, which may be slow already. All stay slow until a phase of another condition.
fn slowed(phases: &[Phase], seed: u64) -> Vec<u16> {
    let mut chance = chance::of(seed, Purpose::SlowEndpoints);
    let slowed = phases.iter().scan(0_u16, |slowed, phase| {
        *slowed = match phase.condition {
            Condition::SlowEndpoint => *slowed | 1 << chance.random_range(0..ENDPOINTS),
            _ => 0,
        };
        Some(*slowed)
    });
    slowed.collect()
}

impl Iterator for Load<'_> {
    type Item = Call;

    fn next(&mut self) -> Option<Call> {
        let begins = self.calls * SECOND / self.calls_per_second;
        while begins >= self.ends {
            self.phase += 1;
            self.ends += self.phases.get(self.phase)?.length;
        }
        self.calls += 1;
        let service = self.chance.random_range(0..self.services);
        let worker = self.chance.random_range(0..WORKERS);
        let endpoint = self.chance.random_range(0..ENDPOINTS);
        let luck: f64 = self.chance.random();

        let condition = self.phases[self.phase].condition;
        let is_sick = service == SICK;
        let is_slowed = is_sick && self.slowed[self.phase] >> endpoint & 1 == 1;
        let times_out = is_sick && condition == Condition::TimesOut;
        let rate = match condition {
            Condition::Errors(rate) => rate,
            _ => BACKGROUND,
        };
        let mut latency = LATENCY[endpoint];
        if times_out {
            latency += 9_950 * MS;
        }
        if is_slowed {
            latency += 9_500 * MS;
        }
        let has_error = luck < rate;
        let takes = match has_error {
            true => latency * 3 / 10,
            false => latency.min(TIME_OUT),
        };
        Some(Call {
            begins,
            phase: self.phase,
            service,
            worker,
            takes,
            fails: has_error || latency > TIME_OUT,
            is_healthy: !has_error && !times_out && !is_slowed,
        })
    }
}
