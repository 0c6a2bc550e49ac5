//! After `fork`: the child's managers work, whatever the parent's other threads were
//! doing, and the parent notices nothing.
//!
//! Every test forks the test program itself, with all its threads. A child that
//! hangs is killed and fails its test.
#![cfg(target_os = "linux")]

mod common;

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use brama::{Brama, ConnectionOptions, Error, EventFilter, EventType, ManualClock, State};
use common::counting::{Counting, bytes_alive};
use common::events::{all, assert_exact, kinds, queue_of};
use common::forks::{Finding, check, fork, fork_and_end, in_child, same, soon};
use common::{fail, manager, ms, wait_until};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time: they count descriptors and bytes. In the child it is of no
/// account who holds it.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn halves() -> EventFilter {
    EventFilter::new().types([EventType::CircuitHalfOpened])
}

fn changes() -> EventFilter {
    EventFilter::new().types([EventType::StateChange])
}

/// Whether a descriptor is readable now.
fn is_readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid entry.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}

/// Everything once, on a manager that is used and one that is new.
fn a_bit_of_everything(brama: &Brama, tag: &str) -> Finding {
    let wrong = |error: Error| format!("{tag}: {error}");
    let heard = Arc::new(AtomicU32::new(0));
    let hears = heard.clone();
    let subscription = brama
        .subscribe(changes().connection(format!("own {tag}")), move |_| {
            hears.fetch_add(1, Ordering::Relaxed);
        })
        .map_err(wrong)?;
    let queue = brama.subscribe_queue(all(), 64).map_err(wrong)?;
    queue.as_raw_fd().map_err(|error| error.to_string())?;
    let name = format!("own {tag}");
    let options = ConnectionOptions::new().max_attempts(2).expiry(ms(1));
    let own = brama.register(&name, options).map_err(wrong)?;
    check(brama.available(&name), || "not available".into())?;
    own.success().map_err(wrong)?;
    own.failure("one").map_err(wrong)?;
    own.failure("two").map_err(wrong)?;
    soon("half-open", || own.state() == State::HalfOpen)?;
    own.acquire().map_err(wrong)?.success().map_err(wrong)?;
    same("state", own.state(), State::Closed)?;
    soon("three changes", || {
        brama.poll();
        heard.load(Ordering::Relaxed) == 3
    })?;
    check(queue.next_timeout(ms(10_000)).is_some(), || {
        "no event".into()
    })?;
    subscription.unsubscribe();
    brama
        .configure(brama::Config::new().max_attempts(7))
        .map_err(wrong)?;
    brama.snapshot();
    brama.reset_all();
    brama.unregister(&name).map_err(wrong)?;
    drop(queue);
    Ok(())
}

// ---- state ----

#[test]
fn state_is_carried_over_and_each_process_goes_on_with_its_own() {
    let _alone = alone();
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
    assert_eq!(
        format!("{:?}", db.status().expect("registered")),
        format!("{before:?}")
    );
    db.failure(None).expect("registered");
    assert_eq!(db.state(), State::Open);
}

#[test]
fn counts_of_threads_that_are_gone_count_in_the_child() {
    let _alone = alone();
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
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        db.success().expect("registered");
                    }
                });
            }
        });
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
    let _alone = alone();
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
        // The next use: a look at the circuit.
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
    let _alone = alone();
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
    let _alone = alone();
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
    let _alone = alone();
    let (brama, clock) = manager();
    let queue = queue_of(&brama, 64);
    let db = brama.register("db", None).expect("a new name");
    db.open_circuit(None, ms(10)).expect("registered");
    queue.drain(64);
    in_child(|| {
        clock.advance(ms(10));
        brama.poll();
        same(
            "events",
            kinds(&queue.drain(64)),
            vec!["expiry", "state_change", "circuit_half_opened"],
        )?;
        a_bit_of_everything(
            &Brama::builder().background(false).build().expect("valid"),
            "new",
        )
    });
    assert_eq!(db.state(), State::Open);
}

// ---- events ----

#[test]
fn what_waits_at_the_fork_is_the_parent_s() {
    let _alone = alone();
    let (brama, _) = manager();
    let queue = queue_of(&brama, 2);
    let batches = Arc::new(AtomicU32::new(0));
    let _batches = brama.subscribe_batched(all(), 100, {
        let batches = batches.clone();
        move |events| {
            batches.fetch_add(events.len() as u32, Ordering::Relaxed);
        }
    });
    let db = brama.register("db", None).expect("a new name");
    // Two in the queue, two put aside, one more in the ring.
    fail(&db, 2);
    brama.poll();
    db.open_circuit("late", None).expect("registered");
    let heard = batches.load(Ordering::Relaxed);
    in_child(|| {
        same("waiting", queue.drain(9).len(), 0)?;
        db.close_circuit().expect("registered");
        brama.poll();
        same("batched", batches.load(Ordering::Relaxed), heard + 2)?;
        same(
            "own",
            kinds(&queue.drain(9)),
            vec!["state_change", "circuit_closed"],
        )
    });
    brama.poll();
    assert_eq!(
        kinds(&queue.drain(9)),
        [
            "registration",
            "connection_registered",
            "state_change",
            "circuit_opened"
        ]
    );
    assert_eq!(batches.load(Ordering::Relaxed), heard + 2);
    let counts = brama.event_counts();
    assert_eq!(counts.published, 6);
}

#[test]
fn a_full_ring_of_the_parent_s_is_an_empty_one_of_the_child_s() {
    let _alone = alone();
    let brama = Brama::builder()
        .background(false)
        .event_capacity(4)
        .build()
        .expect("valid");
    let db = brama.register("db", None).expect("a new name");
    let queue = brama
        .subscribe_queue(EventFilter::new().types([EventType::Failure]), 64)
        .expect("running");
    fail(&db, 100);
    in_child(|| {
        fail(&db, 3);
        same("own", queue.drain(64).len(), 3)?;
        Ok(())
    });
    assert_eq!(queue.drain(64).len(), 4);
    assert_exact(brama.event_counts());
}

#[test]
fn no_wake_up_crosses_from_process_to_process() {
    let _alone = alone();
    let (brama, _) = manager();
    let queue = queue_of(&brama, 64);
    let fd = queue.as_raw_fd().expect("there are some left");
    let quiet = queue_of(&brama, 64);
    let quiet_fd = quiet.as_raw_fd().expect("there are some left");
    let db = brama.register("db", None).expect("a new name");
    brama.poll();
    quiet.drain(64);
    assert!(is_readable(fd) && !is_readable(quiet_fd));
    let closed = queue_of(&brama, 64);
    let closed_fd = closed.as_raw_fd().expect("there are some left");
    brama.unsubscribe(&all());
    assert!(is_readable(closed_fd));
    let queue = queue_of(&brama, 64);
    let fd = queue.as_raw_fd().expect("there are some left");
    let quiet = queue_of(&brama, 64);
    let quiet_fd = quiet.as_raw_fd().expect("there are some left");
    db.failure(None).expect("registered");
    brama.poll();
    quiet.drain(64);

    let to_child = std::io::pipe().expect("there are descriptors left");
    let to_parent = std::io::pipe().expect("there are descriptors left");
    let signal = |pipe: &(PipeReader, PipeWriter)| (&pipe.1).write_all(&[1]).expect("open");
    let await_signal =
        |pipe: &(PipeReader, PipeWriter)| (&pipe.0).read_exact(&mut [0]).expect("open");
    let child = fork(|| {
        same("number", queue.as_raw_fd().expect("open"), fd)?;
        check(!is_readable(fd), || "it sees the parent's wake-up".into())?;
        check(is_readable(closed_fd), || "closed for ever".into())?;
        // SAFETY: a plain system call.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        same("flags", flags, libc::FD_CLOEXEC)?;
        db.failure(None).expect("registered");
        brama.poll();
        check(is_readable(quiet_fd), || {
            "its own wake-up is missing".into()
        })?;
        signal(&to_parent);
        await_signal(&to_child);
        queue.drain(64);
        quiet.drain(64);
        check(!is_readable(fd), || "drained, but readable".into())?;
        signal(&to_parent);
        Ok(())
    });
    await_signal(&to_parent);
    assert!(!is_readable(quiet_fd), "woken by the child");
    assert!(is_readable(fd));
    signal(&to_child);
    await_signal(&to_parent);
    assert!(is_readable(fd), "the child took the wake-up");
    child.join();
    assert_eq!(queue.drain(64).len(), 1);
    assert!(!is_readable(fd));
}

#[test]
fn a_callback_that_is_running_elsewhere_neither_stops_nor_hides_the_child_s_events() {
    let _alone = alone();
    let brama = Brama::builder().build().expect("valid");
    let calls = Arc::new(AtomicU32::new(0));
    let stall = Arc::new(AtomicBool::new(true));
    let subscription = brama.subscribe(changes(), {
        let (calls, stall) = (calls.clone(), stall.clone());
        move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
            while stall.load(Ordering::Relaxed) {
                thread::sleep(ms(1));
            }
        }
    });
    let subscription = subscription.expect("running");
    let db = brama.register("db", None).expect("a new name");
    db.open_circuit(None, None).expect("registered");
    wait_until("the callback runs", || calls.load(Ordering::Relaxed) == 1);
    let heard = fork(|| {
        stall.store(false, Ordering::Relaxed);
        db.close_circuit().expect("registered");
        soon("told", || calls.load(Ordering::Relaxed) == 2)?;
        brama.shutdown();
        same("calls", calls.load(Ordering::Relaxed), 2)
    });
    heard.join();
    // Nobody will ever leave this callback in the child.
    let mut subscription = Some(subscription);
    in_child(|| {
        subscription.take().expect("there").unsubscribe();
        brama.shutdown();
        Ok(())
    });
    in_child(|| {
        drop(brama.clone());
        brama.unsubscribe(&all());
        Ok(())
    });
    stall.store(false, Ordering::Relaxed);
    db.close_circuit().expect("registered");
    wait_until("told in the parent", || calls.load(Ordering::Relaxed) == 2);
    subscription.take().expect("there").unsubscribe();
}

// ---- from inside ----

#[test]
fn a_callback_may_fork() {
    let _alone = alone();
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
                    // The next event is not delivered while this one is.
                    inner.close_circuit("db").expect("registered");
                    inner.poll();
                    let queue = queue_of(&inner, 8);
                    inner.register("new", None).expect("a new name");
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
        wait_until("both are told", || {
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
    let _alone = alone();
    for background in [true, false] {
        let brama = Brama::builder()
            .background(background)
            .build()
            .expect("valid");
        let db = brama.register("db", None).expect("a new name");
        let parent = std::process::id();
        // Shared by both processes.
        // SAFETY: a fresh mapping of one page.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4_096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        // SAFETY: zeroed, aligned, and there until the process ends.
        let [in_parent, in_child, done]: &'static [AtomicU64; 3] = unsafe { &*page.cast() };
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
                    // SAFETY: what the child does afterwards is what is tested.
                    match unsafe { libc::fork() } {
                        0 => inner.close_circuit("db").expect("registered"),
                        child => pid.store(child as u32, Ordering::Relaxed),
                    }
                }
                if std::process::id() != parent && event.new_state() == State::Closed {
                    done.store(1, Ordering::Relaxed);
                    // SAFETY: ends the process, nothing else.
                    unsafe { libc::_exit(0) };
                }
            })
            .expect("running");
        // Not delivered one by one: the second waits while the first is told.
        db.open_circuit(None, None).expect("registered");
        db.half_open_circuit().expect("registered");
        wait_until("both are told", || {
            brama.poll();
            if std::process::id() != parent {
                // The child of the thread that polls: its own event comes next.
                brama.poll();
            }
            in_parent.load(Ordering::Relaxed) == 2
        });
        wait_until("the child is told of its own", || {
            done.load(Ordering::Relaxed) == 1
        });
        assert_eq!(in_child.load(Ordering::Relaxed), 1, "and of nothing else");
        let child = id.load(Ordering::Relaxed) as libc::pid_t;
        // SAFETY: the child is ours.
        let ended = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        assert_eq!(ended, child);
    }
}

// ---- ends ----

#[test]
fn children_shut_down_drop_and_exit_and_the_parent_joins_its_thread() {
    let _alone = alone();
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
        // SAFETY: a plain function.
        same("registered", unsafe { libc::atexit(at_exit) }, 0)
    };
    fork_and_end(used, |code| {
        // SAFETY: runs what was registered, on the child's only thread.
        unsafe { libc::exit(code) };
    })
    .join();
    brama.shutdown();
    assert_eq!(brama.success("db"), Err(Error::ShutDown));
}

#[test]
fn children_of_children_work_too() {
    fn descend(brama: &Brama, depth: u32) -> Finding {
        a_bit_of_everything(brama, &depth.to_string())?;
        if depth < 5 {
            in_child(|| descend(brama, depth + 1));
        }
        a_bit_of_everything(brama, "after")
    }
    let _alone = alone();
    let brama = Brama::builder().build().expect("valid");
    in_child(|| descend(&brama, 1));
    let fresh = Brama::builder().background(false).build().expect("valid");
    in_child(|| descend(&fresh, 1));
    a_bit_of_everything(&brama, "parent").expect("it works");
}

#[test]
fn the_default_manager_may_be_in_the_making() {
    let _alone = alone();
    for _ in 0..20 {
        // A process in which nobody has asked for it yet.
        in_child(|| {
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(brama::default);
                }
                in_child(|| {
                    brama::default().poll();
                    brama::default().shutdown();
                    Ok(())
                });
            });
            Ok(())
        });
    }
}

// ---- storms ----

/// Runs `during` while threads do everything at once with `brama`.
fn in_a_storm(brama: &Brama, during: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let go_on = || !over.load(Ordering::Relaxed);
        scope.spawn(move || {
            for n in 0_u64.. {
                let name = format!("storm {}", n % 300);
                if !go_on() {
                    break;
                }
                let _ = brama.register(&name, None);
                let _ = brama.failure(&name, "storm");
                let _ = brama.unregister(&format!("storm {}", (n + 150) % 300));
            }
        });
        scope.spawn(move || {
            while go_on() {
                let subscription = brama.subscribe(all(), |_| {}).expect("running");
                let batched = brama.subscribe_batched(all(), 3, |_| {}).expect("running");
                let queue = queue_of(brama, 4);
                queue.as_raw_fd().expect("there are some left");
                queue.drain(2);
                drop((subscription, batched, queue));
            }
        });
        scope.spawn(move || {
            while go_on() {
                brama.poll();
                for name in ["db", "storm 1", "storm 2"] {
                    brama.available(name);
                    let _ = brama.acquire(name).map(|permit| permit.failure(None));
                    let _ = brama.reset_circuit(name);
                    let _ = brama.status(name);
                }
            }
        });
        during();
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn two_hundred_forks_in_a_storm_and_no_child_hangs() {
    let _alone = alone();
    let brama = Brama::builder().event_capacity(64).build().expect("valid");
    brama.register("db", None).expect("a new name");
    let queue = queue_of(&brama, 16);
    in_a_storm(&brama, || {
        for number in 0..220 {
            in_child(|| {
                a_bit_of_everything(&brama, &format!("child {number}"))?;
                queue.drain(4);
                if number % 3 == 0 {
                    in_child(|| a_bit_of_everything(&brama, "grandchild"));
                }
                brama.shutdown();
                same("shut", brama.success("db"), Err(Error::ShutDown))
            });
        }
    });
    a_bit_of_everything(&brama, "parent").expect("it works");
    drop(queue);
    brama.shutdown();
}

#[test]
fn threads_that_were_pinned_do_not_keep_the_child_from_freeing() {
    let _alone = alone();
    let brama = Brama::builder().background(false).build().expect("valid");
    for n in 0..50_000 {
        brama.register(&format!("{n}"), None).expect("a new name");
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Pinned most of the time.
                    brama.state_counts();
                }
            });
        }
        for _ in 0..3 {
            thread::sleep(ms(5));
            in_child(|| {
                let churn = |pairs: u32| {
                    for n in 0..pairs {
                        let name = format!("churn {n}");
                        drop(brama.register(&name, None));
                        drop(brama.unregister(&name));
                    }
                };
                churn(20_000);
                let before = bytes_alive();
                churn(200_000);
                let more = bytes_alive() - before;
                check(more < 4 << 20, || {
                    format!("{more} bytes more after 200000 pairs")
                })
            });
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_child_that_only_runs_another_program_needs_nothing_of_ours() {
    let _alone = alone();
    let brama = Brama::builder().build().expect("valid");
    let queue = queue_of(&brama, 4);
    queue.as_raw_fd().expect("there are some left");
    // A `pre_exec` makes the standard library fork.
    let mut command = std::process::Command::new("true");
    // SAFETY: it does nothing.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, || Ok(())) };
    let begin = std::time::Instant::now();
    assert!(command.status().expect("there is such a program").success());
    assert!(begin.elapsed() < Duration::from_secs(20));
    brama.register("db", None).expect("a new name");
    assert!(queue.next_timeout(ms(20_000)).is_some());
}
