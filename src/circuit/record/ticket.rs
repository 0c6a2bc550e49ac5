//! What an admission gives to a call, and what passes from one step of an operation to the next:
//! tickets, refusals, and failures that are partly counted.
//!
//! All are plain words, so that what the hot paths compare or return fits into one or two
//! registers. An error that a person reads is made of them where a caller wants one.
//!
//! A ticket is two words, the *place* and the *stamp*:
//!
//! | | the place: 3 bits | 3 bits | the rest | the stamp |
//! |---|---|---|---|---|
//! | to pass | 0 | the [mark](Word::mark) of the word | the mark | *panicking* (1), *coarse* (1), start of the call in µs + 1, or 0 |
//! | of a ramp | 0 | 0 | the generation, and *ramp* | the same |
//! | to pass, of a permit that owns or is traced | 4 | what it is | the mark | the same |
//! | for totals only | 5 | what it is | all ones | as of one to pass |
//! | to probe | 4 | what it is | start of the call in µs + 1 (41), *panicking* (1), slot (16) | the slot's |
//!
//! A permit is *lent* what it refers to, or it is *traced*: it holds no reference to its record,
//! and its report looks that up again.
//!
//! No ticket of mode 4 or 5 is equal to a word. A word of mode 4 is that of a removed connection,
//! and has in place of *what it is* the bit of an owned engine alone, which no ticket has. A word
//! of mode 5 is a ramp's, whose payload is never all ones. A ticket *for totals only* is given to a
//! call that the word does not let pass, in a mode in which all calls pass. *Panicking*: the thread
//! was panicking when it acquired the permit. A ticket has a start if a setting asks for it.
//! *Coarse*: it was read from the coarse clock.

use std::time::Duration;

use super::{Refusal, Ticket};
use crate::circuit::probe_slots::Lease;
use crate::sys::clock;
use crate::values::error::{Rejected, RejectionKind};
use crate::values::generation::Generation;
use crate::values::name_beginning::NameBeginning;
use crate::values::opened::Opened;
use crate::values::state::{NEVER, Word};
use crate::values::tally::Tally;

mod start;

const MODE_SHIFT: u32 = 61;
const OTHER: u64 = 4;
const TOTALS: u64 = 5;
/// The rest of the place of a ticket for totals only.
const ALL_ONES: u64 = (1 << KIND_SHIFT) - 1;

// The three bits after the mode, all zero in a ticket of mode 0.
/// The ticket lets pass, and is traced. A ticket of mode 4 without this bit is a probe's.
const PASS: u64 = 1 << 60;
/// A ticket to probe, or for totals only, is traced.
const OTHER_TRACED: u64 = 1 << 59;
/// The ticket is traced, and the permit owns a reference to its engine.
const ENGINE: u64 = 1 << 58;
const KIND_SHIFT: u32 = 58;
const KIND_MASK: u64 = 7 << KIND_SHIFT;

/// In a mark: the call was admitted in a ramp. No tally has it: one without times is a number of 32
/// bits, and does not fill the payload.
const OF_RAMP: u64 = 1 << (Tally::BITS - 2);
/// In a mark: the tally has times.
const TIMED_MARK: u64 = 1 << (Tally::BITS - 1);

const SLOT_MASK: u64 = 0xffff;
const PASS_PANICKING: u64 = 1 << 63;
const PROBE_PANICKING: u64 = 1 << 16;

const _: () = assert!(
    Word::MARK >> KIND_SHIFT == 0,
    "a mark leaves room for the kind"
);

impl Ticket {
    /// Ticket of a call that a closed circuit lets pass.
    #[inline]
    pub(super) fn to_pass(word: Word) -> Self {
        Ticket::to_pass_at(word.mark())
    }

    /// [`Ticket::to_pass`] of a spotless word.
    #[inline]
    pub(crate) fn at_spotless(word: Word) -> Self {
        Ticket {
            place: word.bits(),
            stamp: 0,
        }
    }

    /// The ticket to pass that a word with this mark gives.
    #[inline]
    pub(crate) fn to_pass_at(mark: u64) -> Self {
        let place = mark & Word::MARK;
        Ticket { place, stamp: 0 }
    }

    pub(crate) fn of_lease(lease: Lease) -> Self {
        Ticket {
            place: OTHER << MODE_SHIFT | u64::from(lease.slot),
            stamp: lease.stamp,
        }
    }

    /// The ticket of a call that a ramp admits.
    pub(super) fn of_ramp(word: Word) -> Self {
        debug_assert!(word.is_ramp());
        Ticket::to_pass_at(word.generation_bits() | OF_RAMP)
    }

    /// Whether it was given in a ramp.
    pub(super) fn is_of_ramp(self) -> bool {
        !self.is_probe() && self.place & (TIMED_MARK | OF_RAMP) == OF_RAMP
    }

    /// Whether a half-open circuit gave it, to probe or in a ramp. Guarded calls inside of such a
    /// call may ride on it.
    #[inline]
    pub(crate) fn is_of_half_open(self) -> bool {
        // A ticket that a healthy circuit gives has neither bit.
        self.place & (OTHER << MODE_SHIFT | OF_RAMP) != 0 && (self.is_probe() || self.is_of_ramp())
    }

    #[inline]
    pub(crate) fn is_probe(self) -> bool {
        self.place & (TOTALS << MODE_SHIFT | PASS) == OTHER << MODE_SHIFT
    }

    /// A probe's, or for totals only: its place has no mark.
    #[inline]
    pub(super) fn is_without_mark(self) -> bool {
        self.place & (OTHER << MODE_SHIFT | PASS) == OTHER << MODE_SHIFT
    }

    /// Ticket of a call whose report changes the totals only.
    pub(super) fn for_totals() -> Self {
        Ticket {
            place: TOTALS << MODE_SHIFT | ALL_ONES,
            stamp: 0,
        }
    }

    pub(super) fn is_for_totals(self) -> bool {
        self.place >> MODE_SHIFT == TOTALS
    }

    pub(crate) fn generation(self) -> Generation {
        match self.lease() {
            Some(lease) => lease.generation(),
            None => Word::from_bits(self.place).generation(),
        }
    }

    /// The mark of the word that a ticket to pass was given by.
    #[inline]
    pub(crate) fn mark(self) -> u64 {
        Word::from_bits(self.place).mark()
    }

    pub(crate) fn lease(self) -> Option<Lease> {
        self.is_probe().then_some(Lease {
            slot: (self.place & SLOT_MASK) as u32,
            stamp: self.stamp,
        })
    }

    /// The traced form of this ticket, for a permit that holds no reference to its record. `self`
    /// is of a permit that is lent all it needs.
    #[inline]
    pub(crate) fn traced(self) -> Self {
        let bits = match self.place >> MODE_SHIFT {
            0 => OTHER << MODE_SHIFT | PASS,
            _ => OTHER_TRACED,
        };
        let place = self.place | bits;
        Ticket { place, ..self }
    }

    /// [`Ticket::traced`] of a permit that owns a reference to its engine.
    #[inline]
    pub(crate) fn owned(self) -> Self {
        let place = self.traced().place | ENGINE;
        Ticket { place, ..self }
    }

    /// Whether the permit holds no reference to its record, and is not lent one.
    #[inline]
    pub(crate) fn is_traced(self) -> bool {
        self.place & (PASS | OTHER_TRACED) != 0
    }

    #[inline]
    pub(crate) fn owns_engine(self) -> bool {
        self.place & ENGINE != 0
    }

    /// Whether it lets pass, and is traced.
    #[inline]
    pub(crate) fn is_traced_pass(self) -> bool {
        self.place >> PASS.trailing_zeros() == OTHER << 1 | 1
    }

    /// The place of a ticket to pass, as if all were lent. That of any other ticket is of no closed
    /// word.
    #[inline]
    pub(crate) fn place_to_pass(self) -> u64 {
        const { assert!(PASS << 3 == OTHER << MODE_SHIFT) };
        // A ticket of this mode that has the flag lets pass.
        self.place ^ (self.place & PASS) << 3
    }

    /// The ticket as if all were lent, with all that a report needs.
    #[inline]
    pub(crate) fn without_possessions(self) -> Self {
        let place = match self.is_without_mark() {
            true => self.place & !KIND_MASK,
            false => self.mark(),
        };
        Ticket { place, ..self }
    }

    /// A ticket as if all were lent, of any words whose first has its highest bit.
    #[cfg(feature = "capi")]
    pub(super) fn of_words(place: u64, stamp: u64) -> Self {
        if place >> MODE_SHIFT == TOTALS {
            return Ticket {
                stamp,
                ..Ticket::for_totals()
            };
        }
        let place = place & !(3 << MODE_SHIFT);
        let ticket = Ticket { place, stamp }.without_possessions();
        match ticket.lease() {
            // A lease has an end. A stamp without one is that of a free slot, which no permit may
            // claim.
            Some(lease) if !lease.has_end() => Ticket {
                stamp: stamp | 1,
                ..ticket
            },
            _ => ticket,
        }
    }

    /// The ticket of a permit that was acquired while its thread was panicking.
    #[cold]
    pub(crate) fn acquired_while_panicking(self) -> Self {
        match self.is_probe() {
            true => Ticket {
                place: self.place | PROBE_PANICKING,
                ..self
            },
            false => Ticket {
                stamp: self.stamp | PASS_PANICKING,
                ..self
            },
        }
    }

    /// Whether a call that ends without a report does so by a panic that began after it was
    /// admitted.
    pub(crate) fn is_dropped_by_panic(self) -> bool {
        std::thread::panicking() && !self.was_acquired_while_panicking()
    }

    fn was_acquired_while_panicking(self) -> bool {
        match self.is_probe() {
            true => self.place & PROBE_PANICKING != 0,
            false => self.stamp & PASS_PANICKING != 0,
        }
    }
}

/// A ticket, or why there is none, in two registers.
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    /// [`Answer::NO_TICKET`], or a ticket's.
    place: u64,
    /// A ticket's, or the refusal.
    stamp: u64,
}

impl Answer {
    /// The place of no ticket.
    const NO_TICKET: u64 = u64::MAX;
    // Values that no wait has.
    const GONE: u64 = u64::MAX;
    const STALE: u64 = u64::MAX - 1;

    #[inline]
    pub(super) fn refused(refused: Refused) -> Self {
        Answer {
            place: Answer::NO_TICKET,
            stamp: refused.0,
        }
    }

    #[inline]
    pub(crate) fn ticket(self) -> Result<Ticket, Refusal> {
        let Answer { place, stamp } = self;
        match (place, stamp) {
            (Answer::NO_TICKET, Answer::GONE) => Err(Refusal::Gone),
            (Answer::NO_TICKET, Answer::STALE) => Err(Refusal::Stale),
            (Answer::NO_TICKET, refused) => Err(Refusal::Rejected(Refused(refused))),
            (place, stamp) => Ok(Ticket { place, stamp }),
        }
    }
}

impl From<Result<Ticket, Refusal>> for Answer {
    fn from(result: Result<Ticket, Refusal>) -> Self {
        let none = |stamp| Answer {
            place: Answer::NO_TICKET,
            stamp,
        };
        match result {
            Ok(Ticket { place, stamp }) => Answer { place, stamp },
            Err(Refusal::Gone) => none(Answer::GONE),
            Err(Refusal::Stale) => none(Answer::STALE),
            Err(Refusal::Rejected(refused)) => Answer::refused(refused),
        }
    }
}

/// Why a call is not admitted, and the wait until another attempt can succeed, in one word. For an
/// open circuit the word is the wait in ms, or [`NEVER`] if the circuit is held open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused(u64);

/// All probes are out, and the low bits are a hint of the wait.
const PROBES_OUT: u64 = 1 << 63;

/// A ramp has not admitted the call, and the low bits are a hint of the wait.
const RECOVERING: u64 = 1 << 62;

/// The longest hint of a wait, while the circuit is half-open.
const LONGEST_HINT: u64 = 1_000;

impl Refused {
    /// The refusal of a circuit that is open until `deadline`, which is `wait` away.
    #[inline]
    pub(super) fn waiting(deadline: u64, wait: u64) -> Self {
        match deadline {
            NEVER => Refused(NEVER),
            _ => Refused(wait),
        }
    }

    /// The refusal of a half-open circuit whose probes are all out, the first until `end` at the
    /// latest.
    pub(super) fn probes_out(end: u64, now: u64) -> Self {
        let wait = end.saturating_sub(now).clamp(1, LONGEST_HINT);
        Refused(PROBES_OUT | wait)
    }

    /// The refusal of a ramp that ends in `left` ms.
    pub(super) fn recovering(left: u64) -> Self {
        Refused(RECOVERING | left.clamp(1, LONGEST_HINT))
    }

    #[inline]
    pub(crate) fn rejection(self) -> RejectionKind {
        match self.0 {
            NEVER => RejectionKind::HeldOpen,
            PROBES_OUT.. => RejectionKind::ProbesOut,
            RECOVERING.. => RejectionKind::Recovering,
            _ => RejectionKind::Open,
        }
    }

    /// The wait in ms; `None` if the circuit is held open by hand.
    #[inline]
    pub(crate) fn wait(self) -> Option<u64> {
        (self.0 != NEVER).then_some(self.0 & !(PROBES_OUT | RECOVERING))
    }

    /// The refusal as a word that is never 0; 0 stands for no refusal.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn to_word(self) -> u64 {
        self.0 + 1
    }

    /// From [`Refused::to_word`].
    #[cfg(feature = "capi")]
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        word.checked_sub(1).map(Refused)
    }
}

impl From<Rejected> for Refused {
    fn from(rejected: Rejected) -> Self {
        let wait = rejected.retry_after.map(clock::millis);
        let wait = wait.map_or(NEVER, |wait| wait.min(NEVER));
        match rejected.kind {
            RejectionKind::ProbesOut => Refused(PROBES_OUT | wait),
            RejectionKind::Recovering => Refused(RECOVERING | wait),
            RejectionKind::Open | RejectionKind::HeldOpen => Refused(wait),
        }
    }
}

impl Refused {
    /// The rejection in full, by a circuit of this name, which opened like this.
    #[inline(always)]
    pub(crate) fn rejected(self, name: NameBeginning, opened: Opened) -> Rejected {
        let retry_after = self.wait().map(Duration::from_millis);
        Rejected::new(self.rejection(), retry_after, name, opened)
    }
}

/// How far a failure is counted.
#[derive(Clone, Copy)]
pub(crate) enum Begun {
    Not,
    /// Into the totals.
    Totalled,
    /// All the way: so many count now.
    Done(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn tickets() -> [Ticket; 3] {
        let word = Word::NEW.probing();
        let lease = Lease {
            slot: 65_534,
            stamp: u64::MAX,
        };
        [
            Ticket::to_pass(word),
            Ticket::for_totals(),
            Ticket::of_lease(lease),
        ]
    }

    #[test]
    fn a_ticket_says_whose_it_is_and_keeps_what_it_reports() {
        for ticket in tickets() {
            assert!(!ticket.is_traced());
            for (traced, engine) in [(ticket.traced(), false), (ticket.owned(), true)] {
                assert!(traced.is_traced());
                assert_eq!(traced.owns_engine(), engine);
                assert_eq!(traced.lease(), ticket.lease());
                assert_eq!(traced.generation(), ticket.generation());
                assert_eq!(traced.without_possessions().place, ticket.place);
            }
        }
    }

    #[test]
    fn a_ticket_remembers_a_panic() {
        for ticket in tickets() {
            assert!(!ticket.was_acquired_while_panicking());
            let panicking = ticket.acquired_while_panicking();
            assert!(panicking.traced().was_acquired_while_panicking());
            assert_eq!(panicking.lease(), ticket.lease());
        }
    }

    #[test]
    fn a_refusal_says_why_and_how_long() {
        let open = Refused::waiting(100, 60);
        assert_eq!(
            (open.rejection(), open.wait()),
            (RejectionKind::Open, Some(60))
        );
        let held = Refused::waiting(NEVER, 60);
        assert_eq!(
            (held.rejection(), held.wait()),
            (RejectionKind::HeldOpen, None)
        );
        for (end, hint) in [(41, 1), (540, 500), (99_999, 1_000)] {
            let out = Refused::probes_out(end, 40);
            assert_eq!(
                (out.rejection(), out.wait()),
                (RejectionKind::ProbesOut, Some(hint))
            );
            assert_eq!(
                Refused::from(out.rejected(NameBeginning::EMPTY, Opened::NONE)),
                out
            );
        }
        assert_eq!(
            Refused::from(held.rejected(NameBeginning::EMPTY, Opened::NONE)),
            held
        );
    }
}
