//! Permits: what an admitted call reports back with.
//!
//! A permit is a plain value: a ticket that says in which state it was given, and
//! the way back to its circuit. One from a handle borrows the record. One by name has a
//! [`Trace`], by which its report looks the record up again. Neither touches a count of references.
//! An owned one has a trace, and a reference to the engine, so it may be sent anywhere.
//!
//! A permit reports once. Dropped without a report it counts as cancelled: ignored, or a failure
//! if `cancelled_after` says so. Dropped by a panic it is a failure. So an early return and a panic
//! both do what one means. A permit that was acquired while the thread was panicking already, by a
//! destructor say, is no failure for that: the panic is not the dependency's.
//!
//! # Five words in registers
//!
//! Moving a permit through memory would cost more than a report does. So it is five words
//! without a tag between them: the engine, the record or its trace, and the two words of the
//! ticket, of which some bits say which. What is rare (drops, late reports, refusals), and what a
//! trace has to do, gets these words by value: no code takes a permit's address, and a compiler
//! that sees both ends of a guarded call keeps it in registers. Rejected: an enum of what is lent and
//! what is owned, which was twice as slow as all the rest of the call.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use crate::circuit::context::Context;
use crate::circuit::record::{Begun, Record, Refusal, Ticket};
use crate::manager::classified::Reason;
use crate::manager::engine::Engine;
use crate::manager::trace::Trace;
use crate::reclaim::Guard;
use crate::values::error::Error;
use crate::values::event::Report;
use crate::values::generation::Generation;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The dependency is fine.
    Success,
    /// The dependency failed.
    Failure,
    /// It says nothing about the dependency: a cancelled caller, a refused input.
    Ignored,
}

/// An admission, to be reported once, from any thread.
///
/// Dropped without a report it counts as cancelled: it is [ignored](Permit::ignore), or a failure
/// if the setting `cancelled_after` says so of a call that lasted as long. Dropped by a panic
/// that began after it was acquired it is a failure. A report that comes when the state of
/// the admission is gone counts in the totals only and answers [`Error::Stale`]. A probe that
/// reports after its lease has ended counts, as long as the circuit is still half-open.
///
/// A permit by name, and an owned one, does not keep its connection: if that is removed, and
/// whether or not it is registered again, a report answers [`Error::NotFound`]. Its admission is
/// activity of the connection, as of the next cleanup.
#[must_use = "dropping a permit reports it as ignored"]
pub struct Permit<'a> {
    parts: Parts,
    lender: PhantomData<&'a Engine>,
}

/// What a permit consists of, to be handed on by value.
#[derive(Clone, Copy)]
struct Parts {
    /// Lent for the permit's lifetime, or one reference of an `Arc`.
    engine: NonNull<Engine>,
    origin: Origin,
    /// The number of its registration, if it is traced.
    id: u64,
    ticket: Ticket,
}

/// Which of them it is, the ticket says.
#[derive(Clone, Copy)]
union Origin {
    /// Lent for the permit's lifetime.
    record: NonNull<Record>,
    /// Of the name, if it is traced.
    hash: u64,
}

/// What leads to the record of a permit.
enum Way<'p> {
    Lent(&'p Record),
    Traced(Trace),
}

impl<'a> Permit<'a> {
    #[inline]
    pub(crate) fn lent(engine: &'a Engine, record: &'a Record, ticket: Ticket) -> Self {
        debug_assert!(!ticket.is_traced());
        Permit {
            parts: Parts {
                engine: NonNull::from(engine),
                origin: Origin {
                    record: NonNull::from(record),
                },
                id: 0,
                ticket,
            },
            lender: PhantomData,
        }
    }

    /// For an admission by name.
    #[inline]
    pub(crate) fn traced(engine: &'a Engine, trace: Trace, ticket: Ticket) -> Self {
        Permit {
            parts: Parts::traced(NonNull::from(engine), trace, ticket.traced()),
            lender: PhantomData,
        }
    }

    /// Reports a success.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    #[inline(always)]
    pub fn success(self) -> Result<(), Error> {
        let parts = self.into_parts();
        if parts.succeeds_at_once() {
            return Ok(());
        }
        Parts::success_otherwise(parts.engine, parts.origin, parts.id, parts.ticket)
    }

    /// [`Permit::success`] with metadata for its events.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn success_with<'r>(self, report: impl Into<Report<'r>>) -> Result<(), Error> {
        // The caller's code, so before the drop is given up: if it panics, the
        // permit is dropped.
        let report = report.into();
        self.into_parts().success(&report)
    }

    /// Reports a failure, and returns how many count now.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    #[inline]
    pub fn failure<'r>(self, report: impl Into<Report<'r>>) -> Result<u32, Error> {
        // The caller's code, so before the drop is given up.
        let report = report.into();
        let parts = self.into_parts();
        let begun = match parts.way() {
            Way::Lent(record) => {
                record.try_failure_with_permit(parts.context(), parts.ticket, &report)
            }
            Way::Traced(_) => Begun::Not,
        };
        match begun {
            Begun::Done(count) => Ok(count as u32),
            begun => {
                let Parts {
                    engine,
                    origin,
                    id,
                    ticket,
                } = parts;
                Parts::failure_otherwise(engine, origin, id, ticket, begun, &report)
            }
        }
    }

    /// Reports a failure with which the dependency has said how long it wants to be left alone;
    /// see [`Connection::failure_for`](crate::Connection::failure_for).
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn failure_for<'r>(
        self,
        report: impl Into<Report<'r>>,
        wait: Duration,
    ) -> Result<u32, Error> {
        // The caller's code, so before the drop is given up.
        let report = report.into();
        let parts = self.into_parts();
        parts.conclude(|record, context, ticket, _| {
            record.failure_for(context, Some(ticket), &report, wait)
        })
    }

    /// [`Permit::success`] of a call that has lasted so long, as its reporter knows, in
    /// place of what was measured. See [`Connection::success_in`](crate::Connection::success_in).
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn success_in(self, duration: Duration) -> Result<(), Error> {
        self.success_with(Report::NONE.lasting(duration))
    }

    /// [`Permit::failure`] of a call that has lasted so long, as its reporter knows, in
    /// place of what was measured.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn failure_in<'r>(
        self,
        duration: Duration,
        report: impl Into<Report<'r>>,
    ) -> Result<u32, Error> {
        // The caller's code, so before the drop is given up.
        let report = report.into().lasting(duration);
        self.failure(report)
    }

    /// Gives the permit back: neither success nor failure.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn ignore(self) -> Result<(), Error> {
        self.into_parts().ignored()
    }

    /// Reports any outcome.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn report<'r>(self, outcome: Outcome, report: impl Into<Report<'r>>) -> Result<(), Error> {
        match outcome {
            Outcome::Success => self.success_with(report),
            Outcome::Failure => self.failure(report).map(drop),
            Outcome::Ignored => self.ignore(),
        }
    }

    /// Whether this is a probe: the circuit is half-open, and the call tests the
    /// dependency. A client may shorten its time-out then. False of a call that a
    /// [ramp](crate::ConnectionOptions::ramp) admitted.
    pub fn is_probe(&self) -> bool {
        self.parts.ticket.is_probe()
    }

    /// Whether guarded calls inside of this one may ride on it.
    #[inline]
    pub(crate) fn carries_riders(&self) -> bool {
        self.parts.ticket.is_of_half_open()
    }

    /// The generation of the state that it was acquired in.
    pub(crate) fn generation(&self) -> Generation {
        self.parts.ticket.generation()
    }

    /// Reports an outcome whose caller waits for no answer: a stale report has
    /// done what it could.
    #[inline(always)]
    pub(crate) fn settle(self, outcome: Outcome, describe: impl FnOnce(&Record) -> Option<Reason>) {
        if outcome == Outcome::Failure {
            let reason = match self.parts.way() {
                Way::Lent(record) => describe(record),
                // What describes a failure runs the caller's code, so nothing is pinned.
                Way::Traced(trace) => self.parts.engine().hold(trace).and_then(|it| describe(&it)),
            };
            if let Some(reason) = reason {
                return Parts::failed(self.into_parts(), &reason);
            }
        }
        let parts = self.into_parts();
        if outcome != Outcome::Success || !parts.succeeds_at_once() {
            Parts::settled(parts.engine, parts.origin, parts.id, parts.ticket, outcome);
        }
    }

    /// The caller reports, and releases the parts: no drop does.
    #[inline(always)]
    fn into_parts(self) -> Parts {
        ManuallyDrop::new(self).parts
    }
}

impl Permit<'static> {
    /// With a reference of its own to the engine.
    pub(crate) fn owned(engine: Arc<Engine>, trace: Trace, ticket: Ticket) -> Self {
        // SAFETY: the pointer of an `Arc` is not null.
        let engine = unsafe { NonNull::new_unchecked(Arc::into_raw(engine).cast_mut()) };
        Permit {
            parts: Parts::traced(engine, trace, ticket.owned()),
            lender: PhantomData,
        }
    }
}

impl Parts {
    /// The ticket says that it is traced.
    #[inline]
    fn traced(engine: NonNull<Engine>, Trace { hash, id }: Trace, ticket: Ticket) -> Self {
        Parts {
            engine,
            origin: Origin { hash },
            id,
            ticket,
        }
    }

    #[inline]
    fn engine(&self) -> &Engine {
        // SAFETY: lent for longer than these parts are used, or kept alive by the
        // reference that `release` gives back.
        unsafe { self.engine.as_ref() }
    }

    #[inline]
    fn context(&self) -> &Context {
        &self.engine().context
    }

    #[inline(always)]
    fn way(&self) -> Way<'_> {
        match self.ticket.is_traced() {
            // SAFETY: the ticket is not traced, so `Permit::lent` made the parts: the record is
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
    fn succeeds_at_once(&self) -> bool {
        match self.way() {
            Way::Lent(record) => record.try_success_with_permit(self.context(), self.ticket),
            Way::Traced(_) => false,
        }
    }

    /// The same of a traced one, which is released then.
    #[inline(always)]
    fn succeeds_by_trace(&self) -> bool {
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
    fn conclude<T>(
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

    fn success(self, report: &Report<'_>) -> Result<(), Error> {
        self.conclude(|record, context, ticket, guard| match guard {
            None => record.success(context, Some(ticket), report),
            Some(guard) => record.success_by_name(context, Some(ticket), report, guard),
        })
    }

    fn failure(self, report: &Report<'_>) -> Result<u32, Error> {
        self.conclude(|record, context, ticket, _| record.failure(context, Some(ticket), report))
    }

    fn ignored(self) -> Result<(), Error> {
        self.conclude(|record, context, ticket, guard| {
            let _held = guard.map(|_| record.hold());
            record.ignored(context, ticket)
        })
    }

    fn cancelled(self) -> Result<(), Error> {
        self.conclude(|record, context, ticket, guard| {
            let _held = guard.map(|_| record.hold());
            record.cancelled(context, ticket)
        })
    }

    /// What is left of a failure that has come so far, and of the permit.
    #[inline(never)]
    fn failure_otherwise(
        engine: NonNull<Engine>,
        origin: Origin,
        id: u64,
        ticket: Ticket,
        begun: Begun,
        report: &Report<'_>,
    ) -> Result<u32, Error> {
        let parts = Parts {
            engine,
            origin,
            id,
            ticket,
        };
        parts.conclude(|record, context, ticket, _| match begun {
            Begun::Not => record.failure(context, Some(ticket), report),
            begun => record.finish_failure(context, Some(ticket), report, begun),
        })
    }

    /// A success that [`Parts::succeeds_at_once`] leaves to others.
    #[inline(never)]
    fn success_otherwise(
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
    fn success_that_matters(
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
    fn release(self) {
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
    fn failed(parts: Parts, reason: &str) {
        // No caller waits for an answer.
        let _ = parts.failure(&reason.into());
    }

    #[inline(never)]
    fn settled(engine: NonNull<Engine>, origin: Origin, id: u64, ticket: Ticket, outcome: Outcome) {
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
    fn dropped(engine: NonNull<Engine>, origin: Origin, id: u64, ticket: Ticket) {
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

/// Only an unreported permit is dropped.
impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        let Parts {
            engine,
            origin,
            id,
            ticket,
        } = self.parts;
        Parts::dropped(engine, origin, id, ticket);
    }
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Engine>();
    shared::<Record>();
};

// SAFETY: a permit is references to an engine, lent or counted, and to a record, lent, or plain
// numbers. Engine and record are `Send` and `Sync`, as the assertion above shows, so any thread may
// use and release them.
unsafe impl Send for Permit<'_> {}
// SAFETY: `&Permit` gives `&Engine` and `&Record`, which are `Sync`: the assertion above shows
// it.
unsafe impl Sync for Permit<'_> {}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.parts.way() {
            Way::Lent(record) => Some(record.key().to_buf()),
            Way::Traced(trace) => self.parts.engine().name_of(trace),
        };
        let mut permit = f.debug_struct("Permit");
        match name {
            Some(name) => permit.field("connection", &name).finish(),
            None => permit.finish_non_exhaustive(),
        }
    }
}
