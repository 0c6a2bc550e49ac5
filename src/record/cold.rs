//! What belongs to changes of state alone, apart from the record.
//!
//! Three cache lines hold what calls touch; these forty bytes would make it four, half
//! of the last one being padding. So the pool keeps them elsewhere, side by side with
//! those of other connections, and the record remembers how far away.
//!
//! What few connections need, a window or several probes, is allocated when their settings ask
//! for it ([`Rare`]).

use std::ptr::NonNull;

use super::parked::Parked;
use super::{Record, rare::Rare};
use crate::inbox::Link;
use crate::pool;
use crate::publish_once::PublishOnce;
use crate::sync::{AtomicU64, Ordering};

#[repr(C)]
pub(super) struct Cold {
    /// The last opening. First, because the pool asks for an atomic there.
    pub(super) opened_at: AtomicU64,
    /// The tally while the circuit is not closed, a [`Parked`].
    pub(super) parked: AtomicU64,
    /// The first slot for a probe.
    pub(super) probe: AtomicU64,
    pub(super) rare: PublishOnce<Rare>,
    pub(super) link: Link<Record>,
}

impl Cold {
    /// Fills the cold part of a slot.
    ///
    /// # Safety
    ///
    /// It was just taken from the [pool].
    pub(super) unsafe fn fill(place: NonNull<Cold>) {
        let place = place.as_ptr();
        // SAFETY: the first word is an atomic, which the pool wants to be stored to; the
        // rest is uninitialised memory of this thread alone.
        unsafe {
            (*place).opened_at.store(0, Ordering::Relaxed);
            (&raw mut (*place).parked).write(AtomicU64::new(Parked::NEW.bits()));
            (&raw mut (*place).probe).write(AtomicU64::new(0));
            (&raw mut (*place).rare).write(PublishOnce::new());
            (&raw mut (*place).link).write(Link::new());
        }
    }
}

impl Cold {
    /// Drops what is in it, except the first word, which the pool may be reading.
    ///
    /// # Safety
    ///
    /// It was filled, through a pointer that may write it, and nobody uses it any more.
    pub(super) unsafe fn empty(place: NonNull<Cold>) {
        let place = place.as_ptr();
        // SAFETY: the fields were written by `fill`, and are not used again: the caller
        // promises both.
        unsafe {
            (&raw mut (*place).parked).drop_in_place();
            (&raw mut (*place).probe).drop_in_place();
            (&raw mut (*place).rare).drop_in_place();
            (&raw mut (*place).link).drop_in_place();
        }
    }
}

impl Record {
    #[inline]
    pub(super) fn cold(&self) -> &Cold {
        // SAFETY: `RecordRef::new` has put both parts into a slot of this distance.
        unsafe { pool::cold(self, self.away) }
    }
}
