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
//! own outcome. If that is *ignored*, it reports a failure if a rider failed.
//!
//! The probes and riders under way are a list on each thread ([`Frame`]), from the innermost
//! outwards. Healthy calls know nothing of it. A rider remembers the frame that it rides on by
//! number and looks for it each time: a future that rides may be moved out of the outer call,
//! and outlive it.
//!
//! Permits taken by hand do not share, nor do other threads and spawned tasks.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::ptr;

use crate::engine::Engine;
use crate::error::CallError;
use crate::permit::{Outcome, Permit};
use crate::record::{Record, Refusal, Ticket};
use crate::rejection;
use crate::state::Generation;
use crate::sync::{AtomicBool, AtomicU64, Ordering, modelled, shipped};

/// The usual meaning of a result. A rejection by another circuit says nothing about this one.
#[inline]
pub(crate) fn by_result<T, E>(result: &Result<T, E>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(error) if rejection::is_rejection(error) => Outcome::Ignored,
        Err(_) => Outcome::Failure,
    }
}

/// How a call was let in.
pub(crate) enum Admitted {
    With(Ticket),
    Riding(Ride),
}

/// A call that was let in, with its permit.
pub(crate) enum Entry<'a> {
    Permit(Permit<'a>),
    Riding(Ride),
}

/// What a call rides on.
pub(crate) struct Ride {
    /// The frame's.
    number: u64,
    /// Of the state in which the outermost call was admitted.
    generation: Generation,
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

/// Lets a guarded call in, or says why not.
#[inline(always)]
pub(crate) fn admit(engine: &Engine, record: &Record) -> Result<Admitted, Refusal> {
    match record.try_pass() {
        Some(ticket) => Ok(Admitted::With(ticket)),
        None => admit_unless_closed(engine, record),
    }
}

/// Lets a call into a circuit that is not simply closed.
#[inline(never)]
pub(crate) fn admit_unless_closed(engine: &Engine, record: &Record) -> Result<Admitted, Refusal> {
    let env = &engine.env;
    let word = record.word_now();
    if word.is_open()
        && let Some(refused) = record.try_reject(env, word)
    {
        return Err(Refusal::Rejected(refused));
    }
    if let Some(generation) = record.probing_generation(env)
        && let Some(frame) = find(|frame| frame.carries(record, generation))
    {
        return Ok(Admitted::Riding(Ride {
            number: frame.number,
            generation,
        }));
    }
    record.acquire_unless_closed(env).map(Admitted::With)
}

/// Runs the function of a call that was let in.
pub(crate) fn run_entry<T, E>(
    record: &Record,
    entry: Entry<'_>,
    classify: impl FnOnce(&Result<T, E>) -> Outcome,
    f: impl FnOnce() -> Result<T, E>,
) -> Result<T, CallError<E>> {
    match entry {
        Entry::Permit(permit) if permit.is_probe() => {
            let frame = Frame::new(record, permit.generation());
            let result = frame.inside(f);
            conclude(permit, |result| frame.judge(classify(result)), result)
        }
        Entry::Permit(permit) => conclude(permit, classify, f()),
        Entry::Riding(Ride { number, generation }) => {
            let rider = Rider { number };
            let frame = Frame::new(record, generation);
            let result = frame.inside(f);
            rider.alight(frame.judge(classify(&result)));
            wrap(result)
        }
    }
}

/// [`run_entry`] of a future.
pub(crate) async fn run_entry_async<T, E, F>(
    record: &Record,
    entry: Entry<'_>,
    classify: impl FnOnce(&Result<T, E>) -> Outcome,
    f: impl FnOnce() -> F,
) -> Result<T, CallError<E>>
where
    F: Future<Output = Result<T, E>>,
{
    match entry {
        Entry::Permit(permit) if permit.is_probe() => {
            let frame = Frame::new(record, permit.generation());
            let result = frame.around(f).await;
            conclude(permit, |result| frame.judge(classify(result)), result)
        }
        Entry::Permit(permit) => conclude(permit, classify, f().await),
        Entry::Riding(Ride { number, generation }) => {
            let rider = Rider { number };
            let frame = Frame::new(record, generation);
            let result = frame.around(f).await;
            rider.alight(frame.judge(classify(&result)));
            wrap(result)
        }
    }
}

/// Reports what became of a call, and hands its result on.
#[inline(always)]
pub(crate) fn conclude<T, E>(
    permit: Permit<'_>,
    classify: impl FnOnce(&Result<T, E>) -> Outcome,
    result: Result<T, E>,
) -> Result<T, CallError<E>> {
    permit.settle(classify(&result));
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

/// A guarded call that is a probe, or rides on one, while its function runs. In the list of its
/// thread only then.
struct Frame {
    number: u64,
    /// To be compared. The caller keeps the record alive.
    record: *const Record,
    generation: Generation,
    /// A call rides on this one.
    is_ridden: AtomicBool,
    a_rider_failed: AtomicBool,
}

// SAFETY: the pointer is only compared; the rest is plain values and atomics. A future that holds
// a frame may be polled by one thread after the other.
unsafe impl Send for Frame {}
// SAFETY: the same facts.
unsafe impl Sync for Frame {}

/// A frame in the list of the current thread.
struct Linked {
    frame: *const Frame,
    outer: *const Linked,
}

thread_local! {
    static INNERMOST: Cell<*const Linked> = const { Cell::new(ptr::null()) };
}

shipped! {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);

    fn next_number() -> u64 {
        // Relaxed: a number of its own is all that it is.
        NUMBERS.fetch_add(1, Ordering::Relaxed)
    }
}

modelled! {
    fn next_number() -> u64 {
        let _: Option<AtomicU64> = None;
        1
    }
}

/// The innermost frame of this thread that `wanted` accepts.
fn find<'a>(wanted: impl Fn(&Frame) -> bool) -> Option<&'a Frame> {
    let mut at = INNERMOST.try_with(Cell::get).unwrap_or(ptr::null());
    // SAFETY: null, or on the stack of this thread in a call of `Frame::inside` further out, which
    // takes it out of the list before it returns.
    while let Some(linked) = unsafe { at.as_ref() } {
        // SAFETY: borrowed by that call of `inside` for as long as it is in the list.
        let frame = unsafe { &*linked.frame };
        if wanted(frame) {
            return Some(frame);
        }
        at = linked.outer;
    }
    None
}

impl Frame {
    fn new(record: &Record, generation: Generation) -> Self {
        Frame {
            number: next_number(),
            record,
            generation,
            is_ridden: AtomicBool::new(false),
            a_rider_failed: AtomicBool::new(false),
        }
    }

    /// Whether a call of this circuit rides from now on.
    fn carries(&self, record: &Record, generation: Generation) -> bool {
        // Relaxed, here and below: the thread that runs the call is the only one that touches
        // these; its future is handed from thread to thread with all that it holds.
        ptr::eq(self.record, record)
            && self.generation == generation
            && !self.is_ridden.swap(true, Ordering::Relaxed)
    }

    /// Runs a function with this frame in the list of the thread.
    fn inside<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Leave(*const Linked);
        impl Drop for Leave {
            fn drop(&mut self) {
                let _ = INNERMOST.try_with(|innermost| innermost.set(self.0));
            }
        }
        let Ok(outer) = INNERMOST.try_with(Cell::get) else {
            // The thread is ending: calls inside ask for themselves.
            return f();
        };
        let linked = Linked { frame: self, outer };
        INNERMOST.set(&linked);
        let _leave = Leave(outer);
        f()
    }

    /// Makes a future, and runs it with this frame in the list of the thread that polls.
    async fn around<F: Future>(&self, f: impl FnOnce() -> F) -> F::Output {
        let mut future = pin!(self.inside(f));
        poll_fn(|context| self.inside(|| future.as_mut().poll(context))).await
    }

    /// What this call reports, given its own outcome.
    fn judge(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Ignored if self.a_rider_failed.load(Ordering::Relaxed) => Outcome::Failure,
            outcome => outcome,
        }
    }
}

/// A call that rides on another one, by its number.
struct Rider {
    number: u64,
}

impl Rider {
    fn alight(self, outcome: Outcome) {
        let number = self.number;
        std::mem::forget(self);
        Rider::leave(number, outcome == Outcome::Failure);
    }

    fn leave(number: u64, failed: bool) {
        // The frame is not found if this future was moved out of the call it rides on.
        if let Some(frame) = find(|frame| frame.number == number) {
            if failed {
                frame.a_rider_failed.store(true, Ordering::Relaxed);
            }
            frame.is_ridden.store(false, Ordering::Relaxed);
        }
    }
}

/// Only a call that panicked, or a future that was given up.
impl Drop for Rider {
    fn drop(&mut self) {
        Rider::leave(self.number, std::thread::panicking());
    }
}
