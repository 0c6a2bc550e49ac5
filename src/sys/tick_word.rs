//! The tick word: a report learns from it, without the clock, that time has not moved.
//!
//! A healthy call keeps the time of the last success, and reading the coarse clock for it takes
//! longer than all the rest. But the time that it keeps changes once in each tick of that clock. So
//! while calls are so frequent that it pays, a thread that sleeps anyway (the driver) stores the
//! tick here each time it changes. A success whose cell has a time that is no earlier than this word
//! counts, and is done. All others read the clock, as they do while the word is *off*. The time of
//! the last failure, which lies in the record, is kept in the same way. Rates and windows take the
//! time of a failure from the clock, so what follows is about successes.
//!
//! The word only ever says "not since". No event, expiry, deadline or lease is taken from it.
//!
//! | the word | stands for | a success |
//! |---|---|---|
//! | `tick` | on: time had come so far when the ticker last looked | reads the clock if its cell's time is earlier |
//! | `AWAY` with `tick` | the ticker goes, and had looked then | reads the clock |
//! | [`OFF`] | off | reads the clock |
//!
//! # A ticker that does not come
//!
//! A thread that stores the time can be kept from it: by other threads, by a debugger, by a fork that
//! leaves it behind. Then the word stands still, and successes are taken for earlier ones. In the
//! rates over a time they would be missing, and failures alone open circuits. Hence:
//!
//! - **A limit.** A word that is more than [`LONGEST_LAG`] behind the clock is switched off by the
//!   thread that finds it. Each thread looks with every 64th success and every 64th failure that it
//!   counts on a connection, each evaluation of a rate does, and the ticker before it stores the
//!   next tick.
//! - **A mark, once no success is hidden any more.** A thread that finds the word so exchanges it for
//!   the same tick with `AWAY`: from then on successes read the clock. Then it reads the clock, marks
//!   that moment, and switches the word off. A thread that evaluates a rate finds either the outdated
//!   tick, and marks by itself, or *off* and the mark. While the mark is within its window, a rate
//!   opens nothing ([`TickWord::is_doubtful`]).
//! - **A next tick, or a second look.** A ticker may be stopped between its look at the clock and its
//!   exchange. If it stores the tick that it has read, that one is then too old itself, and is found
//!   so. If it goes, no tick would be left to be found: so it leaves the tick that it has read, with
//!   `AWAY`, and looks once more before it takes that away.
//!
//! So a success is kept as of a moment that is at most twice [`LONGEST_LAG`] before the truth, or there
//! is a mark. One tick is usual.
//!
//! After that the word stays off for a minute, and each time for twice as long, up to 17 hours: on a
//! machine that starves its threads the rates would otherwise never be sure.
//!
//! # Who ticks
//!
//! The driver of a manager, while it sleeps: [`driver_thread`](crate::manager::driver). It goes before
//! it does anything that could take long. One of a process ticks at a time: the one that exchanges
//! the word while it is off. It replaces only what it has stored itself, so a ticker that was found
//! starved, and one of another manager, never meet.
//!
//! Reporters say when it pays, by the thousand ([`TickWord::note_reports`]), and wake the driver when
//! the word is off. While no thread says so, the ticker goes: an idle process is not woken.
//!
//! # What was rejected
//!
//! - *The time in the word, for all who ask for it*: deadlines must not depend on a thread.
//! - *A thread of its own*, or one that a report starts: a host counts its threads.
//! - *The processor's counter* (`rdtsc`), which takes longer than all the rest of a healthy call,
//!   and is not there everywhere.

use crate::sys::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    modelled, shipped,
};
use crate::sys::clock::{Clock, LONGEST_LAG, Tick};

/// No ticker. Later than all ticks: all successes read the clock.
const OFF: u64 = u64::MAX;

/// In a word beside the last tick of a ticker that goes. Later than all ticks of 272 years.
const AWAY: u64 = 1 << 63;

/// How many successes each of those counts of which a process has [`ENOUGH`] in a tick.
pub(crate) const NOTED: u64 = 1_024;

/// So many successes in a tick, `ENOUGH` times [`NOTED`], are worth a wake. It takes 5 to 20 µs of a
/// core; 8 192 readings of the clock take 20 to 40.
const ENOUGH: u64 = 8;

/// How long a tick is worth storing after so many successes were last reported.
const PATIENCE_MS: u64 = 128;

/// For how long the word stays off after a ticker was starved for the first time.
const REST_MS: u64 = 60_000;
const DOUBLED_AT_MOST: u64 = 10;

/// A word, and what belongs to it.
pub(crate) struct TickWord {
    word: Line<AtomicU64>,
    rare: Line<Rare>,
}

/// On lines of its own.
#[repr(align(128))]
struct Line<T>(T);

/// What successes do not read.
struct Rare {
    /// When a ticker was last found starved, the word of a [`Tick`], or 0.
    starved: AtomicU64,
    /// How often.
    starvations: AtomicU64,
    /// For how long a tick has stood at most, in ms.
    longest: AtomicU64,
    /// The last tick in which so many successes were reported that it pays, the word of it.
    wanted: AtomicU64,
    /// The tick in which `notes` are counted. Two threads may mix two ticks up: it is a guess.
    counting: AtomicU64,
    notes: AtomicU64,
}

shipped! {
    const _: () = assert!(align_of::<TickWord>() == 128 && size_of::<TickWord>() == 256);
}

/// The last tick that a word shows, if it shows one.
fn last_tick(word: u64) -> Option<Tick> {
    match word {
        OFF => None,
        word => Tick::from_word(word & !AWAY),
    }
}

/// Whether a tick that is the last one at this moment is too old.
fn is_outdated(last: Tick, now: Tick) -> bool {
    now.micros_since(last) > LONGEST_LAG * 1_000
}

impl TickWord {
    /// To be compared with the time of a cell, of which it says nothing if it is later.
    #[inline(always)]
    pub(crate) fn word(&self) -> u64 {
        // Relaxed: nothing is read because of it. What it is late for, it is as well late for if it
        // was loaded by a thread that is stopped then.
        self.word.0.load(Relaxed)
    }

    /// Switches the word off if no ticker has come for too long, as it was at `now`. `clock` tells the
    /// time after that.
    pub(crate) fn check(&self, now: Tick, clock: impl Fn() -> Tick) {
        let seen = self.word.0.load(Relaxed);
        if last_tick(seen).is_some_and(|last| is_outdated(last, now)) {
            self.switch_off_starved(seen, clock);
        }
    }

    /// Whether successes reported since this moment, in ms, may have been taken for earlier ones,
    /// by more than twice [`LONGEST_LAG`]. Asked after they were counted up: the word says nothing
    /// of what comes next. `clock` is read after the call.
    pub(crate) fn is_doubtful(&self, since: u64, clock: impl Fn() -> Tick) -> bool {
        // ORDERING: Acquire, partner of the Release in `switch_off_starved`: who finds what came
        // after a starved ticker finds the mark. All changes are exchanges, so those in between do
        // not break the chain.
        let seen = self.word.0.load(Acquire);
        if last_tick(seen).is_some_and(|last| is_outdated(last, clock())) {
            self.switch_off_starved(seen, clock);
        }
        let starved = Tick::from_word(self.rare.0.starved.load(Relaxed));
        starved.is_some_and(|starved| starved.ms() >= since)
    }

    /// How much later than it shows, in ms, the last success of a cell may have been at most.
    pub(crate) fn longest_lag(&self, clock: impl Fn() -> Tick) -> u64 {
        self.check(clock(), &clock);
        let rare = &self.rare.0;
        match rare.wanted.load(Relaxed) {
            0 => 0,
            _ => 2 * LONGEST_LAG + rare.longest.load(Relaxed),
        }
    }

    /// The word has shown `seen` for too long. Until the first exchange, successes are taken for
    /// earlier ones. After it the word still shows the old tick, so a thread that asks finds it
    /// outdated and marks by itself. So the time of the last mark is later than the last such success.
    #[cold]
    fn switch_off_starved(&self, seen: u64, clock: impl Fn() -> Tick) {
        let (rare, away) = (&self.rare.0, seen | AWAY);
        // Relaxed: who finds the exchange finds an outdated tick.
        let word = &self.word.0;
        if seen != away {
            // If it fails, another thread has done so, and may have marked. This one marks, too.
            let _ = word.compare_exchange(seen, away, Relaxed, Relaxed);
        }
        let now = clock();
        if let Some(last) = last_tick(seen) {
            let stood = now.ms().saturating_sub(last.ms());
            rare.longest.fetch_max(stood, Relaxed);
        }
        rare.starved.fetch_max(now.to_word(), Relaxed);
        // ORDERING: Release, partner of the Acquire in `is_doubtful`: the mark comes first.
        let exchange = word.compare_exchange(away, OFF, Release, Relaxed);
        if exchange.is_ok() {
            rare.starvations.fetch_add(1, Relaxed);
        }
    }

    /// Notes that a cell has counted [`NOTED`] more successes. True: a ticker would pay, there is
    /// none, and there may be one.
    pub(crate) fn note_reports(&self, now: Tick) -> bool {
        let (rare, now_word) = (&self.rare.0, now.to_word());
        // Written a few times in a tick, and then only read.
        if rare.wanted.load(Relaxed) == now_word {
            return false;
        }
        if rare.counting.load(Relaxed) != now_word {
            rare.counting.store(now_word, Relaxed);
            rare.notes.store(1, Relaxed);
            return false;
        }
        if rare.notes.fetch_add(1, Relaxed) + 1 < ENOUGH {
            return false;
        }
        rare.wanted.store(now_word, Relaxed);
        self.word() == OFF && self.has_rested(now)
    }

    /// Whether so many successes were reported lately that a ticker pays.
    fn is_wanted(&self, now: Tick) -> bool {
        let wanted = Tick::from_word(self.rare.0.wanted.load(Relaxed));
        wanted.is_some_and(|wanted| now.micros_since(wanted) <= PATIENCE_MS * 1_000)
    }

    /// Whether it is long enough ago that a ticker was starved.
    fn has_rested(&self, now: Tick) -> bool {
        let rare = &self.rare.0;
        let Some(starved) = Tick::from_word(rare.starved.load(Relaxed)) else {
            return true;
        };
        let doubled = rare.starvations.load(Relaxed).saturating_sub(1);
        let rest = REST_MS << doubled.min(DOUBLED_AT_MOST);
        now.micros_since(starved) >= rest * 1_000
    }

    /// Makes the caller the ticker, if one is wanted and there is none.
    pub(crate) fn begin(&self, clock: impl Fn() -> Tick) -> Option<Ticker<'_>> {
        let now = clock();
        // One that was left behind by a fork without handlers.
        self.check(now, clock);
        let may_begin = self.is_wanted(now) && self.has_rested(now);
        // Relaxed, here and in `Ticker`: the chain goes on by any exchange.
        let has_begun = may_begin
            && self
                .word
                .0
                .compare_exchange(OFF, now.to_word(), Relaxed, Relaxed)
                .is_ok();
        has_begun.then_some(Ticker {
            ticks: self,
            stored: now,
        })
    }
}

shipped! {
    impl TickWord {
        /// In the child of a fork, by its only thread: there is no ticker.
        fn leave_behind(&self, clock: impl Fn() -> Tick) {
            self.check(clock(), clock);
            self.word.0.store(OFF, Relaxed);
        }
    }
}

/// The thread that stores the ticks.
pub(crate) struct Ticker<'a> {
    ticks: &'a TickWord,
    /// What it has stored last, and alone replaces.
    stored: Tick,
}

impl Ticker<'_> {
    /// Time has come so far. False: there is nothing to tick for, or another thread has switched the
    /// word off.
    #[must_use]
    pub(crate) fn tick(&mut self, clock: impl Fn() -> Tick) -> bool {
        let now = clock();
        if now <= self.stored {
            return true;
        }
        if !self.replace_by(now, now.to_word(), clock) {
            return false;
        }
        self.stored = now;
        self.ticks.is_wanted(now)
    }

    /// Goes: from now on, successes read the clock.
    pub(crate) fn end(mut self, clock: impl Fn() -> Tick) {
        let last = clock();
        let away = last.to_word() | AWAY;
        if !self.replace_by(last, away, &clock) {
            return;
        }
        // Stopped in between, it has left a tick that stood for too long.
        match is_outdated(last, clock()) {
            true => self.ticks.switch_off_starved(away, clock),
            false => {
                let word = &self.ticks.word.0;
                let _ = word.compare_exchange(away, OFF, Relaxed, Relaxed);
            }
        }
    }

    /// Exchanges what it has stored, unless that has stood for too long or is gone.
    fn replace_by(&mut self, now: Tick, next: u64, clock: impl Fn() -> Tick) -> bool {
        let stored = self.stored.to_word();
        if is_outdated(self.stored, now) {
            self.ticks.switch_off_starved(stored, clock);
            return false;
        }
        let word = &self.ticks.word.0;
        word.compare_exchange(stored, next, Relaxed, Relaxed)
            .is_ok()
    }
}

shipped! {
    use std::ops::Deref;

    use crate::sys::fork;

    /// The process's.
    static PROCESS: TickWord = TickWord::new();
    /// Of all that go by a manual clock: always off.
    static NO_TICKS: TickWord = TickWord::new();

    impl TickWord {
        const fn new() -> Self {
            TickWord {
                word: Line(AtomicU64::new(OFF)),
                rare: Line(Rare {
                    starved: AtomicU64::new(0),
                    starvations: AtomicU64::new(0),
                    longest: AtomicU64::new(0),
                    wanted: AtomicU64::new(0),
                    counting: AtomicU64::new(0),
                    notes: AtomicU64::new(0),
                }),
            }
        }
    }

    fn leave_process_behind() {
        PROCESS.leave_behind(|| Clock::system().tick());
    }

    /// The word that belongs to a manager's clock.
    #[derive(Clone, Copy)]
    pub(crate) struct Ticks(&'static TickWord);

    impl Ticks {
        pub(crate) fn of(clock: &Clock) -> Self {
            match clock {
                Clock::System(_) => {
                    fork::on_child(leave_process_behind);
                    Ticks(&PROCESS)
                }
                Clock::Manual(_) => Ticks(&NO_TICKS),
            }
        }

        /// [`TickWord::note_reports`]. By a manual clock there is never a ticker: what one test
        /// reports in a tick delays no cleanup of another one.
        pub(crate) fn note_reports(self, now: Tick) -> bool {
            !std::ptr::eq(self.0, &raw const NO_TICKS) && self.0.note_reports(now)
        }

        #[cfg(test)]
        pub(crate) fn of_a_test() -> Self {
            Ticks(Box::leak(Box::new(TickWord::new())))
        }
    }

    impl Deref for Ticks {
        type Target = TickWord;

        #[inline(always)]
        fn deref(&self) -> &TickWord {
            self.0
        }
    }
}

modelled! {
    use loom::sync::Arc;

    impl TickWord {
        pub(crate) fn new() -> Self {
            TickWord {
                word: Line(AtomicU64::new(OFF)),
                rare: Line(Rare {
                    starved: AtomicU64::new(0),
                    starvations: AtomicU64::new(0),
                    longest: AtomicU64::new(0),
                    wanted: AtomicU64::new(0),
                    counting: AtomicU64::new(0),
                    notes: AtomicU64::new(0),
                }),
            }
        }
    }

    impl TickWord {
        /// The ticker that has stored this last.
        pub(crate) fn ticker_since(&self, stored: Tick) -> Ticker<'_> {
            Ticker { ticks: self, stored }
        }

        /// [`TickWord::word`], and never an earlier one.
        pub(crate) fn word_by_exchange(&self) -> u64 {
            self.word.0.fetch_or(0, Relaxed)
        }
    }

    /// Each manager of a model has one of its own, which stays off unless the model says otherwise.
    #[derive(Clone)]
    pub(crate) struct Ticks(Arc<TickWord>);

    impl Ticks {
        pub(crate) fn of(_clock: &Clock) -> Self {
            Ticks(Arc::new(TickWord::new()))
        }
    }

    impl std::ops::Deref for Ticks {
        type Target = TickWord;

        fn deref(&self) -> &TickWord {
            &self.0
        }
    }
}

#[cfg(test)]
impl TickWord {
    /// As if so many successes were reported in this tick that a ticker pays.
    pub(crate) fn want_ticker(&self, now: Tick) {
        self.rare.0.wanted.store(now.to_word(), Relaxed);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.word() & AWAY == 0
    }

    /// How often a ticker was found starved.
    #[cfg_attr(loom, expect(dead_code))]
    pub(crate) fn starvations(&self) -> u64 {
        self.rare.0.starvations.load(Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
