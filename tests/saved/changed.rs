//! A circuit that has changed since it was saved is left alone.

use brama::{Connection, ConnectionOptions, InitialState, OpenFor, State};

use super::restored::{registered, status};
use crate::common::{fail, manager, ms};

/// Mutation: `a-restore-of-what-has-changed`.
#[test]
fn a_circuit_that_has_changed_its_state_is_left_alone() {
    let changes: [fn(&Connection); 4] = [
        |db| fail(db, 5),
        |db| db.open_circuit("later", ms(9_999)).expect("registered"),
        |db| db.half_open_circuit().expect("registered"),
        |db| {
            db.open_circuit("later", None).expect("registered");
            db.close_circuit().expect("registered");
        },
    ];
    for (how, change) in changes.iter().enumerate() {
        let (brama, clock) = manager();
        let db = registered(&brama);
        let data = brama.save();
        clock.advance(ms(1));
        change(&db);
        let before = status(&db);
        assert_eq!(brama.restore(&data), Ok(0), "change {how}");
        assert_eq!(status(&db), before, "change {how}");
    }
}

#[test]
fn an_expiry_is_a_change() {
    let (brama, clock) = manager();
    let db = registered(&brama);
    db.open_circuit(None, ms(100)).expect("registered");
    let data = brama.save();
    clock.advance(ms(99));
    assert_eq!(brama.restore(&data), Ok(1));
    assert_eq!(status(&db).retry_after, Some(ms(1)));
    clock.advance(ms(1));
    let data = brama.save();
    assert_eq!(brama.restore(&data), Ok(1), "half-open when it was saved");
    assert_eq!(db.state(), State::HalfOpen);
}

#[test]
fn an_expiry_that_no_call_has_seen_is_a_change() {
    let (brama, clock) = manager();
    let db = registered(&brama);
    db.open_circuit(None, ms(100)).expect("registered");
    let data = brama.save();
    clock.advance(ms(100));
    assert_eq!(brama.restore(&data), Ok(0));
    assert_eq!(db.state(), State::HalfOpen);
}

#[test]
fn reports_and_a_registration_are_no_change() {
    let (old, clock) = manager();
    fail(&registered(&old), 5);
    let data = old.save();
    let (new, later) = manager();
    later.advance(ms(2_000));
    let db = registered(&new);
    later.advance(ms(1_000));
    db.success().expect("registered");
    fail(&db, 4);
    assert_eq!(new.restore(&data), Ok(1));
    let now = status(&db);
    assert_eq!((now.state, now.failure_count), (State::Open, 5));
    assert_eq!(now.retry_after, Some(ms(57_000)));
    drop(clock);
}

#[test]
fn the_same_data_is_restored_once() {
    let (old, _) = manager();
    fail(&registered(&old), 5);
    let data = old.save();
    let (new, later) = manager();
    later.advance(ms(1));
    let db = registered(&new);
    assert_eq!(new.restore(&data), Ok(1));
    assert_eq!(new.restore(&data), Ok(0), "the restore was a change");
    let again = new.save();
    assert_eq!(new.restore(&again), Ok(1));
    assert_eq!(status(&db).retry_after, Some(ms(59_999)));
}

/// As in a process that registers its connections with an initial state, and then restores.
///
/// Mutation: `a-birth-that-is-a-change`.
#[test]
fn the_state_that_a_circuit_is_born_in_is_no_change() {
    let (old, clock) = manager();
    let db = registered(&old);
    db.open_circuit("maintenance", OpenFor::Never)
        .expect("registered");
    let data = old.save();
    clock.advance(ms(1_000));
    for waits in [false, true] {
        let (new, later) = manager();
        later.advance(ms(1_000));
        let state = InitialState::Open(ms(50));
        let options = || ConnectionOptions::new().initial_state(state);
        let restored = || new.restore(&data).expect("it was just saved");
        if waits {
            assert_eq!(restored(), 1);
        }
        let db = new.register("db", options()).expect("a new name");
        if !waits {
            assert_eq!(restored(), 1);
        }
        let now = status(&db);
        assert_eq!((now.state, now.expiry), (State::Open, None));
        assert_eq!(now.reason.as_deref(), Some("maintenance"));
        later.advance(ms(50));
        assert_eq!(db.state(), State::Open);
    }
}
