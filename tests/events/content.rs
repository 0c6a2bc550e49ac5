//! Which events each operation makes, in which order, and what the events
//! carry. Filters are in `subscriptions`, delivery is in `delivery`, load is in
//! `storms::events`. Every test has a manual clock and no background thread.

use std::sync::Mutex;

use crate::common::{START, fail, manager, manager_with, ms};
use brama::{Brama, Connection, Error, Event, EventFilter, EventQueue, OpenFor, Report, State};

/// One line for an event: type, states, failures, the opening's
/// length, the time (ms since the start), and the reason.
fn line(event: &Event) -> String {
    let expiry = match event.expiry() {
        Some(expiry) => format!("{}ms", expiry.as_millis()),
        None => "-".into(),
    };
    let reason = event.reason().map(|reason| format!(" '{reason}'"));
    format!(
        "{} {}>{} n={} {expiry} @{}{}",
        event.event_type(),
        event.previous_state(),
        event.new_state(),
        event.failure_count(),
        event.timestamp() - START,
        reason.unwrap_or_default()
    )
}

/// A queue of all events, and checks that hold for every event.
struct Watch {
    queue: EventQueue,
    sequence: Mutex<u64>,
}

impl Watch {
    fn new(brama: &Brama) -> Self {
        Watch {
            queue: brama
                .subscribe_queue(EventFilter::new(), 1_000)
                .expect("valid"),
            sequence: Mutex::new(0),
        }
    }

    fn events(&self) -> Vec<Event> {
        let events = self.queue.drain(usize::MAX);
        let mut last = self.sequence.lock().expect("no panic");
        for event in &events {
            assert!(event.sequence() > *last, "{event:?} after {last}");
            assert_eq!(event.connection(), "db");
            assert_eq!(event.scope(), Some("billing"));
            assert!(!event.is_coalesced());
            *last = event.sequence();
        }
        events
    }

    /// The events since the last call, a line each.
    fn told(&self) -> Vec<String> {
        self.events().iter().map(line).collect()
    }
}

const DB: (&str, &str) = ("billing", "db");

/// A closed circuit, and a watch that has taken the events of its registration.
fn watched(brama: &Brama) -> (Connection, Watch) {
    let watch = Watch::new(brama);
    let db = brama.register(DB, None).expect("a new name");
    assert_eq!(watch.events().len(), 2);
    (db, watch)
}

// ---- the table of 1.10 ----

#[test]
fn a_registration_and_a_removal() {
    let (brama, clock) = manager();
    let watch = Watch::new(&brama);
    let db = brama.register(DB, None).expect("a new name");
    assert!(brama.register(DB, None).is_err(), "and it tells nothing");
    brama.get_or_register(DB, None).expect("there");
    assert_eq!(
        watch.told(),
        [
            "registration unknown>closed n=0 - @0",
            "connection_registered unknown>closed n=0 - @0"
        ]
    );
    fail(&db, 2);
    db.open_circuit(None, ms(50)).expect("registered");
    watch.events();
    clock.advance(ms(7));
    brama.unregister(DB).expect("registered");
    assert_eq!(
        watch.told(),
        [
            "connection_unregistered open>unknown n=2 50ms @7",
            "connection_removed open>unknown n=2 50ms @7"
        ]
    );
    assert!(brama.unregister(DB).is_err());
    assert_eq!(watch.told(), [""; 0]);
}

#[test]
fn a_name_registered_again_is_another_connection_with_numbers_of_its_own() {
    let (brama, _clock) = manager();
    let queue = brama
        .subscribe_queue(EventFilter::new(), 100)
        .expect("valid");
    for _ in 0..2 {
        brama.register(DB, None).expect("a new name");
        brama.unregister(DB).expect("registered");
        let told: Vec<_> = queue.drain(9).iter().map(line).collect();
        assert_eq!(
            told,
            [
                "registration unknown>closed n=0 - @0",
                "connection_registered unknown>closed n=0 - @0",
                "connection_unregistered closed>unknown n=0 - @0",
                "connection_removed closed>unknown n=0 - @0"
            ]
        );
    }
}

#[test]
fn a_first_use_that_registers() {
    let (brama, _clock) = manager_with(|b| b.auto_register(true));
    let watch = Watch::new(&brama);
    brama.failure(DB, "timeout").expect("registered now");
    assert_eq!(
        watch.told(),
        [
            "registration unknown>closed n=0 - @0",
            "connection_registered unknown>closed n=0 - @0",
            "failure closed>closed n=1 - @0 'timeout'"
        ]
    );
}

#[test]
fn a_cleanup() {
    let (brama, clock) = manager_with(|b| b.inactive_threshold(ms(1_000)).cleanup_interval(ms(10)));
    let (db, watch) = watched(&brama);
    db.failure(None).expect("registered");
    drop(db);
    watch.events();
    clock.advance(ms(1_010));
    assert_eq!(
        watch.told(),
        [
            "cleanup closed>unknown n=1 - @1010",
            "connection_removed closed>unknown n=1 - @1010"
        ]
    );
    assert_eq!(brama.state(DB), State::Unknown);
}

#[test]
fn reports_while_closed() {
    let (brama, clock) = manager();
    let (db, watch) = watched(&brama);
    db.success().expect("registered");
    db.failure("timeout").expect("registered");
    clock.advance(ms(3));
    brama.failure(DB, None).expect("registered");
    brama.success(DB).expect("registered");
    assert_eq!(
        watch.told(),
        [
            "success closed>closed n=0 - @0",
            "failure closed>closed n=1 - @0 'timeout'",
            "failure closed>closed n=2 - @3",
            "success closed>closed n=0 - @3"
        ]
    );
    assert!(db.available());
    db.acquire().expect("closed").ignore().expect("timely");
    assert_eq!(watch.told(), [""; 0], "not a report");
}

#[test]
fn reports_by_permit_and_by_call() {
    let (brama, _clock) = manager();
    let (db, watch) = watched(&brama);
    db.acquire().expect("closed").success().expect("timely");
    let permit = brama.acquire(DB).expect("closed");
    permit.failure("by name").expect("timely");
    let _ = db.call(|| Err::<(), _>("no"));
    let _ = db.call(|| Ok::<_, ()>(()));
    assert_eq!(
        watch.told(),
        [
            "success closed>closed n=0 - @0",
            "failure closed>closed n=1 - @0 'by name'",
            "failure closed>closed n=2 - @0 'no'",
            "success closed>closed n=0 - @0"
        ]
    );
}

#[test]
fn the_failure_that_opens_and_those_after_it() {
    let (brama, clock) = manager_with(|b| b.max_attempts(2).expiry(ms(500)));
    let (db, watch) = watched(&brama);
    fail(&db, 1);
    clock.advance(ms(5));
    db.failure("timeout").expect("registered");
    assert_eq!(
        watch.told(),
        [
            "failure closed>closed n=1 - @0",
            "failure closed>open n=2 500ms @5 'timeout'",
            "state_change closed>open n=2 500ms @5 'timeout'",
            "circuit_opened closed>open n=2 500ms @5 'timeout'"
        ]
    );
    clock.advance(ms(5));
    db.failure("again").expect("registered");
    db.success().expect("registered");
    assert!(db.acquire().is_err());
    assert!(brama.acquire(DB).is_err());
    assert!(!db.available(), "a question is not a call");
    assert_eq!(
        watch.told(),
        [
            "failure open>open n=3 500ms @10 'again'",
            "success open>open n=0 500ms @10",
            "call_rejected open>open n=0 500ms @10",
            "call_rejected open>open n=0 500ms @10"
        ]
    );
}

#[test]
fn an_expiry_is_delivered_once_with_the_time_it_was_due() {
    type Look = fn(&Brama, &Connection);
    let looks: [Look; 5] = [
        |brama, _| brama.poll(),
        |_, db| assert!(db.available()),
        |brama, _| assert_eq!(brama.state(DB), State::HalfOpen),
        |brama, _| drop(brama.status(DB)),
        |brama, _| drop(brama.snapshot()),
    ];
    for look in looks {
        let (brama, clock) = manager_with(|b| b.expiry(ms(500)));
        let (db, watch) = watched(&brama);
        fail(&db, 5);
        watch.events();
        clock.advance(ms(499));
        look_early(&brama);
        assert_eq!(watch.told(), [""; 0]);
        clock.advance(ms(100));
        look(&brama, &db);
        look(&brama, &db);
        assert_eq!(
            watch.told(),
            [
                "expiry open>half_open n=5 500ms @500",
                "state_change open>half_open n=5 500ms @500",
                "circuit_half_opened open>half_open n=5 500ms @500"
            ]
        );
    }
}

fn look_early(brama: &Brama) {
    assert!(!brama.available(DB));
    brama.poll();
}

#[test]
fn probes_that_fail_and_probes_that_succeed() {
    let (brama, clock) = manager_with(|b| b.max_attempts(1).expiry(ms(500)));
    let (db, watch) = watched(&brama);
    fail(&db, 1);
    clock.advance(ms(500));
    let probe = db.acquire().expect("half-open");
    watch.events();
    assert!(db.acquire().is_err());
    probe.failure("still down").expect("timely");
    assert_eq!(
        watch.told(),
        [
            "call_rejected half_open>half_open n=1 - @500",
            "failure half_open>open n=2 500ms @500 'still down'",
            "state_change half_open>open n=2 500ms @500 'still down'",
            "circuit_opened half_open>open n=2 500ms @500 'still down'"
        ]
    );
    clock.advance(ms(600));
    let probe = db.acquire().expect("half-open");
    probe.success().expect("timely");
    assert_eq!(
        watch.told(),
        [
            "expiry open>half_open n=2 500ms @1000",
            "state_change open>half_open n=2 500ms @1000",
            "circuit_half_opened open>half_open n=2 500ms @1000",
            "probe half_open>half_open n=2 - @1100",
            "success half_open>closed n=0 - @1100",
            "state_change half_open>closed n=0 - @1100",
            "circuit_closed half_open>closed n=0 - @1100"
        ]
    );
}

#[test]
fn of_several_successes_the_last_closes_and_none_needs_a_permit() {
    let (brama, _clock) = manager_with(|b| b.half_open_max_calls(2).half_open_successes(2));
    let (db, watch) = watched(&brama);
    db.half_open_circuit().expect("registered");
    watch.events();
    db.success().expect("registered");
    brama.success(DB).expect("registered");
    assert_eq!(
        watch.told(),
        [
            "success half_open>half_open n=0 - @0",
            "success half_open>closed n=0 - @0",
            "state_change half_open>closed n=0 - @0",
            "circuit_closed half_open>closed n=0 - @0"
        ]
    );
}

#[test]
fn stale_reports_are_delivered_as_reports_and_change_nothing() {
    let (brama, clock) = manager_with(|b| b.expiry(ms(500)).probe_timeout(ms(50)));
    let (db, watch) = watched(&brama);
    let before = [(); 2].map(|()| db.acquire().expect("closed"));
    fail(&db, 5);
    watch.events();
    let [one, two] = before;
    assert_eq!(one.success(), Err(Error::Stale));
    assert!(matches!(two.failure("late"), Err(Error::Stale)));
    clock.advance(ms(500));
    let late = db.acquire().expect("half-open");
    clock.advance(ms(50));
    let next = db.acquire().expect("its lease has ended");
    next.failure("still down").expect("timely");
    assert_eq!(late.success(), Err(Error::Stale), "its state is gone");
    assert_eq!(
        watch.told(),
        [
            "success open>open n=5 500ms @0",
            "failure open>open n=5 500ms @0 'late'",
            "expiry open>half_open n=5 500ms @500",
            "state_change open>half_open n=5 500ms @500",
            "circuit_half_opened open>half_open n=5 500ms @500",
            "probe half_open>half_open n=5 - @500",
            "probe half_open>half_open n=5 - @550",
            "failure half_open>open n=6 500ms @550 'still down'",
            "state_change half_open>open n=6 500ms @550 'still down'",
            "circuit_opened half_open>open n=6 500ms @550 'still down'",
            "success open>open n=6 500ms @550"
        ]
    );
}

#[test]
fn by_hand_a_change_of_state_is_delivered_only_if_there_is_one() {
    let (brama, _clock) = manager();
    let (db, watch) = watched(&brama);
    fail(&db, 2);
    watch.events();
    db.open_circuit("maintenance", ms(70)).expect("registered");
    db.open_circuit("longer", OpenFor::Never)
        .expect("registered");
    brama.open_circuit(DB, None, None).expect("registered");
    db.half_open_circuit().expect("registered");
    brama.half_open_circuit(DB).expect("registered");
    db.close_circuit().expect("registered");
    brama.close_circuit(DB).expect("registered");
    db.half_open_circuit().expect("registered");
    brama.reset_circuit(DB).expect("registered");
    db.reset_circuit().expect("registered");
    brama.reset_all();
    assert_eq!(
        watch.told(),
        [
            "state_change closed>open n=2 70ms @0 'maintenance'",
            "circuit_opened closed>open n=2 70ms @0 'maintenance'",
            "circuit_opened open>open n=2 - @0 'longer'",
            "circuit_opened open>open n=2 60000ms @0",
            "state_change open>half_open n=2 - @0",
            "circuit_half_opened open>half_open n=2 - @0",
            "circuit_half_opened half_open>half_open n=2 - @0",
            "state_change half_open>closed n=2 - @0",
            "circuit_closed half_open>closed n=2 - @0",
            "circuit_closed closed>closed n=2 - @0",
            "state_change closed>half_open n=2 - @0",
            "circuit_half_opened closed>half_open n=2 - @0",
            "state_change half_open>closed n=0 - @0",
            "circuit_reset half_open>closed n=0 - @0",
            "circuit_reset closed>closed n=0 - @0",
            "circuit_reset closed>closed n=0 - @0"
        ]
    );
}

#[test]
fn a_window_s_count_and_a_progressive_opening_s_length() {
    let (brama, clock) = manager_with(|b| {
        b.max_attempts(2)
            .window(ms(100))
            .expiry_strategy(brama::ExpiryStrategy::Progressive)
            .initial_expiry(ms(10))
    });
    let (db, watch) = watched(&brama);
    fail(&db, 1);
    clock.advance(ms(100));
    fail(&db, 2);
    clock.advance(ms(10));
    fail(&db, 1);
    let told = watch.told();
    let expected = [
        "failure closed>closed n=1 - @0",
        "failure closed>closed n=1 - @100",
        "failure closed>open n=2 10ms @100",
    ];
    assert_eq!(told[..3], expected);
    let opened: Vec<_> = told
        .iter()
        .filter(|line| line.starts_with("circuit_opened half_open>open"))
        .collect();
    assert_eq!(opened.len(), 1);
    assert!(opened[0].ends_with("20ms @110"), "{}", opened[0]);
}

#[test]
fn reasons_are_kept_and_metadata_comes_along() {
    let (brama, _clock) = manager_with(|b| b.max_attempts(1));
    let (db, watch) = watched(&brama);
    let reasons = [0, 1, 36, 37, 38, 39, 40, 1_000, 1_024].map(|length| "x".repeat(length));
    for reason in &reasons {
        db.failure(reason).expect("registered");
        db.open_circuit(reason, OpenFor::Never).expect("registered");
        let events = watch.events();
        assert!(events.len() >= 2);
        assert!(events.iter().all(|event| event.reason() == Some(reason)));
        assert!(!events.iter().any(Event::is_truncated));
    }
    // Characters of several bytes are kept whole.
    for reason in ["ü".repeat(19), "ü".repeat(20), "€".repeat(13)] {
        db.failure(&reason).expect("registered");
        assert_eq!(watch.events()[0].reason(), Some(reason.as_str()));
    }
    db.reset_circuit().expect("registered");
    watch.events();
    let report = Report::new().reason("why").metadata([("host", "db-3")]);
    db.failure(report.clone()).expect("registered");
    db.half_open_circuit().expect("registered");
    let done = Report::new().metadata([("took", "3"), ("by", "me")]);
    brama.success_with(DB, done).expect("registered");
    let told: Vec<_> = watch
        .events()
        .iter()
        .map(|event| {
            let metadata = event.metadata().map(|metadata| format!("{metadata:?}"));
            (event.event_type().as_str(), metadata.unwrap_or_default())
        })
        .collect();
    let (host, took) = (r#"{"host": "db-3"}"#, r#"{"by": "me", "took": "3"}"#);
    let expected = [
        ("failure", host),
        ("state_change", host),
        ("circuit_opened", host),
        ("state_change", ""),
        ("circuit_half_opened", ""),
        ("success", took),
        ("state_change", took),
        ("circuit_closed", took),
    ];
    assert_eq!(told.len(), expected.len());
    for ((kind, metadata), expected) in told.iter().zip(expected) {
        assert_eq!((*kind, metadata.as_str()), expected);
    }
}
