//! One outage, and what three settings make of it, side by side.
//!
//! First one of two instances is down, so that every other call fails. Then both are
//! down. Then the service comes back with an empty cache: too many calls at once overload
//! it, and its cache never fills. The same calls go through three circuits. The first
//! counts failures in a row. The second also has a rate. The third also has a ramp.
//!
//! Time is virtual and nothing is random, so each run is the same. In a
//! terminal the run is drawn while it goes on. Otherwise the result is printed.
//!
//! ```text
//! cargo run -p recovery                 # 20 seconds
//! cargo run -p recovery -- --fast       # at once
//! cargo run -p recovery | less          # as text
//! ```

mod lane;
mod plain;
mod service;
mod stage;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, value_parser};

use lane::{CALLS_PER_SECOND, LENGTH, Play};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The command line. Built without clap's macros, which take as long to compile as clap.
fn command() -> Command {
    Command::new("recovery")
        .about("Shows what counting, a rate and a ramp make of one outage")
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("N")
                .default_value("20")
                .value_parser(value_parser!(u32).range(1..=600))
                .help("How long to draw for, 1 to 600"),
        )
        .arg(
            Arg::new("fast")
                .long("fast")
                .action(ArgAction::SetTrue)
                .conflicts_with("seconds")
                .help("As text, at once"),
        )
}

fn main() -> ExitCode {
    let arguments = command().get_matches();
    let fast = arguments.get_flag("fast");
    let seconds: u32 = *arguments.get_one("seconds").expect("it has a default");
    match recovery(fast, Duration::from_secs(seconds.into())) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed the pipe, as in `recovery | head`.
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("recovery: {e}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(e: &Error) -> bool {
    e.downcast_ref::<io::Error>()
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

fn recovery(fast: bool, length: Duration) -> Result<(), Error> {
    let mut play = Play::new()?;
    if !fast && io::stdout().is_terminal() && stage::fits(&play) {
        stage::show(&mut play, length)?;
    }
    let mut out = io::stdout().lock();
    if !play.is_over() {
        while !play.is_over() {
            play.step()?;
        }
        writeln!(
            out,
            "One outage of {} s, {CALLS_PER_SECOND} calls a second, in virtual time:\n",
            LENGTH / 1_000
        )?;
        plain::changes(&mut out, &play)?;
        plain::strips(&mut out, &play)?;
    }
    plain::totals(&mut out, &play)?;
    Ok(())
}
