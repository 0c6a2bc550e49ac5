//! Settings: which level wins, and what changes at run time.

use crate::common::{fail, manager, manager_with, ms};
use brama::{Brama, Config, ConnectionOptions, Error, ExpiryStrategy, Settings, State};

fn settings(brama: &Brama, name: &str) -> Settings {
    brama.status(name).expect("registered").settings
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let (brama, _clock) = manager();
    brama.register("db", None).expect("a new name");
    let settings = settings(&brama, "db");
    assert_eq!(settings.max_attempts(), Some(5));
    assert_eq!(settings.expiry(), ms(60_000));
    assert_eq!(settings.expiry_strategy(), ExpiryStrategy::Fixed);
    assert_eq!(settings.initial_expiry(), ms(60_000));
    assert_eq!(settings.max_expiry(), ms(600_000));
    assert_eq!(settings.backoff_factor(), 2.0);
    assert_eq!(settings.jitter(), 0.0);
    assert_eq!(settings.window(), None);
    assert_eq!(settings.half_open_max_calls(), 1);
    assert_eq!(settings.half_open_successes(), 1);
    assert_eq!(settings.probe_timeout(), None);
}

#[test]
fn the_nearest_level_wins() {
    let (brama, _clock) = manager_with(|b| b.max_attempts(7).expiry(ms(500)));
    let own = ConnectionOptions::new().max_attempts(2);
    brama.register("own", own).expect("a new name");
    brama.register("global", None).expect("a new name");
    assert_eq!(settings(&brama, "own").max_attempts(), Some(2));
    assert_eq!(settings(&brama, "own").expiry(), ms(500));
    assert_eq!(settings(&brama, "global").max_attempts(), Some(7));
}

#[test]
fn a_connection_follows_the_global_settings_it_did_not_set() {
    let (brama, _clock) = manager();
    let own = ConnectionOptions::new().expiry(ms(100));
    let db = brama.register("db", own).expect("a new name");
    fail(&db, 2);
    let change = Config::new().max_attempts(3).expiry(ms(9)).jitter(0.25);
    brama.configure(change).expect("valid");
    let now = settings(&brama, "db");
    assert_eq!((now.max_attempts(), now.expiry()), (Some(3), ms(100)));
    assert_eq!(now.jitter(), 0.25);
    fail(&db, 1);
    assert_eq!(db.state(), State::Open, "the new limit is in force");
}

#[test]
fn a_configure_call_changes_only_what_it_names() {
    let (brama, _clock) = manager();
    let options = ConnectionOptions::new()
        .max_attempts(2)
        .half_open_max_calls(4)
        .metadata([("team", "billing")]);
    let db = brama.register("db", options).expect("a new name");
    db.configure(ConnectionOptions::new().jitter(0.5))
        .expect("valid");
    brama
        .configure_connection("db", ConnectionOptions::new().expiry(ms(10)))
        .expect("valid");
    let status = db.status().expect("registered");
    assert_eq!(status.settings.max_attempts(), Some(2));
    assert_eq!(status.settings.half_open_max_calls(), 4);
    assert_eq!(status.settings.jitter(), 0.5);
    assert_eq!(status.settings.expiry(), ms(10));
    assert_eq!(status.metadata["team"], "billing");
    db.configure(ConnectionOptions::new().metadata([("tier", "1")]))
        .expect("valid");
    let metadata = db.status().expect("registered").metadata;
    assert_eq!(
        metadata.into_iter().collect::<Vec<_>>(),
        [("tier".into(), "1".into())]
    );
}

#[test]
fn an_invalid_call_changes_nothing_at_all() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let before = db.status().expect("registered");
    let half_good = ConnectionOptions::new()
        .max_attempts(2)
        .metadata([("a", "b")])
        .jitter(2.0);
    assert!(matches!(
        db.configure(half_good),
        Err(Error::InvalidConfig(_))
    ));
    let half_good = Config::new().max_attempts(2).backoff_factor(0.5);
    assert!(matches!(
        brama.configure(half_good),
        Err(Error::InvalidConfig(_))
    ));
    assert_eq!(db.status().expect("registered"), before);
}

#[test]
fn a_larger_number_of_probes_is_in_force_at_once() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    db.half_open_circuit().expect("registered");
    let first = db.acquire().expect("the one place");
    assert!(db.acquire().is_err());
    db.configure(ConnectionOptions::new().half_open_max_calls(3))
        .expect("valid");
    let _more = [db.acquire().expect("second"), db.acquire().expect("third")];
    assert!(db.acquire().is_err());
    first.success().expect("its permit survived");
}

#[test]
fn a_longer_window_finds_the_failures_that_are_inside_it_now() {
    let (brama, clock) = manager_with(|b| b.max_attempts(9).window(ms(100)));
    let db = brama.register("db", None).expect("a new name");
    fail(&db, 2);
    clock.advance(ms(150));
    assert_eq!(db.failure(None), Ok(1));
    db.configure(ConnectionOptions::new().window(ms(1_000)))
        .expect("valid");
    assert_eq!(db.failure(None), Ok(4));
    db.configure(ConnectionOptions::new().max_attempts(1_000))
        .expect("valid, and needs more room");
    assert_eq!(db.failure(None), Ok(5));
    db.configure(ConnectionOptions::new().window(None))
        .expect("valid");
    assert_eq!(db.failure(None), Ok(6), "in a row now");
}
