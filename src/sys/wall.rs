//! Unix times of past moments.
//!
//! No decision reads the wall clock. Times that people see are made of monotonic moments, by the
//! offset between both clocks. The offset is measured once, and again at most once a second. If the
//! wall clock was stepped (set by hand, or the machine slept), the new offset is kept together with
//! the moment at which it was noticed. So a past moment is always shown as the same time, and a
//! later one by the clock as it was then. Slewing moves both clocks alike and is no step.
//!
//! Rejected: measuring the offset whenever a time is shown. It differs by a millisecond from one
//! measurement to the next, and a step would rewrite the past.

use std::ptr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys::atomic::{AtomicPtr, AtomicU64, Ordering, modelled, shipped};
use crate::sys::clock::millis;

/// A difference between two offsets is a step from this many ms on.
const STEP: u64 = 50;
/// How old a measurement may be, in ms.
const FRESH: u64 = 1_000;
/// How often the clocks are read at most, if preemptions spoil the measurement.
const TRIES: usize = 4;

/// The offset from one moment on.
struct Epoch {
    /// Monotonic ms.
    since: u64,
    /// Unix ms when the monotonic clock showed zero.
    offset: u64,
    /// The one before. Epochs are never freed.
    older: *const Epoch,
}

/// Offsets of the wall clock, latest first.
pub(crate) struct Wall {
    latest: AtomicPtr<Epoch>,
    /// When the offset was last measured, in monotonic ms.
    measured_at: AtomicU64,
}

shipped! {
    impl Wall {
        pub(crate) const fn new() -> Self {
            Wall {
                latest: AtomicPtr::new(ptr::null_mut()),
                measured_at: AtomicU64::new(0),
            }
        }
    }

    static WALL: Wall = Wall::new();

    /// The offsets of this process.
    pub(crate) fn wall() -> &'static Wall {
        &WALL
    }
}

modelled! {
    pub(crate) fn wall() -> &'static Wall {
        unreachable!("models keep to a manual clock")
    }
}

impl Wall {
    /// The Unix time, in ms, of a moment of the monotonic clock. `clock` reads that clock.
    pub(crate) fn unix_ms(&self, moment: u64, clock: impl Fn() -> Duration) -> u64 {
        let mut at = self.epoch_at(moment, clock);
        while at.since > moment {
            // SAFETY: null, or an epoch: `epoch_at` leaks each, and none is ever freed.
            match unsafe { at.older.as_ref() } {
                Some(older) => at = older,
                None => break,
            }
        }
        at.offset.saturating_add(moment)
    }

    /// The latest epoch. If the wall clock was stepped, it begins now.
    fn epoch_at(&self, moment: u64, clock: impl Fn() -> Duration) -> &'static Epoch {
        // ORDERING: Acquire, partner of the Release in the exchange below: the epoch is written.
        // SAFETY: null, or an epoch: this function leaks each, and none is ever freed.
        let known = unsafe { self.latest.load(Ordering::Acquire).as_ref() };
        // Relaxed: a thread that reads an older value measures once more.
        if let Some(known) = known
            && moment < self.measured_at.load(Ordering::Relaxed) + FRESH
        {
            return known;
        }
        let measured = measure(clock);
        self.measured_at.store(measured.now, Ordering::Relaxed);
        match known {
            Some(known) if !measured.is_step_from(known) => known,
            _ => self.begin(known, measured.now, measured.offset),
        }
    }

    #[cold]
    fn begin(&self, known: Option<&'static Epoch>, since: u64, offset: u64) -> &'static Epoch {
        let older = known.map_or(ptr::null(), ptr::from_ref);
        let fresh = Box::into_raw(Box::new(Epoch {
            since,
            offset,
            older,
        }));
        // ORDERING: Release publishes the epoch to the Acquire loads; Acquire for the epoch of
        // a thread that was faster.
        let begun = self.latest.compare_exchange(
            older.cast_mut(),
            fresh,
            Ordering::Release,
            Ordering::Acquire,
        );
        match begun {
            // SAFETY: leaked above, and never freed from now on.
            Ok(_) => unsafe { &*fresh },
            Err(current) => {
                // SAFETY: the exchange failed, so `fresh` was never shared.
                drop(unsafe { Box::from_raw(fresh) });
                // SAFETY: an epoch, since only those are ever stored, and never freed.
                unsafe { &*current }
            }
        }
    }
}

/// Both clocks, read one after the other.
struct Measured {
    now: u64,
    offset: u64,
    /// Whether the thread was not interrupted in between.
    is_precise: bool,
}

impl Measured {
    fn is_step_from(&self, known: &Epoch) -> bool {
        self.is_precise && known.offset.abs_diff(self.offset) >= STEP
    }
}

fn measure(clock: impl Fn() -> Duration) -> Measured {
    let once = || {
        let before = clock();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let after = clock();
        Measured {
            now: millis(after),
            offset: millis(wall.unwrap_or_default().saturating_sub(before)),
            is_precise: after.saturating_sub(before) < Duration::from_millis(1),
        }
    };
    let mut measured = once();
    for _ in 1..TRIES {
        if measured.is_precise {
            break;
        }
        measured = once();
    }
    measured
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_past_moment_is_always_shown_as_the_same_time() {
        let wall = Wall::new();
        let start = std::time::Instant::now();
        let clock = || start.elapsed();
        let first = wall.unix_ms(5, clock);
        for _ in 0..10_000 {
            assert_eq!(wall.unix_ms(5, clock), first);
        }
        assert_eq!(wall.unix_ms(1_005, clock), first + 1_000);
    }

    #[test]
    fn a_step_of_the_wall_clock_changes_later_times_only() {
        let wall = Wall::new();
        let first = wall.begin(None, 0, 1_000_000);
        let stepped = SystemTime::now().duration_since(UNIX_EPOCH).expect("later");
        let second = wall.begin(Some(first), 500, millis(stepped));
        // Shows zero at the step.
        let start = std::time::Instant::now();
        let clock = || start.elapsed();
        assert_eq!(wall.unix_ms(499, clock), 1_000_499);
        assert_eq!(wall.unix_ms(500, clock), second.offset + 500);
    }
}
