//! The answers of the library and of the model, in a form that can be compared.

use std::collections::BTreeMap;
use std::time::Duration;

pub use brama::RejectionKind as Rejection;
use brama::{Cause, Error, KeyBuf, State, Status};

use crate::effective::Effective;

/// A window remembers at least this many failures, and may forget older ones. (It remembers at
/// least `max_attempts`, too, which is smaller here.)
const WINDOW_COUNTS_TO: u32 = 256;

/// A whole status, with times in ms.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub key: KeyBuf,
    pub state: State,
    pub mode: &'static str,
    pub would_reject: u64,
    pub probes_out: u32,
    pub failure_count: u32,
    pub window_calls: Option<u64>,
    pub window_failures: Option<u64>,
    pub window_slow: Option<u64>,
    pub opened_calls: Option<u64>,
    pub opened_failures: Option<u64>,
    pub opened_slow: Option<u64>,
    pub total_successes: u64,
    pub total_failures: u64,
    pub total_rejections: u64,
    pub total_ignored: u64,
    pub success_rate: Option<f64>,
    pub last_success_time: Option<u64>,
    pub last_failure_time: Option<u64>,
    pub opened_at: Option<u64>,
    pub last_state_change: Option<u64>,
    pub time_in_state: u64,
    pub expiry: Option<u64>,
    pub retry_after: Option<u64>,
    pub trips: u32,
    pub ramp_share: Option<f64>,
    pub cause: Option<&'static str>,
    pub reason: Option<String>,
    pub last_failure_reason: Option<String>,
    pub settings: Effective,
    pub metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Done,
    Handle,
    Admitted,
    Bool(bool),
    Count(u32),
    /// An answer of the model only: see [`WINDOW_COUNTS_TO`].
    CountInWindow(u32),
    State(State),
    Status(Box<View>),
    Snapshot(Vec<View>),
    Counts([usize; 3]),
    /// The guarded call returned an error of its own.
    Inner,
    Restored(usize),
    Panicked,
    Rejected(Rejection, Option<u64>),
    Stale,
    NotFound(KeyBuf),
    AlreadyRegistered(KeyBuf),
    InvalidConfig(&'static str),
    InvalidArgument(&'static str),
    Unexpected(String),
}

impl From<Status> for View {
    fn from(status: Status) -> View {
        View {
            key: KeyBuf {
                scope: status.scope,
                identifier: status.identifier,
            },
            state: status.state,
            mode: status.mode.as_str(),
            would_reject: status.would_reject,
            probes_out: status.probes_out,
            failure_count: status.failure_count,
            window_calls: status.window_calls,
            window_failures: status.window_failures,
            window_slow: status.window_slow,
            opened_calls: status.opened_calls,
            opened_failures: status.opened_failures,
            opened_slow: status.opened_slow,
            total_successes: status.total_successes,
            total_failures: status.total_failures,
            total_rejections: status.total_rejections,
            total_ignored: status.total_ignored,
            success_rate: status.success_rate,
            last_success_time: status.last_success_time,
            last_failure_time: status.last_failure_time,
            opened_at: status.opened_at,
            last_state_change: status.last_state_change,
            time_in_state: in_ms(status.time_in_state),
            expiry: status.expiry.map(in_ms),
            retry_after: status.retry_after.map(in_ms),
            trips: status.trips,
            ramp_share: status.ramp_share,
            cause: status.cause.map(Cause::as_str),
            reason: status.reason,
            last_failure_reason: status.last_failure_reason,
            settings: Effective::shown(&status.settings),
            metadata: status.metadata,
        }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Answer {
        match error {
            Error::InvalidArgument(invalid) => Answer::InvalidArgument(invalid.name),
            Error::InvalidConfig(invalid) => Answer::InvalidConfig(invalid.name),
            Error::NotFound(key) => Answer::NotFound(KeyBuf::clone(&key)),
            Error::AlreadyRegistered(key) => Answer::AlreadyRegistered(KeyBuf::clone(&key)),
            Error::Rejected(rejected) => {
                Answer::Rejected(rejected.kind, rejected.retry_after.map(in_ms))
            }
            Error::Stale => Answer::Stale,
            other => Answer::Unexpected(other.to_string()),
        }
    }
}

/// Whether the library's number of failures in a window is correct.
fn counted(real: u32, expected: u32) -> bool {
    (expected.min(WINDOW_COUNTS_TO)..=expected).contains(&real)
}

impl View {
    fn agrees(&self, expected: &View) -> bool {
        let mut expected = expected.clone();
        if expected.settings.window.is_some() && counted(self.failure_count, expected.failure_count)
        {
            expected.failure_count = self.failure_count;
        }
        if let (Some("window"), Some(real), Some(count)) =
            (self.cause, self.opened_failures, expected.opened_failures)
            && counted(real as u32, count as u32)
        {
            expected.opened_failures = self.opened_failures;
        }
        *self == expected
    }
}

impl Answer {
    /// Whether this answer is one that the model expects.
    pub fn agrees(&self, expected: &Answer) -> bool {
        match (self, expected) {
            (Answer::Count(real), Answer::CountInWindow(expected)) => counted(*real, *expected),
            (Answer::Status(real), Answer::Status(expected)) => real.agrees(expected),
            (Answer::Snapshot(real), Answer::Snapshot(expected)) => {
                real.len() == expected.len()
                    && real
                        .iter()
                        .zip(expected)
                        .all(|(real, expected)| real.agrees(expected))
            }
            (real, expected) => real == expected,
        }
    }

    pub fn done(result: Result<(), Error>) -> Answer {
        Answer::of(result, |()| Answer::Done)
    }

    pub fn of<T>(result: Result<T, Error>, good: impl FnOnce(T) -> Answer) -> Answer {
        result.map_or_else(Answer::from, good)
    }

    pub fn status(result: Result<Status, Error>) -> Answer {
        Answer::of(result, |status| Answer::Status(Box::new(status.into())))
    }

    pub fn snapshot(statuses: Vec<Status>) -> Answer {
        Answer::Snapshot(statuses.into_iter().map(View::from).collect())
    }
}

fn in_ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
