//! Chunks of memory, from which slots are carved, and the numbers of slots.
//!
//! A chunk is one allocation, never given back:
//!
//! ```text
//!  hot 0 | hot 1 | … | hot 127 | cold 0 | cold 1 | … | cold 127 | number of the chunk
//! ```
//!
//! Slots are numbered from 0, chunk after chunk. Numbers are handed out a batch at a
//! time. A thread that gets a batch in a chunk that does not exist yet makes the chunk. Of
//! several threads the first one wins. The addresses of chunks lie in rows of doubling
//! length, which never move.

use std::alloc::{self, Layout};
use std::cell::UnsafeCell;
use std::mem::{MaybeUninit, offset_of};
use std::ptr::{self, NonNull};

use super::free_stack::Links;
use super::magazine::{BATCH, Batch, Free};
use super::{ALIGNMENT, WORD};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::publish_once::PublishOnce;

/// Slots in a chunk.
const SLOTS: usize = 128;

/// Chunks in the first row, each further one has twice as many as the one before.
const FIRST_ROW: usize = 32;
const ROWS: usize = 21;
/// How many slots there can be; no number is [`u32::MAX`].
const LIMIT: u32 = u32::MAX - SLOTS as u32 + 1;

const _: () = {
    assert!(SLOTS.is_multiple_of(BATCH as usize));
    assert!((FIRST_ROW << ROWS) - FIRST_ROW >= LIMIT as usize / SLOTS);
};

/// A chunk. Its slots belong to their holders; the chunk only returns their addresses.
#[repr(C, align(64))]
struct Chunk<Hot, Cold> {
    hot: [HotPart<Hot>; SLOTS],
    cold: [ColdPart<Cold>; SLOTS],
    number: u32,
}

#[repr(C, align(64))]
struct HotPart<Hot>(UnsafeCell<MaybeUninit<Hot>>);

#[repr(C, align(8))]
struct ColdPart<Cold>(UnsafeCell<MaybeUninit<Cold>>);

// SAFETY: through a shared chunk, threads read `number`, which does not change, and take the
// addresses of slots. The memory of a slot is accessed by its holder alone (`fresh_numbers`,
// `Stack::pop`); its first cold word, which others may read, is atomic.
unsafe impl<Hot, Cold> Sync for Chunk<Hot, Cold> {}
// SAFETY: a chunk is memory, and owns no value of the types that may lie in it: they are never
// dropped here.
unsafe impl<Hot, Cold> Send for Chunk<Hot, Cold> {}

impl<Hot, Cold> Chunk<Hot, Cold> {
    const HOT: usize = size_of::<HotPart<Hot>>();
    const COLD: usize = size_of::<ColdPart<Cold>>();
    const FIRST_COLD: usize = offset_of!(Self, cold);

    /// What the arithmetic of this file and of the [slab](super) relies on.
    const FITS: () = {
        assert!(align_of::<HotPart<Hot>>() == ALIGNMENT && align_of::<ColdPart<Cold>>() == WORD);
        assert!(Self::HOT >= size_of::<Free>() && ALIGNMENT >= align_of::<Free>());
        assert!(Self::COLD >= size_of::<AtomicU64>() && WORD >= align_of::<AtomicU64>());
        assert!(Self::COLD < Self::HOT && Self::FIRST_COLD / WORD <= u16::MAX as usize);
    };

    /// The distance in words from the hot part of the slot at this place to its cold part.
    fn distance(place: usize) -> u16 {
        ((Self::FIRST_COLD + place * Self::COLD - place * Self::HOT) / WORD) as u16
    }

    /// The inverse of [`Chunk::distance`].
    fn place(distance: u16) -> usize {
        (Self::FIRST_COLD - WORD * usize::from(distance)) / (Self::HOT - Self::COLD)
    }

    #[cold]
    fn make(number: u32) -> Box<Self> {
        let mut chunk = Box::<Self>::new_uninit();
        // SAFETY: the field of a chunk that this call owns.
        unsafe { (&raw mut (*chunk.as_mut_ptr()).number).write(number) };
        // SAFETY: `number` is written, and the slots are `MaybeUninit`.
        unsafe { chunk.assume_init() }
    }

    /// The hot part at this place, as a pointer with the provenance of the whole chunk.
    fn hot(&self, place: usize) -> NonNull<Free> {
        assert!(place < SLOTS);
        let start = NonNull::from(self).cast::<HotPart<Hot>>();
        // SAFETY: `hot` is the first field of the chunk, an array of SLOTS such parts.
        unsafe { start.add(place) }.cast()
    }

    /// The first word of the cold part at this place.
    fn word(&self, place: usize) -> *mut AtomicU64 {
        self.cold[place].0.get().cast()
    }
}

/// A row of chunks.
type Row<Hot, Cold> = Box<[PublishOnce<Chunk<Hot, Cold>>]>;

pub(super) struct Chunks<Hot, Cold> {
    /// The first number that was not handed out.
    fresh: AtomicU32,
    rows: [PublishOnce<Row<Hot, Cold>>; ROWS],
}

impl<Hot, Cold> Chunks<Hot, Cold> {
    pub(super) const fn new() -> Self {
        const { Chunk::<Hot, Cold>::FITS };
        Chunks {
            fresh: AtomicU32::new(0),
            rows: [const { PublishOnce::new() }; ROWS],
        }
    }

    /// A batch of slots that were never used. Allocates, unless their chunk exists.
    pub(super) fn fresh_batch(&self) -> Batch {
        let Some(first) = self.fresh_numbers() else {
            // Slots would fill about a terabyte by then.
            alloc::handle_alloc_error(Layout::new::<Chunk<Hot, Cold>>());
        };
        let (chunk, place) = (first as usize / SLOTS, first as usize % SLOTS);
        let chunk = self.chunk(chunk);
        let mut next = ptr::null_mut();
        for place in (place..place + BATCH as usize).rev() {
            let hot = chunk.hot(place).as_ptr();
            // SAFETY: both parts of a slot of the chunk, which `Chunk::FITS` found large enough
            // for these. The slot is this call's alone: `fresh_numbers` handed it out.
            unsafe {
                chunk.word(place).write(AtomicU64::new(0));
                hot.write(Free::new(next, Chunk::<Hot, Cold>::distance(place)));
            }
            next = hot;
        }
        let first = NonNull::new(next).expect("a batch is not empty");
        Batch { first, len: BATCH }
    }

    /// The first number of a fresh batch. `None` if the numbers are used up.
    pub(super) fn fresh_numbers(&self) -> Option<u32> {
        let next = |fresh| (fresh < LIMIT).then(|| fresh + BATCH);
        // Relaxed: publishes nothing but the numbers.
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
        let place = Chunk::<Hot, Cold>::place(away);
        // SAFETY: this function's # Safety: the distance is that of this place, so `hot` is the
        // chunk's hot part with this index, and the chunk begins so many parts before it.
        // `Chunk::hot` made the pointer for the whole chunk, which is never freed.
        let chunk = unsafe {
            let first = hot.cast::<HotPart<Hot>>().sub(place);
            first.cast::<Chunk<Hot, Cold>>().as_ref()
        };
        chunk.number * SLOTS as u32 + place as u32
    }

    /// The hot part of a slot, by its number, which was handed out.
    pub(super) fn hot(&self, number: u32) -> NonNull<Free> {
        self.chunk(number as usize / SLOTS)
            .hot(number as usize % SLOTS)
    }

    /// The chunk with this number, which is made if it does not exist yet.
    fn chunk(&self, number: usize) -> &Chunk<Hot, Cold> {
        let row = (number + FIRST_ROW).ilog2() - FIRST_ROW.ilog2();
        let len = FIRST_ROW << row;
        // A race and not a lock, which could be held across a fork.
        let row =
            self.rows[row as usize].get_or_make(|| (0..len).map(|_| PublishOnce::new()).collect());
        let place = &row[number + FIRST_ROW - len];
        place.get().unwrap_or_else(|| {
            let made = place.publish(Chunk::make(number as u32));
            let chunk = made.unwrap_or_else(|(theirs, _)| theirs);
            // `slab::cold` makes a pointer to the cold part from the address of the hot one.
            ptr::from_ref(chunk).expose_provenance();
            chunk
        })
    }
}

impl<Hot, Cold> Links for Chunks<Hot, Cold> {
    fn link(&self, number: u32) -> &AtomicU64 {
        let chunk = self.chunk(number as usize / SLOTS);
        // SAFETY: the number is of a slot that was pushed (`Links::word`), so `fresh_batch` wrote
        // an `AtomicU64` there before; that word stays one (`super::take`), and the chunk lives
        // as long as `self`.
        unsafe { &*chunk.word(number as usize % SLOTS) }
    }
}

#[cfg(test)]
impl<Hot, Cold> Chunks<Hot, Cold> {
    /// How many numbers were handed out.
    pub(super) fn numbers(&self) -> u32 {
        self.fresh.load(Ordering::Relaxed)
    }

    /// Chunks of which all but `left` numbers count as handed out.
    pub(super) fn nearly_used_up(left: u32) -> Self {
        let chunks = Chunks::new();
        chunks.fresh.store(LIMIT - left, Ordering::Relaxed);
        chunks
    }
}
