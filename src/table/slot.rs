//! What one slot of the table holds, as a plain value.
//!
//! Entries lie at multiples of [`ALIGNMENT`], so the low six bits of their
//! addresses are free:
//!
//! ```text
//!  63 ........................ 6 | 5 .... 1 |   0
//!  address of the entry, or zero |   tag    | FROZEN
//! ```
//!
//! | word                | address | tag              | may become          |
//! |---------------------|---------|------------------|---------------------|
//! | [`EMPTY`](Word)     | 0       | 0                | an entry, or frozen |
//! | an entry            | not 0   | 5 bits of a hash | tombstone, or frozen|
//! | [`TOMBSTONE`](Word) | 0       | 1                | frozen              |
//! | any of them, FROZEN | as it was | as it was      | nothing: final      |
//!
//! The tag is made of the lowest bits of the hash, the place in the array of
//! the highest: 31 of 32 strangers on a probe's way are told apart without a
//! look at the entry, which is a cache miss of its own.

use std::ptr::{self, NonNull};

/// Entries lie at multiples of it.
pub(crate) const ALIGNMENT: usize = 64;

const FROZEN: usize = 1;
const TAG: usize = ALIGNMENT - 1 - FROZEN;
const TOMBSTONE: usize = 0b10;

const _: () = assert!(ALIGNMENT.is_power_of_two());
const _: () = assert!(TOMBSTONE & TAG == TOMBSTONE && TAG & FROZEN == 0);

/// The value of a slot.
pub(super) struct Word<T>(*mut T);

impl<T> Clone for Word<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Word<T> {}

/// The tag of a hash, in the place where a word has it.
fn tag(hash: u64) -> usize {
    // Truncation on 32-bit targets is harmless: the low bits are wanted.
    ((hash as usize) << 1) & TAG
}

impl<T> Word<T> {
    pub(super) const EMPTY: Self = Self(ptr::null_mut());
    pub(super) const TOMBSTONE: Self = Self(ptr::without_provenance_mut(TOMBSTONE));

    /// The word of an entry that lies at a multiple of [`ALIGNMENT`].
    pub(super) fn of(entry: NonNull<T>, hash: u64) -> Self {
        assert_eq!(entry.addr().get() % ALIGNMENT, 0);
        Self(entry.as_ptr().map_addr(|address| address | tag(hash)))
    }

    pub(super) fn from_raw(raw: *mut T) -> Self {
        Self(raw)
    }

    pub(super) fn raw(self) -> *mut T {
        self.0
    }

    pub(super) fn frozen(self) -> Self {
        Self(self.0.map_addr(|address| address | FROZEN))
    }

    pub(super) fn thawed(self) -> Self {
        Self(self.0.map_addr(|address| address & !FROZEN))
    }

    pub(super) fn is_frozen(self) -> bool {
        self.0.addr() & FROZEN != 0
    }

    /// Never held anything: the end of every probe. Frozen or not.
    pub(super) fn is_empty(self) -> bool {
        self.0.addr() & !FROZEN == 0
    }

    /// The entry, if there is one. Frozen or not.
    pub(super) fn entry(self) -> Option<NonNull<T>> {
        NonNull::new(self.0.map_addr(|address| address & !(TAG | FROZEN)))
    }

    /// The entry, if there is one whose hash has the same tag.
    pub(super) fn candidate(self, hash: u64) -> Option<NonNull<T>> {
        if self.0.addr() & TAG == tag(hash) {
            self.entry()
        } else {
            None
        }
    }
}
