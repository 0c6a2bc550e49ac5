//! Waiting for a queue without taking from it, and ending it while it is held.

mod common;

use std::thread;
use std::time::Duration;

use brama::Brama;
use common::events::{kinds, queue_of};
use common::{manager, ms};

/// So long that no test gets there.
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
fn who_waits_without_a_background_thread_sleeps() {
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
fn who_waits_for_a_report_gets_it() {
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
fn closing_wakes_who_waits_and_leaves_what_waits() {
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
