//! One array of the table: probing, and the three moves of a slot.
//!
//! An `&'g Array` is a licence to look at entries for `'g`. It is only ever
//! obtained from the table's root by a thread that was pinned *before* it
//! loaded the root and stays pinned for `'g`, or by the owner of a table that
//! nobody shares any more. An entry leaves the table after that pin, then, or
//! was never seen in this array; so it is not freed before `'g` ends, even when
//! this array has been replaced and the entry was removed from a later one.
//! Every `SAFETY` comment in this file leans on this paragraph.

use std::ops::Range;
use std::ptr::NonNull;

use super::Entry;
use super::slot::Word;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

/// A fixed number of slots, live until its successor is complete.
pub(super) struct Array<T> {
    /// A power of two, at least two. Slots change as [`Word`] says and no
    /// other way; above all, a slot that is not empty never is again. Hence
    /// the invariant of probing: between the home of an entry and its slot
    /// there is no empty slot.
    slots: Box<[AtomicPtr<T>]>,
    /// 64 minus the binary logarithm of the capacity.
    shift: u32,
    counts: Counts,
}

/// Counts of this array alone: its successor starts anew, from what it copied.
/// A line of their own, since readers share the line of the other fields.
#[repr(align(128))]
struct Counts {
    /// Slots that are not empty: live ones and tombstones. Counted after the
    /// fact, so it lags behind by at most one for each inserting thread.
    used: AtomicUsize,
    /// Tombstones. Lags like `used`, so it may for a moment exceed it.
    dead: AtomicUsize,
}

/// What became of an insertion.
#[must_use]
pub(super) enum Inserted<'g, T> {
    /// The entry is in. `crowded`: the array has reached its limit.
    Done { crowded: bool },
    /// An entry with this key was there already.
    Exists(&'g T),
    /// The array is frozen or full: its successor has to take the entry.
    Refused,
}

/// What became of a removal.
#[must_use]
pub(super) enum Removed<'g, T> {
    /// This caller is the one who removed it.
    Done(&'g T),
    /// No such entry, or somebody else removed it meanwhile.
    Absent,
    /// The entry's slot is frozen: it has to be removed from the successor.
    Refused,
}

/// The capacity for an array that starts with `live` entries, such that it is
/// at most 7/16 full.
pub(super) fn capacity_for(live: usize, minimum: usize) -> usize {
    live.saturating_mul(16)
        .div_ceil(7)
        .next_power_of_two()
        .max(minimum)
}

/// The number of used slots at which an array is replaced: three quarters.
pub(super) fn limit(capacity: usize) -> usize {
    capacity - capacity / 4
}

/// Whether a replacement is worth its while although nothing is inserted: at
/// most 1/16 is live, and at least 1/8 was removed, which pays for it.
pub(super) fn is_sparse(capacity: usize, used: usize, dead: usize) -> bool {
    dead >= capacity / 8 && used.saturating_sub(dead) <= capacity / 16
}

impl<T: Entry> Array<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self::of(vec![Word::EMPTY.raw(); capacity], 0)
    }

    /// Makes slots of words; in place, since both have the same layout.
    fn of(words: Vec<*mut T>, used: usize) -> Self {
        assert!(words.len().is_power_of_two() && words.len() >= 2);
        Self {
            shift: u64::BITS - words.len().ilog2(),
            slots: words.into_iter().map(AtomicPtr::new).collect(),
            counts: Counts {
                used: AtomicUsize::new(used),
                dead: AtomicUsize::new(0),
            },
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn live(&self) -> usize {
        // ORDERING: Relaxed. The counts order nothing; they steer rebuilds and
        // are exact for whoever has synchronised with all writers anyway.
        let dead = self.counts.dead.load(Ordering::Relaxed);
        let used = self.counts.used.load(Ordering::Relaxed);
        used.saturating_sub(dead)
    }

    /// Where the probe of a hash begins. Of the highest bits, so that arrays
    /// of all capacities are in the order of the hashes: a copy runs through
    /// both in sequence, and a cursor is good for both.
    pub(super) fn home(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    /// The least hash whose home is `index`, or None beyond the last one.
    pub(super) fn first_hash(&self, index: usize) -> Option<u64> {
        (index < self.capacity()).then(|| (index as u64) << self.shift)
    }

    /// Every slot once, from the given one on and round the end.
    fn slots_from(&self, first: usize) -> impl Iterator<Item = &AtomicPtr<T>> {
        let mask = self.slots.len() - 1;
        (0..self.slots.len()).map(move |step| &self.slots[(first + step) & mask])
    }

    fn read(slot: &AtomicPtr<T>) -> Word<T> {
        // ORDERING: Acquire pairs with the Release of the insertion that
        // stored the entry (through the freeze, too, which as a
        // read-modify-write prolongs its release sequence): the entry's
        // contents are visible.
        Word::from_raw(slot.load(Ordering::Acquire))
    }

    fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<(&AtomicPtr<T>, Word<T>, &T)> {
        for slot in self.slots_from(self.home(hash)) {
            let word = Self::read(slot);
            if let Some(entry) = word.candidate(hash) {
                // SAFETY: it was in a slot of this array: see the file's top.
                let entry = unsafe { entry.as_ref() };
                if is(entry) {
                    return Some((slot, word, entry));
                }
            } else if word.is_empty() {
                return None;
            }
        }
        None
    }

    pub(super) fn get(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        self.find(hash, is).map(|(_, _, entry)| entry)
    }

    pub(super) fn insert<'g>(
        &'g self,
        entry: NonNull<T>,
        hash: u64,
        is: impl Fn(&T) -> bool,
    ) -> Inserted<'g, T> {
        let new = Word::of(entry, hash);
        for slot in self.slots_from(self.home(hash)) {
            let mut word = Self::read(slot);
            if word.raw() == Word::EMPTY.raw() {
                // ORDERING: Release publishes the entry to `read`; Acquire on
                // failure is the `read` of whatever came first.
                match slot.compare_exchange(
                    word.raw(),
                    new.raw(),
                    Ordering::Release,
                    Ordering::Acquire,
                ) {
                    Ok(_) => {
                        // ORDERING: Relaxed, a count (see `live`).
                        let used = self.counts.used.fetch_add(1, Ordering::Relaxed) + 1;
                        let crowded = used >= limit(self.capacity());
                        return Inserted::Done { crowded };
                    }
                    // Not empty any more, and maybe our own key: judge it.
                    Err(now) => word = Word::from_raw(now),
                }
            }
            if word.is_empty() {
                return Inserted::Refused;
            }
            if let Some(other) = word.candidate(hash) {
                // SAFETY: it was in a slot of this array: see the file's top.
                let other = unsafe { other.as_ref() };
                if is(other) {
                    return Inserted::Exists(other);
                }
            }
        }
        Inserted::Refused
    }

    pub(super) fn remove<'g>(&'g self, hash: u64, is: impl Fn(&T) -> bool) -> Removed<'g, T> {
        let Some((slot, word, entry)) = self.find(hash, is) else {
            return Removed::Absent;
        };
        if word.is_frozen() {
            return Removed::Refused;
        }
        // ORDERING: Release, so that who reads the tombstone (`read`) also sees
        // what the remover did before; nothing is read through it. Relaxed on
        // failure: only the bits of the word are looked at.
        match slot.compare_exchange(
            word.raw(),
            Word::TOMBSTONE.raw(),
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            Ok(_) => {
                // ORDERING: Relaxed, counts (see `live`).
                self.counts.dead.fetch_add(1, Ordering::Relaxed);
                Removed::Done(entry)
            }
            // The same entry still, but frozen; or else a tombstone.
            Err(now) if Word::from_raw(now).entry().is_some() => Removed::Refused,
            Err(_) => Removed::Absent,
        }
    }

    /// Whether hardly any entries are left of those there were.
    pub(super) fn is_sparse(&self) -> bool {
        let dead = self.counts.dead.load(Ordering::Relaxed);
        let used = self.counts.used.load(Ordering::Relaxed);
        is_sparse(self.capacity(), used, dead)
    }

    /// How many slots a look-up of an absent key with this hash reads.
    #[cfg(test)]
    pub(super) fn probe_length(&self, hash: u64) -> usize {
        self.slots_from(self.home(hash))
            .take_while(|slot| !Self::read(slot).is_empty())
            .count()
            + 1
    }

    /// Shows every entry whose home is in the range to `f`. One that is there
    /// throughout is shown once.
    pub(super) fn visit<'g>(&'g self, homes: Range<usize>, mut f: impl FnMut(&'g T)) {
        let within = homes.len();
        for (step, slot) in self.slots_from(homes.start).enumerate() {
            let word = Self::read(slot);
            if let Some(entry) = word.entry() {
                // SAFETY: it was in a slot of this array: see the file's top.
                let entry = unsafe { entry.as_ref() };
                if homes.contains(&self.home(entry.hash())) {
                    f(entry);
                }
            } else if step >= within && word.is_empty() {
                // Nothing beyond an empty slot has its home before it.
                return;
            }
        }
    }

    /// Makes every slot final. Any number of threads may do it at once.
    pub(super) fn freeze(&self) {
        for slot in &self.slots {
            let mut word = Self::read(slot);
            while !word.is_frozen() {
                // ORDERING: Relaxed on success: it publishes nothing new, and
                // being a read-modify-write it keeps the inserter's Release
                // alive for readers. Acquire on failure is a `read`.
                match slot.compare_exchange(
                    word.raw(),
                    word.frozen().raw(),
                    Ordering::Relaxed,
                    Ordering::Acquire,
                ) {
                    Ok(_) => break,
                    Err(now) => word = Word::from_raw(now),
                }
            }
        }
    }

    /// A private array with the entries of this one, which is frozen, and
    /// without its tombstones.
    pub(super) fn successor(&self, minimum: usize) -> Self {
        let entries = || {
            self.slots.iter().filter_map(|slot| {
                let word = Self::read(slot);
                debug_assert!(word.is_frozen());
                Some((word.thawed(), word.entry()?))
            })
        };
        let live = entries().count();
        let mut words = vec![Word::EMPTY.raw(); capacity_for(live, minimum)];
        let (mask, shift) = (words.len() - 1, u64::BITS - words.len().ilog2());
        for (word, entry) in entries() {
            // SAFETY: it was in a slot of this array: see the file's top.
            let hash = unsafe { entry.as_ref() }.hash();
            let mut index = (hash >> shift) as usize;
            while !Word::from_raw(words[index]).is_empty() {
                index = (index + 1) & mask;
            }
            words[index] = word.raw();
        }
        Self::of(words, live)
    }

    /// Every entry that is in the array, for the owner of a dying table.
    pub(super) fn into_entries(self) -> impl Iterator<Item = NonNull<T>> {
        self.slots
            .into_iter()
            .filter_map(|slot| Self::read(&slot).entry())
    }
}
