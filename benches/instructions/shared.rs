//! How often an operation writes memory that another thread's operation uses.
//!
//! Such writes make threads slow each other down, and a trace of all memory accesses shows them
//! exactly. Several threads do the same operation on the same circuit, one after the other. Stores
//! to marks separate the turns of one thread from those of the next, so the trace shows which
//! thread made each access. For each thread and each cache line, the bench counts the thread's
//! writes, or the accesses of all others if these are fewer. The line moves between cores for this
//! thread at most so often. The result is that of the thread with the highest count.
//!
//! Two threads begin. Then a third joins them, and a fourth, since
//! memory that two threads do not share may be shared by more.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::paths::Path;
use crate::{this_program, under};

/// The environment variable of the child process that is traced.
pub const CHILD: &str = "BRAMA_BENCH_SHARED";

/// The numbers of threads, one after the other.
pub const THREADS: [usize; 3] = [2, 3, 4];
const MOST: usize = THREADS[THREADS.len() - 1];

const TURNS: u64 = 64;

/// How many rounds there are at each number of threads. Only the last one counts.
const ROUNDS: usize = 4;

const LINE: u64 = 64;

/// A place whose stores are found in the trace. Each has a cache line of its own.
#[repr(align(128))]
struct Mark(AtomicU64);

/// The marks that each thread stores to when it begins and when it ends its turns.
static MARKS: [[Mark; 2]; MOST] = [const { [const { Mark(AtomicU64::new(0)) }; 2] }; MOST];

/// The current place in the [plan]. All other threads wait. Waiting threads touch only this
/// and their stacks, so the trace of a thread's turns contains no other access of theirs.
static NOW: Mark = Mark(AtomicU64::new(0));
/// How many threads have begun to wait.
static ARRIVED: Mark = Mark(AtomicU64::new(0));

/// The order in which threads have their turns. `None` is the main
/// thread: before each round it polls, and starts the threads that join.
fn plan() -> Vec<Option<usize>> {
    let mut plan = Vec::new();
    for count in THREADS {
        for _ in 0..ROUNDS {
            plan.push(None);
            plan.extend((0..count).map(Some));
        }
    }
    plan
}

fn await_place(place: usize) {
    wait_until(|| NOW.0.load(Ordering::Acquire) == place as u64);
}

/// Waits by sleeping, since spinning would fill the trace.
fn wait_until(ready: impl Fn() -> bool) {
    while !ready() {
        thread::sleep(Duration::from_millis(5));
    }
}

fn next_place(place: usize) {
    NOW.0.store(place as u64 + 1, Ordering::Release);
}

/// Runs the plan, in the child.
pub fn run(path: &Path) {
    for Mark(mark) in MARKS.iter().flatten() {
        println!("{:x}", mark.as_ptr() as usize);
    }
    let operation = &path.operation();
    let plan = &plan();
    let turns = move |who: usize| {
        ARRIVED.0.fetch_add(1, Ordering::Release);
        for (place, _) in plan.iter().enumerate().filter(|(_, it)| **it == Some(who)) {
            await_place(place);
            MARKS[who][0].0.store(1, Ordering::Relaxed);
            (0..TURNS).for_each(&operation.turn);
            MARKS[who][1].0.store(1, Ordering::Relaxed);
            next_place(place);
        }
        // No thread ends before the plan does: what its
        // end touches must not count as another thread's.
        await_place(plan.len());
    };
    thread::scope(|scope| {
        let mut started = 0;
        for (place, _) in plan.iter().enumerate().filter(|(_, it)| it.is_none()) {
            await_place(place);
            (operation.poll)();
            let round = plan[place + 1..].iter().map_while(|who| *who);
            let needed = round.count();
            for who in started..needed {
                scope.spawn(move || turns(who));
            }
            started = started.max(needed);
            wait_until(|| ARRIVED.0.load(Ordering::Acquire) == started as u64);
            next_place(place);
        }
    });
}

/// How often a thread writes and uses a line in its turns.
#[derive(Clone, Copy, Default)]
struct Use {
    writes: u64,
    accesses: u64,
}

type Lines = HashMap<u64, [Use; MOST]>;

/// Runs the child under a tool that prints every access. Returns
/// the shared writes per operation for each number of threads.
pub fn writes(path: &Path, library: &str) -> Result<[f64; THREADS.len()], String> {
    let mut child = under("lackey", path, library)
        .args(["--trace-mem=yes", "--log-fd=1"])
        .arg(this_program())
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = BufReader::new(child.stdout.take().expect("piped"));
    let mut marks: Vec<u64> = Vec::new();
    let mut script = script().into_iter().peekable();
    // The number of threads and the thread whose turns these are, if they count.
    let mut turns: Option<(usize, usize)> = None;
    let mut lines: [Lines; THREADS.len()] = Default::default();
    for line in text.lines() {
        let line = line.map_err(|error| error.to_string())?;
        if let Some((kind, address)) = access(&line) {
            if let Some(next) = script.peek()
                && marks.get(next.mark) == Some(&address)
            {
                turns = next.turns;
                script.next();
            } else if let Some((time, who)) = turns {
                let here = &mut lines[time].entry(address / LINE).or_default()[who];
                here.accesses += 1;
                here.writes += u64::from(kind != 'L');
            }
        } else if marks.len() < 2 * MOST
            && let Ok(mark) = u64::from_str_radix(&line, 16)
        {
            marks.push(mark);
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() || script.peek().is_some() {
        return Err(format!("{:?} under lackey: {status}", path.name));
    }
    Ok(lines.map(|lines| most(&lines)))
}

/// A mark that is expected next in the trace.
struct Step {
    mark: usize,
    /// What follows the mark: the turns of which thread, at
    /// which number of threads. `None` if they do not count.
    turns: Option<(usize, usize)>,
}

/// All marks in the order of the trace. Only the last round at each number of
/// threads counts, since threads may share memory at first and divide it later.
fn script() -> Vec<Step> {
    let mut steps = Vec::new();
    for (time, count) in THREADS.into_iter().enumerate() {
        for round in 1..=ROUNDS {
            for who in 0..count {
                let turns = (round == ROUNDS).then_some((time, who));
                let mark = 2 * who;
                steps.push(Step { mark, turns });
                let mark = mark + 1;
                steps.push(Step { mark, turns: None });
            }
        }
    }
    steps
}

/// How often, at most, lines move between cores for
/// one operation of the thread with the highest count.
fn most(lines: &Lines) -> f64 {
    let pays = |who: usize| -> u64 {
        let of_line = |uses: &[Use; MOST]| {
            let others = (0..MOST).filter(|other| *other != who);
            let others: u64 = others.map(|other| uses[other].accesses).sum();
            uses[who].writes.min(others)
        };
        lines.values().map(of_line).sum()
    };
    (0..MOST).map(pays).max().unwrap_or(0) as f64 / TURNS as f64
}

/// Parses a line of the trace: ` L 1ffeffe7e0,8` (load), ` S …` (store), ` M …` (both).
fn access(line: &str) -> Option<(char, u64)> {
    let rest = line.strip_prefix(' ')?;
    let kind = rest.chars().next()?;
    let (address, _) = rest.get(1..)?.trim_start().split_once(',')?;
    let address = u64::from_str_radix(address, 16).ok()?;
    ['L', 'S', 'M'].contains(&kind).then_some((kind, address))
}
