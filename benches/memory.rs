//! How much memory a connection takes: `cargo bench -p brama-bench --bench memory`.
//!
//! A million connections with names of sixteen bytes, without a scope. Each
//! contestant has a process of its own, so that none reuses the pages of
//! another. The bench counts the bytes that the allocator was asked for, and
//! the resident set of the process, which includes what the allocator adds.

mod peers;
mod race;

use std::alloc::{GlobalAlloc, Layout, System};
use std::env;
use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use brama::Brama;
use peers::maps::{Dash, Locked, Map, Papaya, Scc, SccIndex};
use race::results;
use serde_json::{Value, json};

/// Names the contestant of a child process.
const CHILD: &str = "BRAMA_BENCH_MEMORY_OF";

const MILLION: usize = 1_000_000;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ALIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every request is passed on unchanged to the system's allocator, which keeps
// the contract. `realloc`, which is not overridden, calls `alloc` and `dealloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `alloc` and `alloc_zeroed` got `pointer` from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }
}

/// The resident set, in bytes.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/statm").expect("this bench needs /proc");
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    let pages: usize = pages.expect("statm has it second");
    // SAFETY: the call takes no pointer, and returns a constant of the system.
    pages * usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("positive")
}

fn name(number: usize) -> String {
    format!("connection-{number:05x}")
}

/// Fills what `make` returns with so many names, and prints the bytes for each name.
fn weigh<T>(count: usize, make: impl FnOnce() -> T, fill: impl Fn(&T, &str)) {
    let it = make();
    // What the first name sets up once must not be counted.
    fill(&it, "warm-up-warm-up-");
    let before = (ALIVE.load(Ordering::Relaxed), resident());
    for number in 0..count {
        fill(&it, &name(number));
    }
    let each = |now: usize, before: usize| now.saturating_sub(before) as f64 / count as f64;
    let allocated = each(ALIVE.load(Ordering::Relaxed), before.0);
    let resident = each(resident(), before.1);
    println!(
        "{}",
        json!({ "allocated": allocated, "resident": resident })
    );
    black_box(&it);
}

fn weigh_map<M: Map>(count: usize) {
    weigh(count, M::new, |map, name| assert!(map.insert(("", name))));
}

type Contestant = (&'static str, fn(usize));

const CONTESTANTS: [Contestant; 6] = [
    ("brama", |count| {
        let make = || Brama::builder().build().unwrap();
        weigh(count, make, |brama, name| {
            brama.register(name, None).unwrap();
        });
    }),
    (Locked::NAME, weigh_map::<Locked>),
    (Papaya::NAME, weigh_map::<Papaya>),
    (Dash::NAME, weigh_map::<Dash>),
    (Scc::NAME, weigh_map::<Scc>),
    (SccIndex::NAME, weigh_map::<SccIndex>),
];

/// Runs this program once more, for one contestant.
fn ask(name: &str) -> Value {
    let mut child = Command::new(env::current_exe().expect("a program knows where it is"));
    let answer = child.args(env::args().skip(1)).env(CHILD, name).output();
    let answer = answer.expect("a program can start itself");
    assert!(answer.status.success(), "{name}: {answer:?}");
    let mut row: Value = serde_json::from_slice(&answer.stdout).expect("the child's answer");
    row["name"] = json!(name);
    row
}

fn main() {
    let (filter, measuring) = race::arguments();
    let count = match measuring {
        true if race::quick() => MILLION / 10,
        true => MILLION,
        false => 1_000,
    };
    if let Ok(child) = env::var(CHILD) {
        let (_, weigh) = CONTESTANTS
            .iter()
            .find(|(name, _)| *name == child)
            .expect("one of the contestants");
        return weigh(count);
    }
    if filter.is_some_and(|part| !"memory".contains(&part)) {
        return;
    }
    println!(
        "bytes for each of {count} names of {} bytes:",
        name(0).len()
    );
    let rows: Vec<Value> = CONTESTANTS.iter().map(|(name, _)| ask(name)).collect();
    for row in &rows {
        let (name, allocated) = (row["name"].as_str(), row["allocated"].as_f64());
        let resident = row["resident"].as_f64();
        println!(
            "  {:<20} {:>7.1} allocated  {:>7.1} resident",
            name.unwrap_or_default(),
            allocated.unwrap_or_default(),
            resident.unwrap_or_default()
        );
    }
    println!();
    if measuring {
        results::keep("memory", &rows);
    }
}
