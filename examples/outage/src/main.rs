//! An outage, with and without a circuit breaker.
//!
//! Real HTTP servers on loopback go through a scripted outage: errors, no answers, a
//! closed port, recovery. Threads call them through brama. At the same time, other
//! threads call identical servers without it. The example prints every state change as
//! it happens. At the end it prints the totals of each connection, how many requests brama
//! kept from the failing servers, and how many it refused although the server was healthy
//! again. Both sides are measured, none is estimated.
//!
//! ```text
//! cargo run --release -p outage            # 12 seconds
//! cargo run --release -p outage -- --fast  # 4 seconds
//! cargo run --release -p outage -- --json --seconds 30
//! ```

mod client;
mod report;
mod script;
mod server;
mod watch;

use std::io;
use std::panic;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use brama::{EventFilter, EventType};
use clap::{Arg, ArgAction, Command, value_parser};

use client::{Client, PAUSE};
use report::{Report, Row, Screen, Versus};
use script::{Run, SERVICES, Service};
use server::{Received, Server};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Threads that call each server.
const THREADS: u32 = 4;

/// Failures in a row that open a circuit, unless its service has a number of its own.
pub const MAX_ATTEMPTS: u32 = 5;

/// State changes that can wait to be shown.
const QUEUE: usize = 1_024;

/// The command line. Built without clap's macros, which take as long to compile as clap.
fn command() -> Command {
    Command::new("outage")
        .about("Shows what brama does while three HTTP services go through an outage")
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("N")
                .default_value("12")
                .value_parser(value_parser!(u32).range(1..=600))
                .help("Length of the run in seconds, 1 to 600"),
        )
        .arg(
            Arg::new("fast")
                .long("fast")
                .action(ArgAction::SetTrue)
                .conflicts_with("seconds")
                .help("A run of 4 seconds"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print one JSON document at the end and nothing else"),
        )
}

/// The settings of a run. The times follow from its length.
pub struct Settings {
    length: Duration,
    /// How long an open circuit rejects before it probes.
    expiry: Duration,
    /// How long a client waits for an answer.
    timeout: Duration,
}

impl Settings {
    fn new(length: Duration) -> Settings {
        let (shortest, longest) = (Duration::from_millis(50), Duration::from_millis(250));
        Settings {
            length,
            expiry: (length / 12).min(Duration::from_secs(5)),
            timeout: (length / 40).clamp(shortest, longest),
        }
    }
}

fn main() -> ExitCode {
    let arguments = command().get_matches();
    let seconds = match arguments.get_flag("fast") {
        true => 4,
        false => *arguments.get_one("seconds").expect("it has a default"),
    };
    let settings = Settings::new(Duration::from_secs(u32::into(seconds)));
    match outage(settings, arguments.get_flag("json")) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed the pipe, as in `outage | head`.
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("outage: {e}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(e: &Error) -> bool {
    e.downcast_ref::<io::Error>()
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

fn outage(settings: Settings, json: bool) -> Result<(), Error> {
    let mut screen = Screen::new(json);
    screen.introduction(&settings)?;
    let report = simulate(settings, &mut screen)?;
    if json {
        report.print_json()?;
    } else {
        report.print()?;
    }
    Ok(())
}

/// A server and the client that calls it.
struct Pair {
    client: Client,
    received: Received,
}

impl Pair {
    fn new(service: &Service, timeout: Duration) -> io::Result<(Pair, Server)> {
        let server = Server::bind(service.phases)?;
        let pair = Pair {
            client: Client::new(service, server.url(), timeout),
            received: Received::default(),
        };
        Ok((pair, server))
    }

    /// Requests that were made while the server was failing:
    /// those that it read, and those that found its port closed.
    fn reached_while_failing(&self) -> u64 {
        self.received.while_failing.load(Ordering::Relaxed)
            + self.client.unreachable.load(Ordering::Relaxed)
    }
}

fn simulate(settings: Settings, screen: &mut Screen) -> Result<Report, Error> {
    let brama = brama::Brama::builder()
        .max_attempts(MAX_ATTEMPTS)
        .expiry(settings.expiry)
        .build()?;

    // For each service a pair that goes through brama, and one that does not.
    let (mut guarded, mut unguarded, mut servers) = (Vec::new(), Vec::new(), Vec::new());
    let mut connections = Vec::new();
    for service in &SERVICES {
        for group in [&mut guarded, &mut unguarded] {
            let (pair, server) = Pair::new(service, settings.timeout)?;
            group.push(pair);
            servers.push(server);
        }
        connections.push(register(&brama, service)?);
    }
    let changes = EventFilter::new().types([EventType::StateChange]);
    let queue = brama.subscribe_queue(changes, QUEUE)?;

    let run = &Run::start(settings.length);
    let (statuses, changes) = thread::scope(|scope| {
        let pairs = guarded.iter().zip(&unguarded).flat_map(|(g, u)| [g, u]);
        let servers = servers
            .into_iter()
            .zip(pairs)
            .map(|(server, pair)| {
                let thread = thread::Builder::new().name("server".to_owned());
                thread.spawn_scoped(scope, move || {
                    or_abort(run, server.serve(run, &pair.received).map_err(Error::from))
                })
            })
            .collect::<io::Result<Vec<_>>>()
            // If one server's thread does not start, the others must not wait for callers for ever.
            .inspect_err(|_| run.set_drained())?;
        let watcher = scope.spawn(|| or_abort(run, watch::watch(run, &brama, &queue, screen)));

        let mut callers = Vec::new();
        for i in 0..THREADS {
            for ((connection, pair), twin) in connections.iter().zip(&guarded).zip(&unguarded) {
                callers.push(scope.spawn(move || {
                    thread::sleep(PAUSE * i / THREADS);
                    or_abort(run, client::guarded(run, &pair.client, connection))
                }));
                callers.push(scope.spawn(move || {
                    thread::sleep(PAUSE * i / THREADS);
                    client::unguarded(run, &twin.client);
                    Ok(())
                }));
            }
        }

        // Servers and watcher outlive the callers, so all threads are joined before errors
        // are returned. The shutdown delivers the last events and closes the watcher's queue.
        let called: Vec<_> = callers.into_iter().map(join).collect();
        run.set_drained();
        let statuses: Vec<_> = connections.iter().map(|c| c.status()).collect();
        brama.shutdown();
        let served: Vec<_> = servers.into_iter().map(join).collect();
        let changes = join(watcher);
        called
            .into_iter()
            .chain(served)
            .collect::<Result<(), _>>()?;
        Ok::<_, Error>((statuses, changes?))
    })?;
    let elapsed = run.elapsed();

    let mut rows = Vec::new();
    for ((status, g), u) in statuses.into_iter().zip(&guarded).zip(&unguarded) {
        let row = Row {
            status: status?,
            calls: Versus {
                with: g.client.calls.load(Ordering::Relaxed),
                without: u.client.calls.load(Ordering::Relaxed),
            },
            reached: Versus {
                with: g.reached_while_failing(),
                without: u.reached_while_failing(),
            },
            rejected_while_healthy: g.client.rejected_while_healthy.load(Ordering::Relaxed),
            waited: Versus {
                with: g.client.waited(),
                without: u.client.waited(),
            },
        };
        // Every call was exactly one of success, failure and rejection.
        let s = &row.status;
        let booked = s.total_successes + s.total_failures + s.total_rejections;
        if booked != row.calls.with {
            let made = row.calls.with;
            return Err(format!("brama's books say {booked} calls, but {made} were made").into());
        }
        rows.push(row);
    }
    Ok(Report {
        settings,
        elapsed,
        changes,
        rows,
    })
}

fn register(brama: &brama::Brama, service: &Service) -> Result<brama::Connection, Error> {
    let mut options = brama::ConnectionOptions::new();
    if let Some(attempts) = service.max_attempts {
        options = options.max_attempts(attempts);
    }
    Ok(match service.scope {
        Some(scope) => brama.register((scope, service.identifier), options)?,
        None => brama.register(service.identifier, options)?,
    })
}

/// Ends the run for all threads if there is an error.
fn or_abort<T>(run: &Run, result: Result<T, Error>) -> Result<T, Error> {
    result.inspect_err(|_| run.abort())
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|payload| panic::resume_unwind(payload))
}
