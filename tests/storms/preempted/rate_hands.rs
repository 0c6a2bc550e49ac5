//! The operations of one thread on the rates of a circuit, and the answers.

use brama::{Brama, Connection, ConnectionOptions, Error, ManualClock, OpenFor, Permit};

use crate::common::ms;
use crate::common::random::Random;

/// How long a slow call lasts.
pub const SLOW: u64 = 50;

/// A permit of the storm.
pub type Id = u32;

/// Whether rates are taken over a time or over the last calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Over {
    Time,
    Calls,
}

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kind {
    pub failed: bool,
    pub slow: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Op {
    Report(Kind),
    Acquire(Id),
    Settle(Id, Kind),
    Status,
    Advance(u64),
    Reset,
    /// Opens the circuit by hand, and closes it.
    Cycle,
    /// Sets a window of another length.
    Reshape(u64),
}

impl Op {
    pub fn begins_evidence(self) -> bool {
        matches!(self, Op::Reset | Op::Cycle | Op::Reshape(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Done,
    Stale,
    /// The call was rejected, or the thread has no such permit.
    None,
    /// Successes, failures and slow calls.
    Counts(Option<[u64; 3]>),
}

/// A thread's handle of the circuit, with the permits that it holds.
pub struct Hands<'a> {
    pub brama: &'a Brama,
    pub db: &'a Connection,
    pub clock: &'a ManualClock,
    pub over: Over,
    pub permits: Vec<(Id, Permit<'a>)>,
    /// Chooses between ways to the same operation.
    pub ways: Random,
}

pub fn shape(over: Over, length: u64) -> ConnectionOptions {
    match over {
        Over::Time => ConnectionOptions::new().rate_window(ms(length)),
        Over::Calls => ConnectionOptions::new().rate_calls(length as u32),
    }
}

fn answer(answer: Result<(), Error>) -> Answer {
    match answer {
        Ok(()) => Answer::Done,
        Err(Error::Stale) => Answer::Stale,
        Err(error) => panic!("{error}"),
    }
}

impl Hands<'_> {
    pub fn act(&mut self, op: Op) -> Answer {
        match op {
            Op::Report(kind) => return self.report(kind),
            Op::Acquire(id) => {
                let permit = match self.ways.below(3) {
                    0 => self.brama.acquire("db"),
                    1 => self.db.acquire_owned(),
                    _ => self.db.acquire(),
                };
                match permit {
                    Ok(permit) => self.permits.push((id, permit)),
                    Err(Error::Rejected(_)) => return Answer::None,
                    Err(error) => panic!("{error}"),
                }
            }
            Op::Settle(id, kind) => {
                let place = self.permits.iter().position(|(other, _)| *other == id);
                let Some((_, permit)) = place.map(|place| self.permits.swap_remove(place)) else {
                    return Answer::None;
                };
                let lasted = ms(if kind.slow { SLOW } else { 0 });
                return answer(match kind.failed {
                    true => permit.failure_in(lasted, None).map(drop),
                    false => permit.success_in(lasted),
                });
            }
            Op::Status => return Answer::Counts(counts(self.db)),
            Op::Advance(by) => self.clock.advance(ms(by)),
            Op::Reset => self.db.reset_circuit().expect("registered"),
            Op::Cycle => {
                let opened = self.db.open_circuit(None, OpenFor::Never);
                opened.expect("registered");
                self.db.close_circuit().expect("registered");
            }
            Op::Reshape(length) => {
                let another = shape(self.over, length);
                self.db.configure(another).expect("valid settings");
            }
        }
        Answer::Done
    }

    fn report(&mut self, kind: Kind) -> Answer {
        let lasted = ms(SLOW);
        let by_name = self.ways.once_in(3);
        answer(match (kind.failed, kind.slow) {
            (false, false) if by_name => self.brama.success("db"),
            (false, false) => self.db.success(),
            (false, true) if by_name => self.brama.success_in("db", lasted),
            (false, true) => self.db.success_in(lasted),
            (true, false) if by_name => self.brama.failure("db", None).map(drop),
            (true, false) => self.db.failure(None).map(drop),
            (true, true) if by_name => self.brama.failure_in("db", lasted, None).map(drop),
            (true, true) => self.db.failure_in(lasted, None).map(drop),
        })
    }
}

pub fn counts(db: &Connection) -> Option<[u64; 3]> {
    let status = db.status().expect("registered");
    let failures = status.window_failures?;
    Some([
        status.window_calls? - failures,
        failures,
        status.window_slow?,
    ])
}
