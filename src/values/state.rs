//! The state word: all that decides whether a call may pass, in 64 bits.
//!
//! ```text
//!  63 … 61   60 … 53   52 … 40      39 … 0
//! ┌────────┬─────────┬────────────┬───────────────────────────────────────────┐
//! │  mode  │  trips  │ generation │ closed, watched: the tally of failures     │
//! │        │         │            │ open: the deadline in monotonic ms         │
//! │        │         │            │ probing, ramp: see `half_open`             │
//! │        │         │            │ retired: the mode and the count before     │
//! └────────┴─────────┴────────────┴───────────────────────────────────────────┘
//! ```
//!
//! | mode | is | state |
//! |---|---|---|
//! | 0 | closed | closed |
//! | 1 | watched: closed, and a call needs the time of its start | closed |
//! | 2 | departing: closed, and a cleanup is about to remove the connection | closed |
//! | 3 | probing; with a flag: departing, too | half-open |
//! | 3 | closing: closed, and its tally still has to be taken over | closed |
//! | 4 | retired: the connection was removed | – |
//! | 5 | ramp: the probes have succeeded, and a growing share of the calls passes | half-open |
//! | 6 | open, by hand or by a success that was slow | open |
//! | 7 | open, by a failure | open |
//!
//! The modes are numbered so that each check of a call is one comparison. A call passes without a
//! clock if `word < 1 << 61`. A circuit is closed if `word < 3 << 61`, and open if
//! `word >= 6 << 61`. Python and C read the upper half of the word themselves and make the first
//! comparison. Python also distinguishes open, ramp and the rest (`_abi.py`): its tests of nested
//! calls and of recovery fail if its modes differ from these. Tickets use mode 4, too. A retired
//! word has bits in the place of its trips that no ticket has, so the two are never equal.
//!
//! A transition returns the next word. [`record`](crate::circuit::record) applies it by an
//! exchange.
//!
//! - **trips**: openings since the circuit was last healthy, for the backoff. They stop at 255,
//!   where every sensible progression has reached its maximum.
//! - **generation**: grows by one at each change of the state, and by two where a ramp is closed by
//!   hand. A permit carries that of its admission, which distinguishes a late report from a timely
//!   one. It wraps after 8192 changes: of the permits that are kept for so long, one in 8192 counts
//!   as a current one.
//! - **deadline**: 40 bits of milliseconds, 34 years of uptime. The largest value, or later: never.
//! - **tally**: the failures that count while the circuit is closed
//!   ([`tally`](crate::values::tally)). In the other states the word has no room for it: it is
//!   parked beside the word (`record/parked.rs`). A failure that opens is the last one of its
//!   tally. Mode 7 says that it has to be added to what is parked.
//! - **closing**: closing a circuit takes two steps, since the tally comes back from beside the
//!   word. The first step decides. A thread that finds the word in between takes the second.
//! - **departing**: a flag that changes no decision. Using the circuit clears it (`departure.rs`).
//!
//! Rejected: deadlines relative to a base in each record, which would be one value in two fields; a
//! flag for removal beside the mode, since no other field of a removed connection matters.

mod restored;

use std::fmt;

use crate::values::generation::Generation;
use crate::values::tally::Tally;

mod half_open;
mod retired;

/// The state of a circuit.
///
/// ```
/// assert_eq!(brama::State::HalfOpen.as_str(), "half_open");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum State {
    /// Not registered.
    Unknown = 0,
    /// Healthy: calls pass.
    Closed = 1,
    /// Failing: calls are rejected.
    Open = 2,
    /// Probing: a limited number of calls test whether the dependency recovered. Then it may
    /// ramp up: a growing share of the calls passes.
    HalfOpen = 3,
}

impl State {
    /// `"unknown"`, `"closed"`, `"open"` or `"half_open"`.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half_open",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The deadline of an opening that ends only by hand.
pub(crate) const NEVER: u64 = PAYLOAD_MASK;

const PAYLOAD_BITS: u32 = 40;
const PAYLOAD_MASK: u64 = (1 << PAYLOAD_BITS) - 1;
const TRIPS_SHIFT: u32 = PAYLOAD_BITS + Generation::BITS;
const TRIPS_MAX: u64 = 0xff;
const MODE_SHIFT: u32 = 61;
// Flags of a word that is closing: that it is, that its failures are forgotten, and that a ramp has
// ended.
const CLOSING: u64 = 1 << (PAYLOAD_BITS - 1);
const FORGETTING: u64 = 1 << (PAYLOAD_BITS - 2);
const AFTER_RAMP: u64 = 1 << (PAYLOAD_BITS - 5);

const CLOSED: u64 = 0;
const WATCHED: u64 = 1;
const DEPARTING: u64 = 2;
const PROBING: u64 = 3;
const RETIRED: u64 = 4;
const RAMP: u64 = 5;
const OPEN: u64 = 6;
const OPEN_BY_FAILURE: u64 = 7;

const _: () = {
    assert!(TRIPS_SHIFT + 8 == MODE_SHIFT, "the fields fill the word");
    assert!(Tally::BITS == PAYLOAD_BITS, "a tally fills the payload");
};

/// The deadline of an opening at `now` that lasts `expiry`, both in ms.
pub(crate) fn deadline(now: u64, expiry: u64) -> u64 {
    now.saturating_add(expiry).min(NEVER)
}

/// A circuit's state at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

/// What opens a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenedBy {
    Failure,
    Other,
}

/// What becomes of the tally when a circuit is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// By hand: the failures and the trips stay. The dependency was not seen healthy.
    Keeping,
    /// By a recovery or a reset: no failure counts, and the next opening is the first.
    Forgetting,
    /// By the end of a ramp: likewise, and what the rates have counted in the ramp still counts.
    AfterRamp,
}

impl Closing {
    /// Whether no failure counts afterwards.
    pub(crate) fn forgets(self) -> bool {
        self != Closing::Keeping
    }
}

// Reading.
impl Word {
    /// Closed, nothing counted.
    pub(crate) const NEW: Word = Word(0);

    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Word(bits)
    }

    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// From its upper half: everything but a closed circuit's count.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn from_upper_half(bits: u32) -> Self {
        Word(u64::from(bits) << 32)
    }

    /// The stored state. It does not account for a deadline that has passed: see
    /// [`Word::is_due`]. `Unknown` if the connection was removed.
    pub(crate) fn state(self) -> State {
        match self.mode() {
            CLOSED | WATCHED | DEPARTING => State::Closed,
            PROBING if self.is_closing().is_some() => State::Closed,
            PROBING | RAMP => State::HalfOpen,
            OPEN | OPEN_BY_FAILURE => State::Open,
            _ => State::Unknown,
        }
    }

    /// The bits that are zero if and only if a word [passes freely](Word::passes_freely).
    #[cfg(feature = "capi")]
    pub(crate) const NOT_FREE: u64 = !((1 << MODE_SHIFT) - 1);

    /// Whether it is closed and not watched: every healthy call asks this.
    #[inline]
    pub(crate) fn passes_freely(self) -> bool {
        self.mode() == CLOSED
    }

    /// Whether it is closed and not watched, without trips and failures: a success changes nothing.
    #[inline]
    pub(crate) fn is_spotless(self) -> bool {
        self.0 & !Self::MARK == 0
    }

    /// Whether it is watched, and otherwise [spotless](Word::is_spotless).
    pub(crate) fn is_watched_and_clean(self) -> bool {
        self.0 & !Self::MARK == WATCHED << MODE_SHIFT
    }

    /// What a permit remembers of a closed word: everything but mode, trips and the low digit of
    /// the count. A spotless word is its own mark. So one comparison tells whether the circuit is
    /// still as it was, and also spotless.
    pub(crate) const MARK: u64 = Generation::MASK << PAYLOAD_BITS | PAYLOAD_MASK & !Tally::COUNTED;

    #[inline]
    pub(crate) fn mark(self) -> u64 {
        self.0 & Self::MARK
    }

    /// Whether it is [spotless](Word::is_spotless) and has this mark. False for other tickets.
    #[inline]
    pub(crate) fn is_spotless_at(self, mark: u64) -> bool {
        self.0 == mark
    }

    /// Whether this word, which [passes freely](Word::passes_freely), has the generation of this
    /// mark. False for other tickets, which have a mode.
    #[inline]
    pub(crate) fn is_closed_at(self, mark: u64) -> bool {
        const BITS: u64 = 7 << MODE_SHIFT | Generation::MASK << PAYLOAD_BITS;
        (self.0 ^ mark) & BITS == 0
    }

    #[inline]
    pub(crate) fn is_watched(self) -> bool {
        self.mode() == WATCHED
    }

    #[inline]
    pub(crate) fn generation(self) -> Generation {
        Generation::from_bits(self.0 >> PAYLOAD_BITS)
    }

    /// The generation in which the present state began. A ramp continues that of the one before.
    #[inline]
    pub(crate) fn state_generation(self) -> Generation {
        match self.is_ramp() {
            true => self.generation().previous(),
            false => self.generation(),
        }
    }

    /// The bits of the generation, at their place in the word.
    pub(crate) fn generation_bits(self) -> u64 {
        self.0 & Generation::MASK << PAYLOAD_BITS
    }

    /// Openings since the circuit was healthy, at most 255.
    pub(crate) fn trips(self) -> u32 {
        (self.0 >> TRIPS_SHIFT & TRIPS_MAX) as u32
    }

    /// The failures that count, if the circuit is closed.
    #[inline]
    pub(crate) fn tally(self) -> Option<Tally> {
        (self.mode() <= DEPARTING).then(|| Tally::from_bits(self.payload()))
    }

    #[inline]
    pub(crate) fn is_open(self) -> bool {
        self.0 >= OPEN << MODE_SHIFT
    }

    /// When the opening ends, if the circuit is open; [`NEVER`] if it ends only by hand.
    #[inline]
    pub(crate) fn deadline(self) -> Option<u64> {
        self.is_open().then_some(self.payload())
    }

    /// [`Word::deadline`] of a word that is known to be open.
    #[inline]
    pub(crate) fn deadline_of_open(self) -> u64 {
        debug_assert!(self.is_open());
        self.payload()
    }

    /// Whether a failure opened the circuit, and has to be added to the parked tally.
    pub(crate) fn is_opened_by_failure(self) -> bool {
        self.mode() == OPEN_BY_FAILURE
    }

    /// Whether the circuit was closed, and its tally still has to be taken over.
    pub(crate) fn is_closing(self) -> Option<Closing> {
        let is_closing = self.mode() == PROBING && self.0 & CLOSING != 0;
        is_closing.then_some(match (self.0 & FORGETTING, self.0 & AFTER_RAMP) {
            (0, _) => Closing::Keeping,
            (_, 0) => Closing::Forgetting,
            _ => Closing::AfterRamp,
        })
    }

    /// Whether a cleanup is about to remove the connection.
    pub(crate) fn is_departing(self) -> bool {
        match self.mode() {
            DEPARTING => true,
            PROBING => self.is_departing_half_open(),
            _ => false,
        }
    }

    /// Whether it is closed and not departing: no cleanup is about to remove the connection.
    #[inline]
    pub(crate) fn is_settled(self) -> bool {
        self.0 < DEPARTING << MODE_SHIFT
    }

    /// When the state ends by itself: an opening, or a ramp.
    #[inline]
    pub(crate) fn due_at(self) -> Option<u64> {
        match self.deadline() {
            Some(deadline) => (deadline != NEVER).then_some(deadline),
            None => self.ramp_end(),
        }
    }

    /// Whether its time is up, if it is open or a ramp: then it counts as half-open or as closed.
    #[inline]
    pub(crate) fn is_due(self, now: u64) -> bool {
        self.due_at().is_some_and(|due| due <= now)
    }

    /// The generation of the reports that count for the rates; `None` if none count. In a ramp it
    /// is that of the closed circuit that follows, where they still count.
    pub(crate) fn evidence_generation(self) -> Option<Generation> {
        match self.mode() {
            CLOSED | WATCHED | DEPARTING => Some(self.generation()),
            RAMP => Some(self.generation().next()),
            _ => None,
        }
    }

    #[inline]
    fn mode(self) -> u64 {
        self.0 >> MODE_SHIFT
    }

    #[inline]
    fn payload(self) -> u64 {
        self.0 & PAYLOAD_MASK
    }
}

// Transitions.
impl Word {
    /// Adds a failure in a row, and returns the next word and the count. `None` unless the circuit
    /// is closed and not watched, and its tally is plain and remains below `limit`, which is at
    /// most [`Tally::SMALL`] plus one.
    #[must_use]
    #[inline]
    pub(crate) fn with_failure_below(self, limit: u32) -> Option<(Word, u32)> {
        const { assert!(Tally::SMALL as u64 == Tally::COUNTED) };
        // Timed tallies and large plain ones are numbers of at least `limit`: `is_below` is false.
        debug_assert!(limit <= Tally::SMALL + 1);
        let count = self.payload() + 1;
        let is_below = count < u64::from(limit);
        (self.passes_freely() && is_below).then_some((Word(self.0 + 1), count as u32))
    }

    /// The closed circuit, with another tally.
    #[must_use]
    pub(crate) fn with_tally(self, tally: Tally) -> Word {
        debug_assert!(self.mode() <= WATCHED);
        self.with_payload(tally.bits())
    }

    /// The closed circuit, watched or not. The permits of its generation stay good.
    #[must_use]
    pub(crate) fn watched(self, watched: bool) -> Word {
        debug_assert!(self.mode() <= WATCHED);
        Word(self.0 & !(7 << MODE_SHIFT) | u64::from(watched) << MODE_SHIFT)
    }

    /// How many trips there are after one more opening.
    pub(crate) fn next_trips(self) -> u32 {
        (self.trips() + 1).min(TRIPS_MAX as u32)
    }

    /// Opens the circuit. The tally must have been parked.
    #[must_use]
    pub(crate) fn opened(self, by: OpenedBy, deadline: u64) -> Word {
        let mode = match by {
            OpenedBy::Other => OPEN,
            OpenedBy::Failure => OPEN_BY_FAILURE,
        };
        self.moved(mode, self.next_trips(), deadline.min(NEVER))
    }

    /// An open circuit, with another deadline. This is no new opening.
    #[must_use]
    pub(crate) fn rearmed(self, deadline: u64) -> Word {
        debug_assert!(self.deadline().is_some());
        self.with_payload(deadline.min(NEVER))
    }

    /// Closes the circuit: the first step.
    #[must_use]
    pub(crate) fn closing(self, closing: Closing) -> Word {
        let before = match self.is_ramp() && closing != Closing::AfterRamp {
            // Skips the next generation: it is that of the ramp's evidence, which ends here.
            true => self.moved(RAMP, self.trips(), self.payload()),
            false => self,
        };
        match closing {
            Closing::Keeping => before.moved(PROBING, self.trips(), CLOSING),
            Closing::Forgetting => before.moved(PROBING, 0, CLOSING | FORGETTING),
            Closing::AfterRamp => before.moved(PROBING, 0, CLOSING | FORGETTING | AFTER_RAMP),
        }
    }

    /// The second step of closing.
    #[must_use]
    pub(crate) fn closed(self, tally: Tally, watched: bool) -> Word {
        debug_assert!(self.is_closing().is_some());
        Word(self.0 & !(7 << MODE_SHIFT | PAYLOAD_MASK) | tally.bits()).watched(watched)
    }

    /// A closed circuit whose failures and trips are forgotten. Its permits stay good.
    #[must_use]
    pub(crate) fn zeroed(self) -> Word {
        debug_assert!(self.mode() <= WATCHED);
        let tally = Tally::from_bits(self.payload()).cleared();
        Word(self.0 & !(TRIPS_MAX << TRIPS_SHIFT | PAYLOAD_MASK) | tally.bits())
    }

    /// A closed circuit that has proved healthy: its next opening is the first. Its failures stay,
    /// and its permits good.
    #[must_use]
    pub(crate) fn without_trips(self) -> Word {
        debug_assert!(self.mode() <= WATCHED);
        Word(self.0 & !(TRIPS_MAX << TRIPS_SHIFT))
    }

    /// A cleanup is about to remove the connection, which is closed or half-open.
    #[must_use]
    pub(crate) fn departing(self) -> Word {
        match self.tally() {
            Some(_) => Word(self.0 & !(7 << MODE_SHIFT) | DEPARTING << MODE_SHIFT),
            None => self.departing_half_open(),
        }
    }

    /// The connection stays: as it was before it was departing. A closed circuit is watched if
    /// its settings say so.
    #[must_use]
    pub(crate) fn staying(self, watched: bool) -> Word {
        debug_assert!(self.is_departing());
        match self.mode() {
            DEPARTING => Word(self.0 & !(7 << MODE_SHIFT)).watched(watched),
            _ => self.staying_half_open(),
        }
    }

    fn moved(self, mode: u64, trips: u32, payload: u64) -> Word {
        Word(
            mode << MODE_SHIFT
                | u64::from(trips) << TRIPS_SHIFT
                | self.generation().next().bits() << PAYLOAD_BITS
                | payload,
        )
    }

    fn with_payload(self, payload: u64) -> Word {
        Word(self.0 & !PAYLOAD_MASK | payload)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Word")
            .field("state", &self.state())
            .field("mode", &self.mode())
            .field("trips", &self.trips())
            .field("generation", &self.generation().bits())
            .field("payload", &self.payload())
            .finish()
    }
}

mod held;
#[cfg(test)]
mod tests;
