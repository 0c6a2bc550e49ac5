//! A ticket as plain words, for permits that cross the C boundary.
//!
//! ```text
//! to pass:                  the mark of its word     –
//! to pass, with a start:    as a traced ticket       its stamp
//! for totals only:          its place                its stamp
//! to probe:                 its place                its stamp
//! ```
//!
//! The first kind is one word, whose highest bit is clear. So a C permit of a healthy call is
//! written and read with one store and one load of two words, the handle and this one. The other
//! kinds have the highest bit set, and their stamp beside them.
//!
//! The words come back from a C program, so they may have any value. Each value makes a ticket that
//! is refused, or one that could have been given.

use super::Ticket;

/// The words of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) place: u64,
    /// Meaningful only if the highest bit of `place` is set.
    pub(crate) stamp: u64,
}

const HAS_STAMP: u64 = 1 << 63;

impl Token {
    /// The token of a call that a word with this mark lets pass.
    #[inline]
    pub(crate) fn to_pass(mark: u64) -> Self {
        Token {
            place: mark,
            stamp: 0,
        }
    }

    /// Whether a token with this first word has a stamp.
    #[inline]
    pub(crate) fn has_stamp(place: u64) -> bool {
        place & HAS_STAMP != 0
    }

    pub(crate) fn is_probe(self) -> bool {
        self.ticket().is_probe()
    }

    pub(crate) fn is_of_half_open(self) -> bool {
        self.ticket().is_of_half_open()
    }

    pub(crate) fn ticket(self) -> Ticket {
        match Ticket::of_passing(self.place) {
            Some(ticket) => ticket,
            None => Ticket::of_words(self.place, self.stamp),
        }
    }
}

impl Ticket {
    #[inline]
    pub(crate) fn token(self) -> Token {
        if self.is_without_mark() || self.stamp != 0 {
            return self.token_with_stamp();
        }
        Token::to_pass(self.mark())
    }

    #[cold]
    fn token_with_stamp(self) -> Token {
        let place = match self.is_without_mark() {
            true => self.without_possessions().place,
            false => self.traced().place,
        };
        let stamp = self.stamp;
        Token { place, stamp }
    }

    /// The ticket of a token's first word. `None` if the token has a stamp.
    #[inline]
    pub(crate) fn of_passing(place: u64) -> Option<Ticket> {
        (!Token::has_stamp(place)).then(|| Ticket::to_pass_at(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::circuit::context::Context;
    use crate::circuit::probe_slots::Claim;
    use crate::circuit::record::{RecordRef, Refusal, Registrant};
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;
    use crate::values::event::Report;
    use crate::values::settings::ConnectionOptions;
    use crate::values::state::State;
    use std::time::Duration;

    fn record(context: &Context, options: ConnectionOptions) -> RecordRef {
        let mut registrant = Registrant::new(context, "db".into());
        registrant.with(context, Some(options)).expect("valid");
        let [record, _] = RecordRef::new(context, &mut registrant);
        record
    }

    fn same(a: Ticket, b: Ticket) -> bool {
        (a.place, a.stamp) == (b.place, b.stamp)
    }

    #[test]
    fn a_ticket_comes_back_whole() {
        let ms = Duration::from_millis;
        let plain = || ConnectionOptions::new().half_open_max_calls(5);
        for (options, is_timed) in [
            (plain(), false),
            (plain().cancelled_after(ms(7)), true),
            (plain().slow_call_duration(ms(700)), true),
            // It is watched, and measures no calls.
            (plain().failure_rate(0.5).rate_calls(20), false),
        ] {
            let clock = ManualClock::new();
            let context = Context::alone(Clock::Manual(clock.clone()));
            let record = record(&context, options);
            for round in 0..9_000 {
                clock.advance(Duration::from_millis(1));
                let ticket = record.acquire(&context).expect("closed");
                assert_eq!(Token::has_stamp(ticket.token().place), is_timed);
                assert_eq!(ticket.has_start(), is_timed);
                assert!(same(ticket.token().ticket(), ticket), "{round}");
                record.half_open(&context).expect("registered");
                for _ in 0..5 {
                    let ticket = record.acquire(&context).expect("a probe");
                    assert!(ticket.token().is_probe());
                    assert!(same(ticket.token().ticket(), ticket), "{round}");
                }
                record.close(&context).expect("registered");
            }
        }
    }

    #[test]
    fn a_ticket_whose_slot_has_gone_on_is_not_the_slots() {
        let clock = ManualClock::new();
        let context = Context::alone(Clock::Manual(clock.clone()));
        let record = record(&context, ConnectionOptions::new());
        record.half_open(&context).expect("registered");
        let lost = record.acquire(&context).expect("a probe").token();
        clock.advance(Duration::from_secs(60));
        let next = record.acquire(&context).expect("a probe");
        let late = record.ignored(&context, lost.ticket());
        assert!(late.is_ok(), "it is late, and of the same half-open state");
        assert!(record.acquire(&context).is_err(), "the slot is another's");
        assert!(record.ignored(&context, next.token().ticket()).is_ok());
        let again = record.ignored(&context, next.token().ticket());
        assert!(again.is_err(), "reported before");
    }

    /// A C program may, in its cleanup, ignore a permit that it has reported before.
    #[test]
    fn a_token_that_is_reported_again_while_another_probe_has_its_slot_changes_nothing() {
        let clock = Clock::Manual(ManualClock::new());
        let context = Context::alone(clock);
        let record = record(&context, ConnectionOptions::new());
        record.half_open(&context).expect("registered");
        let fail = |token: Token| record.failure(&context, Some(token.ticket()), &Report::NONE);
        let first = record.acquire(&context).expect("a probe").token();
        assert!(record.ignored(&context, first.ticket()).is_ok());
        assert_eq!(fail(first), Err(Refusal::Stale), "the slot is free");
        let second = record.acquire(&context).expect("a probe").token();
        assert_eq!(fail(first), Err(Refusal::Stale), "the slot is another's");
        assert_eq!(record.state(&context), State::HalfOpen);
        assert!(fail(second).is_ok());
    }

    #[test]
    fn a_token_that_is_reported_again_during_its_report_changes_nothing() {
        let clock = Clock::Manual(ManualClock::new());
        let context = Context::alone(clock);
        let record = record(&context, ConnectionOptions::new());
        record.half_open(&context).expect("registered");
        let ticket = record.acquire(&context).expect("a probe");
        let lease = ticket.lease().expect("a probe's");
        let Claim::Held(reporting) = record.probes().claim(lease) else {
            panic!("reported for the first time");
        };
        let again = record.ignored(&context, ticket.token().ticket());
        assert_eq!(again, Err(Refusal::Stale));
        record.probes().free(reporting);
    }

    #[test]
    fn no_words_free_a_slot_or_are_traced() {
        let clock = Clock::Manual(ManualClock::new());
        let context = Context::alone(clock);
        let record = record(&context, ConnectionOptions::new().half_open_max_calls(3));
        record.half_open(&context).expect("registered");
        let held: Vec<_> = (0..3)
            .map(|_| record.acquire(&context).expect("a probe"))
            .collect();
        for place in [
            1 << 63,
            1 << 63 | 1,
            u64::MAX,
            0b10011 << 59 | 2,
            0b10001 << 59 | 2,
            1,
        ] {
            for stamp in [0, 1, u64::MAX, u64::MAX << 40] {
                let ticket = Token { place, stamp }.ticket();
                assert!(!ticket.is_traced() && !ticket.owns_engine());
                let _ = record.ignored(&context, ticket);
                assert!(record.acquire(&context).is_err(), "{place:x} {stamp:x}");
            }
        }
        for ticket in held {
            assert!(record.ignored(&context, ticket).is_ok());
        }
    }
}
