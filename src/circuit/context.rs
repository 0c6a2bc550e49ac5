//! What all connections of one manager share: the clock, the global settings, the sink for events,
//! and the stack of records for the driver.
//!
//! Every operation passes the context to the record, which keeps no pointer to it. That saves eight
//! bytes in each of a million records, and a cycle between a manager and its records.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use crate::circuit::event_sink::EventSink;
use crate::circuit::record::{Limit, Record};
use crate::structures::intrusive_stack::IntrusiveStack;
use crate::structures::reserve::Stock;
use crate::structures::waker::{Starter, Waker};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::clock::{Clock, Tick};
use crate::sys::fork;
use crate::sys::per_process::{PerProcess, Renew};
use crate::sys::tick_word::{NOTED, Ticks};
use crate::values::expiry;
use crate::values::key::{Hasher, scramble};
use crate::values::settings::{Global, Overrides, Settings};

/// Numbers the registrations, so that a reader of events can distinguish connections that had the
/// same name one after the other, and sees which came later. On lines of its own: what stands
/// beside it is read by every call.
#[repr(align(128))]
struct Ids(AtomicU64);

/// Random numbers, for the jitter. Each process draws its own: the child of a fork would
/// otherwise draw the numbers of its parent, and of its siblings.
struct Dice(AtomicU64);

impl Dice {
    fn roll(&self) -> u64 {
        scramble(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

impl Renew for Dice {
    fn renew(&self) -> Self {
        // Differs between siblings by the process, and across namespaces by the moment.
        let moment = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = moment.map_or(0, |since| since.subsec_nanos());
        let process = u64::from(std::process::id()) << 32 | u64::from(nanos);
        Dice(AtomicU64::new(scramble(process) ^ self.roll()))
    }
}

pub(crate) struct Context {
    pub(crate) clock: Clock,
    /// Whether that clock has moved.
    pub(crate) ticks: Ticks,
    pub(crate) hasher: Hasher,
    pub(crate) global: ArcSwap<Global>,
    pub(crate) sink: Arc<dyn EventSink>,
    /// Records that the driver has to look at: their circuit opened, or they have
    /// missed events.
    pub(crate) attention: PerProcess<IntrusiveStack<Record>>,
    pub(crate) waker: PerProcess<Waker>,
    ids: Ids,
    dice: PerProcess<Dice>,
    /// The [`Limit`] of connections that have no settings of their own, if the global ones need no
    /// allocation.
    plain: AtomicU64,
    /// In the lowest bit, whether an unknown name is registered; above it, the version of the
    /// settings that say so.
    auto_register: AtomicU64,
    /// Counts the changes of any settings, so that a record can tell whether what
    /// it remembers of its own still holds.
    version: AtomicU32,
}

impl Context {
    pub(crate) fn new(
        clock: Clock,
        config: Global,
        sink: Arc<dyn EventSink>,
        starter: Option<Starter>,
    ) -> Self {
        let hasher = Hasher::new();
        Context {
            ticks: Ticks::of(&clock),
            clock,
            hasher,
            global: ArcSwap::new(Arc::new(config)),
            sink,
            attention: PerProcess::new(IntrusiveStack::new()),
            waker: PerProcess::new(Waker::new(starter)),
            ids: Ids(AtomicU64::new(1)),
            dice: PerProcess::new(Dice(AtomicU64::new(hasher.hash("dice".into())))),
            plain: AtomicU64::new(Limit::UNKNOWN.bits()),
            auto_register: AtomicU64::new(u64::MAX),
            version: AtomicU32::new(1),
        }
    }

    /// A context without subscribers and without a driver.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn alone(clock: Clock) -> Self {
        let sink = Arc::new(crate::circuit::event_sink::Nowhere);
        Context::new(clock, Global::default(), sink, None)
    }

    /// The version of the settings. It differs in the child of a fork: the thread that would count
    /// a change that was under way may not exist there.
    #[inline]
    pub(crate) fn version(&self) -> u32 {
        // ORDERING: Acquire, partner of the AcqRel in `next_version`: a thread that sees a
        // version sees the settings that it counts.
        let version = self.version.load(Ordering::Acquire);
        version.wrapping_add(fork::incarnation())
    }

    /// Counts a change of some settings.
    pub(crate) fn next_version(&self) {
        // ORDERING: AcqRel, partner of the Acquire in `version`: the settings were replaced
        // before.
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// The limit that was cached last for connections without settings of their own, to be compared
    /// with a version that was read before.
    pub(crate) fn plain_limit(&self) -> Limit {
        // Relaxed: the word says of which version it is.
        Limit::from_bits(self.plain.load(Ordering::Relaxed))
    }

    pub(crate) fn note_plain_limit(&self, limit: Limit) {
        self.plain.store(limit.bits(), Ordering::Relaxed);
    }

    /// Whether an unknown name is registered by its first use. The answer is cached, so that
    /// unknown names do not cost a look at the settings each.
    #[inline]
    pub(crate) fn auto_register(&self) -> bool {
        let version = u64::from(self.version());
        let known = self.auto_register.load(Ordering::Relaxed);
        match known >> 1 == version {
            true => known & 1 == 1,
            false => self.learn_auto_register(version),
        }
    }

    /// Caches the answer. The settings are read after the version, so they are at least as new. If
    /// they are newer, the change is not over: until it is, and the version has gone on, one thread
    /// may be answered as before it and another as after it.
    #[cold]
    fn learn_auto_register(&self, version: u64) -> bool {
        let answer = self.global.load().housekeeping.auto_register();
        let known = version << 1 | u64::from(answer);
        self.auto_register.store(known, Ordering::Relaxed);
        answer
    }

    /// Wakes the dispatcher for a notice, after it was pushed or has found no room. After the
    /// manager has shut down, when no dispatcher comes any more, counts the notice instead.
    pub(crate) fn call_dispatcher(&self) {
        if self.waker.wake_by(0) {
            self.sink.count_left();
        }
    }

    /// Starts the driver again if a fork has left it behind. For operations that may depend on what
    /// only a driver does in time.
    #[inline]
    pub(crate) fn attend(&self) {
        if fork::incarnation() != 0 {
            self.attend_in_child();
        }
    }

    #[cold]
    #[inline(never)]
    fn attend_in_child(&self) {
        self.waker.attend();
    }

    /// Has the driver fill a reserve in which a thread has found nothing.
    #[cold]
    pub(crate) fn want<T>(&self, stock: &Stock<T>) {
        // Without a driver no thread would come. Then the request must not be noted as made, so
        // that a thread of another manager still makes it.
        if self.waker.has_driver() && stock.wants_refill() {
            self.waker.wake();
        }
    }

    /// Checks the ticker when a thread counts its `count`th success or failure on a connection, one
    /// of those with which it looks at the clock.
    pub(crate) fn look_at_ticks(&self, now: Tick, count: u64) {
        self.ticks.check(now, || self.clock.tick());
        if count.is_multiple_of(NOTED) && self.waker.has_driver() && self.ticks.note_reports(now) {
            self.waker.rouse();
        }
    }

    /// Whether successes reported since this moment may have been taken for much earlier ones.
    pub(crate) fn doubts_successes_since(&self, moment: u64) -> bool {
        self.ticks.is_doubtful(moment, || self.clock.tick())
    }

    /// How much later than it shows, in ms, the last report of a connection may have been at most.
    pub(crate) fn longest_lag(&self) -> u64 {
        self.ticks.longest_lag(|| self.clock.tick())
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.ids.0.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of the connection that was registered last.
    pub(crate) fn last_id(&self) -> u64 {
        self.ids.0.load(Ordering::Relaxed) - 1
    }

    /// The settings in effect for a connection with these settings of its own.
    pub(crate) fn settings(&self, own: Option<&Overrides>) -> Settings {
        Overrides::resolve(own, &self.global.load().overrides)
    }

    /// The length of the `trips`-th opening in a row, jitter included.
    pub(crate) fn roll_expiry(&self, settings: &Settings, trips: u32) -> u64 {
        self.roll_jitter(settings, expiry::expiry_ms(settings, trips))
    }

    /// An opening of `ms`, prolonged by the jitter.
    pub(crate) fn roll_jitter(&self, settings: &Settings, ms: u64) -> u64 {
        if settings.jitter == 0.0 {
            return ms;
        }
        expiry::with_jitter(ms, settings.jitter, self.dice.roll())
    }
}
