//! Slots that come straight from the allocator and go straight back, so that sanitizers
//! and Miri find uses of freed memory.

use std::alloc::{self, Layout};
use std::mem::{MaybeUninit, offset_of};
use std::ptr::NonNull;

use super::WORD;
use crate::sys::atomic::AtomicU64;

/// A type that lives in slots. Implemented by [`slots_for`].
pub(crate) trait Resident: Sized {
    /// What lies in the cold part of its slots.
    type Cold;
}

/// Gives a type slots with a hot part for itself and a cold part for the other type.
macro_rules! slots_for {
    ($hot:ty, $cold:ty) => {
        impl $crate::structures::slab::Resident for $hot {
            type Cold = $cold;
        }
    };
}

pub(crate) use slots_for;

/// A slot that is one allocation. Aligned to [`super::ALIGNMENT`].
#[repr(C, align(64))]
struct Whole<Hot, Cold> {
    hot: MaybeUninit<Hot>,
    cold: MaybeUninit<Cold>,
}

pub(super) fn expect_take<Hot: Resident>() {}

pub(super) fn take<Hot: Resident>() -> (NonNull<Hot>, u16) {
    const { assert!(align_of::<Whole<Hot, Hot::Cold>>() == super::ALIGNMENT) };
    let layout = Layout::new::<Whole<Hot, Hot::Cold>>();
    // SAFETY: the layout is not empty.
    let place = unsafe { alloc::alloc(layout) };
    let Some(place) = NonNull::new(place) else {
        alloc::handle_alloc_error(layout);
    };
    place.as_ptr().expose_provenance();
    let away = const { offset_of!(Whole<Hot, Hot::Cold>, cold) };
    // SAFETY: the layout is that of `Whole`, in which `cold` lies at this offset; its first word
    // is an `AtomicU64`, as the slab demands.
    unsafe { place.add(away).cast().write(AtomicU64::new(0)) };
    (place.cast(), (away / WORD) as u16)
}

/// # Safety
///
/// What [`super::give`] asks.
pub(super) unsafe fn give<Hot: Resident>(hot: NonNull<Hot>, _away: u16) {
    // SAFETY: `take` allocated it with this layout; `super::give`'s # Safety says that it is
    // given back with the types that it was taken with, once.
    unsafe { alloc::dealloc(hot.as_ptr().cast(), Layout::new::<Whole<Hot, Hot::Cold>>()) };
}
