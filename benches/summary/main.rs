//! What all of it amounts to. `cargo bench -p brama-bench` ends here;
//! `cargo bench -p brama-bench --bench summary` does it again.
//!
//! Reads what the other benches have kept, prints each target beside what was
//! reached, and writes the figures of the documentation: `results.md` and charts, in
//! `src/docs/figures`. What was not measured yet is left out.

#[path = "../race/results.rs"]
#[allow(dead_code)]
mod results;

mod charts;
mod report;
mod rows;
mod targets;

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use rows::Book;

fn main() -> Result<(), Box<dyn Error>> {
    let book = Book::read();
    let table = targets::table(&book);
    println!("{table}");
    let measuring = env::args().any(|argument| argument == "--bench");
    if measuring {
        let figures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/docs/figures");
        fs::write(figures.join("results.md"), report::markdown(&book))?;
        charts::draw(&book, &figures)?;
        println!("written: src/docs/figures");
    }
    Ok(())
}
