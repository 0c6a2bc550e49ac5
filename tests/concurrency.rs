//! Two and more threads on one circuit, one name, one manager: nothing is lost,
//! nothing happens twice, no thread waits for ever. What is racing is said in each
//! test; what is checked holds for every interleaving, so no test counts on luck
//! to pass; how often a race really comes about depends on the machine.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use brama::{
    Brama, CallError, Config, Connection, ConnectionOptions, Error, OpenFor, Outcome, State,
};
use common::counting::{Counting, bytes_alive};
use common::{fail, manager, manager_with, ms};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const THREADS: usize = 4;

/// Runs `work` on several threads at once, and returns what each returned.
fn on_threads<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let together = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                let (together, work) = (&together, &work);
                scope.spawn(move || {
                    together.wait();
                    work(n)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    })
}

/// Runs `work`, which must come to an end.
fn must_end(what: &str, work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    if wait.recv_timeout(Duration::from_secs(120)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("{what}: still not done after two minutes");
    }
    worker.join().expect("no panic");
}

// ---- counting ----

#[test]
fn no_report_is_lost_while_the_circuit_changes_its_state_all_the_time() {
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
                // Stale or not, it counts.
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
fn failures_in_a_row_are_counted_exactly_and_each_is_told_its_own_number() {
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
    const ATTEMPTS: u32 = 8;
    let (brama, clock) = manager_with(|b| b.max_attempts(ATTEMPTS).expiry(ms(10)));
    let db = brama.register("db", None).expect("a new name");
    for _round in 0..300 {
        fail(&db, ATTEMPTS - THREADS as u32);
        assert_eq!(db.state(), State::Closed);
        // The last of these completes the rule, whichever it is.
        on_threads(|_| db.failure(None).expect("registered"));
        let status = db.status().expect("registered");
        assert_eq!((status.state, status.trips), (State::Open, 1));
        // Two trips more, each by a crowd of failed probes.
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
    const LIMIT: usize = 3;
    // Room for more, so that the limit is all that holds them back.
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
    let (brama, clock) = manager_with(|b| b.half_open_max_calls(1).probe_timeout(ms(10)));
    let db = brama.register("db", None).expect("a new name");
    db.half_open_circuit().expect("registered");
    for _round in 0..500 {
        let admitted = on_threads(|_| db.acquire().map(std::mem::forget).is_ok());
        assert_eq!(admitted.into_iter().filter(|yes| *yes).count(), 1);
        clock.advance(ms(10));
    }
}

// ---- coming and going ----

#[test]
fn two_who_register_and_unregister_one_name_have_one_winner_each_time_and_leak_nothing() {
    const EACH: usize = 10_000;
    let (brama, _clock) = manager();
    let churn = || {
        let balance: i64 = on_threads(|_| {
            let mut mine = 0;
            for _ in 0..EACH {
                match brama.register("db", None) {
                    Ok(db) => {
                        mine += 1;
                        assert!(db.state() != State::Open);
                    }
                    Err(Error::AlreadyRegistered(_)) => {}
                    Err(error) => panic!("{error}"),
                }
                match brama.unregister("db") {
                    Ok(()) => mine -= 1,
                    Err(Error::NotFound(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            mine
        })
        .into_iter()
        .sum();
        assert_eq!(balance, i64::from(brama.available("db")));
    };
    churn();
    let before = bytes_alive();
    churn();
    // Other tests run meanwhile; had these records stayed, it were 10 MB or more.
    let grown = bytes_alive() - before;
    assert!(grown < 4 << 20, "{grown} bytes more than before");
}

#[test]
fn a_handle_used_while_its_connection_goes_and_comes_is_safe_and_never_revives() {
    let (brama, _clock) = manager_with(|b| b.max_attempts(2));
    for _round in 0..300 {
        let old = brama.register("db", None).expect("a new name");
        let gone = AtomicBool::new(false);
        on_threads(|n| {
            if n == 0 {
                brama.unregister("db").expect("registered");
                gone.store(true, Ordering::Release);
                let anew = brama.register("db", None).expect("the name is free");
                let status = anew.status().expect("registered");
                assert_eq!((status.total_successes, status.total_failures), (0, 0));
                return;
            }
            for _ in 0..50 {
                let was_gone = gone.load(Ordering::Acquire);
                for answer in use_it(&old) {
                    match answer {
                        Err(Error::NotFound(_)) => {}
                        Ok(()) | Err(Error::Rejected(_) | Error::Stale) if !was_gone => {}
                        other => panic!("{other:?} (gone: {was_gone})"),
                    }
                }
            }
        });
        assert!(!old.available());
        brama.unregister("db").expect("registered anew");
    }
}

fn use_it(db: &Connection) -> [Result<(), Error>; 7] {
    [
        db.success(),
        db.failure(None).map(drop),
        db.acquire().and_then(|permit| permit.success()),
        db.acquire_owned().and_then(|permit| permit.ignore()),
        db.open_circuit(None, OpenFor::Never),
        db.half_open_circuit(),
        db.status().map(drop),
    ]
}

#[test]
fn snapshots_and_resets_during_a_churn_show_what_stays_exactly_once() {
    let (brama, _clock) = manager();
    let stays: Vec<_> = (0..200).map(|n| format!("stays{n:03}")).collect();
    for name in &stays {
        brama.register(("s", &**name), None).expect("a new name");
    }
    let done = AtomicBool::new(false);
    on_threads(|n| {
        if n > 0 {
            let names: Vec<_> = (0..100).map(|name| format!("passes{n}-{name}")).collect();
            while !done.load(Ordering::Acquire) {
                for name in &names {
                    brama.register(name, None).expect("a new name");
                    brama.failure(name, None).expect("registered");
                }
                for name in &names {
                    brama.unregister(name).expect("registered");
                }
            }
            return;
        }
        for _ in 0..30 {
            let seen = brama.snapshot();
            assert!(
                seen.windows(2)
                    .all(|w| (&w[0].scope, &w[0].identifier) < (&w[1].scope, &w[1].identifier))
            );
            let in_scope = brama.snapshot_of_scope("s");
            assert!(in_scope.iter().map(|status| &status.identifier).eq(&stays));
            brama.reset_all();
            assert!(brama.state_counts().closed >= stays.len());
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(brama.snapshot().len(), stays.len());
}

// ---- configuration ----

/// One call's fields, all made from one number.
fn options(n: u32) -> ConnectionOptions {
    ConnectionOptions::new()
        .max_attempts(n)
        .initial_expiry(ms(n.into()))
        .max_expiry(ms(u64::from(n) * 2))
        .half_open_max_calls(n)
        .window(ms(n.into()))
        .metadata([("n", n.to_string())])
}

fn config(n: u32) -> Config {
    Config::new()
        .max_attempts(n)
        .initial_expiry(ms(n.into()))
        .max_expiry(ms(u64::from(n) * 2))
        .half_open_max_calls(n)
        .window(ms(n.into()))
}

#[test]
fn all_fields_of_one_configure_call_are_in_force_together() {
    let (brama, _clock) = manager_with(|b| b.config(config(1)));
    brama.register("own", options(1)).expect("a new name");
    brama.register("global", None).expect("a new name");
    on_threads(|thread| {
        for n in 0..3_000_u32 {
            let value = n % 50 + 1;
            match thread {
                0 => brama
                    .configure_connection("own", options(value))
                    .expect("valid"),
                1 => brama.configure(config(value)).expect("valid"),
                _ => {
                    for name in ["own", "global"] {
                        brama.failure(name, None).expect("registered");
                        brama.success(name).expect("registered");
                        let status = brama.status(name).expect("registered");
                        let n = status.settings.max_attempts().expect("limited");
                        assert_eq!(status.settings.initial_expiry(), ms(n.into()));
                        assert_eq!(status.settings.max_expiry(), ms(u64::from(n) * 2));
                        assert_eq!(status.settings.half_open_max_calls(), n);
                        assert_eq!(status.settings.window(), Some(ms(n.into())));
                    }
                }
            }
        }
    });
    let status = brama.status("own").expect("registered");
    assert_eq!(status.metadata["n"], "50");
    assert_eq!(status.settings.max_attempts(), Some(50));
}

#[test]
fn two_who_configure_different_fields_at_once_both_succeed() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    for n in 1..=500 {
        on_threads(|thread| match thread {
            0 => db.configure(ConnectionOptions::new().max_attempts(n)),
            1 => db.configure(ConnectionOptions::new().expiry(ms(n.into()))),
            2 => brama.configure(Config::new().half_open_max_calls(n)),
            _ => brama.configure(Config::new().half_open_successes(n)),
        })
        .into_iter()
        .for_each(|answer| answer.expect("valid"));
        let settings = db.status().expect("registered").settings;
        assert_eq!(settings.max_attempts(), Some(n));
        assert_eq!(settings.expiry(), ms(n.into()));
        assert_eq!(settings.half_open_max_calls(), n);
        assert_eq!(settings.half_open_successes(), n);
    }
}

// ---- the end ----

#[test]
fn a_shutdown_while_calls_run_ends_them_all_and_itself() {
    must_end("shutdown under load", || {
        for round in 0..60 {
            let brama = Brama::builder()
                .background(round % 2 == 0)
                .auto_register(true)
                .expiry(ms(1))
                .build()
                .expect("valid");
            let db = brama.register("db", None).expect("a new name");
            on_threads(|n| match n {
                0 => {
                    thread::yield_now();
                    brama.shutdown();
                }
                1 => call_to_the_end(|f| brama.call("db", f)),
                2 => call_to_the_end(|f| db.call(f)),
                _ => while brama.failure(&format!("new{round}"), None).is_ok() {},
            });
            assert_eq!(db.success(), Err(Error::ShutDown));
            assert!(
                brama.snapshot().is_empty(),
                "nothing came in at the last moment"
            );
        }
    });
}

fn call_to_the_end(mut call: impl FnMut(fn() -> Result<(), ()>) -> Result<(), CallError<()>>) {
    loop {
        for f in [|| Ok(()), || Err(())] {
            match call(f) {
                Err(CallError::Unusable(error)) => {
                    assert_eq!(error, Error::ShutDown);
                    return;
                }
                Ok(()) | Err(CallError::Inner(()) | CallError::Rejected(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn several_may_shut_down_and_drop_at_once() {
    must_end("four shutdowns", || {
        for _ in 0..100 {
            let brama = Brama::builder().build().expect("valid");
            let db = brama.register("db", None).expect("a new name");
            let clones = [(); THREADS].map(|()| std::sync::Mutex::new(Some(brama.clone())));
            drop(brama);
            on_threads(|n| {
                let clone = clones[n].lock().expect("no panic").take();
                let clone = clone.expect("one each");
                if n % 2 == 0 {
                    clone.shutdown();
                }
                drop(clone);
            });
            assert_eq!(db.acquire().map(drop), Err(Error::ShutDown));
            drop(db.call_with(|_| Outcome::Ignored, || Ok::<_, ()>(())));
        }
    });
}
