//! Events after a `fork`: events that waited belong to the parent, later
//! ones to the process that makes them, and a wake stays in its process.

use std::io::{Read, Write};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::common::events::{all, assert_exact, kinds, queue_of};
use crate::common::forks::{Finding, changes, check, fork, in_child, same, soon};
use crate::common::{fail, in_company, manager, ms, wait_until};
use brama::{Brama, EventFilter, EventType};

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

#[test]
fn what_waits_at_the_fork_is_the_parent_s() {
    let _company = in_company();
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
    let _company = in_company();
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
    let _company = in_company();
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

    let (from_parent, mut to_child) = std::io::pipe().expect("there are descriptors left");
    let (mut from_child, to_parent) = std::io::pipe().expect("there are descriptors left");
    // Moved into the closure, so that the parent keeps no copy of these ends.
    // If the child ends early, the parent's reads fail instead of waiting.
    let ends = (from_parent, to_parent);
    let (queues, circuit, manager) = ((&queue, &quiet), &db, &brama);
    let child = fork(move || {
        let ((queue, quiet), (mut from_parent, mut to_parent)) = (queues, ends);
        same("number", queue.as_raw_fd().expect("open"), fd)?;
        check(!is_readable(fd), || "it sees the parent's wake-up".into())?;
        check(is_readable(closed_fd), || "closed for ever".into())?;
        // SAFETY: a plain system call.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        same("flags", flags, libc::FD_CLOEXEC)?;
        circuit.failure(None).expect("registered");
        manager.poll();
        check(is_readable(quiet_fd), || {
            "its own wake-up is missing".into()
        })?;
        to_parent.write_all(&[1]).expect("it waits");
        from_parent.read_exact(&mut [0]).expect("it answers");
        queue.drain(64);
        quiet.drain(64);
        check(!is_readable(fd), || "drained, but readable".into())?;
        to_parent.write_all(&[1]).expect("it waits");
        Ok(())
    });
    // The read fails at once if the child has ended. Then `join` says why.
    let mut signal = [0];
    if from_child.read_exact(&mut signal).is_ok() {
        assert!(!is_readable(quiet_fd), "woken by the child");
        assert!(is_readable(fd));
        to_child.write_all(&[1]).expect("it waits");
        let _ = from_child.read_exact(&mut signal);
        assert!(is_readable(fd), "the child took the wake-up");
    }
    child.join();
    assert_eq!(queue.drain(64).len(), 1);
    assert!(!is_readable(fd));
}

/// Ends the stall of a callback when it is dropped.
struct LetGo(Arc<AtomicBool>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn a_callback_that_is_running_elsewhere_neither_stops_nor_hides_the_child_s_events() {
    let _company = in_company();
    let brama = Brama::builder().build().expect("valid");
    let calls = Arc::new(AtomicU32::new(0));
    let stall = Arc::new(AtomicBool::new(true));
    let subscription = brama.subscribe(changes(), {
        let (calls, stall) = (calls.clone(), stall.clone());
        move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
            wait_until("it is let go", || !stall.load(Ordering::Relaxed));
        }
    });
    let subscription = subscription.expect("running");
    // Ends the stall even if a child fails, since the driver is inside the callback.
    let let_go = LetGo(stall);
    let db = brama.register("db", None).expect("a new name");
    db.open_circuit(None, None).expect("registered");
    wait_until("the callback runs", || calls.load(Ordering::Relaxed) == 1);
    let heard = fork(|| {
        let_go.0.store(false, Ordering::Relaxed);
        db.close_circuit().expect("registered");
        soon("told", || calls.load(Ordering::Relaxed) == 2)?;
        brama.shutdown();
        same("calls", calls.load(Ordering::Relaxed), 2)
    });
    heard.join();
    // No thread will ever leave this callback in the child.
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
    drop(let_go);
    db.close_circuit().expect("registered");
    wait_until("told in the parent", || calls.load(Ordering::Relaxed) == 2);
    subscription.take().expect("there").unsubscribe();
}

/// The driver is about to push an event into the queue when the fork happens.
/// The child does not have that thread, and cannot know how far the push has
/// come. Closing the queue in the child still wakes a thread that waits for it.
#[test]
fn a_queue_that_was_being_served_at_the_fork_ends_in_the_child() {
    let _company = in_company();
    for end in [
        |brama: &Brama| brama.shutdown(),
        |brama: &Brama| brama.unsubscribe(&all()),
    ] {
        let brama = Brama::builder().build().expect("valid");
        let asked = Arc::new(AtomicU32::new(0));
        let stall = Arc::new(AtomicBool::new(true));
        let filter = changes().custom({
            let (asked, stall) = (asked.clone(), stall.clone());
            move |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                wait_until("it is let go", || !stall.load(Ordering::Relaxed));
                true
            }
        });
        let queue = brama.subscribe_queue(filter, 4).expect("running");
        let fd = queue.as_raw_fd().expect("the system has one");
        let _let_go = LetGo(stall);
        let db = brama.register("db", None).expect("a new name");
        db.open_circuit(None, None).expect("registered");
        wait_until("the filter runs", || asked.load(Ordering::Relaxed) == 1);
        in_child(|| {
            end(&brama);
            same("closed", queue.is_closed(), true)?;
            same("readable", is_readable(fd), true)?;
            same("waited", queue.wait(Duration::from_secs(3600)), false)
        });
    }
}

#[test]
fn a_child_that_only_runs_another_program_needs_nothing_of_ours() {
    let _company = in_company();
    let brama = Brama::builder().build().expect("valid");
    let queue = queue_of(&brama, 4);
    queue.as_raw_fd().expect("there are some left");
    // With a `pre_exec` function the standard library forks.
    let mut command = std::process::Command::new("true");
    // SAFETY: it does nothing.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, || Ok(())) };
    let begin = Instant::now();
    assert!(command.status().expect("there is such a program").success());
    assert!(begin.elapsed() < Duration::from_secs(20));
    brama.register("db", None).expect("a new name");
    assert!(queue.next_timeout(ms(20_000)).is_some());
}

#[test]
fn what_waits_at_a_fork_is_no_matter_to_distant_descendants() {
    let _company = in_company();
    let (brama, clock) = manager();
    let queue = queue_of(&brama, 9);
    let db = brama.register("db", None).expect("a new name");
    // No thread polls, so the event waits.
    db.open_circuit("waits", None).expect("registered");
    for generations in 1..=16 {
        in_generation(generations, &|generation| {
            brama.poll();
            if generation < generations {
                return Ok(());
            }
            db.reset_circuit().expect("registered");
            db.open_circuit("down", ms(5)).expect("registered");
            brama.poll();
            queue.drain(9);
            clock.advance(ms(5));
            brama.poll();
            let told = kinds(&queue.drain(9));
            let wanted = ["expiry", "state_change", "circuit_half_opened"];
            same("told", told.as_slice(), &wanted)
        });
    }
}

/// Does `work` in a child, in a child of that child, and so on, `most` times.
fn in_generation(most: u32, work: &dyn Fn(u32) -> Finding) {
    fn descend(generation: u32, most: u32, work: &dyn Fn(u32) -> Finding) {
        if generation <= most {
            in_child(|| {
                work(generation)?;
                descend(generation + 1, most, work);
                Ok(())
            });
        }
    }
    descend(1, most, work);
}
