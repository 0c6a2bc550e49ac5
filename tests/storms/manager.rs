//! Several threads on one name and one manager: each registration has one winner, the
//! fields of one configuration come into effect together, and no thread waits for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::counting::bytes_alive;
use crate::common::{alone, in_company, in_time, manager, manager_with, ms};
use crate::{THREADS, on_threads};
use brama::{
    Brama, CallError, Config, Connection, ConnectionOptions, Error, OpenFor, Outcome, State,
};

// ---- coming and going ----

#[test]
fn two_threads_on_one_name_have_one_winner_each_time_and_leak_nothing() {
    let _alone = alone();
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
    // If these records stayed, they would take 10 MB or more.
    let grown = bytes_alive() - before;
    assert!(grown < 4 << 20, "{grown} bytes more than before");
}

#[test]
fn a_handle_used_while_its_connection_goes_and_comes_is_safe_and_never_revives() {
    let _company = in_company();
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
    let _company = in_company();
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

/// The fields of one call, all made from one number.
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
    let _company = in_company();
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
fn two_threads_that_configure_different_fields_at_once_both_succeed() {
    let _company = in_company();
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
    let _company = in_company();
    in_time("shutdown under load", || {
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
    let _company = in_company();
    in_time("four shutdowns", || {
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
