//! The documentation of the results, for each kind of machine and for all. It is
//! made from the results files alone, so that it can be compared without measuring.
//!
//! Why both a results file and a page? A page is for readers: it has
//! rounded figures and sentences, and targets that may change. It can
//! be written again from the results file, even without the machine.

use std::fs;
use std::io;
use std::path::Path;

use crate::book::{Book, digits, ratio};
use crate::charts;
use crate::page::Page;
use crate::race::machine::slug;
use crate::tables::{self, Sheet};
use crate::targets::{self, Target};

/// The results files, from the root of the source.
pub const RESULTS: &str = "benches/results";
const FIGURES: &str = "src/docs/figures";
/// The files in that folder that another bench writes.
const NOT_OURS: [&str; 1] = ["outages.md"];

const README: [&str; 2] = [
    "<!-- Written by `cargo bench -p brama-bench --bench summary`. -->\n",
    "<!-- Up to here. -->\n",
];
const CHAPTER: [&str; 2] = [
    "// Written by `cargo bench -p brama-bench --bench summary`.\n",
    "// Up to here.\n",
];

/// The kinds of machine that were measured.
pub struct Machines {
    /// Whole runs, the latest first.
    whole: Vec<Book>,
    /// Runs of the program `threads`, the latest first.
    threads: Vec<Book>,
}

/// The charts of `threads` that the README shows.
const OF_THREADS: [&str; 2] = [
    "guarded-call-that-succeeds-one-circuit",
    "available-by-name",
];

/// The prefix of a machine's label in headings of the figures of `threads`.
pub const THREADS: &str = "Threads, ";

impl Machines {
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut machines = Machines {
            whole: Vec::new(),
            threads: Vec::new(),
        };
        for file in fs::read_dir(root.join(RESULTS)).into_iter().flatten() {
            let path = file?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let book = Book::read(&path)?;
            let (kind, wanted) = match name.starts_with("threads-") {
                true => (&mut machines.threads, slug(&heading_of_threads(&book))),
                false => (&mut machines.whole, slug(&book.label())),
            };
            if wanted != name {
                return Err(io::Error::other(format!(
                    "{RESULTS}/{name}.json is of {wanted}"
                )));
            }
            kind.push(book);
        }
        for kind in [&mut machines.whole, &mut machines.threads] {
            kind.sort_by_key(|book| (std::cmp::Reverse(book.began()), book.label()));
        }
        Ok(machines)
    }

    /// All pages and charts. And the other files in the folder:
    /// they belong to machines that have no results any more.
    pub fn pages(
        &self,
        root: &Path,
    ) -> Result<(Vec<Page>, Vec<String>), Box<dyn std::error::Error>> {
        let mut pages = vec![
            Page::between(root, "README.md", README, &self.for_the_readme())?,
            Page::between(
                root,
                "src/docs/performance.rs",
                CHAPTER,
                &self.for_the_chapter(),
            )?,
            Page::new(root, format!("{FIGURES}/results.md"), self.overview()),
        ];
        for book in &self.whole {
            let slug = slug(&book.label());
            pages.push(Page::new(
                root,
                format!("{FIGURES}/{slug}.md"),
                of_machine(book),
            ));
            for (name, chart) in charts::of_machine(book)? {
                pages.push(Page::new(
                    root,
                    format!("{FIGURES}/{slug}/{name}.svg"),
                    chart,
                ));
            }
        }
        for book in &self.threads {
            let slug = slug(&heading_of_threads(book));
            pages.push(Page::new(
                root,
                format!("{FIGURES}/{slug}.md"),
                of_threads(book),
            ));
            for (name, chart) in charts::of_threads(book)? {
                pages.push(Page::new(
                    root,
                    format!("{FIGURES}/{slug}/{name}.svg"),
                    chart,
                ));
            }
        }
        let mut left = Vec::new();
        for name in below(root, FIGURES)? {
            let ours = pages.iter().any(|page| page.name() == name);
            let theirs = NOT_OURS
                .iter()
                .any(|other| name == format!("{FIGURES}/{other}"));
            if !ours && !theirs {
                left.push(name);
            }
        }
        Ok((pages, left))
    }

    /// Each target beside the figures that were reached, a column for each machine.
    fn overview(&self) -> String {
        let mut text = String::from(
            "Each target, and the ratio or the time that was reached on each kind of machine. **Bold: not \
             reached.** The\nname of a machine leads to all that was measured there.\n\n",
        );
        let mut header: Vec<String> = ["what", "threads", "target"].map(str::to_owned).into();
        let link = |book: &Book| format!("[{0}][{1}]", book.label(), slug(&book.label()));
        header.extend(self.whole.iter().map(link));
        let mut sheet = Sheet::bare();
        sheet.header(&header);
        for target in targets::all() {
            let reached = self.whole.iter().map(|book| target.reached(book));
            let cells = reached.map(|reached| match reached {
                None => String::new(),
                Some(reached) if reached.met => reached.ratio,
                Some(reached) => format!("**{}**", reached.ratio),
            });
            let cells: Vec<String> = cells.collect();
            let start = [
                target.what.to_owned(),
                target.threads().to_string(),
                target.aim(),
            ];
            sheet.row(start.into_iter().chain(cells));
        }
        text += &sheet.text;
        text.push('\n');
        if !self.threads.is_empty() {
            text += "With more threads, measured by the program `threads`:\n\n";
        }
        for book in &self.threads {
            text += &format!(
                "- [{0}][{1}]\n",
                book.label(),
                slug(&heading_of_threads(book))
            );
        }
        text.push('\n');
        for slug in self.slugs() {
            text += &format!("[{slug}]: {slug}.md\n");
        }
        text
    }

    fn slugs(&self) -> Vec<String> {
        let whole = self.whole.iter().map(|book| slug(&book.label()));
        let threads = self
            .threads
            .iter()
            .map(|book| slug(&heading_of_threads(book)));
        whole.chain(threads).collect()
    }

    /// The part of the chapter. Its links lead to headings. They are defined
    /// before the pages are included, since the first definition of a link counts.
    fn for_the_chapter(&self) -> String {
        let mut text = String::new();
        for slug in self.slugs() {
            text += &format!("//! [{slug}]: #{slug}\n");
        }
        text += "//!\n#![doc = include_str!(\"figures/results.md\")]\n";
        for slug in self.slugs() {
            text += &format!("#![doc = include_str!(\"figures/{slug}.md\")]\n");
        }
        text
    }

    fn for_the_readme(&self) -> String {
        let Some(latest) = self.whole.first() else {
            return "\nNothing was measured yet.\n\n".to_owned();
        };
        let mut text = format!(
            "\nNanoseconds for one operation, lower is better; {}. Beside `brama`: the fastest of the \
             others.\n\n",
            taken(latest)
        );
        text += &operations(latest);
        let goals = targets::all();
        let all = goals.iter().filter_map(|target| target.reached(latest));
        let (mut reached, mut count) = (0, 0);
        for one in all {
            count += 1;
            reached += usize::from(one.met);
        }
        text += &format!(
            "\nOf {count} [targets]({FIGURES}/results.md), {reached} are reached there.\n\n"
        );
        let slug_of_latest = slug(&latest.label());
        for (name, title) in charts::TITLES {
            let file = format!("{FIGURES}/{slug_of_latest}/{name}.svg");
            text += &format!("![{title}]({file})\n\n");
        }
        if let Some(book) = self.threads.first() {
            let slug = slug(&heading_of_threads(book));
            let titles = charts::of_threads_titles(book).into_iter();
            for (name, title) in titles.filter(|(name, _)| OF_THREADS.contains(&name.as_str())) {
                text += &format!("![{title}]({FIGURES}/{slug}/{name}.svg)\n\n");
            }
        }
        let whole = self
            .whole
            .iter()
            .map(|book| (book.label(), slug(&book.label())));
        let threads = self.threads.iter().map(|book| {
            let heading = heading_of_threads(book);
            let slug = slug(&heading);
            (heading, slug)
        });
        let pages = whole.chain(threads);
        let pages = pages.map(|(heading, slug)| format!("[{heading}]({FIGURES}/{slug}.md)"));
        text += &format!("All figures: {}.\n", pages.collect::<Vec<_>>().join("; "));
        text
    }
}

fn heading_of_threads(book: &Book) -> String {
    format!("{THREADS}{}", book.label())
}

/// The name of the results file of a run.
pub fn file_name(book: &Book, of_threads: bool) -> String {
    let heading = match of_threads {
        true => heading_of_threads(book),
        false => book.label(),
    };
    format!("{}.json", slug(&heading))
}

/// The version, the machine and the day of a run.
pub fn taken(book: &Book) -> String {
    let mut text = format!("brama {} on {}", book.machine("brama"), book.label());
    if book.machine("date") != "unknown" {
        text += &format!(", {}", book.machine("date"));
    }
    text
}

/// The conditions under which the figures of a page were measured, as far as they are known.
fn conditions(book: &Book, command: &str, lower: &str) -> String {
    let known = |before: &str, what: &str| match book.machine(what) {
        unknown if unknown == "unknown" => String::new(),
        known => format!("{before}{known}"),
    };
    let mut text = format!(
        "\nMeasured in one run by {command} with brama {}{}. System: {}{}. Compiler: {}. {lower} ",
        book.machine("brama"),
        known(", ", "date"),
        book.machine("system"),
        known(", kernel ", "kernel"),
        book.machine("compiler"),
    );
    let groups = book.groups();
    let rows = groups
        .iter()
        .flat_map(|(bench, group)| book.group(bench, group));
    let (disturbed, laps) = rows.fold((0, 0), |sum, row| {
        let (disturbed, laps) = row.disturbed();
        (sum.0 + disturbed, sum.1 + laps)
    });
    if laps > 0 {
        let share = 100.0 * disturbed as f64 / laps as f64;
        text += &format!("Of all laps, {share:.1} % stayed disturbed. ");
    }
    let seconds = book.seconds();
    if !seconds.is_empty() {
        let each = seconds
            .iter()
            .map(|(bench, seconds)| format!("{bench} {seconds} s"));
        text += &format!("It took: {}.", each.collect::<Vec<_>>().join(", "));
    }
    text.trim_end().to_owned() + "\n"
}

/// Everything about a kind of machine.
fn of_machine(book: &Book) -> String {
    let lower = "Times are medians; lower is better in all tables.";
    let mut text = format!("# {}\n", book.label());
    text += &conditions(book, "`cargo bench -p brama-bench`", lower);
    text += &aims(book);
    text + &tables::all(book)
}

fn of_threads(book: &Book) -> String {
    let lower = "A time is the median of that of one operation as one of the threads sees it; lower is \
                 better, and a row that stays level scales perfectly.";
    let mut text = format!("# {}\n", heading_of_threads(book));
    let command = format!(
        "the program `threads`, linked as a {} one,",
        book.machine("program")
    );
    text += &conditions(book, &command, lower);
    text + &tables::of_threads(book)
}

fn aims(book: &Book) -> String {
    let mut sheet = Sheet::new("Targets");
    sheet.header(&[
        "what",
        "threads",
        "target",
        "here",
        "beside it: ns",
        "ratio",
        "to the floor",
    ]);
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
    let not_measured = targets::all();
    let not_measured = not_measured
        .iter()
        .filter(|target| target.reached(book).is_none());
    let not_measured: Vec<&str> = not_measured.map(|target: &Target| target.what).collect();
    let mut text = sheet.text + "\nBold: not reached.\n";
    if !not_measured.is_empty() {
        text += &format!("Not measured: {}.\n", not_measured.join(", "));
    }
    text
}

/// The operations that a user asks about first, beside the fastest of the others.
fn operations(book: &Book) -> String {
    const OPERATIONS: [(&str, &str, &str, &str); 7] = [
        (
            "`available`, closed",
            "hot_path",
            "available",
            "brama, available",
        ),
        (
            "guarded call that succeeds",
            "hot_path",
            "success",
            "brama, call",
        ),
        (
            "guarded call that fails",
            "hot_path",
            "failure",
            "brama, call",
        ),
        ("rejected call", "hot_path", "rejected", "brama, call"),
        (
            "`available` by name, 1 k names",
            "lookup",
            "1 k, hit",
            "brama",
        ),
        (
            "`available` by name, 1 M names",
            "lookup",
            "1 M, hit",
            "brama",
        ),
        ("register + unregister", "churn", "churn", "brama"),
    ];
    let mut sheet = Sheet::bare();
    sheet.header(&[
        "",
        "`brama`, 1 thread",
        "fastest other",
        "ratio",
        "`brama`, 2 threads on one object",
        "fastest other",
        "ratio",
    ]);
    for (what, bench, group, name) in OPERATIONS {
        let cells = [1, 2].map(|threads| {
            let ours = book.ns(bench, group, name, threads);
            let theirs = book.fastest(bench, group, threads);
            let compared = ours
                .zip(theirs)
                .map(|(ours, (_, theirs))| ratio(ours / theirs));
            [
                ours.map_or(String::new(), digits),
                theirs.map_or(String::new(), |(name, ns)| format!("{name} {}", digits(ns))),
                compared.unwrap_or_default(),
            ]
        });
        sheet.row(
            [what.to_owned()]
                .into_iter()
                .chain(cells.into_iter().flatten()),
        );
    }
    sheet.text
}

/// The files below a folder, with their names from the root.
fn below(root: &Path, folder: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for file in fs::read_dir(root.join(folder)).into_iter().flatten() {
        let file = file?;
        let name = format!("{folder}/{}", file.file_name().to_string_lossy());
        if file.file_type()?.is_dir() {
            names.extend(below(root, &name)?);
        } else {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
