//! Time: milliseconds of the machine's monotonic clock.
//!
//! Two readings of the same clock:
//!
//! - [`Clock::now`] is the coarse one, a few nanoseconds, at most one tick of the kernel (1 to 10
//!   ms) behind. It decides whether something is due: a clock that lags can answer late, never
//!   early.
//! - [`Clock::now_upper`] is exact, rounded up. Deadlines start from it. A
//!   deadline that starts no earlier than the truth and is compared with a clock
//!   that is never ahead of it is never reached before its time.
//!
//! On Linux both readings call the function that the kernel maps into every process. It is found
//! once, and called without the detour through the C library, which is a quarter of the reading:
//! failures, and many successes, read the clock. Where the function is not found, the C library's
//! takes its place. The [`Clock`] has a pointer to the one of the two that is in use, so a report
//! need not ask.
//!
//! A wall-clock jump opens and closes nothing, because no decision reads the
//! wall clock. Times shown to people are Unix milliseconds, made from monotonic
//! ones ([`wall`](crate::sys::wall)).
//!
//! [`ManualClock`] stands in for the machine's clock in tests: it moves only
//! when a test advances it, and is exact in both readings.

use std::time::Duration;

use crate::sys::manual_clock::ManualClock;
use crate::sys::wall::wall;

/// The last moment that a clock shows. Moments are ms of 40 bits, and the largest number
/// stands for "never".
pub(crate) const LAST_MOMENT: u64 = (1 << 40) - 2;

/// More ms than any coarse clock lags.
pub(crate) const LONGEST_LAG: u64 = 20;

/// Where a manager's time comes from.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    System(machine::Reader),
    Manual(ManualClock),
}

impl Clock {
    /// The machine's clock.
    pub(crate) fn system() -> Self {
        Clock::System(machine::Reader::find())
    }

    /// Now, never ahead of the truth.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match self {
            Clock::System(reader) => reader.coarse_ms(),
            Clock::Manual(clock) => clock.now_ms(),
        }
    }

    /// [`Clock::now`], unless the clock is a manual one.
    #[inline(always)]
    pub(crate) fn system_now(&self) -> Option<u64> {
        match self {
            Clock::System(reader) => Some(reader.coarse_ms()),
            Clock::Manual(_) => None,
        }
    }

    /// [`Clock::now`], unconverted.
    #[inline]
    pub(crate) fn tick(&self) -> Tick {
        match self {
            Clock::System(reader) => reader.coarse_tick(),
            Clock::Manual(clock) => clock.tick(),
        }
    }

    /// Now, never behind the truth.
    pub(crate) fn now_upper(&self) -> u64 {
        match self {
            Clock::System(reader) => millis_up(reader.exact()),
            Clock::Manual(clock) => clock.now_ms(),
        }
    }

    /// Now, exactly and never behind the truth: for the start of what is to be measured.
    pub(crate) fn micros_upper(&self) -> Micros {
        match self {
            Clock::System(reader) => Micros::up(reader.exact()),
            Clock::Manual(clock) => Micros::from_ms(clock.now_ms()),
        }
    }

    /// [`Clock::now`], to the microsecond: for what is measured within a tick.
    pub(crate) fn micros_coarse(&self) -> Micros {
        self.tick().micros()
    }

    /// The most that [`Clock::now`] is behind the truth.
    pub(crate) fn lag(&self) -> Duration {
        match self {
            Clock::System(_) => Duration::from_millis(LONGEST_LAG),
            Clock::Manual(_) => Duration::ZERO,
        }
    }

    /// A guess of how long [`Clock::tick`] shows the same time. [`Duration::MAX`] for a manual
    /// clock, which shows it until it is advanced.
    pub(crate) fn until_next_tick(&self) -> Duration {
        let Clock::System(reader) = self else {
            return Duration::MAX;
        };
        let tick = reader.tick_length();
        let since = micros_since(reader.exact(), reader.coarse_tick());
        // A little more, since the kernel changes it only at about that moment.
        let wait = (tick + tick / 16).saturating_sub(since);
        wait.max(tick / 4)
    }

    /// Now, exactly and never ahead of the truth: for the end of what is measured.
    pub(crate) fn micros(&self) -> Micros {
        match self {
            Clock::System(reader) => Micros::down(reader.exact()),
            Clock::Manual(clock) => Micros::from_ms(clock.now_ms()),
        }
    }

    /// Now to the millisecond, never ahead of the truth: for the driver, which
    /// has just slept until an exact moment.
    pub(crate) fn now_exact(&self) -> u64 {
        match self {
            Clock::System(reader) => millis(reader.exact()),
            Clock::Manual(clock) => clock.now_ms(),
        }
    }

    /// The Unix time, in ms, of a past moment or the present one. The same at each call.
    pub(crate) fn unix_ms(&self, moment: u64) -> u64 {
        match self {
            Clock::System(reader) => wall().unix_ms(moment, || reader.exact()),
            Clock::Manual(clock) => clock.unix_ms_of(moment),
        }
    }
}

/// A time as the machine's clock shows it: seconds, and nanoseconds in the lower 30 bits. Ticks are
/// in the order of time. They are for times that are stored far more often than read: a conversion
/// to milliseconds takes as long as all the rest of storing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

impl Tick {
    const NANOS_BITS: u32 = 30;
    const NANOS_MASK: u64 = (1 << Self::NANOS_BITS) - 1;
    const LAST_SECOND: u64 = u64::MAX >> Self::NANOS_BITS;

    #[inline]
    fn new(seconds: u64, nanos: u64) -> Self {
        Tick(seconds << Self::NANOS_BITS | nanos)
    }

    /// The tick of these ms, and one nanosecond more, so that no moment is 0. Saturating: a tick
    /// reaches 544 years.
    pub(crate) fn from_ms(ms: u64) -> Self {
        Tick::new(
            (ms / 1_000).min(Self::LAST_SECOND),
            ms % 1_000 * 1_000_000 + 1,
        )
    }

    /// Whole milliseconds, rounded down.
    pub(crate) fn ms(self) -> u64 {
        (self.0 >> Self::NANOS_BITS) * 1_000 + (self.0 & Self::NANOS_MASK) / 1_000_000
    }

    /// Whole microseconds, rounded down.
    fn micros(self) -> Micros {
        let seconds = self.0 >> Self::NANOS_BITS;
        Micros(seconds * 1_000_000 + (self.0 & Self::NANOS_MASK) / 1_000)
    }

    /// Microseconds since an earlier tick; 0 if it is not earlier.
    pub(crate) fn micros_since(self, earlier: Tick) -> u64 {
        self.micros().0.saturating_sub(earlier.micros().0)
    }

    /// The tick as a word, in which 0 means that there is no time. (The machine's clock shows 0
    /// only at the moment of its start.)
    #[inline]
    pub(crate) fn to_word(self) -> u64 {
        self.0
    }

    /// From [`Tick::to_word`].
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        (word != 0).then_some(Tick(word))
    }
}

/// Microseconds of the monotonic clock, to measure how long a call lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Micros(u64);

impl Micros {
    pub(crate) fn from_ms(ms: u64) -> Self {
        Micros(ms.saturating_mul(1_000))
    }

    fn down(time: Duration) -> Self {
        Micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    }

    fn up(time: Duration) -> Self {
        let partial = !time.subsec_nanos().is_multiple_of(1_000);
        Micros(Micros::down(time).0.saturating_add(partial.into()))
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }
}

fn micros_since(exact: Duration, coarse: Tick) -> Duration {
    Duration::from_micros(Micros::down(exact).0.saturating_sub(coarse.micros().0))
}

/// Whole milliseconds, rounded down, saturating.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole milliseconds, rounded up, saturating.
pub(crate) fn millis_up(duration: Duration) -> u64 {
    let partial = !duration.subsec_nanos().is_multiple_of(1_000_000);
    millis(duration).saturating_add(u64::from(partial))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod machine {
    use std::ffi::c_int;
    use std::mem::MaybeUninit;
    use std::time::Duration;

    use super::Tick;

    type Read = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int;

    /// `clock_gettime`, the kernel's or the C library's.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Reader(Read);

    impl Reader {
        pub(super) fn find() -> Self {
            Reader(kernel::find().unwrap_or(libc::clock_gettime))
        }

        #[inline]
        pub(super) fn coarse_ms(self) -> u64 {
            let time = self.read(libc::CLOCK_MONOTONIC_COARSE);
            time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
        }

        #[inline]
        pub(super) fn coarse_tick(self) -> Tick {
            let time = self.read(libc::CLOCK_MONOTONIC_COARSE);
            Tick::new(time.tv_sec as u64, time.tv_nsec as u64)
        }

        /// The time between two different readings of the coarse clock.
        pub(super) fn tick_length(self) -> Duration {
            let mut length = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            // SAFETY: `length` is a valid place for the result. A call that a filter refuses leaves
            // it as it is.
            unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut length) };
            Duration::new(length.tv_sec as u64, length.tv_nsec as u32)
        }

        pub(super) fn exact(self) -> Duration {
            let time = self.read(libc::CLOCK_MONOTONIC);
            Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
        }

        #[inline]
        fn read(self, clock: libc::clockid_t) -> libc::timespec {
            let mut time = MaybeUninit::uninit();
            // SAFETY: `time` is a valid place for the result, and both clocks exist on every kernel
            // that Rust supports, so the call cannot fail. The function that `find` returned stays
            // mapped: it is the vDSO's or the C library's.
            unsafe {
                (self.0)(clock, time.as_mut_ptr());
                time.assume_init()
            }
        }
    }

    mod kernel {
        use super::Read;

        /// Finds the kernel's function. Not in a static program, whose dynamic loader is not
        /// reliable.
        #[cfg(all(
            target_env = "gnu",
            not(target_feature = "crt-static"),
            any(target_arch = "x86_64", target_arch = "aarch64")
        ))]
        pub(super) fn find() -> Option<Read> {
            use std::{mem, ptr};

            use once_cell::race::OnceNonZeroUsize;

            /// The address of the kernel's function, 1 for none. Set by a race, not
            /// under a lock, which a fork could leave held.
            static FOUND: OnceNonZeroUsize = OnceNonZeroUsize::new();
            const NONE: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN;
            const NAME: &std::ffi::CStr = if cfg!(target_arch = "x86_64") {
                c"__vdso_clock_gettime"
            } else {
                c"__kernel_clock_gettime"
            };
            let found = FOUND.get_or_init(|| {
                // SAFETY: both strings are literals that end with a NUL. RTLD_NOLOAD finds only
                // an object that is loaded, and the kernel's is never unloaded. A missing
                // object or symbol is null.
                let function = unsafe {
                    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD;
                    let object = libc::dlopen(c"linux-vdso.so.1".as_ptr(), flags);
                    if object.is_null() {
                        return NONE;
                    }
                    libc::dlsym(object, NAME.as_ptr())
                };
                function.expose_provenance().try_into().unwrap_or(NONE)
            });
            let function = ptr::with_exposed_provenance::<()>(found.get());
            // SAFETY: not NONE, so `dlsym` found it in the vDSO under NAME. The kernel's ABI
            // gives that symbol the signature of `clock_gettime`, which is `Read` (vdso(7)).
            (found != NONE).then(|| unsafe { mem::transmute::<*const (), Read>(function) })
        }

        #[cfg(not(all(
            target_env = "gnu",
            not(target_feature = "crt-static"),
            any(target_arch = "x86_64", target_arch = "aarch64")
        )))]
        pub(super) fn find() -> Option<Read> {
            None
        }
    }
}

/// Elsewhere: the standard library's monotonic clock, from its first use.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod machine {
    use std::time::{Duration, Instant};

    use once_cell::race::OnceBox;

    use super::Tick;

    /// Set by a race, not under a lock, which a fork could leave held.
    static START: OnceBox<Instant> = OnceBox::new();

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Reader;

    impl Reader {
        pub(super) fn find() -> Self {
            Reader
        }

        pub(super) fn coarse_ms(self) -> u64 {
            super::millis(self.exact())
        }

        /// To the millisecond: callers write a tick down whenever it differs from the last one, so
        /// it must not differ at every reading.
        pub(super) fn coarse_tick(self) -> Tick {
            Tick::from_ms(self.coarse_ms())
        }

        pub(super) fn tick_length(self) -> Duration {
            Duration::from_millis(1)
        }

        pub(super) fn exact(self) -> Duration {
            START.get_or_init(|| Box::new(Instant::now())).elapsed()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_reading_is_never_ahead_and_the_upper_never_behind() {
        let clock = Clock::system();
        for _ in 0..10_000 {
            let coarse = clock.now();
            let exact = clock.now_exact();
            let upper = clock.now_upper();
            assert!(
                coarse <= exact && exact <= upper,
                "{coarse} {exact} {upper}"
            );
        }
    }

    #[test]
    fn ticks_keep_milliseconds_and_are_in_the_order_of_time() {
        let times = [0, 1, 999, 1_000, 1_001, 59_999, LAST_MOMENT];
        let ticks = times.map(Tick::from_ms);
        assert_eq!(ticks.map(Tick::ms), times);
        assert!(ticks.is_sorted());
        assert_eq!(
            ticks.map(|tick| Tick::from_word(tick.to_word())),
            ticks.map(Some)
        );
        assert_eq!(Tick::from_word(0), None);
        assert_eq!(Tick::new(3, 999_999_999).ms(), 3_999);
        assert!(Tick::new(3, 999_999_999) < Tick::new(4, 0));
        assert_eq!(Tick::new(3, 999_999_999).micros(), Micros(3_999_999));
        assert_eq!(Tick::from_ms(59_999).micros(), Micros::from_ms(59_999));
        assert!(Tick::from_ms(u64::MAX) >= Tick::from_ms(LAST_MOMENT));
    }

    #[test]
    fn both_coarse_readings_are_of_one_clock() {
        let clock = Clock::system();
        let before = clock.now();
        let tick = clock.tick().ms();
        assert!((before..=clock.now()).contains(&tick));
        let (before, coarse) = (clock.micros().bits(), clock.micros_coarse().bits());
        let behind = Duration::from_micros(before.saturating_sub(coarse));
        assert!(behind < clock.lag() && coarse <= clock.micros().bits());
        let next = clock.until_next_tick();
        assert!(!next.is_zero() && next < clock.lag());
    }

    #[test]
    fn partial_milliseconds_round_the_safe_way() {
        let time = Duration::from_micros(1_001);
        assert_eq!((millis(time), millis_up(time)), (1, 2));
        let time = Duration::from_millis(3);
        assert_eq!((millis(time), millis_up(time)), (3, 3));
        assert_eq!(millis_up(Duration::MAX), u64::MAX);
    }
}
