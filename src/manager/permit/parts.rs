//! What a permit consists of, and how it reports.
//!
//! # Five words in registers
//!
//! Moving a permit through memory would cost more than a report does. So it is five words
//! without a tag between them: the engine, the record or its trace, and the two words of the
//! ticket, of which some bits say which. What is rare (drops, late reports, refusals), and what a
//! trace has to do, gets these words by value: no code takes a permit's address, and a compiler
//! that sees both ends of a guarded call keeps it in registers. Rejected: an enum of what is lent and
//! what is owned, which was twice as slow as all the rest of the call.

use std::ptr::NonNull;
use std::sync::Arc;

use super::Outcome;
use crate::circuit::context::Context;
use crate::circuit::record::{Begun, Record, Refusal, Ticket};
use crate::manager::engine::Engine;
use crate::manager::trace::Trace;
use crate::reclaim::Guard;
use crate::values::error::Error;
use crate::values::event::Report;

/// What a permit consists of, to be handed on by value.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    /// Lent for the permit's lifetime, or one reference of an `Arc`.
    pub(super) engine: NonNull<Engine>,
    pub(super) origin: Origin,
    /// The number of its registration, if it is traced.
    pub(super) id: u64,
    pub(super) ticket: Ticket,
}

/// What a permit refers to. The ticket says which field is in use.
#[derive(Clone, Copy)]
pub(super) union Origin {
    /// Lent for the permit's lifetime.
    record: NonNull<Record>,
    /// Of the name, if it is traced.
    hash: u64,
}

/// What leads to the record of a permit.
pub(super) enum Way<'p> {
    Lent(&'p Record),
    Traced(Trace),
}

impl Parts {
    /// All of it lent, as the ticket says.
    #[inline]
    pub(super) fn lent(engine: &Engine, record: &Record, ticket: Ticket) -> Self {
        debug_assert!(!ticket.is_traced());
        Parts {
            engine: NonNull::from(engine),
            origin: Origin {
                record: NonNull::from(record),
            },
            id: 0,
            ticket,
        }
    }

    /// The ticket says that it is traced.
    #[inline]
    pub(super) fn traced(
        engine: NonNull<Engine>,
        Trace { hash, id }: Trace,
        ticket: Ticket,
    ) -> Self {
        Parts {
            engine,
            origin: Origin { hash },
            id,
            ticket,
        }
    }

    #[inline]
    pub(super) fn engine(&self) -> &Engine {
        // SAFETY: lent for longer than these parts are used, or kept alive by the
        // reference that `release` gives back.
        unsafe { self.engine.as_ref() }
    }

    #[inline]
    pub(super) fn context(&self) -> &Context {
        &self.engine().context
    }

    #[inline(always)]
    pub(super) fn way(&self) -> Way<'_> {
        match self.ticket.is_traced() {
            // SAFETY: the ticket is not traced, so `Parts::lent` made the parts: the record is
            // there, and lent for longer than these parts are used.
            false => Way::Lent(unsafe { self.origin.record.as_ref() }),
            true => Way::Traced(Trace {
                // SAFETY: the ticket is traced, so `Parts::traced` wrote this field.
                hash: unsafe { self.origin.hash },
                id: self.id,
            }),
        }
    }

    /// The report of a permit that is lent all it needs, if it changes nothing but the totals.
    #[inline(always)]
    pub(super) fn succeeds_at_once(&self) -> bool {
        match self.way() {
            Way::Lent(record) => record.try_success_with_permit(self.context(), self.ticket),
            Way::Traced(_) => false,
        }
    }

    /// The success of a traced permit, if it changes nothing but the totals; then releases the
    /// permit. Otherwise false.
    #[inline(always)]
    pub(super) fn succeeds_by_trace(&self) -> bool {
        let succeeds = match self.way() {
            Way::Traced(trace) if self.ticket.is_traced_pass() => {
                self.engine().try_success_on(trace, self.ticket.mark())
            }
            _ => false,
        };
        if succeeds {
            self.release();
        }
        succeeds
    }

    /// Reports, and gives back what is owned. Pinned, if there is a guard: `report` must not run
    /// user code.
    #[inline(always)]
    pub(super) fn conclude<T>(
        self,
        report: impl FnOnce(&Record, &Context, Ticket, Option<&Guard>) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let (engine, ticket) = (self.engine(), self.ticket.without_possessions());
        let answer = match self.way() {
            Way::Lent(record) => report(record, &engine.context, ticket, None)
                .map_err(|refusal| engine.error(refusal, record)),
            Way::Traced(trace) => engine.report_on(trace, |record, guard| {
                report(record, &engine.context, ticket, Some(guard))
            }),
        };
        self.release();
        answer
    }

    pub(super) fn success(self, report: &Report<'_>) -> Result<(), Error> {
        self.conclude(|record, context, ticket, guard| match guard {
            None => record.success(context, Some(ticket), report),
            Some(guard) => record.success_by_name(context, Some(ticket), report, guard),
        })
    }

    pub(super) fn failure(self, report: &Report<'_>) -> Result<u32, Error> {
        self.conclude(|record, context, ticket, _| record.failure(context, Some(ticket), report))
    }

    pub(super) fn ignored(self) -> Result<(), Error> {
        self.conclude(|record, context, ticket, guard| {
            let _held = guard.map(|_| record.hold());
            record.ignored(context, ticket)
        })
    }

    pub(super) fn cancelled(self) -> Result<(), Error> {
        self.conclude(|record, context, ticket, guard| {
            let _held = guard.map(|_| record.hold());
            record.cancelled(context, ticket)
        })
    }

    /// Counts the failure of a permit that is lent all it needs, as far as that is quickly done.
    /// If this returns anything but [`Begun::Done`], continue with [`Parts::failure_otherwise`].
    #[inline(always)]
    pub(super) fn begin_failure(&self, reason: Option<&str>) -> Begun {
        match self.way() {
            Way::Lent(record) => {
                record.try_failure_with_permit(self.context(), self.ticket, reason)
            }
            Way::Traced(_) => Begun::Not,
        }
    }

    /// Finishes a failure that was begun, or does all of it, and releases the permit. By value, so
    /// that parts and report are in memory only then.
    #[inline(always)]
    pub(super) fn failure_otherwise(self, begun: Begun, report: Report<'_>) -> Result<u32, Error> {
        Parts::finish_failure(
            self.engine,
            self.origin,
            self.id,
            self.ticket,
            begun,
            report,
        )
    }

    #[inline(never)]
    fn finish_failure(
        engine: NonNull<Engine>,
        origin: Origin,
        id: u64,
        ticket: Ticket,
        begun: Begun,
        report: Report<'_>,
    ) -> Result<u32, Error> {
        let parts = Parts {
            engine,
            origin,
            id,
            ticket,
        };
        parts.conclude(|record, context, ticket, _| match begun {
            Begun::Not => record.failure(context, Some(ticket), &report),
            begun => record.finish_failure(context, Some(ticket), &report, begun),
        })
    }

    /// A success that [`Parts::succeeds_at_once`] leaves to others.
    #[inline(never)]
    pub(super) fn success_otherwise(
        engine: NonNull<Engine>,
        origin: Origin,
        id: u64,
        ticket: Ticket,
    ) -> Result<(), Error> {
        let parts = Parts {
            engine,
            origin,
            id,
            ticket,
        };
        match parts.succeeds_by_trace() {
            true => Ok(()),
            false => Parts::success_that_matters(engine, origin, id, ticket),
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn success_that_matters(
        engine: NonNull<Engine>,
        origin: Origin,
        id: u64,
        ticket: Ticket,
    ) -> Result<(), Error> {
        let parts = Parts {
            engine,
            origin,
            id,
            ticket,
        };
        parts.success(&Report::NONE)
    }

    /// Gives back what is owned.
    #[inline]
    pub(super) fn release(self) {
        if self.ticket.owns_engine() {
            // SAFETY: the ticket says that the parts own a reference to the engine:
            // `Permit::owned` left it there by `Arc::into_raw`. `self` ends here, so it is
            // taken once.
            drop(unsafe { Arc::from_raw(self.engine.as_ptr()) });
        }
    }

    /// The failure of a guarded call, for this reason.
    #[cold]
    #[inline(never)]
    pub(super) fn failed(parts: Parts, reason: &str) {
        // No caller waits for an answer.
        let _ = parts.failure(&reason.into());
    }

    /// [`Parts::begin_failure`] where that has declined: also by a trace, and after the record has
    /// learned what subscribers want.
    pub(super) fn begin_failure_again(&self) -> Begun {
        let (engine, context) = (self.engine(), self.context());
        let ticket = self.ticket.without_possessions();
        let begin = |record: &Record| {
            record.learn_interest(&*context.sink);
            record.try_failure_with_permit(context, ticket, None)
        };
        match self.way() {
            Way::Lent(record) => begin(record),
            Way::Traced(trace) => {
                let begun = engine.report_on(trace, |record, _| Ok(begin(record)));
                // The report that follows finds that the registration is gone.
                begun.unwrap_or(Begun::Not)
            }
        }
    }

    /// Counts in a row a failure that is in the totals. Returns false if it has to take the long
    /// way.
    pub(super) fn retry_failure(&self) -> bool {
        let (engine, context) = (self.engine(), self.context());
        let ticket = Some(self.ticket.without_possessions());
        let retry = |record: &Record| record.retry_failure(context, ticket).is_some();
        match self.way() {
            Way::Lent(record) => retry(record),
            Way::Traced(trace) => {
                let counted = engine.report_on(trace, |record, _| Ok(retry(record)));
                counted.unwrap_or(false)
            }
        }
    }

    /// The report of a guarded call that is not quickly done.
    #[inline(always)]
    pub(super) fn settled(self, outcome: Outcome) {
        Parts::settle(self.engine, self.origin, self.id, self.ticket, outcome);
    }

    #[inline(never)]
    fn settle(engine: NonNull<Engine>, origin: Origin, id: u64, ticket: Ticket, outcome: Outcome) {
        let parts = Parts {
            engine,
            origin,
            id,
            ticket,
        };
        if outcome == Outcome::Success && parts.succeeds_by_trace() {
            return;
        }
        // No caller waits for an answer.
        let _ = match outcome {
            Outcome::Success => parts.success(&Report::NONE),
            Outcome::Failure => parts.failure(&Report::NONE).map(drop),
            Outcome::Ignored => parts.ignored(),
        };
    }

    /// The report of a permit that was dropped.
    #[cold]
    #[inline(never)]
    pub(super) fn dropped(engine: NonNull<Engine>, origin: Origin, id: u64, ticket: Ticket) {
        let parts = Parts {
            engine,
            origin,
            id,
            ticket,
        };
        // No caller is left to hear of a refusal.
        let _ = match ticket.is_dropped_by_panic() {
            true => parts.failure(&"panic".into()).map(drop),
            false => parts.cancelled(),
        };
    }
}
