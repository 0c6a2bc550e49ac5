//! Nested calls of one circuit: the inner call rides on the outer one, and needs no permit of its
//! own.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::thread;

use super::calls::{Answer, Pause, block_on, half_open, poll_once};
use crate::common::{manager, manager_with};
use brama::{CallError, Outcome, State};

#[test]
fn a_circuit_whose_calls_contain_calls_of_it_recovers() {
    let (brama, _clock) = manager();
    let db = half_open(&brama);
    // Three calls, as of a client that retries around a client with a pool.
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
    // The inner call fails, and the outer one succeeds all the same, as by a second try.
    let answer = db.call(|| {
        let inner: Answer = db.call(|| Err("down"));
        assert_eq!(inner, Err(CallError::Inner("down")));
        Ok::<_, &str>(())
    });
    assert_eq!((answer, db.state()), (Ok(()), State::Closed));

    // If the outer call is ignored, the outcome of the inner one counts.
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
        // This call is a probe of its own, in a new half-open state.
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

/// A rider has outlived its outer call, and is polled inside another probe of the same state. Its
/// calls then ride on that probe.
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

/// The rider is given up, or it finishes.
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
