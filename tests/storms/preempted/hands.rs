//! The operations of one thread in a storm on names, and the answers.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};

use brama::{Brama, Config, Connection, ConnectionOptions, Error, State, Status};

use super::name::{Answer, Deed, Id, Met, is_tagged};
use crate::common::ms;

pub const NAMES: usize = 3;

#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// To one of the names.
    To(usize, Deed),
    /// Registers so many of the thread's own names. With 0, unregisters all of them.
    Crowd(usize),
    Walk,
    Configure(u32),
    Shutdown,
}

#[derive(Clone, Debug)]
pub enum Reply {
    Answer(Answer),
    /// Which of the names a walk has listed.
    Listed([bool; NAMES]),
    /// An error in the names that no other thread uses.
    Wrong(String),
}

pub const SHARED: [&str; NAMES] = ["mine", "yours", "ours"];

/// Settings by their number. Each bit turns on a setting
/// that a record needs memory for, or has to know of.
pub fn config(number: u32) -> Config {
    let is = |bit: u32| number & bit != 0;
    Config::new()
        .max_attempts(100 + number)
        .window(is(1).then_some(ms(60_000)))
        .cancelled_after(is(2).then_some(ms(5)))
        .half_open_max_calls(if is(4) { 40 } else { 1 })
}

/// One thread's access to the manager, with its own handles and names.
pub struct Hands<'a> {
    brama: &'a Brama,
    number: usize,
    handles: Vec<(Id, Connection)>,
    crowd: Vec<String>,
    /// How many of its own names the thread has registered so far.
    born: usize,
    /// How many own names all threads have registered now.
    crowds: &'a AtomicUsize,
}

fn answer(result: Result<Answer, Error>) -> Answer {
    match result {
        Ok(answer) => answer,
        Err(Error::NotFound(_)) => Answer::NotFound,
        Err(Error::AlreadyRegistered(_)) => Answer::AlreadyRegistered,
        Err(Error::ShutDown) => Answer::ShutDown,
        Err(error) => panic!("{error}"),
    }
}

fn options(id: Id) -> ConnectionOptions {
    ConnectionOptions::new().metadata([("id", id.to_string())])
}

fn met(status: Result<Status, Error>) -> Result<Met, Error> {
    let tag = status?.metadata.get("id").map(|id| id.parse());
    Ok(tag.map_or(Met::Plain, |id| Met::Tagged(id.expect("a number"))))
}

impl<'a> Hands<'a> {
    pub fn new(brama: &'a Brama, number: usize, crowds: &'a AtomicUsize) -> Self {
        Hands {
            brama,
            number,
            handles: Vec::new(),
            crowd: Vec::new(),
            born: 0,
            crowds,
        }
    }

    pub fn act(&mut self, op: Op) -> Reply {
        match op {
            Op::To(name, deed) => Reply::Answer(self.to(SHARED[name], deed)),
            Op::Crowd(many) => match self.crowd(many) {
                Ok(()) => Reply::Answer(Answer::Done),
                Err(wrong) => Reply::Wrong(wrong),
            },
            Op::Walk => {
                let all = self.brama.snapshot();
                let is_there = |name: &str| all.iter().any(|status| status.identifier == name);
                Reply::Listed(SHARED.map(is_there))
            }
            Op::Configure(number) => {
                let done = self.brama.configure(config(number));
                Reply::Answer(answer(done.map(|()| Answer::Done)))
            }
            Op::Shutdown => {
                self.brama.shutdown();
                Reply::Answer(Answer::Done)
            }
        }
    }

    fn to(&mut self, name: &str, deed: Deed) -> Answer {
        let brama = self.brama;
        let done = |()| Answer::Done;
        answer(match deed {
            Deed::Register(id) => {
                let registered = brama.register(name, is_tagged(id).then(|| options(id)));
                registered.map(|handle| {
                    self.handles.push((id, handle));
                    Answer::Done
                })
            }
            Deed::GetOrRegister(id) => {
                let got = brama.get_or_register(name, options(id));
                got.map(|handle| {
                    let met = met(handle.status()).unwrap_or(Met::Vanished);
                    if met == Met::Tagged(id) {
                        self.handles.push((id, handle));
                    }
                    Answer::Met(met)
                })
            }
            Deed::Touch(_) => brama.success(name).map(done),
            Deed::Unregister => brama.unregister(name).map(done),
            Deed::Find => met(brama.status(name)).map(Answer::Met),
            Deed::IsKnown => Ok(match brama.state(name) {
                State::Unknown => Answer::No,
                _ => Answer::Yes,
            }),
            Deed::Use(id) => match self.handles.iter().find(|(other, _)| *other == id) {
                Some((_, handle)) => handle.success().map(done),
                None => Ok(Answer::NoHandle),
            },
            Deed::IsListed | Deed::Shutdown => unreachable!("no thread is asked this"),
        })
    }

    /// Registers so many names, or with 0 unregisters all. Fails if a
    /// name of the thread is missing, or if a removed one is still there.
    fn crowd(&mut self, many: usize) -> Result<(), String> {
        let brama = self.brama;
        let is_there = |name: &String| brama.state(name.as_str()) == State::Closed;
        if many == 0 {
            for name in mem::take(&mut self.crowd) {
                if !is_there(&name) {
                    return Err(format!("{name} is lost"));
                }
                let removed = brama.unregister(name.as_str());
                self.crowds.fetch_sub(1, Ordering::Relaxed);
                if removed.is_err() || is_there(&name) {
                    return Err(format!("{name} does not go: {removed:?}"));
                }
            }
            return Ok(());
        }
        for _ in 0..many {
            self.born += 1;
            let name = format!("{} of {}", self.born, self.number);
            let registered = brama.register(name.as_str(), None);
            self.crowds.fetch_add(1, Ordering::Relaxed);
            if registered.is_err() || !is_there(&name) {
                return Err(format!("{name} does not come: {registered:?}"));
            }
            self.crowd.push(name);
        }
        match self.crowd.iter().find(|name| !is_there(name)) {
            Some(lost) => Err(format!("{lost} is lost")),
            None => Ok(()),
        }
    }
}
