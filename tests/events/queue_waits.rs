//! Waiting for a queue without taking from it, and closing a queue while a thread waits for it.

use std::thread;
use std::time::Duration;

use crate::common::events::{kinds, queue_of};
#[cfg(target_os = "linux")]
use crate::common::threads::asleep;
use crate::common::{manager, ms};
use brama::Brama;

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn waiting_takes_nothing() {
    for background in [true, false] {
        let brama = Brama::builder().background(background).build().unwrap();
        let db = brama.register("db", None).unwrap();
        let queue = queue_of(&brama, 10);
        db.success().unwrap();
        assert!(queue.wait(LONG) && queue.wait(LONG));
        assert_eq!(kinds(&queue.drain(10)), ["success"]);
        assert!(!queue.wait(Duration::ZERO) && !queue.wait(ms(1)));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_wait_without_a_background_thread_sleeps() {
    let used = || {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: a valid place for the result.
        let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
        assert_eq!(answer, 0);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let brama = Brama::builder().background(false).build().unwrap();
    let queue = queue_of(&brama, 10);
    let before = used();
    assert!(!queue.wait(ms(400)) && queue.next_timeout(ms(400)).is_none());
    assert!(used() - before < ms(200), "it spins");
}

#[test]
fn a_wait_ends_with_the_next_report() {
    for background in [true, false] {
        let brama = Brama::builder().background(background).build().unwrap();
        let db = brama.register("db", None).unwrap();
        let queue = queue_of(&brama, 10);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| queue.wait(LONG));
            db.success().unwrap();
            assert!(waiter.join().unwrap());
        });
    }
}

#[test]
fn closing_wakes_waiting_threads_and_keeps_waiting_events() {
    for background in [true, false] {
        let brama = Brama::builder().background(background).build().unwrap();
        let db = brama.register("db", None).unwrap();
        let queue = queue_of(&brama, 10);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| queue.wait(Duration::MAX));
            queue.close();
            assert!(!waiter.join().unwrap(), "nothing to take");
        });
        db.success().unwrap();
        assert!(queue.is_closed() && !queue.wait(Duration::MAX));
    }

    let (brama, _) = manager();
    let db = brama.register("db", None).unwrap();
    let queue = queue_of(&brama, 10);
    db.success().unwrap();
    brama.poll();
    queue.close();
    db.success().unwrap();
    brama.poll();
    assert!(queue.wait(Duration::MAX));
    assert_eq!(kinds(&queue.drain(10)), ["success"]);
    assert!(!queue.wait(Duration::MAX));
}

/// Some threads only wait for an event, and one takes it. A wake that goes to a thread
/// that only waits must not leave the thread that takes asleep beside the event.
#[cfg(target_os = "linux")]
#[test]
fn a_waiting_and_a_taking_thread_both_wake() {
    use std::sync::Arc;

    for background in [true, false] {
        for round in 0..40 {
            let brama = Brama::builder().background(background).build().unwrap();
            let db = brama.register("db", None).unwrap();
            let queue = Arc::new(queue_of(&brama, 10));
            let look = || {
                let queue = queue.clone();
                asleep(move || queue.wait(Duration::MAX))
            };
            // The thread that has slept longest is woken first.
            let first = (round % 2 == 0).then(look);
            let own = queue.clone();
            let takes = asleep(move || own.next_timeout(Duration::MAX));
            let others = [(); 2].map(|()| look());
            db.success().unwrap();
            let taken = takes.recv_timeout(LONG).expect("it wakes");
            assert!(taken.is_some());
            // The threads that only wait have woken, or have found the event gone and sleep on.
            queue.close();
            for looks in others.into_iter().chain(first) {
                looks.recv_timeout(LONG).expect("it wakes");
            }
        }
    }
}

/// As many threads wake as there are events.
#[cfg(target_os = "linux")]
#[test]
fn each_of_several_taking_threads_gets_one() {
    use std::sync::Arc;

    let brama = Brama::builder().build().unwrap();
    let db = brama.register("db", None).unwrap();
    let queue = Arc::new(queue_of(&brama, 10));
    let takers = [(); 3].map(|()| {
        let queue = queue.clone();
        asleep(move || queue.next_timeout(Duration::MAX).is_some())
    });
    for _ in 0..3 {
        db.success().unwrap();
    }
    for taker in takers {
        assert_eq!(taker.recv_timeout(LONG), Ok(true));
    }
}
