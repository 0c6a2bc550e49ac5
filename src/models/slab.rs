//! The stack of batches that all threads share: [`slab`](crate::structures::slab).
//!
//! | mutation | caught by |
//! |---|---|
//! | `popping-without-a-count` | `a_batch_that_comes_back_is_distinguished_from_itself` |
//! | `linking-after-the-push`, `pushing-a-batch-relaxed`, `popping-a-batch-relaxed` | `a_batch_comes_with_its_content` |
//! | `pushing-a-batch-by-a-store` | `batches_have_one_owner_each` |

use std::collections::BTreeSet;
use std::sync::Mutex;

use loom::sync::Arc;
use loom::thread;

use crate::structures::slab::free_stack::{Links, Stack};
use crate::sys::atomic::{AtomicU64, Ordering, UnsafeCell};

struct Pool {
    stack: Stack,
    slots: Slots,
}

struct Slots(Vec<Slot>);

struct Slot {
    word: AtomicU64,
    /// Written only by the thread that holds the batch.
    content: UnsafeCell<u32>,
}

// SAFETY: only the thread that holds a batch accesses its content; loom checks.
unsafe impl Sync for Slot {}

impl Links for Slots {
    fn link(&self, number: u32) -> &AtomicU64 {
        &self.0[number as usize].word
    }
}

impl Pool {
    /// A pool with so many batches on the stack, the last one on top.
    fn of(batches: u32) -> Arc<Self> {
        let slot = || Slot {
            word: AtomicU64::new(0),
            content: UnsafeCell::new(0),
        };
        let pool = Pool {
            stack: Stack::new(),
            slots: Slots((0..batches).map(|_| slot()).collect()),
        };
        (0..batches).for_each(|number| pool.stack.push(number, &pool.slots));
        Arc::new(pool)
    }

    /// Pops a batch, and writes to its word and its content.
    fn pop(&self) -> Option<u32> {
        let number = self.stack.pop(&self.slots)?;
        self.slots.link(number).store(0, Ordering::Relaxed);
        self.make_use_of(number);
        Some(number)
    }

    fn push(&self, number: u32) {
        self.make_use_of(number);
        self.stack.push(number, &self.slots);
    }

    /// Writes to the content of a batch.
    fn make_use_of(&self, number: u32) {
        let slot = &self.slots.0[number as usize];
        // SAFETY: this thread holds the batch: it popped it, or has not pushed it yet; loom checks.
        slot.content.with_mut(|content| unsafe { *content += 1 });
    }

    /// Pops all batches, at most nine.
    fn rest(&self) -> Vec<u32> {
        std::iter::from_fn(|| self.pop()).take(9).collect()
    }
}

/// Runs `model`, and returns the set of all its executions' outcomes.
fn outcomes<T: Ord + Send + 'static>(model: impl Fn() -> T + Send + Sync + 'static) -> BTreeSet<T> {
    let seen = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let sink = seen.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let outcome = model();
        sink.lock().unwrap().insert(outcome);
    });
    std::mem::take(&mut *seen.lock().unwrap())
}

fn spawn<T: 'static>(
    pool: &Arc<Pool>,
    party: impl FnOnce(&Pool) -> T + 'static,
) -> thread::JoinHandle<T> {
    let pool = pool.clone();
    thread::spawn(move || party(&pool))
}

fn sorted(numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut numbers: Vec<u32> = numbers.into_iter().collect();
    numbers.sort_unstable();
    numbers
}

/// Two threads each pop a batch and push it again.
#[test]
fn batches_have_one_owner_each() {
    let seen = outcomes(|| {
        let pool = Pool::of(2);
        let parties = [0, 1].map(|_| {
            spawn(&pool, |pool| {
                let number = pool.pop().expect("one for each");
                pool.push(number);
                number
            })
        });
        let taken = sorted(parties.map(|party| party.join().unwrap()));
        assert_eq!(sorted(pool.rest()), [0, 1]);
        taken
    });
    assert_eq!(seen, [vec![0, 1], vec![1, 1]].into());
}

/// While one thread pops a batch, another one pops two and pushes the first one again.
#[test]
fn a_batch_that_comes_back_is_distinguished_from_itself() {
    let seen = outcomes(|| {
        let pool = Pool::of(2);
        let slow = spawn(&pool, Pool::pop);
        let fast = spawn(&pool, |pool| {
            let first = pool.pop().expect("one for each");
            let second = pool.pop();
            pool.push(first);
            second
        });
        let (slow, fast) = (slow.join().unwrap(), fast.join().unwrap());
        let all = slow.into_iter().chain(fast).chain(pool.rest());
        assert_eq!(sorted(all), [0, 1], "{slow:?} and {fast:?}");
        (slow, fast)
    });
    let expected = [
        // The slow pop comes before the others, between them, after the push, or while the other
        // thread has both batches.
        (Some(1), None),
        (Some(0), None),
        (Some(1), Some(0)),
        (None, Some(0)),
    ];
    assert_eq!(seen, expected.into());
}

/// A thread fills and pushes two batches, and two others pop one each. The thread that gets the
/// lower batch finds it filled, too.
#[test]
fn a_batch_comes_with_its_content() {
    let seen = outcomes(|| {
        let pool = Pool::of(2);
        pool.rest();
        let filler = spawn(&pool, |pool| {
            pool.push(0);
            pool.push(1);
        });
        let takers = [0, 1].map(|_| spawn(&pool, Pool::pop));
        filler.join().unwrap();
        sorted(takers.into_iter().filter_map(|taker| taker.join().unwrap()))
    });
    let expected = [vec![], vec![0], vec![1], vec![0, 1]];
    assert_eq!(seen, expected.into());
}
