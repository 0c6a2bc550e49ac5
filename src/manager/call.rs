//! Guarded calls: acquire, run a function, report.
//!
//! On a closed circuit that is all there is to it, and it is inlined into the caller.
//!
//! # Nested calls of one circuit
//!
//! A probe whose function makes a guarded call of the same circuit would be rejected by its own
//! circuit, since it is the one probe that is let through. It would fail, and the circuit would
//! never close. So the inner call *rides* on the outer one: it takes no slot and reports nothing,
//! and the outer call reports for both. It rides if
//!
//! - it runs within the outer call's function, on its thread, or within the poll of its future;
//! - the circuit still is in the state in which the outer call was admitted;
//! - no other call rides on the outer one now.
//!
//! Otherwise it asks for itself. A rider can be ridden on in its turn. The outer call reports its
//! own outcome. If that is *ignored*, it reports a failure if a rider failed. A rider that is
//! given up failed if a call with a place would have.
//!
//! The probes and riders under way are a list on each thread ([`Frame`]), from the innermost
//! outwards. Healthy calls know nothing of it.
//!
//! **Orphans.** A future that rides may be moved out of the outer call, and outlive it. It shares
//! a [`Seat`] with the outer call, so it can say that it has ended wherever that happens. Its own
//! frame carries calls only while the frame that it rides on is in the list further out, and so
//! on up to a probe, whose place they share. After that, or elsewhere, they ask for themselves.
//!
//! **Stackful coroutines.** On a thread that switches stacks within guarded calls, frames leave
//! the list in another order than they came. So each takes itself out, wherever it is. What the
//! library cannot see: a call of one coroutine may ride on a probe of another one that is
//! suspended on the same thread. A stack must not go on on another thread while a guarded
//! call is on it, nor be freed without being unwound: the frame would stay in the list.
//!
//! Permits taken by hand do not share, nor do other threads and spawned tasks.
//!
//! Rejected: finding the frame of the outer call by a number, which a rider that ends outside of
//! that call's poll does not find.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::ptr;
use std::sync::{Arc, OnceLock};

use crate::circuit::context::Context;
use crate::circuit::record::{Record, Refusal, Ticket};
use crate::manager::classified::Classify;
use crate::manager::engine::Engine;
use crate::manager::permit::{Outcome, Permit};
use crate::manager::rejection;
use crate::sys::atomic::{AtomicBool, Ordering};
use crate::values::error::CallError;
use crate::values::generation::Generation;

/// How a call was admitted.
pub(crate) enum Admitted {
    With(Ticket),
    Riding(Ride),
}

/// A call that was let in, with its permit.
pub(crate) enum Entry<'a> {
    Permit(Permit<'a>),
    Riding(Ride),
}

/// A call that rides on another one.
pub(crate) struct Ride {
    /// Shared with the call that it rides on.
    seat: Arc<Seat>,
    /// Of the state in which the outermost call was admitted. It is never reported.
    ticket: Ticket,
}

impl Admitted {
    #[inline(always)]
    pub(crate) fn entry<'a>(self, engine: &'a Engine, record: &'a Record) -> Entry<'a> {
        match self {
            Admitted::With(ticket) => Entry::Permit(Permit::lent(engine, record, ticket)),
            Admitted::Riding(ride) => Entry::Riding(ride),
        }
    }
}

/// Lets a call into a circuit that is not simply closed.
#[inline(never)]
pub(crate) fn admit_unless_closed(engine: &Engine, record: &Record) -> Result<Admitted, Refusal> {
    let context = &engine.context;
    if let Some(word) = record.half_open_word(context)
        && let Some(seat) = find_seat(record, word.generation())
    {
        let ticket = record.ticket_to_ride(context, word);
        return Ok(Admitted::Riding(Ride { seat, ticket }));
    }
    record.acquire_unless_closed(context).map(Admitted::With)
}

/// Runs the function of a call that was let in.
pub(crate) fn run_entry<T, E>(
    engine: &Engine,
    record: &Record,
    entry: Entry<'_>,
    classifier: impl Classify<T, E>,
    f: impl FnOnce() -> Result<T, E>,
) -> Result<T, CallError<E>> {
    match entry {
        Entry::Permit(permit) if permit.carries_riders() => {
            let frame = Frame::of_half_open(record, permit.generation());
            let result = frame.inside(f);
            conclude(
                permit,
                classifier,
                |outcome| frame.outcome_with_riders(outcome),
                result,
            )
        }
        Entry::Permit(permit) => conclude(permit, classifier, |outcome| outcome, f()),
        Entry::Riding(ride) => {
            let frame = Frame::of_ride(record, &ride);
            let rider = Rider::new(&engine.context, record, ride);
            let result = frame.inside(f);
            let (outcome, _) = classifier.classify(&result);
            rider.alight(frame.outcome_with_riders(outcome));
            wrap(result)
        }
    }
}

/// [`run_entry`] of a future.
pub(crate) async fn run_entry_async<T, E, F>(
    engine: &Engine,
    record: &Record,
    entry: Entry<'_>,
    classifier: impl Classify<T, E>,
    f: impl FnOnce() -> F,
) -> Result<T, CallError<E>>
where
    F: Future<Output = Result<T, E>>,
{
    match entry {
        Entry::Permit(permit) if permit.carries_riders() => {
            let frame = Frame::of_half_open(record, permit.generation());
            let result = frame.around(f).await;
            conclude(
                permit,
                classifier,
                |outcome| frame.outcome_with_riders(outcome),
                result,
            )
        }
        Entry::Permit(permit) => conclude(permit, classifier, |outcome| outcome, f().await),
        Entry::Riding(ride) => {
            let frame = Frame::of_ride(record, &ride);
            let rider = Rider::new(&engine.context, record, ride);
            let result = frame.around(f).await;
            let (outcome, _) = classifier.classify(&result);
            rider.alight(frame.outcome_with_riders(outcome));
            wrap(result)
        }
    }
}

/// Reports the outcome of a call, and returns its result. `amend` maps the call's own outcome to
/// the one that is reported.
#[inline(always)]
pub(crate) fn conclude<T, E, J: Classify<T, E>>(
    permit: Permit<'_>,
    classifier: J,
    amend: impl FnOnce(Outcome) -> Outcome,
    result: Result<T, E>,
) -> Result<T, CallError<E>> {
    let (outcome, reason) = classifier.classify(&result);
    permit.settle(amend(outcome), reason, || J::describe(&result));
    wrap(result)
}

#[inline(always)]
fn wrap<T, E>(result: Result<T, E>) -> Result<T, CallError<E>> {
    result.map_err(|error| {
        if rejection::is_rejection(&error) {
            rejection::learn::<E>();
        }
        CallError::Inner(error)
    })
}

/// State that a call shares with the call that rides on it.
struct Seat {
    /// A call rides on this one.
    is_taken: AtomicBool,
    a_rider_failed: AtomicBool,
}

/// A guarded call that a half-open circuit has admitted, or that rides on one, while its function
/// runs. In the list of its thread only then.
struct Frame {
    /// To be compared. The caller keeps the record alive.
    record: *const Record,
    generation: Generation,
    /// Of the call that it rides on. `None`: the circuit has admitted it.
    rides_on: Option<Arc<Seat>>,
    /// Allocated when a call rides on this one.
    seat: OnceLock<Arc<Seat>>,
}

// SAFETY: the pointer is only compared; the rest may be sent and shared.
unsafe impl Send for Frame {}
// SAFETY: `record` is only compared, never followed; `Seat` is two atomics, so all else is
// `Sync`.
unsafe impl Sync for Frame {}

/// A frame in the list of the current thread.
struct Linked {
    frame: *const Frame,
    outer: Cell<*const Linked>,
}

thread_local! {
    static INNERMOST: Cell<*const Linked> = const { Cell::new(ptr::null()) };
}

/// A seat on the innermost call of this thread that carries another one, taken.
fn find_seat(record: &Record, generation: Generation) -> Option<Arc<Seat>> {
    let mut at = INNERMOST.try_with(Cell::get).unwrap_or(ptr::null());
    // SAFETY: null, or in the list: `Linked::enter` put it there, and its guard takes it out
    // before it ends.
    while let Some(linked) = unsafe { at.as_ref() } {
        let frame = linked.frame();
        if frame.is_of(record, generation)
            && linked.has_a_place()
            && let Some(seat) = frame.take_seat()
        {
            return Some(seat);
        }
        at = linked.outer.get();
    }
    None
}

impl Linked {
    fn new(frame: &Frame) -> Self {
        Linked {
            frame,
            outer: Cell::new(ptr::null()),
        }
    }

    /// Puts this into the list of the thread, until the guard is dropped. `None` if the thread is
    /// ending.
    ///
    /// The guard borrows this and the frame is borrowed by the caller of [`Frame::inside`], the
    /// only one. So what is in the list is there, as long as guards are dropped on their
    /// threads: the guard does not leave its stack, and the top of the file says what holds of
    /// stacks.
    fn enter(&self) -> Option<Leave<'_>> {
        let enter = |innermost: &Cell<*const Linked>| self.outer.set(innermost.replace(self));
        INNERMOST.try_with(enter).ok()?;
        Some(Leave(self))
    }

    fn frame(&self) -> &Frame {
        // SAFETY: borrowed by the call of `Frame::inside` that has put this into the list, for
        // longer than it is there.
        unsafe { &*self.frame }
    }

    /// Whether the circuit has admitted this call, or it rides on one, by way of calls that all are
    /// under way further out.
    fn has_a_place(&self) -> bool {
        let mut rides_on = self.frame().rides_on.as_ref();
        let mut at = self.outer.get();
        while let Some(seat) = rides_on {
            // SAFETY: null, or in the list: `Linked::enter` put it there, and its guard takes
            // it out before it ends.
            let Some(linked) = (unsafe { at.as_ref() }) else {
                return false;
            };
            let frame = linked.frame();
            if frame.seat.get().is_some_and(|its| Arc::ptr_eq(its, seat)) {
                rides_on = frame.rides_on.as_ref();
            }
            at = linked.outer.get();
        }
        true
    }
}

/// Takes a frame out of the list.
struct Leave<'a>(&'a Linked);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let _ = INNERMOST.try_with(|innermost| {
            let mut link = innermost;
            // SAFETY: null, or in the list: `Linked::enter` put it there, and only this drop
            // takes one out.
            while let Some(linked) = unsafe { link.get().as_ref() } {
                if ptr::eq(linked, self.0) {
                    link.set(linked.outer.get());
                    return;
                }
                link = &linked.outer;
            }
        });
    }
}

impl Frame {
    fn of_half_open(record: &Record, generation: Generation) -> Self {
        Frame {
            record,
            generation,
            rides_on: None,
            seat: OnceLock::new(),
        }
    }

    fn of_ride(record: &Record, ride: &Ride) -> Self {
        Frame {
            rides_on: Some(ride.seat.clone()),
            ..Frame::of_half_open(record, ride.ticket.generation())
        }
    }

    fn is_of(&self, record: &Record, generation: Generation) -> bool {
        ptr::eq(self.record, record) && self.generation == generation
    }

    /// The seat, if it was free.
    fn take_seat(&self) -> Option<Arc<Seat>> {
        let seat = self.seat.get_or_init(|| {
            Arc::new(Seat {
                is_taken: AtomicBool::new(false),
                a_rider_failed: AtomicBool::new(false),
            })
        });
        // Relaxed, here and below: these are flags of their own. A rider that ends on another
        // thread does so at no particular time.
        (!seat.is_taken.swap(true, Ordering::Relaxed)).then(|| seat.clone())
    }

    /// Runs a function with this frame in the list of the thread.
    fn inside<R>(&self, f: impl FnOnce() -> R) -> R {
        let linked = Linked::new(self);
        // Without it, the thread is ending: calls inside ask for themselves.
        let _leave = linked.enter();
        f()
    }

    /// Makes a future, and runs it with this frame in the list of the thread that polls.
    async fn around<F: Future>(&self, f: impl FnOnce() -> F) -> F::Output {
        let mut future = pin!(self.inside(f));
        poll_fn(|context| self.inside(|| future.as_mut().poll(context))).await
    }

    /// What this call reports, given its own outcome.
    fn outcome_with_riders(&self, outcome: Outcome) -> Outcome {
        let failed = |seat: &Arc<Seat>| seat.a_rider_failed.load(Ordering::Relaxed);
        match outcome {
            Outcome::Ignored if self.seat.get().is_some_and(failed) => Outcome::Failure,
            outcome => outcome,
        }
    }
}

/// A call that rides on another one, until it ends.
struct Rider<'a> {
    context: &'a Context,
    record: &'a Record,
    ride: Ride,
    outcome: Option<Outcome>,
}

impl<'a> Rider<'a> {
    fn new(context: &'a Context, record: &'a Record, ride: Ride) -> Self {
        Rider {
            context,
            record,
            ride,
            outcome: None,
        }
    }

    fn alight(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Rider<'_> {
    fn drop(&mut self) {
        let Ride { seat, ticket } = &self.ride;
        let failed = match self.outcome {
            Some(outcome) => outcome == Outcome::Failure,
            // The call panicked, or its future was given up.
            None => ticket.is_dropped_by_panic() || self.record.is_overdue(self.context, *ticket),
        };
        if failed {
            seat.a_rider_failed.store(true, Ordering::Relaxed);
        }
        seat.is_taken.store(false, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn frame(rides_on: Option<Arc<Seat>>) -> Frame {
        Frame {
            record: ptr::null(),
            generation: Generation::from_bits(0),
            rides_on,
            seat: OnceLock::new(),
        }
    }

    fn in_the_list() -> Vec<*const Frame> {
        let mut at = INNERMOST.get();
        let next = || {
            // SAFETY: the tests take their frames out of the list before they end.
            let linked = unsafe { at.as_ref() }?;
            at = linked.outer.get();
            Some(linked.frame)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn frames_that_leave_in_the_order_in_which_they_came_leave_nothing_behind() {
        let frames = [(); 3].map(|()| frame(None));
        let [one, two, three] = frames.each_ref().map(Linked::new);
        let [first, second, third] = [&one, &two, &three].map(Linked::enter);
        assert_eq!(in_the_list(), [three.frame, two.frame, one.frame]);
        drop(first);
        assert_eq!(in_the_list(), [three.frame, two.frame]);
        drop(third);
        assert_eq!(in_the_list(), [two.frame]);
        drop(second);
        assert!(in_the_list().is_empty());
    }

    #[test]
    fn a_frame_has_a_place_as_long_as_all_that_it_rides_on_are_further_out() {
        let probe = frame(None);
        let rider = frame(probe.take_seat());
        let second = frame(rider.take_seat());
        let [one, two, three] = [&probe, &rider, &second].map(Linked::new);
        let has_a_place = || [&one, &two, &three].map(Linked::has_a_place);
        let first = one.enter();
        let [_second, _third] = [&two, &three].map(Linked::enter);
        assert_eq!(has_a_place(), [true; 3]);
        assert!(probe.take_seat().is_none(), "it is taken");
        drop(first);
        assert_eq!(has_a_place(), [true, false, false]);
    }
}
