//! Instructions per operation: `cargo bench -p brama-bench --bench instructions`.
//!
//! On a shared machine times vary, and counts of instructions do not. Each path runs in
//! a process of its own under callgrind. Its clock stands still and its random numbers
//! are always the same (`still`), so a count is the same in every run. The cost of the
//! loop around the operation is measured too, and subtracted. A trace of all memory
//! accesses (`shared`) gives a second count: how often an operation writes a cache line
//! that the same operation of another thread uses, with two threads and with more.
//!
//! `instructions.baseline` beside this folder has the agreed counts.
//! `cargo bench -p brama-bench --bench instructions -- --check` fails if a count has
//! grown by more than 3 %; `-- --rewrite` makes the counts of today the baseline.

#[path = "../loaded.rs"]
mod loaded;
#[path = "../peers/names.rs"]
#[allow(dead_code)]
mod names;
#[path = "../race/mod.rs"]
mod race;

mod baseline;
mod paths;
mod shared;
mod still;

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use baseline::{Baseline, Counts};
use paths::Path;
use race::results;
use serde_json::{Value, json};

/// Names the path that a child process runs.
const CHILD: &str = "BRAMA_BENCH_PATH";

/// How many turns of each path are counted. A multiple
/// of 128, since a thread collects after every 128 pins.
const TURNS: u64 = 4_096;

fn main() -> ExitCode {
    if let Ok(name) = env::var(CHILD) {
        child(&name);
        return ExitCode::SUCCESS;
    }
    let wants = |flag: &str| env::args().any(|argument| argument == flag);
    let (filter, measuring) = race::arguments();
    if !measuring {
        paths::ALL.iter().for_each(|path| path.run(1));
        return ExitCode::SUCCESS;
    }
    if filter.is_some_and(|part| !"instructions".contains(&part)) {
        return ExitCode::SUCCESS;
    }
    let valgrind = match run(Command::new("valgrind").arg("--version")) {
        Ok(output) => text(&output.stdout).trim().to_owned(),
        Err(error) => {
            eprintln!("{error}\nthis bench needs valgrind: apt-get install valgrind");
            return ExitCode::FAILURE;
        }
    };
    let today = Baseline {
        tools: format!("{}, {valgrind}", race::machine::COMPILER),
        counts: match count_all() {
            Ok(counts) => counts,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        },
    };
    results::keep("instructions", &rows(&today));
    if wants("--rewrite") {
        today.write();
        println!("written to {}", baseline::FILE);
        return ExitCode::SUCCESS;
    }
    let fine = today.compare(&Baseline::read());
    ExitCode::from(u8::from(wants("--check") && !fine))
}

fn rows(today: &Baseline) -> Vec<Value> {
    let rows = today.counts.iter().map(|(name, counts)| {
        let mut row = json!({ "name": name, "instructions": counts.instructions });
        for (threads, writes) in shared::THREADS.iter().zip(counts.shared_writes) {
            row[format!("shared_writes_{threads}")] = json!(writes);
        }
        row
    });
    rows.collect()
}

/// Both counts of all paths. Uses all cores, since other processes do not change the counts.
fn count_all() -> Result<Vec<(String, Counts)>, String> {
    let library = loaded::build();
    let instructions = |path| instructions(path, &library);
    let empty = instructions(&paths::EMPTY)?;
    let next = AtomicUsize::new(0);
    let count = || {
        let mut counted = Vec::new();
        while let Some(path) = paths::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            let both = instructions(path).and_then(|it| Ok((it, shared::writes(path, &library)?)));
            counted.push((path.name, both));
        }
        counted
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let counted: HashMap<_, _> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(count)).collect();
        let counted = workers.into_iter().map(|worker| worker.join());
        counted
            .flat_map(|counted| counted.expect("no panic"))
            .collect()
    });
    let counts = paths::ALL.iter().map(|path| {
        let (instructions, shared_writes) = counted[path.name].clone()?;
        let counts = Counts {
            instructions: instructions - empty,
            shared_writes,
        };
        Ok((path.name.to_owned(), counts))
    });
    counts.collect()
}

/// Runs a path in a child process, in the way that the tool needs it.
fn child(name: &str) {
    let mut all = paths::ALL.iter().chain([&paths::EMPTY]);
    let path = all.find(|path| path.name == name);
    let path = path.expect("the parent knows the paths");
    if env::var_os(shared::CHILD).is_some() {
        shared::run(path);
    } else {
        path.run(TURNS);
    }
}

/// Instructions for each turn of a path, its loop included.
fn instructions(path: &Path, library: &str) -> Result<f64, String> {
    fs::create_dir_all(results::folder()).map_err(|error| error.to_string())?;
    // The file is kept for `callgrind_annotate`.
    let file = results::folder().join(format!("{}.callgrind", path.name.replace(' ', "-")));
    run(under("callgrind", path, library)
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg("--toggle-collect=*measured_turns*")
        .arg(this_program()))?;
    let profile = fs::read_to_string(&file).map_err(|error| format!("{file:?}: {error}"))?;
    let total: Option<u64> = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .and_then(|total| total.trim().parse().ok());
    match total {
        Some(total) if total > 0 => Ok(total as f64 / TURNS as f64),
        _ => Err(format!("callgrind counted nothing for {:?}", path.name)),
    }
}

/// The command that runs this program for one path under a tool of valgrind. The C library would
/// choose its copying routines by processor, so it is made to use those that every processor has.
fn under(tool: &str, path: &Path, library: &str) -> Command {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .arg(format!("--tool={tool}"))
        .env(
            "GLIBC_TUNABLES",
            "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-ERMS,-FSRM",
        )
        .env(CHILD, path.name)
        .env(paths::c::LIBRARY, library);
    valgrind
}

/// The path of this program: the last argument for valgrind.
fn this_program() -> PathBuf {
    env::current_exe().expect("a program knows where it is")
}

fn run(command: &mut Command) -> Result<Output, String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => Err(format!("{command:?}\n{}", text(&output.stderr))),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
