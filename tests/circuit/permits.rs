//! Permits: what they own, borrow and give back, their leases, and the ways to report them.

use std::panic::{self, AssertUnwindSafe};

use super::semantics::{circuit, retry_after};
use crate::common::{manager, manager_with, ms};
use brama::{Error, Outcome, Permit, Report, State};

#[test]
fn a_report_that_panics_while_it_is_made_reports_a_failure() {
    struct Unmakeable;
    impl From<Unmakeable> for Report<'static> {
        fn from(_: Unmakeable) -> Self {
            panic!("no report")
        }
    }
    let (brama, _) = manager();
    let db = brama.register("db", None).unwrap();
    type Way = fn(Permit<'_>);
    let ways: [Way; 4] = [
        |permit| drop(permit.success_with(Unmakeable)),
        |permit| drop(permit.failure(Unmakeable)),
        |permit| drop(permit.failure_in(ms(1), Unmakeable)),
        |permit| drop(permit.report(Outcome::Success, Unmakeable)),
    ];
    for report in ways {
        db.half_open_circuit().unwrap();
        let permit = brama.acquire("db").unwrap();
        let reported = panic::catch_unwind(AssertUnwindSafe(|| report(permit)));
        assert!(reported.is_err());
        assert_eq!(db.state(), State::Open, "the probe has failed");
    }
}

#[test]
fn a_permit_by_name_does_not_borrow_the_name() {
    let (brama, _) = manager();
    brama.register("db", None).unwrap();
    let permit = {
        let name = String::from("db");
        brama.acquire(&name).unwrap()
    };
    permit.success().unwrap();
}

#[test]
fn a_rejected_caller_learns_when_the_earliest_probe_loses_its_place() {
    let (brama, clock) = manager_with(|b| b.half_open_max_calls(2).probe_timeout(ms(500)));
    let db = circuit(&brama);
    db.half_open_circuit().expect("registered");
    let first = db.acquire().expect("free");
    clock.advance(ms(100));
    let _second = db.acquire().expect("free");
    assert_eq!(retry_after(&db), Some(400));
    first.ignore().expect("timely");
    assert!(
        db.acquire().is_ok(),
        "an ignored probe gives its place back"
    );
}

/// A healthy dependency that answers slowly must be able to close its circuit.
#[test]
fn a_probe_s_lease_is_the_expiry_and_at_least_a_second_unless_set_otherwise() {
    for (expiry, timeout, lease) in [
        (100, None, 1_000),
        (1_700, None, 1_700),
        (1_700, Some(9), 9),
    ] {
        let (brama, clock) = manager_with(|b| match timeout {
            Some(timeout) => b.expiry(ms(expiry)).probe_timeout(ms(timeout)),
            None => b.expiry(ms(expiry)),
        });
        let db = circuit(&brama);
        db.half_open_circuit().expect("registered");
        let lost = db.acquire().expect("free");
        clock.advance(ms(lease - 1));
        assert_eq!(retry_after(&db), Some(1));
        clock.advance(ms(1));
        let next = db.acquire().expect("the lease has ended");
        lost.ignore().expect("late, and of the same state");
        assert!(db.acquire().is_err(), "the slot is its successor's");
        next.success().expect("timely");
        assert_eq!(db.state(), State::Closed);
    }
}

#[test]
fn a_result_that_comes_after_its_lease_counts_in_the_same_half_open_state() {
    let (brama, clock) = manager_with(|b| b.probe_timeout(ms(50)));
    let db = circuit(&brama);
    db.half_open_circuit().expect("registered");
    let [late, later] = [(); 2].map(|()| {
        let probe = db.acquire().expect("the lease before has ended");
        clock.advance(ms(50));
        probe
    });
    late.success().expect("late, and it counts");
    assert_eq!(db.state(), State::Closed);
    assert_eq!(later.success(), Err(Error::Stale), "its state is gone");
    assert_eq!(db.status().expect("registered").total_successes, 2);
}

#[test]
fn every_way_to_report_a_permit_by_handle_by_name_and_owned() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    for outcome in [Outcome::Success, Outcome::Failure, Outcome::Ignored] {
        for permit in [db.acquire(), db.acquire_owned(), brama.acquire("db")] {
            permit
                .expect("closed")
                .report(outcome, "x")
                .expect("timely");
        }
    }
    let status = db.status().expect("registered");
    assert_eq!((status.total_successes, status.total_failures), (3, 3));
}

#[test]
fn a_permit_may_be_reported_from_another_thread() {
    let (brama, _clock) = manager();
    let db = circuit(&brama);
    db.half_open_circuit().expect("registered");
    let permit = db.acquire_owned().expect("the first");
    std::thread::spawn(move || permit.success())
        .join()
        .expect("no panic")
        .expect("timely");
    assert_eq!(db.state(), State::Closed);
}
