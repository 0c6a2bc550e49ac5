//! brama: the library itself, through its public interface, under its manual clock.
//!
//! The clock counts milliseconds, as the library does. There is no
//! background thread: the first call that looks makes what is due happen.

use std::time::Duration;

use brama::{Brama, Connection, ConnectionOptions, ManualClock, Permit};

use super::Circuits;
use crate::scenarios::Micros;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settings {
    /// The settings that the guide recommends to begin with.
    Recommended,
    /// The same, except that the circuit closes at once when the probes have succeeded.
    WithoutRamp,
    /// The defaults of a connection.
    Defaults,
}

impl Settings {
    fn options(self) -> ConnectionOptions {
        let without_ramp = ConnectionOptions::new()
            .max_attempts(9)
            .failure_rate(0.5)
            .minimum_calls(20)
            .rate_window(Duration::from_secs(10))
            .expiry(Duration::from_secs(5))
            .half_open_max_calls(2)
            .half_open_successes(2);
        match self {
            Settings::Recommended => without_ramp.ramp(Duration::from_secs(2)),
            Settings::WithoutRamp => without_ramp,
            Settings::Defaults => ConnectionOptions::new(),
        }
    }
}

pub struct Gates {
    clock: ManualClock,
    /// The time that the clock shows, in ms since the run began.
    shown: u64,
    connections: Vec<Connection>,
    _brama: Brama,
}

impl Gates {
    pub fn new(circuits: usize, settings: Settings) -> Self {
        let clock = ManualClock::new();
        let brama = Brama::builder().clock(clock.clone()).background(false);
        let brama = brama.build().expect("the settings are in range");
        let register = |circuit: usize| {
            let name = circuit.to_string();
            let connection = brama.register(name.as_str(), settings.options());
            connection.expect("the settings are in range, and the name is new")
        };
        Gates {
            connections: (0..circuits).map(register).collect(),
            clock,
            shown: 0,
            _brama: brama,
        }
    }

    fn show(&mut self, now: Micros) {
        let ms = now / 1_000;
        if ms > self.shown {
            self.clock.advance(Duration::from_millis(ms - self.shown));
            self.shown = ms;
        }
    }
}

impl Circuits for Gates {
    type Ticket = Permit<'static>;

    fn admit(&mut self, circuit: usize, now: Micros) -> Option<Self::Ticket> {
        self.show(now);
        self.connections[circuit].acquire_owned().ok()
    }

    fn report(&mut self, _circuit: usize, permit: Self::Ticket, failed: bool, now: Micros) {
        self.show(now);
        // An error says that the report is late. Then it counts only in the totals.
        let _late = match failed {
            true => permit.failure("the call failed").err(),
            false => permit.success().err(),
        };
    }
}
