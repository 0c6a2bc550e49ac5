//! Which subscribers get an event: filters, interest at the source, and the ways to
//! end a subscription. Managers have no background thread unless a test needs one.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use crate::common::threads::asleep;
use crate::common::{manager, ms};
use brama::{Brama, Error, Event, EventFilter, EventQueue, EventType, Subscription};

/// The types of the events that a callback got.
type Heard = Arc<Mutex<Vec<EventType>>>;

fn listen(brama: &Brama, filter: EventFilter) -> (Subscription, Heard) {
    let heard = Heard::default();
    let write = heard.clone();
    let subscription = brama
        .subscribe(filter, move |event| {
            write.lock().expect("no panic").push(event.event_type());
        })
        .expect("running");
    (subscription, heard)
}

fn count(heard: &Heard) -> usize {
    heard.lock().expect("no panic").len()
}

fn queue(brama: &Brama, filter: EventFilter) -> EventQueue {
    brama.subscribe_queue(filter, 10_000).expect("valid")
}

/// Type, scope and identifier of the waiting events. Takes them.
fn told(queue: &EventQueue) -> Vec<(EventType, Option<String>, String)> {
    queue
        .drain(usize::MAX)
        .iter()
        .map(|event| {
            let scope = event.scope().map(str::to_owned);
            (event.event_type(), scope, event.connection().to_owned())
        })
        .collect()
}

/// Makes every type of event, on each of these names.
fn a_life(brama: &Brama, clock: &brama::ManualClock, names: &[(Option<&str>, &str)]) {
    for (scope, name) in names {
        let db = brama
            .register(brama::Key::new(*scope, name), None)
            .expect("a new name");
        let others = brama::ConnectionOptions::new().max_attempts(99);
        brama
            .get_or_register(brama::Key::new(*scope, name), others)
            .expect("registered");
        db.failure("timeout").expect("registered");
        db.success().expect("registered");
        db.open_circuit(None, ms(10)).expect("registered");
        assert!(db.acquire().is_err());
        clock.advance(ms(10));
        db.acquire().expect("half-open").success().expect("timely");
        db.reset_circuit().expect("registered");
        brama
            .unregister(brama::Key::new(*scope, name))
            .expect("registered");
        brama
            .register(brama::Key::new(*scope, name), None)
            .expect("a new name");
    }
    // All connections are idle, and a cleanup removes them.
    clock.advance(ms(86_410_000));
    brama.poll();
}

const NAMES: [(Option<&str>, &str); 5] = [
    (None, "db"),
    (None, "api"),
    (Some("billing"), "db"),
    (Some("billing"), "api"),
    (Some("db"), "billing"),
];

#[test]
fn any_combination_of_types_connection_scope_and_a_function_is_the_and_of_them() {
    let (brama, clock) = manager();
    let everything = queue(&brama, EventFilter::new());
    let types = [
        None,
        Some(vec![]),
        Some(vec![EventType::StateChange]),
        Some(vec![EventType::Success, EventType::ConnectionRemoved]),
        Some(EventType::ALL.to_vec()),
    ];
    let scopes = [None, Some(None), Some(Some("billing")), Some(Some("none"))];
    let odd = |event: &Event| event.sequence() % 2 == 1;
    let mut cases = Vec::new();
    for types in &types {
        for connection in [None, Some("db"), Some("billing")] {
            for scope in scopes {
                for custom in [false, true] {
                    let mut filter = EventFilter::new();
                    if let Some(types) = types {
                        filter = filter.types(types.clone());
                    }
                    if let Some(connection) = connection {
                        filter = filter.connection(connection);
                    }
                    if let Some(scope) = scope {
                        filter = filter.scope(scope);
                    }
                    if custom {
                        filter = filter.custom(odd);
                    }
                    let queue = queue(&brama, filter);
                    cases.push((queue, types, connection, scope, custom));
                }
            }
        }
    }
    assert_eq!(cases.len(), 120);
    a_life(&brama, &clock, &NAMES);
    let all = everything.drain(usize::MAX);
    for kind in EventType::ALL {
        let name = kind.as_str();
        assert!(all.iter().any(|event| event.event_type() == kind), "{name}");
    }
    let id = |event: &Event| {
        let scope = event.scope().map(str::to_owned);
        (scope, event.connection().to_owned(), event.sequence())
    };
    for (queue, types, connection, scope, custom) in cases {
        let expected: Vec<_> = all
            .iter()
            .filter(|event| {
                types
                    .as_ref()
                    .is_none_or(|types| types.contains(&event.event_type()))
            })
            .filter(|event| connection.is_none_or(|name| name == event.connection()))
            .filter(|event| scope.is_none_or(|scope| scope == event.scope()))
            .filter(|event| !custom || odd(event))
            .map(id)
            .collect();
        let got: Vec<_> = queue.drain(usize::MAX).iter().map(id).collect();
        assert_eq!(got, expected, "{types:?} {connection:?} {scope:?} {custom}");
    }
}

#[test]
fn interest_reaches_connections_that_come_before_and_after_the_subscription() {
    let (brama, _clock) = manager();
    let names: Vec<_> = (0..3_000).map(|n| format!("db{n}")).collect();
    let (before, after) = names.split_at(1_500);
    let register = |names: &[String]| {
        for name in names {
            brama.register(name, None).expect("a new name");
        }
    };
    register(before);
    let failures = queue(&brama, EventFilter::new().types([EventType::Failure]));
    let one = queue(&brama, EventFilter::new().connection("db7"));
    register(after);
    for name in &names {
        brama.failure(name, None).expect("registered");
        brama.poll();
    }
    let heard: Vec<_> = told(&failures).into_iter().map(|told| told.2).collect();
    assert_eq!(heard, names);
    let seven = (EventType::Failure, None, "db7".to_owned());
    assert_eq!(told(&one), [seven]);
}

#[test]
fn unwanted_events_are_not_published_and_none_after_the_last_unsubscription() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let published = || {
        brama.poll();
        brama.event_counts().published
    };
    db.failure(None).expect("registered");
    assert_eq!(published(), 0);
    let filter = EventFilter::new().types([EventType::Success]);
    let (successes, _) = listen(&brama, filter.clone().connection("db"));
    let (elsewhere, _) = listen(&brama, filter.scope("billing"));
    db.failure(None).expect("registered");
    assert_eq!(published(), 0);
    db.success().expect("registered");
    assert_eq!(published(), 1, "for two or for one");
    brama.register("new", None).expect("a new name");
    brama.success("new").expect("registered");
    assert_eq!(published(), 1);
    drop(successes);
    db.success().expect("registered");
    assert_eq!(published(), 1);
    drop(elsewhere);
    assert_eq!(brama.event_counts().dropped, 0);
}

#[test]
fn a_filter_that_panics_is_counted_and_the_others_are_served() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let bad = queue(
        &brama,
        EventFilter::new().custom(|event| {
            assert_ne!(event.event_type(), EventType::Failure, "as expected");
            true
        }),
    );
    let (_one, heard) = listen(&brama, EventFilter::new());
    for _ in 0..3 {
        db.success().expect("registered");
        db.failure(None).expect("registered");
    }
    brama.poll();
    assert_eq!(count(&heard), 6);
    assert!(told(&bad).iter().all(|told| told.0 == EventType::Success));
    let counts = brama.event_counts();
    assert_eq!((counts.panics, counts.delivered), (3, 9));
}

// ---- ending it ----

#[test]
fn by_dropping_by_unsubscribing_and_by_detaching_it_never_ends_on_its_own() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let report = || {
        db.success().expect("registered");
        brama.poll();
    };
    let (dropped, heard_by_dropped) = listen(&brama, EventFilter::new());
    let (ended, heard_by_ended) = listen(&brama, EventFilter::new());
    let (detached, heard_by_detached) = listen(&brama, EventFilter::new());
    detached.detach();
    report();
    // An event that waits when its subscription ends is not delivered.
    db.success().expect("registered");
    drop(dropped);
    ended.unsubscribe();
    report();
    let heard = [&heard_by_dropped, &heard_by_ended, &heard_by_detached].map(count);
    assert_eq!(heard, [1, 1, 3]);
    let held = [heard_by_dropped, heard_by_ended, heard_by_detached.clone()];
    assert_eq!(held.map(|heard| Arc::strong_count(&heard)), [1, 1, 3]);
    brama.shutdown();
    assert_eq!(Arc::strong_count(&heard_by_detached), 1);
}

#[test]
fn by_pattern_ends_those_that_fall_under_it_and_by_an_empty_one_all() {
    use EventType::{Failure, Success};
    let new = EventFilter::new;
    let filters = || {
        [
            new(),
            new().types([Success]),
            new().types([Success, Failure]),
            new().connection("db"),
            new().connection("db").types([Failure]),
            new().connection("api").custom(|_| true),
            new().scope("billing"),
            new().scope(None),
            new().scope("billing").connection("db"),
        ]
    };
    let cases: [(EventFilter, &[usize]); 9] = [
        (new(), &[0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (new().types([Success]), &[1]),
        (new().types([Success, Failure]), &[1, 2, 4]),
        (new().connection("db"), &[3, 4, 8]),
        (new().connection("api"), &[5]),
        (new().scope("billing"), &[6, 8]),
        (new().scope(None), &[7]),
        (new().scope("billing").connection("db"), &[8]),
        (new().scope("other"), &[]),
    ];
    for (pattern, expected) in cases {
        let (brama, _clock) = manager();
        let kept: Vec<_> = filters().map(|filter| queue(&brama, filter)).into();
        brama.unsubscribe(&pattern);
        let ended: Vec<_> = (0..9).filter(|n| kept[*n].is_closed()).collect();
        assert_eq!(ended, expected, "{pattern:?}");
    }
}

#[test]
fn a_subscription_outlives_its_manager_and_cannot_be_made_after_the_end() {
    let (brama, _clock) = manager();
    let (subscription, heard) = listen(&brama, EventFilter::new());
    let queue = queue(&brama, EventFilter::new());
    brama.register("db", None).expect("a new name");
    brama.shutdown();
    assert_eq!(count(&heard), 2, "delivered at the end");
    assert!(matches!(
        brama.subscribe(EventFilter::new(), |_| ()),
        Err(Error::ShutDown)
    ));
    assert!(matches!(
        brama.subscribe_queue(EventFilter::new(), 9),
        Err(Error::ShutDown)
    ));
    drop(brama);
    subscription.unsubscribe();
    assert_eq!(queue.drain(9).len(), 2);
}

#[test]
fn capacities_out_of_range_are_refused() {
    let (brama, _clock) = manager();
    for bad in [0, (1 << 24) + 1, usize::MAX] {
        let queue = brama.subscribe_queue(EventFilter::new(), bad);
        assert!(matches!(queue, Err(Error::InvalidConfig(_))), "{bad}");
        let batches = brama.subscribe_batched(EventFilter::new(), bad, |_| ());
        assert!(matches!(batches, Err(Error::InvalidConfig(_))), "{bad}");
        assert!(Brama::builder().event_capacity(bad).build().is_err());
    }
}

// ---- the promise of unsubscribing ----

/// Subscribes a callback, and returns once the driver is inside it. Returns the
/// subscription, a flag that is true while the callback runs, and what releases it.
fn stuck(brama: &Brama) -> (Subscription, Arc<AtomicBool>, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel::<()>();
    let inside = Arc::new(AtomicBool::new(false));
    let flag = inside.clone();
    let (entered, has_entered) = mpsc::channel();
    let subscription = brama
        .subscribe(EventFilter::new().types([EventType::Success]), move |_| {
            flag.store(true, Ordering::SeqCst);
            let _ = entered.send(());
            let _ = released.recv();
            flag.store(false, Ordering::SeqCst);
        })
        .expect("running");
    brama.register("db", None).expect("a new name");
    brama.success("db").expect("registered");
    has_entered.recv().expect("the callback runs");
    (subscription, inside, release)
}

#[test]
fn unsubscribing_waits_for_the_callback_under_way() {
    let brama = Brama::builder().build().expect("valid");
    let (subscription, inside, release) = stuck(&brama);
    let done = asleep(move || subscription.unsubscribe());
    assert!(done.try_recv().is_err(), "still inside");
    release.send(()).expect("it waits");
    done.recv_timeout(ms(60_000)).expect("it returns");
    assert!(!inside.load(Ordering::SeqCst));
    assert_eq!(Arc::strong_count(&inside), 1, "and its data is gone");
}

/// The second thread finds the subscription gone from
/// the list. It must still wait for the callback.
#[test]
fn all_unsubscriptions_of_one_subscriber_wait_for_its_running_callback() {
    for second_by_handle in [true, false] {
        let brama = Brama::builder().build().expect("valid");
        let (subscription, inside, release) = stuck(&brama);
        let mut handle = Some(subscription);
        let manager = brama.clone();
        let first = asleep(move || manager.unsubscribe(&EventFilter::new()));
        assert!(first.try_recv().is_err(), "still inside");
        let (manager, own) = (brama.clone(), handle.take_if(|_| second_by_handle));
        let second = asleep(move || match own {
            Some(own) => own.unsubscribe(),
            None => manager.unsubscribe(&EventFilter::new()),
        });
        assert!(
            second.try_recv().is_err(),
            "still inside, by handle: {second_by_handle}"
        );
        release.send(()).expect("it waits");
        first.recv_timeout(ms(60_000)).expect("it returns");
        second.recv_timeout(ms(60_000)).expect("it returns");
        assert_eq!(Arc::strong_count(&inside), 1);
    }
}

/// The same, if the callback itself unsubscribes first. It must not wait for itself.
#[test]
fn a_handle_s_owner_waits_for_a_callback_that_has_unsubscribed_itself() {
    let brama = Brama::builder().build().expect("valid");
    let (release, released) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    let inside = Arc::new(AtomicU32::new(0));
    let (manager, flag) = (brama.clone(), inside.clone());
    let subscription = brama
        .subscribe(EventFilter::new().types([EventType::Success]), move |_| {
            flag.fetch_add(1, Ordering::SeqCst);
            manager.unsubscribe(&EventFilter::new());
            let _ = entered.send(());
            let _ = released.recv();
        })
        .expect("running");
    brama.register("db", None).expect("a new name");
    brama.success("db").expect("registered");
    has_entered.recv().expect("the callback runs");
    let done = asleep(move || subscription.unsubscribe());
    assert!(done.try_recv().is_err(), "still inside");
    release.send(()).expect("it waits");
    done.recv_timeout(ms(60_000)).expect("it returns");
    assert_eq!(Arc::strong_count(&inside), 1);
    brama.success("db").expect("registered");
    brama.poll();
    assert_eq!(inside.load(Ordering::SeqCst), 1, "once and never again");
}

#[test]
fn unsubscribing_waits_for_a_filter_under_way_too() {
    let brama = Brama::builder().build().expect("valid");
    let (release, released) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    let inside = Arc::new(AtomicBool::new(false));
    let (flag, released) = (inside.clone(), Mutex::new(released));
    let slow = EventFilter::new().custom(move |_| {
        flag.store(true, Ordering::SeqCst);
        let _ = entered.send(());
        let _ = released.lock().expect("no panic").recv();
        flag.store(false, Ordering::SeqCst);
        false
    });
    let queue = brama.subscribe_queue(slow, 9).expect("valid");
    brama.register("db", None).expect("a new name");
    has_entered.recv().expect("the filter runs");
    let done = asleep(move || drop(queue));
    assert!(done.try_recv().is_err(), "still inside");
    drop(release);
    done.recv_timeout(ms(60_000)).expect("it returns");
    assert!(!inside.load(Ordering::SeqCst));
}

#[test]
fn unsubscribed_and_subscribed_again_a_connection_is_delivered_again() {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    for round in 1..=100 {
        let (_subscription, heard) = listen(&brama, EventFilter::new().connection("db"));
        for _ in 0..round {
            db.success().expect("registered");
        }
        brama.poll();
        assert_eq!(count(&heard), round);
    }
}
