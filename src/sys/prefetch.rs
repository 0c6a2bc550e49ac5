//! Asks the processor to fetch memory that is about to be written.
//!
//! A hint: nothing depends on it but time. A thread gives it where it knows a place some dozens of
//! instructions before it goes there.

/// The line of this place.
#[inline(always)]
pub(crate) fn to_write<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: every such processor has the instruction, which changes nothing and faults at
        // no address.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(place.cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}
