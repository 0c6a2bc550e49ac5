//! Several threads on one circuit: no report is lost,
//! none counts twice, and each transition happens once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use crate::common::{fail, in_company, manager_with, ms};
use crate::{THREADS, on_threads};
use brama::{ConnectionOptions, Error, State};

// ---- counting ----

#[test]
fn no_report_is_lost_while_the_circuit_changes_its_state_all_the_time() {
    let _company = in_company();
    const EACH: usize = 20_000;
    let (brama, clock) = manager_with(|b| b.max_attempts(3).expiry(ms(1)).half_open_max_calls(2));
    let db = brama.register("db", None).expect("a new name");
    let expected = [const { AtomicU64::new(0) }; 3];
    on_threads(|thread| {
        let mut mine = [0; 3];
        for n in 0..EACH {
            let permit = if n % 3 == 0 {
                brama.acquire("db")
            } else {
                db.acquire()
            };
            let which = (n + thread) % 4;
            match (permit, which) {
                (Err(Error::Rejected(_)), _) => mine[2] += 1,
                (Err(error), _) => panic!("{error}"),
                // A stale report counts in the totals, too.
                (Ok(permit), 0) => {
                    let _ = permit.success();
                    mine[0] += 1;
                }
                (Ok(permit), 1) => {
                    let _ = permit.failure(None);
                    mine[1] += 1;
                }
                (Ok(permit), _) => drop(permit.ignore()),
            }
            match n % 7 {
                0 => {
                    db.success().expect("registered");
                    mine[0] += 1;
                }
                1 | 2 => {
                    brama.failure("db", None).expect("registered");
                    mine[1] += 1;
                }
                3 => clock.advance(ms(1)),
                4 if thread == 0 => db.reset_circuit().expect("registered"),
                _ => {}
            }
        }
        for (total, mine) in expected.iter().zip(mine) {
            total.fetch_add(mine, Ordering::Relaxed);
        }
    });
    let status = db.status().expect("registered");
    let [successes, failures, rejections] = expected.map(AtomicU64::into_inner);
    assert_eq!(status.total_successes, successes);
    assert_eq!(status.total_failures, failures);
    assert_eq!(status.total_rejections, rejections);
    assert!(successes > 0 && failures > 0 && rejections > 0);
}

#[test]
fn failures_in_a_row_are_counted_exactly_and_each_gets_its_own_number() {
    let _company = in_company();
    const EACH: u32 = 20_000;
    let (brama, _clock) = manager_with(|b| b.unlimited_attempts());
    let db = brama.register("db", None).expect("a new name");
    let told = on_threads(|_| {
        (0..EACH)
            .map(|_| db.failure(None).expect("registered"))
            .collect::<Vec<_>>()
    });
    let mut all = told.concat();
    all.sort_unstable();
    let total = EACH * THREADS as u32;
    assert!(all.into_iter().eq(1..=total));
    assert_eq!(db.status().expect("registered").failure_count, total);
}

#[test]
fn failures_in_a_window_are_counted_exactly_too() {
    let _company = in_company();
    const EACH: u32 = 500;
    let total = EACH * THREADS as u32;
    let (brama, _clock) = manager_with(|b| b.max_attempts(total).window(ms(1_000)));
    let db = brama.register("db", None).expect("a new name");
    let told = on_threads(|_| {
        (0..EACH)
            .map(|_| db.failure(None).expect("registered"))
            .collect::<Vec<_>>()
    });
    let mut all = told.concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..=total));
    assert_eq!(db.state(), State::Open);
}

// ---- transitions ----

#[test]
fn a_storm_of_failures_opens_once_a_trip_and_exactly_at_the_limit() {
    let _company = in_company();
    const ATTEMPTS: u32 = 8;
    let (brama, clock) = manager_with(|b| b.max_attempts(ATTEMPTS).expiry(ms(10)));
    let db = brama.register("db", None).expect("a new name");
    for _round in 0..300 {
        fail(&db, ATTEMPTS - THREADS as u32);
        assert_eq!(db.state(), State::Closed);
        // Whichever of these is the last reaches the limit.
        on_threads(|_| db.failure(None).expect("registered"));
        let status = db.status().expect("registered");
        assert_eq!((status.state, status.trips), (State::Open, 1));
        // Two more trips, each by failures that several
        // threads report while the circuit is half-open.
        for trips in [2, 3] {
            clock.advance(ms(10));
            on_threads(|_| db.failure(None).expect("registered"));
            let status = db.status().expect("registered");
            assert_eq!((status.state, status.trips), (State::Open, trips));
            assert_eq!(status.retry_after, Some(ms(10)));
        }
        db.reset_circuit().expect("registered");
    }
}

#[test]
fn a_crowd_at_the_moment_of_expiry_gets_the_configured_number_of_permits() {
    let _company = in_company();
    let (brama, clock) = manager_with(|b| b.expiry(ms(10)).half_open_max_calls(2));
    let db = brama.register("db", None).expect("a new name");
    for _round in 0..500 {
        db.open_circuit(None, None).expect("registered");
        clock.advance(ms(10));
        let permits = on_threads(|n| match n % 2 {
            0 => db.acquire().ok(),
            _ => brama.acquire("db").ok(),
        });
        assert_eq!(permits.iter().flatten().count(), 2);
        for permit in permits.into_iter().flatten() {
            permit.ignore().expect("timely");
        }
    }
}

#[test]
fn never_more_probes_than_allowed_are_out_under_a_storm() {
    let _company = in_company();
    const LIMIT: usize = 3;
    // The record has room for more probes, so that only the limit holds threads back.
    let (brama, _clock) = manager_with(|b| b.half_open_max_calls(8));
    let db = brama.register("db", None).expect("a new name");
    db.configure(ConnectionOptions::new().half_open_max_calls(LIMIT as u32))
        .expect("valid");
    db.half_open_circuit().expect("registered");
    let (out, admitted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    on_threads(|thread| {
        for n in 0..20_000 {
            let permit = if n % 5 == 0 {
                brama.acquire("db")
            } else {
                db.acquire()
            };
            let Ok(permit) = permit else { continue };
            let now_out = out.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(now_out <= LIMIT, "{now_out} probes are out");
            admitted.fetch_add(1, Ordering::Relaxed);
            if n % 64 == thread {
                thread::yield_now();
            }
            out.fetch_sub(1, Ordering::SeqCst);
            permit.ignore().expect("timely");
        }
    });
    assert!(admitted.into_inner() >= LIMIT);
    let places: Vec<_> = (0..LIMIT).map(|_| db.acquire().expect("free")).collect();
    assert!(db.acquire().is_err(), "no place was lost, none was made");
    drop(places);
}

#[test]
fn one_lost_probe_of_a_crowd_is_replaced_by_one() {
    let _company = in_company();
    let (brama, clock) = manager_with(|b| b.half_open_max_calls(1).probe_timeout(ms(10)));
    let db = brama.register("db", None).expect("a new name");
    db.half_open_circuit().expect("registered");
    for _round in 0..500 {
        let admitted = on_threads(|_| db.acquire().map(std::mem::forget).is_ok());
        assert_eq!(admitted.into_iter().filter(|yes| *yes).count(), 1);
        clock.advance(ms(10));
    }
}
