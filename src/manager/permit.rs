//! Permits: what an admitted call reports back with.
//!
//! A permit is a plain value: a ticket that says in which state it was given, and
//! the way back to its circuit. One from a handle borrows it, so that acquiring and
//! reporting touch no count of references; one by name holds a reference to its
//! record; an owned one holds all it needs and may be sent anywhere.
//!
//! A permit reports once. Dropped without a report it counts as cancelled: ignored, or a failure
//! if `cancelled_after` says so. Dropped by a panic it is a failure. So an early return and a panic
//! both do what one means. A permit that was acquired while the thread was panicking already, by a
//! destructor say, is no failure for that: the panic is not the dependency's.
//!
//! # Four words in registers
//!
//! Moving a permit through memory would cost more than a report does. So it is
//! four words without a tag between them: two addresses, and the two words of its ticket, of
//! which two bits say what it owns. What is rare (drops, late reports, refusals) gets these
//! words by value: no code takes a permit's address, and a compiler that sees both ends of a
//! guarded call keeps it in registers. Rejected: an enum of borrowed and counted references,
//! which was twice as slow as all the rest of the call.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use crate::circuit::context::Context;
use crate::circuit::record::{Begun, Record, RecordRef, Refusal, Ticket};
use crate::manager::classified::Reason;
use crate::manager::engine::Engine;
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
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// # let db = brama.register("db", None)?;
/// let permit = db.acquire()?;
/// let limit = if permit.is_probe() { 1 } else { 10 }; // A probe's time-out may be shorter.
/// permit.failure("timeout")?; // Or `success`, or `ignore`.
/// # Ok::<(), brama::Error>(())
/// ```
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
    /// Lent for the permit's lifetime, or one counted reference.
    record: NonNull<Record>,
    ticket: Ticket,
}

impl<'a> Permit<'a> {
    #[inline]
    pub(crate) fn lent(engine: &'a Engine, record: &'a Record, ticket: Ticket) -> Self {
        Permit {
            parts: Parts {
                engine: NonNull::from(engine),
                record: NonNull::from(record),
                ticket,
            },
            lender: PhantomData,
        }
    }

    /// For an admission by name: the permit keeps the record alive.
    #[inline]
    pub(crate) fn by_name(engine: &'a Engine, record: RecordRef, ticket: Ticket) -> Self {
        Permit {
            parts: Parts {
                engine: NonNull::from(engine),
                record: record.into_raw(),
                ticket: ticket.with_record(),
            },
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
        Parts::success_otherwise(parts.engine, parts.record, parts.ticket)
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
        let parts = self.into_parts();
        parts.conclude(parts.success(&report))
    }

    /// Reports a failure, and returns how many count now.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    #[inline(always)]
    pub fn failure<'r>(self, report: impl Into<Report<'r>>) -> Result<u32, Error> {
        // The caller's code, so before the drop is given up.
        let report = report.into();
        let parts = self.into_parts();
        match parts.begin_failure(report.reason) {
            Begun::Done(count) => {
                if parts.ticket.owns_record() {
                    Parts::released(parts.engine, parts.record, parts.ticket);
                }
                Ok(count as u32)
            }
            // By value, so that it is in memory only then.
            begun => {
                Parts::failure_otherwise(parts.engine, parts.record, parts.ticket, begun, report)
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
        let (record, context) = (parts.record(), parts.context());
        parts.conclude(record.failure_for(context, Some(parts.ticket), &report, wait))
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
        let parts = self.into_parts();
        parts.conclude(parts.ignored())
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
        if outcome == Outcome::Failure
            && let Some(reason) = describe(self.parts.record())
        {
            let parts = self.into_parts();
            return Parts::failed(parts.engine, parts.record, parts.ticket, &reason);
        }
        let parts = self.into_parts();
        if outcome != Outcome::Success || !parts.succeeds_at_once() {
            Parts::settled(parts.engine, parts.record, parts.ticket, outcome);
        }
    }

    /// The caller reports, and releases the parts: no drop does.
    #[inline(always)]
    fn into_parts(self) -> Parts {
        ManuallyDrop::new(self).parts
    }
}

impl Permit<'static> {
    /// With references of its own to all it needs.
    pub(crate) fn owned(engine: Arc<Engine>, record: RecordRef, ticket: Ticket) -> Self {
        // SAFETY: the pointer of an `Arc` is not null.
        let engine = unsafe { NonNull::new_unchecked(Arc::into_raw(engine).cast_mut()) };
        Permit {
            parts: Parts {
                engine,
                record: record.into_raw(),
                ticket: ticket.with_record_and_engine(),
            },
            lender: PhantomData,
        }
    }
}

impl Parts {
    #[inline]
    fn context(&self) -> &Context {
        // SAFETY: lent for longer than these parts are used, or kept alive by the
        // reference that `release` gives back.
        unsafe { &self.engine.as_ref().context }
    }

    #[inline]
    fn record(&self) -> &Record {
        // SAFETY: lent for longer than these parts are used, or kept alive by the reference that
        // `release` gives back.
        unsafe { self.record.as_ref() }
    }

    /// The report of a permit that owns nothing, if it changes nothing but the totals.
    #[inline(always)]
    fn succeeds_at_once(&self) -> bool {
        self.record()
            .try_success_with_permit(self.context(), self.ticket)
    }

    /// The same of a permit that owns something, and releases that.
    #[inline(always)]
    fn succeeds_as_owner(&self) -> bool {
        let parts = Parts {
            ticket: Ticket::to_pass_at(self.ticket.mark()),
            ..*self
        };
        let succeeds = self.ticket.is_owning_pass() && parts.succeeds_at_once();
        if succeeds {
            self.release();
        }
        succeeds
    }

    fn success(&self, report: &Report<'_>) -> Result<(), Refusal> {
        self.record()
            .success(self.context(), Some(self.ticket), report)
    }

    /// What is left of a failure that has come so far, and of the permit.
    #[inline(never)]
    fn failure_otherwise(
        engine: NonNull<Engine>,
        record: NonNull<Record>,
        ticket: Ticket,
        begun: Begun,
        report: Report<'_>,
    ) -> Result<u32, Error> {
        let parts = Parts {
            engine,
            record,
            ticket,
        };
        let (record, context) = (parts.record(), parts.context());
        parts.conclude(record.finish_failure(context, Some(ticket), &report, begun))
    }

    /// A failure, if it changes nothing but the totals and the count.
    #[inline(always)]
    fn begin_failure(&self, reason: Option<&str>) -> Begun {
        self.record()
            .try_failure_with_permit(self.context(), self.ticket, reason)
    }

    fn failure(&self, report: &Report<'_>) -> Result<u32, Refusal> {
        self.record()
            .failure(self.context(), Some(self.ticket), report)
    }

    fn ignored(&self) -> Result<(), Refusal> {
        self.record().ignored(self.context(), self.ticket)
    }

    /// A success that [`Parts::succeeds_at_once`] leaves to others.
    #[inline(never)]
    fn success_otherwise(
        engine: NonNull<Engine>,
        record: NonNull<Record>,
        ticket: Ticket,
    ) -> Result<(), Error> {
        let parts = Parts {
            engine,
            record,
            ticket,
        };
        match parts.succeeds_as_owner() {
            true => Ok(()),
            false => Parts::success_that_matters(engine, record, ticket),
        }
    }

    #[cold]
    #[inline(never)]
    fn success_that_matters(
        engine: NonNull<Engine>,
        record: NonNull<Record>,
        ticket: Ticket,
    ) -> Result<(), Error> {
        let parts = Parts {
            engine,
            record,
            ticket,
        };
        parts.conclude(parts.success(&Report::NONE))
    }

    /// After the report.
    fn conclude<T>(self, answer: Result<T, Refusal>) -> Result<T, Error> {
        let answer = answer.map_err(|refusal| self.error(refusal));
        self.release();
        answer
    }

    #[cold]
    fn error(&self, refusal: Refusal) -> Error {
        // SAFETY: lent for longer than these parts are used, or kept alive by the reference that
        // `release` gives back.
        unsafe { self.engine.as_ref() }.error(refusal, self.record())
    }

    /// [`Parts::release`], out of line.
    #[inline(never)]
    fn released(engine: NonNull<Engine>, record: NonNull<Record>, ticket: Ticket) {
        let parts = Parts {
            engine,
            record,
            ticket,
        };
        parts.release();
    }

    /// Gives back what is owned.
    #[inline]
    fn release(self) {
        if self.ticket.owns_record() {
            // SAFETY: the ticket says that the parts own a reference to the record: `into_raw`
            // left it there. `self` ends here, so it is taken once, after the last use.
            drop(unsafe { RecordRef::from_raw(self.record) });
        }
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
    fn failed(engine: NonNull<Engine>, record: NonNull<Record>, ticket: Ticket, reason: &str) {
        let parts = Parts {
            engine,
            record,
            ticket,
        };
        let _ = parts.failure(&reason.into());
        parts.release();
    }

    #[inline(never)]
    fn settled(engine: NonNull<Engine>, record: NonNull<Record>, ticket: Ticket, outcome: Outcome) {
        let parts = Parts {
            engine,
            record,
            ticket,
        };
        if outcome == Outcome::Success && parts.succeeds_as_owner() {
            return;
        }
        let _ = match outcome {
            Outcome::Success => parts.success(&Report::NONE),
            Outcome::Failure => parts.failure(&Report::NONE).map(drop),
            Outcome::Ignored => parts.ignored(),
        };
        parts.release();
    }

    /// The report of a permit that was dropped.
    #[cold]
    #[inline(never)]
    fn dropped(engine: NonNull<Engine>, record: NonNull<Record>, ticket: Ticket) {
        let parts = Parts {
            engine,
            record,
            ticket,
        };
        // No caller is left to hear of a refusal.
        let _ = match ticket.is_dropped_by_panic() {
            true => parts.failure(&"panic".into()).map(drop),
            false => parts.record().cancelled(parts.context(), ticket),
        };
        parts.release();
    }
}

/// Only an unreported permit is dropped.
impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        Parts::dropped(self.parts.engine, self.parts.record, self.parts.ticket);
    }
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Engine>();
    shared::<Record>();
};

// SAFETY: a permit is references to an engine and a record, lent or counted. Both are `Send` and
// `Sync`, as the assertion above shows, so any thread may use and release them.
unsafe impl Send for Permit<'_> {}
// SAFETY: `&Permit` gives `&Engine` and `&Record`, which are `Sync`: the assertion above shows
// it.
unsafe impl Sync for Permit<'_> {}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("connection", &self.parts.record().key().to_buf())
            .finish()
    }
}
