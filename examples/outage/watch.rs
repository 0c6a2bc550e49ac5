//! Notices state changes by asking, and shows them as they happen.

use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::client::Client;
use crate::report::Screen;
use crate::script::{Run, Service};
use brama::State;

const TICK: Duration = Duration::from_millis(1);
const PROGRESS: Duration = Duration::from_millis(100);

/// One state change of one connection.
pub struct Change {
    pub at: Duration,
    /// Index of the service.
    pub service: usize,
    pub from: State,
    pub to: State,
    pub reason: String,
}

/// A connection under watch.
pub struct Watched<'a> {
    pub service: &'static Service,
    pub client: &'a Client,
    pub connection: &'a brama::Connection,
}

/// Polls the connections until the run is drained; returns what changed.
pub fn watch(
    run: &Run,
    watched: &[Watched<'_>],
    screen: &mut Screen,
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    let mut known: Vec<Seen> = vec![(State::Closed, 0); watched.len()];
    let mut progress_due = Instant::now();
    loop {
        // Asked before the poll, so that the last poll sees the final state.
        let last = run.is_drained();
        let (mut calls, mut rejected, mut open) = (0, 0, Vec::new());
        for (service, (w, known)) in watched.iter().zip(&mut known).enumerate() {
            let status = w.connection.status()?;
            let seen = (status.state, status.trips);
            for (from, to) in path(*known, seen) {
                let reason = match to {
                    State::Open => w.client.last_fault(),
                    State::HalfOpen => "expiry reached".to_owned(),
                    _ => "probe succeeded".to_owned(),
                };
                let change = Change {
                    at: run.elapsed(),
                    service,
                    from,
                    to,
                    reason,
                };
                screen.change(&change)?;
                changes.push(change);
            }
            *known = seen;
            rejected += status.total_rejections;
            calls += status.total_successes + status.total_failures + status.total_rejections;
            if status.state != State::Closed {
                open.push(w.service.label());
            }
        }
        if last {
            screen.clear_progress();
            return Ok(changes);
        }
        if Instant::now() >= progress_due {
            progress_due += PROGRESS;
            screen.progress(run, calls, rejected, &open);
        }
        thread::sleep(TICK);
    }
}

/// What a look at a connection saw: its state, and the trips since it was
/// last healthy.
type Seen = (State, u32);

/// The changes between two looks at a connection.
///
/// A half-open state may be shorter than a tick. The number of trips tells of
/// openings in between, and an open circuit never closes but through half-open.
fn path(before: Seen, now: Seen) -> Vec<(State, State)> {
    let mut steps = vec![State::Open; now.1.saturating_sub(before.1) as usize];
    if *steps.last().unwrap_or(&before.0) != now.0 {
        steps.push(now.0);
    }
    let mut path = Vec::new();
    let mut from = before.0;
    for to in steps {
        if from == State::Open && to != State::HalfOpen {
            path.push((from, State::HalfOpen));
            from = State::HalfOpen;
        }
        path.push((from, to));
        from = to;
    }
    path
}
