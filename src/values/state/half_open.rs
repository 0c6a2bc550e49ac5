//! The state word of a half-open circuit: what its probes have reported, and the ramp.
//!
//! ```text
//!            39        38           37         36       35     34 … 32   31 … 16    15 … 0
//!         ┌─────────┬────────────┬───────────┬─────────┬──────┬─────────┬──────────┬───────────┐
//! probing │ closing │ forgetting │ departing │ keeping │ held │ raised  │ failures │ successes │
//!         └─────────┴────────────┴───────────┴─────────┴──────┴─────────┴──────────┴───────────┘
//!            39       38 … 0
//!         ┌─────────┬──────────────────────────────────────────────────────────────────────────┐
//! ramp    │ failed  │ end of the ramp, in units of 2 ms                                        │
//!         └─────────┴──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! - **failures, successes**: of probes, in this generation. They stop at 65 535, the most that
//!   settings can ask for.
//! - **keeping**: the successes have not cleared the failures that counted before.
//! - **held**: it was made half-open by hand while the mode was disabled ([`held`](super::held)).
//! - **raised**: grows by one each time totals are restored beside it (`record/restore.rs`).
//! - **departing**: a cleanup is about to remove the connection.
//! - **failed**: the last report was a failure. Two in a row end a ramp.
//!
//! A ramp has a generation of its own. So probes that are still out when it begins are late. A
//! permit of the ramp has this generation, or the next one, which is that of the closed circuit.

use super::{AFTER_RAMP, CLOSING, PAYLOAD_BITS, PROBING, RAMP, Word};

const COUNT_MASK: u64 = 0xffff;
const FAILURES_SHIFT: u32 = 16;
/// A cleanup is about to remove the connection.
const DEPARTING: u64 = 1 << (PAYLOAD_BITS - 3);
/// The successes have not cleared the failures.
const KEEPING: u64 = 1 << (PAYLOAD_BITS - 4);
/// It was made half-open by hand while the mode was disabled.
pub(super) const HELD: u64 = 1 << (PAYLOAD_BITS - 5);

/// How often totals were restored beside this word, modulo 8.
const RAISED_SHIFT: u32 = 2 * FAILURES_SHIFT;
const RAISED_MASK: u64 = 7 << RAISED_SHIFT;

/// The last report of a ramp was a failure.
const FAILED: u64 = 1 << (PAYLOAD_BITS - 1);
const END_MASK: u64 = FAILED - 1;
/// The end of a ramp is a multiple of so many ms.
const END_UNIT: u64 = 2;

const _: () = {
    assert!(RAISED_MASK > COUNT_MASK << FAILURES_SHIFT && HELD > RAISED_MASK);
    assert!(AFTER_RAMP < KEEPING);
};

// Reading.
impl Word {
    /// Whether it is probing, or a ramp.
    #[inline]
    pub(crate) fn is_half_open(self) -> bool {
        self.is_probing() || self.is_ramp()
    }

    #[inline]
    fn is_probing(self) -> bool {
        self.mode() == PROBING && self.0 & CLOSING == 0
    }

    #[inline]
    pub(crate) fn is_ramp(self) -> bool {
        self.mode() == RAMP
    }

    /// Successes of probes so far, if the circuit is probing.
    pub(crate) fn successes(self) -> Option<u32> {
        self.is_probing()
            .then_some((self.payload() & COUNT_MASK) as u32)
    }

    /// Failures of probes so far that have not opened the circuit, if it is probing.
    pub(crate) fn probe_failures(self) -> Option<u32> {
        let failures = self.payload() >> FAILURES_SHIFT & COUNT_MASK;
        self.is_probing().then_some(failures as u32)
    }

    /// Whether a success of this probing circuit has cleared its failures.
    pub(crate) fn has_cleared(self) -> bool {
        self.successes() > Some(0) && self.0 & KEEPING == 0
    }

    pub(super) fn is_departing_half_open(self) -> bool {
        self.0 & DEPARTING != 0
    }

    /// When the ramp ends, in monotonic ms.
    #[inline]
    pub(crate) fn ramp_end(self) -> Option<u64> {
        self.is_ramp()
            .then_some((self.payload() & END_MASK) * END_UNIT)
    }

    /// Failures in a row up to the last report, if this is a ramp: 0 or 1, since the second opens.
    pub(crate) fn failures_in_ramp(self) -> Option<u32> {
        self.is_ramp()
            .then_some(u32::from(self.payload() & FAILED != 0))
    }
}

// Transitions.
impl Word {
    /// Admits probes from now on.
    #[must_use]
    pub(crate) fn probing(self) -> Word {
        self.moved(PROBING, self.trips(), 0)
    }

    /// Counts one more successful probe, which clears the failures or leaves them.
    #[must_use]
    pub(crate) fn with_success(self, clears: bool) -> Word {
        let keeping = match clears || self.has_cleared() {
            true => 0,
            false => KEEPING,
        };
        let word = self.with_payload(self.payload() & !(KEEPING | HELD) | keeping);
        word.with_count(0)
    }

    /// Counts one more probe that failed or was too slow, and that does not open the circuit.
    #[must_use]
    pub(crate) fn with_probe_failure(self) -> Word {
        self.with_count(FAILURES_SHIFT)
    }

    fn with_count(self, shift: u32) -> Word {
        debug_assert!(self.is_probing());
        let is_full = self.payload() >> shift & COUNT_MASK == COUNT_MASK;
        Word(self.0 + (u64::from(!is_full) << shift))
    }

    /// The probing circuit, after totals were restored. `None` if it is not probing.
    #[must_use]
    pub(crate) fn with_totals_raised(self) -> Option<Word> {
        let raised = self.0.wrapping_add(1 << RAISED_SHIFT) & RAISED_MASK;
        self.is_probing()
            .then_some(Word(self.0 & !RAISED_MASK | raised))
    }

    /// The probes have succeeded: a ramp until `end`, in monotonic ms.
    #[must_use]
    pub(crate) fn ramping(self, end: u64) -> Word {
        self.moved(RAMP, self.trips(), end.div_ceil(END_UNIT).min(END_MASK))
    }

    /// The ramp, after a report.
    #[must_use]
    pub(crate) fn with_report_in_ramp(self, failed: bool) -> Word {
        debug_assert!(self.is_ramp());
        let failed = if failed { FAILED } else { 0 };
        self.with_payload(self.payload() & END_MASK | failed)
    }

    pub(super) fn departing_half_open(self) -> Word {
        debug_assert!(self.is_probing());
        Word(self.0 | DEPARTING)
    }

    pub(super) fn staying_half_open(self) -> Word {
        Word(self.0 & !DEPARTING)
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use crate::sys::clock::LAST_MOMENT;

    fn probing() -> Word {
        Word::NEW.opened(OpenedBy::Failure, 9).probing()
    }

    #[test]
    fn successes_and_failures_of_probes_are_counted_apart_and_stop() {
        let mut word = probing();
        for reports in 1..=70_000_u32 {
            word = word.with_success(true).with_probe_failure();
            let most = Some(reports.min(65_535));
            assert_eq!((word.successes(), word.probe_failures()), (most, most));
        }
        assert_eq!(word.state(), State::HalfOpen);
        assert_eq!(word.trips(), 1);
        assert!(word.has_cleared());
    }

    #[test]
    fn totals_that_are_restored_change_a_probing_word_and_nothing_that_it_says() {
        let word = probing().held_half_open().with_probe_failure();
        let mut raised = word;
        for times in 1..=16 {
            let before = raised;
            raised = before.with_totals_raised().expect("probing");
            assert_ne!(raised, before);
            assert_eq!(raised == word, times % 8 == 0);
            assert_eq!(raised.is_closing(), None);
            assert!(raised.is_held_half_open() && !raised.is_departing());
            assert_eq!(
                (raised.successes(), raised.probe_failures()),
                (Some(0), Some(1))
            );
            assert_eq!(raised.generation(), word.generation());
        }
        assert_eq!(Word::NEW.with_totals_raised(), None);
        assert_eq!(probing().ramping(9).with_totals_raised(), None);
    }

    #[test]
    fn a_ramp_is_half_open_until_its_end() {
        for (end, shown) in [(100, 100), (101, 102), (LAST_MOMENT, LAST_MOMENT)] {
            let ramp = probing().ramping(end);
            assert_eq!(ramp.state(), State::HalfOpen);
            assert_eq!(ramp.successes(), None);
            assert_eq!(ramp.ramp_end(), Some(shown));
            assert_eq!(ramp.trips(), 1);
            assert!(!ramp.is_due(shown - 1) && ramp.is_due(shown));
            assert!(!ramp.is_open() && !ramp.passes_freely() && !ramp.is_settled());
        }
    }

    #[test]
    fn a_ramp_remembers_whether_the_last_report_was_a_failure() {
        let ramp = probing().ramping(100);
        assert_eq!(ramp.failures_in_ramp(), Some(0));
        let failed = ramp.with_report_in_ramp(true);
        assert_eq!(failed.failures_in_ramp(), Some(1));
        assert_eq!(failed.ramp_end(), Some(100));
        assert_eq!(failed.with_report_in_ramp(false), ramp);
    }

    #[test]
    fn the_evidence_of_a_ramp_is_that_of_the_closed_circuit_after_it() {
        let ramp = probing().ramping(100);
        let closing = ramp.closing(Closing::AfterRamp);
        assert_eq!(closing.is_closing(), Some(Closing::AfterRamp));
        let closed = closing.closed(Tally::NONE, false);
        assert_eq!(ramp.evidence_generation(), closed.evidence_generation());
        assert_eq!(closed.trips(), 0);
        assert_eq!(probing().evidence_generation(), None);
        let again = ramp.opened(OpenedBy::Failure, 200);
        assert_eq!(again.trips(), 2);
        assert_eq!(again.evidence_generation(), None);
    }
}
