//! Permits: what an admitted call reports back with.
//!
//! A permit is a plain value: a ticket that says in which state it was given, and
//! the way back to its circuit. One from a handle borrows it, so that acquiring and
//! reporting touch no count of references; one by name holds a reference to its
//! record; an owned one holds all it needs and may be sent anywhere.
//!
//! A permit reports once. Dropped without a report it is ignored, or a failure if
//! the thread is panicking, so an early return and a panic both do what one means.

use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{CallError, Error};
use crate::event::Report;
use crate::record::{Record, RecordRef, Refusal, Ticket};

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
/// Dropped, it is [ignored](Permit::ignore), or a failure if the thread is
/// panicking. A report that comes when the state of the admission is gone, or
/// after a probe's lease has ended, counts in the totals only and answers
/// [`Error::Stale`].
#[must_use = "dropping a permit reports it as ignored"]
pub struct Permit<'a> {
    engine: Held<'a, Engine, Arc<Engine>>,
    record: Held<'a, Record, RecordRef>,
    ticket: Ticket,
}

/// Lent by a handle or a manager, or with a reference of its own.
enum Held<'a, T, R> {
    Lent(&'a T),
    Counted(R),
}

impl<T, R: Deref<Target = T>> Deref for Held<'_, T, R> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Held::Lent(lent) => lent,
            Held::Counted(counted) => counted,
        }
    }
}

impl<'a> Permit<'a> {
    #[inline]
    pub(crate) fn lent(engine: &'a Engine, record: &'a Record, ticket: Ticket) -> Self {
        Permit {
            engine: Held::Lent(engine),
            record: Held::Lent(record),
            ticket,
        }
    }

    /// For an admission by name: the permit keeps the record alive.
    pub(crate) fn by_name(engine: &'a Engine, record: RecordRef, ticket: Ticket) -> Self {
        Permit {
            engine: Held::Lent(engine),
            record: Held::Counted(record),
            ticket,
        }
    }

    /// Reports a success.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    #[inline]
    pub fn success(self) -> Result<(), Error> {
        self.settle(|record, engine, ticket| {
            record.success(&engine.env, Some(ticket), &Report::NONE)
        })
    }

    /// [`Permit::success`] with metadata for its events.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn success_with<'r>(self, report: impl Into<Report<'r>>) -> Result<(), Error> {
        let report = report.into();
        self.settle(|record, engine, ticket| record.success(&engine.env, Some(ticket), &report))
    }

    /// Reports a failure, and returns how many count now.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn failure<'r>(self, report: impl Into<Report<'r>>) -> Result<u32, Error> {
        let report = report.into();
        self.settle(|record, engine, ticket| record.failure(&engine.env, Some(ticket), &report))
    }

    /// Gives the permit back: neither success nor failure.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn ignore(self) -> Result<(), Error> {
        self.settle(|record, engine, ticket| record.ignored(&engine.env, ticket))
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

    /// Reports, instead of the drop. Works on the permit where it is: moving it
    /// would cost as much as the report.
    #[inline]
    fn settle<T>(
        self,
        report: impl FnOnce(&Record, &Engine, Ticket) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let mut this = ManuallyDrop::new(self);
        let answer = this.report_to(report);
        // SAFETY: both are dropped here and never again; `this` is not used any more.
        unsafe {
            ptr::drop_in_place(&mut this.engine);
            ptr::drop_in_place(&mut this.record);
        }
        answer
    }

    #[inline]
    fn report_to<T>(
        &self,
        report: impl FnOnce(&Record, &Engine, Ticket) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        match report(&self.record, &self.engine, self.ticket) {
            Ok(answer) => Ok(answer),
            Err(refusal) => Err(refused(&self.engine, &self.record, refusal)),
        }
    }
}

#[cold]
fn refused(engine: &Engine, record: &Record, refusal: Refusal) -> Error {
    engine.error(refusal, record.key())
}

impl Permit<'static> {
    /// With references of its own to all it needs.
    pub(crate) fn owned(engine: Arc<Engine>, record: RecordRef, ticket: Ticket) -> Self {
        Permit {
            engine: Held::Counted(engine),
            record: Held::Counted(record),
            ticket,
        }
    }
}

/// Only an unreported permit is dropped.
impl Drop for Permit<'_> {
    #[cold]
    fn drop(&mut self) {
        // Nobody is left to hear of an error.
        let _ = if std::thread::panicking() {
            self.report_to(|record, engine, ticket| {
                record.failure(&engine.env, Some(ticket), &"panic".into())
            })
            .map(drop)
        } else {
            self.report_to(|record, engine, ticket| record.ignored(&engine.env, ticket))
        };
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("connection", &self.record.key().to_buf())
            .finish()
    }
}

/// The usual meaning of a result.
pub(crate) fn by_result<T, E>(result: &Result<T, E>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::Failure,
    }
}

#[inline]
pub(crate) fn run<T, E>(
    permit: Permit<'_>,
    classify: impl FnOnce(&Result<T, E>) -> Outcome,
    f: impl FnOnce() -> Result<T, E>,
) -> Result<T, CallError<E>> {
    conclude(permit, classify, f())
}

pub(crate) async fn run_async<T, E, F>(
    permit: Permit<'_>,
    classify: impl FnOnce(&Result<T, E>) -> Outcome,
    f: impl FnOnce() -> F,
) -> Result<T, CallError<E>>
where
    F: Future<Output = Result<T, E>>,
{
    conclude(permit, classify, f().await)
}

#[inline]
fn conclude<T, E>(
    permit: Permit<'_>,
    classify: impl FnOnce(&Result<T, E>) -> Outcome,
    result: Result<T, E>,
) -> Result<T, CallError<E>> {
    // A stale report has done what it could; the caller wants the result.
    let _ = match classify(&result) {
        Outcome::Success => permit.success(),
        Outcome::Failure => permit.failure(Report::NONE).map(drop),
        Outcome::Ignored => permit.ignore(),
    };
    result.map_err(CallError::Inner)
}
