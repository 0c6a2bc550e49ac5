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
