//! Single-threaded comparison with the standard map, and stress tests. Run under
//! AddressSanitizer too, they check the reclamation.

use std::collections::{HashMap, HashSet};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::array::{capacity_for, is_sparse, limit};
use super::slot::{HIGH_TAG, SlotValue, kin};
use super::{Cursor, Entry, Table};
use crate::reclaim::{Guard, pin};
use crate::sys::atomic::{AtomicUsize, Ordering};

mod reuse;

type Hash = fn(u64) -> u64;

/// A hash that mixes well (the finalizer of splitmix64).
fn mixed(key: u64) -> u64 {
    let key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}

/// A hash whose homes are in the array's last quarter, so that probes wrap; few fingerprints, no kin.
fn clustered(key: u64) -> u64 {
    (!0 << 62) | ((key % 4) << 60) | (key << 24) | ((key % 3) << 2)
}

/// A hash for which every key is kin with one other; half of these pairs have the same hash.
fn paired(key: u64) -> u64 {
    (mixed(key / 2) & !1) | ((key / 2 % 2) & key)
}

/// One hash for all keys.
fn constant(_: u64) -> u64 {
    !0
}

#[repr(align(64))]
struct Item {
    key: u64,
    hash: u64,
    released: Arc<AtomicUsize>,
}

impl Entry for Item {
    type Key<'a> = u64;

    fn hash(&self) -> u64 {
        self.hash
    }

    fn is(&self, key: u64) -> bool {
        self.key == key
    }

    unsafe fn release(this: *mut Self) {
        // SAFETY: a box handed over by `Fixture::insert`, given back once.
        let item = unsafe { Box::from_raw(this) };
        item.released.fetch_add(1, Ordering::Relaxed);
    }
}

/// A table, and how many of its items were released.
struct Fixture {
    table: Table<Item>,
    hash: Hash,
    released: Arc<AtomicUsize>,
}

impl Fixture {
    fn new(minimum: usize, hash: Hash) -> Self {
        Self {
            table: Table::with_minimum(minimum),
            hash,
            released: Arc::default(),
        }
    }

    fn insert<'g>(&self, key: u64, guard: &'g Guard) -> Result<&'g Item, &'g Item> {
        let item = NonNull::from(Box::leak(Box::new(Item {
            key,
            hash: (self.hash)(key),
            released: Arc::clone(&self.released),
        })));
        // SAFETY: a new box, whose only owner the table becomes.
        let result = unsafe { self.table.insert(item, key, guard) };
        if result.is_err() {
            // SAFETY: `insert` refused it, so this function still owns it.
            drop(unsafe { Box::from_raw(item.as_ptr()) });
        }
        result
    }

    fn get<'g>(&self, key: u64, guard: &'g Guard) -> Option<&'g Item> {
        self.table.get((self.hash)(key), key, guard)
    }

    fn remove<'g>(&self, key: u64, guard: &'g Guard) -> Option<&'g Item> {
        self.table.remove((self.hash)(key), key, guard)
    }

    fn keys(&self) -> Vec<u64> {
        let mut keys = Vec::new();
        self.table.for_each(&pin(), |item| keys.push(item.key));
        keys.sort_unstable();
        keys
    }

    /// Drops the table and checks that all of `inserted` items are released,
    /// once each. Waits for that, since tests on other threads may hold reclamation back.
    fn finish(self, inserted: usize) {
        drop(self.table);
        let end = Instant::now() + Duration::from_secs(60);
        while self.released.load(Ordering::Relaxed) < inserted && Instant::now() < end {
            pin().flush();
            thread::yield_now();
        }
        assert_eq!(self.released.load(Ordering::Relaxed), inserted);
        assert_eq!(Arc::strong_count(&self.released), 1);
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0) % bound
    }
}

#[test]
fn the_words_of_a_slot_are_distinct() {
    let item = Box::new(Item {
        key: 1,
        hash: 0,
        released: Arc::default(),
    });
    let entry = NonNull::from(&*item);
    let words = |word: SlotValue<Item>| [(word, false), (word.frozen(), true)];
    for hash in (0..64_u64).map(|low| (mixed(7) & !63) | low) {
        for (word, frozen) in words(SlotValue::of(entry, hash)) {
            assert_eq!(word.is_frozen(), frozen);
            assert!(!word.thawed().is_frozen());
            assert_eq!(word.entry(), Some(entry));
            assert!(!word.is_empty());
            assert_eq!(word.candidate(hash), Some(entry));
            for bit in 0..64 {
                let other = hash ^ 1 << bit;
                let is_in_tag = match bit {
                    2..18 => HIGH_TAG != 0,
                    _ => (20..24).contains(&bit),
                };
                let expected = (!is_in_tag).then_some(entry);
                assert_eq!(word.candidate(other), expected, "bit {bit}");
                assert!(!word.is_tombstone_of(other));
            }
        }
        for (word, frozen) in words(SlotValue::EMPTY) {
            assert_eq!(word.is_frozen(), frozen);
            assert!(word.is_empty() && !word.is_tombstone_of(hash));
            assert_eq!((word.candidate(hash), word.entry()), (None, None));
        }
        for (word, frozen) in words(SlotValue::tombstone(hash)) {
            assert_eq!(word.is_frozen(), frozen);
            assert!(!word.is_empty());
            for other in (0..64_u64).map(|low| (mixed(7) & !63) | low) {
                assert_eq!(word.is_tombstone_of(other), hash / 4 == other / 4);
                assert_eq!(kin(hash, other), hash / 4 == other / 4);
                assert_eq!((word.candidate(other), word.entry()), (None, None));
            }
            assert!(!word.is_tombstone_of(hash ^ (1 << 31)));
        }
    }
    let smallest = SlotValue::<Item>::tombstone(0);
    assert!(!smallest.is_empty() && !smallest.frozen().is_empty());
}

#[test]
fn a_new_array_is_neither_crowded_nor_sparse() {
    for minimum in [4, 64] {
        for live in 0..10_000 {
            let capacity = capacity_for(live, minimum);
            assert!(live * 16 <= capacity * 7);
            assert!(live < limit(capacity) && limit(capacity) < capacity);
            assert!(capacity == minimum || live * 16 * 2 > capacity * 7);
            assert!(capacity == minimum || !is_sparse(capacity, live, 0));
            // With all its entries removed, it is sparse.
            assert!(capacity == minimum || is_sparse(capacity, live, live));
        }
    }
    for capacity in (3..20).map(|bits| 1 << bits) {
        // An array that is replaced because it is sparse shrinks.
        assert!(capacity_for(capacity / 16, 4) < capacity);
    }
}

#[test]
fn agrees_with_the_standard_map() {
    for (hash, keys) in [
        (mixed as Hash, 400),
        (paired, 200),
        (clustered, 60),
        (constant, 40),
    ] {
        let fixture = Fixture::new(4, hash);
        let mut oracle: HashMap<u64, *const Item> = HashMap::new();
        let mut random = Random(keys);
        let mut inserted = 0;
        for step in 0..60_000 {
            let guard = pin();
            let key = random.below(keys);
            // Phases of growth and of decline.
            let bias = if step / 5_000 % 2 == 0 { 6 } else { 2 };
            match random.below(10) {
                0 => {
                    let found = fixture.get(key, &guard).map(|item| item as *const _);
                    assert_eq!(found, oracle.get(&key).copied());
                }
                1 => {
                    let address = oracle.get(&key).copied().unwrap_or(std::ptr::null());
                    let found = fixture
                        .table
                        .find(hash(key), &guard, |item| ptr::eq(item, address));
                    assert_eq!(found.is_some(), oracle.contains_key(&key));
                }
                choice if choice < 2 + bias => match fixture.insert(key, &guard) {
                    Ok(item) => {
                        inserted += 1;
                        assert_eq!(oracle.insert(key, item), None);
                    }
                    Err(item) => assert_eq!(oracle[&key], item as *const _),
                },
                choice if choice % 2 == 0 => {
                    let removed = fixture.remove(key, &guard).map(|item| item as *const _);
                    assert_eq!(removed, oracle.remove(&key));
                }
                _ => {
                    if let Some(item) = fixture.get(key, &guard) {
                        assert!(fixture.table.remove_entry(item, &guard));
                        assert!(!fixture.table.remove_entry(item, &guard));
                        assert!(oracle.remove(&key).is_some());
                    }
                }
            }
            assert_eq!(fixture.table.len(), oracle.len());
            if step % 1_000 == 0 {
                let mut expected: Vec<u64> = oracle.keys().copied().collect();
                expected.sort_unstable();
                assert_eq!(fixture.keys(), expected);
            }
        }
        fixture.finish(inserted);
    }
}

#[test]
fn a_walk_in_steps_sees_each_once_although_the_table_is_rebuilt() {
    for (hash, lasting, passing) in [(mixed as Hash, 500, 3_000), (clustered, 30, 90)] {
        for steps in [1, 7, 1_000, usize::MAX] {
            let fixture = Fixture::new(4, hash);
            for key in 0..lasting {
                assert!(fixture.insert(key, &pin()).is_ok());
            }
            let mut random = Random(7);
            let mut capacities = HashSet::new();
            let mut seen: HashMap<u64, u32> = HashMap::new();
            let (mut inserted, mut pieces) = (lasting as usize, 0_u32);
            let mut cursor = Some(Cursor::default());
            while let Some(at) = cursor {
                cursor = fixture.table.walk(at, steps, &pin(), |item| {
                    *seen.entry(item.key).or_default() += 1;
                });
                capacities.insert(fixture.table.capacity());
                pieces += 1;
                // The others come and go in waves: the array grows and shrinks.
                for _ in 0..40 {
                    let key = lasting + random.below(passing);
                    if pieces / 40 % 2 == 0 {
                        inserted += usize::from(fixture.insert(key, &pin()).is_ok());
                    } else {
                        fixture.remove(key, &pin());
                    }
                }
            }
            for key in 0..lasting {
                assert_eq!(seen.get(&key), Some(&1), "{key}");
            }
            if steps == 1 && lasting == 500 {
                assert!(capacities.len() > 2, "{capacities:?}");
            }
            fixture.finish(inserted);
        }
    }
}

#[test]
fn a_million_grows_and_shrinks_again() {
    const COUNT: u64 = 1_000_000;
    let fixture = Fixture {
        table: Table::new(),
        ..Fixture::new(4, mixed)
    };
    for key in 0..COUNT {
        assert!(fixture.insert(key, &pin()).is_ok());
    }
    assert_eq!(fixture.table.len(), COUNT as usize);
    assert_eq!(fixture.table.capacity(), 1 << 21);
    for key in (0..COUNT).step_by(3) {
        assert!(fixture.get(key, &pin()).is_some());
        assert!(fixture.get(key + COUNT, &pin()).is_none());
    }
    for key in 0..COUNT {
        assert!(fixture.remove(key, &pin()).is_some());
    }
    assert_eq!(fixture.table.len(), 0);
    assert_eq!(fixture.table.capacity(), 64);
    fixture.finish(COUNT as usize);
}

#[test]
fn a_million_pairs_of_churn_leave_no_trace() {
    for (live, capacity) in [(0, 64), (1_000, 4_096)] {
        let pairs = if live == 0 { 1_000_000 } else { 300_000 };
        let fixture = Fixture::new(64, mixed);
        for key in 0..live {
            assert!(fixture.insert(key, &pin()).is_ok());
        }
        let mut longest = 0;
        for key in live..live + pairs {
            let guard = pin();
            assert!(fixture.insert(key, &guard).is_ok());
            assert!(fixture.remove(key, &guard).is_some());
            if key % 64 == 0 {
                assert!(fixture.table.capacity() <= capacity);
                longest = longest.max(fixture.table.array(&guard).probe_length(mixed(key)));
            }
        }
        assert_eq!(fixture.table.len(), live as usize);
        assert!(longest <= 128, "{longest}");
        fixture.finish((live + pairs) as usize);
    }
}

#[test]
fn winners_balance_when_threads_churn_on_the_same_keys() {
    const ROUNDS: u64 = 40_000;
    for (hash, keys) in [
        (mixed as Hash, 1),
        (mixed, 24),
        (clustered, 6),
        (paired, 6),
        (constant, 3),
    ] {
        let fixture = Fixture::new(4, hash);
        let (inserted, removed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for seed in 0..2 {
                let (fixture, inserted, removed) = (&fixture, &inserted, &removed);
                scope.spawn(move || {
                    let mut random = Random(seed << 32);
                    let (mut ins, mut outs) = (0, 0);
                    for _ in 0..ROUNDS {
                        let guard = pin();
                        let key = random.below(keys);
                        match random.below(4) {
                            0 => {
                                if let Some(item) = fixture.get(key, &guard) {
                                    assert_eq!(item.key, key);
                                    outs += usize::from(fixture.table.remove_entry(item, &guard));
                                }
                            }
                            1 => outs += usize::from(fixture.remove(key, &guard).is_some()),
                            _ => match fixture.insert(key, &guard) {
                                Ok(item) => {
                                    ins += 1;
                                    assert_eq!(item.key, key);
                                }
                                Err(item) => assert_eq!(item.key, key),
                            },
                        }
                    }
                    inserted.fetch_add(ins, Ordering::Relaxed);
                    removed.fetch_add(outs, Ordering::Relaxed);
                });
            }
        });
        let (inserted, removed) = (inserted.into_inner(), removed.into_inner());
        let left = fixture.keys();
        assert_eq!(inserted - removed, left.len());
        assert_eq!(fixture.table.len(), left.len());
        assert!(left.windows(2).all(|pair| pair[0] != pair[1]));
        fixture.finish(inserted);
    }
}

#[test]
fn what_stays_is_found_and_walked_while_others_churn() {
    const LASTING: u64 = 40;
    const READINGS: usize = 300;
    let fixture = Fixture::new(4, mixed);
    for key in 0..LASTING {
        assert!(fixture.insert(key, &pin()).is_ok());
    }
    let done = AtomicUsize::new(0);
    let inserted = thread::scope(|scope| {
        let churners: Vec<_> = (1..=2)
            .map(|thread| {
                let (fixture, done) = (&fixture, &done);
                scope.spawn(move || {
                    let mut inserted = 0;
                    while done.load(Ordering::Relaxed) == 0 {
                        // Up to about 300 and back: many capacities.
                        for key in (thread << 32)..(thread << 32) + 300 {
                            assert!(fixture.insert(key, &pin()).is_ok());
                            inserted += 1;
                        }
                        for key in (thread << 32)..(thread << 32) + 300 {
                            assert!(fixture.remove(key, &pin()).is_some());
                        }
                    }
                    inserted
                })
            })
            .collect();
        for _ in 0..READINGS {
            for key in 0..LASTING {
                assert_eq!(fixture.get(key, &pin()).map(|item| item.key), Some(key));
            }
            let mut seen = vec![0; LASTING as usize];
            let mut cursor = Some(Cursor::default());
            while let Some(at) = cursor {
                cursor = fixture.table.walk(at, 5, &pin(), |item| {
                    if let Some(count) = seen.get_mut(item.key as usize) {
                        *count += 1;
                    }
                });
            }
            assert!(seen.iter().all(|&count| count == 1), "{seen:?}");
        }
        done.store(1, Ordering::Relaxed);
        churners
            .into_iter()
            .map(|churner| churner.join().expect("no assertion failed"))
            .sum::<usize>()
    });
    assert_eq!(fixture.table.len(), LASTING as usize);
    fixture.finish(inserted + LASTING as usize);
}

#[test]
fn a_walk_that_removes_what_it_meets_leaves_no_cluster() {
    let fixture = Fixture::new(64, mixed);
    for key in 0..20_000 {
        assert!(fixture.insert(key, &pin()).is_ok());
    }
    let capacity = fixture.table.capacity();
    let mut cursor = Some(Cursor::default());
    let mut met = 0;
    while let Some(from) = cursor {
        let guard = pin();
        cursor = fixture.table.walk(from, 256, &guard, |item| {
            met += 1;
            if met % 64 != 0 {
                assert!(fixture.table.remove_entry(item, &guard));
            }
        });
    }
    assert_eq!(fixture.table.capacity(), capacity, "not in the midst of it");
    let guard = pin();
    fixture.table.shrink(&guard);
    assert!(fixture.table.capacity() <= capacity / 16);
    let array = fixture.table.array(&guard);
    let longest = (0..20_000).map(|key| array.probe_length(mixed(key))).max();
    assert!(longest < Some(64), "{longest:?}");
}
