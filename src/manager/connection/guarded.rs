//! Guarded calls by handle: of functions and of futures.
//!
//! What decides about the result of a call is the only difference between the three forms of each:
//! the result itself, a classifier, or a classifier that also gives a reason.

use std::future::Future;

use super::Connection;
use crate::manager::call;
use crate::manager::classified::{By, ByResult, Classified, Classify, WithReason};
use crate::manager::permit::{Outcome, Permit};
use crate::manager::rejection;
use crate::values::error::{CallError, Rejected};

impl Connection {
    /// Runs `f` if the circuit admits it, and reports `Ok` as success, `Err` as
    /// failure and a panic as failure. An `Err` that is the rejection of a circuit is ignored.
    /// Nothing is locked or pinned meanwhile.
    ///
    /// The text of an error is the reason of the failure, for
    /// [some types of errors](crate::docs::start#the-status-of-a-circuit) and where the text has a
    /// use. For error types that are not text, boxed, io or fmt errors no reason is kept: use
    /// [`Connection::call_classified`].
    ///
    /// A guarded call of the same circuit inside of `f` shares its admission while the circuit
    /// is half-open.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// let answer = db.call(|| Ok::<_, String>(42));
    /// assert_eq!(answer, Ok(42));
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError::Inner`] is what `f` returned; otherwise `f` did not run.
    #[inline(always)]
    pub fn call<T, E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<T, CallError<E>> {
        self.call_by(ByResult, f)
    }

    /// [`Connection::call`] in which `classify` says what a result means.
    ///
    /// ```
    /// # use brama::{Brama, Outcome};
    /// # fn main() -> Result<(), brama::Error> {
    /// # let brama = Brama::builder().build()?;
    /// # let search = brama.register("search", None)?;
    /// // A 404 is an answer, not a failing dependency.
    /// let found = search.call_with(
    ///     |result: &Result<u16, String>| match result {
    ///         Ok(200..500) => Outcome::Success,
    ///         _ => Outcome::Failure,
    ///     },
    ///     || Ok(404),
    /// );
    /// assert_eq!(found, Ok(404));
    /// assert_eq!(search.status()?.total_successes, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Connection::call`].
    #[inline(always)]
    pub fn call_with<T, E>(
        &self,
        classify: impl FnOnce(&Result<T, E>) -> Outcome,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.call_by(By(classify), f)
    }

    /// [`Connection::call_with`] whose classifier may give the reason of a failure: see
    /// [`Classified`].
    ///
    /// ```
    /// # use brama::Outcome;
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// let answer = db.call_classified(
    ///     |status| match status {
    ///         Ok(503) => Outcome::Failure.because("overloaded"),
    ///         _ => Outcome::Success.into(),
    ///     },
    ///     || Ok::<_, String>(503),
    /// );
    /// assert_eq!(db.status()?.last_failure_reason.as_deref(), Some("overloaded"));
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Connection::call`].
    #[inline(always)]
    pub fn call_classified<T, E>(
        &self,
        classify: impl FnOnce(&Result<T, E>) -> Classified,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        self.call_by(WithReason(classify), f)
    }

    /// The rejection by a circuit that is open, and stays open a little longer. Returns `None` if
    /// the circuit may admit a call.
    #[inline(always)]
    fn try_reject_call(&self) -> Option<Rejected> {
        let word = self.record.word_now();
        if !word.is_open() {
            return None;
        }
        let refused = self.record.try_reject(&self.engine.context, word)?;
        Some(self.record.rejected(word, refused))
    }

    #[inline(always)]
    fn call_by<T, E>(
        &self,
        classifier: impl Classify<T, E>,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, CallError<E>> {
        // Distinguished here, so that only a healthy call is inlined.
        if let Some(ticket) = self.record.try_pass() {
            let permit = Permit::lent(&self.engine, &self.record, ticket);
            return call::conclude(permit, classifier, |outcome| outcome, f());
        }
        if let Some(rejected) = self.try_reject_call() {
            return Err(rejection::call_error(rejected));
        }
        let admitted = call::admit_unless_closed(&self.engine, &self.record);
        let admitted = admitted.map_err(|refusal| self.error(refusal))?;
        let entry = admitted.entry(&self.engine, &self.record);
        call::run_entry(&self.engine, &self.record, entry, classifier, f)
    }

    /// [`Connection::call`] for a future. Dropped before it is done, it is
    /// ignored, or a failure if the setting `cancelled_after` says so.
    ///
    /// ```
    /// # async fn example(db: brama::Connection) {
    /// let page = db.call_async(|| async { Ok::<_, String>("200 OK") }).await;
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Connection::call`].
    pub async fn call_async<T, E, F>(&self, f: impl FnOnce() -> F) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.call_async_by(ByResult, f).await
    }

    /// [`Connection::call_with`] for a future.
    ///
    /// ```
    /// # use brama::Outcome;
    /// # async fn example(db: brama::Connection) {
    /// // Whatever it answers, it answers.
    /// let page = db.call_async_with(
    ///     |_: &Result<u16, String>| Outcome::Success,
    ///     || async { Ok(404) },
    /// ).await;
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Connection::call`].
    pub async fn call_async_with<T, E, F>(
        &self,
        classify: impl FnOnce(&Result<T, E>) -> Outcome,
        f: impl FnOnce() -> F,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.call_async_by(By(classify), f).await
    }

    /// [`Connection::call_classified`] for a future.
    ///
    /// ```
    /// # use brama::Outcome;
    /// # async fn example(db: brama::Connection) {
    /// let page = db.call_async_classified(
    ///     |status: &Result<u16, String>| match status {
    ///         Ok(503) => Outcome::Failure.because("overloaded"),
    ///         _ => Outcome::Success.into(),
    ///     },
    ///     || async { Ok(503) },
    /// ).await;
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Connection::call`].
    pub async fn call_async_classified<T, E, F>(
        &self,
        classify: impl FnOnce(&Result<T, E>) -> Classified,
        f: impl FnOnce() -> F,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.call_async_by(WithReason(classify), f).await
    }

    async fn call_async_by<T, E, F>(
        &self,
        classifier: impl Classify<T, E>,
        f: impl FnOnce() -> F,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        if let Some(ticket) = self.record.try_pass() {
            let permit = Permit::lent(&self.engine, &self.record, ticket);
            return call::conclude(permit, classifier, |outcome| outcome, f().await);
        }
        if let Some(rejected) = self.try_reject_call() {
            return Err(rejection::call_error(rejected));
        }
        let admitted = call::admit_unless_closed(&self.engine, &self.record);
        let admitted = admitted.map_err(|refusal| self.error(refusal))?;
        let entry = admitted.entry(&self.engine, &self.record);
        call::run_entry_async(&self.engine, &self.record, entry, classifier, f).await
    }
}
