//! A lane: one setting of brama, a service of its own, and the results of its calls.
//!
//! All lanes get the same calls at the same time. The clock is brama's
//! manual clock, so a minute takes only as long as drawing it.

use std::time::Duration;

use brama::{Brama, CallError, Connection, ConnectionOptions, Error, ManualClock, State};

use crate::service::{Ms, Service};

/// The length of the play, in ms.
pub const LENGTH: Ms = 70_000;

/// The time between two calls, in ms.
pub const INTERVAL: Ms = 10;

pub const CALLS_PER_SECOND: u64 = 1_000 / INTERVAL;

/// A setting to compare.
pub struct Strategy {
    pub name: &'static str,
    pub says: &'static str,
    options: fn() -> ConnectionOptions,
}

pub const STRATEGIES: [Strategy; 3] = [
    Strategy {
        name: "counting",
        says: "9 failures in a row",
        options: counting,
    },
    Strategy {
        name: "rate",
        says: "or half of 20 calls or more",
        options: rate,
    },
    Strategy {
        name: "ramp",
        says: "the same, and a ramp of 10 s",
        options: ramp,
    },
];

fn counting() -> ConnectionOptions {
    ConnectionOptions::new()
        .max_attempts(9)
        .expiry(Duration::from_secs(5))
        .half_open_max_calls(2)
        .half_open_successes(2)
}

fn rate() -> ConnectionOptions {
    counting().failure_rate(0.5)
}

fn ramp() -> ConnectionOptions {
    rate().ramp(Duration::from_secs(10))
}

/// The results of the calls of one second.
#[derive(Clone, Copy, Default)]
pub struct Calls {
    pub served: u64,
    pub failed: u64,
    pub refused: u64,
}

/// The state of a circuit, as it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Light {
    Closed,
    Open,
    Probing,
    Ramp,
}

impl Light {
    pub fn label(self) -> &'static str {
        match self {
            Light::Closed => "closed",
            Light::Open => "open",
            Light::Probing => "half-open",
            Light::Ramp => "ramp",
        }
    }
}

pub struct Lane {
    pub strategy: &'static Strategy,
    connection: Connection,
    service: Service,
    /// The results of each second.
    pub seconds: Vec<Calls>,
    pub light: Light,
    /// When the light changed, and to what.
    pub changes: Vec<(Ms, Light)>,
}

impl Lane {
    fn call(&mut self, now: Ms) -> Result<(), Error> {
        let second = (now / 1_000) as usize;
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, Calls::default());
        }
        let calls = &mut self.seconds[second];
        match self.connection.call(|| self.service.answer(now)) {
            Ok(()) => calls.served += 1,
            Err(CallError::Rejected(_)) => calls.refused += 1,
            Err(_) => calls.failed += 1,
        }
        self.look(now)
    }

    fn look(&mut self, now: Ms) -> Result<(), Error> {
        let status = self.connection.status()?;
        let light = match (status.state, status.ramp_share) {
            (_, Some(_)) => Light::Ramp,
            (State::Closed, _) => Light::Closed,
            (State::HalfOpen, _) => Light::Probing,
            _ => Light::Open,
        };
        if light != self.light {
            self.light = light;
            self.changes.push((now, light));
        }
        Ok(())
    }

    pub fn total(&self) -> Calls {
        let sum = |of: fn(&Calls) -> u64| self.seconds.iter().map(of).sum();
        Calls {
            served: sum(|calls| calls.served),
            failed: sum(|calls| calls.failed),
            refused: sum(|calls| calls.refused),
        }
    }

    /// The end of the last second in which a call failed or was refused.
    /// `None` if there is no such second, or if it is the last of the play.
    pub fn well_since(&self) -> Option<Ms> {
        let bad = |calls: &Calls| calls.failed + calls.refused > 0;
        let last = self.seconds.iter().rposition(bad)?;
        let well = (last as Ms + 1) * 1_000;
        (well < LENGTH).then_some(well)
    }
}

/// The lanes, and the time that they share.
pub struct Play {
    clock: ManualClock,
    pub now: Ms,
    pub lanes: Vec<Lane>,
    /// The connections work as long as their manager lives.
    _brama: Brama,
}

impl Play {
    pub fn new() -> Result<Self, Error> {
        let clock = ManualClock::new();
        let brama = Brama::builder()
            .clock(clock.clone())
            .background(false)
            .build()?;
        let lane = |strategy: &'static Strategy| {
            Ok(Lane {
                strategy,
                connection: brama.register(strategy.name, (strategy.options)())?,
                service: Service::new(),
                seconds: Vec::new(),
                light: Light::Closed,
                changes: Vec::new(),
            })
        };
        Ok(Play {
            clock,
            now: 0,
            lanes: STRATEGIES.iter().map(lane).collect::<Result<_, Error>>()?,
            _brama: brama,
        })
    }

    pub fn is_over(&self) -> bool {
        self.now >= LENGTH
    }

    /// One call in each lane.
    pub fn step(&mut self) -> Result<(), Error> {
        for lane in &mut self.lanes {
            lane.call(self.now)?;
        }
        self.now += INTERVAL;
        self.clock.advance(Duration::from_millis(INTERVAL));
        Ok(())
    }
}
