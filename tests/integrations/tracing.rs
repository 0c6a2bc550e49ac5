//! Events as `tracing` events: target, levels, fields.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use brama::{Brama, ConnectionOptions, EventFilter, EventType, Mode};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

type Fields = BTreeMap<&'static str, String>;

#[derive(Debug)]
struct Line {
    target: String,
    level: Level,
    fields: Fields,
}

/// A subscriber that keeps all `tracing` events.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Line>>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Reading::default();
        event.record(&mut fields);
        self.0.lock().unwrap().push(Line {
            target: event.metadata().target().to_owned(),
            level: *event.metadata().level(),
            fields: fields.0,
        });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Reading(Fields);

impl Visit for Reading {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name(), value.to_string());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name(), value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        panic!(
            "{} = {value:?} is no number, no string and no bool",
            field.name()
        );
    }
}

/// What is logged while `work` runs and its events are delivered.
fn logged(filter: EventFilter, work: impl FnOnce(&Brama)) -> Vec<Line> {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        let brama = Brama::builder()
            .background(false)
            .max_attempts(2)
            .build()
            .unwrap();
        let subscription = brama::integrations::tracing::subscribe(&brama, filter).unwrap();
        work(&brama);
        brama.poll();
        drop(subscription);
        brama.failure("db", "unheard").unwrap();
        brama.poll();
    });
    std::mem::take(&mut *log.0.lock().unwrap())
}

#[test]
fn levels_follow_from_types() {
    let lines = logged(EventFilter::new(), |brama| {
        let db = brama.register("db", None).unwrap();
        db.success().unwrap();
        db.failure(None).unwrap();
        db.failure(None).unwrap();
        db.acquire().unwrap_err();
        db.half_open_circuit().unwrap();
        db.acquire().unwrap().success().unwrap();
        db.reset_circuit().unwrap();
        brama.register("cache", None).unwrap();
        brama.unregister("cache").unwrap();
    });
    assert!(lines.iter().all(|line| line.target == "brama"));
    let lines: Vec<_> = lines
        .iter()
        .map(|line| (line.level, line.fields["event"].as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            (Level::INFO, "registration"),
            (Level::INFO, "connection_registered"),
            (Level::TRACE, "success"),
            (Level::DEBUG, "failure"),
            (Level::DEBUG, "failure"),
            (Level::DEBUG, "state_change"),
            (Level::WARN, "circuit_opened"),
            (Level::DEBUG, "call_rejected"),
            (Level::DEBUG, "state_change"),
            (Level::INFO, "circuit_half_opened"),
            (Level::DEBUG, "probe"),
            (Level::TRACE, "success"),
            (Level::DEBUG, "state_change"),
            (Level::INFO, "circuit_closed"),
            (Level::INFO, "circuit_reset"),
            (Level::INFO, "registration"),
            (Level::INFO, "connection_registered"),
            (Level::INFO, "connection_unregistered"),
            (Level::INFO, "connection_removed"),
        ]
    );
}

#[test]
fn fields_say_what_the_event_says() {
    let lines = logged(
        EventFilter::new().types([EventType::CircuitOpened, EventType::CircuitReset]),
        |brama| {
            brama.register(("billing", "api"), None).unwrap();
            brama.failure(("billing", "api"), "HTTP 503").unwrap();
            brama.failure(("billing", "api"), "HTTP 503").unwrap();
            brama.register("db", None).unwrap();
            brama.reset_circuit("db").unwrap();
        },
    );
    let [opened, reset] = &lines[..] else {
        panic!("{lines:?}");
    };
    let mut fields = opened.fields.clone();
    assert!(
        fields
            .remove("timestamp_ms")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 1_500_000_000_000
    );
    assert!(fields.remove("sequence").unwrap().parse::<u64>().unwrap() > 0);
    let expected = [
        ("event", "circuit_opened"),
        ("connection", "api"),
        ("scope", "billing"),
        ("previous_state", "closed"),
        ("new_state", "open"),
        ("cause", "consecutive"),
        ("reason", "HTTP 503"),
        ("mode", "normal"),
        ("failure_count", "2"),
        ("expiry_ms", "60000"),
    ];
    assert_eq!(
        fields,
        expected
            .map(|(name, value)| (name, value.to_owned()))
            .into()
    );
    for absent in [
        "scope",
        "cause",
        "reason",
        "expiry_ms",
        "window_calls",
        "deferred",
    ] {
        assert!(!reset.fields.contains_key(absent), "{absent}: {reset:?}");
    }
}

#[test]
fn the_mode_says_which_openings_reject_nothing() {
    let opened = EventFilter::new().types([EventType::CircuitOpened]);
    let lines = logged(opened, |brama| {
        brama.register("db", None).unwrap();
        for mode in [Mode::Shadow, Mode::Disabled] {
            let options = ConnectionOptions::new().mode(mode);
            let db = brama.register(mode.as_str(), options).unwrap();
            db.open_circuit("by hand", None).unwrap();
        }
    });
    let fields = |line: &Line| {
        let of = |name| line.fields.get(name).cloned();
        (of("mode"), of("deferred"))
    };
    let told: Vec<_> = lines.iter().map(fields).collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [(text("shadow"), None), (text("disabled"), text("true"))]
    );
}

#[test]
fn an_opening_by_a_rate_says_what_counted() {
    let opened = EventFilter::new().types([EventType::CircuitOpened]);
    let lines = logged(opened, |brama| {
        let rate = ConnectionOptions::new()
            .failure_rate(0.5)
            .minimum_calls(4)
            .max_attempts(9)
            .slow_call_duration(std::time::Duration::from_millis(100));
        let db = brama.register("db", rate).unwrap();
        for length in [99, 100, 300] {
            db.success_in(std::time::Duration::from_millis(length))
                .unwrap();
        }
        for _ in 0..3 {
            db.failure(None).unwrap();
        }
    });
    let [opened] = &lines[..] else {
        panic!("{lines:?}");
    };
    let expected = [
        ("cause", "failure_rate"),
        ("window_calls", "6"),
        ("window_failures", "3"),
        ("window_slow", "2"),
    ];
    for (name, value) in expected {
        assert_eq!(opened.fields[name], value, "{name}");
    }
}
