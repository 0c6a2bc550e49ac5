//! The service that goes through an outage: two instances, a balancer that takes turns, a cache.
//!
//! Nothing in it is random. When it comes back its cache is empty, and it can
//! serve only a few calls a second. Each call that it serves fills the cache,
//! so that it can serve more. Calls beyond that fail, and it can serve fewer.

/// Time in the play, in ms.
pub type Ms = u64;

/// The condition of the service.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Healthy,
    HalfDown,
    Down,
    Cold,
}

/// The phases in the order in which they begin.
pub const PHASES: [(Ms, Phase); 4] = [
    (0, Phase::Healthy),
    (6_000, Phase::HalfDown),
    (18_000, Phase::Down),
    (28_000, Phase::Cold),
];

impl Phase {
    pub fn at(now: Ms) -> Self {
        let begun = PHASES.iter().rev().find(|(from, _)| *from <= now);
        begun.map_or(Phase::Healthy, |(_, phase)| *phase)
    }

    pub fn label(self) -> &'static str {
        match self {
            Phase::Healthy => "well",
            Phase::HalfDown => "one down",
            Phase::Down => "both down",
            Phase::Cold => "back, with an empty cache",
        }
    }
}

/// How many calls a second the service can serve with an empty cache.
const COLD: f64 = 12.0;
/// How many more calls a second it can serve after each call that
/// it has served, and how many fewer after each that was too much.
const WARMER: f64 = 0.8;
const COOLER: f64 = 0.4;
/// For how many calls at most it saves capacity up while it is idle.
const SPARE: f64 = 2.0;

pub struct Service {
    /// Calls that the balancer has sent on.
    turns: u64,
    calls_per_second: f64,
    /// How many calls it can serve now.
    room: f64,
    since: Ms,
}

impl Service {
    pub fn new() -> Self {
        Service {
            turns: 0,
            calls_per_second: COLD,
            room: SPARE,
            since: 0,
        }
    }

    pub fn answer(&mut self, now: Ms) -> Result<(), &'static str> {
        self.turns += 1;
        match Phase::at(now) {
            Phase::Healthy => Ok(()),
            Phase::HalfDown if self.turns.is_multiple_of(2) => Ok(()),
            Phase::HalfDown | Phase::Down => Err("connection refused"),
            Phase::Cold => self.answer_cold(now),
        }
    }

    fn answer_cold(&mut self, now: Ms) -> Result<(), &'static str> {
        let idle = (now - self.since) as f64 / 1_000.0;
        self.since = now;
        self.room = (self.room + idle * self.calls_per_second).min(SPARE);
        if self.room < 1.0 {
            self.calls_per_second = (self.calls_per_second - COOLER).max(COLD);
            return Err("overloaded");
        }
        self.room -= 1.0;
        self.calls_per_second += WARMER;
        Ok(())
    }
}
