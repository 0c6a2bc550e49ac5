//! What a breaker is worth: `cargo bench -p brama-bench --bench outages`.
//!
//! Nine outages that Shopify published with its library semian, re-created in virtual time. Every breaker
//! sees the same calls, and of each call it is known whether it would have succeeded; so each wrong
//! decision can be counted, both kinds of them (`figures`). brama is the library itself under its manual
//! clock (`breakers::gate`). Semian's breakers are models, written from its source. Each is shown with
//! circuits of its own for each worker, as semian has them, and with shared ones. One set of settings
//! serves all nine scenarios.
//!
//! Why not the published load? It is a closed loop: a worker that refuses a call takes the next one at
//! once, so rejections multiply. And each run drew its own latencies, so that no two runs had the same
//! load. Why virtual time? An hour of outages takes seconds, and the result is the same to the last call,
//! on every machine. So it is compared as text: `-- --check` fails if the README or the page
//! `src/docs/figures/outages.md` says something else. Without it the bench writes both. A goal (`goals`)
//! that is missed stands in both as a miss.

mod breakers;
mod chance;
mod figures;
mod goals;
mod load;
#[path = "../page.rs"]
mod page;
mod pages;
mod published;
mod run;
mod scenarios;
mod study;
mod tables;

use std::env;
use std::io;
use std::process::ExitCode;

use scenarios::Lengths;
use study::{SEEDS, Study};

fn main() -> io::Result<ExitCode> {
    let wants = |flag: &str| env::args().any(|argument| argument == flag);
    if !wants("--bench") {
        // As a test: it runs.
        Study::run(1);
        return Ok(ExitCode::SUCCESS);
    }
    // A free argument is a filter, as with the other benches.
    let filter = env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    if filter.is_some_and(|part| !"outages".contains(&part)) {
        return Ok(ExitCode::SUCCESS);
    }
    let study = Study::run(SEEDS);
    for lengths in Lengths::ALL {
        println!("A / B, {}:\n", lengths.name());
        println!("{}", tables::decisions(&study, lengths).terminal());
    }
    println!("{}", tables::goals(&goals::all(&study)).terminal());
    let pages = pages::all(&study)?;
    if !wants("--check") {
        for page in &pages {
            page.write()?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let right = pages.iter().filter(|page| page.check()).count();
    if right < pages.len() {
        println!("`cargo bench -p brama-bench --bench outages` writes what it says today.");
        return Ok(ExitCode::FAILURE);
    }
    println!("The README and the page of the figures say the same.");
    Ok(ExitCode::SUCCESS)
}
