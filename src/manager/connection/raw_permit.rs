//! Permits as plain words, on a handle: for callers that cannot hold a
//! [`Permit`](crate::Permit).

use std::sync::Arc;
use std::time::Duration;

use super::{Connection, Refusal};
use crate::circuit::record::{Begun, Refused, Ticket, Token};
use crate::manager::engine::Engine;
use crate::manager::{Admission, Brama};
use crate::values::error::Error;
use crate::values::event::Report;
use crate::values::state::Word;

/// The token of a call that the host let pass, because it read this upper half of the state
/// word; `None` if the word does not let calls pass.
#[inline]
pub(crate) fn token_of_pass(upper_half: u32) -> Option<Token> {
    let word = Word::from_upper_half(upper_half);
    word.passes_freely().then(|| Token::to_pass(word.mark()))
}

impl Connection {
    /// [`Connection::acquire_token`] where the circuit is closed and a permit is its mark;
    /// otherwise none.
    #[inline]
    pub(crate) fn pass_mark(&self) -> Option<u64> {
        self.record.try_pass().map(Ticket::mark)
    }

    /// [`Connection::acquire`] where that is a rejection that no subscriber wants to hear of;
    /// otherwise `None`, and nothing is done.
    #[inline(always)]
    pub(crate) fn try_reject(&self) -> Option<Refused> {
        self.record.try_reject_open(&self.engine.context)
    }

    /// The hash of its name.
    pub(crate) fn hash(&self) -> u64 {
        self.record.hash()
    }

    #[inline(always)]
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// [`Connection::success`] where that changes nothing but the totals; otherwise
    /// false, and nothing is done.
    #[inline(always)]
    pub(crate) fn try_success(&self) -> bool {
        self.record.try_success_without_permit(&self.engine.context)
    }

    /// [`Connection::acquire`], answered by a token instead of a permit.
    pub(crate) fn acquire_token(&self) -> Result<Token, Error> {
        match self.record.acquire(&self.engine.context) {
            Ok(ticket) => Ok(ticket.token()),
            Err(refusal) => Err(self.error(refusal)),
        }
    }

    pub(crate) fn success_of(&self, token: Token, report: &Report<'_>) -> Result<(), Error> {
        let ticket = Some(token.ticket());
        self.record
            .success(&self.engine.context, ticket, report)
            .map_err(|refusal| self.error(refusal))
    }

    /// [`Connection::success_of`] where that changes nothing but the totals; otherwise
    /// false, and nothing is done.
    #[inline(always)]
    pub(crate) fn try_success_of(&self, place: u64) -> bool {
        Ticket::of_passing(place).is_some_and(|ticket| {
            self.record
                .try_success_with_permit(&self.engine.context, ticket)
        })
    }

    /// A `wait` of zero: an ordinary failure.
    pub(crate) fn failure_of(
        &self,
        token: Token,
        report: &Report<'_>,
        wait: Duration,
    ) -> Result<u32, Error> {
        let ticket = Some(token.ticket());
        self.record
            .failure_for(&self.engine.context, ticket, report, wait)
            .map_err(|refusal| self.error(refusal))
    }

    /// Begins [`Connection::failure`], or [`Connection::failure_of`] if there is
    /// the first word of a token. A failure of which no subscriber wants to hear, and which
    /// changes no state, is done at once.
    #[inline]
    pub(crate) fn begin_failure(&self, place: Option<u64>, reason: Option<&str>) -> Begun {
        let (record, context) = (&self.record, &self.engine.context);
        match place.map(Ticket::of_passing) {
            None => record.try_failure_without_permit(context, reason),
            Some(Some(ticket)) => record.try_failure_with_permit(context, ticket, reason),
            Some(None) => Begun::Not,
        }
    }

    /// Goes on with what [`Connection::begin_failure`] has begun, or begins it if the failure has a
    /// reason.
    pub(crate) fn go_on_with_failure(
        &self,
        token: Option<Token>,
        report: &Report<'_>,
        begun: Begun,
    ) -> Result<u32, Error> {
        let ticket = token.map(Token::ticket);
        let (record, context) = (&self.record, &self.engine.context);
        let count = match begun {
            Begun::Not => record.failure(context, ticket, report),
            begun => record.finish_failure(context, ticket, report, begun),
        };
        count.map_err(|refusal| self.error(refusal))
    }

    pub(crate) fn cancelled_of(&self, token: Token) -> Result<(), Error> {
        self.record
            .cancelled(&self.engine.context, token.ticket())
            .map_err(|refusal| self.error(refusal))
    }

    pub(crate) fn ignored_of(&self, token: Token) -> Result<(), Error> {
        self.record
            .ignored(&self.engine.context, token.ticket())
            .map_err(|refusal| self.error(refusal))
    }

    /// Whether a guarded call of this circuit may ride on the call that the token admitted, to
    /// `other`: that was admitted by the same circuit, in the half-open state that it has now.
    pub(crate) fn is_covered_by(&self, other: &Connection, token: Token) -> bool {
        std::ptr::eq(&*self.record, &*other.record) && self.is_in_state_of(token)
    }

    /// [`Connection::is_covered_by`] of an admission by name.
    pub(crate) fn is_covered_by_name(&self, brama: &Brama, admission: Admission) -> bool {
        brama.owns(&self.engine)
            && self.record.id() == admission.trace.id
            && self.is_in_state_of(admission.token)
    }

    fn is_in_state_of(&self, token: Token) -> bool {
        let ticket = token.ticket();
        let word = self.record.half_open_word(&self.engine.context);
        ticket.is_of_half_open()
            && word.is_some_and(|word| word.generation() == ticket.generation())
    }

    /// Why a question finds nothing of it.
    pub(crate) fn gone(&self) -> Error {
        self.error(Refusal::Gone)
    }

    /// Why [`Connection::available`] is false, if the circuit is open for a while; otherwise
    /// [`Connection::why_unavailable`] has to be asked.
    #[inline]
    pub(crate) fn refusal_while_open(&self) -> Option<Refused> {
        self.record.refusal_while_open(&self.engine.context)
    }

    /// Why [`Connection::available`] is false, if it still is.
    pub(crate) fn why_unavailable(&self) -> Option<Error> {
        let refusal = self.record.why_unavailable(&self.engine.context)?;
        Some(self.error(refusal))
    }

    /// Whether the circuit is closed, which is all of [`Connection::available`] that
    /// needs no clock.
    #[inline]
    pub(crate) fn passes_freely(&self) -> bool {
        self.record.passes_freely()
    }

    /// Where the state word is, as long as this handle is held.
    pub(crate) fn state_word(&self) -> *const u64 {
        self.record.word()
    }
}
