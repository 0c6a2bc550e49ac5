//! What was measured, kept under `target/brama-bench`, one file for each bench.
//!
//! A run that measures only a part replaces that part. The last bench, `summary`,
//! reads all of them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value, json};

/// The folder of the results. All benches are built into the same one.
pub fn folder() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows where it is");
    // target/<profile>/deps/<program>
    let target = program.ancestors().nth(3).expect("cargo's layout");
    target.join("brama-bench")
}

/// Keeps the rows of one group of this bench.
pub fn keep(group: &str, rows: &[Value]) {
    let bench = env!("CARGO_CRATE_NAME");
    let path = folder().join(format!("{bench}.json"));
    let mut all = read(bench);
    all.insert("machine".to_owned(), machine());
    all.insert(group.to_owned(), json!(rows));
    fs::create_dir_all(folder()).expect("the target folder can be written");
    let text = serde_json::to_string_pretty(&all).expect("plain values");
    fs::write(&path, text + "\n").expect("the target folder can be written");
}

/// All groups of a bench by name, and its machine; nothing if it was never run.
pub fn read(bench: &str) -> Map<String, Value> {
    let text = fs::read_to_string(folder().join(format!("{bench}.json"))).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// What the figures depend on.
fn machine() -> Value {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split(": ").nth(1));
    json!({
        "processor": model.unwrap_or(std::env::consts::ARCH),
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "system": std::env::consts::OS,
        "compiler": compiler(),
    })
}

pub fn compiler() -> String {
    let answer = Command::new("rustc").arg("--version").output();
    let text = answer.map(|answer| String::from_utf8_lossy(&answer.stdout).into_owned());
    text.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}
