//! How often an operation writes memory that another thread's operation uses.
//!
//! Such a write is what makes threads slow each other down, and a trace of all
//! memory accesses shows it exactly. Some threads do the same operation on the same
//! circuit, one after the other, so the trace says which access is whose: stores to
//! marks separate the turns of one from those of the next. Counted are, for each thread
//! and each cache line, its writes, or the accesses of all others if they are fewer: as
//! often, at most, the line has to change sides for it. The thread with the most counts.
//!
//! Two threads begin; then a third joins them, and a fourth: what is divided among two
//! need not be divided among more.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::paths::Path;
use crate::{this_program, under};

/// Given to the child process that is traced.
pub const CHILD: &str = "BRAMA_BENCH_SHARED";

/// How many threads there are, each time.
pub const THREADS: [usize; 3] = [2, 3, 4];
const MOST: usize = THREADS[THREADS.len() - 1];

const TURNS: u64 = 64;

/// How often all have their turns, at each number of threads; the last time counts.
const ROUNDS: usize = 4;

const LINE: u64 = 64;

/// Stores here are seen in the trace. A line for each, used by nothing else.
#[repr(align(128))]
struct Mark(AtomicU64);

/// Where each thread begins and ends its turns.
static MARKS: [[Mark; 2]; MOST] = [const { [const { Mark(AtomicU64::new(0)) }; 2] }; MOST];

/// Whose turns it is: a place in the [plan]. All others wait, and while they do they touch nothing but
/// this and their stacks, so that the trace of a thread's turns has nothing of theirs that counts.
static NOW: Mark = Mark(AtomicU64::new(0));
/// How many threads have begun to wait.
static ARRIVED: Mark = Mark(AtomicU64::new(0));

/// Who does something, in this order: a thread, or the main one, which looks after things before each
/// round and starts threads that are to join.
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

/// Looks now and then: to look all the time would fill the trace.
fn wait_until(ready: impl Fn() -> bool) {
    while !ready() {
        thread::sleep(Duration::from_millis(5));
    }
}

fn next_place(place: usize) {
    NOW.0.store(place as u64 + 1, Ordering::Release);
}

/// What the child does.
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
        // What the end of a thread touches must not be taken for an operation of another.
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

/// What a thread does to a line in its turns.
#[derive(Clone, Copy, Default)]
struct Use {
    writes: u64,
    accesses: u64,
}

type Lines = HashMap<u64, [Use; MOST]>;

/// Runs the child under a tool that prints every access, and counts, for each number of threads.
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
    // Whose turns these are, of those that count.
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

/// A mark that is to be met.
struct Step {
    mark: usize,
    /// From there on: at which number of threads, and which of them; none where it does not count.
    turns: Option<(usize, usize)>,
}

/// All marks in the order in which they are met. The last round at each number of threads counts: what
/// threads share at first, they may divide later.
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

/// How often, at most, lines change sides for an operation of the thread that pays most.
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

/// ` L 1ffeffe7e0,8` (load), ` S …` (store), ` M …` (both).
fn access(line: &str) -> Option<(char, u64)> {
    let rest = line.strip_prefix(' ')?;
    let kind = rest.chars().next()?;
    let (address, _) = rest.get(1..)?.trim_start().split_once(',')?;
    let address = u64::from_str_radix(address, 16).ok()?;
    ['L', 'S', 'M'].contains(&kind).then_some((kind, address))
}
