//! Where slots come from, and which number lies at which address.
//!
//! A chunk is one allocation, never given back:
//!
//! ```text
//!  hot 0 | hot 1 | … | hot 127 | cold 0 | cold 1 | … | cold 127 | number of the chunk
//! ```
//!
//! Slots are numbered through, chunk after chunk. Numbers are handed out a batch at a
//! time. A thread that gets one in a chunk that is not there yet makes the chunk, and of
//! several threads the first one wins. The addresses of chunks stand in rows of doubling
//! length, which never move.

use std::alloc::{self, Layout};
use std::ptr::{self, NonNull};

use super::free_stack::Words;
use super::magazine::{BATCH, Batch, Free};
use super::{ALIGNMENT, WORD};
use crate::sys::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// The size of a hot part, and the distance between two.
pub(super) const HOT: usize = 192;
/// The same of a cold part.
pub(super) const COLD: usize = 40;

/// Slots in a chunk.
const SLOTS: usize = 128;
/// Where the cold parts begin in a chunk, and where its number stands.
const FIRST_COLD: usize = SLOTS * HOT;
const NUMBER: usize = FIRST_COLD + SLOTS * COLD;

const LAYOUT: Layout = match Layout::from_size_align(NUMBER + size_of::<u32>(), ALIGNMENT) {
    Ok(layout) => layout,
    Err(_) => panic!("a power of two"),
};

/// Chunks in the first row, each further one has twice as many as the one before.
const FIRST_ROW: usize = 32;
const ROWS: usize = 21;
/// How many slots there can be; no number is [`u32::MAX`].
const LIMIT: u32 = u32::MAX - SLOTS as u32 + 1;

const _: () = {
    assert!(HOT.is_multiple_of(ALIGNMENT) && COLD.is_multiple_of(WORD));
    assert!(SLOTS.is_multiple_of(BATCH as usize));
    assert!(FIRST_COLD / WORD <= u16::MAX as usize);
    assert!((FIRST_ROW << ROWS) - FIRST_ROW >= LIMIT as usize / SLOTS);
};

type Row = AtomicPtr<AtomicPtr<u8>>;

pub(super) struct Chunks {
    /// The first number that was not handed out.
    fresh: AtomicU32,
    rows: [Row; ROWS],
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Chunks {
            fresh: AtomicU32::new(0),
            rows: [const { AtomicPtr::new(ptr::null_mut()) }; ROWS],
        }
    }

    /// A batch of slots that were never used. Allocates, unless the chunk is there.
    pub(super) fn fresh_batch(&self) -> Batch {
        let Some(first) = self.fresh_numbers() else {
            // There is a terabyte of them.
            alloc::handle_alloc_error(LAYOUT);
        };
        let (chunk, place) = (first as usize / SLOTS, first as usize % SLOTS);
        let chunk = self.chunk(chunk);
        let mut next = ptr::null_mut();
        for place in (place..place + BATCH as usize).rev() {
            // SAFETY: both parts lie in the chunk, since `place` is below SLOTS. Its numbers
            // are this call's alone: `fresh_numbers` handed them out.
            let hot = unsafe { chunk.add(place * HOT) }.cast::<Free>();
            // SAFETY: the cold part of the same place, which is below SLOTS too, and both are
            // uninitialised memory of slots that `fresh_numbers` gave to this call alone.
            unsafe {
                chunk
                    .add(FIRST_COLD + place * COLD)
                    .cast::<AtomicU64>()
                    .write(AtomicU64::new(0));
                hot.write(Free::new(next, distance(place)));
            }
            next = hot;
        }
        let first = NonNull::new(next).expect("a batch is not empty");
        Batch { first, len: BATCH }
    }

    /// The first of a batch of numbers, unless they are used up.
    pub(super) fn fresh_numbers(&self) -> Option<u32> {
        let next = |fresh| (fresh < LIMIT).then(|| fresh + BATCH);
        // Relaxed: the numbers are all there is to it.
        self.fresh
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .ok()
    }

    /// The number of the slot with this hot part.
    ///
    /// # Safety
    ///
    /// It is one of these slots, with this distance.
    pub(super) unsafe fn number(&self, hot: NonNull<Free>, away: u16) -> u32 {
        let place = place(away);
        // SAFETY: the chunk begins so far before the slot, and its number stands at its
        // end, written before anybody had a slot of it.
        let chunk = unsafe {
            hot.byte_sub(place * HOT)
                .byte_add(NUMBER)
                .cast::<u32>()
                .read()
        };
        chunk * SLOTS as u32 + place as u32
    }

    /// The hot part of a slot, by its number, which was handed out.
    pub(super) fn hot(&self, number: u32) -> NonNull<Free> {
        let chunk = self.chunk(number as usize / SLOTS);
        // SAFETY: the number was handed out by `fresh_numbers`, so its chunk exists, and the
        // place in it is below SLOTS: inside of the chunk.
        let hot = unsafe { chunk.add(number as usize % SLOTS * HOT) };
        NonNull::new(hot.cast()).expect("an address inside of a chunk")
    }

    /// The address of a chunk, which is made if it is not there yet.
    fn chunk(&self, number: usize) -> *mut u8 {
        let row = (number + FIRST_ROW).ilog2() - FIRST_ROW.ilog2();
        let len = FIRST_ROW << row;
        let places = found_or_made(
            &self.rows[row as usize],
            || {
                let row: Box<[AtomicPtr<u8>]> =
                    (0..len).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
                Box::into_raw(row).cast()
            },
            |row| {
                // SAFETY: just made of a box of this length, and never shared.
                drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(row, len)) });
            },
        );
        // SAFETY: row n has `FIRST_ROW << n` places, which is `len`, and covers the numbers from
        // `len - FIRST_ROW` on, so `number + FIRST_ROW - len` is below `len`.
        let place = unsafe { &*places.add(number + FIRST_ROW - len) };
        found_or_made(
            place,
            || make_chunk(number as u32),
            |chunk| {
                // SAFETY: just allocated with this layout, and never shared.
                unsafe { alloc::dealloc(chunk, LAYOUT) };
            },
        )
    }
}

impl Words for Chunks {
    fn word(&self, number: u32) -> &AtomicU64 {
        let chunk = self.chunk(number as usize / SLOTS);
        let cold = FIRST_COLD + number as usize % SLOTS * COLD;
        // SAFETY: the number was handed out by `fresh_numbers`, and the place is below SLOTS:
        // inside of the chunk, which is never freed. `fresh_batch` wrote an `AtomicU64` there.
        unsafe { &*chunk.add(cold).cast() }
    }
}

/// How many words the cold part of the slot at this place is away from the hot one.
fn distance(place: usize) -> u16 {
    ((FIRST_COLD + place * COLD - place * HOT) / WORD) as u16
}

/// The inverse of [`distance`].
fn place(distance: u16) -> usize {
    (FIRST_COLD - WORD * usize::from(distance)) / (HOT - COLD)
}

/// What `pointer` points to; if it is null, what `make` makes, or another thread has
/// made at the same time.
fn found_or_made<T>(
    pointer: &AtomicPtr<T>,
    make: impl FnOnce() -> *mut T,
    unmake: impl FnOnce(*mut T),
) -> *mut T {
    // ORDERING: Acquire, partner of the Release by which another thread stored its own, below:
    // what the pointer points to is written.
    let found = pointer.load(Ordering::Acquire);
    if !found.is_null() {
        return found;
    }
    let made = make();
    // A race, not a lock: that could be held across a fork.
    match pointer.compare_exchange(ptr::null_mut(), made, Ordering::Release, Ordering::Acquire) {
        Ok(_) => made,
        Err(found) => {
            unmake(made);
            found
        }
    }
}

#[cold]
fn make_chunk(number: u32) -> *mut u8 {
    // SAFETY: the layout is not empty.
    let chunk = unsafe { alloc::alloc(LAYOUT) };
    if chunk.is_null() {
        alloc::handle_alloc_error(LAYOUT);
    }
    // Exposed, because who has a hot part makes a pointer to the cold one.
    chunk.expose_provenance();
    // SAFETY: LAYOUT has room for a `u32` at NUMBER, and NUMBER is a multiple of its alignment.
    unsafe { chunk.add(NUMBER).cast::<u32>().write(number) };
    chunk
}

#[cfg(test)]
impl Chunks {
    /// How many numbers were handed out.
    pub(super) fn numbers(&self) -> u32 {
        self.fresh.load(Ordering::Relaxed)
    }

    /// As if all but so many numbers were handed out.
    pub(super) fn nearly_used_up(left: u32) -> Self {
        let chunks = Chunks::new();
        chunks.fresh.store(LIMIT - left, Ordering::Relaxed);
        chunks
    }
}
