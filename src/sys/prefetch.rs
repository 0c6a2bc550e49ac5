//! Asks the processor to fetch memory that is about to be written.
//!
//! It is a hint: only time depends on it. A caller gives it some dozens of instructions before it
//! writes.

/// Fetches the cache line of this place, to write to it.
#[inline(always)]
pub(crate) fn to_write<T>(place: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, which changes nothing and faults at
        // no address.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(place.cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}
