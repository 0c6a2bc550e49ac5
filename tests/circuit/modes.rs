//! Disabled circuits, shadows, the return to the normal mode, and the state in which a circuit
//! begins.

mod disabled;
mod initial_state;
mod shadow;

use super::semantics::circuit;
use crate::common::{fail, manager, manager_with, ms};
use brama::{
    Brama, Cause, Config, Connection, ConnectionOptions, Error, Event, EventFilter, EventQueue,
    ManualClock, Mode, OpenFor, Outcome, Permit, Setting, State, Status,
};

fn status(connection: &Connection) -> Status {
    connection.status().expect("registered")
}

fn turn(connection: &Connection, mode: Mode) {
    let options = ConnectionOptions::new().mode(mode);
    connection.configure(options).expect("valid");
}

/// A circuit that five failures have opened for a minute, and that was then given `mode`.
fn opened_then(mode: Mode) -> (Brama, ManualClock, Connection) {
    let (brama, clock) = manager();
    let db = circuit(&brama);
    fail(&db, 5);
    assert_eq!(db.state(), State::Open);
    turn(&db, mode);
    (brama, clock, db)
}

fn all_of(queue: &EventQueue) -> Vec<Event> {
    std::iter::from_fn(|| queue.try_next()).collect()
}

/// The type and the mode of each event since the last call.
fn told(queue: &EventQueue) -> Vec<(&'static str, Mode)> {
    let events = all_of(queue);
    events
        .iter()
        .map(|event| (event.event_type().as_str(), event.mode()))
        .collect()
}

#[test]
fn a_mode_is_a_setting_of_both_levels_and_changes_are_delivered() {
    let (brama, _clock) = manager();
    let follows = circuit(&brama);
    let own = ConnectionOptions::new().mode(Mode::Normal);
    let own = brama.register("own", own).expect("a new name");
    fail(&follows, 5);
    fail(&own, 5);
    let queue = brama
        .subscribe_queue(EventFilter::new(), 1_024)
        .expect("there");
    let all = |mode| brama.configure(Config::new().mode(mode)).expect("valid");
    all(Mode::Shadow);
    assert_eq!(
        (status(&follows).mode, status(&own).mode),
        (Mode::Shadow, Mode::Normal)
    );
    assert_eq!(status(&follows).settings.mode(), Mode::Shadow);
    assert!(follows.acquire().is_ok() && own.acquire().is_err());
    let inherit = ConnectionOptions::new().inherit(Setting::Mode);
    own.configure(inherit).expect("valid");
    assert!(own.acquire().is_ok());
    all(Mode::Normal);
    assert!(own.acquire().is_err());
    brama.poll();
    let events = all_of(&queue);
    let notices = events
        .iter()
        .filter(|e| e.event_type().as_str() == "notice");
    let notices: Vec<_> = notices.map(|e| (e.connection(), e.mode())).collect();
    assert_eq!(notices[0], ("db", Mode::Shadow));
    assert_eq!(notices[1], ("own", Mode::Shadow));
    assert_eq!(notices.len(), 4);
    // Setting the same mode again is no change.
    all(Mode::Normal);
    brama.poll();
    assert_eq!(told(&queue), []);
}
