//! A clock that tests move. It stands in for the machine's in [`Clock`](super::clock::Clock).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::clock::{LAST_MOMENT, Tick, millis};
use crate::sys::per_process::{PerProcess, Renew};

/// A clock that moves only when it is advanced, for tests without sleeping.
///
/// Clones share the same time. The child of a fork has a time of its own, which goes on from there.
/// Any thread may advance it. That wakes the drivers of the managers that use it, so what became
/// due happens. A test that needs it to have happened calls [`Brama::poll`](crate::Brama::poll)
/// next.
///
/// ```
/// use std::time::Duration;
/// use brama::{Brama, ManualClock, State};
///
/// # fn main() -> Result<(), brama::Error> {
/// let clock = ManualClock::new();
/// let brama = Brama::builder().clock(clock.clone()).background(false).build()?;
/// let db = brama.register("db", None)?;
/// db.open_circuit("maintenance", Duration::from_secs(5))?;
/// clock.advance(Duration::from_millis(4_999));
/// assert_eq!(db.state(), State::Open);
/// clock.advance(Duration::from_millis(1));
/// assert_eq!(db.state(), State::HalfOpen);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ManualClock {
    inner: Arc<Manual>,
}

struct Manual {
    /// Unix ms at which this clock shows zero.
    epoch: u64,
    now: AtomicU64,
    /// Drivers to wake when the time changes.
    sleepers: PerProcess<Sleepers>,
}

struct Sleepers(Mutex<Vec<Thread>>);

impl Renew for Sleepers {
    /// An empty list: a child of a fork inherits no drivers.
    fn renew(&self) -> Self {
        Sleepers(Mutex::default())
    }
}

/// 2001-09-09 01:46:40 UTC: a round number that is not mistaken for the present.
const MANUAL_EPOCH: u64 = 1_000_000_000_000;

impl ManualClock {
    /// A clock that starts at Unix time 1 000 000 000 000 ms.
    ///
    /// ```
    /// let clock = brama::ManualClock::new();
    /// assert_eq!(clock.unix_ms(), 1_000_000_000_000);
    /// ```
    pub fn new() -> Self {
        Self::starting_at(MANUAL_EPOCH)
    }

    /// A clock that starts at this Unix time in milliseconds.
    ///
    /// ```
    /// let clock = brama::ManualClock::starting_at(1_700_000_000_000);
    /// assert_eq!(clock.unix_ms(), 1_700_000_000_000);
    /// ```
    pub fn starting_at(unix_ms: u64) -> Self {
        ManualClock {
            inner: Arc::new(Manual {
                epoch: unix_ms,
                now: AtomicU64::new(0),
                sleepers: PerProcess::new(Sleepers(Mutex::default())),
            }),
        }
    }

    /// Moves the time on by `by`, in whole milliseconds, rounded down. The time
    /// stops at 2^40 - 2 ms (34 years) after the start.
    ///
    /// ```
    /// let clock = brama::ManualClock::starting_at(0);
    /// clock.advance(std::time::Duration::from_secs(2));
    /// assert_eq!(clock.unix_ms(), 2_000);
    /// ```
    pub fn advance(&self, by: Duration) {
        let by = millis(by);
        // ORDERING: AcqRel, partner of the Acquire in `now_ms`: what a thread did before it
        // advanced the time is seen by a thread that acts because of the new time.
        let _ = self
            .inner
            .now
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
                Some(now.saturating_add(by).min(LAST_MOMENT))
            });
        for sleeper in self.sleepers().iter() {
            sleeper.unpark();
        }
    }

    /// The time this clock shows, as Unix milliseconds.
    ///
    /// ```
    /// assert_eq!(brama::ManualClock::starting_at(7).unix_ms(), 7);
    /// ```
    pub fn unix_ms(&self) -> u64 {
        self.unix_ms_of(self.now_ms())
    }

    /// The Unix time of a moment of this clock.
    pub(super) fn unix_ms_of(&self, moment: u64) -> u64 {
        self.inner.epoch.saturating_add(moment)
    }

    pub(super) fn now_ms(&self) -> u64 {
        // ORDERING: Acquire, partner of the AcqRel in `advance`.
        self.inner.now.load(Ordering::Acquire)
    }

    /// Out of line: the hot paths read the machine's clock.
    #[cold]
    #[inline(never)]
    pub(super) fn tick(&self) -> Tick {
        Tick::from_ms(self.now_ms())
    }

    pub(crate) fn wake_on_advance(&self, thread: Thread) {
        self.sleepers().push(thread);
    }

    pub(crate) fn forget(&self, thread: &Thread) {
        self.sleepers().retain(|other| other.id() != thread.id());
    }

    fn sleepers(&self) -> std::sync::MutexGuard<'_, Vec<Thread>> {
        self.inner
            .sleepers
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock")
            .field("unix_ms", &self.unix_ms())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_advanced_and_stops_at_the_end_of_time() {
        let clock = ManualClock::starting_at(5);
        let other = clock.clone();
        assert_eq!(clock.unix_ms(), 5);
        other.advance(Duration::from_micros(1_999));
        assert_eq!(clock.unix_ms(), 6);
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.unix_ms(), 5 + LAST_MOMENT);
    }
}
