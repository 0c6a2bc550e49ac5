//! What was kept, to be asked for.

use serde_json::{Map, Value};

use crate::results;

const BENCHES: [&str; 10] = [
    "churn",
    "delivery",
    "events",
    "ffi",
    "hot_path",
    "instructions",
    "latency",
    "lookup",
    "memory",
    "scaling",
];

/// What all benches have kept.
pub struct Book {
    benches: Vec<(&'static str, Map<String, Value>)>,
}

/// One measurement.
#[derive(Clone, Copy)]
pub struct Row<'a>(&'a Value);

impl Book {
    pub fn read() -> Self {
        Book {
            benches: BENCHES
                .map(|bench| (bench, results::read(bench)))
                .into_iter()
                .collect(),
        }
    }

    /// The rows of a group, in their order.
    pub fn group(&self, bench: &str, group: &str) -> Vec<Row<'_>> {
        let bench = self.benches.iter().find(|(name, _)| *name == bench);
        let rows = bench.and_then(|(_, groups)| groups.get(group)?.as_array());
        rows.map_or_else(Vec::new, |rows| rows.iter().map(Row).collect())
    }

    /// The nanoseconds of one contestant.
    pub fn ns(&self, bench: &str, group: &str, name: &str, threads: u64) -> Option<f64> {
        let mut rows = self.group(bench, group).into_iter();
        rows.find(|row| row.name() == name && row.threads() == threads)?
            .number("ns")
    }

    /// What the figures depend on, as the last bench has found it.
    pub fn machine(&self, what: &str) -> String {
        let found = self
            .benches
            .iter()
            .find_map(|(_, groups)| Some(groups.get("machine")?.get(what)?.clone()));
        match found {
            Some(Value::String(text)) => text,
            Some(value) => value.to_string(),
            None => "unknown".to_owned(),
        }
    }
}

impl<'a> Row<'a> {
    pub fn name(self) -> &'a str {
        self.0["name"].as_str().unwrap_or_default()
    }

    pub fn threads(self) -> u64 {
        self.0["threads"].as_u64().unwrap_or(1)
    }

    pub fn number(self, field: &str) -> Option<f64> {
        self.0[field].as_f64()
    }

    /// Neither ours nor a floor, and on the same thing as the others.
    pub fn is_peer(self) -> bool {
        let name = self.name();
        !name.starts_with("brama")
            && !name.starts_with("floor: ")
            && !name.ends_with(", a circuit each")
    }
}

/// The name of a floor without the word.
pub fn plain(name: &str) -> &str {
    name.strip_prefix("floor: ").unwrap_or(name)
}

/// Three digits that matter.
pub fn digits(number: f64) -> String {
    match number.abs() {
        size if size < 9.995 => format!("{number:.2}"),
        size if size < 99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// A limit: 2, 0.8, or 1/15.
pub fn limit(limit: f64) -> String {
    let inverse = 1.0 / limit;
    if limit < 1.0 && (inverse - inverse.round()).abs() < 1e-9 {
        format!("1/{}", inverse.round())
    } else {
        limit.to_string()
    }
}

/// A ratio: 2.30, or well below one 1/4.50.
pub fn ratio(ratio: f64) -> String {
    if ratio < 0.67 {
        format!("1/{}", digits(1.0 / ratio))
    } else {
        digits(ratio)
    }
}
