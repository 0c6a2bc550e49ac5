//! Guarded calls: what counts, inside one another and when they are given up.

use std::cell::{Cell, RefCell};
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

type Answer = Result<(), CallError<&'static str>>;

fn half_open(brama: &Brama) -> Connection {
    let db = brama.register("db", None).expect("a new name");
    db.half_open_circuit().expect("registered");
    db
}

fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn block_on<F: Future>(future: F) -> F::Output {
    match poll_once(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("these futures never wait"),
    }
}

/// Waits once, and is ready then.
#[derive(Default)]
struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.0, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

// ---- calls inside calls of one circuit ----

#[test]
fn a_circuit_whose_calls_contain_calls_of_it_recovers() {
    let (brama, _clock) = manager();
    let db = half_open(&brama);
    // A retrying client around a pooled one, say: three of them.
    let innermost = || db.call(|| Ok::<_, &str>(7)).map_err(|_| "rejected");
    let answer = db.call(|| db.call(innermost).map_err(|_| "rejected"));
    assert_eq!(answer, Ok(7));
    assert_eq!(db.state(), State::Closed);
    let status = db.status().expect("registered");
    assert_eq!(status.total_successes, 1, "one call of three was admitted");
    assert_eq!((status.total_rejections, status.total_ignored), (0, 0));
}

#[test]
fn it_recovers_by_name_and_in_futures_too() {
    let (brama, _clock) = manager();
    let db = half_open(&brama);
    let by_name = || {
        brama
            .call("db", || Ok::<_, &str>(()))
            .map_err(|_| "rejected")
    };
    assert_eq!(brama.call("db", by_name), Ok(()));
    assert_eq!(db.state(), State::Closed);

    db.half_open_circuit().expect("registered");
    let inner = || async { db.call_async(|| async { Ok::<_, &str>(()) }).await };
    let outer = db.call_async(|| async { inner().await.map_err(|_| "rejected") });
    assert_eq!(block_on(outer), Ok(()));
    assert_eq!(db.state(), State::Closed);
}

#[test]
fn the_outer_call_reports_for_both() {
    let (brama, _clock) = manager();
    let db = half_open(&brama);
    // The inner call fails, and the outer one makes good for it: by a second try, say.
    let answer = db.call(|| {
        let inner: Answer = db.call(|| Err("down"));
        assert_eq!(inner, Err(CallError::Inner("down")));
        Ok::<_, &str>(())
    });
    assert_eq!((answer, db.state()), (Ok(()), State::Closed));

    // An outer call that says nothing about the dependency leaves it to the inner one.
    db.half_open_circuit().expect("registered");
    let ignore = |_: &Result<(), &str>| Outcome::Ignored;
    let answer = db.call_with(ignore, || {
        let _: Answer = db.call(|| Err("down"));
        Ok(())
    });
    assert_eq!((answer, db.state()), (Ok(()), State::Open));
}

#[test]
fn one_call_at_a_time_rides_on_another() {
    let (brama, _clock) = manager();
    let db = half_open(&brama);
    let is_rejected = |answer: Answer| matches!(answer, Err(CallError::Rejected(_)));
    let answer = db.call(|| {
        let mut first = pin!(db.call_async(|| async {
            Pause::default().await;
            Ok::<_, &str>(())
        }));
        assert!(poll_once(first.as_mut()).is_pending(), "it rides");
        assert!(is_rejected(db.call(|| Ok(()))), "a second one does not");
        assert!(poll_once(first).is_ready());
        assert_eq!(db.call(|| Ok::<_, &str>(())), Ok(()), "the place is free");
        Ok::<_, &str>(())
    });
    assert_eq!(answer, Ok(()));
}

#[test]
fn other_threads_and_permits_by_hand_ask_for_themselves() {
    let (brama, _clock) = manager();
    let db = half_open(&brama);
    let answer = db.call(|| {
        assert!(db.acquire().is_err());
        let elsewhere = || db.call(|| Ok::<_, &str>(())).is_err();
        assert!(thread::scope(|scope| scope
            .spawn(elsewhere)
            .join()
            .expect("no panic")));
        Ok::<_, &str>(())
    });
    assert_eq!(answer, Ok(()));
    db.half_open_circuit().expect("registered");
    let permit = db.acquire().expect("free");
    assert!(db.call(|| Ok::<_, &str>(())).is_err());
    permit.ignore().expect("timely");
}

#[test]
fn no_call_rides_on_one_whose_state_is_gone() {
    let (brama, _clock) = manager();
    let db = half_open(&brama);
    let answer = db.call(|| {
        db.open_circuit(None, None).expect("registered");
        let inner: Answer = db.call(|| Ok(()));
        assert!(matches!(inner, Err(CallError::Rejected(_))), "{inner:?}");
        db.half_open_circuit().expect("registered");
        // A probe of its own, in a state of its own.
        db.call(|| Err::<(), _>("down")).map_err(|_| "down")
    });
    assert_eq!(answer, Err(CallError::Inner("down")));
    assert_eq!(db.state(), State::Open);
    assert_eq!(db.status().expect("registered").total_failures, 2);
}

/// A future that rides, moved out of the call that it rides on.
type Moved<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// The outer call stops waiting for the inner one, and lets it finish in the background.
#[test]
fn a_rider_that_outlives_the_call_it_rides_on_carries_no_calls() {
    let (brama, _clock) = manager_with(|b| b.half_open_successes(5));
    let db = half_open(&brama);
    let inside = Cell::new(0);
    let mut orphan: Moved<'_> = Box::pin(db.call_async(|| async {
        Pause::default().await;
        for _ in 0..10 {
            let _ = db.call(|| {
                inside.set(inside.get() + 1);
                Ok::<_, &str>(())
            });
        }
        Err("down")
    }));
    let answer = db.call(|| {
        assert!(poll_once(orphan.as_mut()).is_pending(), "it rides");
        Ok::<_, &str>(())
    });
    assert_eq!(answer, Ok(()));
    let probe = db.acquire().expect("the one place is free");
    let answer = poll_once(orphan.as_mut());
    assert_eq!(answer, Poll::Ready(Err(CallError::Inner("down"))));
    assert_eq!(inside.get(), 0, "each asks for itself, and is rejected");
    probe.success().expect("timely");
}

/// The same of an orphan that is polled within another probe of the same state: its calls
/// ride on that one.
#[test]
fn what_an_orphan_calls_rides_on_the_probe_that_it_is_polled_in() {
    let (brama, _clock) = manager_with(|b| b.half_open_successes(5));
    let db = half_open(&brama);
    let mut orphan: Moved<'_> = Box::pin(db.call_async(|| async {
        Pause::default().await;
        let second = db.call_async(|| async {
            Pause::default().await;
            Ok::<_, &str>(())
        });
        second.await.map_err(|_| "rejected")
    }));
    let start = || {
        assert!(poll_once(orphan.as_mut()).is_pending());
        Ok::<_, &str>(())
    };
    assert_eq!(db.call(start), Ok(()));
    let answer = db.call(|| {
        assert!(poll_once(orphan.as_mut()).is_pending(), "its call rides");
        let inner: Answer = db.call(|| Ok(()));
        assert!(matches!(inner, Err(CallError::Rejected(_))), "{inner:?}");
        assert_eq!(poll_once(orphan.as_mut()), Poll::Ready(Ok(())));
        Ok::<_, &str>(())
    });
    assert_eq!(answer, Ok(()));
}

/// Given up, or finished.
#[test]
fn a_rider_that_ends_outside_of_the_call_it_rides_on_leaves_room_for_the_next() {
    let (brama, _clock) = manager_with(|b| b.half_open_successes(5));
    let db = half_open(&brama);
    for is_finished in [false, true] {
        let rider: RefCell<Option<Moved<'_>>> = RefCell::default();
        let mut outer = pin!(db.call_async(|| async {
            let mut inner: Moved<'_> = Box::pin(db.call_async(|| async {
                Pause::default().await;
                Ok::<_, &str>(())
            }));
            assert!(poll_once(inner.as_mut()).is_pending(), "it rides");
            *rider.borrow_mut() = Some(inner);
            Pause::default().await;
            db.call(|| Ok::<_, &str>(())).map_err(|_| "rejected")
        }));
        assert!(poll_once(outer.as_mut()).is_pending());
        let mut moved = rider.take().expect("moved here");
        if is_finished {
            assert_eq!(poll_once(moved.as_mut()), Poll::Ready(Ok(())));
        }
        drop(moved);
        assert_eq!(poll_once(outer.as_mut()), Poll::Ready(Ok(())));
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

    // A classifier may see it otherwise.
    let _ = db.call_with(|_| Outcome::Failure, inner);
    assert_eq!(db.state(), State::Open);
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
        text.contains("all probes are out") && !text.contains("is open"),
        "{text}"
    );
    clock.advance(ms(4_600));
    assert_eq!(rejected(), (RejectionKind::ProbesOut, Some(ms(400))));
    probe.ignore().expect("timely");
}

/// By the machine's own clocks, of which the coarse one lags by some ms.
#[test]
fn who_waits_as_long_as_it_was_asked_to_is_admitted() {
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

/// A time-out around a guarded call is how a hanging dependency is met most often.
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

    // The setting comes and goes while calls are out.
    db.reset_circuit().expect("registered");
    let before = db.acquire().expect("closed");
    let off = ConnectionOptions::new().cancelled_after(None);
    db.configure(off).expect("valid");
    clock.advance(ms(500));
    drop(before);
    assert_eq!(failures(), 0);
}

/// As the call would be that has the place.
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

/// By the destructor of something else.
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
    // What it reports counts.
    panic_with(AsksWhenDropped(&db, |permit| {
        permit.success().expect("timely")
    }));
    assert_eq!(db.status().expect("registered").total_successes, 1);
    // A permit that was taken before the panic is its.
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
    // More than twice as many changes as a generation tells apart.
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
