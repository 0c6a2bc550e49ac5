//! One array of the table: probing, and the moves of a slot.
//!
//! # One slot for one hash
//!
//! An array that *reuses* tombstones keeps this promise to every hash: walking
//! from the hash's home, the first slot that is empty, or holds an entry or a
//! tombstone of its kin (see [`slot`](super::slot)), is the only one in which an
//! entry of this hash may lie. Three facts keep it:
//!
//! - a slot that was used once stays with one family: it holds an entry of that
//!   kin, then their tombstone, then such an entry again, but is never empty;
//! - so the first slot changes only when it is empty and an entry of another
//!   family takes it; once it is the family's own, it stays the first;
//! - an insertion takes the first slot or none, and a new array is filled in the
//!   same way.
//!
//! All threads that insert one key meet there and one compare-exchange elects the winner;
//! a thread that looks a key up may stop there. A late thread does no harm. An inserter
//! whose tombstone was reused and became a tombstone again in the meantime finds the
//! word that it expects, and may exchange it: the slot is still the first one, and
//! the key is absent now. A remover's word cannot come back, since no other entry
//! gets the entry's address while the remover is pinned.
//!
//! Two entries of kin with different keys break the scheme: there is no slot for
//! the second. Then the array is replaced by one that does *not* reuse
//! tombstones. In that one, an inserter walks on to the first empty slot. There all
//! inserters meet again, since no tombstone before it is ever reused. A thread that
//! looks a key up walks that far, too. Whether a copy may reuse tombstones is known
//! when it has been filled, so the first copy without two such entries reuses again.
//!
//! # The licence
//!
//! An `&'g Array` is a licence to look at entries for `'g`. It is only ever
//! obtained from the table's root by a thread that was pinned *before* it
//! loaded the root and stays pinned for `'g`, or by the owner of a table that
//! is not shared any more. So an entry that is found in this array leaves the table
//! only after that pin. It is not freed before `'g` ends, even when this array has
//! been replaced and the entry was removed from a later one. The `SAFETY` comments
//! in this file that name the file's top mean this paragraph.

use std::hint::select_unpredictable;
use std::ops::Range;
use std::ptr::NonNull;

use super::Entry;
use super::load::Counts;
use super::slot::{SlotValue, kin};
use crate::sys::atomic::{AtomicPtr, Ordering};
use crate::sys::prefetch;

/// A fixed number of slots, live until its successor is complete.
pub(super) struct Array<T> {
    /// A power of two, at least two. Slots change as [`SlotValue`] says and no
    /// other way; above all, a slot that is not empty never is again. Hence
    /// the invariant of probing: between the home of an entry and its slot
    /// there is no empty slot (nor, in an array that reuses them, a tombstone of
    /// its hash).
    slots: Box<[AtomicPtr<T>]>,
    /// 64 minus the binary logarithm of the capacity.
    shift: u32,
    /// Whether tombstones are reused, for as long as this array lives.
    reuses: bool,
    counts: Counts,
}

/// How many slots a look-up reads at once: in an array that is half full, seven of eight
/// entries are among them. With more of them small arrays gain little, and large ones lose
/// by every cache line that is read in vain.
const NEAR: usize = 2;

/// What became of an insertion.
#[must_use]
pub(super) enum Inserted<'g, T> {
    /// The entry is in. `crowded`: the array has reached its limit.
    Done { crowded: bool },
    /// An entry with this key was there already.
    Exists(&'g T),
    /// The array is frozen or full: the entry has to be inserted into its successor.
    Refused,
    /// An entry of kin with another key has the slot: only a successor that does
    /// not reuse tombstones can take both.
    Collides,
}

/// Where an entry was found.
pub(super) struct Found<'g, T> {
    place: usize,
    word: SlotValue<T>,
    pub(super) entry: &'g T,
}

/// What became of a removal.
#[must_use]
pub(super) enum Removed {
    /// This caller has removed it. `is_turn`: this caller should check whether the array has
    /// become sparse.
    Done { is_turn: bool },
    /// No such entry, or another thread removed it meanwhile.
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

/// Whether a replacement pays although nothing is inserted: at most 1/16 of the
/// slots is live, and at least 1/8 are tombstones.
pub(super) fn is_sparse(capacity: usize, used: usize, dead: usize) -> bool {
    dead >= capacity / 8 && used.saturating_sub(dead) <= capacity / 16
}

impl<T: Entry> Array<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self::of(vec![SlotValue::EMPTY.raw(); capacity], 0, true)
    }

    /// An array with these words as slots. Converted in place, since both have the same layout.
    fn of(words: Vec<*mut T>, used: usize, reuses: bool) -> Self {
        assert!(words.len().is_power_of_two() && words.len() >= 2);
        Self {
            shift: u64::BITS - words.len().ilog2(),
            slots: words.into_iter().map(AtomicPtr::new).collect(),
            reuses,
            counts: Counts::new(used),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn live(&self) -> usize {
        let (used, dead) = self.counts.read();
        used.saturating_sub(dead)
    }

    /// The slot where the probe of a hash begins. It comes from the highest bits, so
    /// that arrays of all capacities are in the order of the hashes: a copy runs
    /// through both arrays in sequence, and a cursor is valid in both.
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

    fn read(slot: &AtomicPtr<T>) -> SlotValue<T> {
        // ORDERING: Acquire pairs with the Release of the insertion that
        // stored the entry, or the removal that stored the tombstone (through
        // the freeze, too, which as a read-modify-write prolongs their release
        // sequence): the entry's contents are visible.
        SlotValue::from_raw(slot.load(Ordering::Acquire))
    }

    /// Finds the entry of a hash for which `is` returns true. It is nearly always near its
    /// home and the first one with its fingerprint, so only that comparison is inlined into the
    /// caller's code.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<Found<'_, T>> {
        let found = self.find_near(hash)?;
        match is(found.entry) {
            true => Some(found),
            false => self.find_beyond(found.place, hash, is),
        }
    }

    /// [`Array::find_from`] home. Probe lengths are unpredictable, and a mispredicted branch
    /// costs as much as half a look-up. So the first [`NEAR`] slots are always read, and the
    /// match is selected without a branch.
    ///
    /// The slots are read from the farthest to the nearest. A match is valid even if a slot
    /// before it was empty or a tombstone when that slot was read: the entry was in the table
    /// when its own slot was read. An empty slot ends the probe, in whatever order it was read.
    /// At that moment only a nearer slot could hold the entry. Nearer slots were read later, so
    /// an entry that was in one of them is gone.
    #[inline(always)]
    fn find_near(&self, hash: u64) -> Option<Found<'_, T>> {
        // Loaded once: the compiler loads a field behind a pointer again after each Acquire.
        let slots = &*self.slots;
        let home = self.home(hash);
        let at = |step: usize| (home + step) & (slots.len() - 1);
        // SAFETY: `at` masks with the length less one, and the length is a power of two.
        let read = |step: usize| Self::read(unsafe { slots.get_unchecked(at(step)) });
        let mut place = at(NEAR - 1);
        let mut word = read(NEAR - 1);
        let mut has_end = word.is_empty();
        for step in (0..NEAR - 1).rev() {
            let nearer = read(step);
            has_end |= nearer.is_empty();
            let has_fingerprint = nearer.has_fingerprint(hash);
            word = select_unpredictable(has_fingerprint, nearer, word);
            place = select_unpredictable(has_fingerprint, at(step), place);
        }
        if !word.has_fingerprint(hash) {
            return match has_end {
                true => None,
                false => self.find_from(home, hash),
            };
        }
        // SAFETY: it was in a slot of this array: see the file's top.
        let entry = unsafe { word.address()?.as_ref() };
        Some(Found { place, word, entry })
    }

    /// Continues [`Array::find`] behind an entry with the same fingerprint and another key.
    #[cold]
    #[inline(never)]
    fn find_beyond(
        &self,
        mut stranger: usize,
        hash: u64,
        is: impl Fn(&T) -> bool,
    ) -> Option<Found<'_, T>> {
        loop {
            let next = (stranger + 1) & (self.slots.len() - 1);
            if next == self.home(hash) {
                return None;
            }
            let found = self.find_from(next, hash)?;
            if is(found.entry) {
                return Some(found);
            }
            stranger = found.place;
        }
    }

    /// The first entry with the hash's fingerprint, from that place to the end of the probe.
    #[inline(always)]
    fn find_from(&self, mut place: usize, hash: u64) -> Option<Found<'_, T>> {
        let slots = &*self.slots;
        loop {
            // SAFETY: `find_near` passes a home, which is less than the length; `find_beyond`
            // passes a masked place, and the step below is masked.
            let word = Self::read(unsafe { slots.get_unchecked(place) });
            if word.has_fingerprint(hash) {
                // SAFETY: it was in a slot of this array: see the file's top.
                let entry = unsafe { word.address()?.as_ref() };
                return Some(Found { place, word, entry });
            }
            if self.ends(word, hash) {
                return None;
            }
            place = (place + 1) & (slots.len() - 1);
            if place == self.home(hash) {
                return None;
            }
        }
    }

    /// Whether this word shows that no entry of the hash lies here or beyond. An
    /// entry of kin with another key would, too, but is too rare to ask for.
    fn ends(&self, word: SlotValue<T>, hash: u64) -> bool {
        word.is_empty() || (word.is_tombstone_of(hash) && self.reuses)
    }

    #[inline(always)]
    pub(super) fn get(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        self.find(hash, is).map(|found| found.entry)
    }

    /// Prefetches the slot where the probe of a hash begins, to be written.
    #[inline]
    pub(super) fn expect(&self, hash: u64) {
        prefetch::to_write(self.slots.as_ptr().wrapping_add(self.home(hash)));
    }

    #[inline]
    pub(super) fn insert<'g>(
        &'g self,
        entry: NonNull<T>,
        hash: u64,
        is: impl Fn(&T) -> bool,
    ) -> Inserted<'g, T> {
        let new = SlotValue::of(entry, hash);
        // Loaded once: the compiler loads a field behind a pointer again after each Acquire.
        let slots = &*self.slots;
        let home = self.home(hash);
        for step in 0..slots.len() {
            // SAFETY: masked with the length less one, and the length is a power of two.
            let slot = unsafe { slots.get_unchecked((home + step) & (slots.len() - 1)) };
            let mut word = Self::read(slot);
            while self.ends(word, hash) {
                if word.is_frozen() {
                    return Inserted::Refused;
                }
                // ORDERING: Release publishes the entry to the Acquire in `read`.
                // Acquire, as in `read`, of what this thread found instead; on
                // success too, since the tombstone may be of a later removal than
                // the one that was read.
                match slot.compare_exchange(
                    word.raw(),
                    new.raw(),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                ) {
                    Ok(_) => return self.count_insertion(word),
                    // It may have the same key: compare it.
                    Err(now) => word = SlotValue::from_raw(now),
                }
            }
            if let Some(other) = word.candidate(hash) {
                // SAFETY: it was in a slot of this array: see the file's top.
                let other = unsafe { other.as_ref() };
                if is(other) {
                    return Inserted::Exists(other);
                }
                if self.reuses && kin(other.hash(), hash) {
                    return Inserted::Collides;
                }
            }
        }
        Inserted::Refused
    }

    /// Counts an entry that came in the place of `word`.
    fn count_insertion(&self, word: SlotValue<T>) -> Inserted<'_, T> {
        if !word.is_empty() {
            self.counts.count_reuse();
            return Inserted::Done { crowded: false };
        }
        let crowded = self.counts.count_use() >= limit(self.capacity());
        Inserted::Done { crowded }
    }

    /// Removes an entry that was found.
    #[inline]
    pub(super) fn remove(&self, found: &Found<'_, T>, hash: u64) -> Removed {
        let Found { place, word, .. } = *found;
        if word.is_frozen() {
            return Removed::Refused;
        }
        // ORDERING: Release, partner of the Acquire in `read`: a thread that reads the
        // tombstone, or what comes in its place, sees what the remover did before. Acquire on
        // failure: what another remover did before is seen here.
        match self.slots[place].compare_exchange(
            word.raw(),
            SlotValue::tombstone(hash).raw(),
            Ordering::Release,
            Ordering::Acquire,
        ) {
            Ok(_) => {
                let is_turn = self.counts.count_removal();
                Removed::Done { is_turn }
            }
            // The same entry still, but frozen.
            Err(now) if SlotValue::from_raw(now).entry() == word.entry() => Removed::Refused,
            // Its tombstone, or what has come in its place.
            Err(_) => Removed::Absent,
        }
    }

    /// Whether few entries are left of those there were; see [`is_sparse`].
    pub(super) fn is_sparse(&self) -> bool {
        let (used, dead) = self.counts.read();
        is_sparse(self.capacity(), used, dead)
    }

    /// Slots that are not empty.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.counts.read().0
    }

    #[cfg(test)]
    pub(super) fn reuses(&self) -> bool {
        self.reuses
    }

    /// The length of the probe of an absent key with this hash.
    #[cfg(test)]
    pub(super) fn probe_length(&self, hash: u64) -> usize {
        self.slots_from(self.home(hash))
            .take_while(|slot| !self.ends(Self::read(slot), hash))
            .count()
            + 1
    }

    /// Calls `f` with the entries whose home is in the range: once with each that
    /// is there throughout.
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
                    Err(now) => word = SlotValue::from_raw(now),
                }
            }
        }
    }

    /// A private copy of this array, which is frozen, without its tombstones. The
    /// copy reuses its own tombstones if `reuses` is set and no two entries are kin.
    pub(super) fn successor(&self, minimum: usize, mut reuses: bool) -> Self {
        let entries = || {
            self.slots.iter().filter_map(|slot| {
                let word = Self::read(slot);
                debug_assert!(word.is_frozen());
                Some((word.thawed(), word.entry()?))
            })
        };
        let live = entries().count();
        let mut words = vec![SlotValue::EMPTY.raw(); capacity_for(live, minimum)];
        let (mask, shift) = (words.len() - 1, u64::BITS - words.len().ilog2());
        for (word, entry) in entries() {
            // SAFETY: it was in a slot of this array: see the file's top.
            let hash = unsafe { entry.as_ref() }.hash();
            let mut index = (hash >> shift) as usize;
            loop {
                let met = SlotValue::<T>::from_raw(words[index]);
                if met.is_empty() {
                    break;
                }
                if let Some(other) = met.candidate(hash) {
                    // SAFETY: its word was just copied from a slot of this array: see the
                    // file's top.
                    reuses &= !kin(unsafe { other.as_ref() }.hash(), hash);
                }
                index = (index + 1) & mask;
            }
            words[index] = word.raw();
        }
        Self::of(words, live, reuses)
    }

    /// Frees a replaced array. The entries in it belong to the table.
    ///
    /// # Safety
    ///
    /// It came from a box, and no thread looks at it any more.
    pub(super) unsafe fn destroy(this: *mut Self) {
        // SAFETY: this function's # Safety; `Table::replace` retires only arrays that it or
        // `Table::new` made with a box.
        drop(unsafe { Box::from_raw(this) });
    }

    /// Every entry that is in the array, for a table that is being dropped.
    pub(super) fn into_entries(self) -> impl Iterator<Item = NonNull<T>> {
        self.slots
            .into_iter()
            .filter_map(|slot| Self::read(&slot).entry())
    }
}
