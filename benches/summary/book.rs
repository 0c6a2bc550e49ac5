//! The results of one run, and queries for them. They come from the run's
//! folder, or from the results file of a kind of machine (`benches/results`).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::race::{EACH, machine, results};

/// A run.
pub struct Book {
    machine: Map<String, Value>,
    /// Groups of rows, by bench.
    results: Map<String, Value>,
}

/// One measurement.
#[derive(Clone, Copy)]
pub struct Row<'a>(&'a Value);

impl Book {
    /// Reads what the benches of a run have kept in its folder.
    pub fn of_run(folder: &Path) -> Self {
        let (machine, results) = results::of(folder);
        Book { machine, results }
    }

    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
        let mut part = |name: &str| match file[name].take() {
            Value::Object(part) => Ok(part),
            _ => Err(io::Error::other(format!("{path:?} has no {name:?}"))),
        };
        Ok(Book {
            machine: part("machine")?,
            results: part("results")?,
        })
    }

    /// The text of the results file: a line for each measurement, so that it diffs well.
    pub fn text(&self) -> String {
        let mut machine = self.machine.clone();
        machine.remove("quick");
        machine.remove("filter");
        let mut text = format!("{{\n\"machine\": {},\n\"results\": {{", json!(machine));
        for (place, (bench, groups)) in self.results.iter().enumerate() {
            text += &format!("{}\n{}: {{", comma(place), json!(bench));
            let groups = groups.as_object().into_iter().flatten();
            for (place, (group, rows)) in groups.enumerate() {
                text += &format!("{}\n  {}: [", comma(place), json!(group));
                let rows = rows.as_array().into_iter().flatten();
                for (place, row) in rows.enumerate() {
                    text += &format!("{}\n    {}", comma(place), rounded(row));
                }
                text += "\n  ]";
            }
            text += "\n}";
        }
        text + "\n}\n}\n"
    }

    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// Whether the run was a quick one, which only shows that everything works.
    pub fn is_quick(&self) -> bool {
        self.machine.get("quick") == Some(&json!(true))
    }

    /// The filter that left out a part of the benches.
    pub fn filter(&self) -> Option<&str> {
        self.machine.get("filter").and_then(Value::as_str)
    }

    /// When the run began, in Unix seconds.
    pub fn began(&self) -> u64 {
        self.machine
            .get("began")
            .and_then(Value::as_u64)
            .unwrap_or(0)
    }

    /// How many threads ran at once, at most.
    pub fn processors(&self) -> u64 {
        let processors = self.machine.get("processors").and_then(Value::as_u64);
        processors.unwrap_or(u64::MAX)
    }

    /// How long each bench took.
    pub fn seconds(&self) -> Vec<(&str, u64)> {
        let seconds = self.machine.get("seconds").and_then(Value::as_object);
        let seconds = seconds.into_iter().flatten();
        seconds
            .filter_map(|(bench, seconds)| Some((bench.as_str(), seconds.as_u64()?)))
            .collect()
    }

    /// The kind of machine.
    pub fn label(&self) -> String {
        machine::label(&self.machine)
    }

    /// A fact that the figures depend on, or "unknown".
    pub fn machine(&self, what: &str) -> String {
        match self.machine.get(what) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => "unknown".to_owned(),
            Some(value) => value.to_string(),
        }
    }

    /// All groups, each with its bench.
    pub fn groups(&self) -> BTreeSet<(&str, &str)> {
        let of_bench = |(bench, groups)| {
            let groups: &Value = groups;
            let names = groups.as_object().into_iter().flat_map(Map::keys);
            let bench: &String = bench;
            names.map(move |group| (bench.as_str(), group.as_str()))
        };
        self.results.iter().flat_map(of_bench).collect()
    }

    /// The rows of a group, in order. None if the group was not measured.
    pub fn group(&self, bench: &str, group: &str) -> Vec<Row<'_>> {
        let rows = self
            .results
            .get(bench)
            .and_then(|groups| groups.get(group)?.as_array());
        rows.map_or_else(Vec::new, |rows| rows.iter().map(Row).collect())
    }

    /// The nanoseconds of one contestant.
    pub fn ns(&self, bench: &str, group: &str, name: &str, threads: u64) -> Option<f64> {
        find(&self.group(bench, group), name, threads)
    }

    /// The fastest peer of a group, and its nanoseconds.
    pub fn fastest(&self, bench: &str, group: &str, threads: u64) -> Option<(&str, f64)> {
        let rows = self.group(bench, group).into_iter();
        let peers = rows.filter(|row| row.is_peer() && row.threads() == threads);
        let timed = peers.filter_map(|row| Some((row.name(), row.number("ns")?)));
        timed.min_by(|one, other| one.1.total_cmp(&other.1))
    }
}

/// The nanoseconds of one contestant among these rows.
pub fn find(rows: &[Row<'_>], name: &str, threads: u64) -> Option<f64> {
    let mut rows = rows.iter();
    rows.find(|row| row.name() == name && row.threads() == threads)?
        .number("ns")
}

fn comma(place: usize) -> &'static str {
    if place == 0 { "" } else { "," }
}

/// A row without more digits than a measurement has.
fn rounded(row: &Value) -> Value {
    let round = |value: &Value| match value.as_f64() {
        Some(number) if value.is_f64() => {
            let shown = format!("{number:.3e}");
            json!(shown.parse::<f64>().unwrap_or(number))
        }
        _ => value.clone(),
    };
    let fields = row.as_object().into_iter().flatten();
    fields
        .map(|(name, value)| (name.clone(), round(value)))
        .collect::<Map<_, _>>()
        .into()
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

    /// How many of its laps stayed disturbed, and how many laps it had.
    pub fn disturbed(self) -> (u64, u64) {
        let count = |field: &str| self.0[field].as_u64().unwrap_or(0);
        (count("disturbed"), count("laps"))
    }

    /// Whether the row is neither brama nor a floor, and its threads share one object.
    pub fn is_peer(self) -> bool {
        let name = self.name();
        !name.starts_with("brama") && !name.starts_with("floor: ") && !name.ends_with(EACH)
    }
}

/// The name without the prefix of a floor.
pub fn plain(name: &str) -> &str {
    name.strip_prefix("floor: ").unwrap_or(name)
}

/// The number with three significant digits.
pub fn digits(number: f64) -> String {
    match number.abs() {
        size if size < 9.995 => format!("{number:.2}"),
        size if size < 99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// The text of a limit: 2, 0.8, or 1/15.
pub fn limit(limit: f64) -> String {
    let inverse = 1.0 / limit;
    if limit < 1.0 && (inverse - inverse.round()).abs() < 1e-9 {
        format!("1/{}", inverse.round())
    } else {
        limit.to_string()
    }
}

/// The text of a ratio: 2.30, or 1/4.50 if it is well below one.
pub fn ratio(ratio: f64) -> String {
    if ratio < 0.67 {
        format!("1/{}", digits(1.0 / ratio))
    } else {
        digits(ratio)
    }
}
