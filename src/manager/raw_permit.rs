//! Permits as plain words, by name: for callers who cannot hold a
//! [`Permit`](crate::Permit).
//!
//! Such a permit owns nothing. It says which registration it belongs to, and the
//! report looks that up again: by its hash, and by the number that no other
//! registration of the manager has.

use std::sync::Arc;
use std::time::Duration;

use super::Brama;
use crate::circuit::record::{Record, Refusal, Refused, Ticket, Token};
use crate::manager::engine::Engine;
use crate::reclaim::{self, Guard};
use crate::values::error::{Error, Explained};
use crate::values::event::Report;
use crate::values::key::Key;
use crate::values::state::State;

/// An admission by name, in plain words.
#[derive(Clone, Copy)]
pub(crate) struct Admission {
    pub(crate) hash: u64,
    pub(crate) id: u64,
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
        engine.with(key, |record, guard| {
            let ticket = record.acquire(&engine.context)?;
            // The admission holds no reference that would keep the connection registered.
            record.mark_visited();
            if !record.stays(&engine.context, guard) {
                return Err(Refusal::Gone);
            }
            Ok(Admission {
                hash: record.hash(),
                id: record.id(),
                token: ticket.token(),
            })
        })
    }

    /// `None`: the registration is gone.
    pub(crate) fn success_of(
        &self,
        admission: Admission,
        report: &Report<'_>,
    ) -> Option<Result<(), Error>> {
        self.settle(admission, |record, engine, ticket, guard| {
            record.success_by_name(&engine.context, Some(ticket), report, guard)
        })
    }

    /// `None`: the registration is gone. A `wait` of zero: an ordinary failure.
    pub(crate) fn failure_of(
        &self,
        admission: Admission,
        report: &Report<'_>,
        wait: Duration,
    ) -> Option<Result<u32, Error>> {
        self.settle(admission, |record, engine, ticket, _| {
            record.failure_for(&engine.context, Some(ticket), report, wait)
        })
    }

    /// `None`: the registration is gone.
    pub(crate) fn cancelled_of(&self, admission: Admission) -> Option<Result<(), Error>> {
        self.settle(admission, |record, engine, ticket, _| {
            let _held = record.hold();
            record.cancelled(&engine.context, ticket)
        })
    }

    /// `None`: the registration is gone.
    pub(crate) fn ignored_of(&self, admission: Admission) -> Option<Result<(), Error>> {
        self.settle(admission, |record, engine, ticket, _| {
            let _held = record.hold();
            record.ignored(&engine.context, ticket)
        })
    }

    #[inline]
    fn settle<T>(
        &self,
        admission: Admission,
        report: impl FnOnce(&Record, &Engine, Ticket, &Guard) -> Result<T, Refusal>,
    ) -> Option<Result<T, Error>> {
        let engine = self.engine();
        let guard = reclaim::pin();
        let found = engine
            .table
            .find(admission.hash, &guard, |record| record.id() == admission.id);
        match found {
            Some(record) => {
                let answer = report(record, engine, admission.token.ticket(), &guard);
                Some(answer.map_err(|refusal| engine.error(refusal, record)))
            }
            None if engine.is_shut() => Some(Err(Error::ShutDown)),
            None => None,
        }
    }
}
