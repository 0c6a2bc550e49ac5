//! The results of a run: each run has a folder in
//! `target/brama-bench/runs`, with a file for each bench.
//!
//! A run is what one command of cargo starts. So a run of one bench, or of a part of one, never
//! mixes with what another run has measured, and the last bench, `summary`, can tell whether a run
//! is whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::machine;

/// A bench's groups by name, and each group's rows.
pub type Groups = Map<String, Value>;

/// The name of the file that describes the machine of a run.
const MACHINE: &str = "machine.json";

/// The folder of all runs. All benches are built into the same target folder.
pub fn folder() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows where it is");
    // target/<profile>/deps/<program>
    let target = program.ancestors().nth(3).expect("cargo's layout");
    target.join("brama-bench")
}

/// The folder of the run that this process belongs to.
pub fn this_run() -> PathBuf {
    folder().join("runs").join(name())
}

/// The name of the run: the cargo process that started this one, and when
/// that began. A process that cargo did not start is a run of its own.
fn name() -> String {
    #[cfg(unix)]
    {
        let parent = std::os::unix::process::parent_id();
        let stat = fs::read_to_string(format!("/proc/{parent}/stat"));
        let Ok(stat) = stat else {
            // The system has no such files.
            return format!("{parent}");
        };
        // "pid (name) state …", where a name may contain anything; the start is field 22.
        let (name, fields) = stat.rsplit_once(')').unwrap_or_default();
        if name.ends_with("(cargo") {
            let start = fields.split_whitespace().nth(19).unwrap_or_default();
            return format!("{start}-{parent}");
        }
    }
    format!("alone-{}", process::id())
}

/// Keeps the rows of one group of this bench, and how long the bench has taken so far.
pub fn keep(group: &str, rows: &[Value]) {
    let run = this_run();
    fs::create_dir_all(&run).expect("the target folder can be written");
    let bench = env!("CARGO_CRATE_NAME");
    let path = run.join(format!("{bench}.json"));
    let mut groups = read(&path);
    groups.insert(group.to_owned(), json!(rows));
    write(&path, &groups);
    let mut machine = read(&run.join(MACHINE));
    if machine.is_empty() {
        machine = machine::description();
        machine.insert("quick".to_owned(), json!(super::quick()));
        machine.insert("filter".to_owned(), json!(super::arguments().0));
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        machine.insert("began".to_owned(), json!(now));
        machine.insert("seconds".to_owned(), json!({}));
    }
    if let Some(seconds) = seconds() {
        machine["seconds"][bench] = json!(seconds);
    }
    write(&run.join(MACHINE), &machine);
}

/// How old this process is. `None` if the system does not say.
fn seconds() -> Option<u64> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let started: f64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    // In ticks that are 100 to a second on every Linux.
    Some((uptime - started / 100.0) as u64)
}

/// The machine of a run, and the groups of each bench. Both are empty if there is no such run.
pub fn of(run: &Path) -> (Groups, Map<String, Value>) {
    let mut benches = Map::new();
    for file in fs::read_dir(run).into_iter().flatten().flatten() {
        let path = file.path();
        if let Some(bench) = path.file_stem().and_then(|name| name.to_str())
            && path.file_name().is_some_and(|name| name != MACHINE)
        {
            benches.insert(bench.to_owned(), Value::Object(read(&path)));
        }
    }
    (read(&run.join(MACHINE)), benches)
}

fn read(path: &Path) -> Groups {
    let text = fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn write(path: &Path, content: &Groups) {
    let text = serde_json::to_string_pretty(content).expect("plain values");
    fs::write(path, text + "\n").expect("the target folder can be written");
}
