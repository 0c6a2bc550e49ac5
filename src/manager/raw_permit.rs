//! Permits as plain words, by name: for callers that cannot hold a
//! [`Permit`](crate::Permit).
//!
//! Such a permit owns nothing. It has a [`Trace`], by which its report looks the registration up
//! again.

use std::sync::Arc;
use std::time::Duration;

use super::Brama;
use crate::circuit::record::{Record, Refusal, Refused, Ticket, Token};
use crate::manager::engine::Engine;
use crate::manager::trace::{self, Trace};
use crate::reclaim::{self, Guard};
use crate::values::error::{Error, Explained};
use crate::values::event::Report;
use crate::values::key::Key;
use crate::values::state::State;

/// An admission by name, in plain words.
#[derive(Clone, Copy)]
pub(crate) struct Admission {
    pub(crate) trace: Trace,
    pub(crate) token: Token,
}

impl Engine {
    /// A rejection in full, by the connection whose name has this hash. `None` if it is removed.
    pub(crate) fn explain(&self, hash: u64, refused: Refused) -> Option<Explained> {
        let guard = reclaim::pin();
        let is_meant = |record: &Record| record.hash() == hash && !record.is_retired();
        let record = self.table.find(hash, &guard, is_meant)?;
        Some(record.explain(refused))
    }
}

impl Brama {
    /// Whether this is the manager of an engine.
    pub(crate) fn owns(&self, engine: &Engine) -> bool {
        std::ptr::eq(self.engine(), engine)
    }

    /// The hash of this name, and the engine: what leads to its connection.
    pub(crate) fn trace(&self, key: Key<'_>) -> (&Arc<Engine>, u64) {
        let engine = self.engine_arc();
        (engine, engine.context.hasher.hash(key))
    }

    /// [`Brama::state`], or why there is none.
    pub(crate) fn known_state(&self, key: Key<'_>) -> Result<State, Error> {
        let engine = self.engine();
        engine.look_up(key, |record| Some(record.state(&engine.context)))
    }

    /// Why [`Brama::available`] is false, if it still is.
    pub(crate) fn why_unavailable(&self, key: Key<'_>) -> Option<Error> {
        let engine = self.engine();
        let found = engine.look_up(key, |record| {
            match record.why_unavailable(&engine.context) {
                Some(Refusal::Gone) => None,
                refusal => Some(refusal.map(|refusal| engine.error(refusal, record))),
            }
        });
        found.unwrap_or_else(Some)
    }

    pub(crate) fn admit(&self, key: Key<'_>) -> Result<Admission, Error> {
        let engine = self.engine();
        engine.with_hash(key, |record, hash, guard| {
            let ticket = record.acquire(&engine.context)?;
            Ok(Admission {
                trace: trace::leave(&engine.context, record, hash, guard)?,
                token: ticket.token(),
            })
        })
    }

    /// [`Brama::admit`] to a closed circuit; otherwise `None`, and nothing is done that counts. Of
    /// the token there is the first word only.
    #[inline(always)]
    pub(crate) fn try_admit(&self, key: Key<'_>) -> Option<(Trace, u64)> {
        let (trace, ticket) = self.engine().try_pass(key)?;
        Some((trace, ticket.mark()))
    }

    /// [`Brama::success`] where that changes nothing but the totals; otherwise false, and nothing is
    /// done that counts.
    #[inline(always)]
    pub(crate) fn try_success(&self, key: Key<'_>) -> bool {
        let engine = self.engine();
        let guard = reclaim::pin();
        let hash = engine.context.hasher.hash(key);
        let Some(record) = engine.table.get(hash, key, &guard) else {
            return false;
        };
        record.try_success_without_permit(&engine.context) && record.stays(&engine.context, &guard)
    }

    /// Whether the circuit is closed, which is all of [`Brama::available`] that needs no clock.
    #[inline(always)]
    pub(crate) fn passes_freely(&self, key: Key<'_>) -> bool {
        let engine = self.engine();
        let guard = reclaim::pin();
        let hash = engine.context.hasher.hash(key);
        let record = engine.table.get(hash, key, &guard);
        record.is_some_and(Record::passes_freely)
    }

    /// [`Brama::success_of`] where that changes nothing but the totals; otherwise false, and
    /// nothing is done.
    #[inline(always)]
    pub(crate) fn try_success_of(&self, trace: Trace, mark: u64) -> bool {
        self.engine().try_success_on(trace, mark)
    }

    pub(crate) fn success_of(
        &self,
        admission: Admission,
        report: &Report<'_>,
    ) -> Result<(), Error> {
        self.settle(admission, |record, engine, ticket, guard| {
            record.success_by_name(&engine.context, Some(ticket), report, guard)
        })
    }

    /// A `wait` of zero: an ordinary failure.
    pub(crate) fn failure_of(
        &self,
        admission: Admission,
        report: &Report<'_>,
        wait: Duration,
    ) -> Result<u32, Error> {
        self.settle(admission, |record, engine, ticket, _| {
            record.failure_for(&engine.context, Some(ticket), report, wait)
        })
    }

    pub(crate) fn cancelled_of(&self, admission: Admission) -> Result<(), Error> {
        self.settle(admission, |record, engine, ticket, _| {
            let _held = record.hold();
            record.cancelled(&engine.context, ticket)
        })
    }

    pub(crate) fn ignored_of(&self, admission: Admission) -> Result<(), Error> {
        self.settle(admission, |record, engine, ticket, _| {
            let _held = record.hold();
            record.ignored(&engine.context, ticket)
        })
    }

    #[inline]
    fn settle<T>(
        &self,
        Admission { trace, token }: Admission,
        report: impl FnOnce(&Record, &Engine, Ticket, &Guard) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let engine = self.engine();
        engine.report_on(trace, |record, guard| {
            report(record, engine, token.ticket(), guard)
        })
    }
}
