//! The slab with real threads, on depots of the tests' own, which live for ever like
//! the process's.

use std::collections::{BTreeMap, HashSet};
use std::ptr::NonNull;
use std::sync::{Barrier, mpsc};
use std::thread;

use super::chunks::Chunks;
use super::free_stack::Links;
use super::magazine::{BATCH, Free, Magazine};
use super::{ALIGNMENT, WORD};
use crate::sys::atomic::{AtomicU32, Ordering};

/// The types of the tests' slots, and their sizes below.
type Hot = [u64; 24];
type Cold = [u64; 5];
type Depot = super::magazine::Depot<Hot, Cold>;
const HOT: usize = size_of::<Hot>();
const COLD: usize = size_of::<Cold>();

/// A thread's magazine, with its depot.
struct Here {
    depot: &'static Depot,
    magazine: Magazine,
}

/// A slot that was taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Taken(NonNull<Free>, u16);

// SAFETY: a slot may be given by any thread.
unsafe impl Send for Taken {}

impl Here {
    fn new(depot: &'static Depot) -> Self {
        let magazine = Magazine::new();
        magazine.open();
        Here { depot, magazine }
    }

    /// Takes a slot and fills all of it but its word.
    fn take(&self) -> Taken {
        let taken = self.magazine.take();
        let free = taken.unwrap_or_else(|| self.magazine.refill(self.depot));
        // SAFETY: just taken from the magazine, so it is this thread's and holds a `Free`.
        let away = unsafe { free.as_ref() }.away();
        let taken = Taken(free, away);
        // SAFETY: the parts of the depot's slots are at least `HOT` and `COLD` bytes large, and
        // the slot is this thread's.
        unsafe {
            free.cast::<u8>().write_bytes(0xa5, HOT);
            let rest = taken.cold().add(WORD);
            rest.write_bytes(0x5a, COLD - WORD);
        }
        taken
    }

    fn give(&self, taken: Taken) {
        let Taken(free, away) = taken;
        // SAFETY: the test has taken it and gives it once.
        unsafe {
            free.write(Free::new(std::ptr::null_mut(), away));
            if !self.magazine.give(free) {
                self.magazine.overflow(free, self.depot);
            }
        }
    }

    fn close(self) {
        self.magazine.close(self.depot);
    }

    fn number(&self, taken: Taken) -> u32 {
        // SAFETY: it is a slot of this depot.
        unsafe { self.depot.chunks().number(taken.0, taken.1) }
    }
}

impl Taken {
    fn cold(self) -> NonNull<u8> {
        // SAFETY: the cold part lies at this distance from the hot one, in the same chunk.
        unsafe { self.0.cast::<u8>().add(WORD * usize::from(self.1)) }
    }
}

fn depot() -> &'static Depot {
    Box::leak(Box::new(Depot::new()))
}

fn made(depot: &Depot) -> u32 {
    depot.chunks().numbers()
}

#[test]
fn slots_are_apart_and_known_by_their_numbers() {
    let here = Here::new(depot());
    // More than a row of chunks.
    let slots: Vec<_> = (0..10_000).map(|_| here.take()).collect();
    let mut parts = BTreeMap::new();
    let mut numbers = HashSet::new();
    for &slot in &slots {
        assert_eq!(slot.0.addr().get() % ALIGNMENT, 0);
        parts.insert(slot.0.addr().get(), HOT);
        parts.insert(slot.cold().addr().get(), COLD);
        let number = here.number(slot);
        assert!(numbers.insert(number), "{number} twice");
        assert_eq!(here.depot.chunks().hot(number), slot.0);
        let word = std::ptr::from_ref(here.depot.chunks().link(number));
        assert_eq!(word.addr(), slot.cold().addr().get());
    }
    assert_eq!(parts.len(), 2 * slots.len());
    let ends = parts.iter().map(|(at, size)| at + size);
    for (end, next) in ends.zip(parts.keys().skip(1)) {
        assert!(end <= *next, "{end:x} beyond {next:x}");
    }
}

#[test]
fn what_is_given_is_taken_again() {
    let here = Here::new(depot());
    let mut slots = HashSet::new();
    for round in 0..50 {
        let taken: HashSet<_> = (0..1_000).map(|_| here.take()).collect();
        assert_eq!(taken.len(), 1_000);
        if round == 0 {
            slots.clone_from(&taken);
        }
        taken.iter().for_each(|&slot| here.give(slot));
    }
    assert_eq!(made(here.depot), 1_024);
    assert!(slots.contains(&here.take()));
}

/// However many slots a thread holds, taking and giving a few moves no batch.
#[test]
fn a_few_more_or_fewer_move_nothing() {
    let here = Here::new(depot());
    let mut held = Vec::new();
    for _ in 0..5 * BATCH {
        held.push(here.take());
        let a_few_more = || {
            let more: Vec<_> = (0..BATCH).map(|_| here.take()).collect();
            more.into_iter().for_each(|slot| here.give(slot));
        };
        a_few_more();
        let moved = here.depot.moved();
        a_few_more();
        assert_eq!(here.depot.moved(), moved, "with {}", held.len());
    }
}

#[test]
fn threads_that_come_and_go_leave_their_slots() {
    let depot = depot();
    for _ in 0..200 {
        thread::spawn(|| {
            let here = Here::new(depot);
            let taken: Vec<_> = (0..50).map(|_| here.take()).collect();
            taken.into_iter().for_each(|slot| here.give(slot));
            here.close();
        })
        .join()
        .expect("no panic");
    }
    assert_eq!(made(depot), 64);
}

#[test]
fn a_closed_magazine_keeps_nothing() {
    let depot = depot();
    let late = Here::new(depot);
    late.magazine.close(depot);
    let slots: Vec<_> = (0..100).map(|_| late.take()).collect();
    slots.into_iter().for_each(|slot| late.give(slot));
    let here = Here::new(depot);
    for _ in 0..100 {
        here.take();
    }
    assert_eq!(made(depot), 128);
}

/// One thread only takes and another one only gives.
#[test]
fn slots_go_round_from_thread_to_thread() {
    const UNDERWAY: usize = 100;
    let depot = depot();
    let (sender, receiver) = mpsc::sync_channel::<Taken>(UNDERWAY);
    thread::scope(|scope| {
        scope.spawn(move || {
            let here = Here::new(depot);
            for _ in 0..200_000 {
                sender.send(here.take()).expect("somebody receives");
            }
            here.close();
        });
        scope.spawn(move || {
            let here = Here::new(depot);
            receiver.iter().for_each(|slot| here.give(slot));
            here.close();
        });
    });
    // In the channel, one held by each thread, in two magazines, and in moved batches.
    let most = UNDERWAY as u32 + 2 + 2 * 2 * BATCH + 2 * BATCH;
    assert!(made(depot) <= most, "{}", made(depot));
}

/// Threads take and give in turns; no thread has a slot that another one has.
#[test]
fn a_slot_has_one_holder() {
    const THREADS: u32 = 4;
    const MOST: u32 = 300;
    let depot = depot();
    let holders: Vec<_> = (0..THREADS * (MOST + 3 * BATCH) + 2 * BATCH)
        .map(|_| AtomicU32::new(0))
        .collect();
    let together = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for who in 1..=THREADS {
            let (holders, together) = (&holders, &together);
            scope.spawn(move || {
                let here = Here::new(depot);
                together.wait();
                for round in 0..300 {
                    let count = (who * 7 + round * 13) % MOST + 1;
                    let slots: Vec<_> = (0..count).map(|_| here.take()).collect();
                    for &slot in &slots {
                        let holder = &holders[here.number(slot) as usize];
                        assert_eq!(holder.swap(who, Ordering::Relaxed), 0);
                    }
                    for slot in slots {
                        let holder = &holders[here.number(slot) as usize];
                        assert_eq!(holder.swap(0, Ordering::Relaxed), who);
                        here.give(slot);
                    }
                }
                here.close();
            });
        }
    });
}

#[test]
fn numbers_come_to_an_end() {
    let chunks = Chunks::<Hot, Cold>::nearly_used_up(3 * BATCH);
    let numbers: Vec<_> = std::iter::from_fn(|| chunks.fresh_numbers()).collect();
    assert_eq!(numbers.len(), 3);
    assert!(
        numbers
            .iter()
            .all(|&first| first.checked_add(BATCH).is_some())
    );
    assert_eq!(chunks.fresh_numbers(), None);
}
