//! What one slot of the table holds, as a plain value.
//!
//! Entries lie at multiples of [`ALIGNMENT`], so the low six bits of their
//! addresses are free. So are the high sixteen where a program gets no address above 2⁴⁷
//! that it does not ask for ([`HIGH_TAG`]). A tombstone needs no address, so it keeps
//! the hash of what it buried, except the two lowest bits:
//!
//! ```text
//!                 63 ... 48 | 47 ........... 6 | 5 ... 2 |  1   |   0
//!  an entry          tag    |     address      |   tag   |  0   | FROZEN
//!  a tombstone       bits of the hash, in their places   | DEAD | FROZEN
//! ```
//!
//! | word                 | address or hash | DEAD      | may become               |
//! |----------------------|-----------------|-----------|--------------------------|
//! | [`EMPTY`](SlotValue)      | 0               | 0         | an entry, or frozen      |
//! | an entry             | address, tag    | 0         | its tombstone, or frozen |
//! | a tombstone          | hash            | 1         | an entry of kin, or frozen |
//! | any of them, FROZEN  | as it was       | as it was | nothing: final           |
//!
//! Hashes that differ at most in what a tombstone leaves out are *kin*. Those of
//! two keys are with a probability of 2⁻⁶²; where addresses have 32 bits, so
//! has what is kept of a hash, and it is 2⁻³⁰.
//!
//! The tag is bits 20 to 23 of the hash, and in the high bits those from 2 to 17, which
//! is one rotation; the place in the array comes of the highest. So a probe
//! rejects all but one of a million strangers on its way (15 of 16 where the high bits are
//! the address's) without a look at the entry, which is a cache miss of its own. Kin have
//! the same tag.

use std::ptr::{self, NonNull};

/// Entries lie at multiples of it.
pub(crate) const ALIGNMENT: usize = 64;

const FROZEN: usize = 0b01;
const DEAD: usize = 0b10;
const LOW_TAG: usize = ALIGNMENT - 1 - DEAD - FROZEN;
/// The part of the tag where no address has anything. None in builds for tools that look
/// for leaks, and take an address with a tag for none.
pub(super) const HIGH_TAG: usize = if cfg!(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    any(
        target_os = "linux",
        target_os = "macos",
        target_os = "windows"
    ),
    not(brama_direct)
)) {
    !(usize::MAX >> 16)
} else {
    0
};
const TAG: usize = LOW_TAG | HIGH_TAG;
/// Turns the hash so that none of the bits that a tombstone leaves out is in the tag.
const TURN: u32 = 18;

const _: () = assert!(ALIGNMENT.is_power_of_two() && ALIGNMENT > DEAD + FROZEN);

/// The value of a slot.
pub(super) struct SlotValue<T>(*mut T);

impl<T> Clone for SlotValue<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SlotValue<T> {}

/// What a tombstone keeps of a hash.
fn kept(hash: u64) -> usize {
    // Truncation on 32-bit targets: the low bits are wanted, which have the tag.
    hash as usize & !(DEAD | FROZEN)
}

/// What the word of an entry keeps of its hash.
fn tag(hash: u64) -> usize {
    hash.rotate_right(TURN) as usize & TAG
}

/// Whether a tombstone cannot tell one hash from the other.
pub(super) fn kin(one: u64, other: u64) -> bool {
    kept(one) == kept(other)
}

impl<T> SlotValue<T> {
    pub(super) const EMPTY: Self = Self(ptr::null_mut());

    /// The word of an entry that lies at a multiple of [`ALIGNMENT`].
    pub(super) fn of(entry: NonNull<T>, hash: u64) -> Self {
        assert_eq!(entry.addr().get() & (TAG | DEAD | FROZEN), 0);
        Self(entry.as_ptr().map_addr(|address| address | tag(hash)))
    }

    /// What an entry with this hash leaves behind.
    pub(super) fn tombstone(hash: u64) -> Self {
        Self(ptr::without_provenance_mut(kept(hash) | DEAD))
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

    /// A tombstone of this hash or of its kin. Frozen or not.
    pub(super) fn is_tombstone_of(self, hash: u64) -> bool {
        self.0.addr() & DEAD != 0 && kept(self.0.addr() as u64) == kept(hash)
    }

    /// The entry, if there is one. Frozen or not.
    pub(super) fn entry(self) -> Option<NonNull<T>> {
        if self.0.addr() & DEAD != 0 {
            return None;
        }
        self.address()
    }

    /// Of what is no tombstone.
    pub(super) fn address(self) -> Option<NonNull<T>> {
        NonNull::new(self.0.map_addr(|address| address & !(TAG | FROZEN)))
    }

    /// Whether there is an entry whose hash has the same tag; or nothing, which has the
    /// tag of some. Frozen or not.
    pub(super) fn has_tag(self, hash: u64) -> bool {
        self.0.addr() & (TAG | DEAD) == tag(hash)
    }

    /// The entry, if there is one whose hash has the same tag. Frozen or not.
    pub(super) fn candidate(self, hash: u64) -> Option<NonNull<T>> {
        self.entry().filter(|_| self.has_tag(hash))
    }
}
