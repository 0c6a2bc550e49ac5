//! What the user sees: the live lines, the tables, the JSON document.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use serde_json::{Value, json};

use crate::script::{Run, SERVICES};
use crate::watch::Change;
use crate::{MAX_ATTEMPTS, Settings, THREADS};
use brama::State;

/// Standard output for the live lines, a terminal's standard error for the
/// progress line.
pub struct Screen {
    quiet: bool,
    terminal: bool,
}

impl Screen {
    pub fn new(quiet: bool) -> Screen {
        Screen {
            quiet,
            terminal: io::stderr().is_terminal(),
        }
    }

    pub fn introduction(&self, settings: &Settings) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        let seconds = settings.length.as_secs();
        writeln!(
            out,
            "For {seconds} s, {THREADS} threads per service call a server on loopback through brama.",
        )?;
        writeln!(
            out,
            "At the same time, {THREADS} more call a twin of each server without brama."
        )?;
        writeln!(
            out,
            "Clients give up after {} ms; an open circuit tries again after {} ms.",
            millis(settings.timeout),
            millis(settings.expiry),
        )?;
        write!(out, "{MAX_ATTEMPTS} failures in a row open a circuit")?;
        for service in &SERVICES {
            if let Some(attempts) = service.max_attempts {
                write!(out, " ({}: {attempts})", service.label())?;
            }
        }
        writeln!(out, ".")?;
        writeln!(out, "\nThe script of each server, in seconds:\n")?;
        for service in &SERVICES {
            let phases: Vec<_> = service
                .phases
                .iter()
                .map(|(from, mode)| format!("{:.1} {mode}", from * seconds as f64))
                .collect();
            writeln!(out, "  {:16} {}", service.label(), phases.join(", "))?;
        }
        writeln!(
            out,
            "\n  time s  {:16} {:22} reason",
            "connection", "change"
        )?;
        Ok(())
    }

    pub fn change(&self, change: &Change) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        self.clear_progress();
        writeln!(
            io::stdout(),
            "{:8.3}  {:16} {:22} {}",
            change.at.as_secs_f64(),
            SERVICES[change.service].label(),
            format!("{} → {}", change.from, change.to),
            change.reason
        )
    }

    /// Ignores errors, since a progress line that cannot be shown does not matter.
    pub fn progress(&self, run: &Run, calls: u64, rejected: u64, open: &[String]) {
        if self.terminal {
            let state = if open.is_empty() {
                "all closed".to_owned()
            } else {
                format!("not closed: {}", open.join(", "))
            };
            let mut err = io::stderr().lock();
            let _ = write!(
                err,
                "\r\x1b[K{:6.1} of {} s, {} calls, {} rejected, {state}",
                run.elapsed().as_secs_f64(),
                run.length.as_secs(),
                grouped(calls),
                grouped(rejected),
            );
            let _ = err.flush();
        }
    }

    pub fn clear_progress(&self) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// One connection at the end of the run.
pub struct Row {
    pub status: brama::Status,
    /// Calls that the callers counted, with and without brama.
    pub calls: Versus<u64>,
    /// Requests that went to the server while it was failing.
    pub reached: Versus<u64>,
    /// Calls that brama rejected although the server was healthy.
    pub rejected_while_healthy: u64,
    /// Time that callers waited for requests that failed.
    pub waited: Versus<Duration>,
}

/// The same quantity with and without brama.
#[derive(Clone, Copy, Default)]
pub struct Versus<T> {
    pub with: T,
    pub without: T,
}

impl Versus<u64> {
    fn spared(self) -> u64 {
        self.without.saturating_sub(self.with)
    }

    fn spared_ratio(self) -> Option<f64> {
        (self.without > 0).then(|| self.spared() as f64 / self.without as f64)
    }
}

/// Everything a run found out.
pub struct Report {
    pub settings: Settings,
    pub elapsed: Duration,
    pub changes: Vec<Change>,
    /// In the order of [`SERVICES`].
    pub rows: Vec<Row>,
}

impl Report {
    fn time_in(&self, service: usize, state: State) -> Duration {
        let (mut total, mut since, mut current) = (Duration::ZERO, Duration::ZERO, State::Closed);
        let mine = self.changes.iter().filter(|c| c.service == service);
        for (at, to) in mine.map(|c| (c.at, c.to)).chain([(self.elapsed, current)]) {
            if current == state {
                total += at.saturating_sub(since);
            }
            (since, current) = (at, to);
        }
        total
    }

    fn reached(&self) -> Versus<u64> {
        Versus {
            with: self.rows.iter().map(|r| r.reached.with).sum(),
            without: self.rows.iter().map(|r| r.reached.without).sum(),
        }
    }

    fn waited(&self) -> Versus<Duration> {
        Versus {
            with: self.rows.iter().map(|r| r.waited.with).sum(),
            without: self.rows.iter().map(|r| r.waited.without).sum(),
        }
    }

    pub fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let mut table = table(&[
            "connection",
            "calls",
            "successes",
            "failures",
            "rejected",
            "success rate",
            "closed",
            "open",
            "half_open",
        ]);
        for (service, row) in self.rows.iter().enumerate() {
            let s = &row.status;
            let time = |state| format!("{:.2} s", self.time_in(service, state).as_secs_f64());
            table.add_row([
                SERVICES[service].label(),
                grouped(s.total_successes + s.total_failures + s.total_rejections),
                grouped(s.total_successes),
                grouped(s.total_failures),
                grouped(s.total_rejections),
                percent(s.success_rate),
                time(State::Closed),
                time(State::Open),
                time(State::HalfOpen),
            ]);
        }
        writeln!(
            out,
            "\nThe connections that go through brama. The success rate is of the admitted calls:\n\n{}",
            table.trim_fmt()
        )?;

        let mut table = self::table(&["connection", "with brama", "without", "spared", ""]);
        let mut add = |label, reached: Versus<u64>| {
            table.add_row([
                label,
                grouped(reached.with),
                grouped(reached.without),
                grouped(reached.spared()),
                percent(reached.spared_ratio()),
            ]);
        };
        for (service, row) in SERVICES.iter().zip(&self.rows).filter(|(s, _)| s.fails()) {
            add(service.label(), row.reached);
        }
        let reached = self.reached();
        add("total".to_owned(), reached);
        writeln!(
            out,
            "\nRequests made to a server while it was failing:\n\n{}",
            table.trim_fmt()
        )?;

        writeln!(
            out,
            "\nThe failing servers received {} requests instead of {}: {} spared.",
            grouped(reached.with),
            grouped(reached.without),
            percent(reached.spared_ratio()),
        )?;
        let waited = self.waited();
        writeln!(
            out,
            "Callers waited {:.1} s for requests that failed instead of {:.1} s.",
            waited.with.as_secs_f64(),
            waited.without.as_secs_f64(),
        )?;
        writeln!(
            out,
            "The cost: brama rejected {} calls although their server was healthy again.",
            grouped(self.rows.iter().map(|r| r.rejected_while_healthy).sum()),
        )
    }

    pub fn print_json(&self) -> io::Result<()> {
        let settings = &self.settings;
        let document = json!({
            "seconds": settings.length.as_secs(),
            "threads_per_service": THREADS,
            "expiry_ms": millis(settings.expiry),
            "timeout_ms": millis(settings.timeout),
            "script": SERVICES.iter().flat_map(|s| s.phases.iter().map(|&(from, mode)| json!({
                "time_s": from * settings.length.as_secs_f64(),
                "scope": s.scope,
                "connection": s.identifier,
                "mode": mode.to_string(),
            }))).collect::<Vec<_>>(),
            "changes": self.changes.iter().map(|c| json!({
                "time_s": seconds(c.at),
                "scope": SERVICES[c.service].scope,
                "connection": SERVICES[c.service].identifier,
                "old_state": c.from.to_string(),
                "new_state": c.to.to_string(),
                "reason": c.reason,
            })).collect::<Vec<_>>(),
            "connections": self.rows.iter().enumerate().map(|(service, row)| {
                let s = &row.status;
                json!({
                    "scope": SERVICES[service].scope,
                    "connection": SERVICES[service].identifier,
                    "calls": s.total_successes + s.total_failures + s.total_rejections,
                    "successes": s.total_successes,
                    "failures": s.total_failures,
                    "rejected": s.total_rejections,
                    "rejected_while_healthy": row.rejected_while_healthy,
                    "success_rate": s.success_rate,
                    "state": s.state.to_string(),
                    "seconds_in_state": {
                        "closed": seconds(self.time_in(service, State::Closed)),
                        "open": seconds(self.time_in(service, State::Open)),
                        "half_open": seconds(self.time_in(service, State::HalfOpen)),
                    },
                    "requests_while_failing": versus(row.reached),
                    "calls_without_brama": row.calls.without,
                })
            }).collect::<Vec<_>>(),
            "requests_while_failing": versus(self.reached()),
            "seconds_waited_for_failures": {
                "with_brama": seconds(self.waited().with),
                "without_brama": seconds(self.waited().without),
            },
        });
        writeln!(io::stdout(), "{document:#}")
    }
}

fn versus(reached: Versus<u64>) -> Value {
    json!({
        "with_brama": reached.with,
        "without_brama": reached.without,
        "spared": reached.spared(),
        "spared_ratio": reached.spared_ratio(),
    })
}

/// A table whose first column is text and whose others are numbers.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    let line = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(line));
    table.set_header(header);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if i == 0 { 2 } else { 1 }, 0));
        if i > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Seconds to the millisecond.
fn seconds(duration: Duration) -> f64 {
    millis(duration) as f64 / 1000.0
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or("–".to_owned(), |r| format!("{:.1} %", r * 100.0))
}

/// `1234567` as `1 234 567`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
