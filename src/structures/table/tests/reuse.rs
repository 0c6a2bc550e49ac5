//! Tombstones of keys that come back: used again where that is safe, left where
//! two keys are of kin.

use std::collections::HashSet;
use std::ptr;

use super::*;

/// Every four keys are of kin; four keys have one home in every small array.
fn fours(key: u64) -> u64 {
    ((key / 4) << 4) | (key % 4)
}

#[test]
fn a_million_pairs_of_the_same_names_change_nothing() {
    const STANDING: u64 = 10_000;
    const NAMES: u64 = 500;
    let fixture = Fixture::new(64, mixed);
    for key in 0..STANDING {
        assert!(fixture.insert(key, &pin()).is_ok());
    }
    let names = || STANDING..STANDING + NAMES;
    let churn = || {
        for key in names() {
            let guard = pin();
            assert!(fixture.insert(key, &guard).is_ok());
            assert!(fixture.get(key, &guard).is_some());
            assert!(fixture.remove(key, &guard).is_some());
            assert!(fixture.get(key, &guard).is_none());
        }
    };
    let shape = || {
        let guard = pin();
        let array = fixture.table.array(&guard);
        let probes: Vec<_> = names().map(|key| array.probe_length(mixed(key))).collect();
        (ptr::from_ref(array).addr(), array.used(), probes)
    };
    churn();
    let first = shape();
    assert!(first.2.iter().all(|&probe| probe < 64), "{first:?}");
    for round in 1..1_000_000 / NAMES {
        churn();
        assert_eq!(fixture.table.len(), STANDING as usize);
        if round % 100 == 0 {
            assert_eq!(shape(), first);
        }
    }
    assert_eq!(shape(), first);
    fixture.finish(1_000_000 + STANDING as usize);
}

#[test]
fn keys_of_kin_live_together_in_an_array_that_leaves_tombstones() {
    let fixture = Fixture::new(16, fours);
    let reuses = || fixture.table.array(&pin()).reuses();
    let used = || fixture.table.array(&pin()).used();
    let get = |key| fixture.get(key, &pin()).map(|item| item.key);
    let insert = |key| assert!(fixture.insert(key, &pin()).is_ok());
    let remove = |key| assert!(fixture.remove(key, &pin()).is_some());

    insert(1);
    remove(1);
    insert(2);
    assert!(reuses(), "one of kin after the other");
    assert_eq!((used(), get(1), get(2)), (1, None, Some(2)));

    insert(1);
    assert!(!reuses(), "both at once");
    assert_eq!((get(0), get(1), get(2)), (None, Some(1), Some(2)));
    assert!(fixture.insert(1, &pin()).is_err() && fixture.insert(2, &pin()).is_err());

    // Key 2 lies in front: its tombstone neither hides key 1 nor is reused.
    remove(2);
    assert_eq!((get(1), get(2)), (Some(1), None));
    assert!(fixture.insert(1, &pin()).is_err());
    insert(2);
    assert_eq!((used(), get(1), get(2)), (3, Some(1), Some(2)));
    remove(1);
    remove(2);
    assert_eq!((get(1), get(2)), (None, None));

    // The next array has no two of kin.
    let mut key = 4;
    while !reuses() {
        insert(key);
        key += 4;
        assert!(key < 100);
    }
    fixture.finish(4 + (key as usize - 4) / 4);
}

#[test]
fn a_copy_with_two_of_kin_leaves_tombstones_too() {
    let fixture = Fixture::new(16, fours);
    for key in (0..400).chain(1_000..1_004) {
        assert!(fixture.insert(key, &pin()).is_ok());
        assert_eq!(fixture.table.array(&pin()).reuses(), key == 0);
    }
    for key in 0..400 {
        assert!(fixture.remove(key, &pin()).is_some());
        for key in 1_000..1_004 {
            assert!(fixture.get(key, &pin()).is_some());
            assert!(fixture.insert(key, &pin()).is_err());
        }
    }
    assert_eq!(fixture.keys(), [1_000, 1_001, 1_002, 1_003]);
    fixture.finish(404);
}

/// Threads register, look up and unregister the same names: an entry that was
/// inserted is there until the one thread that owns it removes it.
#[test]
fn same_names_are_registered_by_one_at_a_time() {
    const ROUNDS: usize = 30_000;
    for (hash, keys, kin) in [
        (mixed as Hash, 1, false),
        (mixed, 3, false),
        (paired, 4, true),
    ] {
        let fixture = Fixture::new(64, hash);
        let first = ptr::from_ref(fixture.table.array(&pin())).addr();
        let owned: Vec<_> = (0..keys).map(|_| AtomicUsize::new(0)).collect();
        let inserted = AtomicUsize::new(0);
        thread::scope(|scope| {
            for seed in 0..3 {
                let (fixture, owned, inserted) = (&fixture, &owned, &inserted);
                scope.spawn(move || {
                    let mut random = Random(seed << 32);
                    for _ in 0..ROUNDS {
                        let key = random.below(keys);
                        let guard = pin();
                        match fixture.insert(key, &guard) {
                            Ok(item) => {
                                inserted.fetch_add(1, Ordering::Relaxed);
                                let owners = &owned[key as usize];
                                assert_eq!(owners.fetch_add(1, Ordering::Relaxed), 0);
                                let found = fixture.get(key, &guard);
                                assert!(found.is_some_and(|found| ptr::eq(found, item)));
                                assert_eq!(owners.fetch_sub(1, Ordering::Relaxed), 1);
                                assert!(fixture.table.remove_entry(item, &guard));
                                assert!(!fixture.table.remove_entry(item, &guard));
                            }
                            Err(item) => assert_eq!(item.key, key),
                        }
                    }
                });
            }
        });
        assert_eq!(fixture.keys(), []);
        assert_eq!(fixture.table.len(), 0);
        if !kin {
            let guard = pin();
            let array = fixture.table.array(&guard);
            assert_eq!(ptr::from_ref(array).addr(), first, "never replaced");
            assert_eq!(array.used(), keys as usize);
        }
        fixture.finish(inserted.into_inner());
    }
}

/// The answer to an inserter stays true until it removes the entry, although the
/// array is replaced on the way.
#[test]
fn reuse_goes_together_with_rebuilds() {
    const ROUNDS: u64 = 4_000;
    let fixture = Fixture::new(4, mixed);
    let addresses = thread::scope(|scope| {
        let returning = (0..2_u64).map(|thread| {
            let fixture = &fixture;
            scope.spawn(move || {
                let mut addresses = HashSet::new();
                for round in 0..ROUNDS {
                    let guard = pin();
                    for key in [2 * thread, 2 * thread + 1] {
                        assert!(fixture.insert(key, &guard).is_ok());
                    }
                    // A fresh name now and then, to use the array up.
                    let fresh = ((thread + 1) << 32) | round;
                    assert!(fixture.insert(fresh, &guard).is_ok());
                    assert!(fixture.remove(fresh, &guard).is_some());
                    for key in [2 * thread, 2 * thread + 1] {
                        assert!(fixture.get(key, &guard).is_some());
                        assert!(fixture.remove(key, &guard).is_some());
                        assert!(fixture.get(key, &guard).is_none());
                    }
                    addresses.insert(ptr::from_ref(fixture.table.array(&guard)).addr());
                }
                addresses
            })
        });
        // All of them begin before the first is waited for.
        let returning: Vec<_> = returning.collect();
        returning
            .into_iter()
            .map(|thread| thread.join().expect("no assertion failed").len())
            .sum::<usize>()
    });
    assert!(addresses > 2, "it was rebuilt");
    assert_eq!(fixture.keys(), []);
    fixture.finish(2 * 3 * ROUNDS as usize);
}
