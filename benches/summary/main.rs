//! The summary of all benches. `cargo bench -p brama-bench` runs it last.
//!
//! Prints each target beside the figure that was reached. After a whole run it writes the results
//! file of this kind of machine (`benches/results`). A run of one bench, or of a part of one,
//! changes no results file. Then it writes the documentation of all results files: the pages and
//! charts in `src/docs/figures`, and parts of the README and of the chapter on performance.
//!
//! - `cargo bench -p brama-bench --bench summary` writes the same again, from the latest whole run and
//!   the results files.
//! - `-- --check` compares, and writes nothing. It needs no measurements.
//! - `-- --add FILE` adds the results that the program `threads` has written on another machine.

#[path = "../page.rs"]
mod page;
#[path = "../race/mod.rs"]
mod race;

mod book;
mod charts;
mod pages;
mod tables;
mod targets;

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use book::Book;
use pages::{Machines, RESULTS};
use race::results;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let wants = |flag: &str| env::args().any(|argument| argument == flag);
    if !wants("--bench") || wants("--check") {
        // As a test it compares, as with `--check`.
        return check(&root);
    }
    if wants("--add") {
        let file = env::args()
            .skip_while(|argument| argument != "--add")
            .nth(1);
        let book = Book::read(Path::new(&file.ok_or("--add needs a file")?))?;
        if book.is_quick() {
            return Err("that run was only to see that the program works".into());
        }
        keep(&root, &book, true)?;
        write(&root)?;
        return Ok(ExitCode::SUCCESS);
    }
    let book = latest_run();
    if !book.is_empty() {
        println!("{}", targets::table(&book));
    }
    let missing = tables::missing(&book);
    if !missing.is_empty() {
        println!("No results file is written: the run is not whole. Not measured in it:");
        missing.iter().for_each(|what| println!("  {what}"));
        println!("A whole run is `cargo bench -p brama-bench`.");
    } else if book.is_quick() {
        let trial = trial(&root)?;
        keep(&trial, &book, false)?;
        println!(
            "A quick run shows that everything works. Its pages: {}",
            trial.display()
        );
        write(&trial)?;
        return Ok(ExitCode::SUCCESS);
    } else {
        keep(&root, &book, false)?;
    }
    write(&root)?;
    Ok(ExitCode::SUCCESS)
}

/// The run that this process ends, if anything was measured in it.
/// Otherwise the latest whole run, or if there is none the latest run.
fn latest_run() -> Book {
    let this = Book::of_run(&results::this_run());
    if !this.is_empty() {
        return this;
    }
    let runs = fs::read_dir(results::folder().join("runs"));
    let runs = runs.into_iter().flatten().flatten();
    let runs = runs.map(|run| Book::of_run(&run.path()));
    let latest = runs.max_by_key(|run| (tables::missing(run).is_empty(), run.began()));
    latest.unwrap_or(this)
}

/// Writes the results file of a run, unless a later run has written it.
fn keep(root: &Path, book: &Book, of_threads: bool) -> Result<(), Box<dyn Error>> {
    let name = format!("{RESULTS}/{}", pages::file_name(book, of_threads));
    let path = root.join(&name);
    if Book::read(&path).is_ok_and(|there| there.began() > book.began()) {
        println!("{name} is of a later run, and stays.");
        return Ok(());
    }
    fs::create_dir_all(root.join(RESULTS))?;
    fs::write(&path, book.text())?;
    println!("written: {name}");
    Ok(())
}

fn write(root: &Path) -> Result<(), Box<dyn Error>> {
    let (pages, left) = Machines::read(root)?.pages(root)?;
    for page in &pages {
        page.write()?;
    }
    for name in &left {
        println!("{name} is left over: remove it. There are no results that it is written from.");
    }
    Ok(())
}

fn check(root: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let (pages, left) = Machines::read(root)?.pages(root)?;
    let right = pages.iter().filter(|page| page.check()).count();
    for name in &left {
        println!("{name} is left over: there are no results that it is written from.");
    }
    if right < pages.len() || !left.is_empty() {
        println!("`cargo bench -p brama-bench --bench summary` writes what the results say.");
        return Ok(ExitCode::FAILURE);
    }
    println!("The documentation says what the results files say.");
    Ok(ExitCode::SUCCESS)
}

/// A folder with copies of the files that the summary writes, for a quick run.
fn trial(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let trial = results::folder().join("trial");
    let _ = fs::remove_dir_all(&trial);
    fs::create_dir_all(trial.join("src/docs/figures"))?;
    for name in ["README.md", "src/docs/performance.rs"] {
        fs::copy(root.join(name), trial.join(name))?;
    }
    Ok(trial)
}
