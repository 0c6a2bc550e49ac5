//! The questions that the benches answer, and a table
//! for each. A whole run has measured all of them.

use std::collections::BTreeSet;

use crate::book::{Book, Row, digits, find, plain};
use crate::race::EACH;

/// A table of the page of a kind of machine.
struct Question {
    /// The title, with the unit.
    title: &'static str,
    bench: &'static str,
    groups: &'static [&'static str],
    layout: Layout,
}

#[derive(Clone, Copy)]
enum Layout {
    /// A column for one thread, for two on one circuit, and for two with a circuit each.
    Circuits,
    /// A column for each number of threads.
    Threads,
    /// The groups side by side, under these names.
    Side(&'static [&'static str]),
    /// A column for each field of the rows, with its name.
    Fields(&'static [(&'static str, &'static str)]),
}

const SIZES: Layout = Layout::Side(&["1 k", "100 k", "1 M"]);
const KINDS: Layout = Layout::Side(&["of another type", "of other connections", "of this event"]);
const BYTES: Layout = Layout::Fields(&[("allocated", "allocated"), ("resident", "resident")]);
const SHARES: Layout = Layout::Fields(&[
    ("p50", "p50"),
    ("p90", "p90"),
    ("p99", "p99"),
    ("p99.9", "p99.9"),
    ("max", "max"),
]);
const COUNTS: Layout = Layout::Fields(&[
    ("instructions", "instructions"),
    ("shared_writes_2", "shared writes, 2 threads"),
    ("shared_writes_3", "3 threads"),
    ("shared_writes_4", "4 threads"),
]);

const fn question(
    title: &'static str,
    bench: &'static str,
    groups: &'static [&'static str],
    layout: Layout,
) -> Question {
    Question {
        title,
        bench,
        groups,
        layout,
    }
}

const QUESTIONS: &[Question] = {
    use Layout::{Circuits, Threads};
    &[
        question("Asking, closed: ns", "hot_path", &["available"], Circuits),
        question(
            "A guarded call that succeeds: ns",
            "hot_path",
            &["success"],
            Circuits,
        ),
        question(
            "A guarded call where rates are counted: ns",
            "hot_path",
            &["rates"],
            Circuits,
        ),
        question(
            "A guarded call that fails: ns",
            "hot_path",
            &["failure"],
            Circuits,
        ),
        question("A rejected call: ns", "hot_path", &["rejected"], Circuits),
        question(
            "By name, a thousand names: ns",
            "hot_path",
            &["by name"],
            Circuits,
        ),
        question(
            "Names that are there: ns",
            "lookup",
            &["1 k, hit", "100 k, hit", "1 M, hit"],
            SIZES,
        ),
        question(
            "Unknown names: ns",
            "lookup",
            &["1 k, miss", "100 k, miss", "1 M, miss"],
            SIZES,
        ),
        question(
            "Register + unregister over 100 k: ns",
            "churn",
            &["churn"],
            Threads,
        ),
        question(
            "Bytes for each of a million names",
            "memory",
            &["memory"],
            BYTES,
        ),
        question(
            "Ring, a push of 64 bytes: ns",
            "events",
            &["ring, push"],
            Threads,
        ),
        question(
            "Ring, a push and a pop: ns",
            "events",
            &["ring, push + pop"],
            Threads,
        ),
        question(
            "Ring, an element from 2 producers to 1 consumer: ns",
            "events",
            &["ring, 2 producers 1 consumer"],
            Threads,
        ),
        question(
            "A success, with subscribers: ns",
            "events",
            &["report, success"],
            Threads,
        ),
        question(
            "acquire + success, with subscribers: ns",
            "events",
            &["report, acquire + success"],
            Threads,
        ),
        question(
            "acquire + success, while the dispatcher is busy: ns",
            "events",
            &["report, to subscribers"],
            Threads,
        ),
        question(
            "Delivery by the dispatcher, one event to so many queues: ns",
            "delivery",
            &["one event to queues"],
            Threads,
        ),
        question(
            "Delivery, one event that wakes 64 threads: ns",
            "delivery",
            &["one event to sleepers"],
            Threads,
        ),
        question(
            "Delivery, an event of a batch of 256: ns",
            "delivery",
            &["a batch of 256, for each event"],
            Threads,
        ),
        question(
            "From C through a loaded library: ns",
            "ffi",
            &["ffi_by_handle"],
            Threads,
        ),
        question(
            "From C, a failure with a reason: ns",
            "ffi",
            &["ffi_failure"],
            Threads,
        ),
        question("From C, rejected: ns", "ffi", &["ffi_rejected"], Threads),
        question("From C, by name: ns", "ffi", &["ffi_by_name"], Threads),
        question(
            "From the report to the subscriber: µs",
            "latency",
            &["latency"],
            SHARES,
        ),
        question(
            "acquire + success, by number of threads: ns",
            "scaling",
            &["threads"],
            Threads,
        ),
        question(
            "available by name, by number of connections: ns",
            "scaling",
            &["connections"],
            Threads,
        ),
        question(
            "Subscribers, and a report: ns",
            "scaling",
            &[
                "subscribers of another type, a report",
                "subscribers of other connections, a report",
                "subscribers of this event, a report",
            ],
            KINDS,
        ),
        question(
            "Subscribers, and delivery of a report: ns",
            "scaling",
            &[
                "subscribers of another type, delivery of a report",
                "subscribers of other connections, delivery of a report",
                "subscribers of this event, delivery of a report",
            ],
            KINDS,
        ),
        question(
            "Instructions, and writes to cache lines that other threads' operations use",
            "instructions",
            &["instructions"],
            COUNTS,
        ),
    ]
};

/// What this run lacks to be a whole one.
pub fn missing(book: &Book) -> Vec<String> {
    let groups = book.groups();
    let wanted = wanted().filter(|wanted| !groups.contains(wanted));
    let missing = wanted.map(|(bench, group)| format!("{bench}: {group}"));
    let filter = book.filter();
    let left_out = filter.map(|filter| format!("what the filter {filter:?} leaves out"));
    left_out.into_iter().chain(missing).collect()
}

fn wanted() -> impl Iterator<Item = (&'static str, &'static str)> {
    QUESTIONS
        .iter()
        .flat_map(|question| question.groups.iter().map(|group| (question.bench, *group)))
}

/// All tables, including those of groups that no question names.
pub fn all(book: &Book) -> String {
    let asked: BTreeSet<_> = wanted().collect();
    let others = book.groups();
    let others = others.difference(&asked).map(|(bench, group)| {
        let rows = [book.group(bench, group)];
        table(
            book,
            &format!("{bench}, {group}: ns"),
            &rows,
            Layout::Threads,
        )
    });
    let tables = QUESTIONS.iter().map(|question| {
        let groups = question.groups.iter();
        let groups: Vec<_> = groups
            .map(|group| book.group(question.bench, group))
            .collect();
        table(book, question.title, &groups, question.layout)
    });
    tables.chain(others).collect()
}

/// The tables of a run of `threads`: one for each group, with a column for each number of threads.
pub fn of_threads(book: &Book) -> String {
    let groups = book.groups().into_iter();
    let tables = groups.map(|(bench, group)| {
        let rows = [book.group(bench, group)];
        table(book, &format!("{group}: ns"), &rows, Layout::Threads)
    });
    tables.collect()
}

/// The text of a table. Empty if a group was not measured.
fn table(book: &Book, title: &str, groups: &[Vec<Row<'_>>], layout: Layout) -> String {
    if groups.iter().any(Vec::is_empty) {
        return String::new();
    }
    let rows = &groups[0];
    let mut header = vec![String::new()];
    let mut sheet = Sheet::new(title);
    match layout {
        Layout::Circuits => {
            let columns = [
                "1 thread",
                "2 threads, one circuit",
                "2 threads, a circuit each",
            ];
            header.extend(columns.map(str::to_owned));
            sheet.header(&header);
            for name in names(rows) {
                let each = format!("{name}{EACH}");
                let times = [
                    find(rows, name, 1),
                    find(rows, name, 2),
                    find(rows, &each, 2),
                ];
                sheet.row([name.to_owned()].into_iter().chain(times.map(number)));
            }
        }
        Layout::Threads => {
            let counts = counts(rows);
            header.extend(counts.iter().map(|count| threads(book, *count)));
            sheet.header(&header);
            for name in names_as_they_are(rows) {
                let times = counts.iter().map(|count| number(find(rows, name, *count)));
                sheet.row([name.to_owned()].into_iter().chain(times));
            }
        }
        Layout::Side(labels) => {
            let counts = counts(rows);
            for label in labels {
                header.extend(counts.iter().map(|count| match counts.len() {
                    1 => (*label).to_owned(),
                    _ => format!("{label}: {}", threads(book, *count)),
                }));
            }
            sheet.header(&header);
            for name in names_as_they_are(rows) {
                let times = groups.iter().flat_map(|rows| {
                    let of = |count: &u64| number(find(rows, name, *count));
                    counts.iter().map(of).collect::<Vec<_>>()
                });
                sheet.row([name.to_owned()].into_iter().chain(times));
            }
        }
        Layout::Fields(fields) => {
            let has = |field: &str| rows.iter().any(|row| row.number(field).is_some());
            let fields = fields.iter().filter(|(field, _)| has(field));
            header.extend(fields.clone().map(|(_, name)| (*name).to_owned()));
            sheet.header(&header);
            for row in rows {
                let cells = fields.clone().map(|(field, _)| number(row.number(field)));
                sheet.row([plain(row.name()).to_owned()].into_iter().chain(cells));
            }
        }
    }
    sheet.text
}

fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), digits)
}

/// The heading of a column. If there are more threads than processors
/// it says so: they take turns, which says little about a library.
fn threads(book: &Book, count: u64) -> String {
    match book.processors() {
        processors if count > processors => format!("{count} threads on {processors} cores"),
        _ if count == 1 => "1 thread".to_owned(),
        _ => format!("{count} threads"),
    }
}

/// The numbers of threads of these rows, each once.
fn counts(rows: &[Row<'_>]) -> Vec<u64> {
    let counts: BTreeSet<u64> = rows.iter().map(|row| row.threads()).collect();
    counts.into_iter().collect()
}

/// Names in their order, each once.
fn names_as_they_are<'a>(rows: &[Row<'a>]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().map(|row| row.name()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The names in their order, each once, without the ending for a circuit of each thread.
fn names<'a>(rows: &[Row<'a>]) -> Vec<&'a str> {
    let mut names = names_as_they_are(rows);
    for name in &mut names {
        *name = name.strip_suffix(EACH).unwrap_or(name);
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    names
}

/// A table under construction.
pub struct Sheet {
    pub text: String,
}

impl Sheet {
    /// A table with a title.
    pub fn new(title: &str) -> Self {
        Sheet {
            text: format!("\n## {title}\n\n"),
        }
    }

    /// A table without a title.
    pub fn bare() -> Self {
        Sheet {
            text: String::new(),
        }
    }

    /// The first column is text, the others are numbers.
    pub fn header<S: AsRef<str>>(&mut self, header: &[S]) {
        self.row(header.iter().map(|cell| cell.as_ref().to_owned()));
        let lines = (0..header.len()).map(|place| if place == 0 { "---" } else { "---:" });
        self.row(lines.map(str::to_owned));
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        self.text += &format!("| {} |\n", cells.join(" | "));
    }
}
