//! The manager under test and its model, side by side.

// With a path, since another crate includes this file by its path.
#[path = "world/calls.rs"]
mod calls;

use std::panic::{self, AssertUnwindSafe};

use brama::{Brama, Connection, ManualClock, OpenFor, Permit};

use crate::reference::{self, Manager, Who};
use crate::settings::{Given, ms};
use crate::trace::{Advance, Length, NAMES, Name, Op, Outcome, Settle, Target, Trace};
use crate::view::Answer;

/// When the driver does its work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Driver {
    Thread,
    Never,
    /// Only when the trace polls.
    AsTold,
    AfterEveryStep,
}

/// What is checked after every step. The checks must not change any answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Watch {
    Everything,
    Nothing,
}

/// Runs a trace. Returns all answers, or an error for the first one that differs from the model's.
pub fn run(trace: &Trace, driver: Driver, watch: Watch) -> Result<Vec<Answer>, String> {
    let clock = ManualClock::new();
    let brama = Brama::builder()
        .config(trace.global.as_config())
        .clock(clock.clone())
        .background(driver == Driver::Thread)
        .build()
        .map_err(|error| error.to_string())?;
    let mut world = World {
        brama: &brama,
        model: Manager::new(clock.unix_ms(), trace.global.clone()),
        clock: &clock,
        saved: brama.save(),
        driver,
        handles: [const { None }; 3],
        next_handle: 0,
        permits: Vec::new(),
    };
    let mut answers = Vec::new();
    for (step, op) in trace.ops().enumerate() {
        let mut check = |what: &dyn std::fmt::Debug, real: Answer, expected: Answer| {
            if real.agrees(&expected) {
                answers.push(real);
                return Ok(());
            }
            Err(format!(
                "step {step}, {op:?}, {what:?} ({driver:?}, {watch:?}):\n is       {real:?}\n should be {expected:?}"
            ))
        };
        world.step(op, &mut check)?;
        if driver == Driver::AfterEveryStep {
            world.poll();
        }
        if watch == Watch::Everything {
            world.look(&mut check)?;
        }
    }
    if driver == Driver::Thread {
        world.await_turn();
    }
    let (real, expected) = world.snapshot();
    if !real.agrees(&expected) {
        return Err(format!(
            "at the end ({driver:?}, {watch:?}):\n is       {real:?}\n should be {expected:?}"
        ));
    }
    answers.push(real);
    Ok(answers)
}

struct World<'a> {
    brama: &'a Brama,
    clock: &'a ManualClock,
    model: Manager,
    saved: Vec<u8>,
    driver: Driver,
    handles: [Option<(Connection, reference::Handle)>; 3],
    next_handle: usize,
    permits: Vec<(Permit<'a>, reference::Permit)>,
}

/// Compares an answer with the expected one.
type Check<'c> = dyn FnMut(&dyn std::fmt::Debug, Answer, Answer) -> Result<(), String> + 'c;

impl<'a> World<'a> {
    fn step(&mut self, op: &Op, check: &mut Check<'_>) -> Result<(), String> {
        let looks = matches!(op, Op::Status(_) | Op::Snapshot | Op::SnapshotOfScope(_));
        // Their answers depend on when a circuit has changed.
        if self.driver == Driver::Thread && (looks || matches!(op, Op::Save | Op::Restore)) {
            self.await_turn();
        }
        let (real, expected) = match op {
            Op::ProbesFail(name, times) => {
                for _ in 0..*times {
                    let (real, expected) = self.half_open(Target::Name(*name));
                    check(&"half-open", real, expected)?;
                    let (real, expected) = self.report(Target::Name(*name), Outcome::Failure);
                    check(&"failure", real, expected)?;
                }
                return Ok(());
            }
            Op::Reports(target, outcomes) => {
                for outcome in outcomes {
                    let (real, expected) = self.report(*target, *outcome);
                    check(outcome, real, expected)?;
                }
                return Ok(());
            }
            op => self.apply(op),
        };
        check(&"answer", real, expected)
    }

    /// Checks the status of every name and every handle.
    fn look(&mut self, check: &mut Check<'_>) -> Result<(), String> {
        for name in NAMES {
            let expected = self.model.status(Who::Name(name));
            check(
                &name,
                Answer::status(self.brama.status(name.key())),
                expected,
            )?;
        }
        for slot in 0..self.handles.len() {
            if let Some((handle, who)) = &self.handles[slot] {
                let expected = self.model.status(Who::Handle(*who));
                check(who, Answer::status(handle.status()), expected)?;
            }
        }
        Ok(())
    }

    fn snapshot(&self) -> (Answer, Answer) {
        let expected = Answer::Snapshot(self.model.snapshot(|_| true));
        (Answer::snapshot(self.brama.snapshot()), expected)
    }

    /// Waits for the end of the driver's turn. While the driver makes a change, a status may show
    /// the present time as the time of that change.
    fn await_turn(&self) {
        self.brama.poll();
    }

    fn who(&self, target: Target) -> (Option<Connection>, Who, Name) {
        match target {
            Target::Name(name) => (None, Who::Name(name), name),
            Target::Handle(slot, name) => match &self.handles[slot] {
                Some((handle, who)) => (Some(handle.clone()), Who::Handle(*who), who.name),
                None => (None, Who::Name(name), name),
            },
        }
    }

    fn keep(
        &mut self,
        real: Result<Connection, brama::Error>,
        expected: Result<reference::Handle, Answer>,
    ) -> (Answer, Answer) {
        match (real, expected) {
            (Ok(handle), Ok(who)) => {
                self.handles[self.next_handle] = Some((handle, who));
                self.next_handle = (self.next_handle + 1) % self.handles.len();
                (Answer::Handle, Answer::Handle)
            }
            (real, expected) => (
                Answer::of(real, |_| Answer::Handle),
                expected.map_or_else(|answer| answer, |_| Answer::Handle),
            ),
        }
    }

    fn poll(&mut self) {
        self.brama.poll();
        let handles = self.handles.iter().flatten().map(|(_, handle)| handle.id);
        self.model.poll(&handles.collect());
    }

    fn apply(&mut self, op: &Op) -> (Answer, Answer) {
        let none = Given::default();
        match op {
            Op::Register(name, given) => {
                let options = given.as_ref().map(Given::as_options);
                let real = self.brama.register(name.key(), options);
                let expected = self.model.register(*name, given.as_ref().unwrap_or(&none));
                self.keep(real, expected)
            }
            Op::GetOrRegister(name, given) => {
                let options = given.as_ref().map(Given::as_options);
                let real = self.brama.get_or_register(name.key(), options);
                let given = given.as_ref().unwrap_or(&none);
                let expected = self.model.get_or_register(*name, given);
                self.keep(real, expected)
            }
            Op::Connection(name) => {
                let real = self.brama.connection(name.key());
                let expected = self.model.connection(*name);
                self.keep(real, expected)
            }
            Op::Unregister(name) => (
                Answer::done(self.brama.unregister(name.key())),
                self.model.unregister(*name),
            ),
            Op::Available(target) => {
                let (handle, who, name) = self.who(*target);
                let real = match handle {
                    Some(handle) => handle.available(),
                    None => self.brama.available(name.key()),
                };
                (Answer::Bool(real), self.model.available(who))
            }
            Op::Acquire(target) => self.acquire(*target),
            Op::Settle(nth, how) => self.settle(*nth, *how),
            Op::Report(target, outcome) => self.report(*target, *outcome),
            Op::Call(target, how) => self.call(*target, *how),
            Op::Open(target, length) => {
                let how_long = match length {
                    Length::Configured => OpenFor::Configured,
                    Length::Custom(length) => OpenFor::Custom(ms(*length)),
                    Length::Never => OpenFor::Never,
                };
                let (handle, who, name) = self.who(*target);
                let reason = handle.is_some().then_some("by hand");
                let real = match handle {
                    Some(handle) => handle.open_circuit(reason, how_long),
                    None => self.brama.open_circuit(name.key(), None, how_long),
                };
                (Answer::done(real), self.model.open(who, *length, reason))
            }
            Op::Close(target) => {
                let (handle, who, name) = self.who(*target);
                let real = match handle {
                    Some(handle) => handle.close_circuit(),
                    None => self.brama.close_circuit(name.key()),
                };
                (Answer::done(real), self.model.close(who))
            }
            Op::HalfOpen(target) => self.half_open(*target),
            Op::Reset(target) => {
                let (handle, who, name) = self.who(*target);
                let real = match handle {
                    Some(handle) => handle.reset_circuit(),
                    None => self.brama.reset_circuit(name.key()),
                };
                (Answer::done(real), self.model.reset(who))
            }
            Op::ResetAll => {
                self.brama.reset_all();
                self.model.reset_all();
                (Answer::Done, Answer::Done)
            }
            Op::Save => {
                self.saved = self.brama.save();
                (Answer::Done, self.model.save())
            }
            Op::Restore => {
                let real = Answer::of(self.brama.restore(&self.saved), Answer::Restored);
                (real, self.model.restore())
            }
            Op::Configure(given) => (
                Answer::done(self.brama.configure(given.as_config())),
                self.model.configure(given),
            ),
            Op::ConfigureConnection(target, given) => {
                let (handle, who, name) = self.who(*target);
                let options = given.as_options();
                let real = match handle {
                    Some(handle) => handle.configure(options),
                    None => self.brama.configure_connection(name.key(), options),
                };
                let expected = self.model.configure_connection(who, given);
                (Answer::done(real), expected)
            }
            Op::Advance(advance) => {
                let by = match *advance {
                    Advance::By(by) => by,
                    Advance::Edge(nth, beside) => {
                        let edges = self.model.edges();
                        let edge = edges.get(nth).or(edges.last()).copied();
                        edge.unwrap_or(self.model.now)
                            .saturating_add_signed(beside)
                            .saturating_sub(self.model.now)
                    }
                };
                self.clock.advance(ms(by));
                self.model.advance(by);
                (Answer::Done, Answer::Done)
            }
            Op::Poll => {
                if self.driver == Driver::AsTold {
                    self.poll();
                }
                (Answer::Done, Answer::Done)
            }
            Op::Status(target) => {
                let (handle, who, name) = self.who(*target);
                let real = match handle {
                    Some(handle) => handle.status(),
                    None => self.brama.status(name.key()),
                };
                (Answer::status(real), self.model.status(who))
            }
            Op::State(target) => {
                let (handle, who, name) = self.who(*target);
                let real = match handle {
                    Some(handle) => handle.state(),
                    None => self.brama.state(name.key()),
                };
                (Answer::State(real), Answer::State(self.model.state(who)))
            }
            Op::Snapshot => {
                let counts = self.brama.state_counts();
                let counts = [counts.closed, counts.open, counts.half_open];
                if counts != self.model.counts() {
                    return (Answer::Counts(counts), Answer::Counts(self.model.counts()));
                }
                self.snapshot()
            }
            Op::SnapshotOfScope(scope) => {
                let expected = self.model.snapshot(|name| name.scope == *scope);
                let real = self.brama.snapshot_of_scope(*scope);
                (Answer::snapshot(real), Answer::Snapshot(expected))
            }
            Op::Reports(..) | Op::ProbesFail(..) => unreachable!("made of other steps"),
        }
    }

    fn acquire(&mut self, target: Target) -> (Answer, Answer) {
        let (handle, who, name) = self.who(target);
        let unseen = self.unseen_rejections(who);
        let real = match handle {
            Some(handle) => handle.acquire_owned(),
            None => self.brama.acquire(name.key()),
        };
        let drawn = real.is_ok() && self.has_drawn(who, unseen);
        match (real, self.model.acquire(who, drawn)) {
            (Ok(permit), Ok(expected)) => {
                self.permits.push((permit, expected));
                (Answer::Admitted, Answer::Admitted)
            }
            (real, expected) => (
                Answer::of(real, |_| Answer::Admitted),
                expected.map_or_else(|answer| answer, |_| Answer::Admitted),
            ),
        }
    }

    /// Reports or drops an outstanding permit. `nth` counts from the latest.
    fn settle(&mut self, nth: usize, how: Settle) -> (Answer, Answer) {
        if self.permits.is_empty() {
            return (Answer::Done, Answer::Done);
        }
        // Mostly one of the latest three, and sometimes any.
        let nth = if nth < 48 { nth % 3 } else { nth };
        let place = self.permits.len() - 1 - nth % self.permits.len();
        let (permit, expected) = self.permits.remove(place);
        match how {
            Settle::Report(outcome) => {
                let (real, reason) = match outcome {
                    Outcome::Success => (Answer::done(permit.success()), None),
                    Outcome::SuccessIn(lasted) => {
                        (Answer::done(permit.success_in(ms(lasted))), None)
                    }
                    Outcome::FailureIn(lasted) => {
                        let answer = permit.failure_in(ms(lasted), None);
                        (Answer::of(answer, Answer::Count), None)
                    }
                    Outcome::Failure => {
                        let answer = Answer::of(permit.failure("no answer"), Answer::Count);
                        (answer, Some("no answer"))
                    }
                    Outcome::FailureFor(wait) => {
                        let answer = permit.failure_for("HTTP 429", ms(wait));
                        (Answer::of(answer, Answer::Count), Some("HTTP 429"))
                    }
                    Outcome::Ignored => (Answer::done(permit.ignore()), None),
                };
                (real, self.model.settle(&expected, outcome, reason))
            }
            Settle::Drop => {
                drop(permit);
                self.model.cancel(&expected);
                (Answer::Done, Answer::Done)
            }
            Settle::Panic => {
                let caught = panic::catch_unwind(AssertUnwindSafe(|| {
                    let _permit = permit;
                    panic::resume_unwind(Box::new("a guarded call"));
                }));
                assert!(caught.is_err());
                self.model
                    .settle(&expected, Outcome::Failure, Some("panic"));
                (Answer::Panicked, Answer::Panicked)
            }
        }
    }

    fn report(&mut self, target: Target, outcome: Outcome) -> (Answer, Answer) {
        let (handle, who, name) = self.who(target);
        let reason = match (outcome, &handle) {
            (Outcome::Failure, None) => Some("down"),
            (Outcome::FailureIn(_), None) => Some("slow"),
            (Outcome::FailureFor(_), None) => Some("busy"),
            _ => None,
        };
        let real = match (outcome, handle) {
            (Outcome::Success, Some(handle)) => Answer::done(handle.success()),
            (Outcome::Success, None) => Answer::done(self.brama.success(name.key())),
            (Outcome::SuccessIn(lasted), Some(handle)) => {
                Answer::done(handle.success_in(ms(lasted)))
            }
            (Outcome::SuccessIn(lasted), None) => {
                Answer::done(self.brama.success_in(name.key(), ms(lasted)))
            }
            (Outcome::FailureIn(lasted), Some(handle)) => {
                Answer::of(handle.failure_in(ms(lasted), None), Answer::Count)
            }
            (Outcome::FailureIn(lasted), None) => {
                let answer = self.brama.failure_in(name.key(), ms(lasted), "slow");
                Answer::of(answer, Answer::Count)
            }
            (Outcome::FailureFor(wait), Some(handle)) => {
                Answer::of(handle.failure_for(None, ms(wait)), Answer::Count)
            }
            (Outcome::FailureFor(wait), None) => {
                let answer = self.brama.failure_for(name.key(), "busy", ms(wait));
                Answer::of(answer, Answer::Count)
            }
            (_, Some(handle)) => Answer::of(handle.failure(None), Answer::Count),
            (_, None) => Answer::of(self.brama.failure(name.key(), "down"), Answer::Count),
        };
        (real, self.model.report(who, None, outcome, reason))
    }

    fn half_open(&mut self, target: Target) -> (Answer, Answer) {
        let (handle, who, name) = self.who(target);
        let real = match handle {
            Some(handle) => handle.half_open_circuit(),
            None => self.brama.half_open_circuit(name.key()),
        };
        (Answer::done(real), self.model.half_open(who))
    }
}
