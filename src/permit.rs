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
use std::ops::Deref;
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
    /// None once reported.
    admission: Option<Admission<'a>>,
}

struct Admission<'a> {
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
            admission: Some(Admission {
                engine: Held::Lent(engine),
                record: Held::Lent(record),
                ticket,
            }),
        }
    }

    /// For an admission by name: the permit keeps the record alive.
    pub(crate) fn by_name(engine: &'a Engine, record: RecordRef, ticket: Ticket) -> Self {
        Permit {
            admission: Some(Admission {
                engine: Held::Lent(engine),
                record: Held::Counted(record),
                ticket,
            }),
        }
    }

    /// Reports a success.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    #[inline]
    pub fn success(mut self) -> Result<(), Error> {
        self.settle(|record, engine, ticket| {
            record.success(&engine.env, Some(ticket), &Report::NONE)
        })
    }

    /// [`Permit::success`] with metadata for its events.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn success_with<'r>(mut self, report: impl Into<Report<'r>>) -> Result<(), Error> {
        let report = report.into();
        self.settle(|record, engine, ticket| record.success(&engine.env, Some(ticket), &report))
    }

    /// Reports a failure, and returns how many count now.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn failure<'r>(mut self, report: impl Into<Report<'r>>) -> Result<u32, Error> {
        let report = report.into();
        self.settle(|record, engine, ticket| record.failure(&engine.env, Some(ticket), &report))
    }

    /// Gives the permit back: neither success nor failure.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotFound`], [`Error::ShutDown`].
    pub fn ignore(mut self) -> Result<(), Error> {
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

    #[inline]
    fn settle<T>(
        &mut self,
        report: impl FnOnce(&Record, &Engine, &Ticket) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let Some(admission) = self.admission.take() else {
            return Err(Error::Stale);
        };
        let (record, engine) = (&*admission.record, &*admission.engine);
        report(record, engine, &admission.ticket)
            .map_err(|refusal| engine.error(refusal, record.key()))
    }
}

impl Permit<'static> {
    /// With references of its own to all it needs.
    pub(crate) fn owned(engine: Arc<Engine>, record: RecordRef, ticket: Ticket) -> Self {
        Permit {
            admission: Some(Admission {
                engine: Held::Counted(engine),
                record: Held::Counted(record),
                ticket,
            }),
        }
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.admission.is_some() {
            self.settle_unreported();
        }
    }
}

impl Permit<'_> {
    #[cold]
    fn settle_unreported(&mut self) {
        // Nobody is left to hear of an error.
        let _ = if std::thread::panicking() {
            self.settle(|record, engine, ticket| {
                record.failure(&engine.env, Some(ticket), &"panic".into())
            })
            .map(drop)
        } else {
            self.settle(|record, engine, ticket| record.ignored(&engine.env, ticket))
        };
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ticket = self.admission.as_ref().map(|admission| admission.ticket);
        f.debug_struct("Permit").field("ticket", &ticket).finish()
    }
}

/// The usual meaning of a result.
pub(crate) fn by_result<T, E>(result: &Result<T, E>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::Failure,
    }
}

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

fn conclude<T, E>(
    permit: Permit<'_>,
    classify: impl FnOnce(&Result<T, E>) -> Outcome,
    result: Result<T, E>,
) -> Result<T, CallError<E>> {
    let outcome = classify(&result);
    // A stale report has done what it could; the caller wants the result.
    let _ = permit.report(outcome, Report::NONE);
    result.map_err(CallError::Inner)
}
