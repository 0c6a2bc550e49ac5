//! A bounded ring that many threads fill and many threads empty.
//!
//! Events travel through it from the threads that report to the threads that
//! deliver. It allocates once, when it is made; a push costs one
//! compare-and-swap and one store; and neither side ever waits for the other.
//!
//! # How it works
//!
//! This is D. Vyukov's bounded MPMC queue. `head` and `tail` count pops and
//! pushes since the beginning, 64 bits wide, so they never wrap. Position `p`
//! lives in slot `p mod capacity`, and each slot carries a *stamp*, which says
//! for which position and for which side the slot is ready:
//!
//! | stamp            | the slot                                              |
//! |------------------|-------------------------------------------------------|
//! | `p`              | is free; the producer that claims position `p` fills it |
//! | `p + 1`          | holds the value of position `p`                       |
//! | `p + capacity`   | is free again, one lap on                             |
//!
//! A producer reads `tail`, finds the slot's stamp equal to it, claims the
//! position with a compare-and-swap on `tail`, writes the value, and publishes
//! it by storing the next stamp. A consumer does the same at `head`. The
//! counters only hand out positions: every value is passed from thread to
//! thread by its slot's stamp alone. Hence the orderings: the counters are
//! relaxed throughout, the stamps acquire and release.
//!
//! A ring of one slot would not do: "holds `p`" and "free for `p + 1`" would be
//! the same stamp. The capacity is therefore at least 2.
//!
//! # What it guarantees
//!
//! - **Each pushed value is popped exactly once**, or dropped with the ring.
//! - **Order**: values leave in the order in which their positions were
//!   claimed. So a producer's values stay in its order, and a push that
//!   happens before another leaves before it.
//! - **A push is bounded.** It makes at most [`PUSH_ATTEMPTS`] (32) attempts,
//!   with a pause of fixed length after each that failed (some 60 µs in all if
//!   every one does), then gives the value back. An attempt fails only because
//!   another producer claimed the position first. A push waits for no thread.
//! - **A pop is lock-free among consumers**: it tries again only when another
//!   consumer has claimed a value meanwhile.
//! - **No user-supplied code runs between claim and publication**: values move
//!   in and out bitwise, so no panic can leave a slot claimed.
//!
//! # What it does not
//!
//! - **It is not lock-free as a whole.** A producer preempted between its claim
//!   and its publication hides everything behind it: until it runs again,
//!   consumers see "empty", although later pushes have returned. Likewise a
//!   consumer preempted between its claim and its release keeps its slot, and
//!   producers that come round to it see "full". Either way the other side
//!   returns at once, and the ring goes on when the thread does. A thread that
//!   never runs again, as in the child of a `fork`, leaves the ring stuck: a
//!   child starts with a new one. (Dropping a stuck ring is sound.)
//! - **"Full" may be out of date when it is returned.** A push reports it when
//!   the next slot is still taken by the lap before, although a consumer may be
//!   freeing it at this moment, or may have freed others behind it. A push also
//!   reports it when all attempts were lost, however many slots are free. A slot
//!   whose release *happens before* the push is always seen free. "Full" does
//!   not imply that there is something to pop.
//! - **"Empty" may be out of date too.** It only says that the next value in
//!   order is not there yet. A value whose push happens before the pop is always
//!   seen if every push that claimed an earlier position happens before the pop
//!   as well. A consumer that sleeps on "empty" must be woken by *every* producer
//!   after its push. The two need a handshake of their own, because a push ends
//!   in a release store, which a later load may overtake.
//!
//! # What was rejected
//!
//! - *`fetch_add` on the tail*, which wins every race: a position once taken
//!   must be filled, so a full ring makes its producer wait.
//! - *Looking at the other side's counter* to tell full from "being freed", as
//!   crossbeam's `ArrayQueue` does: exact, but producers would read the cache
//!   line that consumers write. The exact answer helps only a thread that is
//!   ready to spin for it. A *cached* copy of the counter gains nothing here:
//!   the stamp must be read anyway and says the same.
//! - *Closures that build or use a value inside its slot*: they save one copy
//!   of a few lines, and put user code, its panics and its slowness between
//!   claim and publication.
//! - *Claiming several values with one compare-and-swap*: a consumer that stops in between would
//!   have to keep those that it has claimed somewhere else.
//! - *Padding each slot to lines of its own*: no faster in measurements with
//!   two cores, for up to twice the memory.

use std::mem::{self, MaybeUninit, offset_of};
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::sys::atomic::{AtomicU64, Ordering, UnsafeCell, pause};

/// The largest capacity: 16 Mi slots.
pub(crate) const MAX_CAPACITY: usize = 1 << 24;

/// How many times a push tries to claim a position before it reports full.
/// Each failure is another producer's success.
pub(crate) const PUSH_ATTEMPTS: u32 = 32;

/// The backoff of the loser of a race, in units of [`pause`]: some 2 µs, long enough
/// for the winner to use the cache line it has won many times. With shorter or growing
/// pauses two producers tend to take the line from each other at every push (two cores of
/// a Zen 5 EPYC: 55 ns per push, against 12).
const PAUSES: u32 = 48;

/// A counter that one side writes all the time, alone on its line. 128 bytes,
/// because processors fetch lines of 64 in pairs.
#[repr(align(128))]
struct Counter(AtomicU64);

struct Slot<T> {
    /// Says what the slot is ready for; see the table at the top. Written only
    /// by the thread that has claimed the position it is ready for.
    stamp: AtomicU64,
    /// Initialised from the moment the stamp becomes `p + 1` until a consumer
    /// claims `p`.
    value: UnsafeCell<MaybeUninit<T>>,
}

/// A bounded multi-producer, multi-consumer ring.
#[repr(C)]
pub(crate) struct Ring<T> {
    /// Positions claimed by consumers. Never more than `tail`.
    head: Counter,
    /// Positions claimed by producers. Never more than `head + capacity`.
    tail: Counter,
    /// The slots. Their number is the capacity, a power of two, and never changes.
    slots: Box<[Slot<T>]>,
}

const _: () = {
    type Sample = Ring<[u64; 8]>;
    assert!(align_of::<Sample>() == 128);
    assert!(offset_of!(Sample, tail) - offset_of!(Sample, head) == 128);
    assert!(offset_of!(Sample, slots) - offset_of!(Sample, tail) == 128);
    assert!(
        size_of::<Slot<[u64; 15]>>()
            == size_of::<AtomicU64>() + size_of::<UnsafeCell<MaybeUninit<[u64; 15]>>>(),
        "a slot costs a stamp and no padding"
    );
    assert!(PUSH_ATTEMPTS * PAUSES <= 1_536, "some 60 µs");
};

// SAFETY: a value is touched only by the thread that has claimed its position,
// and goes from one thread to another whole. That is sending, hence `T: Send`;
// no two threads share a `&T`, so `T: Sync` is not needed.
unsafe impl<T: Send> Sync for Ring<T> {}

// No user-supplied code runs while a slot is in between two states, so a panic
// that unwinds past a ring leaves it whole.
impl<T> UnwindSafe for Ring<T> {}
impl<T> RefUnwindSafe for Ring<T> {}

impl<T> Ring<T> {
    /// A ring for at least `capacity` values: the next power of two, and at
    /// least 2. The only allocation the ring ever makes.
    ///
    /// # Panics
    ///
    /// If `capacity` exceeds [`MAX_CAPACITY`].
    pub(crate) fn new(capacity: usize) -> Self {
        match Self::try_new(capacity) {
            Ok(ring) => ring,
            Err(bytes) => panic!("no memory for a ring: {bytes} bytes"),
        }
    }

    /// [`Ring::new`], but returns the number of bytes as the error if they cannot be allocated.
    ///
    /// # Panics
    ///
    /// If `capacity` exceeds [`MAX_CAPACITY`].
    pub(crate) fn try_new(capacity: usize) -> Result<Self, usize> {
        assert!(
            capacity <= MAX_CAPACITY,
            "a ring of {capacity} slots exceeds the maximum of {MAX_CAPACITY}"
        );
        let capacity = capacity.max(2).next_power_of_two();
        let mut slots = Vec::new();
        if slots.try_reserve_exact(capacity).is_err() {
            return Err(capacity * size_of::<Slot<T>>());
        }
        slots.extend((0..capacity as u64).map(|position| Slot {
            stamp: AtomicU64::new(position),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }));
        Ok(Self {
            head: Counter(AtomicU64::new(0)),
            tail: Counter(AtomicU64::new(0)),
            slots: slots.into_boxed_slice(),
        })
    }

    /// Appends `value`, or gives it back when the ring is full or when
    /// [`PUSH_ATTEMPTS`] races against other producers were lost.
    #[inline]
    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        self.push_within(PUSH_ATTEMPTS, value)
    }

    /// [`push`](Self::push) with a limit of its own on the attempts.
    #[inline]
    pub(crate) fn push_within(&self, attempts: u32, value: T) -> Result<(), T> {
        for _ in 0..attempts {
            // ORDERING: Relaxed: the slot's stamp says whether this is
            // current. After a lost attempt it is newer than before: either
            // the failed exchange read a newer one, or the stamp was acquired
            // from a producer that had moved the tail already.
            let position = self.tail.0.load(Ordering::Relaxed);
            let slot = self.slot(position);
            // ORDERING: Acquire pairs with the Release in `pop`: the consumer
            // of the lap before is done with the value we shall overwrite. It
            // also pairs with the Release below: if the slot is filled
            // already, the next attempt sees a newer tail.
            let stamp = slot.stamp.load(Ordering::Acquire);
            if stamp < position {
                break;
            }
            if stamp == position && claim(&self.tail, position) {
                // SAFETY: `claim` gave this thread alone the position, and its stamp
                // said that the slot is free: no other thread looks at the value
                // before the stamp changes, and only this thread may change it.
                slot.value.with_mut(|cell| unsafe { (*cell).write(value) });
                // ORDERING: Release pairs with the Acquire in `pop`: a consumer
                // that sees the stamp sees the value. And with the Acquire above.
                slot.stamp.store(position + 1, Ordering::Release);
                return Ok(());
            }
            pause(PAUSES);
        }
        Err(value)
    }

    /// Takes the oldest value; `None` when there is none, or when its producer
    /// has not finished yet.
    #[inline]
    pub(crate) fn pop(&self) -> Option<T> {
        self.pop_before(u64::MAX)
    }

    /// [`pop`](Self::pop), but returns `None` too if the oldest value's position is not before
    /// `end`.
    #[inline]
    pub(crate) fn pop_before(&self, end: u64) -> Option<T> {
        loop {
            // ORDERING: Relaxed: the slot's stamp says whether this is current. After a lost
            // attempt it is newer than before, as in `push_within`: the failed exchange read a
            // newer head, or the stamp was acquired from a consumer that had moved it.
            let position = self.head.0.load(Ordering::Relaxed);
            if position >= end {
                return None;
            }
            let slot = self.slot(position);
            // ORDERING: Acquire pairs with the Release in `push_within`: the
            // value is written. It also pairs with the Release below: if the
            // slot is free already, the next round sees a newer head.
            let stamp = slot.stamp.load(Ordering::Acquire);
            if stamp <= position {
                return None;
            }
            if stamp == position + 1 && claim(&self.head, position) {
                let value = slot.value.with_mut(|cell| {
                    // SAFETY: `claim` gave this thread alone the position, and its
                    // stamp said that the value is there. It is read once; the
                    // stamp stored next declares the slot empty.
                    unsafe { (*cell).assume_init_read() }
                });
                let free = position + self.slots.len() as u64;
                // ORDERING: Release pairs with the Acquire in `push_within`:
                // the next lap's producer writes after we have read. And with
                // the Acquire above.
                slot.stamp.store(free, Ordering::Release);
                return Some(value);
            }
            pause(PAUSES);
        }
    }

    /// The position that the next push will claim. A push that happens before this call
    /// has claimed an earlier one.
    pub(crate) fn tail(&self) -> u64 {
        // ORDERING: Relaxed: a thread that knows of a push by other means sees a tail
        // that counts it, since the claim happened before.
        self.tail.0.load(Ordering::Relaxed)
    }

    /// How many positions are taken, those being written included. Exact when
    /// no other thread is at work, otherwise a value between 0 and the capacity
    /// that may be outdated before it is returned.
    pub(crate) fn len(&self) -> usize {
        // ORDERING: Relaxed, the two loads make no consistent pair anyway.
        let head = self.head.0.load(Ordering::Relaxed);
        let tail = self.tail.0.load(Ordering::Relaxed);
        tail.saturating_sub(head).min(self.slots.len() as u64) as usize
    }

    /// How many values fit.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    fn slot(&self, position: u64) -> &Slot<T> {
        // The cast may cut off high bits; the mask keeps only low ones.
        &self.slots[position as usize & (self.slots.len() - 1)]
    }
}

impl<T> Drop for Ring<T> {
    /// Drops the values that are left. Positions that were claimed and never
    /// published are passed over. If a destructor panics, the values behind
    /// it are leaked.
    fn drop(&mut self) {
        if !mem::needs_drop::<T>() {
            return;
        }
        // ORDERING: Relaxed, `&mut self` has synchronised with all users.
        let head = self.head.0.load(Ordering::Relaxed);
        let tail = self.tail.0.load(Ordering::Relaxed);
        for position in head..tail {
            let slot = self.slot(position);
            if slot.stamp.load(Ordering::Relaxed) == position + 1 {
                slot.value.with_mut(|cell| {
                    // SAFETY: the stamp says that the value is there;
                    // `&mut self`, that no other thread reaches the ring.
                    unsafe { (*cell).assume_init_drop() }
                });
            }
        }
    }
}

/// Claims `position` by moving `counter` past it; false if another thread was faster.
#[inline]
fn claim(counter: &Counter, position: u64) -> bool {
    // ORDERING: Relaxed, values are handed over by the stamps. The strong form
    // fails only if another thread has succeeded.
    counter
        .0
        .compare_exchange(position, position + 1, Ordering::Relaxed, Ordering::Relaxed)
        .is_ok()
}

#[cfg(test)]
mod tests;
