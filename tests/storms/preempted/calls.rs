//! The operations of threads on one circuit, and the answers.

use brama::{RejectionKind, State};

/// A permit of the storm.
pub type Id = u32;

/// Settings in effect, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    pub max_attempts: u32,
    pub window: Option<u64>,
    pub half_open_max_calls: u32,
    pub half_open_successes: u32,
    pub probe_timeout: u64,
    pub expiry: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Ms(u64),
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    Ignored,
    /// The permit is dropped.
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Success,
    Failure,
    Acquire(Id),
    Report(Id, Outcome),
    Open(Length),
    Close,
    HalfOpen,
    Reset,
    State,
    Status,
    /// The clock moves on by so many ms.
    Advance(u64),
    /// The settings of this number come into effect.
    Configure(usize),
    /// Half-opens the circuit, and then closes and half-opens
    /// it so many times. Only while no other thread works.
    Cycle(u64),
}

/// What a status says of the circuit itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub state: State,
    pub failures: u32,
    pub trips: u32,
    pub retry_after: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    Stale,
    Count(u32),
    Passed,
    Probe,
    /// The kind of rejection, and the ms after which to try again.
    Rejected(RejectionKind, Option<u64>),
    State(State),
    Status(Shown),
    /// The thread has no permit of this number: it was rejected.
    NoPermit,
}
