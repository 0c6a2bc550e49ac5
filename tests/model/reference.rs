//! The reference model: a whole manager, naive and single-threaded, written
//! from the design and not from the implementation.

use std::collections::{HashMap, VecDeque};

use brama::{KeyBuf, State};

use crate::settings::{Effective, Given};
use crate::trace::{Length, Name, Outcome};
use crate::view::{Answer, View};

#[derive(Clone, Debug)]
enum Mode {
    Closed,
    /// `until: None`: until somebody closes it.
    Open {
        until: Option<u64>,
        lasting: Option<u64>,
    },
    HalfOpen {
        leases: Vec<Lease>,
        successes: u32,
    },
}

#[derive(Clone, Debug)]
struct Lease {
    id: u64,
    ends: u64,
}

#[derive(Clone, Debug)]
struct Circuit {
    /// Tells a connection from an earlier one of the same name.
    id: u64,
    own: Given,
    mode: Mode,
    /// Counts the changes of state.
    period: u64,
    in_a_row: u32,
    failure_times: VecDeque<u64>,
    trips: u32,
    successes: u64,
    failures: u64,
    rejections: u64,
    registered_at: u64,
    last_success: Option<u64>,
    last_failure: Option<u64>,
    opened_at: Option<u64>,
    changed_at: Option<u64>,
    active_at: u64,
    /// Admitted while closed since the last cleanup.
    used: bool,
}

/// A connection as a handle remembers it.
#[derive(Clone, Copy, Debug)]
pub struct Handle {
    pub name: Name,
    id: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Permit {
    handle: Handle,
    period: u64,
    /// None for an admission on a closed circuit.
    lease: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub enum Who {
    Name(Name),
    Handle(Handle),
}

#[derive(Debug)]
pub struct Manager {
    pub now: u64,
    pub epoch: u64,
    global: Given,
    circuits: HashMap<Name, Circuit>,
    last_id: u64,
    last_cleanup: u64,
}

impl Circuit {
    /// What time alone has done until now.
    fn catch_up(&mut self, now: u64) {
        match &mut self.mode {
            Mode::Open {
                until: Some(until), ..
            } if *until <= now => {
                let then = *until;
                self.half_open(then);
                self.active_at = self.active_at.max(then);
            }
            Mode::HalfOpen { leases, .. } => leases.retain(|lease| now < lease.ends),
            _ => {}
        }
    }

    /// An instruction that stands, however long nobody calls.
    fn is_held_open(&self) -> bool {
        matches!(self.mode, Mode::Open { until: None, .. })
    }

    fn change(&mut self, mode: Mode, now: u64) {
        self.mode = mode;
        self.period += 1;
        self.changed_at = Some(now);
    }

    fn open(&mut self, now: u64, lasting: Option<u64>) {
        let until = lasting.map(|lasting| now + lasting);
        self.change(Mode::Open { until, lasting }, now);
        self.opened_at = Some(now);
    }

    fn trip(&mut self) {
        self.trips = (self.trips + 1).min(255);
    }

    fn half_open(&mut self, now: u64) {
        let (leases, successes) = (Vec::new(), 0);
        self.change(Mode::HalfOpen { leases, successes }, now);
    }

    fn forget_failures(&mut self) {
        self.in_a_row = 0;
        self.failure_times.clear();
    }

    fn count(&self, settings: &Effective, now: u64) -> u32 {
        match settings.window {
            None => self.in_a_row,
            Some(window) => self
                .failure_times
                .iter()
                .filter(|then| now - **then < window)
                .count() as u32,
        }
    }

    /// Whether this report still belongs to the present state; gives a probe's
    /// slot back.
    fn settle(&mut self, permit: Option<&Permit>) -> bool {
        let Some(permit) = permit else { return true };
        if permit.period != self.period {
            return false;
        }
        match (&mut self.mode, permit.lease) {
            (Mode::HalfOpen { leases, .. }, Some(id)) => {
                let before = leases.len();
                leases.retain(|lease| lease.id != id);
                leases.len() < before
            }
            _ => true,
        }
    }

    fn success(&mut self, settings: &Effective, now: u64, permit: Option<&Permit>) -> Answer {
        self.successes += 1;
        self.last_success = Some(now);
        self.active_at = now;
        if !self.settle(permit) {
            return Answer::Stale;
        }
        self.forget_failures();
        if let Mode::HalfOpen { successes, .. } = &mut self.mode {
            *successes += 1;
            if *successes >= settings.half_open_successes {
                self.trips = 0;
                self.change(Mode::Closed, now);
            }
        }
        Answer::Done
    }

    fn failure(&mut self, settings: &Effective, now: u64, permit: Option<&Permit>) -> Answer {
        self.failures += 1;
        self.last_failure = Some(now);
        self.active_at = now;
        if !self.settle(permit) {
            return Answer::Stale;
        }
        self.in_a_row += 1;
        // Without a window nobody wrote times down.
        if settings.window.is_some() {
            self.failure_times.push_back(now);
        }
        let count = self.count(settings, now);
        let opens = match self.mode {
            Mode::Closed => settings.max_attempts.is_some_and(|max| count >= max),
            Mode::HalfOpen { .. } => true,
            Mode::Open { .. } => false,
        };
        if opens {
            self.trip();
            self.open(now, Some(settings.expiry_at(self.trips)));
        }
        match settings.window {
            Some(_) => Answer::CountInWindow(count),
            None => Answer::Count(count),
        }
    }

    fn ignored(&mut self, now: u64, permit: &Permit) -> Answer {
        self.active_at = now;
        if self.settle(Some(permit)) {
            Answer::Done
        } else {
            Answer::Stale
        }
    }

    /// The lease of an admission, None on a closed circuit; or after how long to
    /// ask again.
    fn acquire(
        &mut self,
        settings: &Effective,
        now: u64,
        next_id: u64,
    ) -> Result<Option<u64>, Option<u64>> {
        let length = settings
            .probe_timeout
            .unwrap_or(settings.expiry_at(self.trips));
        match &mut self.mode {
            Mode::Closed => {
                self.used = true;
                Ok(None)
            }
            Mode::HalfOpen { leases, .. }
                if leases.len() < settings.half_open_max_calls as usize =>
            {
                leases.push(Lease {
                    id: next_id,
                    ends: now + length,
                });
                self.active_at = now;
                Ok(Some(next_id))
            }
            Mode::HalfOpen { leases, .. } => {
                self.rejections += 1;
                Err(leases.iter().map(|lease| lease.ends - now).min())
            }
            Mode::Open { until, .. } => {
                self.rejections += 1;
                Err(until.map(|until| until - now))
            }
        }
    }

    fn open_by_hand(&mut self, settings: &Effective, now: u64, length: Length) {
        self.active_at = now;
        let already = matches!(self.mode, Mode::Open { .. });
        if !already {
            self.trip();
        }
        let new_lasting = match length {
            Length::Configured => Some(settings.expiry_at(self.trips)),
            Length::Custom(ms) => Some(ms),
            Length::Never => None,
        };
        match &mut self.mode {
            Mode::Open { until, lasting } => {
                *lasting = new_lasting;
                *until = new_lasting.map(|ms| now + ms);
            }
            _ => self.open(now, new_lasting),
        }
    }

    fn close_by_hand(&mut self, now: u64) {
        self.active_at = now;
        if !matches!(self.mode, Mode::Closed) {
            self.change(Mode::Closed, now);
        }
    }

    fn half_open_by_hand(&mut self, now: u64) {
        self.active_at = now;
        if !matches!(self.mode, Mode::HalfOpen { .. }) {
            self.half_open(now);
        }
    }

    fn reset(&mut self, now: u64) {
        self.close_by_hand(now);
        self.forget_failures();
        self.trips = 0;
    }

    fn state(&self) -> State {
        match self.mode {
            Mode::Closed => State::Closed,
            Mode::Open { .. } => State::Open,
            Mode::HalfOpen { .. } => State::HalfOpen,
        }
    }
}

impl Manager {
    /// A manager whose clock shows `epoch` as Unix time when it is made.
    pub fn new(epoch: u64, global: Given) -> Manager {
        Manager {
            now: 0,
            epoch,
            global,
            circuits: HashMap::new(),
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

    /// Moments at which something ends, for a clock that likes boundaries.
    pub fn edges(&self) -> Vec<u64> {
        let mut edges = Vec::new();
        for circuit in self.circuits.values() {
            match &circuit.mode {
                Mode::Open { until, .. } => edges.extend(until),
                Mode::HalfOpen { leases, .. } => edges.extend(leases.iter().map(|l| l.ends)),
                Mode::Closed => {}
            }
            if let Some(window) = Effective::of(&circuit.own, &self.global).window {
                edges.extend(circuit.failure_times.iter().map(|then| then + window));
            }
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
        if let Some(field) = given.flaw_over(&self.global) {
            return Err(Answer::InvalidConfig(field));
        }
        if self.is_registered(name) {
            return Err(Answer::AlreadyRegistered(name.owned()));
        }
        Ok(self.insert(name, given))
    }

    fn insert(&mut self, name: Name, given: &Given) -> Handle {
        self.last_id += 1;
        let circuit = Circuit {
            id: self.last_id,
            own: given.clone(),
            mode: Mode::Closed,
            period: 0,
            in_a_row: 0,
            failure_times: VecDeque::new(),
            trips: 0,
            successes: 0,
            failures: 0,
            rejections: 0,
            registered_at: self.now,
            last_success: None,
            last_failure: None,
            opened_at: None,
            changed_at: None,
            active_at: self.now,
            used: false,
        };
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

    /// The circuit and its settings; `uses`: an unknown name may be registered.
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
        Answer::Bool(circuit.is_ok_and(|(circuit, _)| circuit.state() != State::Open))
    }

    pub fn acquire(&mut self, who: Who) -> Result<Permit, Answer> {
        let now = self.now;
        let next_id = self.last_id + 1;
        let (circuit, settings) = self.find(who, true)?;
        let lease = circuit
            .acquire(&settings, now, next_id)
            .map_err(Answer::Rejected)?;
        let (id, period) = (circuit.id, circuit.period);
        let name = match who {
            Who::Name(name) | Who::Handle(Handle { name, .. }) => name,
        };
        self.last_id += 2;
        Ok(Permit {
            handle: Handle { name, id },
            period,
            lease,
        })
    }

    /// Reports with or without a permit.
    pub fn report(&mut self, who: Who, permit: Option<&Permit>, outcome: Outcome) -> Answer {
        let now = self.now;
        let (circuit, settings) = match self.find(who, true) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        match (outcome, permit) {
            (Outcome::Success, permit) => circuit.success(&settings, now, permit),
            (Outcome::Failure, permit) => circuit.failure(&settings, now, permit),
            (Outcome::Ignored, Some(permit)) => circuit.ignored(now, permit),
            (Outcome::Ignored, None) => Answer::Done,
        }
    }

    pub fn settle(&mut self, permit: &Permit, outcome: Outcome) -> Answer {
        self.report(Who::Handle(permit.handle), Some(permit), outcome)
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

    pub fn open(&mut self, who: Who, length: Length) -> Answer {
        if length == Length::Custom(0) {
            return Answer::InvalidArgument("expiry");
        }
        self.control(who, |circuit, settings, now| {
            circuit.open_by_hand(settings, now, length);
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

    pub fn configure(&mut self, given: &Given) -> Answer {
        if let Some(field) = given.flaw_over(&self.global) {
            return Answer::InvalidConfig(field);
        }
        self.global = self.global.updated_by(given);
        Answer::Done
    }

    pub fn configure_connection(&mut self, who: Who, given: &Given) -> Answer {
        let now = self.now;
        let below = match self.find(who, false) {
            Ok((circuit, _)) => circuit.own.clone(),
            Err(answer) => match who {
                // A first use that is invalid registers nothing.
                Who::Name(name)
                    if name.check().is_ok() && self.global.auto_register == Some(true) =>
                {
                    Given::default()
                }
                _ => return answer,
            },
        };
        if let Some(field) = given.flaw_over(&self.global.updated_by(&below)) {
            return Answer::InvalidConfig(field);
        }
        self.control(who, |circuit, _, _| {
            circuit.own = circuit.own.updated_by(given);
            circuit.active_at = now;
        })
    }

    pub fn poll(&mut self) {
        let (Some(threshold), now) = (self.threshold(), self.now) else {
            return;
        };
        if now < self.last_cleanup + self.interval() {
            return;
        }
        self.last_cleanup = now;
        self.circuits.retain(|_, circuit| {
            if std::mem::take(&mut circuit.used) {
                circuit.active_at = now;
            }
            now - circuit.active_at < threshold || circuit.is_held_open()
        });
    }

    pub fn state(&mut self, who: Who) -> State {
        self.find(who, false)
            .map_or(State::Unknown, |(circuit, _)| circuit.state())
    }

    pub fn status(&mut self, who: Who) -> Answer {
        let (now, epoch) = (self.now, self.epoch);
        let name = match who {
            Who::Name(name) | Who::Handle(Handle { name, .. }) => name,
        };
        match self.find(who, false) {
            Ok((circuit, settings)) => {
                Answer::Status(Box::new(circuit.view(name.owned(), settings, now, epoch)))
            }
            Err(answer) => answer,
        }
    }

    /// Everything, ordered by scope and identifier.
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

impl Circuit {
    fn view(&self, key: KeyBuf, settings: Effective, now: u64, epoch: u64) -> View {
        let unix = |moment: Option<u64>| moment.map(|ms| epoch + ms);
        let reports = self.successes + self.failures;
        View {
            key,
            state: self.state(),
            failure_count: self.count(&settings, now),
            total_successes: self.successes,
            total_failures: self.failures,
            total_rejections: self.rejections,
            success_rate: (reports > 0).then(|| self.successes as f64 / reports as f64),
            last_success_time: unix(self.last_success),
            last_failure_time: unix(self.last_failure),
            opened_at: unix(self.opened_at),
            last_state_change: unix(self.changed_at),
            time_in_state: now - self.changed_at.unwrap_or(self.registered_at),
            expiry: match self.mode {
                Mode::Open { lasting, .. } => lasting,
                _ => Some(settings.expiry_at(self.trips)),
            },
            retry_after: match self.mode {
                Mode::Open { until, .. } => until.map(|until| until - now),
                _ => None,
            },
            trips: self.trips,
            metadata: self.own.metadata.clone().unwrap_or_default(),
            settings,
        }
    }
}
