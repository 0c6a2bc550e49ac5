//! The figures as markdown, for the documentation.

use crate::rows::{Book, Row, digits, plain};
use crate::targets;

/// A table under construction.
struct Sheet {
    text: String,
}

impl Sheet {
    fn new(title: &str, header: &[&str]) -> Self {
        let mut sheet = Sheet {
            text: format!("\n## {title}\n\n"),
        };
        sheet.row(header.iter().map(|cell| (*cell).to_owned()));
        let lines = header.iter().enumerate();
        sheet.row(lines.map(|(place, _)| if place == 0 { "---" } else { "---:" }.to_owned()));
        sheet
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        self.text += &format!("| {} |\n", cells.join(" | "));
    }
}

/// One table for each question. The headings stand below the chapter's title.
pub fn markdown(book: &Book) -> String {
    let mut text = format!(
        "Measured by `cargo bench -p brama-bench` on {} cores of {}, {}, {}. Times are medians.\n",
        book.machine("cores"),
        book.machine("processor"),
        book.machine("system"),
        book.machine("compiler"),
    );
    text += &aims(book);
    for (title, group) in [
        ("Asking, closed: ns", "available"),
        ("A guarded call that succeeds: ns", "success"),
        ("A guarded call that fails: ns", "failure"),
        ("A rejected call: ns", "rejected"),
        ("By name, a thousand names: ns", "by name"),
    ] {
        text += &circuits(book, title, group);
    }
    for (title, kind) in [("Names that are there", "hit"), ("Unknown names", "miss")] {
        text += &lookups(book, title, kind);
    }
    let churn = [("ns, 1 thread", 1), ("ns, 2 threads", 2)];
    text += &by_threads(
        "Register + unregister over 100 k",
        &book.group("churn", "churn"),
        &churn,
    );
    let fields = ["allocated", "resident"];
    text += &fields_of(
        "Bytes for each of a million names",
        &book.group("memory", "memory"),
        &fields,
    );
    for (title, group) in [
        ("Ring, 64 bytes, ns: a push", "ring, push"),
        ("Ring, ns: a push and a pop", "ring, push + pop"),
        (
            "Ring, ns: an element, 2 producers and 1 consumer",
            "ring, 2 producers 1 consumer",
        ),
        (
            "ns: acquire + success, with subscribers",
            "report, acquire + success",
        ),
        (
            "ns: the same, and the dispatcher is busy",
            "report, to subscribers",
        ),
    ] {
        text += &by_threads(title, &book.group("events", group), &[("ns", 1)]);
    }
    for (title, group) in [
        (
            "Delivery by the dispatcher, ns: one event to so many queues",
            "one event to queues",
        ),
        (
            "Delivery, ns: one event that wakes 64 threads",
            "one event to sleepers",
        ),
        (
            "Delivery, ns: an event of a batch of 256",
            "a batch of 256, for each event",
        ),
    ] {
        text += &by_threads(title, &book.group("delivery", group), &[("ns", 1)]);
    }
    for (title, group) in [
        (
            "From C through a loaded library, by handle: ns",
            "ffi_by_handle",
        ),
        (
            "From C, a failure with a reason, by handle: ns",
            "ffi_failure",
        ),
        ("From C, rejected, by handle: ns", "ffi_rejected"),
        ("From C, by name: ns", "ffi_by_name"),
    ] {
        text += &by_threads(title, &book.group("ffi", group), &[("ns", 1)]);
    }
    let fields = ["p50", "p90", "p99", "p99.9", "max"];
    text += &fields_of(
        "From the report to the subscriber: µs",
        &book.group("latency", "latency"),
        &fields,
    );
    text += &scaling(book);
    let fields = ["instructions", "shared_writes"];
    let title = "Instructions, and writes to cache lines that another thread's operation uses";
    text += &fields_of(title, &book.group("instructions", "instructions"), &fields);
    text
}

fn aims(book: &Book) -> String {
    let header = [
        "what",
        "threads",
        "target",
        "here",
        "beside it: ns",
        "ratio",
        "to the floor",
    ];
    let mut sheet = Sheet::new("Targets", &header);
    for target in targets::all() {
        let Some(reached) = target.reached(book) else {
            continue;
        };
        let ratio = match reached.met {
            true => reached.ratio,
            false => format!("**{}**", reached.ratio),
        };
        sheet.row([
            target.what.to_owned(),
            target.threads().to_string(),
            target.aim(),
            reached.here,
            reached.beside,
            ratio,
            reached.floor,
        ]);
    }
    sheet.text + "\nBold: not reached.\n"
}

fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), digits)
}

/// Names in their order, each once.
fn names<'a>(rows: &[Row<'a>]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        let name = row.name();
        let name = name.strip_suffix(EACH).unwrap_or(name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

const EACH: &str = ", a circuit each";

fn find(rows: &[Row<'_>], name: &str, threads: u64) -> Option<f64> {
    let row = rows
        .iter()
        .find(|row| row.name() == name && row.threads() == threads);
    row?.number("ns")
}

fn circuits(book: &Book, title: &str, group: &str) -> String {
    let rows = book.group("hot_path", group);
    if rows.is_empty() {
        return String::new();
    }
    let header = [
        "",
        "1 thread",
        "2 threads, one circuit",
        "2 threads, a circuit each",
    ];
    let mut sheet = Sheet::new(title, &header);
    for name in names(&rows) {
        sheet.row([
            name.to_owned(),
            number(find(&rows, name, 1)),
            number(find(&rows, name, 2)),
            number(find(&rows, &format!("{name}{EACH}"), 2)),
        ]);
    }
    sheet.text
}

fn lookups(book: &Book, title: &str, kind: &str) -> String {
    const SIZES: [&str; 3] = ["1 k", "100 k", "1 M"];
    let groups = SIZES.map(|size| book.group("lookup", &format!("{size}, {kind}")));
    if groups.iter().any(Vec::is_empty) {
        return String::new();
    }
    let header = [
        "",
        "1 k: 1 thread",
        "2 threads",
        "100 k: 1 thread",
        "2 threads",
        "1 M: 1 thread",
        "2 threads",
    ];
    let mut sheet = Sheet::new(&format!("{title}: ns"), &header);
    for name in names(&groups[0]) {
        let times = groups
            .iter()
            .flat_map(|rows| [1, 2].map(|threads| find(rows, name, threads)));
        let cells = times.map(number);
        sheet.row([name.to_owned()].into_iter().chain(cells));
    }
    sheet.text
}

fn by_threads(title: &str, rows: &[Row<'_>], columns: &[(&str, u64)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let header: Vec<&str> = [""]
        .into_iter()
        .chain(columns.iter().map(|(name, _)| *name))
        .collect();
    let mut sheet = Sheet::new(title, &header);
    for name in names(rows) {
        let cells = columns
            .iter()
            .map(|(_, threads)| number(find(rows, name, *threads)));
        sheet.row([name.to_owned()].into_iter().chain(cells));
    }
    sheet.text
}

fn fields_of(title: &str, rows: &[Row<'_>], fields: &[&str]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let header: Vec<String> = [""]
        .iter()
        .chain(fields)
        .map(|field| field.replace('_', " "))
        .collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut sheet = Sheet::new(title, &header);
    for row in rows {
        let cells = fields.iter().map(|field| number(row.number(field)));
        sheet.row([plain(row.name()).to_owned()].into_iter().chain(cells));
    }
    sheet.text
}

fn scaling(book: &Book) -> String {
    let rows = book.group("scaling", "threads");
    let columns = [("1", 1), ("2", 2), ("4", 4), ("8", 8)];
    let mut text = by_threads(
        "acquire + success, by number of threads: ns",
        &rows,
        &columns,
    );
    let rows = book.group("scaling", "connections");
    text += &by_threads(
        "available by name, by number of connections",
        &rows,
        &[("ns", 1)],
    );
    for what in ["a report", "delivery of a report"] {
        let kinds = ["of another type", "of other connections", "of this event"];
        let groups =
            kinds.map(|kind| book.group("scaling", &format!("subscribers {kind}, {what}")));
        if groups.iter().any(Vec::is_empty) {
            continue;
        }
        let header = [&["subscribers"], &kinds[..]].concat();
        let mut sheet = Sheet::new(&format!("Subscribers, and {what}: ns"), &header);
        for name in names(&groups[0]) {
            let cells = groups.iter().map(|rows| number(find(rows, name, 1)));
            sheet.row([name.to_owned()].into_iter().chain(cells));
        }
        text += &sheet.text;
    }
    text
}
