//! Shows state changes as they happen.

use std::time::{Duration, Instant};

use crate::Error;
use crate::report::Screen;
use crate::script::{Run, SERVICES, label};
use brama::{Brama, Event, EventQueue, State};

const PROGRESS: Duration = Duration::from_millis(100);

/// One state change of one connection.
pub struct Change {
    /// When the watcher got the event.
    pub at: Duration,
    /// Index of the service.
    pub service: usize,
    pub from: State,
    pub to: State,
    pub reason: String,
}

impl Change {
    fn new(run: &Run, event: &Event) -> Option<Change> {
        let name = (event.scope(), event.connection());
        Some(Change {
            at: run.elapsed(),
            service: SERVICES
                .iter()
                .position(|service| (service.scope, service.identifier) == name)?,
            from: event.previous_state(),
            to: event.new_state(),
            reason: match (event.reason(), event.new_state()) {
                (Some(reason), _) => reason,
                (None, State::HalfOpen) => "expiry reached",
                (None, State::Closed) => "probe succeeded",
                (None, _) => "",
            }
            .to_owned(),
        })
    }
}

/// Takes state changes from the queue until the manager is shut down; returns them.
pub fn watch(
    run: &Run,
    brama: &Brama,
    queue: &EventQueue,
    screen: &mut Screen,
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    let mut progress_due = Instant::now();
    loop {
        // Checked before the queue is emptied, so that no event is left in it at the end.
        let last = queue.is_closed();
        let left = || progress_due.saturating_duration_since(Instant::now());
        while let Some(event) = queue.next_timeout(left()) {
            if let Some(change) = Change::new(run, &event) {
                screen.change(&change)?;
                changes.push(change);
            }
        }
        if last {
            screen.clear_progress();
            return Ok(changes);
        }
        if left().is_zero() {
            progress_due += PROGRESS;
            show_progress(run, brama, screen);
        }
    }
}

fn show_progress(run: &Run, brama: &Brama, screen: &Screen) {
    let (mut calls, mut rejected, mut open) = (0, 0, Vec::new());
    for status in brama.snapshot() {
        rejected += status.total_rejections;
        calls += status.total_successes + status.total_failures + status.total_rejections;
        if status.state != State::Closed {
            open.push(label(status.scope.as_deref(), &status.identifier));
        }
    }
    screen.progress(run, calls, rejected, &open);
}
