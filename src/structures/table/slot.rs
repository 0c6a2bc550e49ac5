//! What one slot of the table holds, as a plain value.
//!
//! Entries lie at multiples of [`ALIGNMENT`], so the low six bits of their
//! addresses are free. So are the high sixteen on systems where a program gets an address
//! above 2⁴⁷ only if it asks for one ([`HIGH_TAG`]). These bits hold a *fingerprint*, a fingerprint of
//! the entry's hash. A tombstone needs no address, so it keeps the hash of the removed entry,
//! except the two lowest bits:
//!
//! ```text
//!                 63 ... 48 | 47 ........... 6 | 5 ... 2 |  1   |   0
//!  an entry          fingerprint    |     address      |   fingerprint   |  0   | FROZEN
//!  a tombstone       bits of the hash, in their places   | DEAD | FROZEN
//! ```
//!
//! | word                 | address or hash | DEAD      | may become               |
//! |----------------------|-----------------|-----------|--------------------------|
//! | [`EMPTY`](SlotValue)      | 0               | 0         | an entry, or frozen      |
//! | an entry             | address, fingerprint    | 0         | its tombstone, or frozen |
//! | a tombstone          | hash            | 1         | an entry of kin, or frozen |
//! | any of them, FROZEN  | as it was       | as it was | nothing: final           |
//!
//! Hashes that differ at most in what a tombstone leaves out are *kin*. The hashes of two
//! keys are kin with a probability of 2⁻⁶². Where addresses have 32 bits, a tombstone keeps
//! 30 bits of a hash, and the probability is 2⁻³⁰.
//!
//! The low fingerprint is bits 20 to 23 of the hash, the high fingerprint is bits 2 to 17; one rotation
//! places both. The home slot comes from the highest bits. So a probe rejects all but one in
//! 2²⁰ non-matching entries (in 2⁴ where the high bits belong to the address) without
//! reading the entry, which would be a cache miss of its own. Kin have the same fingerprint.

use std::ptr::{self, NonNull};

/// The addresses of entries are multiples of it.
pub(crate) const ALIGNMENT: usize = 64;

const FROZEN: usize = 0b01;
const DEAD: usize = 0b10;
const LOW_TAG: usize = ALIGNMENT - 1 - DEAD - FROZEN;
/// The part of the fingerprint in the high bits, which no address uses. Empty in builds for leak
/// checkers, which do not recognise an address with a high fingerprint.
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
const FINGERPRINT: usize = LOW_TAG | HIGH_TAG;
/// Rotates the hash so that none of the bits that a tombstone leaves out is in the fingerprint.
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

/// The bits of a hash that a tombstone keeps.
fn kept(hash: u64) -> usize {
    // Truncated on 32-bit targets to the low bits, which contain the fingerprint.
    hash as usize & !(DEAD | FROZEN)
}

/// The fingerprint of a hash, in its place in the word of an entry.
fn fingerprint(hash: u64) -> usize {
    hash.rotate_right(TURN) as usize & FINGERPRINT
}

/// Whether a tombstone cannot tell one hash from the other.
pub(super) fn kin(one: u64, other: u64) -> bool {
    kept(one) == kept(other)
}

impl<T> SlotValue<T> {
    pub(super) const EMPTY: Self = Self(ptr::null_mut());

    /// The word of an entry that lies at a multiple of [`ALIGNMENT`].
    pub(super) fn of(entry: NonNull<T>, hash: u64) -> Self {
        assert_eq!(entry.addr().get() & (FINGERPRINT | DEAD | FROZEN), 0);
        Self(
            entry
                .as_ptr()
                .map_addr(|address| address | fingerprint(hash)),
        )
    }

    /// The tombstone of an entry with this hash.
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

    /// Whether the slot never held anything, which ends every probe. Frozen or not.
    pub(super) fn is_empty(self) -> bool {
        self.0.addr() & !FROZEN == 0
    }

    /// Whether this is a tombstone of this hash or of its kin. Frozen or not.
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

    /// The address of the entry, if there is one. Not for a tombstone.
    pub(super) fn address(self) -> Option<NonNull<T>> {
        NonNull::new(self.0.map_addr(|address| address & !(FINGERPRINT | FROZEN)))
    }

    /// Whether there is an entry whose hash has the same fingerprint. Also true of an empty slot if
    /// the fingerprint of `hash` is zero. Frozen or not.
    pub(super) fn has_fingerprint(self, hash: u64) -> bool {
        self.0.addr() & (FINGERPRINT | DEAD) == fingerprint(hash)
    }

    /// The entry, if there is one whose hash has the same fingerprint. Frozen or not.
    pub(super) fn candidate(self, hash: u64) -> Option<NonNull<T>> {
        self.entry().filter(|_| self.has_fingerprint(hash))
    }
}
