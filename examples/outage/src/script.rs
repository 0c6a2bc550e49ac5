//! The script: the services, their outages, and the run's clock.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a server behaves during one phase of its script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Answers 200 at once.
    Healthy,
    /// Answers 500 at once.
    Errors,
    /// Reads the request and never answers.
    Hanging,
    /// Does not listen: the port is closed.
    Refusing,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Mode::Healthy => "healthy",
            Mode::Errors => "errors",
            Mode::Hanging => "hanging",
            Mode::Refusing => "refusing",
        })
    }
}

/// A dependency of the imagined application.
pub struct Service {
    pub scope: Option<&'static str>,
    pub identifier: &'static str,
    /// Its own `max_attempts`. `None`: that of the manager.
    pub max_attempts: Option<u32>,
    /// The phases, each with the fraction of the run at which it starts.
    pub phases: &'static [(f64, Mode)],
}

impl Service {
    pub fn label(&self) -> String {
        label(self.scope, self.identifier)
    }

    /// Whether the script has any phase that is not healthy.
    pub fn fails(&self) -> bool {
        self.phases.iter().any(|&(_, mode)| mode != Mode::Healthy)
    }
}

pub fn label(scope: Option<&str>, identifier: &str) -> String {
    match scope {
        Some(scope) => format!("{scope}/{identifier}"),
        None => identifier.to_owned(),
    }
}

pub const SERVICES: [Service; 3] = [
    Service {
        scope: None,
        identifier: "payment_api",
        max_attempts: None,
        phases: &[
            (0.0, Mode::Healthy),
            (0.15, Mode::Errors),
            (0.35, Mode::Hanging),
            (0.55, Mode::Refusing),
            (0.70, Mode::Healthy),
        ],
    },
    Service {
        scope: Some("shop"),
        identifier: "search_api",
        max_attempts: Some(3),
        phases: &[
            (0.0, Mode::Healthy),
            (0.40, Mode::Refusing),
            (0.60, Mode::Healthy),
        ],
    },
    Service {
        scope: None,
        identifier: "catalog_api",
        max_attempts: None,
        phases: &[(0.0, Mode::Healthy)],
    },
];

/// The clock and the off switches that all threads of a run share.
pub struct Run {
    start: Instant,
    pub length: Duration,
    aborted: AtomicBool,
    drained: AtomicBool,
}

impl Run {
    pub fn start(length: Duration) -> Run {
        Run {
            start: Instant::now(),
            length,
            aborted: AtomicBool::new(false),
            drained: AtomicBool::new(false),
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Whether no new calls may begin.
    pub fn is_over(&self) -> bool {
        self.aborted.load(Ordering::Relaxed) || self.elapsed() >= self.length
    }

    /// Ends the run early, after an error.
    pub fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
    }

    /// Whether all callers have ended, so that the servers may end, too.
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire)
    }

    /// Called when the last caller has been joined.
    pub fn set_drained(&self) {
        self.drained.store(true, Ordering::Release);
    }

    /// The mode that `phases` has for the current time.
    pub fn mode(&self, phases: &[(f64, Mode)]) -> Mode {
        let fraction = self.elapsed().as_secs_f64() / self.length.as_secs_f64();
        let started = phases.iter().rev().find(|&&(from, _)| from <= fraction);
        started.map_or(Mode::Healthy, |&(_, mode)| mode)
    }
}
