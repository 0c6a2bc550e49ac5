//! The removal of connections that are not used. Time is a manual clock.

use crate::common::{manager_with, ms};
use brama::{Brama, Config, ConnectionOptions, Error, ManualClock, OpenFor, Permit, State};

/// Lets `seconds` pass, with a turn of the driver after each.
fn pass(brama: &Brama, clock: &ManualClock, seconds: u64) {
    for _ in 0..seconds {
        clock.advance(ms(1_000));
        brama.poll();
    }
}

/// A service that holds a handle and is quiet over a weekend keeps its circuit.
#[test]
fn a_connection_with_a_handle_is_not_removed_and_one_without_is() {
    let idle = |b: brama::Builder| b.inactive_threshold(ms(60_000)).cleanup_interval(ms(5_000));
    let (brama, clock) = manager_with(idle);
    let held = brama.register("held", None).expect("a new name");
    let other = held.clone();
    brama.register("idle", None).expect("a new name");
    brama.register("busy", None).expect("a new name");
    for _ in 0..80 {
        pass(&brama, &clock, 1);
        brama.success("busy").expect("registered");
    }
    assert_eq!(brama.state("idle"), State::Unknown);
    assert!(brama.register("idle", None).is_ok(), "the name is free");
    assert_eq!(brama.state("busy"), State::Closed);
    drop(held);
    assert!(
        other.call(|| Ok::<_, ()>(())).is_ok(),
        "one handle is enough"
    );
    drop(other);
    pass(&brama, &clock, 80);
    assert_eq!(brama.state("held"), State::Unknown);
}

/// Such a permit holds no reference. But its admission is activity, and so is its report.
#[test]
fn a_permit_without_a_handle_keeps_its_connection_for_one_threshold_at_most() {
    type Acquire = fn(&Brama) -> Result<Permit<'_>, Error>;
    let ways: [Acquire; 2] = [
        |brama| brama.acquire("db"),
        |brama| brama.connection("db")?.acquire_owned(),
    ];
    for acquire in ways {
        let (brama, clock) =
            manager_with(|b| b.inactive_threshold(ms(30_000)).cleanup_interval(ms(1_000)));
        brama.register("db", None).expect("a new name");
        pass(&brama, &clock, 29);
        let [early, late] = [(); 2].map(|()| acquire(&brama).expect("closed"));
        pass(&brama, &clock, 29);
        early.success().expect("registered");
        pass(&brama, &clock, 29);
        assert_eq!(brama.state("db"), State::Closed, "a report is activity");
        pass(&brama, &clock, 3);
        assert_eq!(brama.state("db"), State::Unknown);
        let gone = late.success();
        assert!(matches!(&gone, Err(Error::NotFound(name)) if name.identifier.is_empty()));
        let message = gone.expect_err("gone").to_string();
        assert_eq!(
            message,
            "the permit's connection is not registered any more"
        );
    }
}

#[test]
fn every_kind_of_activity_keeps_a_connection() {
    type Act = fn(&Brama) -> bool;
    let acts: [(&str, Act); 8] = [
        ("success", |brama| brama.success("db").is_ok()),
        ("failure", |brama| brama.failure("db", None).is_ok()),
        ("admission", |brama| brama.acquire("db").is_ok()),
        ("ignored", |brama| {
            brama
                .acquire("db")
                .is_ok_and(|permit| permit.ignore().is_ok())
        }),
        ("half-open", |brama| brama.half_open_circuit("db").is_ok()),
        ("close", |brama| brama.close_circuit("db").is_ok()),
        ("reset", |brama| brama.reset_circuit("db").is_ok()),
        ("configure", |brama| {
            let same = ConnectionOptions::new();
            brama.configure_connection("db", same).is_ok()
        }),
    ];
    for (name, act) in acts {
        let (brama, clock) =
            manager_with(|b| b.inactive_threshold(ms(30_000)).cleanup_interval(ms(1_000)));
        brama.register("db", None).expect("a new name");
        pass(&brama, &clock, 29);
        assert!(act(&brama), "{name}");
        pass(&brama, &clock, 28);
        assert_ne!(brama.state("db"), State::Unknown, "{name}");
        pass(&brama, &clock, 4);
        assert_eq!(brama.state("db"), State::Unknown, "{name}");
    }
}

/// A cleanup does not remove a circuit whose opening lasts longer than the threshold. Otherwise a
/// dependency that is down would be called again too early.
#[test]
fn an_opening_lasts_as_long_as_it_was_given() {
    let (brama, clock) = manager_with(|b| {
        b.inactive_threshold(ms(30_000))
            .cleanup_interval(ms(1_000))
            .expiry(ms(120_000))
    });
    brama.register("db", None).expect("a new name");
    for _ in 0..5 {
        brama.failure("db", None).expect("registered");
    }
    pass(&brama, &clock, 119);
    assert_eq!(brama.state("db"), State::Open);
    assert!(brama.acquire("db").is_err());
    // The expiry is a transition, and so it is activity.
    pass(&brama, &clock, 29);
    assert_eq!(brama.state("db"), State::HalfOpen);
    pass(&brama, &clock, 3);
    assert_eq!(brama.state("db"), State::Unknown);
}

#[test]
fn a_probe_that_is_out_keeps_its_connection_until_its_lease_ends() {
    let (brama, clock) = manager_with(|b| {
        b.inactive_threshold(ms(30_000))
            .cleanup_interval(ms(1_000))
            .probe_timeout(ms(90_000))
    });
    let db = brama.register("db", None).expect("a new name");
    db.half_open_circuit().expect("registered");
    // The probe's caller never reports.
    std::mem::forget(db.acquire().expect("a probe"));
    drop(db);
    pass(&brama, &clock, 89);
    assert_eq!(brama.state("db"), State::HalfOpen);
    pass(&brama, &clock, 3);
    assert_eq!(brama.state("db"), State::Unknown);
}

#[test]
fn looking_is_no_activity_and_never_is_never() {
    let (brama, clock) = manager_with(|b| b.inactive_threshold(ms(30_000)));
    brama.register("db", None).expect("a new name");
    for _ in 0..41 {
        pass(&brama, &clock, 1);
        let _ = (brama.available("db"), brama.state("db"));
        let _ = (brama.status("db"), brama.snapshot());
    }
    assert_eq!(brama.state("db"), State::Unknown);

    let (brama, clock) = manager_with(|b| b.inactive_threshold(None));
    brama.register("db", None).expect("a new name");
    clock.advance(ms(1 << 39));
    brama.poll();
    assert_eq!(brama.state("db"), State::Closed);
}

#[test]
fn the_threshold_and_the_interval_can_change_at_run_time() {
    let (brama, clock) = manager_with(|b| b.inactive_threshold(None));
    brama.register("db", None).expect("a new name");
    pass(&brama, &clock, 20);
    let change = Config::new()
        .inactive_threshold(ms(10_000))
        .cleanup_interval(ms(1_000));
    brama.configure(change).expect("valid");
    brama.poll();
    assert_eq!(brama.state("db"), State::Unknown);
}

#[test]
fn an_old_success_does_not_keep_a_connection_at_the_first_sweep() {
    let (brama, clock) = manager_with(|b| b.inactive_threshold(ms(30_000)));
    brama.register("db", None).expect("a new name");
    brama.success("db").expect("registered");
    clock.advance(ms(3_600_000));
    brama.poll();
    assert_eq!(brama.state("db"), State::Unknown);
}

#[test]
fn maintenance_without_end_outlasts_a_silence() {
    let (brama, clock) = manager_with(|b| b.auto_register(true));
    brama.success("db").expect("registered");
    brama
        .open_circuit("db", "maintenance", OpenFor::Never)
        .expect("registered");
    for _ in 0..3 {
        clock.advance(ms(86_400_000));
        brama.poll();
    }
    assert!(!brama.available("db"));
}
