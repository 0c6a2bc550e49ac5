//! What more threads cost, from 1 to 16: a program without dependencies at run time.
//!
//! If it is linked statically, it runs on a machine that has neither Rust nor this source:
//!
//! ```sh
//! RUSTFLAGS="-C target-feature=+crt-static" cargo build --release -p brama-bench --bin threads \
//!     --target x86_64-unknown-linux-gnu
//! target/x86_64-unknown-linux-gnu/release/threads        # on the other machine: some three minutes
//! ```
//!
//! It measures five operations, each beside those of other libraries. Four are on
//! one circuit that all threads share, and on a circuit for each thread. The fifth
//! is by name, on the same thousand names. The contestants take turns, as in the
//! other benches (`race`). A time is that of one operation, as one of the threads
//! sees it. So the time of an operation that scales perfectly does not grow.
//!
//! - `--threads 1,2,4`: these numbers of threads. Otherwise those of 1, 2, 4, 8,
//!   12 and 16 for which there are cores. If there are more threads than cores
//!   they take turns, which says little about a library. Such columns are marked.
//! - `--quick`: few laps, to show that it works.
//! - `--out FILE`: where the results go; otherwise `threads.json` in the current folder.
//!
//! `cargo bench -p brama-bench --bench summary -- --add threads.json` makes a page and charts of it.

#[path = "../peers/mod.rs"]
mod peers;
#[path = "../race/mod.rs"]
mod race;

mod calls;
mod names;

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use race::{Race, Timed, cores, machine};
use serde_json::{Map, Value, json};

const COUNTS: [usize; 6] = [1, 2, 4, 8, 12, 16];
const LAPS: usize = 11;
const LAP: Duration = Duration::from_millis(4);

struct Arguments {
    counts: Vec<usize>,
    out: PathBuf,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut read = Arguments {
            counts: COUNTS
                .into_iter()
                .filter(|count| *count <= cores::count())
                .collect(),
            out: "threads.json".into(),
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--threads" => {
                    let counts = value()?;
                    let counts = counts.split(',').map(|count| count.trim().parse());
                    let counts: Result<Vec<usize>, _> = counts.collect();
                    let valid =
                        |counts: &Vec<usize>| counts.iter().all(|count| (1..=64).contains(count));
                    read.counts = counts
                        .ok()
                        .filter(valid)
                        .ok_or("--threads 1,2,4: from 1 to 64")?;
                }
                "--quick" => race::be_quick(),
                "--out" => read.out = value()?.into(),
                _ => return Err(format!("{argument}: --threads 1,2,4, --quick, --out FILE")),
            }
        }
        Ok(read)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read()?;
    let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut machine = machine::description();
    machine.insert("began".to_owned(), json!(began));
    machine.insert("quick".to_owned(), json!(race::quick()));
    println!(
        "{}; brama {}, a {} program\n",
        machine::label(&machine),
        env!("CARGO_PKG_VERSION"),
        machine["program"].as_str().unwrap_or_default(),
    );
    let race = |name: &str| Race::new(name).laps(LAPS, LAP);
    let mut groups = Map::new();
    let mut run = |name: &str, timed: Vec<Timed>| {
        println!("{}\n", table(name, &timed, &arguments.counts));
        let rows: Vec<Value> = timed.iter().map(Timed::row).collect();
        groups.insert(name.to_owned(), json!(rows));
    };
    for (place, add) in [("one circuit", false), ("a circuit each", true)] {
        for operation in calls::ALL {
            let name = format!("{}, {place}", operation.name);
            run(&name, (operation.run)(race(&name), &arguments.counts, add));
        }
    }
    run(
        "available by name",
        names::run(race("available by name"), &arguments.counts),
    );
    let results = json!({ "machine": machine, "results": { "threads": groups } });
    fs::write(
        &arguments.out,
        serde_json::to_string_pretty(&results)? + "\n",
    )?;
    println!("written: {}", arguments.out.display());
    Ok(())
}

/// A row for each contestant, a column for each number of threads.
fn table(title: &str, timed: &[Timed], counts: &[usize]) -> Table {
    let mut table = Table::new();
    let line = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(line));
    let mut header = vec![format!("{title}: ns")];
    header.extend(counts.iter().map(|count| match *count > cores::count() {
        true => format!("{count} on {} cores", cores::count()),
        false => format!("{count}"),
    }));
    table.set_header(header);
    let mut names: Vec<&str> = Vec::new();
    for one in timed {
        if !names.contains(&one.name.as_str()) {
            names.push(&one.name);
        }
    }
    for name in names {
        let times = counts.iter().map(|count| {
            let mut all = timed.iter();
            let found = all.find(|one| one.name == name && one.threads == *count);
            found.map_or(String::new(), |one| format!("{:.2}", one.ns))
        });
        table.add_row([name.to_owned()].into_iter().chain(times));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
