//! One connection: the word that decides, and all that is known beside it.
//!
//! Every change of the word goes through one loop, [`Record::apply`]: it loads
//! the word, lets an expiry that is due happen first, asks a pure transition of
//! [`state`] for the next word, and swaps it in. The one thread
//! whose CAS succeeds also does what belongs to that change: it writes the times,
//! moves the count, tells the driver, and publishes.
//!
//! Beside the word:
//!
//! - **`streak`**: failures in a row while the circuit is not closed (closed,
//!   they are in the word). It decides nothing until somebody closes the circuit
//!   by hand and the count goes on from there. It is exact unless a report races
//!   a change of state; then it can be off by the racing reports until the next
//!   success.
//! - **totals**: successes and rejections in cells that scale
//!   ([`counter`](crate::counter)); failures with a plain RMW, since a failure
//!   writes the word in any case.
//! - **times**, in monotonic ms plus one, so that zero means not yet.
//! - **profile**: the settings and metadata of its own, swapped as a whole.
//!
//! Records are shared by a count of references: one is the table's, given back
//! through the epoch; one is held by each handle, and by the driver's inbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::bus::{Cause, Happening};
use crate::config::{Metadata, Overrides, Settings};
use crate::counter::{Cell, Shared, Stripes, Totals};
use crate::env::Env;
use crate::error::{Error, Rejected};
use crate::expiry;
use crate::inbox::Link;
use crate::key::Key;
use crate::probes::{Lease, Probes};
use crate::state::{self, Generation, LAST_MOMENT, NEVER, State, Word};
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::trip::{self, Evidence};
use crate::window::Window;

mod share;
mod status;

pub(crate) use share::RecordRef;
pub use status::Status;

/// One connection's record. The first line is what every call reads and only a
/// change writes; the second is written by the thread that reports most.
#[repr(C, align(64))]
pub(crate) struct Record {
    word: AtomicU64,
    hash: u64,
    id: u64,
    /// Scope and identifier, one after the other.
    name: Box<str>,
    /// Bytes of `name` that are the scope; 0: none, since no scope is empty.
    scope_len: u16,
    streak: AtomicU32,
    profile: ArcSwapOption<Profile>,
    stripes: Stripes,

    cell: Cell,

    shared: Shared,
    registered_at: u64,
    failures: AtomicU64,
    last_failure: AtomicU64,
    /// Registration, configuration, manual control, admission to a probe.
    last_touch: AtomicU64,
    /// The last opening.
    opened_at: AtomicU64,
    /// The last change of state, a packed [`Stamp`], so that a reader can tell
    /// whether it belongs to the word it saw.
    changed_at: AtomicU64,
    /// How long the last opening was to last, in ms.
    lasting: AtomicU64,
    probes: Probes,
    window: Window,
    link: Link<Record>,
    /// The moment the driver has planned for this record; 0: none. Only the
    /// driver touches it.
    planned: AtomicU64,
    references: AtomicUsize,
}

/// What a connection has of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    pub(crate) overrides: Overrides,
    pub(crate) metadata: Metadata,
}

/// What a permit remembers of its admission.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) generation: Generation,
    /// Only a probe has one.
    pub(crate) lease: Option<Lease>,
}

/// Why an operation on a record did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The connection was removed.
    Gone,
    Rejected(Rejected),
    Stale,
}

/// For how long somebody opens a circuit by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OpenFor {
    /// As long as the settings say, backoff and jitter included.
    #[default]
    Configured,
    /// This long, for this one opening. At least 1 ms.
    Custom(Duration),
    /// Until somebody closes or resets it.
    Never,
}

impl From<Duration> for OpenFor {
    fn from(duration: Duration) -> Self {
        OpenFor::Custom(duration)
    }
}

/// `None`: as configured.
impl From<Option<Duration>> for OpenFor {
    fn from(duration: Option<Duration>) -> Self {
        duration.map_or(OpenFor::Configured, OpenFor::Custom)
    }
}

/// What a transition wants done with the word, and what it answers.
enum Decision<T> {
    Leave(T),
    Write(Word, T),
}

/// What became of the word.
struct Applied<T> {
    before: Word,
    after: Word,
    answer: T,
}

/// The moment of an opening and its length.
#[derive(Clone, Copy)]
struct Opening {
    at: u64,
    lasting: u64,
}

impl Record {
    pub(crate) fn new(env: &Env, key: Key<'_>, profile: Option<Profile>) -> Self {
        let scope = key.scope().unwrap_or_default();
        let registered_at = env.clock.now() + 1;
        let record = Record {
            word: AtomicU64::new(Word::NEW.bits()),
            hash: env.hasher.hash(key),
            id: env.next_id(),
            name: [scope, key.identifier()].concat().into(),
            scope_len: u16::try_from(scope.len()).expect("validated: at most 1024"),
            streak: AtomicU32::new(0),
            profile: ArcSwapOption::from(profile.map(Arc::new)),
            stripes: Stripes::new(),
            cell: Cell::new(),
            shared: Shared::new(),
            registered_at,
            failures: AtomicU64::new(0),
            last_failure: AtomicU64::new(0),
            last_touch: AtomicU64::new(registered_at),
            opened_at: AtomicU64::new(0),
            changed_at: AtomicU64::new(0),
            lasting: AtomicU64::new(0),
            probes: Probes::new(),
            window: Window::new(),
            link: Link::new(),
            planned: AtomicU64::new(0),
            references: AtomicUsize::new(1),
        };
        record.make_room(&record.settings(env));
        record
    }

    pub(crate) fn key(&self) -> Key<'_> {
        let (scope, identifier) = self.name.split_at(usize::from(self.scope_len));
        Key::new((self.scope_len > 0).then_some(scope), identifier)
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn profile(&self) -> &ArcSwapOption<Profile> {
        &self.profile
    }

    pub(crate) fn settings(&self, env: &Env) -> Settings {
        let profile = self.profile.load();
        env.settings(profile.as_deref().map(|profile| &profile.overrides))
    }

    /// Allocates what these settings need, so that no report has to.
    pub(crate) fn make_room(&self, settings: &Settings) {
        self.probes.reserve(settings.half_open_max_calls);
        if settings.window_ms.is_some() {
            // An unlimited circuit counts for the status only.
            let exact = settings
                .max_attempts
                .min(crate::config::MAX_WINDOW_ATTEMPTS);
            let unlimited = settings.max_attempts == crate::config::UNLIMITED;
            self.window.reserve(if unlimited { 1_024 } else { exact });
        }
    }

    /// Whether a call may pass now.
    #[inline]
    pub(crate) fn available(&self, env: &Env) -> bool {
        let word = self.word_now();
        word.passes_freely() || self.available_unless_closed(env)
    }

    #[cold]
    fn available_unless_closed(&self, env: &Env) -> bool {
        let word = self.word_at(env, env.clock.now());
        !word.is_retired() && word.state() != State::Open
    }

    /// The state as of now, or `Unknown` if the connection was removed.
    pub(crate) fn state(&self, env: &Env) -> State {
        let word = self.word_now();
        if word.passes_freely() {
            return State::Closed;
        }
        let word = self.word_at(env, env.clock.now());
        if word.is_retired() {
            State::Unknown
        } else {
            word.state()
        }
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.word_now().is_retired()
    }

    /// Admits a call, or says why not.
    #[inline]
    pub(crate) fn acquire(&self, env: &Env) -> Result<Ticket, Refusal> {
        let word = self.word_now();
        if word.passes_freely() {
            self.totals().touch();
            return Ok(Ticket::to_pass(word));
        }
        self.acquire_unless_closed(env)
    }

    fn acquire_unless_closed(&self, env: &Env) -> Result<Ticket, Refusal> {
        let now = env.clock.now();
        loop {
            let word = self.word_at(env, now);
            if word.is_retired() {
                return Err(Refusal::Gone);
            }
            let free_at = match word.deadline() {
                Some(deadline) => deadline,
                None if word.passes_freely() => return Ok(Ticket::to_pass(word)),
                None => match self.probe(env, word, now) {
                    Ok(Some(ticket)) => return Ok(ticket),
                    Ok(None) => continue,
                    Err(free_at) => free_at,
                },
            };
            self.totals().rejected();
            return Err(Refusal::Rejected(Rejected {
                retry_after: (free_at != NEVER)
                    .then(|| Duration::from_millis(free_at.saturating_sub(now))),
            }));
        }
    }

    /// Takes a probe's place under the half-open `word`: `None` if the word has
    /// changed meanwhile, or the moment when the first place is free again.
    fn probe(&self, env: &Env, word: Word, now: u64) -> Result<Option<Ticket>, u64> {
        let settings = self.settings(env);
        let lease = settings
            .probe_timeout_ms
            .unwrap_or_else(|| expiry::expiry_ms(&settings, word.trips()));
        let end = state::deadline(env.clock.now_upper(), lease).min(LAST_MOMENT);
        let taken = self
            .probes
            .take(word.generation(), settings.half_open_max_calls, now, end);
        // A place counts only in its generation; nobody is admitted to a
        // circuit that has opened meanwhile, nor rejected by one that has closed.
        if self.word_now().generation() != word.generation() {
            if let Ok(lease) = taken {
                self.probes.free(lease, now);
            }
            return Ok(None);
        }
        let lease = taken?;
        self.touch(now);
        Ok(Some(Ticket {
            generation: word.generation(),
            lease: Some(lease),
        }))
    }

    /// Counts a success.
    #[inline]
    pub(crate) fn success(&self, env: &Env, ticket: Option<&Ticket>) -> Result<(), Refusal> {
        let word = self.word_now();
        if word.is_retired() {
            return Err(Refusal::Gone);
        }
        let now = env.clock.now();
        self.totals().success(now);
        if word.is_spotless() && ticket.is_none_or(|ticket| ticket.passes(word)) {
            return Ok(());
        }
        self.success_that_matters(env, ticket, now)
    }

    fn success_that_matters(
        &self,
        env: &Env,
        ticket: Option<&Ticket>,
        now: u64,
    ) -> Result<(), Refusal> {
        self.give_back_place(ticket, now)?;
        let applied = self.apply(env, now, |word| {
            check(ticket, word)?;
            let needed = match word.state() {
                State::HalfOpen => self.settings(env).half_open_successes,
                _ => 1,
            };
            self.window.clear();
            Ok(match word.succeeded(needed) {
                Some(next) => Decision::Write(next, ()),
                None => Decision::Leave(()),
            })
        })?;
        if applied.before.state() != State::Closed {
            self.streak.swap(0, Ordering::Relaxed);
        }
        self.after(env, &applied, Cause::Success, None, now);
        Ok(())
    }

    /// Counts a failure and returns how many count now: in a row, or inside the
    /// window if there is one.
    pub(crate) fn failure(
        &self,
        env: &Env,
        ticket: Option<&Ticket>,
        reason: Option<&str>,
    ) -> Result<u32, Refusal> {
        if self.is_retired() {
            return Err(Refusal::Gone);
        }
        let now = env.clock.now();
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.last_failure.fetch_max(now + 1, Ordering::Relaxed);
        self.give_back_place(ticket, now)?;
        let settings = self.settings(env);
        // Recorded once, however often the word has to be tried.
        let mut in_window = None;
        let applied = self.apply(env, now, |word| {
            check(ticket, word)?;
            let in_window = *in_window.get_or_insert_with(|| {
                settings
                    .window_ms
                    .and_then(|window| self.window.record(window, || env.clock.now_exact()))
            });
            let mut in_a_row = 0;
            let mut opening = None;
            let next = word.failed(
                |count| {
                    in_a_row = count;
                    let evidence = Evidence {
                        in_a_row,
                        in_window,
                    };
                    trip::asks_for_opening(&settings, evidence)
                },
                |trips| {
                    opening
                        .insert(self.opening(env, &settings, trips))
                        .deadline()
                },
            );
            let answer = (in_a_row, in_window, opening);
            Ok(match next {
                Some(next) => Decision::Write(next, answer),
                None => Decision::Leave(answer),
            })
        })?;
        let (mut in_a_row, in_window, opening) = applied.answer;
        // Closed, the count went into the word; otherwise it is beside it.
        if applied.before.state() != State::Closed {
            in_a_row = self
                .streak
                .fetch_add(1, Ordering::Relaxed)
                .saturating_add(1);
        } else if applied.after.state() != State::Closed {
            self.streak.fetch_add(in_a_row, Ordering::Relaxed);
        }
        self.after_opening(env, &applied, Cause::Failure, reason, now, opening);
        Ok(in_window.unwrap_or(in_a_row))
    }

    /// Gives a probe's place back: neither success nor failure.
    pub(crate) fn ignored(&self, env: &Env, ticket: &Ticket) -> Result<(), Refusal> {
        if self.is_retired() {
            return Err(Refusal::Gone);
        }
        let now = env.clock.now();
        self.touch(now);
        self.give_back_place(Some(ticket), now)?;
        let word = self.word_at(env, now);
        if word.is_retired() {
            return Err(Refusal::Gone);
        }
        if ticket.generation == word.generation() {
            Ok(())
        } else {
            Err(Refusal::Stale)
        }
    }

    pub(crate) fn open(
        &self,
        env: &Env,
        reason: Option<&str>,
        how_long: OpenFor,
    ) -> Result<(), Refusal> {
        let now = self.touch_now(env);
        let settings = self.settings(env);
        let applied = self.apply(env, now, |word| {
            let mut opening = None;
            let next = word.opened_by_hand(|trips| {
                let planned = match how_long {
                    OpenFor::Configured => self.opening(env, &settings, trips),
                    OpenFor::Custom(length) => Opening {
                        at: env.clock.now_upper(),
                        lasting: crate::config::given_ms(length),
                    },
                    OpenFor::Never => Opening {
                        at: env.clock.now_upper(),
                        lasting: u64::MAX,
                    },
                };
                opening.insert(planned).deadline()
            });
            Ok(decide(next, opening))
        })?;
        self.carry_count_out(&applied);
        let opening = applied.answer;
        self.after_opening(env, &applied, Cause::OpenedByHand, reason, now, opening);
        Ok(())
    }

    pub(crate) fn close(&self, env: &Env) -> Result<(), Refusal> {
        let now = self.touch_now(env);
        let applied = self.apply(env, now, |word| {
            let carried = self.streak.load(Ordering::Relaxed);
            Ok(decide(word.closed_by_hand(carried), ()))
        })?;
        if applied.before.state() != State::Closed {
            self.streak.swap(0, Ordering::Relaxed);
        }
        self.after(env, &applied, Cause::ClosedByHand, None, now);
        Ok(())
    }

    pub(crate) fn half_open(&self, env: &Env) -> Result<(), Refusal> {
        let now = self.touch_now(env);
        let applied = self.apply(env, now, |word| Ok(decide(word.half_opened_by_hand(), ())))?;
        self.carry_count_out(&applied);
        self.after(env, &applied, Cause::HalfOpenedByHand, None, now);
        Ok(())
    }

    pub(crate) fn reset(&self, env: &Env) -> Result<(), Refusal> {
        let now = self.touch_now(env);
        let applied = self.apply(env, now, |word| {
            self.window.clear();
            Ok(decide(word.reset(), ()))
        })?;
        self.streak.swap(0, Ordering::Relaxed);
        self.after(env, &applied, Cause::Reset, None, now);
        Ok(())
    }

    /// Lets an expiry that is due happen. Otherwise: when it will be due.
    pub(crate) fn expire(&self, env: &Env, now: u64) -> Option<u64> {
        let word = self.word_at(env, now);
        if word.is_retired() {
            return None;
        }
        word.deadline().filter(|deadline| *deadline != NEVER)
    }

    /// Marks the connection as removed. True for the one who did it.
    pub(crate) fn retire(&self) -> bool {
        self.word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |bits| {
                Word::from_bits(bits).retired().map(Word::bits)
            })
            .is_ok()
    }

    /// Monotonic ms of the last activity. An admission that has not reported
    /// yet leaves only a mark, which counts as activity now.
    pub(crate) fn last_activity(&self, now: u64) -> u64 {
        if self.totals().take_mark() {
            self.touch(now);
        }
        let sums = self.totals().sum();
        [
            self.last_touch.load(Ordering::Relaxed),
            self.last_failure.load(Ordering::Relaxed),
            Stamp::unpack(self.changed_at.load(Ordering::Relaxed)).time,
            sums.last_success_ms.map_or(0, |ms| ms + 1),
        ]
        .into_iter()
        .max()
        .unwrap_or_default()
        .saturating_sub(1)
    }

    pub(crate) fn touch_now(&self, env: &Env) -> u64 {
        let now = env.clock.now();
        self.touch(now);
        now
    }

    pub(crate) fn planned(&self) -> &AtomicU64 {
        &self.planned
    }

    #[inline]
    fn totals(&self) -> Totals<'_> {
        Totals {
            primary: &self.cell,
            stripes: &self.stripes,
            shared: &self.shared,
        }
    }

    fn touch(&self, now: u64) {
        // Load first: many admissions fall into one millisecond.
        if self.last_touch.load(Ordering::Relaxed) <= now {
            self.last_touch.fetch_max(now + 1, Ordering::Relaxed);
        }
    }

    #[inline]
    fn word_now(&self) -> Word {
        // ORDERING: Acquire, partner of the AcqRel in `apply`: whoever sees a
        // state also sees the count and the window that led to it.
        Word::from_bits(self.word.load(Ordering::Acquire))
    }

    /// The word as of `now`: an expiry that is due has happened.
    fn word_at(&self, env: &Env, now: u64) -> Word {
        let mut word = self.word_now();
        while !word.is_retired()
            && let Some(next) = word.expired(now)
        {
            match self.swap(word, next) {
                Ok(()) => {
                    let applied = Applied {
                        before: word,
                        after: next,
                        answer: (),
                    };
                    // It happened when it was due, whoever sees it first.
                    let due = word.deadline().unwrap_or(now);
                    self.after(env, &applied, Cause::Expiry, None, due);
                    return next;
                }
                Err(current) => word = current,
            }
        }
        word
    }

    fn swap(&self, before: Word, after: Word) -> Result<(), Word> {
        // ORDERING: AcqRel, partner of itself and of `word_now`.
        self.word
            .compare_exchange(
                before.bits(),
                after.bits(),
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .map(drop)
            .map_err(Word::from_bits)
    }

    /// The one loop: every change of the word but its expiry and retirement,
    /// which need no decision, is made here.
    fn apply<T>(
        &self,
        env: &Env,
        now: u64,
        mut decide: impl FnMut(Word) -> Result<Decision<T>, Refusal>,
    ) -> Result<Applied<T>, Refusal> {
        loop {
            let before = self.word_at(env, now);
            if before.is_retired() {
                return Err(Refusal::Gone);
            }
            let (after, answer) = match decide(before)? {
                Decision::Leave(answer) => (before, answer),
                Decision::Write(next, answer) if self.swap(before, next).is_ok() => (next, answer),
                Decision::Write(..) => continue,
            };
            return Ok(Applied {
                before,
                after,
                answer,
            });
        }
    }

    fn give_back_place(&self, ticket: Option<&Ticket>, now: u64) -> Result<(), Refusal> {
        match ticket.and_then(|ticket| ticket.lease) {
            Some(lease) if !self.probes.free(lease, now) => Err(Refusal::Stale),
            _ => Ok(()),
        }
    }

    fn opening(&self, env: &Env, settings: &Settings, trips: u32) -> Opening {
        Opening {
            at: env.clock.now_upper(),
            lasting: env.roll_expiry(settings, trips),
        }
    }

    /// The count of a closed circuit moves beside the word of one that no
    /// longer is.
    fn carry_count_out<T>(&self, applied: &Applied<T>) {
        if let Some(failures) = applied.before.failures()
            && applied.after.state() != State::Closed
        {
            self.streak.fetch_add(failures, Ordering::Relaxed);
        }
    }

    fn after_opening<T>(
        &self,
        env: &Env,
        applied: &Applied<T>,
        cause: Cause,
        reason: Option<&str>,
        now: u64,
        opening: Option<Opening>,
    ) {
        let Some(opening) = opening.filter(|_| applied.after.deadline().is_some()) else {
            return self.after(env, applied, cause, reason, now);
        };
        self.lasting.store(opening.lasting, Ordering::Relaxed);
        if applied.before.state() != State::Open {
            self.opened_at.fetch_max(opening.at + 1, Ordering::Relaxed);
        }
        self.after(env, applied, cause, reason, opening.at);
        let deadline = opening.deadline();
        if deadline != NEVER {
            env.opened.leave(self, || self.share());
            env.bell.ring(deadline);
        }
    }

    /// Writes down when the change to `generation` was, unless a later one is
    /// written already. The coarse clock lags behind the exact one of openings,
    /// so the generations decide which is later, and times never go back.
    fn note_change(&self, generation: Generation, now: u64) {
        // ORDERING: Release, partner of the Acquire in `status`: who finds this
        // change's stamp finds the times written before it.
        let _ = self
            .changed_at
            .fetch_update(Ordering::Release, Ordering::Relaxed, |bits| {
                let last = Stamp::unpack(bits);
                generation.follows(last.generation).then(|| {
                    let time = last.time.max(now + 1);
                    Stamp { time, generation }.pack()
                })
            });
    }

    /// What the winner of a change does after it.
    fn after<T>(
        &self,
        env: &Env,
        applied: &Applied<T>,
        cause: Cause,
        reason: Option<&str>,
        now: u64,
    ) {
        let (before, after) = (applied.before, applied.after);
        let moved = before.state() != after.state();
        if moved {
            self.note_change(after.generation(), now);
        }
        if moved || cause.is_by_hand() {
            env.bus.publish(
                self,
                Happening::Moved {
                    cause,
                    before,
                    after,
                    reason,
                },
            );
        }
    }
}

fn decide<T>(next: Option<Word>, answer: T) -> Decision<T> {
    match next {
        Some(next) => Decision::Write(next, answer),
        None => Decision::Leave(answer),
    }
}

fn check(ticket: Option<&Ticket>, word: Word) -> Result<(), Refusal> {
    match ticket {
        Some(ticket) if ticket.generation != word.generation() => Err(Refusal::Stale),
        _ => Ok(()),
    }
}

/// A change of state: its time, as stored, and what it led to.
#[derive(Clone, Copy)]
struct Stamp {
    time: u64,
    generation: Generation,
}

impl Stamp {
    fn pack(self) -> u64 {
        self.time << Generation::BITS | self.generation.bits()
    }

    fn unpack(bits: u64) -> Self {
        Stamp {
            time: bits >> Generation::BITS,
            generation: Generation::from_bits(bits),
        }
    }
}

impl Opening {
    fn deadline(&self) -> u64 {
        state::deadline(self.at, self.lasting)
    }
}

impl Ticket {
    fn to_pass(word: Word) -> Self {
        Ticket {
            generation: word.generation(),
            lease: None,
        }
    }

    /// Whether it was given in this very closed state.
    #[inline]
    fn passes(&self, word: Word) -> bool {
        self.lease.is_none() && self.generation == word.generation()
    }
}

impl Refusal {
    pub(crate) fn into_error(self, key: Key<'_>) -> Error {
        match self {
            Refusal::Gone => Error::not_found(key),
            Refusal::Rejected(rejected) => Error::Rejected(rejected),
            Refusal::Stale => Error::Stale,
        }
    }
}
