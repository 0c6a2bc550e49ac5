//! The states of a circuit of the reference model, and what a permit remembers of them.

use crate::probing::Probing;

#[derive(Clone, Debug)]
pub enum Mode {
    Closed,
    /// `until: None`: held open, until a caller closes it.
    Open {
        until: Option<u64>,
        lasting: Option<u64>,
    },
    HalfOpen(Probing),
    /// Half-open as well, after the probes have succeeded.
    Ramp {
        until: u64,
    },
}

/// What a permit remembers of its circuit.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    pub period: u64,
    /// `None` if the permit is not that of a probe.
    pub lease: Option<u64>,
    /// The permit was given in a ramp.
    pub of_ramp: bool,
    /// The state would not have admitted the call: its report counts in the totals only.
    pub is_for_totals: bool,
    /// When the permit was given, if calls are measured.
    pub started: Option<u64>,
}

impl Admission {
    /// How long the call has lasted, if that is known.
    pub fn lasted(&self, now: u64) -> Option<u64> {
        self.started.map(|started| now - started)
    }
}
