//! Permits as plain words, by name: for callers who cannot hold a
//! [`Permit`](crate::Permit).
//!
//! Such a permit owns nothing. It says which registration it belongs to, and the
//! report looks that up anew: by its hash, and by the number that no other
//! registration of the manager has.

use super::Brama;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::Report;
use crate::key::Key;
use crate::reclaim::{self, Guard};
use crate::record::{Record, Refusal, Ticket};

/// An admission by name, in plain words.
#[derive(Clone, Copy)]
pub(crate) struct Admission {
    pub(crate) hash: u64,
    pub(crate) id: u64,
    pub(crate) token: u64,
}

impl Brama {
    pub(crate) fn admit(&self, key: Key<'_>) -> Result<Admission, Error> {
        let engine = self.engine();
        engine.with(key, |record, guard| {
            let ticket = record.acquire(&engine.env)?;
            // The admission holds no reference that would keep the connection registered.
            record.mark_visited();
            if !record.stays(&engine.env, guard) {
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
            record.success_by_name(&engine.env, Some(ticket), report, guard)
        })
    }

    /// `None`: the registration is gone.
    pub(crate) fn failure_of(
        &self,
        admission: Admission,
        report: &Report<'_>,
    ) -> Option<Result<u32, Error>> {
        self.settle(admission, |record, engine, ticket, _| {
            record.failure(&engine.env, Some(ticket), report)
        })
    }

    /// `None`: the registration is gone.
    pub(crate) fn ignored_of(&self, admission: Admission) -> Option<Result<(), Error>> {
        self.settle(admission, |record, engine, ticket, _| {
            let _held = record.hold();
            record.ignored(&engine.env, ticket)
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
                let answer = report(record, engine, record.ticket(admission.token), &guard);
                Some(answer.map_err(|refusal| engine.error(refusal, record.key())))
            }
            None if engine.is_shut() => Some(Err(Error::ShutDown)),
            None => None,
        }
    }
}
