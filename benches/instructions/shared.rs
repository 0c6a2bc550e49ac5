//! How often an operation writes memory that another thread's operation uses.
//!
//! Such a write is what makes threads slow each other down, and a trace of all
//! memory accesses shows it exactly. Two threads do the same operation on the same
//! circuit, one after the other, so the trace says which access is whose: stores to
//! marks separate the turns of the one from those of the other. Counted are, for each
//! cache line, the writes of the first, or the accesses of the second if they are
//! fewer: as often, at most, the line has to change sides.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::paths::Path;
use crate::{this_program, under};

/// Given to the child process that is traced.
pub const CHILD: &str = "BRAMA_BENCH_SHARED";

const TURNS: u64 = 64;

/// How often both have their turns; the last time counts.
const ROUNDS: usize = 4;

const LINE: u64 = 64;

/// Stores here are seen in the trace. A line for each, used by nobody else.
#[repr(align(128))]
struct Mark(AtomicU64);

/// The first thread begins and ends, the second begins and ends.
static MARKS: [Mark; 4] = [const { Mark(AtomicU64::new(0)) }; 4];

/// What the child does.
pub fn run(path: &Path) {
    for Mark(mark) in &MARKS {
        println!("{:x}", mark.as_ptr() as usize);
    }
    let operation = path.operation();
    let operation = &operation;
    thread::scope(|scope| {
        let threads = [0, 1].map(|who: usize| {
            let (go, told) = channel();
            let (done, answers) = channel();
            scope.spawn(move || {
                for () in told {
                    MARKS[2 * who].0.store(1, Ordering::Relaxed);
                    (0..TURNS).for_each(&operation.turn);
                    MARKS[2 * who + 1].0.store(1, Ordering::Relaxed);
                    done.send(()).expect("somebody waits");
                }
            });
            (go, answers)
        });
        // Again and again: what threads share at first, they may divide later.
        for _ in 0..ROUNDS {
            for (go, answers) in &threads {
                go.send(()).expect("the thread lives");
                answers.recv().expect("the thread lives");
                // It goes back to waiting, which must not be taken for an operation
                // of the other. If this is too short, counts are too high.
                thread::sleep(Duration::from_millis(20));
            }
            operation.brama.poll();
        }
    });
}

/// Runs the child under a tool that prints every access, and counts.
pub fn writes(path: &Path) -> Result<f64, String> {
    let mut child = under("lackey", path)
        .args(["--trace-mem=yes", "--log-fd=1"])
        .arg(this_program())
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = BufReader::new(child.stdout.take().expect("piped"));
    let mut marks: Vec<u64> = Vec::new();
    let mut phase = 0;
    // For each line: writes of the first, accesses of the second.
    let mut lines: HashMap<u64, (u64, u64)> = HashMap::new();
    let mut rounds = 0;
    for line in text.lines() {
        let line = line.map_err(|error| error.to_string())?;
        if let Some((kind, address)) = access(&line) {
            if marks.get(phase) == Some(&address) {
                phase += 1;
                if phase == MARKS.len() && rounds + 1 < ROUNDS {
                    (phase, rounds) = (0, rounds + 1);
                    lines.clear();
                }
            } else if phase == 1 && kind != 'L' {
                lines.entry(address / LINE).or_default().0 += 1;
            } else if phase == 3 {
                lines.entry(address / LINE).or_default().1 += 1;
            }
        } else if marks.len() < MARKS.len()
            && let Ok(mark) = u64::from_str_radix(&line, 16)
        {
            marks.push(mark);
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() || phase < MARKS.len() {
        return Err(format!(
            "{:?} under lackey: {status}, at {phase}",
            path.name
        ));
    }
    let shared = lines.values().map(|(writes, uses)| writes.min(uses));
    Ok(shared.sum::<u64>() as f64 / TURNS as f64)
}

/// ` L 1ffeffe7e0,8` (load), ` S …` (store), ` M …` (both).
fn access(line: &str) -> Option<(char, u64)> {
    let rest = line.strip_prefix(' ')?;
    let kind = rest.chars().next()?;
    let (address, _) = rest.get(1..)?.trim_start().split_once(',')?;
    let address = u64::from_str_radix(address, 16).ok()?;
    ['L', 'S', 'M'].contains(&kind).then_some((kind, address))
}
