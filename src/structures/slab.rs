//! Memory for records: slots that are used again and again.
//!
//! A record is aligned to a cache line, and is made and freed with its connection. An
//! allocator serves such requests on its slow path and spends a hundred bytes on each.
//! It takes locks when another thread frees the block, which is the common case here,
//! since any thread may free a record. So records have a slab of their own.
//!
//! # Slots
//!
//! A slot has two parts: the *hot* part, whole cache lines for what calls access, and
//! the *cold* part, some words for what only changes access. Slots are carved from
//! [`chunks`], hot parts first, cold ones behind them, so that alignment costs no
//! padding. The holder of a slot remembers the distance to its cold part.
//!
//! How large the parts are follows from the types: [`slots_for`] gives a type slots of its own.
//!
//! # How slots move
//!
//! Each thread has a [`magazine`] of free slots, at most two batches, and
//! takes and gives there with a few plain instructions. Only when it runs out of slots,
//! or has too many, a batch of 64 moves from or to the [`free_stack`] that all threads
//! share, with one compare-exchange. So a thread that only registers uses the slots that
//! another one that only unregisters gives back. A thread that ends pushes the slots of
//! its magazine onto the stack.
//!
//! # What is promised
//!
//! - The memory of a slot is never given back to the allocator. The slab keeps slots for
//!   the largest number of connections that the process ever had at once, and up to 128
//!   more for each thread that lives.
//! - No thread waits: the only lock is the allocator's own, for a new chunk.
//! - In the child of a `fork` the one thread goes on with its magazine and the stack.
//!   What other threads had in their magazines, or were moving, is leaked there: a few
//!   batches for each of them.
//!
//! Using slots again would hide a use after free from sanitizers and Miri. Under those
//! tools, and in the models, each slot comes from the allocator and goes back to it:
//! `passthrough.rs`. The build script decides.
//!
//! # What was rejected
//!
//! - *One free list for all*: its head would be contended.
//! - *Lists of each thread's own slots, to which others return them*: a remote list for
//!   each thread, to be found from the slot, and to be inherited when the thread ends.
//! - *Giving empty chunks back*: one record that stays keeps its chunk, and after a
//!   churn every chunk has one. Each slot would have to be counted on a shared line.

use std::ptr::{self, NonNull};

#[cfg(not(brama_direct))]
mod chunks;
#[cfg(any(all(test, loom), not(brama_direct)))]
pub(crate) mod free_stack;
#[cfg(not(brama_direct))]
mod magazine;
#[cfg(brama_direct)]
mod passthrough;
#[cfg(all(test, not(brama_direct)))]
mod tests;

#[cfg(not(brama_direct))]
use magazine as source;
#[cfg(brama_direct)]
use passthrough as source;

#[cfg(not(brama_direct))]
pub(crate) use magazine::{Depot, Magazine, close_magazine};
pub(crate) use source::{Resident, slots_for};

/// The alignment of hot parts.
pub(crate) const ALIGNMENT: usize = 64;
/// The unit in bytes of the distance from a hot part to its cold part.
const WORD: usize = 8;

/// A slot that was taken and is not yet filled.
pub(crate) struct Slot<Hot> {
    hot: NonNull<Hot>,
    away: u16,
}

impl<Hot: Resident> Slot<Hot> {
    /// The hot part: uninitialised memory.
    pub(crate) fn hot(&self) -> NonNull<Hot> {
        self.hot
    }

    /// The cold part: uninitialised memory, except its first word, see [`take`].
    pub(crate) fn cold(&self) -> NonNull<Hot::Cold> {
        // SAFETY: `source::take` returned both numbers of one slot: the cold part lies so many
        // words behind the hot one, in the same allocation.
        unsafe { self.hot.byte_add(WORD * usize::from(self.away)).cast() }
    }

    /// The distance to the cold part in words. The caller keeps it, for [`cold`] and [`give`].
    pub(crate) fn away(&self) -> u16 {
        self.away
    }
}

/// Takes a slot for a `Hot` and its cold part.
///
/// The first word of the cold part stays an `AtomicU64` for ever: a thread that has lost
/// a race for this slot may still read it. So the caller sets it with an atomic store,
/// and never overwrites it by other means.
#[inline]
pub(crate) fn take<Hot: Resident>() -> Slot<Hot> {
    let (hot, away) = source::take::<Hot>();
    Slot { hot, away }
}

/// Prefetches the cache lines of the slot that [`take`] would return next, to be written.
#[inline(always)]
pub(crate) fn expect_take<Hot: Resident>() {
    source::expect_take::<Hot>();
}

/// Gives a slot back.
///
/// # Safety
///
/// The slot came from [`take`] with this distance, and was filled by means of
/// [`Slot::hot`]'s pointer; its contents have been dropped, and are not used any
/// more.
#[inline]
pub(crate) unsafe fn give<Hot: Resident>(hot: NonNull<Hot>, away: u16) {
    // SAFETY: this function's # Safety says of the slot what `source::give` asks in the same
    // words.
    unsafe { source::give::<Hot>(hot, away) }
}

/// The cold part that belongs to a hot one.
///
/// # Safety
///
/// `hot` lies in a slot of [`take`] with this distance, whose cold part is filled.
#[inline]
pub(crate) unsafe fn cold<Hot: Resident>(hot: &Hot, away: u16) -> &Hot::Cold {
    let address = ptr::from_ref(hot).addr() + WORD * usize::from(away);
    // SAFETY: this function's # Safety: the slot's cold part is so far away, and filled.
    // Its memory was exposed where it was allocated (`Chunks::chunk`, `passthrough::take`).
    unsafe { &*ptr::with_exposed_provenance(address) }
}
