//! A lock-free hash table of shared entries, found by key.
//!
//! # What it promises
//!
//! - **Look-ups are wait-free**: at most a few steps more than the array has slots
//!   (nearly always only a few), no retry, no write, no allocation. A reader
//!   finishes on the array it loaded and never notices a rebuild.
//! - **[`insert`](Table::insert) and [removal](Table::remove_entry) are lock-free**
//!   as far as the memory allocator is, which a rebuild calls: when one has to
//!   try again, another operation has succeeded. They never wait for a thread
//!   that is preempted; a thread that meets an unfinished rebuild does all of it.
//! - **One winner**: of all threads that insert a key that is absent, one
//!   succeeds; of all that remove an entry, one. Operations on one key take effect
//!   one after the other, each between its call and its return. Operations on
//!   different keys are ordered causally: a thread that sees an insertion or a
//!   removal also sees everything that the thread that made it did before.
//! - **Churn does not use the array up**: a key that comes and goes takes the same
//!   slot again and again. The tombstones of keys that don't come back count as
//!   load and are dropped when the array is replaced. Capacity follows the number
//!   of live entries, both up and down.
//!
//! # How it works
//!
//! The table is an array of atomic words, with linear probing from a slot that the
//! hash names. A slot goes from empty to an entry to a tombstone, which keeps the
//! hash of the entry, and from there to an entry of the same hash again. So all
//! threads that insert one key meet on the same slot: the first that is empty or
//! was ever used for this hash. There a single compare-exchange elects the winner:
//! the loser looks at that slot again and finds the key, or goes on. Removal is one
//! compare-exchange to a tombstone. Why this is right, and what becomes of two
//! keys with one hash, is described at the top of `array.rs`.
//!
//! An array whose slots are nearly used up is replaced. A **rebuild** first freezes
//! every slot: it sets a bit in the word, after which every compare-exchange
//! on that slot fails. A wholly frozen array never changes again. The rebuilding
//! thread copies it into a private array of a fitting size and tries to exchange the
//! root. The first thread succeeds, the others drop their copies. A writer that is
//! refused by a frozen slot does the same, and then tries again on the new root.
//!
//! Why nothing is lost: an insertion or removal either changes its slot before
//! the slot is frozen, so that every copy includes the change, or is refused. Why
//! nothing comes back: a removal in the new array comes after the exchange of the
//! root, and a copy of the old array that is made later fails to become the root.
//!
//! Why readers may finish on an old array: what they find there was present,
//! and what they miss was absent, at some moment since they loaded the root.
//!
//! # Memory
//!
//! The table owns one reference of each entry in it. It gives the reference back after
//! removal, when no thread that may have found the entry is pinned any more (see
//! [`reclaim`]). Replaced arrays are freed in the same way. So an entry that is returned
//! can be looked at as long as the caller's guard lives, whether it is still in the
//! table or not.
//!
//! A rebuild flushes the thread's bag of retired objects, which now holds an array. A
//! removal does not: a flush costs more than the whole removal, and the bag is sealed
//! when it is full. So a thread that stops calling the library withholds at most 128
//! removed entries. A caller that removes rarely, or many at once, may flush its guard
//! afterwards.
//!
//! # What else was considered
//!
//! - *Incremental migration* (Click; papaya): no long pause for the thread
//!   that crosses the limit, but slots in transit, for which other threads
//!   wait. Registration is rare here and a copy runs at memory speed.
//! - *One shared half-built successor*: the helpers would share the work. But
//!   a slow helper may copy an entry that has meanwhile been removed from the
//!   new array. Private copies cost helpers some work and cannot do that.
//! - *Reuse of any tombstone*: two inserters of one key could choose different
//!   slots, and both win.
//! - *No reuse*: a name that comes and goes leaves its tombstones behind each
//!   other, thousands of them in a large array, and each probe passes them all.
//! - *Chains* (split-ordered lists): a pointer to chase at each step, in place
//!   of eight slots to a cache line.
//! - *Whole hashes beside the pointers*: double the memory of the slots, and
//!   two words that must agree. A few bits in the pointer do nearly as well.

mod array;
mod load;
mod slot;
#[cfg(test)]
mod tests;

use std::ptr::{self, NonNull};

use crate::reclaim::{self, Guard};
use crate::sys::atomic::{AtomicPtr, Ordering};
use array::{Array, Inserted, Removed};

pub(crate) use slot::ALIGNMENT;

/// What the table stores: a shared, intrusively counted object. Its address is
/// a multiple of [`ALIGNMENT`], whatever alignment its type asks for.
pub(crate) trait Entry: Sized + Send + Sync + 'static {
    /// A borrowed key to look up.
    type Key<'a>: Copy;

    /// The hash of the entry's key. It never changes, is well mixed in all its 64
    /// bits, and cannot be predicted by a caller that chooses the keys.
    fn hash(&self) -> u64;

    /// Whether this is the entry of the key.
    fn is(&self, key: Self::Key<'_>) -> bool;

    /// Gives the table's reference back. Runs late and on any thread, so it
    /// must do no more than free memory.
    ///
    /// # Safety
    ///
    /// The reference was handed over by [`Table::insert`], and this is called
    /// once for each.
    unsafe fn release(this: *mut Self);
}

/// The table. See the top of the file.
pub(crate) struct Table<T: Entry> {
    /// The current array, never null. Owned, and retired when replaced.
    root: AtomicPtr<Array<T>>,
    /// The capacity of the smallest array: a power of two, at least four.
    minimum: usize,
}

/// How far a [`walk`](Table::walk) has come: entries with lesser hashes have
/// been visited. Means the same to every array, so it outlives rebuilds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor(u64);

/// Whether this is the entry of the key. Not inlined: an insertion seldom meets an entry with its
/// fingerprint, and the comparison's code would only burden it.
#[cold]
#[inline(never)]
fn has_key<T: Entry>(entry: &T, key: &T::Key<'_>) -> bool {
    entry.is(*key)
}

impl<T: Entry> Table<T> {
    pub(crate) fn new() -> Self {
        Self::with_minimum(64)
    }

    /// A table that starts with `minimum` slots and never has fewer.
    pub(crate) fn with_minimum(minimum: usize) -> Self {
        assert!(minimum.is_power_of_two() && minimum >= 4);
        Self {
            root: AtomicPtr::new(Box::into_raw(Box::new(Array::new(minimum)))),
            minimum,
        }
    }

    #[inline]
    fn array<'g>(&self, _pinned: &'g Guard) -> &'g Array<T> {
        // ORDERING: Acquire pairs with the Release in `replace`: the array's
        // fields, its first words and the entries in them are visible.
        let array = self.root.load(Ordering::Acquire);
        // SAFETY: never null (`with_minimum` and `replace` store boxes). The thread was pinned
        // before the load, so what `replace` retires is not freed before the guard is dropped.
        unsafe { &*array }
    }

    /// The entry of a key, if there is one. `hash` is what [`Entry::hash`] returns for this key.
    #[inline(always)]
    pub(crate) fn get<'g>(&self, hash: u64, key: T::Key<'_>, guard: &'g Guard) -> Option<&'g T> {
        self.array(guard).get(
            hash,
            #[inline(always)]
            move |entry| entry.is(key),
        )
    }

    /// The entry with this hash for which `is` returns true, if there is one.
    #[inline(always)]
    pub(crate) fn find<'g>(
        &self,
        hash: u64,
        guard: &'g Guard,
        is: impl Fn(&T) -> bool,
    ) -> Option<&'g T> {
        self.array(guard).get(hash, is)
    }

    /// Prefetches the slot where the probe of this hash begins. Called before an insertion.
    #[inline]
    pub(crate) fn expect(&self, hash: u64, guard: &Guard) {
        self.array(guard).expect(hash);
    }

    /// Inserts an entry unless there is one with the same key, and returns the
    /// one that is in the table now: `Ok` the given one, `Err` the other.
    ///
    /// # Safety
    ///
    /// `entry` points to a valid entry with this key, at a multiple of
    /// [`ALIGNMENT`], that never was in a table.
    /// With `Ok`, one reference to the entry has become the table's, to be given back
    /// by [`Entry::release`]. With `Err`, all of them still are the caller's.
    pub(crate) unsafe fn insert<'g>(
        &self,
        entry: NonNull<T>,
        key: T::Key<'_>,
        guard: &'g Guard,
    ) -> Result<&'g T, &'g T> {
        // SAFETY: valid now: this function's # Safety. Once it is in the table, only `retire`
        // ends it, which `reclaim` delays until the guard is dropped.
        let new: &'g T = unsafe { entry.as_ref() };
        let hash = new.hash();
        loop {
            let array = self.array(guard);
            match array.insert(entry, hash, |other| has_key(other, &key)) {
                Inserted::Done { crowded } => {
                    if crowded {
                        self.rebuild(array, guard);
                    }
                    return Ok(new);
                }
                Inserted::Exists(other) => return Err(other),
                Inserted::Refused => self.rebuild(array, guard),
                // Another thread may put an array that reuses in place first.
                // Then the table has changed, and this thread tries again.
                Inserted::Collides => self.replace(array, false, guard),
            }
        }
    }

    /// Removes the entry of a key and shrinks the table. Returns the entry to the one caller
    /// that removed it. For tests: other code that removes a connection has its record.
    #[cfg(test)]
    pub(crate) fn remove<'g>(&self, hash: u64, key: T::Key<'_>, guard: &'g Guard) -> Option<&'g T> {
        let entry = self.get(hash, key, guard)?;
        let removed = self.remove_entry(entry, guard);
        self.shrink(guard);
        removed.then_some(entry)
    }

    /// Removes the entry of a key, if `claim` allows it. `claim` is called once, with the
    /// entry that is found. Returns `None` if there is no entry or `claim` returned false.
    /// At times gives memory back, as [`Table::shrink`] does.
    #[inline]
    pub(crate) fn remove_claimed<'g>(
        &self,
        hash: u64,
        key: T::Key<'_>,
        claim: impl FnOnce(&T) -> bool,
        guard: &'g Guard,
    ) -> Option<&'g T> {
        let array = self.array(guard);
        let found = array.find(
            hash,
            #[inline(always)]
            move |entry| entry.is(key),
        )?;
        let entry = found.entry;
        if !claim(entry) {
            return None;
        }
        match array.remove(&found, hash) {
            Removed::Done { is_turn } => {
                // SAFETY: the exchange in `Array::remove` succeeded, so this thread took it out.
                unsafe { self.retire(entry, guard) };
                if is_turn {
                    self.shrink(guard);
                }
            }
            // Another thread that met the claimed entry may already have removed it.
            Removed::Absent => {}
            Removed::Refused => {
                self.remove_entry(entry, guard);
            }
        }
        Some(entry)
    }

    /// Removes precisely this entry. Returns true to the one caller that removed it.
    pub(crate) fn remove_entry(&self, entry: &T, guard: &Guard) -> bool {
        let hash = entry.hash();
        loop {
            let array = self.array(guard);
            let Some(found) = array.find(hash, |other| ptr::eq(other, entry)) else {
                return false;
            };
            match array.remove(&found, hash) {
                Removed::Done { .. } => {
                    // SAFETY: the exchange in `Array::remove` succeeded, so this thread took it
                    // out.
                    unsafe { self.retire(found.entry, guard) };
                    return true;
                }
                Removed::Absent => return false,
                Removed::Refused => self.rebuild(array, guard),
            }
        }
    }

    /// Gives the table's reference back once no thread that may have found the entry is pinned.
    ///
    /// # Safety
    ///
    /// This thread has just taken the entry out.
    unsafe fn retire(&self, entry: &T, guard: &Guard) {
        let owned = ptr::from_ref(entry).cast_mut();
        // SAFETY: the entry came in by `insert`, and this thread alone took it out.
        // Threads that pin from now on don't find it: not in this array, and if that is
        // replaced already, the copies were made without it.
        unsafe { guard.retire(owned, T::release) };
    }

    /// Gives memory back if few entries are left. Called after removals, but not during
    /// a walk that removes what it meets. What is left then lies together in hash
    /// order, and would be one long cluster in a small array.
    pub(crate) fn shrink(&self, guard: &Guard) {
        let array = self.array(guard);
        if array.is_sparse() && array.capacity() > self.minimum {
            self.rebuild(array, guard);
        }
    }

    fn rebuild(&self, array: &Array<T>, guard: &Guard) {
        self.replace(array, true, guard);
    }

    /// Replaces an array, or makes sure that another thread has done so. With `reuse`,
    /// the new one reuses tombstones if it can.
    #[cold]
    fn replace(&self, array: &Array<T>, reuse: bool, guard: &Guard) {
        let old = ptr::from_ref(array).cast_mut();
        // ORDERING: Relaxed, a hint that saves work; nothing is read through it.
        let replaced = || self.root.load(Ordering::Relaxed) != old;
        if replaced() {
            return;
        }
        array.freeze();
        if replaced() {
            return;
        }
        let new = Box::into_raw(Box::new(array.successor(self.minimum, reuse)));
        // ORDERING: Release, partner of the Acquire in `array`: the copy is visible. Relaxed on
        // failure: the caller loads the root again.
        match self
            .root
            .compare_exchange(old, new, Ordering::Release, Ordering::Relaxed)
        {
            Ok(old) => {
                // SAFETY: it came from a box, and this thread alone took it
                // off the root, where no thread finds it from now on.
                unsafe { guard.retire(old, Array::destroy) };
                guard.flush();
            }
            // SAFETY: it came from a box and was never shared. The entries in
            // it belong to the table, not to the array.
            Err(_) => drop(unsafe { Box::from_raw(new) }),
        }
    }

    /// Calls `f` with the entries: once with each that is in the table from beginning
    /// to end, at most once with each that comes or goes meanwhile.
    #[cfg(test)]
    pub(crate) fn for_each<'g>(&self, guard: &'g Guard, f: impl FnMut(&'g T)) {
        let array = self.array(guard);
        array.visit(0..array.capacity(), f);
    }

    /// Does a part of a walk through the table: looks at about `steps` slots (at
    /// least one, and on to the next empty one). Returns the cursor for the next
    /// part, or `None` at the end. Begin with `Cursor::default()`; no guard need
    /// be held between the parts.
    ///
    /// Over the whole walk, `f` is called once with each entry that is in the table
    /// from beginning to end, and at most once with any other, however often the
    /// table is rebuilt in between. A walk takes at most as many parts as the
    /// largest array meanwhile had slots.
    pub(crate) fn walk<'g>(
        &self,
        cursor: Cursor,
        steps: usize,
        guard: &'g Guard,
        mut f: impl FnMut(&'g T),
    ) -> Option<Cursor> {
        let array = self.array(guard);
        let first = array.home(cursor.0);
        let end = first.saturating_add(steps.max(1)).min(array.capacity());
        array.visit(first..end, |entry| {
            // In an array that shrank, several hashes share a home, and the cursor may lie
            // between them.
            if entry.hash() >= cursor.0 {
                f(entry);
            }
        });
        array.first_hash(end).map(Cursor)
    }

    /// The number of entries. Exact when no thread is at work.
    pub(crate) fn len(&self) -> usize {
        self.array(&reclaim::pin()).live()
    }

    /// The number of slots.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.array(&reclaim::pin()).capacity()
    }
}

impl<T: Entry> Drop for Table<T> {
    fn drop(&mut self) {
        // ORDERING: Relaxed: `&mut self` says that each thread that worked on the table has
        // synchronised with its owner.
        let array = self.root.load(Ordering::Relaxed);
        // SAFETY: `with_minimum` or `replace` made it with a box, and replaced arrays are not the
        // root any more; `&mut self` says that it is not shared.
        let array = unsafe { Box::from_raw(array) };
        for entry in array.into_entries() {
            // SAFETY: it came in by `insert` and was not removed: otherwise its
            // slot would be a tombstone.
            unsafe { T::release(entry.as_ptr()) };
        }
    }
}
