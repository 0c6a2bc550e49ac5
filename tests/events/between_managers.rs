//! A call that user code makes never waits for user code of another manager. So two managers
//! whose callbacks, filters or destructors end each other do not hang. The end of a subscription
//! then takes effect as soon as the running callback has returned. Each test has a deadline.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crate::common::{in_time, wait_until};
use brama::{Brama, EventFilter, EventQueue, EventType, Subscription};

fn successes() -> EventFilter {
    EventFilter::new().types([EventType::Success])
}

/// What user code of the other manager may end.
#[derive(Default)]
struct Side {
    brama: Mutex<Option<Brama>>,
    subscription: Mutex<Option<Subscription>>,
    queue: Mutex<Option<EventQueue>>,
}

type End = fn(&Side);

/// Takes the value out, so that the lock is not held while the value is dropped.
fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().expect("no panic").take()
}

const ENDS: [(&str, End); 8] = [
    ("unsubscribe", |other| drop(take(&other.subscription))),
    ("unsubscribe by pattern", |other| {
        let brama = other.brama.lock().expect("no panic").clone();
        brama.expect("there").unsubscribe(&EventFilter::new());
    }),
    ("close a queue", |other| {
        let queue = other.queue.lock().expect("no panic");
        queue.as_ref().expect("there").close();
        assert!(queue.as_ref().expect("there").is_closed());
    }),
    ("drop a queue", |other| drop(take(&other.queue))),
    ("shutdown", |other| {
        let brama = other.brama.lock().expect("no panic").clone();
        brama.expect("there").shutdown();
    }),
    ("shutdown_within", |other| {
        let brama = other.brama.lock().expect("no panic").clone();
        brama
            .expect("there")
            .shutdown_within(Duration::from_secs(3_600));
    }),
    ("drop the last clone", |other| drop(take(&other.brama))),
    ("poll", |other| {
        let brama = other.brama.lock().expect("no panic").clone();
        brama.expect("there").poll();
    }),
];

/// Waits once, inside user code, for the other side. So each
/// side's user code is running while the other side ends it.
fn meet(both: &Barrier, has_met: &AtomicBool) -> bool {
    let first = !has_met.swap(true, Ordering::SeqCst);
    if first {
        both.wait();
    }
    first
}

/// Runs two managers whose user code ends each other. `place` subscribes its
/// second argument as user code of the manager, to run at the first success.
fn duel(
    what: String,
    background: bool,
    place: fn(&Brama, Box<dyn Fn() + Send + Sync>) -> Subscription,
    end: End,
) {
    in_time(&what.clone(), move || {
        let sides = [(); 2].map(|()| Arc::new(Side::default()));
        let both = Arc::new(Barrier::new(2));
        let done = Arc::new(AtomicU32::new(0));
        let reporters: Vec<_> = [0, 1]
            .map(|n| {
                let brama = Brama::builder().background(background).build();
                let brama = brama.expect("valid");
                let (own, other) = (&sides[n], sides[1 - n].clone());
                let (both, done) = (both.clone(), done.clone());
                let has_met = AtomicBool::new(false);
                let work = move || {
                    if meet(&both, &has_met) {
                        end(&other);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                };
                // A queue whose filter runs as user code as well.
                let filter = successes().custom(|_| true);
                let queue = brama.subscribe_queue(filter, 9).expect("valid");
                *own.queue.lock().expect("no panic") = Some(queue);
                *own.subscription.lock().expect("no panic") = Some(place(&brama, Box::new(work)));
                let db = brama.register("db", None).expect("a new name");
                *own.brama.lock().expect("no panic") = Some(brama);
                db
            })
            .into();
        thread::scope(|scope| {
            for (n, db) in reporters.iter().enumerate() {
                let side = &sides[n];
                scope.spawn(move || {
                    db.success().expect("registered");
                    let brama = side.brama.lock().expect("no panic").clone();
                    if !background && let Some(brama) = brama {
                        brama.poll();
                    }
                });
            }
        });
        wait_until(&what, || done.load(Ordering::SeqCst) == 2);
        for side in sides {
            drop(take(&side.subscription));
            drop(take(&side.queue));
            drop(take(&side.brama));
        }
    });
}

#[test]
fn callbacks_that_end_each_other_do_not_hang() {
    for (name, end) in ENDS {
        for background in [true, false] {
            let place = |brama: &Brama, work: Box<dyn Fn() + Send + Sync>| {
                let subscription = brama.subscribe(successes(), move |_| work());
                subscription.expect("running")
            };
            duel(
                format!("callback: {name}, {background}"),
                background,
                place,
                end,
            );
        }
    }
}

#[test]
fn filters_that_end_each_other_do_not_hang() {
    for (name, end) in ENDS {
        for background in [true, false] {
            let place = |brama: &Brama, work: Box<dyn Fn() + Send + Sync>| {
                let filter = successes().custom(move |_| {
                    work();
                    true
                });
                brama.subscribe(filter, |_| ()).expect("running")
            };
            duel(
                format!("filter: {name}, {background}"),
                background,
                place,
                end,
            );
        }
    }
}

/// Runs when it is dropped.
struct AtTheEnd<F: Fn()>(F);

impl<F: Fn()> Drop for AtTheEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Each thread ends a subscription and so runs its destructor. Each destructor
/// ends the other subscription, while the destructor of that one runs.
#[test]
fn destructors_that_end_each_other_do_not_hang() {
    for (name, end) in ENDS {
        for background in [true, false] {
            let what = format!("destructor: {name}, {background}");
            in_time(&what, move || {
                let sides = [(); 2].map(|()| Arc::new(Side::default()));
                let both = Arc::new(Barrier::new(2));
                for n in [0, 1] {
                    let brama = Brama::builder().background(background).build();
                    let brama = brama.expect("valid");
                    let (own, other) = (&sides[n], sides[1 - n].clone());
                    let (both, has_met) = (both.clone(), AtomicBool::new(false));
                    let at_the_end = AtTheEnd(move || {
                        if meet(&both, &has_met) {
                            end(&other);
                        }
                    });
                    let queue = brama.subscribe_queue(successes(), 9).expect("valid");
                    *own.queue.lock().expect("no panic") = Some(queue);
                    let subscription = brama.subscribe(successes(), move |_| {
                        let _held = &at_the_end;
                    });
                    *own.subscription.lock().expect("no panic") =
                        Some(subscription.expect("running"));
                    *own.brama.lock().expect("no panic") = Some(brama);
                }
                // By pattern, so that each destructor still finds the other side's handle.
                let managers = sides
                    .each_ref()
                    .map(|side| side.brama.lock().expect("no panic").clone());
                thread::scope(|scope| {
                    for brama in managers.into_iter().flatten() {
                        scope.spawn(move || brama.unsubscribe(&EventFilter::new()));
                    }
                });
                for side in sides {
                    drop(take(&side.subscription));
                    drop(take(&side.queue));
                    drop(take(&side.brama));
                }
            });
        }
    }
}

/// A subscription that another manager's callback ends
/// has ended once its own running callback has returned.
#[test]
fn unsubscribed_from_another_s_callback_it_ends_when_the_one_under_way_returns() {
    in_time("a promise", || {
        let [one, two] = [0, 1].map(|_| Brama::builder().build().expect("valid"));
        let held = Arc::new(());
        let (entered, has_entered) = mpsc::channel();
        let (leave, may_leave) = mpsc::channel::<()>();
        let (data, calls) = (held.clone(), Arc::new(AtomicU32::new(0)));
        let count = calls.clone();
        let slow = one.subscribe(successes(), move |_| {
            let _held = &data;
            count.fetch_add(1, Ordering::SeqCst);
            let _ = entered.send(());
            let _ = may_leave.recv();
        });
        let slow = Mutex::new(Some(slow.expect("running")));
        one.register("db", None).expect("a new name");
        one.success("db").expect("registered");
        has_entered.recv().expect("it runs");

        let (tell, told) = mpsc::channel();
        let _ends = two.subscribe(successes(), move |_| {
            drop(take(&slow));
            let _ = tell.send(());
        });
        two.register("db", None).expect("a new name");
        two.success("db").expect("registered");
        told.recv().expect("it returns at once");
        assert_eq!(Arc::strong_count(&held), 2, "the other one is still inside");
        one.success("db").expect("registered");
        leave.send(()).expect("it waits");
        wait_until("its data is gone", || Arc::strong_count(&held) == 1);
        one.poll();
        assert_eq!(
            calls.load(Ordering::SeqCst),
            1,
            "and it is not called again"
        );
    });
}

/// The driver does the rest: it delivers what waits, and ends the subscriptions.
#[test]
fn shut_down_from_another_s_callback_it_ends_by_itself() {
    for background in [true, false] {
        in_time("a shutdown", move || {
            let ended = Brama::builder().background(background).build();
            let ended = ended.expect("valid");
            let other = Brama::builder().background(false).build().expect("valid");
            let queue = ended.subscribe_queue(EventFilter::new(), 9).expect("valid");
            ended.register("db", None).expect("a new name");
            let manager = ended.clone();
            let _ends = other.subscribe(EventFilter::new(), move |_| manager.shutdown());
            other.register("x", None).expect("a new name");
            other.poll();
            wait_until("it has ended", || queue.is_closed());
            assert_eq!(queue.drain(9).len(), 2);
            wait_until("its thread is gone", || {
                !ended.event_counts().background_running
            });
        });
    }
}
