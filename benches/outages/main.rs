//! What a breaker is worth: `cargo bench -p brama-bench --bench outages`.
//!
//! Nine outages that Shopify published with its library semian, re-created in virtual
//! time. Every breaker sees the same calls, and the bench knows of each call whether it
//! would have succeeded. So it can count both kinds of wrong decisions (`figures`). brama
//! is the library itself under its manual clock (`breakers::gate`). Semian's breakers are
//! models, written from its source. Each is shown with own circuits for each worker, as
//! in semian, and with shared ones. One set of settings serves all nine scenarios.
//!
//! Why not the published load? It is a closed loop: a worker that refuses
//! a call takes the next one at once, so rejections multiply. And each
//! run drew its own latencies, so no two runs had the same load.
//!
//! Why virtual time? An hour of outages takes seconds, and every machine gets the same
//! result, to the last call. So the results are compared as text: `-- --check` fails if
//! the README or the page `src/docs/figures/outages.md` says something else. Without
//! `--check` the bench writes both. Both list each goal (`goals`) that is missed.

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
        // As a test, only show that it runs.
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
