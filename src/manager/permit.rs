//! [`Permit`]: the admission of a call, on which the call reports.
//!
//! A permit is a plain value: a ticket that says in which state it was given, and
//! the way back to its circuit. One from a handle borrows the record. One by name has a
//! [`Trace`], by which its report looks the record up again. Neither touches a count of references.
//! An owned one has a trace, and a reference to the engine, so it may be sent anywhere.
//!
//! A permit reports once. Dropped without a report it counts as cancelled: ignored, or a failure
//! if `cancelled_after` says so. Dropped by a panic it is a failure. If the permit was acquired
//! while the thread was panicking already, by a destructor for example, the drop is no failure: the
//! panic says nothing about the dependency.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use crate::circuit::record::{Begun, Record, Ticket};
use crate::manager::classified::Reason;
use crate::manager::engine::Engine;
use crate::manager::trace::Trace;
use crate::values::error::Error;
use crate::values::event::Report;
use crate::values::generation::Generation;

mod parts;

use parts::{Parts, Way};

/// The outcome of a call.
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
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// # let db = brama.register("db", None)?;
/// let permit = db.acquire()?;
/// let limit = if permit.is_probe() { 1 } else { 10 }; // A probe's time-out may be shorter.
/// permit.failure("timeout")?; // Or `success`, or `ignore`.
/// # Ok::<(), brama::Error>(())
/// ```
#[must_use = "a permit that is dropped is reported as cancelled"]
pub struct Permit<'a> {
    parts: Parts,
    lender: PhantomData<&'a Engine>,
}

impl<'a> Permit<'a> {
    #[inline]
    pub(crate) fn lent(engine: &'a Engine, record: &'a Record, ticket: Ticket) -> Self {
        Permit {
            parts: Parts::lent(engine, record, ticket),
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
    #[inline(always)]
    pub fn failure<'r>(self, report: impl Into<Report<'r>>) -> Result<u32, Error> {
        // The caller's code, so before the drop is given up.
        let report = report.into();
        let parts = self.into_parts();
        match parts.begin_failure(report.reason) {
            Begun::Done(count) => Ok(count),
            begun => parts.failure_otherwise(begun, report),
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
    pub(crate) fn settle(
        self,
        outcome: Outcome,
        reason: Option<Reason>,
        describe: impl FnOnce() -> Option<Reason>,
    ) {
        match (outcome, reason) {
            (Outcome::Success, _) => {
                let parts = self.into_parts();
                if !parts.succeeds_at_once() {
                    parts.settled(outcome);
                }
            }
            (Outcome::Failure, Some(reason)) => Parts::failed(self.into_parts(), &reason),
            (Outcome::Failure, None) => match self.parts.begin_failure(None) {
                Begun::Done(_) => _ = self.into_parts(),
                begun => self.fail_otherwise(begun, describe),
            },
            (Outcome::Ignored, _) => self.into_parts().settled(outcome),
        }
    }

    /// Goes on with a failure that was begun. Describes it only if it does more than count in a row.
    #[cold]
    #[inline(never)]
    fn fail_otherwise(self, begun: Begun, describe: impl FnOnce() -> Option<Reason>) {
        let begun = match begun {
            Begun::Not => self.parts.begin_failure_again(),
            begun => begun,
        };
        match begun {
            Begun::Done(_) => self.into_parts().release(),
            Begun::Totalled if self.parts.retry_failure() => self.into_parts().release(),
            // To describe a failure runs the caller's code, which may panic.
            Begun::Totalled => {
                // This one is in the totals: if the permit were dropped, it would be so twice.
                let parts = self.into_parts();
                let described = catch_unwind(AssertUnwindSafe(describe));
                let reason = described.as_ref().ok().and_then(Option::as_deref);
                // No caller waits for an answer.
                let _ = parts.failure_otherwise(begun, reason.into());
                if let Err(panic) = described {
                    resume_unwind(panic);
                }
            }
            Begun::Not => match describe() {
                Some(reason) => Parts::failed(self.into_parts(), &reason),
                None => self.into_parts().settled(Outcome::Failure),
            },
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::manager::{Brama, Connection};
    use crate::values::state::State;

    fn circuit() -> (Brama, Connection) {
        let brama = Brama::builder().background(false).max_attempts(1);
        let brama = brama.build().expect("valid");
        let db = brama.register("db", None).expect("a new name");
        (brama, db)
    }

    /// The failure was quick, and another thread was faster.
    ///
    /// Mutation: `an-opening-of-a-slower-thread-without-its-text`.
    #[test]
    fn a_failure_that_has_lost_a_race_and_opens_has_the_text_of_its_error() {
        let (brama, db) = circuit();
        let texts = ["by handle", "by name"];
        for text in texts {
            let permit = match text {
                "by name" => brama.acquire("db"),
                _ => db.acquire(),
            };
            let permit = permit.expect("closed");
            permit.fail_otherwise(Begun::Totalled, || Some(text.into()));
            let status = db.status().expect("registered");
            assert_eq!(
                (status.state, status.reason.as_deref()),
                (State::Open, Some(text))
            );
            db.reset_circuit().expect("registered");
        }
    }

    /// Its failure is in the totals already.
    #[test]
    fn a_text_that_panics_reports_its_failure_once() {
        let (_brama, db) = circuit();
        let permit = db.acquire().expect("closed");
        let fails = || permit.fail_otherwise(Begun::Totalled, || panic!("no text"));
        assert!(catch_unwind(AssertUnwindSafe(fails)).is_err());
        let status = db.status().expect("registered");
        assert_eq!((status.state, status.total_failures), (State::Open, 0));
    }
}
