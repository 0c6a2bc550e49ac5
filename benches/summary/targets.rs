//! What was aimed at, and what was reached.

use std::fmt;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use crate::rows::{Book, digits, limit, plain, ratio};

/// An aim.
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
    /// At most so many µs.
    Micros(f64),
    /// At most so many bytes, counted this way.
    Bytes(f64, &'static str),
}

/// What became of it.
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
/// What a call of C's is compared with: the same of Rust's, and what it takes to call a
/// function of a loaded library.
const BARE: &str = "a bare call";
/// What an event of a batch is compared with.
const PUSH: &str = "floor: made and pushed behind a lock";
/// "Close to": an event is also popped from the ring, compared, numbered, dated and counted.
const PUSHES: f64 = 3.0;
const WORD: &[&str] = &["floor: and one word at that place"];

pub fn all() -> Vec<Target> {
    let mut all = Vec::new();
    let mut aim = |what, ours, aim, floors| {
        all.push(Target {
            what,
            ours,
            aim,
            floors,
        });
    };
    let ours = ("hot_path", "available", "brama, available", 1);
    aim("available, closed", ours, Aim::Times(2.0, LOAD[0]), LOAD);
    let ours = ("hot_path", "available", "brama, available", 2);
    aim("available, closed", ours, Aim::NoSlower, LOAD);
    let ours = ("hot_path", "success", "brama, acquire + success", 1);
    aim("acquire + success", ours, Aim::Fastest(1.0 / 2.0), CALL);
    let ours = ("hot_path", "success", "brama, acquire + success", 2);
    aim("acquire + success", ours, Aim::Fastest(1.0 / 15.0), CALL);
    let ours = ("hot_path", "success", "brama, call", 1);
    aim("call", ours, Aim::Fastest(1.0 / 2.0), CALL);
    let ours = ("hot_path", "success", "brama, call", 2);
    aim("call", ours, Aim::Fastest(1.0 / 15.0), CALL);
    for threads in [1, 2] {
        let ours = ("hot_path", "rejected", "brama, acquire", threads);
        aim("acquire, rejected", ours, Aim::Fastest(1.0 / 4.0), &[]);
    }
    for threads in [1, 2] {
        let ours = ("lookup", "1 k, hit", "brama", threads);
        aim("available by name, 1 k", ours, Aim::Fastest(0.8), NAME);
    }
    for threads in [1, 2] {
        let ours = ("lookup", "1 M, hit", "brama", threads);
        aim("available by name, 1 M", ours, Aim::Fastest(1.0), WORD);
    }
    for threads in [1, 2] {
        let ours = ("churn", "churn", "brama", threads);
        aim(
            "register + unregister",
            ours,
            Aim::Times(0.5, "papaya"),
            &[],
        );
    }
    let ours = (
        "events",
        "report, acquire + success",
        "one wants another type",
        1,
    );
    let nobody = &["nobody subscribed"];
    aim(
        "publish, nobody interested",
        ours,
        Aim::Adds(1.0, nobody),
        &[],
    );
    let ours = ("events", "ring, push", "brama", 1);
    aim("push into the ring, 64 bytes", ours, Aim::Fastest(1.3), &[]);
    let ours = ("events", "ring, 2 producers 1 consumer", "brama", 1);
    aim(
        "the ring, 2 producers 1 consumer",
        ours,
        Aim::Fastest(1.0),
        &[],
    );
    let ours = ("delivery", "one event to queues", "64", 1);
    aim(
        "delivery of an event to 64 queues",
        ours,
        Aim::Micros(10.0),
        &[],
    );
    let ours = (
        "delivery",
        "a batch of 256, for each event",
        "to 1 queue",
        1,
    );
    aim(
        "delivery of a batch, an event of it",
        ours,
        Aim::Times(PUSHES, PUSH),
        &[],
    );
    let calls: [(_, _, _, _, &[&str]); 6] = [
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
    ];
    for (what, group, ours, most, others) in calls {
        aim(what, ("ffi", group, ours, 1), Aim::Adds(most, others), &[]);
    }
    let ours = ("memory", "memory", "brama", 1);
    let what = "memory of a connection, allocated";
    aim(what, ours, Aim::Bytes(256.0, "allocated"), &[]);
    let what = "memory of a connection, resident";
    aim(what, ours, Aim::Bytes(256.0, "resident"), &[]);
    all
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Aim::Fastest(most) => write!(f, "≤ {} × the fastest peer", limit(most)),
            Aim::Times(most, other) => write!(f, "≤ {} × {}", limit(most), plain(other)),
            Aim::NoSlower => write!(f, "no slower than 1 thread"),
            Aim::Adds(most, _) => write!(f, "adds ≤ {most} ns"),
            Aim::Micros(most) => write!(f, "≤ {most} µs"),
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

    /// None if it was not measured.
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
        if let Aim::Micros(limit) = self.aim {
            let here = ns(name, threads)?;
            return Some(Reached {
                here: format!("{} ns", digits(here)),
                beside: String::new(),
                ratio: ratio(here / (limit * 1e3)),
                floor: String::new(),
                met: here <= limit * 1e3,
            });
        }
        let together;
        let (beside, other, limit) = match self.aim {
            Aim::Fastest(limit) => {
                let rows = book.group(bench, group);
                let peers = rows
                    .iter()
                    .filter(|row| row.is_peer() && row.threads() == threads);
                let timed = peers.filter_map(|row| Some((row.name(), row.number("ns")?)));
                let (name, ns) = timed.min_by(|one, other| one.1.total_cmp(&other.1))?;
                (name, ns, limit)
            }
            Aim::Times(limit, other) => (other, ns(other, threads)?, limit),
            Aim::NoSlower => ("1 thread", ns(name, 1)?, WAVERING),
            Aim::Adds(limit, others) => {
                let times: Option<Vec<f64>> = others.iter().map(|one| ns(one, threads)).collect();
                together = others.join(" + ");
                (together.as_str(), times?.iter().sum(), limit)
            }
            Aim::Micros(_) | Aim::Bytes(..) => return None,
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

/// All of it, for a terminal.
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
