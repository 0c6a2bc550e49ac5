//! The fields that only changes of state need, apart from the record.
//!
//! Three cache lines hold what calls touch; these forty bytes would make it four, half of the last
//! one being padding. So the slab keeps them elsewhere, side by side with those of other
//! connections, and the record remembers the distance.
//!
//! What few connections need, a window or several probes, is allocated when their settings ask
//! for it ([`Rare`]).

use std::ptr::NonNull;

use super::parked::Parked;
use super::{Record, rare::Rare};
use crate::structures::intrusive_stack::Link;
use crate::structures::slab;
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::clock::LAST_MOMENT;
use crate::sys::publish_once::PublishOnce;

#[repr(C)]
pub(crate) struct ColdFields {
    /// When the circuit was opened (40 bits, monotonic ms plus one), unless that is the last
    /// change of state; above that, low bits of the time of the last event
    /// ([`delivered`](super::delivered)). First, because the slab asks for an atomic there.
    times: AtomicU64,
    /// The tally while the circuit is not closed, a [`Parked`].
    pub(super) parked: AtomicU64,
    /// The first slot for a probe.
    pub(super) probe: AtomicU64,
    pub(super) rare: PublishOnce<Rare>,
    pub(super) link: Link<Record>,
}

impl ColdFields {
    /// Fills the cold part of a slot.
    ///
    /// # Safety
    ///
    /// `place` is the cold part of a slot that was just taken from the [slab].
    pub(super) unsafe fn fill(place: NonNull<ColdFields>) {
        let place = place.as_ptr();
        // SAFETY: the first word is an atomic, which the slab wants to be stored to; the
        // rest is uninitialised memory of this thread alone.
        unsafe {
            (*place).times.store(0, Ordering::Relaxed);
            (&raw mut (*place).parked).write(AtomicU64::new(Parked::NEW.bits()));
            (&raw mut (*place).probe).write(AtomicU64::new(0));
            (&raw mut (*place).rare).write(PublishOnce::new());
            (&raw mut (*place).link).write(Link::new());
        }
    }
}

impl ColdFields {
    /// Drops what is in it, except the first word, which the slab may be reading.
    ///
    /// # Safety
    ///
    /// [`ColdFields::fill`] has filled `place`, which may be written, and it is not used any more.
    pub(super) unsafe fn empty(place: NonNull<ColdFields>) {
        let place = place.as_ptr();
        // SAFETY: this function's # Safety: `fill` wrote the fields, and they are not used any
        // more.
        unsafe {
            (&raw mut (*place).parked).drop_in_place();
            (&raw mut (*place).probe).drop_in_place();
            (&raw mut (*place).rare).drop_in_place();
            (&raw mut (*place).link).drop_in_place();
        }
    }
}

const OPENED_BITS: u32 = 40;
const OPENED: u64 = (1 << OPENED_BITS) - 1;

const _: () = assert!(LAST_MOMENT < OPENED, "a moment plus one fits");

impl ColdFields {
    /// The last opening that was kept, or 0.
    pub(super) fn opened(&self) -> u64 {
        // Relaxed, here and below: a thread that needs one of the openings has seen a stamp before,
        // see `last_stamp`.
        self.times.load(Ordering::Relaxed) & OPENED
    }

    /// Keeps an opening, unless a later one is kept. Returns the one that is kept.
    pub(super) fn keep_opening(&self, time: u64) -> u64 {
        let keep = |bits: u64| (bits & OPENED < time).then_some(bits & !OPENED | time);
        match self
            .times
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, keep)
        {
            Ok(_) => time,
            Err(bits) => bits & OPENED,
        }
    }

    /// The 24 bits that the dispatcher keeps here.
    pub(super) fn event_time(&self) -> u64 {
        self.times.load(Ordering::Relaxed) >> OPENED_BITS
    }

    /// Sets them to the low bits of `time`. For the dispatcher.
    pub(super) fn set_event_time(&self, time: u64) {
        let set = |bits: u64| Some(bits & OPENED | time << OPENED_BITS);
        let _ = self
            .times
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, set);
    }

    pub(super) const EVENT_TIME_BITS: u32 = u64::BITS - OPENED_BITS;
}

impl Record {
    #[inline]
    pub(super) fn cold(&self) -> &ColdFields {
        // SAFETY: `RecordRef::new` has put both parts into a slot of this distance.
        unsafe { slab::cold(self, self.away) }
    }
}
