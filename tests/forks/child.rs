//! After `fork`: the child's managers work, whatever the parent's other threads were
//! doing. The parent is not affected. Events are in `events`, storms in `storms`.
//!
//! Every test forks the test program itself, with all its threads. A child that
//! hangs is killed and fails its test.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;

use crate::common::events::{all, kinds, queue_of};
use crate::common::forks::{
    Finding, a_bit_of_everything, beside, changes, check, fork, fork_and_end, halves, in_child,
    same, shared_numbers, soon,
};
use crate::common::threads::linux::others_sleep;
use crate::common::{fail, in_company, manager, manager_with, ms, wait_until};
use brama::{Brama, ConnectionOptions, Error, EventFilter, EventType, ManualClock, State};

// ---- state ----

#[test]
fn state_is_carried_over_and_each_process_goes_on_with_its_own() {
    let _company = in_company();
    let (brama, clock) = manager();
    let options = ConnectionOptions::new()
        .max_attempts(3)
        .expiry(ms(1_000))
        .metadata([("team", "payments")]);
    let db = brama.register(("eu", "db"), options).expect("a new name");
    db.success().expect("registered");
    fail(&db, 2);
    let held = brama.register("held", None).expect("a new name");
    held.open_circuit("maintenance", None).expect("registered");
    let permit = db.acquire().expect("closed");
    let before = db.status().expect("registered");

    in_child(|| {
        let status = db.status().expect("registered");
        same("status", format!("{status:?}"), format!("{before:?}"))?;
        same("held", brama.state("held"), State::Open)?;
        permit.failure("in the child").expect("it is current");
        same("tripped", db.state(), State::Open)?;
        clock.advance(ms(1_000));
        same("expired", db.state(), State::HalfOpen)?;
        db.acquire().expect("a probe").success().expect("recovers");
        same("recovered", brama.state(("eu", "db")), State::Closed)?;
        same("totals", db.status().expect("registered").total_failures, 3)
    });

    assert_eq!(db.state(), State::Closed);
    // The permit was dropped here, too.
    let expected = {
        let mut status = before;
        status.total_ignored += 1;
        status
    };
    assert_eq!(db.status().expect("registered"), expected);
    db.failure(None).expect("registered");
    assert_eq!(db.state(), State::Open);
}

/// The parent's background thread tells calls when time has
/// moved. The child has no such thread until its own starts.
#[test]
fn the_time_of_the_last_success_goes_on_in_a_child_and_in_its_parent() {
    let _company = in_company();
    let builder = Brama::builder().unlimited_attempts();
    let brama = builder.build().expect("valid");
    let db = brama.register("db", None).expect("a new name");
    let is_later = |before: &mut Option<u64>| {
        // So many calls that the background thread begins to tick, and
        // that some read the clock in any case (one success in 64).
        (0..32_768).for_each(|_| db.success().expect("registered"));
        let last = db.status().expect("registered").last_success_time;
        std::mem::replace(before, last) < last
    };
    for _ in 0..8 {
        let mut last = None;
        soon("the parent's goes on", || is_later(&mut last)).expect("in time");
        in_child(|| soon("the child's goes on", || is_later(&mut last.clone())));
        soon("so does the parent's", || is_later(&mut last)).expect("in time");
    }
}

#[test]
fn processes_draw_their_jitter_independently() {
    let _company = in_company();
    let (brama, _clock) = manager_with(|b| b.expiry(ms(3_600_000)).jitter(1.0));
    let db = brama.register("db", None).expect("a new name");
    let draw = || {
        db.reset_circuit().expect("registered");
        fail(&db, 5);
        let lasting = db.status().expect("registered").expiry;
        lasting.expect("it is open").as_millis() as u64
    };
    let drawn: &[_; 8] = shared_numbers();
    for place in drawn {
        in_child(|| {
            place.store(draw(), Ordering::Relaxed);
            Ok(())
        });
    }
    let mut all: Vec<_> = drawn.iter().map(|n| n.load(Ordering::Relaxed)).collect();
    all.push(draw());
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 9, "of an hour: {all:?}");
}

#[test]
fn counts_of_threads_that_are_gone_count_in_the_child() {
    let _company = in_company();
    let (brama, _) = manager();
    let db = brama.register("db", None).expect("a new name");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    db.success().expect("registered");
                }
            });
        }
    });
    in_child(|| {
        same(
            "before",
            db.status().expect("registered").total_successes,
            8_000,
        )?;
        let report = || {
            for _ in 0..1_000 {
                db.success().expect("registered");
            }
        };
        beside(4, report, || Ok(()))?;
        same(
            "after",
            db.status().expect("registered").total_successes,
            12_000,
        )
    });
    assert_eq!(db.status().expect("registered").total_successes, 8_000);
}

// ---- the driver ----

#[test]
fn the_driver_restarts_by_itself_and_expiries_arrive_without_traffic() {
    let _company = in_company();
    let brama = Brama::builder().build().expect("valid");
    let (told, hear) = mpsc::channel();
    let hear = Mutex::new(hear);
    let _subscription = brama
        .subscribe(halves(), move |event| {
            told.send(event.connection().to_string())
                .expect("it is heard");
        })
        .expect("running");
    let early = brama.register("early", None).expect("a new name");
    let late = brama.register("late", None).expect("a new name");
    let next = || hear.lock().expect("ours").recv_timeout(ms(20_000));
    early
        .open_circuit("before the fork", ms(300))
        .expect("registered");
    let child = fork(|| {
        // The child's first use of the manager: a look at the circuit.
        check(!early.available(), || "it is open".into())?;
        same("of the parent's", next().as_deref(), Ok("early"))?;
        late.open_circuit("in the child", ms(50))
            .expect("registered");
        same("of the child's", next().as_deref(), Ok("late"))?;
        brama.shutdown();
        same("shut down", late.success(), Err(Error::ShutDown))
    });
    assert_eq!(next().as_deref(), Ok("early"));
    child.join();
    late.open_circuit("after the fork", ms(50))
        .expect("registered");
    assert_eq!(next().as_deref(), Ok("late"));
    brama.shutdown();
    assert!(
        hear.lock().expect("ours").try_recv().is_err(),
        "one event each"
    );
}

#[test]
fn any_first_use_restarts_the_driver() {
    let _company = in_company();
    type Use = (&'static str, fn(&Brama));
    let uses: [Use; 9] = [
        ("register", |b| drop(b.register("new", None))),
        ("unregister", |b| drop(b.unregister("other"))),
        ("available", |b| assert!(!b.available("db"))),
        ("acquire", |b| drop(b.acquire("db"))),
        ("status", |b| drop(b.status("db"))),
        ("snapshot", |b| drop(b.snapshot())),
        ("failure", |b| drop(b.failure("watched", None))),
        ("configure", |b| {
            drop(b.configure(brama::Config::new().max_attempts(2)))
        }),
        ("poll", Brama::poll),
    ];
    for (what, first_use) in uses {
        let brama = Brama::builder().build().expect("valid");
        let expired = Arc::new(AtomicBool::new(false));
        let _expired = brama.subscribe(halves(), {
            let expired = expired.clone();
            move |_| expired.store(true, Ordering::Relaxed)
        });
        let _failures = brama.subscribe(all().connection("watched"), |_| {});
        for name in ["db", "other", "watched"] {
            brama.register(name, None).expect("a new name");
        }
        brama.open_circuit("db", None, ms(100)).expect("registered");
        let child = fork(|| {
            first_use(&brama);
            soon(&format!("expired after {what}"), || {
                expired.load(Ordering::Relaxed)
            })
        });
        wait_until("expired in the parent", || expired.load(Ordering::Relaxed));
        child.join();
    }
}

#[test]
fn a_manual_clock_wakes_the_child_s_driver_and_not_the_parent_s() {
    let _company = in_company();
    let clock = ManualClock::new();
    let brama = Brama::builder()
        .clock(clock.clone())
        .build()
        .expect("valid");
    let queue = brama.subscribe_queue(halves(), 8).expect("running");
    let db = brama.register("db", None).expect("a new name");
    db.open_circuit(None, ms(1_000)).expect("registered");
    in_child(|| {
        queue.try_next();
        clock.advance(ms(1_000));
        check(queue.next_timeout(ms(20_000)).is_some(), || {
            "no event".into()
        })
    });
    assert_eq!(db.state(), State::Open);
    clock.advance(ms(1_000));
    assert!(queue.next_timeout(ms(20_000)).is_some());
}

#[test]
fn without_a_driver_the_child_polls() {
    let _company = in_company();
    let (brama, clock) = manager();
    let queue = queue_of(&brama, 64);
    let db = brama.register("db", None).expect("a new name");
    let late = brama.register("late", None).expect("a new name");
    db.open_circuit(None, ms(10)).expect("registered");
    queue.drain(64);
    // The deadline of `late` waits to be planned: no thread polls before the fork.
    late.open_circuit(None, ms(60_000)).expect("registered");
    in_child(|| {
        clock.advance(ms(10));
        brama.poll();
        same(
            "events",
            kinds(&queue.drain(64)),
            vec!["expiry", "state_change", "circuit_half_opened"],
        )?;
        // An earlier deadline, of a circuit that the parent never planned.
        late.open_circuit(None, ms(5)).expect("registered");
        clock.advance(ms(5));
        brama.poll();
        check(
            queue
                .drain(64)
                .iter()
                .any(|event| event.event_type() == EventType::Expiry),
            || "the earlier end was not noticed".into(),
        )?;
        a_bit_of_everything(
            &Brama::builder().background(false).build().expect("valid"),
            "new",
        )
    });
    assert_eq!(db.state(), State::Open);
}

// ---- from inside ----

#[test]
fn a_callback_may_fork() {
    let _company = in_company();
    for background in [true, false] {
        let brama = Brama::builder()
            .background(background)
            .build()
            .expect("valid");
        let db = brama.register("db", None).expect("a new name");
        let events = Arc::new(Mutex::new(Vec::new()));
        let child = Arc::new(Mutex::new(None));
        let inside = {
            let (brama, events, child) = (brama.clone(), events.clone(), child.clone());
            move |event: &brama::Event| {
                events.lock().expect("whole").push(event.event_type());
                if event.event_type() != EventType::StateChange {
                    return;
                }
                let inner = brama.clone();
                let done = fork(move || {
                    // The next event is not delivered while this callback runs.
                    inner.close_circuit("db").expect("registered");
                    inner.poll();
                    let queue = queue_of(&inner, 8);
                    inner.register("new", None).expect("a new name");
                    // If the child has a background thread, that
                    // thread waits for this callback to return.
                    soon("asleep", others_sleep)?;
                    same("delivered inside", queue.try_next().is_none(), true)?;
                    inner.shutdown();
                    same("shut down", inner.success("db"), Err(Error::ShutDown))
                });
                *child.lock().expect("whole") = Some(done);
            }
        };
        let wanted = EventFilter::new().types([EventType::StateChange, EventType::CircuitOpened]);
        let _subscription = brama.subscribe(wanted, inside).expect("running");
        db.open_circuit(None, None).expect("registered");
        wait_until("both are delivered", || {
            if !background {
                brama.poll();
            }
            events.lock().expect("whole").len() == 2
        });
        child.lock().expect("whole").take().expect("made").join();
        db.failure(None).expect("the parent goes on");
    }
}

#[test]
fn a_child_that_returns_from_the_callback_goes_on_without_the_parent_s_events() {
    let _company = in_company();
    for background in [true, false] {
        let brama = Brama::builder()
            .background(background)
            .build()
            .expect("valid");
        let db = brama.register("db", None).expect("a new name");
        let parent = std::process::id();
        let [in_parent, in_child, done] = shared_numbers();
        let forked = AtomicBool::new(false);
        let inner = brama.clone();
        let id = Arc::new(AtomicU32::new(0));
        let pid = id.clone();
        let _subscription = brama
            .subscribe(changes(), move |event| {
                let here = if std::process::id() == parent {
                    in_parent
                } else {
                    in_child
                };
                here.fetch_add(1, Ordering::Relaxed);
                if !forked.swap(true, Ordering::Relaxed) {
                    // SAFETY: after the fork the child uses the manager,
                    // which supports that, and ends by `_exit`.
                    match unsafe { libc::fork() } {
                        0 => inner.close_circuit("db").expect("registered"),
                        child => pid.store(child as u32, Ordering::Relaxed),
                    }
                }
                if std::process::id() != parent && event.new_state() == State::Closed {
                    done.store(1, Ordering::Relaxed);
                    // SAFETY: `_exit` only ends the process.
                    unsafe { libc::_exit(0) };
                }
            })
            .expect("running");
        // Both events are published at once, so the second waits while the first is delivered.
        db.open_circuit(None, None).expect("registered");
        db.half_open_circuit().expect("registered");
        wait_until("both are delivered", || {
            brama.poll();
            if std::process::id() != parent {
                // Only the child of the thread that polls
                // comes here. Its own event is delivered next.
                brama.poll();
            }
            in_parent.load(Ordering::Relaxed) == 2
        });
        wait_until("the child receives its own", || {
            done.load(Ordering::Relaxed) == 1
        });
        assert_eq!(in_child.load(Ordering::Relaxed), 1, "and of nothing else");
        let child = id.load(Ordering::Relaxed) as libc::pid_t;
        // SAFETY: `child` is a child of this process that no other thread waits for.
        let ended = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        assert_eq!(ended, child);
    }
}

// ---- ends ----

#[test]
fn children_shut_down_drop_and_exit_and_the_parent_joins_its_thread() {
    let _company = in_company();
    static MANAGER: OnceLock<Brama> = OnceLock::new();
    extern "C" fn at_exit() {
        MANAGER.get().expect("made").shutdown();
    }
    let brama = Brama::builder().build().expect("valid");
    brama.register("db", None).expect("a new name");
    MANAGER.set(brama.clone()).expect("once");
    in_child(|| {
        brama.shutdown();
        brama.shutdown();
        Ok(())
    });
    let mut last = Some(Brama::builder().build().expect("valid"));
    in_child(|| {
        drop(last.take());
        Ok(())
    });
    drop(last);
    let used = || {
        brama
            .failure("db", None)
            .map_err(|error| error.to_string())?;
        // SAFETY: `at_exit` is a plain function that stays valid.
        same("registered", unsafe { libc::atexit(at_exit) }, 0)
    };
    fork_and_end(used, |code| {
        // SAFETY: `exit` runs the registered function on
        // the child's only thread that runs host code.
        unsafe { libc::exit(code) };
    })
    .join();
    brama.shutdown();
    assert_eq!(brama.success("db"), Err(Error::ShutDown));
}

#[test]
fn children_of_children_work_too() {
    let _company = in_company();
    fn descend(brama: &Brama, depth: u32) -> Finding {
        a_bit_of_everything(brama, &depth.to_string())?;
        if depth < 5 {
            in_child(|| descend(brama, depth + 1));
        }
        a_bit_of_everything(brama, "after")
    }
    let brama = Brama::builder().build().expect("valid");
    in_child(|| descend(&brama, 1));
    let fresh = Brama::builder().background(false).build().expect("valid");
    in_child(|| descend(&fresh, 1));
    a_bit_of_everything(&brama, "parent").expect("it works");
}

#[test]
fn the_default_manager_may_be_in_the_making() {
    let _company = in_company();
    for _ in 0..20 {
        // A process in which no thread has asked for it yet.
        in_child(|| {
            let make = || {
                brama::default();
            };
            beside(2, make, || {
                in_child(|| {
                    brama::default().poll();
                    brama::default().shutdown();
                    Ok(())
                });
                Ok(())
            })
        });
    }
}
