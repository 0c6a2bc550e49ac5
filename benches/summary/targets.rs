//! The targets, and the figures that were reached.

use std::fmt;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use crate::book::{Book, digits, limit, plain, ratio};

/// A target for one contestant.
pub struct Target {
    pub what: &'static str,
    /// Bench, group, contestant, threads.
    ours: (&'static str, &'static str, &'static str, u64),
    aim: Aim,
    /// What the operation cannot do without, in the same group.
    floors: &'static [&'static str],
}

/// How ours should compare with others of its group.
#[derive(Clone, Copy)]
enum Aim {
    /// At most so many times the fastest peer.
    Fastest(f64),
    /// At most so many times this contestant.
    Times(f64, &'static str),
    /// With two threads as fast as with one. Medians waver by a twentieth.
    NoSlower,
    /// At most so many nanoseconds more than these contestants together.
    Adds(f64, &'static [&'static str]),
    /// At most so many nanoseconds.
    Ns(f64),
    /// At most so many bytes, counted this way.
    Bytes(f64, &'static str),
}

/// The figures that were reached for a target.
pub struct Reached {
    pub here: String,
    pub beside: String,
    pub ratio: String,
    pub floor: String,
    pub met: bool,
}

const WAVERING: f64 = 1.05;

const LOAD: &[&str] = &["floor: atomic load"];
const CALL: &[&str] = &["floor: fetch_add", "floor: coarse clock"];
const NAME: &[&str] = &["floor: reading and hashing the name"];
/// A call from C is compared with the same call from Rust, plus a
/// bare call of a loaded function for each function that it calls.
const BARE: &str = "a bare call";
/// The contestant that an event of a batch is compared with.
const PUSH: &str = "floor: made and pushed behind a lock";
/// How many times [`PUSH`] an event may take, since it is also
/// popped from the ring, compared, numbered, dated and counted.
const PUSHES: f64 = 3.0;
const WORD: &[&str] = &["floor: and one word at that place"];

pub fn all() -> Vec<Target> {
    let mut all = of_calls();
    all.extend(of_names());
    all.extend(of_events());
    all.extend(of_c());
    all.extend(of_memory());
    all
}

const fn target(
    what: &'static str,
    ours: (&'static str, &'static str, &'static str, u64),
    aim: Aim,
    floors: &'static [&'static str],
) -> Target {
    Target {
        what,
        ours,
        aim,
        floors,
    }
}

fn of_calls() -> Vec<Target> {
    let mut all = Vec::new();
    let ours = |threads| ("hot_path", "available", "brama, available", threads);
    all.push(target(
        "available, closed",
        ours(1),
        Aim::Times(2.0, LOAD[0]),
        LOAD,
    ));
    all.push(target("available, closed", ours(2), Aim::NoSlower, LOAD));
    for (what, name) in [
        ("acquire + success", "brama, acquire + success"),
        ("call", "brama, call"),
    ] {
        for (threads, most) in [(1, 1.0 / 2.0), (2, 1.0 / 15.0)] {
            let ours = ("hot_path", "success", name, threads);
            all.push(target(what, ours, Aim::Fastest(most), CALL));
        }
    }
    for (what, name) in [
        ("acquire + failure", "brama, acquire + failure"),
        ("call that fails", "brama, call"),
    ] {
        for threads in [1, 2] {
            let ours = ("hot_path", "failure", name, threads);
            all.push(target(what, ours, Aim::Fastest(1.0), &[]));
        }
    }
    for (what, name) in [
        ("acquire, rejected", "brama, acquire"),
        ("call, rejected", "brama, call"),
    ] {
        for threads in [1, 2] {
            let ours = ("hot_path", "rejected", name, threads);
            all.push(target(what, ours, Aim::Fastest(1.0 / 4.0), &[]));
        }
    }
    all
}

fn of_names() -> Vec<Target> {
    let mut all = Vec::new();
    for (what, group, floors) in [
        ("available by name, 1 k", "1 k, hit", NAME),
        ("available by name, 1 M", "1 M, hit", WORD),
    ] {
        for threads in [1, 2] {
            let ours = ("lookup", group, "brama", threads);
            all.push(target(what, ours, Aim::Fastest(0.8), floors));
        }
    }
    for (threads, most, other) in [(1, 0.5, "papaya"), (2, 0.5, "papaya"), (1, 1.0, "dashmap")] {
        let ours = ("churn", "churn", "brama", threads);
        let aim = Aim::Times(most, other);
        all.push(target("register + unregister", ours, aim, &[]));
    }
    all
}

fn of_events() -> Vec<Target> {
    let reports = |name| ("events", "report, acquire + success", name, 1);
    let through = "ring, 2 producers 1 consumer";
    vec![
        target(
            "an event that no subscriber wants",
            reports("one wants another type"),
            Aim::Adds(1.0, &["no subscriber"]),
            &[],
        ),
        target(
            "push into the ring, 64 bytes",
            ("events", "ring, push", "brama", 1),
            Aim::Fastest(1.1),
            &[],
        ),
        target(
            "the ring, 2 producers 1 consumer",
            ("events", through, "brama", 1),
            Aim::Fastest(1.0),
            &[],
        ),
        target(
            "delivery of one event to 64 queues",
            ("delivery", "one event to queues", "64", 1),
            Aim::Ns(10_000.0),
            &[],
        ),
        target(
            "delivery of a batch, an event of it",
            (
                "delivery",
                "a batch of 256, for each event",
                "to 1 queue",
                1,
            ),
            Aim::Times(PUSHES, PUSH),
            &[],
        ),
    ]
}

fn of_c() -> Vec<Target> {
    let calls: [(_, _, _, _, &[&str]); 8] = [
        (
            "available from C",
            "ffi_by_handle",
            "available, C",
            2.0,
            &[BARE],
        ),
        (
            "success from C",
            "ffi_by_handle",
            "success, C",
            2.0,
            &["success, Rust", BARE],
        ),
        (
            "acquire + success from C",
            "ffi_by_handle",
            "acquire + success, C",
            4.0,
            &["acquire + success, Rust", BARE, BARE],
        ),
        (
            "failure from C",
            "ffi_failure",
            "failure, C",
            2.0,
            &["failure, Rust", BARE],
        ),
        (
            "acquire, rejected, from C",
            "ffi_rejected",
            "acquire, C",
            2.0,
            &["acquire, Rust", BARE],
        ),
        (
            "available by name from C",
            "ffi_by_name",
            "available, C",
            8.0,
            &["available, Rust", BARE],
        ),
        (
            "success by name from C",
            "ffi_by_name",
            "success, C",
            8.0,
            &["success, Rust", BARE],
        ),
        (
            "acquire + success by name from C",
            "ffi_by_name",
            "acquire + success, C",
            8.0,
            &["acquire + success, Rust", BARE, BARE],
        ),
    ];
    let targets = calls.into_iter().map(|(what, group, ours, most, others)| {
        target(what, ("ffi", group, ours, 1), Aim::Adds(most, others), &[])
    });
    targets.collect()
}

fn of_memory() -> Vec<Target> {
    let ours = ("memory", "memory", "brama", 1);
    [
        ("memory of a connection, allocated", "allocated"),
        ("memory of a connection, resident", "resident"),
    ]
    .map(|(what, counted)| target(what, ours, Aim::Bytes(256.0, counted), &[]))
    .into()
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Aim::Fastest(most) => write!(f, "≤ {} × the fastest peer", limit(most)),
            Aim::Times(most, other) => write!(f, "≤ {} × {}", limit(most), plain(other)),
            Aim::NoSlower => write!(f, "no slower than 1 thread"),
            Aim::Adds(most, _) => write!(f, "adds ≤ {most} ns"),
            Aim::Ns(most) => write!(f, "≤ {} µs", most / 1_000.0),
            Aim::Bytes(most, _) => write!(f, "≤ {most} bytes"),
        }
    }
}

impl Target {
    pub fn threads(&self) -> u64 {
        self.ours.3
    }

    pub fn aim(&self) -> String {
        self.aim.to_string()
    }

    /// The figures of a run. `None` if the target was not measured.
    pub fn reached(&self, book: &Book) -> Option<Reached> {
        let (bench, group, name, threads) = self.ours;
        let ns = |name: &str, threads| book.ns(bench, group, name, threads);
        if let Aim::Bytes(limit, counted) = self.aim {
            let rows = book.group(bench, group);
            let ours = rows.iter().find(|row| row.name() == name)?;
            let bytes = ours.number(counted)?;
            return Some(Reached {
                here: format!("{} bytes", digits(bytes)),
                beside: String::new(),
                ratio: ratio(bytes / limit),
                floor: String::new(),
                met: bytes <= limit,
            });
        }
        let here = ns(name, threads)?;
        if let Aim::Ns(limit) = self.aim {
            return Some(Reached {
                here: format!("{} µs", digits(here / 1_000.0)),
                beside: String::new(),
                ratio: ratio(here / limit),
                floor: String::new(),
                met: here <= limit,
            });
        }
        let together;
        let (beside, other, limit) = match self.aim {
            Aim::Fastest(limit) => {
                let (name, ns) = book.fastest(bench, group, threads)?;
                (name, ns, limit)
            }
            Aim::Times(limit, other) => (other, ns(other, threads)?, limit),
            Aim::NoSlower => ("1 thread", ns(name, 1)?, WAVERING),
            Aim::Adds(limit, others) => {
                let times: Option<Vec<f64>> = others.iter().map(|one| ns(one, threads)).collect();
                together = others.join(" + ");
                (together.as_str(), times?.iter().sum(), limit)
            }
            Aim::Ns(_) | Aim::Bytes(..) => return None,
        };
        let floors: Option<Vec<f64>> = self.floors.iter().map(|floor| ns(floor, threads)).collect();
        let floor: f64 = floors.unwrap_or_default().iter().sum();
        let adds = matches!(self.aim, Aim::Adds(..));
        Some(Reached {
            here: format!("{} ns", digits(here)),
            beside: format!("{} {}", plain(beside), digits(other)),
            ratio: if adds {
                format!("+ {:.2} ns", (here - other).max(0.0))
            } else {
                ratio(here / other)
            },
            floor: if floor > 0.0 {
                ratio(here / floor)
            } else {
                String::new()
            },
            met: if adds {
                here - other <= limit
            } else {
                here <= other * limit
            },
        })
    }
}

/// The table of all targets, for a terminal.
pub fn table(book: &Book) -> Table {
    let mut table = Table::new();
    let line = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(line));
    table.set_header([
        "what",
        "threads",
        "target",
        "here",
        "beside it",
        "ratio",
        "to the floor",
        "",
    ]);
    for target in all() {
        let mut row = vec![
            target.what.to_owned(),
            target.threads().to_string(),
            target.aim(),
        ];
        match target.reached(book) {
            None => row.extend(["not measured"].map(str::to_owned)),
            Some(reached) => row.extend([
                reached.here,
                reached.beside,
                reached.ratio,
                reached.floor,
                if reached.met {
                    "reached"
                } else {
                    "NOT REACHED"
                }
                .to_owned(),
            ]),
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1).step_by(2).take(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
