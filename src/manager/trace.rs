//! The way back to a registration, for permits that hold no reference to it.
//!
//! A permit by name, an owned one and one in plain words may outlast the handle, the look-up and
//! the registration itself. A reference would keep the record alive for them. But counting one and
//! giving it back are two writes of a line that the calls of all threads share, in an operation that
//! otherwise writes none. So such a permit holds a [`Trace`] instead: the hash of the name, which
//! leads to a place in the table, and the number of the registration, which no other one of the
//! manager has. The report looks the record up again. That is a pin, a probe of the table and one
//! comparison: the name is neither hashed nor compared, and what is read lies in the caches since
//! the admission.
//!
//! What follows from it:
//!
//! - A registration that is gone is not found, even if its name was registered again: the report
//!   answers [`NotFound`](Error::NotFound), and cannot say the name.
//! - The permit does not keep the connection from a cleanup. Its admission leaves a mark, which
//!   is activity at the next cleanup; see [`departure`](crate::circuit::record::Departure).
//!
//! # What was rejected
//!
//! - *The address of the record in place of the hash*: slots are used again, so the record there
//!   can be trusted only if the table refers to it. Where the slab is not used
//!   (`structures/slab/passthrough.rs`) the memory may be freed.
//! - *The generation in place of the number*: it has 13 bits, and begins again with each
//!   registration.
//! - *A pin for the length of the call*: no pin is held while user code runs.

use crate::circuit::context::Context;
use crate::circuit::record::{Record, Refusal, Ticket};
use crate::manager::engine::Engine;
use crate::reclaim::{self, Guard};
use crate::values::error::Error;
use crate::values::key::{Key, KeyBuf};

/// What leads to a registration.
#[derive(Clone, Copy)]
pub(crate) struct Trace {
    pub(crate) hash: u64,
    pub(crate) id: u64,
}

impl Trace {
    /// Of a record that the caller holds, or has found pinned.
    #[inline]
    pub(crate) fn of(record: &Record) -> Self {
        Trace {
            hash: record.hash(),
            id: record.id(),
        }
    }

    /// Of a record that was found by this hash. Reads nothing of it but what a look-up has read.
    #[inline(always)]
    fn of_found(record: &Record, hash: u64) -> Self {
        Trace {
            hash,
            id: record.id(),
        }
    }
}

/// The trace for an admission that holds no reference. An error if a cleanup has removed the
/// connection meanwhile.
#[inline(always)]
pub(crate) fn leave(
    context: &Context,
    record: &Record,
    hash: u64,
    guard: &Guard,
) -> Result<Trace, Refusal> {
    record.mark_visited();
    match record.stays(context, guard) {
        true => Ok(Trace::of_found(record, hash)),
        false => Err(Refusal::Gone),
    }
}

impl Engine {
    /// Admits a call by name to a closed circuit that is not watched. Returns `None` for others,
    /// and then has counted nothing.
    #[inline(always)]
    pub(crate) fn try_pass(&self, key: Key<'_>) -> Option<(Trace, Ticket)> {
        let hash = self.context.hasher.hash(key);
        let guard = reclaim::pin();
        let record = self.table.get(hash, key, &guard)?;
        let ticket = record.try_pass()?;
        let trace = leave(&self.context, record, hash, &guard).ok()?;
        Some((trace, ticket))
    }

    #[inline(always)]
    fn regain<'g>(&self, trace: Trace, guard: &'g Guard) -> Option<&'g Record> {
        let Trace { hash, id } = trace;
        self.table.find(
            hash,
            guard,
            #[inline(always)]
            move |record| record.id() == id,
        )
    }

    /// Runs a report on the registration, if it is still there. Pinned: `report` must not run user
    /// code.
    #[inline]
    pub(crate) fn report_on<T>(
        &self,
        trace: Trace,
        report: impl FnOnce(&Record, &Guard) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let guard = reclaim::pin();
        let Some(record) = self.regain(trace, &guard) else {
            return Err(self.permit_gone());
        };
        report(record, &guard).map_err(|refusal| match refusal {
            Refusal::Gone => self.permit_gone(),
            refusal => record.error(refusal),
        })
    }

    /// Reports a success with a permit that the word of a closed circuit gave, if it changes
    /// nothing but the totals. Returns false for others, and then has counted nothing.
    #[inline(always)]
    pub(crate) fn try_success_on(&self, trace: Trace, mark: u64) -> bool {
        let guard = reclaim::pin();
        let Some(record) = self.regain(trace, &guard) else {
            return false;
        };
        // If it does not stay, what was counted is gone with it, and the next look says so.
        record.try_success_with_permit(&self.context, Ticket::to_pass_at(mark))
            && record.stays(&self.context, &guard)
    }

    /// Its name, if it is still there.
    pub(crate) fn name_of(&self, trace: Trace) -> Option<KeyBuf> {
        let guard = reclaim::pin();
        Some(self.regain(trace, &guard)?.key().to_buf())
    }

    #[cold]
    fn permit_gone(&self) -> Error {
        match self.is_shut() {
            true => Error::ShutDown,
            false => Error::permit_gone(),
        }
    }
}
