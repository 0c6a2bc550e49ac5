//! What a circuit of the reference model does with calls, and what they remember of it.

use crate::probing::Probing;

#[derive(Clone, Debug)]
pub enum Mode {
    Closed,
    /// `until: None`: until somebody closes it.
    Open {
        until: Option<u64>,
        lasting: Option<u64>,
    },
    HalfOpen(Probing),
    /// Half-open, too: the probes have succeeded.
    Ramp {
        until: u64,
    },
}

/// What a permit remembers of its circuit.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    pub period: u64,
    /// None if it is no probe's.
    pub lease: Option<u64>,
    /// It was given in a ramp.
    pub of_ramp: bool,
    /// The state did not admit it: its report is in the totals only.
    pub is_for_totals: bool,
    /// When it was given, where a setting asks for that.
    pub started: Option<u64>,
}

impl Admission {
    /// How long the call has lasted, if that is known.
    pub fn lasted(&self, now: u64) -> Option<u64> {
        self.started.map(|started| now - started)
    }
}
