//! The table: which thread wins a race, what a rebuild keeps, and what a reader sees.
//!
//! All keys have home 0 in every small array, so they form one cluster and share its first empty
//! slot. Keys below 16 have different hashes and fingerprints. Key 16 + n has the hash of key n. Keys from
//! 32 on have different hashes with one fingerprint. An array of four slots is replaced when the third slot
//! is used. So the models insert two entries beforehand, and a third insertion starts a rebuild.
//!
//! An item's `payload` is a plain cell to loom. A read that does not happen after the insertion
//! fails the model, too.
//!
//! | mutation | caught by |
//! |---|---|
//! | `not-looking-at-the-winner` | `one_of_two_inserters_wins` |
//! | `removing-by-a-store` | `one_of_two_removers_wins` |
//! | `inserting-relaxed` | `an_insertion_a_removal_and_a_look_up` |
//! | `removing-relaxed` | `a_removal_publishes_what_came_before` |
//! | `freezing-no-empty-slot`, `inserting-into-a-frozen-slot`, `replacing-by-a-store` | `a_rebuild_keeps_a_racing_insertion` |
//! | `freezing-no-entry` | `a_rebuild_keeps_a_racing_removal` |
//! | `freezing-no-tombstone` | `a_rebuild_keeps_a_racing_reuse` |
//! | `replacing-relaxed` | `a_reader_sees_through_a_rebuild` |
//! | `reusing-without-acquire` | `a_reused_tombstone_shows_what_its_remover_did` |
//! | `removing-what-was-not-claimed` | `one_of_two_claims_of_an_entry_removes_it` |
//! | `giving-up-a-claimed-removal` | `a_rebuild_keeps_a_racing_claimed_removal` |
//!
//! The other models fail if the table lacks this step:
//!
//! | model | step |
//! |---|---|
//! | `an_insertion_is_found_at_once_during_a_rebuild` | `insert` stops at a frozen empty slot |
//! | `one_of_two_insertions_into_a_tombstone_wins` | the second look at a tombstone whose exchange failed |
//! | `all_meet_on_the_slot_of_a_key_that_comes_back` | an insertion reuses only a tombstone of its own hash |
//! | `an_insertion_that_meets_a_claimed_entry_takes_its_slot` | an insertion removes a claimed entry in its way |
//! | `keys_with_one_hash_have_one_winner_each` | `Collides`; `reuses`, when inserting and when looking up |
//! | `an_insertion_and_a_removal_hide_no_other_entry` | `find_near` ends at empty slots only, and prefers the nearest match |

mod claimed;

use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::Mutex;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

use crate::reclaim::{Guard, pin};
use crate::structures::table::{Entry, Table};
use crate::sys::atomic::{AtomicUsize, Ordering};

/// The hash of a key. The two bits that a tombstone does not keep are zero.
fn hash(key: u64) -> u64 {
    match key {
        0..32 => (key % 16) << 2,
        _ => key << 24,
    }
}

#[repr(align(64))]
struct Item {
    key: u64,
    payload: UnsafeCell<u64>,
    /// 1: a thread has claimed the item to remove it.
    claimed: AtomicUsize,
}

// SAFETY: `insert` writes the payload before the item is shared, and no thread writes it later.
unsafe impl Sync for Item {}

impl Item {
    fn payload(&self) -> u64 {
        // SAFETY: no thread writes the payload once the item is shared; loom checks.
        self.payload.with(|payload| unsafe { *payload })
    }
}

impl Entry for Item {
    type Key<'a> = u64;

    fn hash(&self) -> u64 {
        hash(self.key)
    }

    fn is(&self, key: u64) -> bool {
        self.key == key
    }

    unsafe fn release(this: *mut Self) {
        // SAFETY: `insert` leaked this box, and the table releases it once.
        drop(unsafe { Box::from_raw(this) });
    }
}

type Items = Table<Item>;

/// Inserts an item whose payload is its key. Returns whether the key was absent.
fn insert(table: &Items, key: u64, guard: &Guard) -> bool {
    let item = NonNull::from(Box::leak(Box::new(Item {
        key,
        payload: UnsafeCell::new(0),
        claimed: AtomicUsize::new(0),
    })));
    // SAFETY: `item` points to the box above, which is not shared yet.
    unsafe { item.as_ref() }
        .payload
        // SAFETY: the item is not shared yet.
        .with_mut(|payload| unsafe { *payload = key });
    // SAFETY: the box above is new, and the table becomes its only owner.
    match unsafe { table.insert(item, key, guard) } {
        Ok(_) => true,
        Err(other) => {
            assert_eq!(other.payload(), key);
            // SAFETY: the table has refused the item, so this function still owns the box.
            drop(unsafe { Box::from_raw(item.as_ptr()) });
            false
        }
    }
}

fn remove(table: &Items, key: u64) -> bool {
    let guard = pin();
    let removed = table.remove(hash(key), key, &guard);
    removed.inspect(|item| assert_eq!(item.payload(), key));
    removed.is_some()
}

fn get(table: &Items, key: u64) -> bool {
    let guard = pin();
    let found = table.get(hash(key), key, &guard);
    found.inspect(|item| assert_eq!(item.payload(), key));
    found.is_some()
}

fn keys(table: &Items) -> Vec<u64> {
    let mut keys = Vec::new();
    table.for_each(&pin(), |item| keys.push(item.payload()));
    keys.sort_unstable();
    assert_eq!(keys.len(), table.len());
    keys
}

/// A table of four slots with these keys.
fn table(keys: &[u64]) -> Arc<Items> {
    table_after(keys, &[])
}

/// A table of four slots with these keys, some of which are removed again.
fn table_after(keys: &[u64], removed: &[u64]) -> Arc<Items> {
    let table = Items::with_minimum(4);
    for &key in keys {
        assert!(insert(&table, key, &pin()));
    }
    for &key in removed {
        assert!(remove(&table, key));
    }
    Arc::new(table)
}

fn spawn<R: 'static>(
    table: &Arc<Items>,
    party: impl FnOnce(&Items) -> R + 'static,
) -> JoinHandle<R> {
    let table = Arc::clone(table);
    thread::spawn(move || party(&table))
}

fn join<R>(party: JoinHandle<R>) -> R {
    party.join().expect("no assertion failed")
}

/// Explores a model and returns all outcomes that it showed.
fn outcomes<O: Ord + Send + 'static>(
    preemptions: usize,
    model: impl Fn() -> O + Sync + Send + 'static,
) -> BTreeSet<O> {
    let seen = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    let record = std::sync::Arc::clone(&seen);
    builder.check(move || {
        let outcome = model();
        record.lock().expect("not poisoned").insert(outcome);
    });
    let mut seen = seen.lock().expect("not poisoned");
    std::mem::take(&mut *seen)
}

#[test]
fn one_of_two_inserters_wins() {
    let seen = outcomes(3, || {
        let table = table(&[]);
        let a = spawn(&table, |table| insert(table, 1, &pin()));
        let b = spawn(&table, |table| insert(table, 1, &pin()));
        let won = (join(a), join(b));
        assert_eq!(keys(&table), [1]);
        won
    });
    assert_eq!(seen, BTreeSet::from([(true, false), (false, true)]));
}

#[test]
fn one_of_two_removers_wins() {
    let seen = outcomes(3, || {
        let table = table(&[1]);
        let a = spawn(&table, |table| remove(table, 1));
        let b = spawn(&table, |table| remove(table, 1));
        let won = (join(a), join(b));
        assert_eq!(keys(&table), []);
        won
    });
    assert_eq!(seen, BTreeSet::from([(true, false), (false, true)]));
}

/// Key 2 lies behind key 1, so it must be found across the tombstone of key 1.
#[test]
fn an_insertion_a_removal_and_a_look_up() {
    let seen = outcomes(3, || {
        let table = table(&[1]);
        let a = spawn(&table, |table| insert(table, 2, &pin()));
        let b = spawn(&table, |table| remove(table, 1));
        let c = spawn(&table, |table| (get(table, 1), get(table, 2)));
        assert!(join(a) && join(b));
        let found = join(c);
        assert_eq!(keys(&table), [2]);
        assert!(get(&table, 2));
        found
    });
    let all = [(false, false), (false, true), (true, false), (true, true)];
    assert_eq!(seen, BTreeSet::from(all));
}

/// A thread that misses a key sees what its remover did before.
#[test]
fn a_removal_publishes_what_came_before() {
    let seen = outcomes(3, || {
        let table = table(&[1]);
        let a = spawn(&table, |table| {
            assert!(insert(table, 2, &pin()));
            assert!(remove(table, 1));
        });
        let b = spawn(&table, |table| (get(table, 1), get(table, 2)));
        join(a);
        join(b)
    });
    let all = [(true, false), (true, true), (false, true)];
    assert_eq!(seen, BTreeSet::from(all));
}

#[test]
fn a_rebuild_keeps_a_racing_insertion() {
    let seen = outcomes(2, || {
        let table = table(&[1, 2]);
        let a = spawn(&table, |table| insert(table, 3, &pin()));
        let b = spawn(&table, |table| (insert(table, 4, &pin()), table.capacity()));
        assert!(join(a));
        let (won, capacity) = join(b);
        assert!(won);
        assert_eq!(keys(&table), [1, 2, 3, 4]);
        assert!([1, 2, 3, 4].into_iter().all(|key| get(&table, key)));
        (capacity, table.capacity())
    });
    // When the array is replaced, it has three live entries or four.
    assert_eq!(seen, BTreeSet::from([(8, 8), (16, 16)]));
}

/// The removal of the last key makes the array of eight slots sparse, which starts a rebuild.
/// Behind the tombstones, several slots are empty.
#[test]
fn an_insertion_is_found_at_once_during_a_rebuild() {
    let seen = outcomes(1, || {
        let table = table(&[1, 2, 3]);
        assert!(remove(&table, 1) && remove(&table, 2));
        let a = spawn(&table, |table| remove(table, 3));
        let b = spawn(&table, |table| {
            assert!(insert(table, 4, &pin()));
            get(table, 4)
        });
        assert!(join(a));
        assert!(join(b));
        assert_eq!(keys(&table), [4]);
        table.capacity()
    });
    // If key 4 comes in time, the array is not sparse, and stays.
    assert_eq!(seen, BTreeSet::from([4, 8]));
}

#[test]
fn a_rebuild_keeps_a_racing_removal() {
    let seen = outcomes(2, || {
        let table = table(&[1, 2]);
        let a = spawn(&table, |table| insert(table, 3, &pin()));
        let b = spawn(&table, |table| (remove(table, 1), get(table, 1)));
        assert!(join(a));
        assert_eq!(join(b), (true, false));
        assert_eq!(keys(&table), [2, 3]);
        table.capacity()
    });
    // When the array is replaced, it has three live entries or two.
    assert_eq!(seen, BTreeSet::from([8]));
}

/// Key 1 is there throughout. Key 3 is not missed once it has been seen.
#[test]
fn a_reader_sees_through_a_rebuild() {
    let seen = outcomes(2, || {
        let table = table(&[1, 2]);
        let a = spawn(&table, |table| insert(table, 3, &pin()));
        let b = spawn(&table, |table| {
            assert!(get(table, 1));
            let before = get(table, 3);
            assert!(get(table, 1));
            (before, get(table, 3))
        });
        assert!(join(a));
        join(b)
    });
    let all = [(false, false), (false, true), (true, true)];
    assert_eq!(seen, BTreeSet::from(all));
}

#[test]
fn one_of_two_insertions_into_a_tombstone_wins() {
    let seen = outcomes(3, || {
        let table = table_after(&[1, 2], &[1]);
        let a = spawn(&table, |table| insert(table, 1, &pin()));
        let b = spawn(&table, |table| insert(table, 1, &pin()));
        let won = (join(a), join(b));
        assert_eq!(keys(&table), [1, 2]);
        assert_eq!(table.capacity(), 4, "no third slot was used");
        won
    });
    assert_eq!(seen, BTreeSet::from([(true, false), (false, true)]));
}

/// Key 1 is removed and inserted. Key 2, in front of it, was removed before.
#[test]
fn all_meet_on_the_slot_of_a_key_that_comes_back() {
    let seen = outcomes(3, || {
        let table = table_after(&[2, 1], &[2]);
        let a = spawn(&table, |table| remove(table, 1));
        let b = spawn(&table, |table| insert(table, 1, &pin()));
        let c = spawn(&table, |table| get(table, 1));
        assert!(join(a));
        let (came, found) = (join(b), join(c));
        assert_eq!(keys(&table), [1].repeat(usize::from(came)));
        assert_eq!(get(&table, 1), came);
        assert_eq!(table.capacity(), 4, "no third slot was used");
        (came, found)
    });
    let all = [(false, false), (false, true), (true, false), (true, true)];
    assert_eq!(seen, BTreeSet::from(all));
}

/// A thread whose insertion comes after another thread's removal sees what that thread did before.
/// Nothing else orders the two.
#[test]
fn a_reused_tombstone_shows_what_its_remover_did() {
    let seen = outcomes(3, || {
        let table = table_after(&[1], &[1]);
        let done = Arc::new(AtomicUsize::new(0));
        let doing = Arc::clone(&done);
        let a = spawn(&table, move |table| {
            let won = insert(table, 1, &pin());
            if won {
                doing.store(1, Ordering::Relaxed);
                assert!(remove(table, 1));
            }
            won
        });
        let b = spawn(&table, move |table| {
            let won = insert(table, 1, &pin());
            (won, won && done.load(Ordering::Relaxed) == 1)
        });
        let (a, (b, sees)) = (join(a), join(b));
        assert!(a || b);
        if a && b {
            // Both insertions won, so the second one came after the removal of the first one.
            assert!(sees);
        }
        (a, b)
    });
    let all = [(true, true), (true, false), (false, true)];
    assert_eq!(seen, BTreeSet::from(all));
}

#[test]
fn a_rebuild_keeps_a_racing_reuse() {
    let seen = outcomes(2, || {
        let table = table_after(&[1, 2], &[1]);
        let a = spawn(&table, |table| insert(table, 3, &pin()));
        let b = spawn(&table, |table| (insert(table, 1, &pin()), get(table, 1)));
        assert!(join(a));
        assert_eq!(join(b), (true, true));
        assert_eq!(keys(&table), [1, 2, 3]);
        table.capacity()
    });
    // When the array is replaced, it has two live entries or three.
    assert_eq!(seen, BTreeSet::from([8]));
}

/// Key 17 is gone before key 1 comes, or is still in its way. Then key 1 takes another slot, behind
/// a tombstone that must not be reused.
#[test]
fn keys_with_one_hash_have_one_winner_each() {
    let seen = outcomes(2, || {
        let table = table(&[17]);
        let a = spawn(&table, |table| insert(table, 1, &pin()));
        let b = spawn(&table, |table| {
            assert!(remove(table, 17));
            (insert(table, 1, &pin()), get(table, 1))
        });
        let (a, (b, found)) = (join(a), join(b));
        assert!(found);
        assert!(get(&table, 1) && !get(&table, 17));
        assert_eq!(keys(&table), [1]);
        (a, b)
    });
    assert_eq!(seen, BTreeSet::from([(true, false), (false, true)]));
}

/// One thread removes and inserts a key. Another one looks up a second key, and a third one that is
/// not in the table.
#[test]
fn an_insertion_and_a_removal_hide_no_other_entry() {
    // With different fingerprints, and with one fingerprint.
    for [one, two, three] in [[1, 2, 3], [33, 34, 35]] {
        for (stranger, stays) in [(one, two), (two, one)] {
            outcomes(2, move || {
                let table = table(&[one, two]);
                let a = spawn(&table, move |table| {
                    assert!(remove(table, stranger));
                    assert!(insert(table, stranger, &pin()));
                });
                let b = spawn(&table, move |table| {
                    assert!(get(table, stays));
                    assert!(!get(table, three));
                });
                join(a);
                join(b);
                assert_eq!(keys(&table), [one, two]);
            });
        }
    }
}
