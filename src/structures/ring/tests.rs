//! Tests of the ring with real threads; the models are in `models/ring.rs`.

use std::collections::VecDeque;
use std::{iter, thread};

use super::*;
use crate::sys::atomic::AtomicUsize;

/// A value that counts its drops, by number.
struct Counted<'a>(usize, &'a [AtomicUsize]);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.1[self.0].fetch_add(1, Ordering::Relaxed);
    }
}

fn counts(n: usize) -> Vec<AtomicUsize> {
    (0..n).map(|_| AtomicUsize::new(0)).collect()
}

fn each_once(counts: &[AtomicUsize]) -> bool {
    counts.iter().all(|n| n.load(Ordering::Relaxed) == 1)
}

/// Splitmix64, for reproducible sequences.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn capacity_is_a_power_of_two_and_at_least_two() {
    for (asked, got) in [(0, 2), (1, 2), (2, 2), (3, 4), (8, 8), (1000, 1024)] {
        assert_eq!(Ring::<u8>::new(asked).capacity(), got);
    }
}

#[test]
#[should_panic(expected = "exceeds the maximum")]
fn capacity_has_a_limit() {
    Ring::<u8>::new(MAX_CAPACITY + 1);
}

#[test]
fn agrees_with_a_deque() {
    for capacity in [2, 8, 1024] {
        let ring = Ring::new(capacity);
        let mut deque = VecDeque::new();
        let mut state = capacity as u64;
        for value in 0..50_000_u64 {
            // Long runs of pushes and of pops, so that the ring becomes full and empty.
            let filling = (value / (2 * capacity as u64)).is_multiple_of(2);
            match (random(&mut state) % 8, filling) {
                (0..=5, true) | (6, false) => {
                    let room = deque.len() < capacity;
                    assert_eq!(ring.push(value), if room { Ok(()) } else { Err(value) });
                    if room {
                        deque.push_back(value);
                    }
                }
                (7, _) => {
                    // Pops all except the last few.
                    let few = random(&mut state) as usize % 4;
                    let end = ring.tail().saturating_sub(few as u64);
                    let popped: Vec<_> = iter::from_fn(|| ring.pop_before(end)).collect();
                    let expected: Vec<_> = deque.drain(..deque.len().saturating_sub(few)).collect();
                    assert_eq!(popped, expected);
                }
                _ => assert_eq!(ring.pop(), deque.pop_front()),
            }
            assert_eq!(ring.len(), deque.len());
        }
    }
}

/// Every value arrives exactly once and is dropped exactly once, and no
/// consumer sees one producer's values out of order.
#[test]
fn stress() {
    const PER_PRODUCER: usize = 50_000;
    for capacity in [2, 8, 1024] {
        for (producers, consumers) in [(1, 1), (2, 1), (1, 2), (3, 3)] {
            let total = producers * PER_PRODUCER;
            let (dropped, arrived) = (counts(total), counts(total));
            let popped = AtomicUsize::new(0);
            let ring = Ring::new(capacity);
            let consume = || {
                let mut last = vec![None; producers];
                while popped.load(Ordering::Relaxed) < total {
                    let (end, mut done) = (ring.tail(), 0);
                    while let Some(Counted(id, _)) = ring.pop_before(end) {
                        arrived[id].fetch_add(1, Ordering::Relaxed);
                        let previous = last[id / PER_PRODUCER].replace(id);
                        assert!(previous < Some(id), "{previous:?} before {id}");
                        done += 1;
                    }
                    popped.fetch_add(done, Ordering::Relaxed);
                    assert!(ring.len() <= ring.capacity());
                    if done == 0 {
                        thread::yield_now();
                    }
                }
            };
            let produce = |producer: usize| {
                for id in producer * PER_PRODUCER..(producer + 1) * PER_PRODUCER {
                    let mut value = Counted(id, &dropped);
                    while let Err(back) = ring.push(value) {
                        assert_eq!(back.0, id);
                        value = back;
                        thread::yield_now();
                    }
                }
            };
            thread::scope(|scope| {
                for producer in 0..producers {
                    scope.spawn(move || produce(producer));
                }
                for _ in 0..consumers {
                    scope.spawn(consume);
                }
            });
            assert_eq!(ring.len(), 0);
            assert!(each_once(&arrived) && each_once(&dropped));
        }
    }
}

#[test]
fn what_is_left_is_dropped_with_the_ring() {
    let dropped = counts(13);
    let ring = Ring::new(8);
    for id in 0..5 {
        assert!(ring.push(Counted(id, &dropped)).is_ok());
    }
    assert_eq!(iter::from_fn(|| ring.pop()).count(), 5);
    for id in 5..13 {
        assert!(ring.push(Counted(id, &dropped)).is_ok());
    }
    assert_eq!(dropped[5].load(Ordering::Relaxed), 0);
    drop(ring);
    assert!(each_once(&dropped));
}

#[test]
fn a_stalled_producer_hides_what_is_behind_it() {
    let ring = Ring::new(4);
    assert!(claim(&ring.tail, 0));
    for value in 1..4 {
        assert_eq!(ring.push(value), Ok(()));
    }
    assert_eq!((ring.pop(), ring.push(9), ring.len()), (None, Err(9), 4));
    ring.slot(0).value.with_mut(|cell| {
        // SAFETY: position 0 was claimed above, by this thread.
        unsafe { (*cell).write(0) };
    });
    ring.slot(0).stamp.store(1, Ordering::Release);
    assert_eq!(
        [(); 5].map(|()| ring.pop()),
        [Some(0), Some(1), Some(2), Some(3), None]
    );
}

/// A consumer stopped between claim and release: likewise.
#[test]
fn a_stalled_consumer_keeps_one_slot() {
    let ring = Ring::new(2);
    assert_eq!((ring.push(0), ring.push(1)), (Ok(()), Ok(())));
    assert!(claim(&ring.head, 0));
    assert_eq!(ring.pop(), Some(1));
    assert_eq!((ring.push(2), ring.pop()), (Err(2), None));
    ring.slot(0).stamp.store(2, Ordering::Release);
    assert_eq!((ring.push(2), ring.pop()), (Ok(()), Some(2)));
}

#[test]
fn a_stuck_ring_drops_what_was_published() {
    let dropped = counts(2);
    let ring = Ring::new(4);
    assert!(ring.push(Counted(0, &dropped)).is_ok());
    assert!(claim(&ring.tail, 1));
    assert!(ring.push(Counted(1, &dropped)).is_ok());
    drop(ring);
    assert!(each_once(&dropped));
}
