//! The machine on which figures are measured, and its name.
//!
//! Each kind of machine has a results file of its own, so a kind needs a name
//! that is the same in each run. The name consists of the processor, its
//! model if the name has no number (virtual machines often say only "Xeon"),
//! the number of processors that this process may use, and the architecture.

use std::env::consts::{ARCH, OS};
use std::fs;
use std::process::Command;

use serde_json::{Map, Value, json};

use super::cores;

/// The version of the compiler that made this program.
pub const COMPILER: &str = env!("BRAMA_BENCH_COMPILER");

/// Everything that figures depend on, as kept in the results file.
pub fn description() -> Map<String, Value> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| -> Option<&str> {
        let line = cpuinfo.lines().find(|line| {
            let key = line.split(':').next().unwrap_or_default();
            key.trim() == name
        })?;
        Some(line.split_once(':')?.1.trim())
    };
    let processor = plain(field("model name").unwrap_or("unknown processor"));
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let system = name.map_or(OS, |name| name.trim_matches('"'));
    let described = json!({
        "processor": processor,
        "model": field("model"),
        "processors": cores::count(),
        "cores": cores::physical(),
        "architecture": ARCH,
        "system": system,
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "compiler": COMPILER,
        "program": if cfg!(target_feature = "crt-static") { "static" } else { "dynamic" },
        "brama": env!("CARGO_PKG_VERSION"),
        "date": today(),
    });
    match described {
        Value::Object(fields) => fields,
        _ => unreachable!("an object was made"),
    }
}

/// The name of this kind of machine, for readers.
pub fn label(machine: &Map<String, Value>) -> String {
    let text = |field: &str| machine.get(field).and_then(Value::as_str);
    let number = |field: &str| machine.get(field).and_then(Value::as_u64);
    let processor = text("processor").unwrap_or("unknown processor");
    let mut label = processor.to_owned();
    if let (false, Some(model)) = (label.contains(|c: char| c.is_ascii_digit()), text("model")) {
        label += &format!(", model {model}");
    }
    let processors = number("processors").unwrap_or(1);
    label += &match number("cores") {
        Some(cores) if cores < processors => format!(", {processors} threads of {cores} cores"),
        _ => format!(", {processors} cores"),
    };
    label + ", " + text("architecture").unwrap_or("unknown architecture")
}

/// A heading as the name of a file, and as the anchor that it gets on a page.
pub fn slug(heading: &str) -> String {
    let letters = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ if letter.is_ascii_alphanumeric() => Some(letter.to_ascii_lowercase()),
        _ => None,
    });
    letters.collect()
}

/// A processor's name without trademark signs, clock rate and words that all names have.
fn plain(name: &str) -> String {
    let name = name.split('@').next().unwrap_or(name);
    let name = name
        .replace("(R)", "")
        .replace("(TM)", "")
        .replace("(tm)", "");
    let words = name
        .split_whitespace()
        .filter(|word| !["CPU", "Processor"].contains(word) && !word.ends_with("-Core"));
    words.collect::<Vec<_>>().join(" ")
}

/// The day, in UTC.
fn today() -> Option<String> {
    let answer = Command::new("date").args(["-u", "+%F"]).output().ok()?;
    Some(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
}
