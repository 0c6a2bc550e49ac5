//! The charts of a kind of machine. Each names its machine, the version, the unit and which direction
//! is better; its axis begins at zero, or says that it is logarithmic.

mod axis;
mod canvas;
mod dots;
mod lines;

use std::error::Error;

use crate::book::{Book, plain};
use crate::pages::taken;

use canvas::Heading;
use dots::Dots;
use lines::{Line, Lines, Scale};

pub type Drawn = Result<String, Box<dyn Error>>;

/// The name of a chart's file, and what it shows.
pub const TITLES: [(&str, &str); 6] = [
    (
        "guarded-call",
        "A guarded call that succeeds, beside other breakers",
    ),
    (
        "failing-call",
        "A guarded call that fails, beside other breakers",
    ),
    (
        "rejected-call",
        "A call that an open circuit rejects, beside other breakers",
    ),
    (
        "by-name",
        "available by name, one thread, random order, beside concurrent maps",
    ),
    ("latency", "From a report to its subscriber"),
    (
        "subscribers",
        "acquire + success, while there are subscribers",
    ),
];

/// All charts of a whole run: the names of the files, and their contents.
pub fn of_machine(book: &Book) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let mut all = Vec::new();
    for (name, title) in TITLES {
        let heading = |unit: &str| heading(book, title, unit);
        let chart = match name {
            "guarded-call" => calls(book, "success").draw(heading("ns per operation")),
            "failing-call" => calls(book, "failure").draw(heading("ns per operation")),
            "rejected-call" => calls(book, "rejected").draw(heading("ns per operation")),
            "by-name" => by_name(book).draw(heading("ns per operation")),
            "latency" => latency(book).draw(heading("µs from the report to the event")),
            _ => subscribers(book).draw(heading("ns per operation")),
        };
        all.push((name, chart?));
    }
    Ok(all)
}

/// The charts of a run of `threads`: the names of the files, and the titles.
pub fn of_threads_titles(book: &Book) -> Vec<(String, String)> {
    let groups = book.groups().into_iter();
    let titles = groups.map(|(_, group)| {
        let name = crate::race::machine::slug(group);
        let (first, rest) = group.split_at(1);
        let title = format!("{}{rest}, by number of threads", first.to_uppercase());
        (name, title)
    });
    titles.collect()
}

pub fn of_threads(book: &Book) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let groups = book.groups().into_iter();
    let charts = groups
        .zip(of_threads_titles(book))
        .map(|((bench, group), (name, title))| {
            let rows = book.group(bench, group);
            let label = |count: u64| match book.processors() {
                processors if count > processors => format!("{count} on {processors} cores"),
                _ => count.to_string(),
            };
            let mut counts: Vec<u64> = rows.iter().map(|row| row.threads()).collect();
            counts.sort_unstable();
            counts.dedup();
            let mut lines: Vec<Line> = Vec::new();
            for row in &rows {
                if !lines.iter().any(|line| line.name == row.name()) {
                    let values = counts
                        .iter()
                        .map(|count| book.ns(bench, group, row.name(), *count));
                    lines.push(Line::new(row.name(), values));
                }
            }
            let chart = Lines {
                across: "threads",
                places: counts
                    .iter()
                    .map(|count| (*count as f64, label(*count)))
                    .collect(),
                lines,
                scale: Scale::Logarithmic,
            };
            Ok((
                name,
                chart.draw(heading(
                    book,
                    &title,
                    "ns per operation, as one thread sees it",
                ))?,
            ))
        });
    charts.collect()
}

fn heading(book: &Book, title: &str, unit: &str) -> Heading {
    Heading {
        title: title.to_owned(),
        taken: taken(book),
        unit: unit.to_owned(),
    }
}

fn calls(book: &Book, group: &str) -> Dots {
    let rows = book.group("hot_path", group);
    let mut names: Vec<&str> = Vec::new();
    for row in rows
        .iter()
        .filter(|row| row.is_peer() || row.name().starts_with("brama"))
    {
        let each = row.name().ends_with(crate::race::EACH);
        if !names.contains(&row.name()) && !each {
            names.push(row.name());
        }
    }
    let of = |name: &str, threads| book.ns("hot_path", group, name, threads);
    // brama first, then by the time of one thread.
    names.sort_by(|one, other| {
        let place = |name: &str| (!name.starts_with("brama"), of(name, 1).unwrap_or(f64::MAX));
        place(one)
            .partial_cmp(&place(other))
            .expect("no time is NaN")
    });
    Dots {
        kinds: ["1 thread", "2 threads on one circuit"]
            .map(str::to_owned)
            .into(),
        rows: names
            .iter()
            .map(|name| ((*name).to_owned(), vec![of(name, 1), of(name, 2)]))
            .collect(),
    }
}

fn named(names: &[&str]) -> Vec<(f64, String)> {
    let places = names.iter().enumerate();
    places
        .map(|(place, name)| (place as f64, (*name).to_owned()))
        .collect()
}

fn by_name(book: &Book) -> Lines {
    const SIZES: [&str; 3] = ["1 k", "100 k", "1 M"];
    let first = book.group("lookup", "1 k, hit");
    let contestants = first
        .iter()
        .filter(|row| row.threads() == 1 && (row.is_peer() || row.name() == "brama"));
    let lines = contestants.map(|row| {
        let of = |size| book.ns("lookup", &format!("{size}, hit"), row.name(), 1);
        Line::new(row.name(), SIZES.map(of))
    });
    Lines {
        across: "names",
        places: named(&SIZES),
        lines: lines.collect(),
        scale: Scale::Logarithmic,
    }
}

fn latency(book: &Book) -> Lines {
    const SHARES: [&str; 4] = ["p50", "p90", "p99", "p99.9"];
    let rows = book.group("latency", "latency");
    let lines = rows
        .iter()
        .map(|row| Line::new(plain(row.name()), SHARES.map(|share| row.number(share))));
    Lines {
        across: "percentile",
        places: named(&SHARES),
        lines: lines.collect(),
        scale: Scale::Logarithmic,
    }
}

fn subscribers(book: &Book) -> Lines {
    const COUNTS: [&str; 5] = ["0", "1", "4", "16", "64"];
    let kinds = ["of another type", "of other connections", "of this event"];
    let lines = kinds.map(|kind| {
        let group = format!("subscribers {kind}, a report");
        Line::new(
            &format!("subscribers {kind}"),
            COUNTS.map(|count| book.ns("scaling", &group, count, 1)),
        )
    });
    Lines {
        across: "subscribers",
        places: named(&COUNTS),
        lines: lines.into(),
        scale: Scale::FromZero,
    }
}
