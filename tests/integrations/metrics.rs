//! Connections as metrics: exact totals, counts of state
//! changes, and the metrics of connections that were removed.

use std::collections::BTreeMap;
use std::time::Duration;

use brama::integrations::metrics::Exporter;
use brama::{Brama, ConnectionOptions, ManualClock, Mode};
use metrics::Unit;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// Values by metric name and labels. A snapshot resets the
/// counters, so each shows what was added since the last snapshot.
type Values = BTreeMap<String, f64>;

fn values(snapshotter: &Snapshotter) -> Values {
    let mut values = Values::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<_> = key.key().labels().map(|label| label.value()).collect();
        let name = format!("{} {}", key.key().name(), labels.join(" of "));
        match value {
            DebugValue::Counter(n) => drop(values.insert(name, n as f64)),
            DebugValue::Gauge(x) => drop(values.insert(name, x.into_inner())),
            DebugValue::Histogram(samples) => {
                for sample in samples {
                    values.insert(name.clone(), sample.into_inner());
                }
            }
        }
    }
    values
}

fn with_recorder(test: impl FnOnce(&Brama, &ManualClock, &Snapshotter)) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let clock = ManualClock::new();
        let brama = Brama::builder()
            .background(false)
            .clock(clock.clone())
            .max_attempts(2)
            .expiry(Duration::from_secs(5))
            .build()
            .unwrap();
        test(&brama, &clock, &snapshotter);
    });
}

#[test]
fn an_outage_in_numbers() {
    with_recorder(|brama, clock, snapshotter| {
        let api = brama.register(("billing", "api"), None).unwrap();
        api.success().unwrap();
        let exporter = Exporter::new(brama).unwrap();
        let seen = values(snapshotter);
        assert_eq!(seen["brama_successes_total api of billing"], 1.0);
        assert_eq!(seen["brama_state api of billing"], 1.0);
        assert_eq!(seen["brama_opened_total api of billing"], 0.0);

        api.failure(None).unwrap();
        api.failure(None).unwrap();
        brama.poll();
        api.acquire().unwrap_err();
        let seen = values(snapshotter);
        assert_eq!(seen["brama_failures_total api of billing"], 2.0);
        assert_eq!(seen["brama_opened_total api of billing"], 1.0);
        assert_eq!(seen["brama_state api of billing"], 2.0);
        assert_eq!(seen["brama_rejected_total api of billing"], 0.0);

        exporter.update();
        assert_eq!(
            values(snapshotter)["brama_rejected_total api of billing"],
            1.0
        );

        clock.advance(Duration::from_secs(7));
        brama.poll();
        let seen = values(snapshotter);
        assert_eq!(seen["brama_half_opened_total api of billing"], 1.0);
        assert_eq!(seen["brama_state api of billing"], 3.0);
        let open = seen["brama_open_seconds api of billing"];
        assert!((5.0..=7.0).contains(&open), "{open}");

        api.acquire().unwrap().success().unwrap();
        brama.poll();
        let seen = values(snapshotter);
        assert_eq!(seen["brama_closed_total api of billing"], 1.0);
        assert_eq!(seen["brama_successes_total api of billing"], 1.0);
        assert_eq!(seen["brama_failures_total api of billing"], 0.0);
    });
}

#[test]
fn a_removed_connection_leaves_exact_totals_and_state_0() {
    with_recorder(|brama, _, snapshotter| {
        let exporter = Exporter::new(brama).unwrap();
        let db = brama.register("db", None).unwrap();
        brama.poll();
        db.success().unwrap();
        db.failure(None).unwrap();
        brama.unregister("db").unwrap();
        brama.poll();
        let seen = values(snapshotter);
        assert_eq!(seen["brama_successes_total db of "], 1.0);
        assert_eq!(seen["brama_failures_total db of "], 1.0);
        assert_eq!(seen["brama_state db of "], 0.0);

        // The name is registered again, and its counters go on.
        let db = brama.register("db", None).unwrap();
        db.success().unwrap();
        exporter.update();
        let seen = values(snapshotter);
        assert_eq!(seen["brama_successes_total db of "], 1.0);
        assert_eq!(seen["brama_failures_total db of "], 0.0);
        assert_eq!(seen["brama_state db of "], 1.0);
        assert!(format!("{exporter:?}").contains("connections: 1"));

        // The connection is replaced before the exporter gets the event.
        db.success().unwrap();
        brama.unregister("db").unwrap();
        let db = brama.register("db", None).unwrap();
        db.success().unwrap();
        db.success().unwrap();
        brama.poll();
        exporter.update();
        assert_eq!(values(snapshotter)["brama_successes_total db of "], 3.0);
    });
}

#[test]
fn the_end_is_delivered() {
    with_recorder(|brama, _, snapshotter| {
        let exporter = Exporter::new(brama).unwrap();
        let db = brama.register("db", None).unwrap();
        exporter.update();
        db.success().unwrap();
        brama.shutdown();
        exporter.update();
        let seen = values(snapshotter);
        assert_eq!(seen["brama_successes_total db of "], 1.0);
        assert_eq!(seen["brama_state db of "], 0.0);
    });
    with_recorder(|brama, _, snapshotter| {
        let db = brama.register("db", None).unwrap();
        let exporter = Exporter::new(brama).unwrap();
        db.success().unwrap();
        drop(exporter);
        let seen = values(snapshotter);
        assert_eq!(seen["brama_successes_total db of "], 1.0);
        assert_eq!(seen["brama_state db of "], 0.0);
        db.success().unwrap();
        brama.poll();
        assert_eq!(values(snapshotter)["brama_successes_total db of "], 0.0);
    });
}

#[test]
fn changes_that_coalesced_are_counted_at_least_once() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let brama = Brama::builder()
            .background(false)
            .event_capacity(2)
            .build()
            .unwrap();
        let db = brama.register("db", None).unwrap();
        let _exporter = Exporter::new(&brama).unwrap();
        for _ in 0..10 {
            db.open_circuit(None, brama::OpenFor::Never).unwrap();
            db.close_circuit().unwrap();
        }
        db.open_circuit(None, brama::OpenFor::Never).unwrap();
        brama.poll();
        let seen = values(&snapshotter);
        assert!((1.0..=11.0).contains(&seen["brama_opened_total db of "]));
        assert_eq!(seen["brama_state db of "], 2.0);
        assert!(brama.event_counts().coalesced > 0);
    });
}

#[test]
fn a_shadow_counts_what_it_would_reject() {
    with_recorder(|brama, _, snapshotter| {
        let options = ConnectionOptions::new().mode(Mode::Shadow);
        let db = brama.register("db", options).unwrap();
        let exporter = Exporter::new(brama).unwrap();
        db.failure(None).unwrap();
        db.failure(None).unwrap();
        for _ in 0..3 {
            db.acquire().unwrap().success().unwrap();
        }
        exporter.update();
        let seen = values(snapshotter);
        assert_eq!(seen["brama_would_reject_total db of "], 3.0);
        assert_eq!(seen["brama_rejected_total db of "], 0.0);
        assert_eq!(seen["brama_state db of "], 2.0);
    });
}

#[test]
fn restored_totals_are_reported_once() {
    with_recorder(|brama, _, snapshotter| {
        let db = brama.register("db", None).unwrap();
        db.success().unwrap();
        db.success().unwrap();
        let data = brama.save();
        brama.unregister("db").unwrap();
        brama.restore(&data).unwrap();
        brama.register("db", None).unwrap();
        let exporter = Exporter::new(brama).unwrap();
        assert_eq!(values(snapshotter)["brama_successes_total db of "], 2.0);
        brama.restore(&data).unwrap();
        exporter.update();
        assert_eq!(values(snapshotter)["brama_successes_total db of "], 0.0);
    });
}

#[test]
fn all_metrics_are_described() {
    with_recorder(|brama, clock, snapshotter| {
        let _exporter = Exporter::new(brama).unwrap();
        let db = brama.register("db", None).unwrap();
        db.open_circuit(None, Duration::from_secs(1)).unwrap();
        brama.poll();
        clock.advance(Duration::from_secs(2));
        brama.poll();
        let mut names = Vec::new();
        for (key, unit, text, _) in snapshotter.snapshot().into_vec() {
            let name = key.key().name().to_owned();
            assert!(text.is_some(), "{name}");
            let expected = match name.as_str() {
                "brama_state" => None,
                "brama_open_seconds" => Some(Unit::Seconds),
                _ => Some(Unit::Count),
            };
            assert_eq!(unit, expected, "{name}");
            names.push(name);
        }
        assert_eq!(names.len(), 9, "{names:?}");
    });
}
