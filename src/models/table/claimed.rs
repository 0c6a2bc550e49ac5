//! Removals that claim their entry first.

use super::*;

impl Item {
    fn claim(&self) -> bool {
        self.claimed.swap(1, Ordering::AcqRel) == 0
    }
}

fn remove_claimed(table: &Items, key: u64) -> bool {
    let guard = pin();
    let removed = table.remove_claimed(hash(key), key, Item::claim, &guard);
    removed.inspect(|item| assert_eq!(item.payload(), key));
    removed.is_some()
}

#[test]
fn one_of_two_claims_of_an_entry_removes_it() {
    let seen = outcomes(3, || {
        let table = table(&[1]);
        let a = spawn(&table, |table| remove_claimed(table, 1));
        let b = spawn(&table, |table| remove_claimed(table, 1));
        let won = (join(a), join(b));
        assert_eq!(keys(&table), []);
        won
    });
    assert_eq!(seen, BTreeSet::from([(true, false), (false, true)]));
}

#[test]
fn a_rebuild_keeps_a_racing_claimed_removal() {
    outcomes(3, || {
        let table = table(&[1, 2]);
        let a = spawn(&table, |table| assert!(insert(table, 3, &pin())));
        let b = spawn(&table, |table| assert!(remove_claimed(table, 1)));
        join(a);
        join(b);
        assert_eq!(keys(&table), [2, 3]);
    });
}

/// An insertion that removes a claimed entry in its way, as a registration does.
#[test]
fn an_insertion_that_meets_a_claimed_entry_takes_its_slot() {
    let seen = outcomes(2, || {
        let table = table(&[1]);
        let a = spawn(&table, |table| {
            let guard = pin();
            while !insert(table, 1, &guard) {
                let met = table.get(hash(1), 1, &guard);
                match met.filter(|item| item.claimed.load(Ordering::Acquire) == 1) {
                    Some(item) => _ = table.remove_entry(item, &guard),
                    None => return false,
                }
            }
            true
        });
        let b = spawn(&table, |table| assert!(remove_claimed(table, 1)));
        let inserted = join(a);
        join(b);
        assert_eq!(keys(&table), if inserted { vec![1] } else { vec![] });
        inserted
    });
    assert_eq!(seen, BTreeSet::from([true, false]));
}
