//! The reference model: a whole manager, naive and single-threaded. It is written from the promises
//! of the guide and not from the implementation.

use std::collections::{HashMap, HashSet};

use brama::State;

use crate::admission::{Admission, Mode};
use crate::circuit::{Circuit, Saved};
use crate::effective::Effective;
use crate::settings::Given;
use crate::trace::{Length, Name, Outcome};
use crate::view::{Answer, View};

/// The connection that a handle refers to.
#[derive(Clone, Copy, Debug)]
pub struct Handle {
    pub name: Name,
    pub id: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Permit {
    pub handle: Handle,
    admission: Admission,
}

#[derive(Clone, Copy, Debug)]
pub enum Who {
    Name(Name),
    Handle(Handle),
}

impl Who {
    pub fn name(self) -> Name {
        match self {
            Who::Name(name) | Who::Handle(Handle { name, .. }) => name,
        }
    }
}

#[derive(Debug)]
pub struct Manager {
    pub now: u64,
    pub epoch: u64,
    global: Given,
    circuits: HashMap<Name, Circuit>,
    /// The last save.
    saved: Vec<(Name, Saved)>,
    /// Restored circuits whose names are not registered.
    waiting: HashMap<Name, Saved>,
    last_id: u64,
    last_cleanup: u64,
}

impl Manager {
    /// A manager whose clock shows the Unix time `epoch` when it is made.
    pub fn new(epoch: u64, global: Given) -> Manager {
        Manager {
            now: 0,
            epoch,
            global,
            circuits: HashMap::new(),
            saved: Vec::new(),
            waiting: HashMap::new(),
            last_id: 0,
            last_cleanup: 0,
        }
    }

    pub fn advance(&mut self, by: u64) {
        self.now += by;
        for circuit in self.circuits.values_mut() {
            circuit.catch_up(self.now);
        }
    }

    /// The times at which something ends. Traces advance the clock to these times and beside them.
    pub fn edges(&self) -> Vec<u64> {
        let mut edges = Vec::new();
        for circuit in self.circuits.values() {
            match &circuit.mode {
                Mode::Open { until, .. } => edges.extend(until),
                Mode::HalfOpen(probing) => edges.extend(probing.ends(self.now)),
                Mode::Ramp { until } => edges.push(*until),
                Mode::Closed => {}
            }
            if let Some(window) = Effective::of(&circuit.own, &self.global).window {
                edges.extend(circuit.failure_times.iter().map(|then| then + window));
            }
            edges.extend(circuit.evidence_edges(self.now));
            if let Some(threshold) = self.threshold() {
                edges.push(circuit.active_at + threshold);
            }
        }
        edges.push(self.last_cleanup + self.interval());
        edges.retain(|edge| *edge >= self.now);
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    fn interval(&self) -> u64 {
        self.global.cleanup_interval.unwrap_or(10_000)
    }

    fn threshold(&self) -> Option<u64> {
        self.global.inactive_threshold.unwrap_or(Some(86_400_000))
    }

    pub fn is_registered(&self, name: Name) -> bool {
        self.circuits.contains_key(&name)
    }

    pub fn register(&mut self, name: Name, given: &Given) -> Result<Handle, Answer> {
        name.check()?;
        if let Some(field) = given.flaw_of_connection(&Given::default(), &self.global) {
            return Err(Answer::InvalidConfig(field));
        }
        if self.is_registered(name) {
            return Err(Answer::AlreadyRegistered(name.owned()));
        }
        Ok(self.insert(name, given))
    }

    fn insert(&mut self, name: Name, given: &Given) -> Handle {
        self.last_id += 1;
        let mut circuit = Circuit::new(self.last_id, given.clone(), self.now);
        circuit.settle_for(&Effective::of(given, &self.global), self.now);
        if let Some(saved) = self.waiting.remove(&name) {
            circuit.restore(&saved, self.now);
        }
        self.circuits.insert(name, circuit);
        let id = self.last_id;
        Handle { name, id }
    }

    pub fn get_or_register(&mut self, name: Name, given: &Given) -> Result<Handle, Answer> {
        match self.circuits.get(&name) {
            Some(circuit) => Ok(Handle {
                name,
                id: circuit.id,
            }),
            None => self.register(name, given),
        }
    }

    pub fn connection(&mut self, name: Name) -> Result<Handle, Answer> {
        let id = self.find(Who::Name(name), true)?.0.id;
        Ok(Handle { name, id })
    }

    pub fn unregister(&mut self, name: Name) -> Answer {
        if let Err(answer) = self.find(Who::Name(name), false) {
            return answer;
        }
        self.circuits.remove(&name);
        Answer::Done
    }

    /// The circuit and its settings. `uses`: the operation may register an unknown name.
    fn find(&mut self, who: Who, uses: bool) -> Result<(&mut Circuit, Effective), Answer> {
        let (name, id) = match who {
            Who::Name(name) => (name, None),
            Who::Handle(handle) => (handle.name, Some(handle.id)),
        };
        name.check()?;
        let auto_register = self.global.auto_register == Some(true);
        if uses && id.is_none() && auto_register && !self.is_registered(name) {
            self.insert(name, &Given::default());
        }
        let circuit = self.circuits.get_mut(&name);
        match circuit.filter(|circuit| id.is_none_or(|id| circuit.id == id)) {
            Some(circuit) => {
                let settings = Effective::of(&circuit.own, &self.global);
                Ok((circuit, settings))
            }
            None => Err(Answer::NotFound(name.owned())),
        }
    }

    pub fn available(&mut self, who: Who) -> Answer {
        let circuit = self.find(who, true);
        Answer::Bool(circuit.is_ok_and(|(circuit, _)| circuit.is_available()))
    }

    /// [`Circuit::draws_in_a_shadow`], and false for an unknown name.
    pub fn draws_in_a_shadow(&mut self, who: Who) -> bool {
        let circuit = self.find(who, false);
        circuit.is_ok_and(|(circuit, _)| circuit.draws_in_a_shadow())
    }

    /// Acquires a permit. `drawn`: whether a ramp has drawn the call.
    pub fn acquire(&mut self, who: Who, drawn: bool) -> Result<Permit, Answer> {
        let permit = self.admit(who, drawn)?;
        // The permit may outlast its handle.
        let (circuit, _) = self.find(who, false)?;
        circuit.is_visited = true;
        Ok(permit)
    }

    /// Admits a guarded call. By name it leaves a mark; by handle the connection is held as long as
    /// the call lasts.
    pub fn admit_call(&mut self, who: Who, drawn: bool) -> Result<Permit, Answer> {
        let permit = self.admit(who, drawn)?;
        let (circuit, _) = self.find(who, false)?;
        if matches!(who, Who::Name(_)) {
            circuit.is_visited = true;
        }
        Ok(permit)
    }

    fn admit(&mut self, who: Who, drawn: bool) -> Result<Permit, Answer> {
        let now = self.now;
        let next_id = self.last_id + 1;
        let (circuit, settings) = self.find(who, true)?;
        let admission = circuit
            .acquire(&settings, now, next_id, drawn)
            .map_err(|(why, wait)| Answer::Rejected(why, wait))?;
        let id = circuit.id;
        self.last_id += 2;
        let name = who.name();
        Ok(Permit {
            handle: Handle { name, id },
            admission,
        })
    }

    /// Reports with or without a permit.
    pub fn report(
        &mut self,
        who: Who,
        permit: Option<&Admission>,
        outcome: Outcome,
        reason: Option<&'static str>,
    ) -> Answer {
        let now = self.now;
        let (circuit, settings) = match self.find(who, true) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        match (outcome, permit) {
            (Outcome::Success, permit) => circuit.success(&settings, now, permit, None),
            (Outcome::SuccessIn(lasted), permit) => {
                circuit.success(&settings, now, permit, Some(lasted))
            }
            (Outcome::Failure, permit) => {
                circuit.failure(&settings, now, permit, None, None, reason)
            }
            (Outcome::FailureIn(lasted), permit) => {
                circuit.failure(&settings, now, permit, None, Some(lasted), reason)
            }
            (Outcome::FailureFor(wait), permit) => {
                let wait = (wait > 0).then_some(wait);
                circuit.failure(&settings, now, permit, wait, None, reason)
            }
            (Outcome::Ignored, Some(permit)) => circuit.ignored(now, permit),
            (Outcome::Ignored, None) => Answer::Done,
        }
    }

    pub fn settle(
        &mut self,
        permit: &Permit,
        outcome: Outcome,
        reason: Option<&'static str>,
    ) -> Answer {
        let who = Who::Handle(permit.handle);
        match self.report(who, Some(&permit.admission), outcome, reason) {
            // A permit does not keep the name.
            Answer::NotFound(_) => Answer::NotFound(brama::KeyBuf {
                scope: None,
                identifier: String::new(),
            }),
            answer => answer,
        }
    }

    pub fn cancel(&mut self, permit: &Permit) -> Answer {
        let now = self.now;
        match self.find(Who::Handle(permit.handle), true) {
            Ok((circuit, settings)) => circuit.cancelled(&settings, now, &permit.admission),
            Err(answer) => answer,
        }
    }

    fn control(&mut self, who: Who, act: impl FnOnce(&mut Circuit, &Effective, u64)) -> Answer {
        let now = self.now;
        match self.find(who, true) {
            Ok((circuit, settings)) => {
                act(circuit, &settings, now);
                Answer::Done
            }
            Err(answer) => answer,
        }
    }

    pub fn open(&mut self, who: Who, length: Length, reason: Option<&'static str>) -> Answer {
        if length == Length::Custom(0) {
            return Answer::InvalidArgument("expiry");
        }
        self.control(who, |circuit, settings, now| {
            circuit.open_by_hand(settings, now, length, reason);
        })
    }

    pub fn close(&mut self, who: Who) -> Answer {
        self.control(who, |circuit, _, now| circuit.close_by_hand(now))
    }

    pub fn half_open(&mut self, who: Who) -> Answer {
        self.control(who, |circuit, _, now| circuit.half_open_by_hand(now))
    }

    pub fn reset(&mut self, who: Who) -> Answer {
        self.control(who, |circuit, _, now| circuit.reset(now))
    }

    pub fn reset_all(&mut self) {
        for circuit in self.circuits.values_mut() {
            circuit.reset(self.now);
        }
    }

    pub fn save(&mut self) -> Answer {
        let saved = self.circuits.iter().map(|(name, circuit)| {
            let settings = Effective::of(&circuit.own, &self.global);
            (*name, circuit.save(&settings, self.now))
        });
        self.saved = saved.collect();
        Answer::Done
    }

    /// Restores the last save, if there is one.
    pub fn restore(&mut self) -> Answer {
        let mut count = 0;
        for (name, saved) in &self.saved {
            match self.circuits.get_mut(name) {
                Some(circuit) => count += usize::from(circuit.restore(saved, self.now)),
                None => {
                    self.waiting.insert(*name, saved.clone());
                    count += 1;
                }
            }
        }
        Answer::Restored(count)
    }

    pub fn configure(&mut self, given: &Given) -> Answer {
        if let Some(field) = given.flaw_over(&self.global, &Given::default()) {
            return Answer::InvalidConfig(field);
        }
        self.global = self.global.updated_by(given);
        for circuit in self.circuits.values_mut() {
            circuit.settle_for(&Effective::of(&circuit.own, &self.global), self.now);
        }
        Answer::Done
    }

    pub fn configure_connection(&mut self, who: Who, given: &Given) -> Answer {
        let now = self.now;
        let own = match self.find(who, false) {
            Ok((circuit, _)) => circuit.own.clone(),
            Err(answer) => match who {
                // A first use with invalid settings registers nothing.
                Who::Name(name)
                    if name.check().is_ok() && self.global.auto_register == Some(true) =>
                {
                    Given::default()
                }
                _ => return answer,
            },
        };
        if let Some(field) = given.flaw_of_connection(&own, &self.global) {
            return Answer::InvalidConfig(field);
        }
        let global = self.global.clone();
        self.control(who, |circuit, _, _| {
            circuit.own = circuit.own.updated_by(given);
            circuit.settle_for(&Effective::of(&circuit.own, &global), now);
            circuit.active_at = now;
        })
    }

    /// One turn of the driver. `held`: the ids of the connections that have a handle.
    pub fn poll(&mut self, held: &HashSet<u64>) {
        let (Some(threshold), now) = (self.threshold(), self.now) else {
            return;
        };
        if now < self.last_cleanup + self.interval() {
            return;
        }
        self.last_cleanup = now;
        self.circuits.retain(|_, circuit| {
            if std::mem::take(&mut circuit.is_visited) {
                circuit.active_at = now;
            }
            let is_idle = now - circuit.active_at >= threshold;
            !is_idle || circuit.is_busy(now) || held.contains(&circuit.id)
        });
    }

    pub fn state(&mut self, who: Who) -> State {
        self.find(who, false)
            .map_or(State::Unknown, |(circuit, _)| circuit.state())
    }

    pub fn status(&mut self, who: Who) -> Answer {
        let (now, epoch) = (self.now, self.epoch);
        let name = who.name();
        match self.find(who, false) {
            Ok((circuit, settings)) => {
                Answer::Status(Box::new(circuit.view(name.owned(), settings, now, epoch)))
            }
            Err(answer) => answer,
        }
    }

    /// The status of all wanted connections, ordered by scope and identifier.
    pub fn snapshot(&self, wanted: impl Fn(Name) -> bool) -> Vec<View> {
        let mut views: Vec<View> = self
            .circuits
            .iter()
            .filter(|(name, _)| wanted(**name))
            .map(|(name, circuit)| {
                let settings = Effective::of(&circuit.own, &self.global);
                circuit.view(name.owned(), settings, self.now, self.epoch)
            })
            .collect();
        views.sort_by(|a, b| a.key.cmp(&b.key));
        views
    }

    /// How many are closed, open and half-open.
    pub fn counts(&self) -> [usize; 3] {
        [State::Closed, State::Open, State::HalfOpen].map(|state| {
            self.circuits
                .values()
                .filter(|circuit| circuit.state() == state)
                .count()
        })
    }
}
