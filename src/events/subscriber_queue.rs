//! A subscriber's own queue, drained by its host.
//!
//! It is bounded: up to `capacity` events wait in order. When so many wait, a droppable event is
//! dropped, and a kept one is *put aside*: for each connection at most one event of each type, the
//! latest, which stands for the earlier ones. Events that were put aside come after those that
//! wait.
//!
//! Nothing is kept of a connection that was registered and removed while the queue was full. So
//! memory is bounded by the capacity, and by the connections that there are, or were when the queue
//! filled up. The queue recognises such a connection by its number: the host may have heard of
//! those up to `known`, and of no other. The connection's [last](Event::is_last) event makes the
//! queue forget it. Later events say only that the connection is gone. If the subscriber does not
//! hear of removals, the dispatcher calls [`sort_out`](SubscriberQueue::sort_out) instead.
//!
//! The dispatcher and the host share a mutex, which each holds for a few moves of events. Reporters
//! never use the queue.
//!
//! In the child of a `fork` a queue is empty: what waited is for the parent's host to take.
//!
//! # Waking
//!
//! A host that sleeps waits on the condition variable, or on a file descriptor of its own event
//! loop, which is readable while anything waits. Each wake is a system call. So a *burst* of events,
//! which the dispatcher posts under one lock, makes at most one wake of each kind: none if no
//! thread sleeps, and none if the descriptor is readable already. For that the next poster has to
//! know the number of sleepers, and whether the descriptor is readable. Both lie under the lock,
//! beside the events.
//!
//! A burst wakes one sleeper. A thread that was asleep and leaves events behind wakes the next one:
//! it takes fewer than there are, or only looks. So while events wait and threads sleep, one that
//! will look is on its way.
//!
//! Rejected: *a wake for each event*, which is nearly all that delivery costs; *waking all
//! sleepers*, most of which would find nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use once_cell::race::OnceBox;

use crate::sys::atomic::{AtomicU32, Condvar, Mutex, MutexGuard, Ordering};
use crate::sys::per_process::{PerProcess, Renew};
use crate::sys::wake_fd::WakeFd;
use crate::values::event::Event;
use crate::values::state::State;

/// Fewer connections with events aside than this are not worth sorting out.
const ROOMY: usize = 1_024;

pub(crate) struct SubscriberQueue {
    local: PerProcess<Local>,
    /// 1: nothing more will come.
    closed: AtomicU32,
    /// Set and cleared under the lock on the contents.
    wake: OnceBox<WakeFd>,
}

/// What every process has for itself.
struct Local {
    capacity: usize,
    contents: Mutex<Contents>,
    arrived: Condvar,
}

struct Contents {
    waiting: VecDeque<Event>,
    capacity: usize,
    /// By the connection's id.
    aside: HashMap<u64, Vec<Event>>,
    /// The ids in order of the first event that was put aside; some may not be there any
    /// more.
    order: VecDeque<u64>,
    /// How many threads sleep until something arrives.
    sleeping: usize,
    /// Whether the descriptor, if there is one, is readable because events wait.
    is_readable: bool,
    /// The largest id that there was when the queue was last not full, or of which the host has
    /// heard since. A connection with a larger id was registered while the queue was full.
    known: u64,
    /// From so many connections with events aside on, those that are gone are sorted out.
    crowded: usize,
}

/// What became of a posted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    Delivered,
    Dropped,
    /// A later event stands for it, or it stands for an earlier one.
    Coalesced,
    /// The subscriber need not hear of it, nor of so many events that were counted as delivered.
    Forgotten(u64),
}

/// What became of several events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PostedCounts {
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
    pub(crate) coalesced: u64,
    /// Events that were counted as delivered before, and are coalesced now.
    pub(crate) taken_back: u64,
}

impl PostedCounts {
    fn count(&mut self, posted: Posted) {
        match posted {
            Posted::Delivered => self.delivered += 1,
            Posted::Dropped => self.dropped += 1,
            Posted::Coalesced => self.coalesced += 1,
            Posted::Forgotten(events) => {
                self.coalesced += 1;
                self.taken_back += events;
            }
        }
    }

    pub(crate) fn add(&mut self, other: PostedCounts) {
        self.delivered += other.delivered;
        self.dropped += other.dropped;
        self.coalesced += other.coalesced;
        self.taken_back += other.taken_back;
    }
}

impl SubscriberQueue {
    pub(crate) fn new(capacity: usize) -> Self {
        SubscriberQueue {
            local: PerProcess::new(Local::new(capacity)),
            closed: AtomicU32::new(0),
            wake: OnceBox::new(),
        }
    }

    /// Posts these events, in this order. `newest` is the id of the connection that was registered
    /// last. Returns what became of the events, and whether so many connections have events aside
    /// that it is time to [sort out](SubscriberQueue::sort_out).
    pub(crate) fn post<'e>(
        &self,
        events: impl Iterator<Item = &'e Event>,
        newest: u64,
    ) -> (PostedCounts, bool) {
        let local = &*self.local;
        let mut contents = local.lock();
        let mut counts = PostedCounts::default();
        if self.is_closed() {
            return (counts, false);
        }
        for event in events {
            counts.count(contents.post(event, newest));
        }
        let is_crowded = contents.aside.len() >= contents.crowded;
        self.show(&mut contents);
        local.wake_one(contents);
        (counts, is_crowded)
    }

    /// Forgets what was put aside of a connection that is gone, if the host has not heard of it.
    /// Returns the number of these events. Called if a filter refuses the removal.
    pub(crate) fn forget(&self, id: u64) -> u64 {
        let mut contents = self.local.lock();
        let forgotten = match id > contents.known {
            true => contents.forget(id),
            false => 0,
        };
        self.show(&mut contents);
        forgotten
    }

    /// Forgets what was put aside of connections that came while the queue was full and are not
    /// `alive` any more. Returns the number of these events.
    pub(crate) fn sort_out(&self, alive: &HashSet<u64>) -> u64 {
        let mut contents = self.local.lock();
        let Contents {
            aside,
            order,
            known,
            crowded,
            ..
        } = &mut *contents;
        let mut forgotten = 0;
        aside.retain(|id, events| {
            let keep = *id <= *known || alive.contains(id);
            forgotten += if keep { 0 } else { events.len() as u64 };
            keep
        });
        order.retain(|id| aside.contains_key(id));
        *crowded = ROOMY.max(2 * aside.len());
        self.show(&mut contents);
        forgotten
    }

    /// The next event, if one waits.
    pub(crate) fn take(&self) -> Option<Event> {
        self.take_from(&mut self.local.lock())
    }

    /// Up to `most` events.
    pub(crate) fn drain(&self, most: usize) -> Vec<Event> {
        let mut contents = self.local.lock();
        let events = contents.take_up_to(most);
        self.show(&mut contents);
        events
    }

    /// The next event. Waits for it until `timeout` is over or the queue is closed.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<Event> {
        let mut contents = self.wait_until_any(timeout);
        let event = self.take_from(&mut contents);
        // What is left is for another thread that sleeps.
        self.local.wake_one(contents);
        event
    }

    /// Waits as [`SubscriberQueue::wait`] does, and returns whether an event waits. Takes none.
    pub(crate) fn wait_for_any(&self, timeout: Duration) -> bool {
        let contents = self.wait_until_any(timeout);
        let any = !contents.is_empty();
        // This thread takes nothing, so it wakes another one that may.
        self.local.wake_one(contents);
        any
    }

    /// Sleeps until an event waits, at most for `timeout`. The caller checks afterwards.
    pub(crate) fn await_any(&self, timeout: Duration) {
        self.wait_for_any(timeout);
    }

    fn wait_until_any(&self, timeout: Duration) -> MutexGuard<'_, Contents> {
        let deadline = Instant::now().checked_add(timeout);
        let local = &*self.local;
        let mut contents = local.lock();
        while contents.is_empty() && !self.is_closed() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            contents.sleeping += 1;
            contents = match left {
                Some(left) => {
                    let woken = local.arrived.wait_timeout(contents, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let woken = local.arrived.wait(contents);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
            };
            contents.sleeping -= 1;
        }
        contents
    }

    pub(crate) fn has_any(&self) -> bool {
        !self.local.lock().is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) == 1
    }

    /// Nothing more will come; what waits may still be taken.
    pub(crate) fn close(&self) {
        let local = &*self.local;
        let contents = local.lock();
        self.closed.store(1, Ordering::Relaxed);
        // A host that sleeps on the descriptor learns of the end.
        if let Some(wake) = self.wake.get() {
            wake.set_for_good();
        }
        drop(contents);
        local.arrived.notify_all();
    }

    /// A descriptor that is readable while events wait, made on the first call.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> std::io::Result<std::os::fd::RawFd> {
        let mut contents = self.local.lock();
        let wake = match self.wake.get() {
            Some(wake) => wake,
            None => {
                let wake = WakeFd::new()?;
                if self.is_closed() {
                    wake.set_for_good();
                }
                let wake = self.wake.get_or_init(|| Box::new(wake));
                self.show(&mut contents);
                wake
            }
        };
        wake.descriptor()
    }

    fn take_from(&self, contents: &mut Contents) -> Option<Event> {
        let event = contents.take();
        self.show(contents);
        event
    }

    /// Makes the descriptor readable if events wait, and unreadable if none does. A system
    /// call only if that changes something.
    fn show(&self, contents: &mut Contents) {
        let any = !contents.is_empty();
        if contents.is_readable != any
            && !self.is_closed()
            && let Some(wake) = self.wake.get()
        {
            contents.is_readable = any;
            match any {
                true => wake.set(),
                false => wake.clear(),
            }
        }
    }
}

impl Local {
    fn new(capacity: usize) -> Self {
        Local {
            capacity,
            contents: Mutex::new(Contents {
                waiting: VecDeque::new(),
                capacity,
                aside: HashMap::new(),
                order: VecDeque::new(),
                sleeping: 0,
                is_readable: false,
                known: 0,
                crowded: ROOMY,
            }),
            arrived: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the contents, and wakes one thread that sleeps, if there is something to take.
    fn wake_one(&self, contents: MutexGuard<'_, Contents>) {
        let wakes = contents.sleeping > 0 && !contents.is_empty();
        drop(contents);
        if wakes {
            self.arrived.notify_one();
        }
    }
}

impl Renew for Local {
    fn renew(&self) -> Self {
        Local::new(self.capacity)
    }
}

impl Contents {
    fn post(&mut self, event: &Event, newest: u64) -> Posted {
        let is_full = self.waiting.len() >= self.capacity || !self.aside.is_empty();
        if !is_full {
            self.known = self.known.max(newest);
            self.waiting.push_back(event.clone());
            return Posted::Delivered;
        }
        if event.kind.is_droppable() {
            return Posted::Dropped;
        }
        self.put_aside(event)
    }

    fn put_aside(&mut self, event: &Event) -> Posted {
        if event.registration() > self.known {
            if event.is_last {
                return Posted::Forgotten(self.forget(event.registration()));
            }
            if !self.aside.contains_key(&event.registration()) && is_epilogue(event) {
                return Posted::Forgotten(0);
            }
        }
        let aside = self.aside.entry(event.registration()).or_insert_with(|| {
            self.order.push_back(event.registration());
            Vec::new()
        });
        let mut event = event.clone();
        match aside.iter().position(|other| other.kind == event.kind) {
            Some(place) => {
                let earlier = aside.remove(place);
                event.stand_for(&earlier);
                aside.push(event);
                Posted::Coalesced
            }
            None => {
                aside.push(event);
                Posted::Delivered
            }
        }
    }

    /// Forgets what was put aside of a connection, and returns the number of these events.
    fn forget(&mut self, id: u64) -> u64 {
        let Some(events) = self.aside.remove(&id) else {
            return 0;
        };
        if self.order.len() > ROOMY.max(2 * self.aside.len()) {
            self.order.retain(|id| self.aside.contains_key(id));
        }
        events.len() as u64
    }

    fn take(&mut self) -> Option<Event> {
        self.bring_forward();
        self.waiting.pop_front()
    }

    fn take_up_to(&mut self, most: usize) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            self.bring_forward();
            let next = self.waiting.len().min(most - events.len());
            if next == 0 {
                return events;
            }
            events.extend(self.waiting.drain(..next));
        }
    }

    /// If nothing waits, lets events wait that were put aside.
    fn bring_forward(&mut self) {
        while self.waiting.is_empty()
            && let Some(id) = self.order.pop_front()
        {
            if let Some(aside) = self.aside.remove(&id) {
                self.known = self.known.max(id);
                self.waiting.extend(aside);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.aside.is_empty()
    }
}

/// Whether the event says only that the connection is gone, and is not of a type that reports a
/// removal.
fn is_epilogue(event: &Event) -> bool {
    event.new_state() == State::Unknown && !event.kind.is_of_removal()
}

#[cfg(test)]
mod tests;
