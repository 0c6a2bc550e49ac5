//! The state word: all that decides whether a call may pass, in 64 bits.
//!
//! ```text
//!  63  62   61        60 … 53   52 … 40      39 … 0
//! ┌──────┬─────────┬─────────┬────────────┬──────────────────────────────────┐
//! │ mode │ retired │  trips  │ generation │ closed: failures in a row (32)   │
//! │      │         │         │            │ open: deadline, monotonic ms     │
//! │      │         │         │            │ half-open: successes so far (32) │
//! └──────┴─────────┴─────────┴────────────┴──────────────────────────────────┘
//! ```
//!
//! Everything here is a value: a transition takes a word and what it needs to
//! know and returns the next word, or none where nothing is to be written. The
//! atomics that apply them are in [`record`](crate::record), in one loop.
//!
//! - **mode**: closed is 0, so that "closed and not retired" is one comparison:
//!   `word < 1 << 61`.
//! - **retired**: the connection was removed. Final; every operation answers
//!   `NotFound`.
//! - **trips**: openings since the circuit was last healthy, for the backoff.
//!   Stops at 255, where every sensible progression has met its maximum.
//! - **generation**: goes on by one whenever the mode changes. A permit carries
//!   the generation it was given in, which is how a late report is told from a
//!   timely one. It wraps: a permit kept while its circuit changes state exactly
//!   8192 times (or a multiple) is taken for a current one.
//! - **deadline**: 40 bits of milliseconds, 34 years of uptime. The largest value
//!   means never, and so does any expiry that would end later.
//!
//! The count of failures lives in the word only while the circuit is closed:
//! that is when a success, a failure and an opening must agree on it. An open
//! circuit needs the room for its deadline, and its count decides nothing; it
//! waits beside the word. Rejected: a second word with count and trips next to
//! this one, which needs a protocol of its own to move in step; and deadlines
//! relative to a per-record base, which are two fields pretending to be one.

use std::fmt;

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum State {
    /// Not registered.
    Unknown = 0,
    /// Healthy: calls pass.
    Closed = 1,
    /// Failing: calls are rejected.
    Open = 2,
    /// Probing: a limited number of calls test whether the dependency recovered.
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

/// The last moment a clock can show: one below [`NEVER`].
pub(crate) const LAST_MOMENT: u64 = NEVER - 1;
/// The deadline of an opening that ends only by hand.
pub(crate) const NEVER: u64 = PAYLOAD_MASK;

const PAYLOAD_BITS: u32 = 40;
const PAYLOAD_MASK: u64 = (1 << PAYLOAD_BITS) - 1;
const GENERATION_BITS: u32 = 13;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;
const TRIPS_SHIFT: u32 = PAYLOAD_BITS + GENERATION_BITS;
const TRIPS_MAX: u64 = 0xff;
const RETIRED: u64 = 1 << 61;
const MODE_SHIFT: u32 = 62;
const COUNT_MAX: u64 = u32::MAX as u64;

const _: () = assert!(TRIPS_SHIFT + 8 == 61, "the fields fill the word");

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Mode {
    Closed = 0,
    HalfOpen = 1,
    Open = 2,
}

/// The deadline of an opening at `now` that lasts `expiry`, both in ms.
pub(crate) fn deadline(now: u64, expiry: u64) -> u64 {
    now.saturating_add(expiry).min(NEVER)
}

/// A circuit's state at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

/// A permit's generation: equal if nothing changed the state in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u16);

impl Generation {
    pub(crate) const BITS: u32 = GENERATION_BITS;

    pub(crate) fn bits(self) -> u64 {
        u64::from(self.0)
    }

    /// Where it is in the word.
    pub(crate) fn in_word(self) -> u64 {
        self.bits() << PAYLOAD_BITS
    }

    /// From the low bits; the others are ignored.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Generation((bits & GENERATION_MASK) as u16)
    }

    /// How many generations it is after `other`, modulo a round.
    pub(crate) fn since(self, other: Generation) -> u64 {
        self.bits().wrapping_sub(other.bits()) & GENERATION_MASK
    }

    /// Whether it came later than `other`, at most half a round apart.
    pub(crate) fn follows(self, other: Generation) -> bool {
        (1..=GENERATION_MASK / 2).contains(&self.since(other))
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

    /// The state as the word says; what time makes of it is [`Word::is_due`]'s.
    pub(crate) fn state(self) -> State {
        match self.mode() {
            Mode::Closed => State::Closed,
            Mode::HalfOpen => State::HalfOpen,
            Mode::Open => State::Open,
        }
    }

    /// The bits that are zero if and only if a word [passes freely](Word::passes_freely).
    #[cfg(feature = "capi")]
    pub(crate) const NOT_FREE: u64 = !(RETIRED - 1);

    /// Closed and not retired: the question of every healthy call.
    #[inline]
    pub(crate) fn passes_freely(self) -> bool {
        self.0 < RETIRED
    }

    /// Closed, not retired, and no failure counted: a success changes nothing.
    #[inline]
    pub(crate) fn is_spotless(self) -> bool {
        self.0 & !Self::MARK == 0
    }

    /// Where trips and generation are: what a permit remembers. A spotless word is its
    /// own mark.
    pub(crate) const MARK: u64 = TRIPS_MAX << TRIPS_SHIFT | GENERATION_MASK << PAYLOAD_BITS;
    /// No closed word has any of these bits: a count is shorter than a deadline.
    pub(crate) const UNUSED: u64 = PAYLOAD_MASK & !COUNT_MAX;
    /// No word has these bits: there is no such mode.
    pub(crate) const IMPOSSIBLE: u64 = 3 << MODE_SHIFT;

    /// Trips and generation, where they are in the word.
    #[inline]
    pub(crate) fn mark(self) -> u64 {
        self.0 & Self::MARK
    }

    /// [Spotless](Word::is_spotless), and with this mark: both in one comparison. What
    /// has other bits than a mark's is refused.
    #[inline]
    pub(crate) fn is_spotless_at(self, mark: u64) -> bool {
        self.0 == mark
    }

    #[inline]
    pub(crate) fn is_retired(self) -> bool {
        self.0 & RETIRED != 0
    }

    #[inline]
    pub(crate) fn generation(self) -> Generation {
        Generation::from_bits(self.0 >> PAYLOAD_BITS)
    }

    /// Openings since the circuit was healthy, at most 255.
    pub(crate) fn trips(self) -> u32 {
        (self.0 >> TRIPS_SHIFT & TRIPS_MAX) as u32
    }

    /// Failures in a row, if the circuit is closed.
    pub(crate) fn failures(self) -> Option<u32> {
        matches!(self.mode(), Mode::Closed).then_some(self.payload() as u32)
    }

    /// When the opening ends, if the circuit is open; [`NEVER`] if only by hand.
    pub(crate) fn deadline(self) -> Option<u64> {
        matches!(self.mode(), Mode::Open).then_some(self.payload())
    }

    /// [`Word::deadline`], unless the connection was removed.
    #[inline]
    pub(crate) fn standing_deadline(self) -> Option<u64> {
        const OPEN: u64 = Mode::Open as u64;
        // Mode and retirement lie side by side.
        (self.0 >> (MODE_SHIFT - 1) == OPEN << 1).then_some(self.payload())
    }

    /// Open, and the time is up: it counts as half-open from now on.
    #[inline]
    pub(crate) fn is_due(self, now: u64) -> bool {
        matches!(self.mode(), Mode::Open) && self.payload() != NEVER && self.payload() <= now
    }

    #[inline]
    fn mode(self) -> Mode {
        match self.0 >> MODE_SHIFT {
            0 => Mode::Closed,
            1 => Mode::HalfOpen,
            _ => Mode::Open,
        }
    }

    /// The count, if the circuit is closed.
    #[inline]
    pub(crate) fn payload(self) -> u64 {
        self.0 & PAYLOAD_MASK
    }
}

// Transitions: `None` where there is nothing to write.
impl Word {
    /// The expiry was reached.
    #[must_use]
    pub(crate) fn expired(self, now: u64) -> Option<Word> {
        self.is_due(now)
            .then(|| self.moved(Mode::HalfOpen, self.trips(), 0))
    }

    /// A success was reported. `needed` successes close a half-open circuit.
    #[must_use]
    pub(crate) fn succeeded(self, needed: u32) -> Option<Word> {
        match self.mode() {
            Mode::Closed if self.payload() == 0 => None,
            Mode::Closed => Some(self.with_payload(0)),
            Mode::Open => None,
            Mode::HalfOpen => {
                let successes = (self.payload() + 1).min(COUNT_MAX);
                Some(if successes >= u64::from(needed) {
                    self.moved(Mode::Closed, 0, 0)
                } else {
                    self.with_payload(successes)
                })
            }
        }
    }

    /// A failure was reported. `trips` says whether the trip rule asks for an
    /// opening, given the failures in a row including this one; `until` the
    /// deadline of the n-th opening in a row.
    #[must_use]
    pub(crate) fn failed(
        self,
        trips: impl FnOnce(u32) -> bool,
        until: impl FnOnce(u32) -> u64,
    ) -> Option<Word> {
        match self.mode() {
            Mode::Closed => {
                let failures = (self.payload() + 1).min(COUNT_MAX);
                Some(if trips(failures as u32) {
                    self.opened(until)
                } else {
                    self.with_payload(failures)
                })
            }
            Mode::HalfOpen => Some(self.opened(until)),
            Mode::Open => None,
        }
    }

    /// A failure was reported to a closed circuit, and `limit` in a row would open
    /// it: the next word, unless it is not closed or this is the one that opens it.
    #[must_use]
    #[inline]
    pub(crate) fn failed_below(self, limit: u32) -> Option<Word> {
        let failures = (self.payload() as u32).saturating_add(1);
        (self.passes_freely() && failures < limit).then(|| self.with_payload(u64::from(failures)))
    }

    /// Failures counted beside the word come into it, if the circuit is closed.
    #[must_use]
    pub(crate) fn with_failures(self, failures: u32) -> Option<Word> {
        let count = self.failures()?.saturating_add(failures);
        Some(self.with_payload(u64::from(count)))
    }

    /// Somebody opens the circuit, or moves an open one's deadline, which is no
    /// new opening.
    #[must_use]
    pub(crate) fn opened_by_hand(self, until: impl FnOnce(u32) -> u64) -> Option<Word> {
        match self.mode() {
            Mode::Open => Some(self.with_payload(until(self.trips()))),
            Mode::Closed | Mode::HalfOpen => Some(self.opened(until)),
        }
    }

    /// Somebody closes the circuit; `failures` were counted in a row until now.
    /// The trips stay: nobody has seen the dependency healthy.
    #[must_use]
    pub(crate) fn closed_by_hand(self, failures: u32) -> Option<Word> {
        match self.mode() {
            Mode::Closed => None,
            Mode::Open | Mode::HalfOpen => {
                Some(self.moved(Mode::Closed, self.trips(), u64::from(failures)))
            }
        }
    }

    /// Somebody asks for probes.
    #[must_use]
    pub(crate) fn half_opened_by_hand(self) -> Option<Word> {
        match self.mode() {
            Mode::HalfOpen => None,
            Mode::Closed | Mode::Open => Some(self.moved(Mode::HalfOpen, self.trips(), 0)),
        }
    }

    /// Back to the beginning, whatever was. A closed circuit stays in its
    /// generation: its permits are still good.
    #[must_use]
    pub(crate) fn reset(self) -> Option<Word> {
        match self.mode() {
            Mode::Closed => {
                let zeroed = Word(self.0 & !(TRIPS_MAX << TRIPS_SHIFT | PAYLOAD_MASK));
                (zeroed != self).then_some(zeroed)
            }
            Mode::Open | Mode::HalfOpen => Some(self.moved(Mode::Closed, 0, 0)),
        }
    }

    /// The connection is removed.
    #[must_use]
    pub(crate) fn retired(self) -> Option<Word> {
        (!self.is_retired()).then_some(Word(self.0 | RETIRED))
    }

    fn opened(self, until: impl FnOnce(u32) -> u64) -> Word {
        let trips = (self.trips() + 1).min(TRIPS_MAX as u32);
        self.moved(Mode::Open, trips, until(trips).min(NEVER))
    }

    fn moved(self, mode: Mode, trips: u32, payload: u64) -> Word {
        let generation = (self.generation().bits() + 1) & GENERATION_MASK;
        Word(
            (mode as u64) << MODE_SHIFT
                | self.0 & RETIRED
                | u64::from(trips) << TRIPS_SHIFT
                | generation << PAYLOAD_BITS
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
            .field("retired", &self.is_retired())
            .field("trips", &self.trips())
            .field("generation", &self.generation().0)
            .field("payload", &self.payload())
            .finish()
    }
}

#[cfg(test)]
mod tests;
