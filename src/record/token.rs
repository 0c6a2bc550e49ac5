//! A ticket in one word, for permits that cross the C boundary by value.
//!
//! ```text
//! to pass:  0 │ 0 (10) │ generation (13) │ high digit of the tally (23) │ 0 (17)
//! to probe: 1 │ slot (16) │ generation (13) │ serial, claimed, lost (11) │ low end of lease (23)
//! ```
//!
//! A probe's lease is a word of its own, and the slot still has it: the token keeps
//! enough of it to tell it from any other lease of that slot, and the rest is read
//! back from there. If the slot has gone on meanwhile, the token makes a ticket that
//! no slot accepts: [`probes`](crate::probes) tells from the serial whether it is late or was
//! reported before.

use super::{Record, Ticket};
use crate::config::MAX_HALF_OPEN_CALLS;
use crate::probes::Lease;

const PROBE: u64 = 1 << 63;
const SLOT_SHIFT: u32 = 47;
const STAMP_MASK: u64 = (1 << SLOT_SHIFT) - 1;
/// Where a stamp has the end of its lease.
const END_MASK: u64 = (1 << END_BITS) - 1;
const END_BITS: u32 = 40;
/// So many bits of it are kept.
const KEPT_BITS: u32 = 23;
const _: () = assert!(MAX_HALF_OPEN_CALLS <= 1 << 16, "a slot's number fits");

/// What a token keeps of a stamp.
fn kept(stamp: u64) -> u64 {
    (stamp >> END_BITS) << KEPT_BITS | stamp & ((1 << KEPT_BITS) - 1)
}

impl Ticket {
    #[inline]
    pub(crate) fn token(self) -> u64 {
        match self.lease() {
            None => self.mark(),
            Some(lease) => PROBE | u64::from(lease.slot) << SLOT_SHIFT | kept(lease.stamp),
        }
    }

    /// The ticket of a token, if that is one to pass.
    #[inline]
    pub(crate) fn of_passing(token: u64) -> Option<Ticket> {
        (token & PROBE == 0).then(|| Ticket::to_pass_at(token))
    }
}

impl Record {
    /// The ticket of a token; of any word, a ticket that is refused or one that
    /// could have been given.
    #[inline]
    pub(crate) fn ticket(&self, token: u64) -> Ticket {
        Ticket::of_passing(token).unwrap_or_else(|| self.probing_ticket(token))
    }

    #[cold]
    fn probing_ticket(&self, token: u64) -> Ticket {
        let slot = ((token & !PROBE) >> SLOT_SHIFT) as u32;
        let stamp = token & STAMP_MASK;
        // A lease has an end; what has none is a free slot.
        let is_it = |known: &u64| known & END_MASK != 0 && kept(*known) == stamp;
        let known = self.probes().stamp(slot).filter(is_it);
        Ticket::of_lease(Lease {
            slot,
            // What the slot does not say, so that it refuses it.
            stamp: known.unwrap_or((stamp >> KEPT_BITS) << END_BITS | 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::config::{ConnectionOptions, Global};
    use crate::env::Env;
    use crate::event::Report;
    use crate::probes::Claim;
    use crate::record::{Newcomer, RecordRef, Refusal};
    use crate::state::State;

    fn record(env: &Env, probes: u32) -> RecordRef {
        let options = ConnectionOptions::new().half_open_max_calls(probes);
        let mut newcomer = Newcomer::new(env, "db".into());
        newcomer.with(env, Some(options)).expect("valid");
        let [record, _] = RecordRef::new(env, &mut newcomer);
        record
    }

    fn same(a: Ticket, b: Ticket) -> bool {
        a.generation() == b.generation() && a.lease() == b.lease()
    }

    #[test]
    fn a_ticket_comes_back_whole() {
        let clock = Clock::Manual(ManualClock::new());
        let env = Env::new(clock, Global::default(), 2, None);
        let record = record(&env, 5);
        for round in 0..9_000 {
            let ticket = record.acquire(&env).expect("closed");
            assert!(same(ticket, record.ticket(ticket.token())), "{round}");
            record.half_open(&env).expect("registered");
            for _ in 0..5 {
                let ticket = record.acquire(&env).expect("a probe");
                assert!(same(ticket, record.ticket(ticket.token())), "{round}");
            }
            record.close(&env).expect("registered");
        }
    }

    #[test]
    fn a_ticket_whose_slot_has_gone_on_is_not_the_slots() {
        let clock = ManualClock::new();
        let env = Env::new(Clock::Manual(clock.clone()), Global::default(), 2, None);
        let record = record(&env, 1);
        record.half_open(&env).expect("registered");
        let lost = record.acquire(&env).expect("a probe").token();
        clock.advance(std::time::Duration::from_secs(60));
        let next = record.acquire(&env).expect("a probe");
        assert!(!same(next, record.ticket(lost)));
        let late = record.ignored(&env, record.ticket(lost));
        assert!(late.is_ok(), "it is late, and of the same half-open state");
        assert!(record.acquire(&env).is_err(), "the slot is another's");
        assert!(record.ignored(&env, record.ticket(next.token())).is_ok());
        let again = record.ignored(&env, record.ticket(next.token()));
        assert!(again.is_err(), "reported before");
    }

    /// By a program that ignores in its cleanup what it may have reported.
    #[test]
    fn a_token_that_is_reported_again_while_another_probe_has_its_slot_changes_nothing() {
        let clock = Clock::Manual(ManualClock::new());
        let env = Env::new(clock, Global::default(), 2, None);
        let record = record(&env, 1);
        record.half_open(&env).expect("registered");
        let fail = |token| record.failure(&env, Some(record.ticket(token)), &Report::NONE);
        let first = record.acquire(&env).expect("a probe").token();
        assert!(record.ignored(&env, record.ticket(first)).is_ok());
        assert_eq!(fail(first), Err(Refusal::Stale), "the slot is free");
        let second = record.acquire(&env).expect("a probe").token();
        assert_eq!(fail(first), Err(Refusal::Stale), "the slot is another's");
        assert_eq!(record.state(&env), State::HalfOpen);
        assert!(fail(second).is_ok());
    }

    #[test]
    fn a_token_that_is_reported_again_during_its_report_changes_nothing() {
        let clock = Clock::Manual(ManualClock::new());
        let env = Env::new(clock, Global::default(), 2, None);
        let record = record(&env, 1);
        record.half_open(&env).expect("registered");
        let ticket = record.acquire(&env).expect("a probe");
        let lease = ticket.lease().expect("a probe's");
        let Claim::Held(reporting) = record.probes().claim(lease) else {
            panic!("reported for the first time");
        };
        let again = record.ignored(&env, record.ticket(ticket.token()));
        assert_eq!(again, Err(Refusal::Stale));
        record.probes().free(reporting);
    }

    #[test]
    fn no_word_is_taken_for_a_lease_that_was_never_given() {
        let clock = Clock::Manual(ManualClock::new());
        let env = Env::new(clock, Global::default(), 2, None);
        let record = record(&env, 3);
        for word in [PROBE, PROBE | 1 << SLOT_SHIFT, u64::MAX, PROBE | 1] {
            assert!(
                record.ignored(&env, record.ticket(word)).is_err(),
                "{word:x}"
            );
        }
    }
}
