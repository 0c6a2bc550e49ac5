//! Storms on the names of one manager: threads register, look up and remove them at once.
//!
//! After each round the answers are explained for each name by itself (`name.rs`). Then, while no
//! call runs, the names that the manager has are compared with those that it can have. Each
//! thread also registers and removes many names of its own (a *crowd*). So the table is rebuilt
//! all the time, larger and smaller. A thread always knows which of its own names are registered.

use std::collections::HashSet;
use std::future::pending;
use std::mem;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use brama::{Brama, Connection, Error, ManualClock, RejectionKind, State};

use super::hands::{Hands, NAMES, Op, Reply, SHARED, config};
use super::name::{Answer, Around, Deed, Id, Name, is_tagged};
use crate::common::explain::explain;
use crate::common::random::Random;
use crate::common::storm::{self, Rounds};
use crate::common::{manager_with, ms};

const THREADS: usize = 3;
const STAGES: usize = 3;

type Call = storm::Call<Op, Reply>;

/// What distinguishes one storm from another.
pub struct Theme {
    /// What threads do, and how likely it is.
    pub ops: &'static [(Kind, u64)],
    pub rounds: u64,
    /// Whether the settings change.
    pub configures: bool,
    /// Whether the manager is shut down in the end.
    pub shuts_down: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Register,
    GetOrRegister,
    Touch,
    Unregister,
    Find,
    IsKnown,
    Use,
    Crowd,
    Walk,
}

/// A storm on the names of one manager.
struct Storm<'a> {
    theme: &'a Theme,
    random: Random,
    brama: &'a Brama,
    clock: &'a ManualClock,
    crowds: &'a AtomicUsize,
    auto_register: bool,
    rounds_left: u64,
    /// All states that each name can be in.
    names: [HashSet<Name>; NAMES],
    is_shut: bool,
    settings: u32,
    last_id: Id,
    /// The registrations of which each thread may have a handle.
    held: Vec<Vec<(usize, Id)>>,
}

/// One storm with this seed: how many rounds it had, or what is wrong.
pub fn tempest(theme: &Theme, seed: u64) -> Result<u64, String> {
    let mut random = Random::new(seed);
    let auto_register = random.once_in(2);
    let (brama, clock) =
        manager_with(|builder| builder.config(config(0).auto_register(auto_register)));
    let crowds = AtomicUsize::new(0);
    let mut storm = Storm {
        theme,
        random,
        brama: &brama,
        clock: &clock,
        crowds: &crowds,
        auto_register,
        rounds_left: theme.rounds,
        names: [(); NAMES].map(|()| HashSet::from([Name::default()])),
        is_shut: false,
        settings: 0,
        last_id: 0,
        held: vec![Vec::new(); THREADS],
    };
    storm::play(&mut storm, THREADS, seed, |number| {
        let mut hands = Hands::new(&brama, number, &crowds);
        move |op: &Op| hands.act(*op)
    })
    .map_err(|wrong| format!("{wrong}\nauto_register: {auto_register}"))
}

impl Storm<'_> {
    fn id(&mut self, is_wanted: impl Fn(Id) -> bool) -> Id {
        self.last_id += 1;
        while !is_wanted(self.last_id) {
            self.last_id += 1;
        }
        self.last_id
    }

    fn register(&mut self, thread: usize, name: usize) -> Op {
        let id = self.id(|_| true);
        self.held[thread].push((name, id));
        Op::To(name, Deed::Register(id))
    }

    fn op(&mut self, thread: usize) -> Op {
        let name = self.random.below(NAMES as u64) as usize;
        let deed = match self.random.weigh(self.theme.ops) {
            Kind::Register => return self.register(thread, name),
            Kind::GetOrRegister => {
                let id = self.id(is_tagged);
                self.held[thread].push((name, id));
                Deed::GetOrRegister(id)
            }
            Kind::Touch => Deed::Touch(self.id(|id| !is_tagged(id))),
            Kind::Unregister => Deed::Unregister,
            Kind::Use if !self.held[thread].is_empty() => {
                // Mostly one of the latest.
                let held = &self.held[thread];
                let back = self.random.below(held.len() as u64);
                let back = self.random.below(back + 1) as usize;
                let (name, id) = held[held.len() - 1 - back];
                return Op::To(name, Deed::Use(id));
            }
            Kind::Find | Kind::Use => Deed::Find,
            Kind::IsKnown => Deed::IsKnown,
            Kind::Crowd => {
                return Op::Crowd(match self.random.once_in(3) {
                    true => 0,
                    false => 1 + self.random.below(40) as usize,
                });
            }
            Kind::Walk => return Op::Walk,
        };
        Op::To(name, deed)
    }

    fn stage(&mut self) -> Vec<Vec<Op>> {
        let number = self.random.below(2 * NAMES as u64) as usize;
        // In half of the stages all threads begin by registering the same name.
        let duel = Some(number).filter(|name| *name < NAMES);
        let part = |thread| {
            let many = 1 + self.random.below(4);
            let first = duel.map(|name| self.register(thread, name));
            let others = (0..many).map(|_| self.op(thread));
            first.into_iter().chain(others).collect()
        };
        (0..THREADS).map(part).collect()
    }

    /// Inserts a change of settings or the shutdown into the operations of one thread.
    fn insert(&mut self, stage: &mut [Vec<Op>], change: Op) {
        let place = self.random.below(stage[0].len() as u64 + 1) as usize;
        stage[0].insert(place, change);
    }

    /// The operations after a shutdown: every handle once, and operations by name.
    fn after_shutdown(&mut self) -> Option<Vec<Vec<Op>>> {
        let held = mem::take(&mut self.held);
        let part = |held: Vec<(usize, Id)>| {
            let mut ops: Vec<Op> = (0..6).map(|_| self.op_without_handles()).collect();
            let uses = held.into_iter();
            ops.extend(uses.map(|(name, id)| Op::To(name, Deed::Use(id))));
            ops
        };
        let stage: Vec<Vec<Op>> = held.into_iter().map(part).collect();
        (!stage.is_empty()).then_some(stage)
    }

    /// An operation by name, for a manager that was shut down.
    fn op_without_handles(&mut self) -> Op {
        let name = self.random.below(NAMES as u64) as usize;
        let id = self.id(is_tagged);
        Op::To(
            name,
            self.random.pick(&[
                Deed::Register(id),
                Deed::GetOrRegister(id),
                Deed::Touch(id),
                Deed::Unregister,
                Deed::Find,
                Deed::IsKnown,
            ]),
        )
    }

    /// The calls that concern one name.
    fn calls_to(name: usize, threads: &[Vec<Call>]) -> Vec<Vec<storm::Call<Deed, Answer>>> {
        let may_change = |call: &Call| match call.op {
            Op::To(other, deed) if other == name => {
                !matches!(deed, Deed::Find | Deed::IsKnown | Deed::Use(_))
            }
            Op::Shutdown => true,
            _ => false,
        };
        let changes: Vec<_> = threads.iter().flatten().filter(|c| may_change(c)).collect();
        let is_beside = |call: &Call| {
            let overlaps = |other: &&Call| other.began < call.ended && call.began < other.ended;
            changes.iter().any(overlaps)
        };
        let of_it = |call: &Call| {
            let (op, answer) = match (call.op, &call.answer) {
                (Op::To(other, deed), Reply::Answer(answer)) if other == name => (deed, *answer),
                (Op::Shutdown, Reply::Answer(answer)) => (Deed::Shutdown, *answer),
                (Op::Walk, Reply::Listed(listed)) if !is_beside(call) => {
                    let answer = if listed[name] {
                        Answer::Yes
                    } else {
                        Answer::No
                    };
                    (Deed::IsListed, answer)
                }
                _ => return None,
            };
            let (began, ended) = (call.began, call.ended);
            Some(storm::Call {
                op,
                answer,
                began,
                ended,
            })
        };
        let thread = |calls: &Vec<Call>| calls.iter().filter_map(of_it).collect();
        threads.iter().map(thread).collect()
    }

    /// Explains the calls, and keeps the states that each name can be in
    /// after them. Fails if no order of the calls explains the answers.
    fn account(&mut self, threads: &[Vec<Call>]) -> Result<(), String> {
        let all = || threads.iter().flatten();
        let shutdown = all().find(|call| matches!(call.op, Op::Shutdown));
        let closes = match (self.is_shut, shutdown) {
            (true, _) => 0,
            (false, Some(call)) => call.began,
            (false, None) => u64::MAX,
        };
        for call in all() {
            match (&call.answer, call.op) {
                // Once a shutdown has begun, a thread may find its own names gone.
                (Reply::Wrong(wrong), _) if call.ended < closes => return Err(wrong.clone()),
                (Reply::Answer(Answer::Done), Op::Configure(number)) => self.settings = number,
                (_, Op::Configure(_)) if call.ended < closes => {
                    return Err(format!("no settings: {call:?}"));
                }
                _ => {}
            }
        }
        for (name, before) in self.names.iter_mut().enumerate() {
            let calls = Self::calls_to(name, threads);
            let after = explain(before, &calls, |state, call| {
                let is_beside = |other: &&storm::Call<Deed, Answer>| {
                    let overlaps = other.began < call.ended && call.began < other.ended;
                    overlaps && other.began != call.began
                };
                let beside = || calls.iter().flatten().filter(is_beside);
                let use_of = |call: &storm::Call<Deed, Answer>| match call.op {
                    Deed::Touch(id) if self.auto_register => Some(id),
                    _ => None,
                };
                let uses: Vec<Id> = beside().filter_map(use_of).collect();
                let around = Around {
                    auto_register: self.auto_register,
                    uses: &uses,
                    is_closing: closes < call.ended,
                    is_refusing: beside().any(|other| other.answer == Answer::ShutDown),
                };
                state.after(call.op, call.answer, around)
            });
            if after.is_empty() {
                let name = SHARED[name];
                return Err(format!(
                    "{name}: no order explains\n{calls:#?}\nafter\n{before:?}"
                ));
            }
            *before = after;
        }
        self.is_shut |= shutdown.is_some();
        Ok(())
    }

    /// Compares the names that the manager has with those that it can have, while no call runs.
    fn look(&mut self) -> Result<(), String> {
        let listed = self.brama.snapshot();
        let mut shared = 0;
        for (name, states) in SHARED.into_iter().zip(&mut self.names) {
            let is_there = self.brama.state(name) != State::Unknown;
            let is_listed = listed.iter().filter(|one| one.identifier == name).count();
            if is_listed != usize::from(is_there) {
                return Err(format!(
                    "{name} is listed {is_listed} times, found: {is_there}"
                ));
            }
            let before = states.clone();
            states.retain(|state| state.current.is_some() == is_there);
            if states.is_empty() {
                return Err(format!(
                    "{name}: found is {is_there}, and it can be {before:?}"
                ));
            }
            shared += is_listed;
        }
        let crowds = self.crowds.load(Ordering::Relaxed);
        match listed.len() - shared {
            others if self.is_shut && others == 0 => Ok(()),
            others if !self.is_shut && others == crowds => Ok(()),
            others => Err(format!("{others} names of threads' own, not {crowds}")),
        }
    }

    /// Checks that every connection obeys the settings that are in effect.
    fn obey(&self) -> Result<(), String> {
        for name in SHARED {
            if self.brama.state(name) != State::Unknown {
                let obeyed = self.obeys(&self.brama.connection(name).expect("registered"));
                obeyed
                    .map_err(|wrong| format!("{name}, settings {:#b}: {wrong}", self.settings))?;
            }
        }
        Ok(())
    }

    fn obeys(&self, db: &Connection) -> Result<(), String> {
        let is = |bit: u32| self.settings & bit != 0;
        let status = || db.status().expect("registered");
        let before = status();
        let attempts = before.settings.max_attempts();
        if attempts != Some(100 + self.settings) {
            return Err(format!("{attempts:?} attempts"));
        }
        // This comes first, while the circuit is still closed.
        {
            let mut call = pin!(db.call_async(pending::<Result<(), ()>>));
            let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if polled != Poll::Pending {
                return Err(format!("a call is {polled:?}"));
            }
            self.clock.advance(ms(5));
        }
        let cancelled = status().total_failures - before.total_failures;
        if cancelled != u64::from(is(2)) {
            return Err(format!("a call that was cancelled is {cancelled} failures"));
        }
        db.success().expect("registered");
        let counts = [(); 3].map(|()| db.failure(None).expect("registered"));
        let shown = status().failure_count;
        if (counts, shown) != ([1, 2, 3], 3) {
            return Err(format!("failures count {counts:?}, and show as {shown}"));
        }
        db.half_open_circuit().expect("registered");
        let room = if is(4) { 40 } else { 1 };
        let probes: Vec<_> = (0..room).map(|_| db.acquire()).collect();
        let refused = probes.iter().position(Result::is_err);
        let one_more = db.acquire().map(|permit| permit.is_probe());
        let is_full = matches!(&one_more, Err(Error::Rejected(rejected))
            if rejected.kind == RejectionKind::ProbesOut);
        drop(probes);
        db.reset_circuit().expect("registered");
        match (refused, is_full) {
            (None, true) => Ok(()),
            _ => Err(format!(
                "of {room} probes {refused:?} is refused; then {one_more:?}"
            )),
        }
    }
}

impl Rounds for Storm<'_> {
    type Op = Op;
    type Answer = Reply;

    fn next(&mut self) -> Option<Vec<Vec<Vec<Op>>>> {
        if self.is_shut {
            return self.after_shutdown().map(|stage| vec![stage]);
        }
        let Some(left) = self.rounds_left.checked_sub(1) else {
            return self.theme.shuts_down.then(|| {
                let mut stage = self.stage();
                self.insert(&mut stage, Op::Shutdown);
                vec![stage]
            });
        };
        self.rounds_left = left;
        let mut stages: Vec<_> = (0..STAGES).map(|_| self.stage()).collect();
        if self.theme.configures {
            let change = Op::Configure(self.random.below(8) as u32);
            // In the last stage, so that no later call hides
            // settings that a registration has missed.
            self.insert(&mut stages[STAGES - 1], change);
        }
        Some(stages)
    }

    fn check(&mut self, calls: Vec<Vec<Call>>) -> Result<(), String> {
        let explain = |wrong| format!("{wrong}\n{calls:#?}");
        self.account(&calls)?;
        self.look().map_err(explain)?;
        match self.is_shut {
            true => Ok(()),
            false => self.obey().map_err(explain),
        }
    }
}
