//! A million connections: registered, found, counted, opened, expired and removed; and a million
//! that come and go one after the other without leaving anything behind. The memory of removed
//! connections is kept for new ones, so the tests check that memory does not grow. One test runs
//! at a time, since each takes half a gigabyte. The tests print their times (`--nocapture`). The
//! limits on times are so wide that a slow machine passes and a quadratic algorithm does not.

mod common;

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use brama::{Brama, State};
use common::counting::{Counting, bytes_alive};
use common::{START, alone, fail, manager, manager_with, ms};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MILLION: usize = 1_000_000;

/// The n-th name, sixteen bytes.
struct Name([u8; 16]);

impl Name {
    fn of(n: usize) -> Self {
        let mut name = *b"connection-00000";
        for (digit, place) in name[11..].iter_mut().rev().zip(0..) {
            *digit = b"0123456789abcdef"[n >> (4 * place) & 15];
        }
        Name(name)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("ascii")
    }
}

/// Does something with each of a million names, within three minutes.
fn a_million_times(what: &str, mut work: impl FnMut(&str)) {
    let begin = Instant::now();
    for n in 0..MILLION {
        work(Name::of(n).as_str());
    }
    let took = begin.elapsed();
    println!("a million times {what}: {took:?}");
    assert!(took.as_secs() < 180, "{what}: {took:?}");
}

fn register_a_million(brama: &Brama) {
    a_million_times("register", |name| {
        brama.register(name, None).expect("a new name");
    });
}

fn unregister_a_million(brama: &Brama) {
    a_million_times("unregister", |name| {
        brama.unregister(name).expect("registered");
    });
}

#[test]
fn the_names_are_different_and_have_sixteen_bytes() {
    let names: BTreeSet<_> = (0..MILLION).step_by(997).map(|n| Name::of(n).0).collect();
    assert_eq!(names.len(), MILLION.div_ceil(997));
    assert_eq!(Name::of(MILLION - 1).as_str(), "connection-f423f");
}

#[test]
fn a_million_connections_are_registered_found_counted_and_removed() {
    let _alone = alone();
    let before = bytes_alive();
    let (brama, _clock) = manager();
    register_a_million(&brama);
    let full = bytes_alive();
    let each = (full - before) / MILLION as isize;
    println!("bytes for each connection: {each}");
    assert!(each <= 256, "{each} bytes");

    a_million_times("available", |name| assert!(brama.available(name)));
    for n in (0..MILLION).step_by(10) {
        brama
            .failure(Name::of(n).as_str(), None)
            .expect("registered");
    }
    assert!(!brama.available("connection-fffff"), "never registered");
    assert!(brama.register(Name::of(7).as_str(), None).is_err());

    let begin = Instant::now();
    let counts = brama.state_counts();
    println!("state_counts: {:?}", begin.elapsed());
    assert_eq!(
        (counts.closed, counts.open, counts.half_open),
        (MILLION, 0, 0)
    );

    let begin = Instant::now();
    let snapshot = brama.snapshot();
    println!("snapshot: {:?}", begin.elapsed());
    assert_eq!(snapshot.len(), MILLION);
    for (n, status) in snapshot.iter().enumerate() {
        assert_eq!(status.identifier.as_bytes(), &Name::of(n).0);
        assert_eq!(status.total_failures, u64::from(n % 10 == 0));
    }
    drop(snapshot);

    let begin = Instant::now();
    brama.reset_all();
    println!("reset_all: {:?}", begin.elapsed());
    assert_eq!(
        brama
            .status(Name::of(0).as_str())
            .expect("there")
            .failure_count,
        0
    );

    unregister_a_million(&brama);
    assert!(brama.snapshot().is_empty());
    assert_eq!(brama.state_counts(), Default::default());
    assert!(!brama.available(Name::of(0).as_str()));
    let left = (bytes_alive() - before) / MILLION as isize;
    println!("bytes kept for each after all are removed: {left}");
    assert!(left <= 240, "{left} bytes left");
    register_a_million(&brama);
    let more = bytes_alive() - full;
    println!("bytes more for another million: {more}");
    assert!(more < 1 << 20, "{more} bytes more");
}

#[test]
fn a_million_that_come_and_go_leave_nothing_behind() {
    let _alone = alone();
    let (brama, _clock) = manager();
    for n in 0..1_000 {
        brama
            .register(&format!("stays{n}"), None)
            .expect("a new name");
    }
    let come_and_go = |name: &str| {
        brama.register(name, None).expect("a new name");
        brama.unregister(name).expect("registered");
    };
    (0..50_000).for_each(|n| come_and_go(Name::of(n).as_str()));
    let before = bytes_alive();
    let mut most = before;
    let mut n = 0;
    a_million_times("register and unregister", |name| {
        come_and_go(name);
        n += 1;
        if n % 1_000 == 0 {
            most = most.max(bytes_alive());
        }
    });
    println!("bytes more at the worst moment: {}", most - before);
    assert!(most - before < 4 << 20, "{} bytes more", most - before);
    assert_eq!(brama.snapshot().len(), 1_000);
    a_million_times("available in what is left", |name| {
        assert!(!brama.available(name));
    });
}

/// The thread that unregisters frees records that another thread has made.
/// A thread that ends leaves the records that it has kept to others.
#[test]
fn names_that_pass_from_thread_to_thread_leave_nothing_behind() {
    const UNDER_WAY: usize = 1_000;
    let _alone = alone();
    let (brama, _clock) = manager();
    let pass = |names: usize| {
        let (sender, receiver) = mpsc::sync_channel(UNDER_WAY);
        thread::scope(|scope| {
            scope.spawn({
                let brama = &brama;
                move || {
                    for n in 0..names {
                        brama
                            .register(Name::of(n).as_str(), None)
                            .expect("a new name");
                        sender.send(n).expect("somebody receives");
                    }
                }
            });
            for n in receiver {
                brama.unregister(Name::of(n).as_str()).expect("registered");
            }
        });
    };
    pass(100_000);
    let before = bytes_alive();
    for _ in 0..20 {
        pass(10_000);
    }
    let grown = bytes_alive() - before;
    println!("bytes more: {grown}");
    assert!(grown < 2 << 20, "{grown} bytes more");
}

/// The index over a hundred thousand names takes two megabytes, so a rebuild of it would show.
#[test]
fn names_that_come_back_a_million_times_find_their_places_kept() {
    const STANDING: usize = 100_000;
    let _alone = alone();
    let (brama, _clock) = manager();
    for n in 0..STANDING {
        brama
            .register(Name::of(n).as_str(), None)
            .expect("a new name");
    }
    let come_and_go = |n: usize| {
        let name = Name::of(STANDING + n % 500);
        brama.register(name.as_str(), None).expect("a new name");
        brama.unregister(name.as_str()).expect("registered");
    };
    (0..50_000).for_each(come_and_go);
    let before = bytes_alive();
    let mut most = before;
    let mut n = 0;
    a_million_times("register and unregister one of 500 names", |_| {
        come_and_go(n);
        n += 1;
        most = most.max(bytes_alive());
    });
    println!("bytes more at the worst moment: {}", most - before);
    assert!(most - before < 1 << 20, "{} bytes more", most - before);
    assert_eq!(brama.state_counts().closed, STANDING);
}

#[test]
fn a_million_that_come_open_and_go_leave_nothing_behind() {
    let _alone = alone();
    let (brama, clock) = manager_with(|b| b.max_attempts(1));
    let before = bytes_alive();
    let mut n = 0;
    a_million_times("register, open and unregister", |name| {
        let db = brama.register(name, None).expect("a new name");
        fail(&db, 1);
        brama.poll();
        brama.unregister(name).expect("registered");
        n += 1;
        if n % 1_000 == 0 {
            clock.advance(ms(1));
        }
    });
    let grown = bytes_alive() - before;
    assert!(grown < 4 << 20, "{grown} bytes more");
}

#[test]
fn a_million_open_circuits_expire_in_one_poll() {
    let _alone = alone();
    let (brama, clock) = manager_with(|b| b.max_attempts(1));
    register_a_million(&brama);
    a_million_times("failure", |name| {
        brama.failure(name, None).expect("registered");
    });
    assert_eq!(brama.state_counts().open, MILLION);
    clock.advance(ms(59_999));
    let begin = Instant::now();
    brama.poll();
    println!("poll that plans a million expiries: {:?}", begin.elapsed());
    clock.advance(ms(1));
    let begin = Instant::now();
    brama.poll();
    println!("poll with a million expiries: {:?}", begin.elapsed());
    // Time moves on, so that an expiry that happens only now has another time.
    clock.advance(ms(5_000));
    for n in (0..MILLION).step_by(101) {
        let status = brama.status(Name::of(n).as_str()).expect("registered");
        assert_eq!(status.state, State::HalfOpen);
        assert_eq!(status.last_state_change, Some(START + 60_000));
    }
    assert_eq!(brama.state_counts().half_open, MILLION);
    unregister_a_million(&brama);
}

#[test]
fn a_million_are_shut_down() {
    let _alone = alone();
    let (brama, _clock) = manager();
    register_a_million(&brama);
    let begin = Instant::now();
    brama.shutdown();
    let going = begin.elapsed();
    println!("shutdown of a million: {going:?}");
}

#[test]
fn a_million_idle_are_cleaned_up_in_one_poll() {
    let _alone = alone();
    let (brama, clock) = manager_with(|b| b.inactive_threshold(ms(1_000)));
    register_a_million(&brama);
    clock.advance(ms(20_000));
    let begin = Instant::now();
    brama.poll();
    let going = begin.elapsed();
    println!("cleanup of a million: {going:?}");
    assert_eq!(brama.state_counts(), Default::default());
}
