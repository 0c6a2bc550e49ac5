//! The intrusive stack and the driver's waker.
//!
//! | mutation | caught by |
//! |---|---|
//! | `leaving-an-item-after-a-look`, `taking-an-item-by-a-store` | `what_was_done_before_leaving_is_seen` |
//! | `leaving-an-item-relaxed`, `taking-all-relaxed` | `two_leave_at_once` |
//! | `marking-an-item-that-waits`, `linking-an-item-by-a-store` | `two_leave_the_same_item_above_another` |
//! | `lying-down-without-a-fence`, `ringing-without-a-fence` | `the_sleeper_or_the_ringer_sees_the_other` |
//! | `waking-relaxed` | `a_woken_thread_sees_what_was_pushed` |
//! | `ending-without-a-fence`, `getting-up-after-the-end` | `what_comes_beside_the_end_is_taken_by_one_of_both` |

use std::ptr::NonNull;

use loom::sync::Arc;
use loom::thread;

use crate::structures::intrusive_stack::{IntrusiveStack, Link, Linked};
use crate::structures::waker::Waker;
use crate::sys::atomic::{AtomicU64, Ordering};

struct Item {
    link: Link<Item>,
    done: AtomicU64,
}

impl Item {
    fn new() -> Arc<Item> {
        Arc::new(Item {
            link: Link::new(),
            done: AtomicU64::new(0),
        })
    }
}

// SAFETY: `link` always returns the same field, and a reference is the pointer of an `Arc`.
unsafe impl Linked for Item {
    type Ref = Arc<Item>;

    fn link(&self) -> &Link<Self> {
        &self.link
    }

    fn into_raw(reference: Arc<Item>) -> NonNull<Self> {
        NonNull::new(Arc::into_raw(reference).cast_mut()).unwrap()
    }

    unsafe fn from_raw(pointer: NonNull<Self>) -> Arc<Item> {
        // SAFETY: the contract of `from_raw`: the pointer came from `into_raw`.
        unsafe { Arc::from_raw(pointer.as_ptr()) }
    }
}

#[test]
fn what_was_done_before_leaving_is_seen() {
    loom::model(|| {
        let inbox = Arc::new(IntrusiveStack::<Item>::new());
        let item = Item::new();
        inbox.leave(&item, || item.clone());
        let reporter = thread::spawn({
            let (inbox, item) = (inbox.clone(), item.clone());
            move || {
                item.done.store(1, Ordering::Relaxed);
                inbox.leave(&item, || item.clone());
            }
        });
        let taker = thread::spawn({
            let inbox = inbox.clone();
            move || {
                inbox
                    .take_all()
                    .map(|item| item.done.load(Ordering::Relaxed))
                    .any(|done| done == 1)
            }
        });
        reporter.join().unwrap();
        let seen = taker.join().unwrap();
        let waiting = inbox
            .take_all()
            .map(|item| item.done.load(Ordering::Relaxed))
            .any(|done| done == 1);
        assert!(seen || waiting, "a change was lost");
    });
}

#[test]
fn two_leave_at_once() {
    loom::model(|| {
        let inbox = Arc::new(IntrusiveStack::<Item>::new());
        let leavers: Vec<_> = (0..2)
            .map(|_| {
                let inbox = inbox.clone();
                thread::spawn(move || {
                    let item = Item::new();
                    item.done.store(1, Ordering::Relaxed);
                    inbox.leave(&item, || item.clone());
                })
            })
            .collect();
        let taker = thread::spawn({
            let inbox = inbox.clone();
            move || {
                inbox
                    .take_all()
                    .map(|item| item.done.load(Ordering::Relaxed))
                    .sum::<u64>()
            }
        });
        for leaver in leavers {
            leaver.join().unwrap();
        }
        let early = taker.join().unwrap();
        let late: u64 = inbox
            .take_all()
            .map(|item| item.done.load(Ordering::Relaxed))
            .sum();
        assert_eq!(early + late, 2);
    });
}

#[test]
fn two_leave_the_same_item_above_another() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let inbox = Arc::new(IntrusiveStack::<Item>::new());
        let (below, item) = (Item::new(), Item::new());
        below.done.store(1, Ordering::Relaxed);
        inbox.leave(&below, || below.clone());
        let leavers = [0, 1].map(|_| {
            let (inbox, item) = (inbox.clone(), item.clone());
            thread::spawn(move || {
                item.done.fetch_add(1, Ordering::Relaxed);
                inbox.leave(&item, || item.clone());
            })
        });
        let look = |inbox: &IntrusiveStack<Item>, below: &Arc<Item>| {
            let (mut latest, mut found) = (0, 0);
            for item in inbox.take_all() {
                if Arc::ptr_eq(&item, below) {
                    found += 1;
                } else {
                    latest = latest.max(item.done.load(Ordering::Relaxed));
                }
            }
            (latest, found)
        };
        let taker = thread::spawn({
            let (inbox, below) = (inbox.clone(), below.clone());
            move || look(&inbox, &below)
        });
        for leaver in leavers {
            leaver.join().unwrap();
        }
        let (early, found) = taker.join().unwrap();
        let (late, still) = look(&inbox, &below);
        assert_eq!(early.max(late), 2, "a change was lost");
        assert_eq!(found + still, 1, "the item below was lost");
    });
}

#[test]
fn the_sleeper_or_the_ringer_sees_the_other() {
    loom::model(|| {
        let shared = Arc::new((Waker::new(None), AtomicU64::new(0)));
        let ringer = thread::spawn({
            let shared = shared.clone();
            move || {
                let (waker, work) = &*shared;
                work.store(1, Ordering::Relaxed);
                waker.wake_by(5);
                waker.was_woken()
            }
        });
        let sleeper = thread::spawn({
            let shared = shared.clone();
            move || {
                let (waker, work) = &*shared;
                waker.lie_down(10);
                work.load(Ordering::Relaxed) == 1
            }
        });
        let (woken, seen) = (ringer.join().unwrap(), sleeper.join().unwrap());
        assert!(woken || seen, "the driver sleeps over its work");
    });
}

/// A sleeping callback may have consumed the wake itself.
#[test]
fn a_woken_thread_sees_what_was_pushed() {
    loom::model(|| {
        let shared = Arc::new((Waker::new(None), AtomicU64::new(0)));
        let ringer = thread::spawn({
            let shared = shared.clone();
            move || {
                let (waker, work) = &*shared;
                work.store(1, Ordering::Relaxed);
                waker.wake();
            }
        });
        let sleeper = thread::spawn({
            let shared = shared.clone();
            move || {
                let (waker, work) = &*shared;
                if waker.was_woken() {
                    assert_eq!(work.load(Ordering::Relaxed), 1);
                }
            }
        });
        ringer.join().unwrap();
        sleeper.join().unwrap();
    });
}

/// A reporter leaves work while a shutdown ends the driver, and a thread that waits for a queue
/// gets up. The reporter learns that the driver has ended, or the thread that shuts down finds the
/// work.
#[test]
fn what_comes_beside_the_end_is_taken_by_one_of_both() {
    loom::model(|| {
        let shared = Arc::new((Waker::new(None), AtomicU64::new(0)));
        let gets_up = thread::spawn({
            let shared = shared.clone();
            move || shared.0.get_up()
        });
        let ringer = thread::spawn({
            let shared = shared.clone();
            move || {
                let (waker, work) = &*shared;
                work.store(1, Ordering::Relaxed);
                waker.wake_by(0)
            }
        });
        let ends = thread::spawn({
            let shared = shared.clone();
            move || {
                let (waker, work) = &*shared;
                waker.end();
                work.load(Ordering::Relaxed) == 1
            }
        });
        gets_up.join().unwrap();
        let (is_over, is_found) = (ringer.join().unwrap(), ends.join().unwrap());
        assert!(is_over || is_found, "no thread does the work");
    });
}
