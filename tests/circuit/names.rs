//! Registrations, and operations on unknown names.

use crate::common::{fail, manager, manager_with};
use brama::{Config, ConnectionOptions, Error, State};

#[test]
fn an_unknown_name_is_unavailable_and_not_found() {
    let (brama, _clock) = manager();
    let missing = |error: Error| matches!(error, Error::NotFound(key) if key.identifier == "db");
    assert!(!brama.available("db"));
    assert_eq!(brama.state("db"), State::Unknown);
    assert!(missing(brama.acquire("db").expect_err("unknown")));
    assert!(missing(brama.success("db").expect_err("unknown")));
    assert!(missing(brama.failure("db", None).expect_err("unknown")));
    assert!(missing(brama.status("db").expect_err("unknown")));
    assert!(missing(brama.close_circuit("db").expect_err("unknown")));
    assert!(missing(brama.unregister("db").expect_err("unknown")));
    assert!(brama.snapshot().is_empty());
}

#[test]
fn auto_register_makes_a_connection_at_its_first_use() {
    let (brama, _clock) = manager_with(|b| b.auto_register(true).max_attempts(1));
    assert_eq!(brama.state("db"), State::Unknown, "looking is no use");
    assert!(brama.available("db"));
    assert_eq!(brama.failure(("billing", "db"), None), Ok(1));
    assert_eq!(brama.state(("billing", "db")), State::Open);
    assert_eq!(brama.snapshot().len(), 2);
}

#[test]
fn auto_register_can_be_turned_on_and_off_at_any_time() {
    let (brama, _clock) = manager();
    for turn in 0..3 {
        let [unknown, new] = [format!("unknown_{turn}"), format!("new_{turn}")];
        assert!(!brama.available(&unknown));
        brama
            .configure(Config::new().auto_register(true))
            .expect("valid");
        assert!(brama.available(&new));
        assert_eq!(brama.failure(&unknown, None), Ok(1));
        brama
            .configure(Config::new().auto_register(false))
            .expect("valid");
        let refused = brama.success("another");
        assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    }
    assert_eq!(brama.snapshot().len(), 6);
}

#[test]
fn registering_twice_leaves_the_first_as_it_is() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    fail(&db, 3);
    let options = ConnectionOptions::new().max_attempts(1);
    let again = brama.register("db", options.clone());
    assert!(matches!(again, Err(Error::AlreadyRegistered(_))));
    let same = brama.get_or_register("db", options).expect("found");
    assert_eq!(same.status().expect("registered").failure_count, 3);
    let attempts = db.status().expect("registered").settings.max_attempts();
    assert_eq!(attempts, Some(5));
}
