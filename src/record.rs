//! One connection: the word that decides, and all that is known beside it.
//!
//! Every change of the word goes through one loop, [`Record::apply`]: it loads
//! the word, lets an expiry that is due happen first, asks a pure transition of
//! [`state`](mod@crate::state) for the next word, and swaps it in. The one thread
//! whose CAS succeeds also does what belongs to that change: it writes the times,
//! moves the count, tells the driver, and publishes. What calls do is in
//! [`calls`], what hands do in [`control`], what others hear of it in [`tell`].
//!
//! Beside the word:
//!
//! - **[`streak`]**: failures in a row while the circuit is not closed (closed,
//!   they are in the word).
//! - **totals**: successes and rejections in cells that scale
//!   ([`counter`](crate::counter)); failures with a plain RMW, since a failure
//!   writes the word in any case.
//! - **times**, in monotonic ms plus one, so that zero means not yet.
//! - **profile**: the settings and metadata of its own, swapped as a whole.
//! - **[`cold`]**: what no call on a healthy circuit touches, on lines of its own.
//!
//! Records are shared by a count of references: one is the table's, given back
//! when no reader can find it; others are held by handles, by permits acquired by name, by
//! notices on their way, and by the driver's inbox.

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::config::Settings;
use crate::counter::{Cell, Owner, Shared, Stripes, Totals};
use crate::env::Env;
use crate::error::{Error, Rejected};
use crate::event::{Cause, Report};
use crate::expiry;
use crate::key::Key;
use crate::references::References;
use crate::state::{Generation, NEVER, State, Word};
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, shipped};

mod calls;
mod cold;
mod control;
mod delivered;
mod name;
mod newcomer;
mod own;
mod share;
mod status;
mod streak;
mod tell;
mod ticket;
mod times;
#[cfg(feature = "capi")]
mod token;

use cold::Cold;
pub use control::OpenFor;
use name::Name;
pub(crate) use newcomer::Newcomer;
pub(crate) use own::{Limit, Profile};
pub(crate) use share::RecordRef;
pub use status::Status;
pub(crate) use tell::{REGISTRATION, Registration};
#[cfg(feature = "capi")]
pub(crate) use ticket::MaybeWait;
pub(crate) use ticket::{Begun, Wait};
use times::{Opening, Stamp};

/// One connection's record, by cache lines: what every call and every look-up
/// reads and only a change writes; what the thread that reports most writes; what
/// the others write. What belongs to changes alone lies [elsewhere](Cold). The pool
/// sees to its alignment.
#[repr(C)]
pub(crate) struct Record {
    word: AtomicU64,
    hash: u64,
    owner: Owner,
    /// How far the cold part is away.
    away: u16,
    /// The types of events that subscribers want of this connection, and whether its
    /// registration is still to be delivered, see [`tell`].
    interest: AtomicU32,
    stripes: Stripes,
    name: Name,
    /// 1 if a call was admitted since a cleanup last asked.
    visited: AtomicU8,
    /// 1 if the connection may have something of its own, see [`own`].
    has_profile: AtomicU8,

    cell: Cell,
    id: u64,
    /// A [`Limit`], so that a failure need not look the settings up.
    limit: AtomicU64,
    profile: ManuallyDrop<ArcSwapOption<Profile>>,
    /// The last change of state or the registration, a packed [`Stamp`], so that a reader can tell
    /// whether it belongs to the word it saw.
    changed_at: AtomicU64,
    /// How long the last opening was to last: `low deadline << 40 | ms`, so that a
    /// reader can tell whether it belongs to the deadline it saw.
    lasting: AtomicU64,

    shared: Shared,
    failures: AtomicU64,
    last_failure: AtomicU64,
    /// Registration, configuration, manual control, admission to a probe.
    last_touch: AtomicU64,
    references: References,
    /// Failures in a row while not closed.
    streak: AtomicU32,
    /// What has been delivered of the connection, see [`delivered`].
    delivered: AtomicU32,
    /// The types of kept events that found no room in the ring.
    missed: AtomicU32,
}

shipped! {
    const _: () = {
        use std::mem::offset_of;
        // What every call reads ends where what one thread writes begins, and
        // what all threads may write comes after both.
        assert!(offset_of!(Record, cell) == 64);
        assert!(offset_of!(Record, shared) == 128);
        assert!(size_of::<Record>() == 192 && size_of::<Cold>() == 40);
    };
}

/// What a permit remembers of its admission: two full words, which cost less to
/// move than fields of their own widths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// The mark of the word, and what the permit owns in bits that no closed word has.
    /// A probe's generation and slot, and bits that no word has.
    place: u64,
    /// A probe's lease; 0 for the others.
    stamp: u64,
}

/// Why an operation on a record did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The connection was removed.
    Gone,
    Rejected(Rejected),
    Stale,
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

impl Record {
    /// The part that lies in front, still without a name; [`RecordRef::new`] makes the
    /// whole.
    fn new(env: &Env, newcomer: &mut Newcomer<'_>, away: u16) -> Self {
        let registered_at = env.clock.now() + 1;
        let registration = Stamp {
            time: registered_at,
            generation: Word::NEW.generation(),
            is_registration: true,
        };
        Record {
            word: AtomicU64::new(Word::NEW.bits()),
            hash: newcomer.hash,
            owner: Owner::new(),
            away,
            interest: AtomicU32::new(tell::AT_BIRTH),
            stripes: Stripes::new(),
            name: Name::EMPTY,
            visited: AtomicU8::new(0),
            has_profile: AtomicU8::new(newcomer.profile.is_some().into()),
            cell: Cell::new(),
            id: env.next_id(),
            limit: AtomicU64::new(newcomer.limit.bits()),
            profile: ManuallyDrop::new(ArcSwapOption::new(newcomer.profile.take())),
            changed_at: AtomicU64::new(registration.pack()),
            lasting: AtomicU64::new(0),
            shared: Shared::new(),
            failures: AtomicU64::new(0),
            last_failure: AtomicU64::new(0),
            last_touch: AtomicU64::new(registered_at),
            references: References::new(2),
            streak: AtomicU32::new(0),
            delivered: AtomicU32::new(0),
            missed: AtomicU32::new(0),
        }
    }

    #[inline]
    pub(crate) fn key(&self) -> Key<'_> {
        self.name.key()
    }

    #[inline(always)]
    fn has_name(&self, key: Key<'_>) -> bool {
        self.name.is(key)
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Lets an expiry that is due happen. Otherwise: when it will be due.
    pub(crate) fn expire(&self, env: &Env, now: u64) -> Option<u64> {
        let word = self.word_at(env, now);
        if word.is_retired() {
            return None;
        }
        word.deadline().filter(|deadline| *deadline != NEVER)
    }

    /// Notes that a call was admitted, which is activity, without a clock. The
    /// mark lies beside the word: the line is read in any case, and written once
    /// between two cleanups.
    #[inline]
    fn mark_visited(&self) {
        // Relaxed: an admission that overlaps with a cleanup may count for the time
        // before it only.
        if self.visited.load(Ordering::Relaxed) == 0 {
            self.visited.store(1, Ordering::Relaxed);
        }
    }

    /// Monotonic ms of the last activity. An admission that has not reported
    /// yet leaves only a mark, which counts as activity now.
    pub(crate) fn last_activity(&self, now: u64) -> u64 {
        // The swap, not the load, decides: a mark set in between is taken too.
        if self.visited.load(Ordering::Relaxed) != 0 && self.visited.swap(0, Ordering::Relaxed) != 0
        {
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

    /// Open until somebody closes it: an instruction that stands, however long
    /// nobody calls.
    pub(crate) fn is_held_open(&self) -> bool {
        self.word_now().deadline() == Some(NEVER)
    }

    pub(crate) fn touch_now(&self, env: &Env) -> u64 {
        let now = env.clock.now();
        self.touch(now);
        now
    }

    /// Closed and not removed: a call passes, whatever the time.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn passes_freely(&self) -> bool {
        self.word_now().passes_freely()
    }

    /// Whether it was removed, asked by somebody who has marked events as missed: if not,
    /// the one who removes it finds the marks.
    pub(crate) fn is_retired_by_now(&self) -> bool {
        // ORDERING: AcqRel, a write that changes nothing, so that it and the exchange in
        // `retire` come one after the other, and the later one sees what was done before
        // the earlier. Two loads could each miss the other's write. Who is removed often
        // pays nothing for it; who finds the ring full does.
        Word::from_bits(self.word.fetch_or(0, Ordering::AcqRel)).is_retired()
    }

    /// The word itself, for whoever reads it without a call.
    #[cfg(feature = "capi")]
    pub(crate) fn word(&self) -> *const u64 {
        std::ptr::from_ref(&self.word).cast()
    }

    #[inline]
    fn totals(&self) -> Totals<'_> {
        Totals {
            primary: &self.cell,
            owner: &self.owner,
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
                    let deadline = word.deadline();
                    let happening = Happening {
                        deadline,
                        ..Happening::new(Cause::Expiry, deadline.unwrap_or(now))
                    };
                    self.after(env, &applied, happening);
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

    fn opening(&self, env: &Env, settings: &Settings, trips: u32) -> Opening {
        Opening {
            at: env.clock.now_upper(),
            lasting: env.roll_expiry(settings, trips),
        }
    }

    /// What the winner of an opening does after it, or of a failure that may
    /// have been one.
    fn after_opening<T>(
        &self,
        env: &Env,
        applied: &Applied<T>,
        happening: Happening<'_>,
        opening: Option<Opening>,
    ) {
        let Some(opening) = opening.filter(|_| applied.after.deadline().is_some()) else {
            return self.after(env, applied, happening);
        };
        self.lasting.store(opening.pack(), Ordering::Relaxed);
        if applied.before.state() != State::Open {
            self.cold()
                .opened_at
                .fetch_max(opening.at + 1, Ordering::Relaxed);
        }
        let (now, deadline) = (opening.at, opening.deadline());
        let has_told = self.after_quietly(env, applied, Happening { now, ..happening });
        if deadline != NEVER {
            env.attention.leave(self, || self.share());
        }
        // Once, for the notice and for the deadline.
        if has_told {
            env.call_dispatcher();
        } else if deadline != NEVER {
            // Somebody may have set an earlier one, and found this thread half
            // way through leaving the record: then it is this thread that rings.
            let latest = self.word_now().deadline().unwrap_or(deadline);
            env.bell.ring(deadline.min(latest));
        }
    }

    /// How long the opening until `deadline` was to last: `None` if that is not
    /// written down yet, or for ever.
    fn lasting(&self, deadline: u64) -> Option<u64> {
        let bits = self.lasting.load(Ordering::Relaxed);
        let same = bits >> NEVER.count_ones() == deadline & (u64::MAX >> NEVER.count_ones());
        (same && deadline != NEVER).then_some(bits & NEVER)
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
                    Stamp {
                        time,
                        generation,
                        is_registration: false,
                    }
                    .pack()
                })
            });
    }

    /// What a thread does after it has won a change, or has reported without one.
    fn after<T>(&self, env: &Env, applied: &Applied<T>, happening: Happening<'_>) {
        if self.after_quietly(env, applied, happening) {
            env.call_dispatcher();
        }
    }

    /// [`Record::after`], except that the caller has to ring for the dispatcher if this
    /// returns true.
    fn after_quietly<T>(&self, env: &Env, applied: &Applied<T>, happening: Happening<'_>) -> bool {
        let (before, after) = (applied.before, applied.after);
        if before.state() != after.state() {
            self.note_change(after.generation(), happening.now);
        }
        self.tell_quietly(env, before.state(), after.state(), after, happening)
    }
}

/// What happened, as far as those want to know who hear of it.
#[derive(Clone, Copy)]
struct Happening<'a> {
    cause: Cause,
    report: &'a Report<'a>,
    /// How many failures count, where the reporter knows better than the word.
    failures: Option<u32>,
    /// Of the opening that has ended.
    deadline: Option<u64>,
    now: u64,
}

impl Happening<'_> {
    fn new(cause: Cause, now: u64) -> Self {
        Happening {
            cause,
            report: &Report::NONE,
            failures: None,
            deadline: None,
            now,
        }
    }
}

fn decide<T>(next: Option<Word>, answer: T) -> Decision<T> {
    match next {
        Some(next) => Decision::Write(next, answer),
        None => Decision::Leave(answer),
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
