//! Guarded calls: what counts, what a rejection says, and calls that are given up. Nested calls are
//! in `nested`.

use std::error::Error as StdError;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe, RefUnwindSafe, UnwindSafe};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::common::{fail, manager, manager_with, ms};
use brama::{
    Brama, CallError, Connection, ConnectionOptions, Error, ManualClock, OpenFor, Outcome, Permit,
    RejectionKind, State,
};

pub(super) type Answer = Result<(), CallError<&'static str>>;

pub(super) fn half_open(brama: &Brama) -> Connection {
    let db = brama.register("db", None).expect("a new name");
    db.half_open_circuit().expect("registered");
    db
}

pub(super) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    match poll_once(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("these futures never wait"),
    }
}

/// A future that is pending once, and then ready.
#[derive(Default)]
pub(super) struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.0, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

// ---- rejections ----

#[test]
fn a_rejection_by_another_circuit_is_no_failure_of_this_one() {
    let (brama, _clock) = manager_with(|b| b.max_attempts(1));
    let db = brama.register("db", None).expect("a new name");
    let api = brama.register("api", None).expect("a new name");
    api.open_circuit(None, None).expect("registered");
    let inner = || api.call(|| Ok::<_, &str>(()));

    let _ = db.call(inner);
    let _ = db.call(|| db.call(inner));
    let _ = db.call(|| -> Result<(), Box<dyn StdError>> {
        api.acquire()?.success()?;
        Ok(())
    });
    let _ = db.call(|| -> Result<(), Box<dyn StdError + Send + Sync>> {
        api.call(|| Ok::<_, std::fmt::Error>(()))?;
        Ok(())
    });
    let _ = db.call(|| api.acquire().map(drop));
    let status = db.status().expect("registered");
    assert_eq!((status.state, status.total_failures), (State::Closed, 0));
    assert_eq!(status.total_ignored, 6);

    // A classifier may decide otherwise.
    let _ = db.call_with(|_| Outcome::Failure, inner);
    assert_eq!(db.state(), State::Open);
}

/// The inner circuit was used before, so its rejection takes the short way. Each way of calling has
/// an error type of its own, of which no rejection was made before.
///
/// Mutation: `a-rejection-of-a-type-that-is-not-learned`.
#[test]
fn a_rejection_on_the_short_way_is_no_failure_of_the_outer_call() {
    #[derive(Debug)]
    struct Plain;
    #[derive(Debug)]
    struct Awaited;
    #[derive(Debug)]
    struct Named;
    let (brama, _clock) = manager_with(|b| b.max_attempts(1));
    let db = brama.register("db", None).expect("a new name");
    let api = brama.register("api", None).expect("a new name");
    api.success().expect("registered");
    api.open_circuit(None, None).expect("registered");
    let _ = db.call(|| api.call(|| Ok::<_, Plain>(())));
    let _ = block_on(db.call_async(|| api.call_async(|| async { Ok::<_, Awaited>(()) })));
    let _ = db.call(|| brama.call("api", || Ok::<_, Named>(())));
    let status = db.status().expect("registered");
    assert_eq!((status.total_ignored, status.total_failures), (3, 0));
    assert_eq!(api.status().expect("registered").total_rejections, 3);
}

#[test]
fn a_rejection_says_why_and_how_long() {
    let (brama, clock) = manager_with(|b| b.expiry(ms(300)));
    let db = brama.register("db", None).expect("a new name");
    let rejected = || match db.acquire() {
        Err(Error::Rejected(rejected)) => (rejected.kind, rejected.retry_after),
        other => panic!("{other:?}"),
    };
    fail(&db, 5);
    assert_eq!(rejected(), (RejectionKind::Open, Some(ms(300))));
    let text = db.acquire().expect_err("open").to_string();
    assert!(text.contains("open") && text.contains("300ms"), "{text}");

    db.open_circuit(None, OpenFor::Never).expect("registered");
    assert_eq!(rejected(), (RejectionKind::HeldOpen, None));
    let text = db.acquire().expect_err("open").to_string();
    assert!(text.contains("held open"), "{text}");

    db.configure(ConnectionOptions::new().probe_timeout(ms(5_000)))
        .expect("valid");
    db.half_open_circuit().expect("registered");
    let probe = db.acquire().expect("free");
    assert_eq!(rejected(), (RejectionKind::ProbesOut, Some(ms(1_000))));
    let text = db.acquire().expect_err("no place").to_string();
    assert!(
        text.contains("all probes of \"db\" are out") && !text.contains("is open"),
        "{text}"
    );
    clock.advance(ms(4_600));
    assert_eq!(rejected(), (RejectionKind::ProbesOut, Some(ms(400))));
    probe.ignore().expect("timely");
}

/// Uses the machine's own clocks. The coarse one lags by some ms.
#[test]
fn a_caller_that_waits_until_retry_at_is_admitted() {
    let brama = Brama::builder().background(false).build().expect("valid");
    let db = brama.register("db", None).expect("a new name");
    for length in (1..=40).map(ms) {
        db.open_circuit(None, length).expect("registered");
        let Err(Error::Rejected(rejected)) = db.acquire() else {
            panic!("open for {length:?}, and admitted at once");
        };
        let wait = rejected.retry_after.expect("it ends");
        assert!(wait <= length + ms(1), "{wait:?} of {length:?}");
        thread::sleep(wait);
        let probe = db.acquire();
        let probe = probe.unwrap_or_else(|error| panic!("{wait:?} of {length:?}: {error}"));
        probe.ignore().expect("timely");
    }
}

// ---- calls that were given up ----

#[test]
fn a_cancelled_call_is_ignored_and_counted() {
    let (brama, clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    drop(db.acquire().expect("closed"));
    let mut call = Box::pin(db.call_async(|| async {
        Pause::default().await;
        Ok::<_, &str>(())
    }));
    assert!(poll_once(call.as_mut()).is_pending());
    clock.advance(ms(60_000));
    drop(call);
    let status = db.status().expect("registered");
    assert_eq!((status.total_ignored, status.total_failures), (2, 0));
}

/// Most callers meet a hanging dependency by a timeout around the guarded call.
#[test]
fn a_call_that_was_given_up_after_so_long_is_a_failure() {
    let hang = |db: &Connection, clock: &ManualClock, length: u64| {
        let mut call = Box::pin(db.call_async(|| async {
            Pause::default().await;
            Ok::<_, &str>(())
        }));
        assert!(poll_once(call.as_mut()).is_pending());
        clock.advance(ms(length));
    };
    let (brama, clock) = manager_with(|b| b.cancelled_after(ms(500)).max_attempts(3));
    let db = brama.register("db", None).expect("a new name");
    let failures = || db.status().expect("registered").failure_count;
    hang(&db, &clock, 499);
    assert_eq!(failures(), 0, "its caller had no patience");
    hang(&db, &clock, 500);
    assert_eq!(failures(), 1);
    let permits = [db.acquire(), db.acquire_owned(), brama.acquire("db")];
    clock.advance(ms(500));
    for (n, permit) in (2..).zip(permits) {
        drop(permit.expect("closed"));
        assert_eq!(failures(), n.min(3));
    }
    assert_eq!(
        db.state(),
        State::Open,
        "the third opened, the fourth was late"
    );

    // A probe that hangs opens the circuit again.
    db.half_open_circuit().expect("registered");
    hang(&db, &clock, 500);
    assert_eq!(db.state(), State::Open);

    // The setting is taken back while a call is under way.
    db.reset_circuit().expect("registered");
    let before = db.acquire().expect("closed");
    let off = ConnectionOptions::new().cancelled_after(None);
    db.configure(off).expect("valid");
    clock.advance(ms(500));
    drop(before);
    assert_eq!(failures(), 0);
}

/// A rider counts as the call that it rides on would.
#[test]
fn a_rider_that_was_given_up_after_so_long_is_a_failure() {
    let (brama, clock) = manager_with(|b| b.cancelled_after(ms(500)));
    let db = half_open(&brama);
    let after = |length: u64| {
        let ignore = |_: &Result<(), &str>| Outcome::Ignored;
        let answer = db.call_with(ignore, || {
            let mut inner = Box::pin(db.call_async(|| async {
                Pause::default().await;
                Ok::<_, &str>(())
            }));
            assert!(poll_once(inner.as_mut()).is_pending(), "it rides");
            clock.advance(ms(length));
            Ok(())
        });
        assert_eq!(answer, Ok(()));
        db.state()
    };
    assert_eq!(after(499), State::HalfOpen, "its caller had no patience");
    assert_eq!(after(500), State::Open);
}

/// The rider is given up by a destructor that runs while its thread panics.
#[test]
fn a_rider_that_was_given_up_in_an_older_panic_is_none() {
    struct RidesWhenDropped<'a>(&'a Connection);
    impl Drop for RidesWhenDropped<'_> {
        fn drop(&mut self) {
            let ignore = |_: &Result<(), &str>| Outcome::Ignored;
            let answer = self.0.call_with(ignore, || {
                let mut inner = Box::pin(self.0.call_async(|| async {
                    Pause::default().await;
                    Ok::<_, &str>(())
                }));
                assert!(poll_once(inner.as_mut()).is_pending(), "it rides");
                Ok(())
            });
            assert_eq!(answer, Ok(()));
        }
    }
    let (brama, _clock) = manager();
    let db = half_open(&brama);
    let caught = panic::catch_unwind(AssertUnwindSafe(|| {
        let _cleanup = RidesWhenDropped(&db);
        panic::resume_unwind(Box::new("somewhere else"));
    }));
    assert!(caught.is_err());
    assert_eq!(db.state(), State::HalfOpen);
}

#[test]
fn a_permit_taken_while_a_thread_panics_is_not_that_panics() {
    struct AsksWhenDropped<'a>(&'a Connection, fn(Permit<'_>));
    impl Drop for AsksWhenDropped<'_> {
        fn drop(&mut self) {
            (self.1)(self.0.acquire().expect("closed"));
        }
    }
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let totals = || {
        let status = db.status().expect("registered");
        (status.total_failures, status.total_ignored)
    };
    let panic_with = |cleanup: AsksWhenDropped<'_>| {
        let caught = panic::catch_unwind(AssertUnwindSafe(|| {
            let _cleanup = cleanup;
            panic::resume_unwind(Box::new("somewhere else"));
        }));
        assert!(caught.is_err());
    };
    panic_with(AsksWhenDropped(&db, |permit| drop(permit)));
    assert_eq!(totals(), (0, 1));
    // A report of such a permit counts.
    panic_with(AsksWhenDropped(&db, |permit| {
        permit.success().expect("timely")
    }));
    assert_eq!(db.status().expect("registered").total_successes, 1);
    // A permit that was taken before the panic is part of the panicking call.
    let permit = db.acquire().expect("closed");
    let caught = panic::catch_unwind(AssertUnwindSafe(|| {
        let _permit = permit;
        panic::resume_unwind(Box::new("the guarded call"));
    }));
    assert!(caught.is_err());
    assert_eq!(totals(), (1, 1));
}

#[test]
fn whatever_refers_to_a_manager_may_cross_catch_unwind() {
    fn may_cross<T: UnwindSafe + RefUnwindSafe>() {}
    may_cross::<Brama>();
    may_cross::<Connection>();
    may_cross::<Permit<'_>>();
    may_cross::<brama::Subscription>();
    may_cross::<brama::EventQueue>();
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let caught = panic::catch_unwind(|| {
        let _: Answer = db.call(|| panic::resume_unwind(Box::new("the guarded call")));
    });
    assert!(caught.is_err());
    assert_eq!(db.status().expect("registered").total_failures, 1);
}

// ---- probes that never report ----

#[test]
fn a_probe_that_never_reports_wedges_nothing_however_often_the_state_changes() {
    let hour = ms(3_600_000);
    let (brama, _clock) = manager_with(|b| b.probe_timeout(hour).half_open_max_calls(2));
    let db = half_open(&brama);
    let lost = [(); 2].map(|()| db.acquire().expect("free"));
    // More than twice as many changes as generations can distinguish.
    for change in 0..10_000 {
        db.close_circuit().expect("registered");
        db.half_open_circuit().expect("registered");
        let probes = [(); 2].map(|()| db.acquire());
        for probe in probes {
            let probe = probe.unwrap_or_else(|error| panic!("after {change} rounds: {error}"));
            probe.ignore().expect("timely");
        }
    }
    for permit in lost {
        std::mem::forget(permit);
    }
}
