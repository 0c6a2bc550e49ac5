//! [`Engine`]: the connections of one manager, and what they share.
//!
//! [`Brama`](crate::Brama) and [`Connection`](crate::Connection) are two ways to
//! the operations here; the driver does what falls due. A removal happens in two
//! steps, of which the first decides: the record is marked as retired, which
//! every holder of a handle sees, and then taken out of the table. In between, a
//! look-up by name finds a retired record and treats it as absent; a thread
//! that wants to register the name again takes the record out itself and goes on.

mod audience;
mod configure;
mod saved;
mod walk;

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use crate::circuit::context::Context;
use crate::circuit::event_sink::EventSink;
use crate::circuit::record::{Departure, Record, RecordRef, Refusal, Registrant, rare};
use crate::events::bus::Bus;
use crate::events::bus::Notices;
use crate::manager::driver::{DriverThread, Plan, Planning};
use crate::manager::waiting::Waiting;
use crate::reclaim::{self, Guard};
use crate::structures::striped_counter;
use crate::structures::table::Table;
use crate::structures::waker::Starter;
use crate::sys::atomic::{AtomicU32, Mutex, Ordering, fence, fence_after_rmw};
use crate::sys::clock::Clock;
use crate::sys::fork_lock::ForkLock;
use crate::sys::per_process::PerProcess;
use crate::values::error::Error;
use crate::values::event::Occurrence;
use crate::values::key::Key;
use crate::values::settings::{ConnectionOptions, Global};

/// A shutdown has begun.
const REFUSES: u32 = 1;
/// A shutdown has removed all connections.
const EMPTIED: u32 = 2;

// On cache lines of its own: every call reads fields of the engine, and the reference count of its
// `Arc`, which is written, lies right before it.
#[repr(align(128))]
pub(crate) struct Engine {
    pub(crate) context: Context,
    /// The sink of `context`.
    pub(crate) bus: Arc<Bus>,
    pub(crate) table: Table<Record>,
    /// The driver's own state. Held for one turn by the driver's thread or by
    /// a thread that polls, never by a thread that calls or reports. The way to it is
    /// [`Engine::with_plan`].
    pub(crate) plan: PerProcess<Planning>,
    pub(crate) driver: PerProcess<DriverThread>,
    /// Where there is no driver: held by the thread that does its work, one of the threads that
    /// wait for a queue.
    pub(crate) pumping: ForkLock<()>,
    /// What was saved of names that are not registered yet.
    waiting: Waiting,
    /// 0, [`REFUSES`] or [`EMPTIED`].
    shut: AtomicU32,
}

// No user code runs while a structure of the library is half changed. So a panic of user code leaves
// them whole, and whatever refers to an engine or a record may cross `catch_unwind`.
impl UnwindSafe for Engine {}
impl RefUnwindSafe for Engine {}

impl Engine {
    pub(crate) fn new(
        clock: Clock,
        config: Global,
        notices: Notices,
        starter: Option<Starter>,
    ) -> Self {
        reclaim::prepare();
        let now = clock.now();
        let bus = Arc::new(Bus::new(notices));
        Engine {
            context: Context::new(clock, config, bus.clone(), starter),
            bus,
            table: Table::new(),
            plan: PerProcess::new(Planning(Mutex::new(Plan::new(now)))),
            driver: PerProcess::new(DriverThread::new()),
            pumping: ForkLock::new(()),
            waiting: Waiting::new(),
            shut: AtomicU32::new(0),
        }
    }

    /// Whether the manager was built with a background thread.
    pub(crate) fn has_driver(&self) -> bool {
        self.context.waker.has_driver()
    }

    /// Whether a background thread does what is due. Starts it if it is missing.
    pub(crate) fn is_driven(&self) -> bool {
        self.has_driver() && {
            self.context.waker.attend();
            self.driver.is_running()
        }
    }

    pub(crate) fn is_shut(&self) -> bool {
        // ORDERING: Acquire, partner of the AcqRel in `shut_down`. Races with the walk there
        // are settled by the fences of `shut_down`, `register` and `subscribe`, not by this
        // load.
        self.shut.load(Ordering::Acquire) >= REFUSES
    }

    /// Whether a shutdown has removed all connections, so that delivery may end. Before that, a
    /// reporter may still find its connection, and its event needs the subscribers.
    pub(crate) fn is_emptied(&self) -> bool {
        // ORDERING: Acquire, partner of the AcqRel in `shut_down`: the connections are removed.
        self.shut.load(Ordering::Acquire) == EMPTIED
    }

    /// What a refusal means for the caller who asked `record`.
    #[cold]
    pub(crate) fn error(&self, refusal: Refusal, record: &Record) -> Error {
        match refusal {
            Refusal::Gone if self.is_shut() => Error::ShutDown,
            refusal => record.error(refusal),
        }
    }

    /// Runs `operation` on the record of this name, registering it if the
    /// manager does that. Pinned: `operation` must not run user code.
    #[inline]
    pub(crate) fn with<T>(
        &self,
        key: Key<'_>,
        operation: impl Fn(&Record, &Guard) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        self.with_hash(key, |record, _, guard| operation(record, guard))
    }

    /// [`Engine::with`] that hands on the hash of the name.
    #[inline]
    pub(crate) fn with_hash<T>(
        &self,
        key: Key<'_>,
        operation: impl Fn(&Record, u64, &Guard) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let hash = self.context.hasher.hash(key);
        loop {
            let guard = reclaim::pin();
            if let Some(record) = self.table.get(hash, key, &guard) {
                match operation(record, hash, &guard) {
                    Err(Refusal::Gone) => {}
                    answer => return answer.map_err(|refusal| record.error(refusal)),
                }
            }
            drop(guard);
            self.register_at_first_use(key)?;
        }
    }

    /// Whether a call of this name would be admitted now.
    #[inline]
    pub(crate) fn available(&self, key: Key<'_>) -> bool {
        self.available_by(key.scope(), key.identifier())
    }

    /// Two names fit into registers, a key would go through memory.
    #[inline(never)]
    fn available_by(&self, scope: Option<&str>, identifier: &str) -> bool {
        let key = Key::new(scope, identifier);
        let hash = self.context.hasher.hash(key);
        let guard = reclaim::pin();
        if let Some(record) = self.table.get(hash, key, &guard) {
            if record.available(&self.context) {
                return true;
            }
            if !record.is_retired() {
                return false;
            }
        }
        drop(guard);
        self.available_at_first_use(scope, identifier)
    }

    /// An unknown name is no error here, and asking for one often is cheap.
    #[cold]
    #[inline(never)]
    fn available_at_first_use(&self, scope: Option<&str>, identifier: &str) -> bool {
        let key = Key::new(scope, identifier);
        self.context.attend();
        self.context.auto_register()
            && self
                .with(key, |record, _| match record.available(&self.context) {
                    false if record.is_retired() => Err(Refusal::Gone),
                    answer => Ok(answer),
                })
                .unwrap_or(false)
    }

    #[cold]
    fn register_at_first_use(&self, key: Key<'_>) -> Result<(), Error> {
        self.refuse_if_shut()?;
        key.validate()?;
        if !self.context.auto_register() {
            return Err(Error::not_found(key));
        }
        match self.register(key, None) {
            Ok(_) | Err(Error::AlreadyRegistered(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The record of this name, if it is registered.
    pub(crate) fn find(&self, key: Key<'_>) -> Result<RecordRef, Error> {
        self.look_up(key, |record| record.hold_if_there(&self.context))
    }

    /// Asks the record of this name a question that registers nothing.
    pub(crate) fn look_up<T>(
        &self,
        key: Key<'_>,
        question: impl FnOnce(&Record) -> Option<T>,
    ) -> Result<T, Error> {
        self.context.attend();
        let guard = reclaim::pin();
        let record = self.table.get(self.context.hasher.hash(key), key, &guard);
        match record
            .filter(|record| !record.is_retired())
            .and_then(question)
        {
            Some(answer) => Ok(answer),
            None => Err(self.unknown(key)),
        }
    }

    /// What is wrong with a name that was not found.
    #[cold]
    fn unknown(&self, key: Key<'_>) -> Error {
        let wrong = self.refuse_if_shut().and_then(|()| key.validate());
        wrong.err().unwrap_or_else(|| Error::not_found(key))
    }

    /// The beginning of every operation that changes what there is.
    fn refuse_if_shut(&self) -> Result<(), Error> {
        self.context.attend();
        if self.is_shut() {
            return Err(Error::ShutDown);
        }
        Ok(())
    }

    pub(crate) fn register(
        &self,
        key: Key<'_>,
        options: Option<ConnectionOptions>,
    ) -> Result<RecordRef, Error> {
        self.refuse_if_shut()?;
        striped_counter::refill_smallest();
        rare::refill();
        // What takes longest is to fetch the place of its record, and its place in a large table.
        // So that is begun first.
        RecordRef::expect_new();
        let registrant = Registrant::new(&self.context, key);
        let guard = reclaim::pin();
        self.table.expect(registrant.hash, &guard);
        match options {
            None if registrant.is_usual() => self.enter(registrant, guard),
            options => self.enter_unusual(registrant, options, guard),
        }
    }

    #[cold]
    #[inline(never)]
    fn enter_unusual(
        &self,
        mut registrant: Registrant<'_>,
        options: Option<ConnectionOptions>,
        guard: Guard,
    ) -> Result<RecordRef, Error> {
        registrant.with(&self.context, options)?;
        // Whether the name is taken is looked up only when it matters.
        if registrant.is_costly()
            && let Some(existing) = self.table.get(registrant.hash, registrant.key, &guard)
            && !existing.is_retired()
        {
            return Err(Error::already_registered(registrant.key));
        }
        self.enter(registrant, guard)
    }

    /// Makes the record of a registrant that is valid, and puts it into the table. Inlined where it
    /// is called: in one of the two places the compiler sees that there is nothing special.
    #[inline(always)]
    fn enter(&self, mut registrant: Registrant<'_>, guard: Guard) -> Result<RecordRef, Error> {
        let (key, version) = (registrant.key, registrant.version);
        let [record, entry] = RecordRef::new(&self.context, &mut registrant);
        let entry = entry.into_raw();
        // SAFETY: `RecordRef::new` made the entry for this key, it never was in a table, and
        // `into_raw` has left one reference for the table.
        while let Err(existing) = unsafe { self.table.insert(entry, key, &guard) } {
            if existing.is_retired() {
                self.table.remove_entry(existing, &guard);
                continue;
            }
            // SAFETY: the pointer is from `into_raw` above, and `insert` did not take the
            // reference.
            drop(unsafe { RecordRef::from_raw(entry) });
            return Err(Error::already_registered(key));
        }
        // ORDERING: SeqCst, partner of the fences in `shut_down`, `configure`, `subscribe` and
        // `restore`: either the walk or the look-up there finds this record, or this thread finds
        // the flag, or the new version, or the audience, or what waits. The insertion is what must
        // come before, and that was an exchange.
        fence_after_rmw();
        if self.is_shut() {
            self.remove(&record, &guard);
            return Err(Error::ShutDown);
        }
        drop(guard);
        // Settings and subscribers may have changed before it could be found.
        if self.context.version() != version {
            record.follow_settings(&self.context);
        }
        // Otherwise a thread that subscribes from now on finds the record.
        if self.bus.has_audience() {
            record.notify_registration(&self.context);
        }
        registrant.announce_opening(&self.context, &record);
        if self.waiting.has_any() {
            self.restore_registered(&record);
        }
        Ok(record)
    }

    pub(crate) fn get_or_register(
        &self,
        key: Key<'_>,
        options: &ConnectionOptions,
    ) -> Result<RecordRef, Error> {
        loop {
            match self.find(key) {
                Ok(record) => {
                    self.warn_of_other_settings(&record, options);
                    return Ok(record);
                }
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
            match self.register(key, Some(options.clone())) {
                Err(Error::AlreadyRegistered(_)) => {}
                answer => return answer,
            }
        }
    }

    pub(crate) fn unregister(&self, key: Key<'_>) -> Result<(), Error> {
        self.context.attend();
        let hash = self.context.hasher.hash(key);
        let guard = reclaim::pin();
        let removed = self.table.remove_claimed(hash, key, Record::retire, &guard);
        let Some(record) = removed else {
            drop(guard);
            return Err(self.unknown(key));
        };
        record.notify_removal(&self.context, &*self.bus, Occurrence::Unregistered);
        drop(guard);
        self.relieve_stack();
        Ok(())
    }

    /// Moves the records on the stack into the plan if the driver does not: it may be inside a
    /// callback for long, and the stack keeps what is removed meanwhile.
    #[inline]
    fn relieve_stack(&self) {
        if !self.context.attention.is_empty() {
            self.relieve_stack_now();
        }
    }

    #[cold]
    #[inline(never)]
    fn relieve_stack_now(&self) {
        self.try_with_plan(|plan| plan.take_in(self, self.context.clock.now_exact()));
    }

    /// Retires a record and takes it out, unless another thread does.
    fn remove(&self, record: &Record, guard: &Guard) {
        if record.retire() {
            self.table.remove_entry(record, guard);
        }
    }

    /// Removes those records that a cleanup still may remove. Returns whether it removed any.
    pub(crate) fn finish_departures(
        &self,
        departing: &[(&Record, Departure)],
        now: u64,
        guard: &Guard,
    ) -> bool {
        let mut removed = false;
        // Once for all of them: it interrupts every thread of the process.
        let has_met = !departing.is_empty() && guard.meet_all();
        for (record, departure) in departing {
            if has_met && record.depart(&self.context, now, departure) {
                self.table.remove_entry(record, guard);
                record.notify_removal(&self.context, &*self.bus, Occurrence::CleanedUp);
                removed = true;
            }
        }
        removed
    }

    /// Refuses registrations and subscriptions from now on.
    pub(crate) fn begin_shutdown(&self) {
        // ORDERING: AcqRel, partner of the Acquire in `is_shut`.
        self.shut.fetch_max(REFUSES, Ordering::AcqRel);
        self.bus.begin_closing();
        // ORDERING: SeqCst, partner of the fences in `register` and `subscribe`: either what
        // follows finds their record or their subscriber, or they find the flag.
        fence(Ordering::SeqCst);
    }

    /// Refuses everything from now on: handles answer `ShutDown`. Each of several callers removes
    /// what it finds, so none waits for another.
    pub(crate) fn shut_down(&self) {
        self.begin_shutdown();
        self.for_each_pinned(|record, guard| {
            self.remove(record, guard);
            // No thread finds it in the table any more.
            if record.has_missed() {
                self.context.attention.leave(record, || record.share());
            }
        });
        // ORDERING: AcqRel, partner of the Acquire in `is_emptied`.
        self.shut.fetch_max(EMPTIED, Ordering::AcqRel);
        // ORDERING: SeqCst, partner of the fence in `do_all_due`: either what follows finds no
        // dispatcher, or the dispatcher finds the flag.
        fence(Ordering::SeqCst);
        self.context.waker.wake();
    }
}
