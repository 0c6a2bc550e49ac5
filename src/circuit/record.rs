//! The record of one connection: the state word, and everything that is kept beside it.
//!
//! Every change of the state takes the same steps. A thread reads the [`parked`] word and the state
//! word, and first applies an expiry that is due. Pure functions of
//! [`state`](mod@crate::values::state), [`tally`](crate::values::tally) and
//! [`trip_rule`](crate::values::trip_rule) decide the next word, and the thread swaps it in by a
//! compare-exchange. If another thread was faster, it decides again. The thread whose exchange
//! succeeds then writes the times, wakes the driver, and publishes the event. It does none of that
//! before the exchange.
//!
//! That loop is in [`transition`]. What calls ask is in [`admission`], what they report in
//! [`reports`], the controls by hand in [`manual`], the removal by a cleanup in [`departure`], and
//! what subscribers hear in [`notify`]. Beside the word lie:
//!
//! - **[`parked`]**: the failures that count while the circuit is not closed.
//! - **totals**: successes, failures and rejections, each thread's in a cell of its own
//!   ([`striped_counter`](crate::structures::striped_counter)).
//! - **times**, in monotonic ms plus one; 0 means *not yet*.
//! - **profile**: the connection's own settings and metadata, swapped as a whole.
//! - **[`cold_fields`]**: what no call on a healthy circuit touches, on other cache lines.
//!
//! A record counts its references. The table holds one, and gives it back when no reader can find
//! the record any more. Others are held by handles, by operations by name while they last, by
//! notices on their way to the dispatcher, and by the stack of records for the driver.

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::circuit::context::Context;
use crate::structures::refcount::RefCount;
use crate::structures::striped_counter::{Cell, Failures, Owner, Shared, Stripes, Totals};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering, shipped};
use crate::sys::clock::{LAST_MOMENT, Tick};
use crate::values::error::{Error, Rejected};
use crate::values::event::{EventMask, Later, Occurrence, Report};
use crate::values::expiry;
use crate::values::key::Key;
use crate::values::mode::Mode;
use crate::values::rates::Counts;
use crate::values::settings::Settings;
use crate::values::state::{State, Word};

mod admission;
mod cold_fields;
mod delivered;
mod departure;
mod inline_key;
mod last_opening;
mod manual;
mod mode;
mod notify;
mod own_settings;
#[cfg(feature = "capi")]
mod packed_ticket;
mod parked;
pub(crate) mod rare;
mod rates;
mod record_ref;
mod recovery;
mod registration;
mod reports;
mod restore;
mod status;
mod ticket;
mod timestamps;
mod transition;
mod why;

use cold_fields::ColdFields;
pub(crate) use departure::Departure;
use inline_key::Name;
use last_opening::{Entry, Opening};
pub use manual::OpenFor;
pub(crate) use notify::{REGISTRATION, Registration};
pub(crate) use own_settings::{Limit, Profile};
#[cfg(feature = "capi")]
pub(crate) use packed_ticket::Token;
use parked::Seen;
#[cfg(feature = "metrics")]
pub(crate) use record_ref::Observed;
pub(crate) use record_ref::RecordRef;
pub(crate) use registration::Registrant;
pub use status::Status;
pub(crate) use ticket::{Begun, Refused};
use timestamps::{Kind, Stamp};

/// One connection's record, three cache lines. Every call and every look-up reads the first, which
/// is seldom written. The thread that reports most writes the second. The other threads write the
/// third. Fields that only changes of state need lie [elsewhere](ColdFields). The slab aligns the
/// record.
#[repr(C)]
pub(crate) struct Record {
    word: AtomicU64,
    /// The number of this registration, unique in its manager. Beside the word, because a permit
    /// that holds no reference recognizes its registration by it.
    id: u64,
    owner: Owner,
    /// The distance to the cold part, as the slab gave it.
    away: u16,
    /// The moment of the last opening, or of an attempt at one: the low bits of monotonic ms.
    opening: AtomicU32,
    stripes: Stripes,
    name: Name,
    /// Flags that operations check beside the word: the types of events that subscribers want of
    /// this connection, and whether its registration is still to be delivered, [`notify`];
    /// [`VISITED`] and [`HAS_PROFILE`](own_settings::HAS_PROFILE); the [`mode`] in effect; and the
    /// number of observers, [`record_ref`].
    flags: AtomicU32,

    cell: Cell,
    failures: Failures,
    /// What has been delivered of the connection, see [`delivered`].
    delivered: AtomicU32,
    /// The hash of the name. Not beside the name: a look-up finds the hash in the table.
    hash: u64,
    profile: ManuallyDrop<ArcSwapOption<Profile>>,
    /// The time of the last activity that is neither a success nor a failure nor a change of state:
    /// for example a registration, a manual control, or a probe. In the higher bits, the types of
    /// kept events that found the ring full ([`MISSED_SHIFT`]).
    touched_and_missed: AtomicU64,
    /// The last change of state or the registration, a packed [`Stamp`], so that a reader can tell
    /// whether it belongs to the word it saw.
    changed_at: AtomicU64,

    shared: Shared,
    /// The tick of the last failure, as a word; 0 for none. Only grows.
    last_failure: AtomicU64,
    /// The length and the cause of the last opening: [`last_opening`]. Not on the line of `cell`: a
    /// rejection reads it.
    lasting: AtomicU64,
    /// A [`Limit`], so that a failure need not look the settings up. Not on the line of `cell`: a
    /// call that is measured reads it.
    limit: AtomicU64,
    references: RefCount,
    /// Calls whose outcome was neither success nor failure. Stops at 2³² − 1.
    ignored: AtomicU32,
}

shipped! {
    #[cfg(target_pointer_width = "64")]
    const _: () = {
        use std::mem::offset_of;
        // First the line that every call reads, then the line that one thread writes, then the line
        // that all threads may write.
        assert!(offset_of!(Record, cell) == 64);
        assert!(offset_of!(Record, shared) == 128);
        assert!(offset_of!(Record, limit) >= 128 && offset_of!(Record, lasting) >= 128);
        // A slab's slot is exactly as large as these two parts: whole cache lines and whole words,
        // without padding.
        assert!(size_of::<Record>() == 3 * 64 && size_of::<ColdFields>() == 5 * 8);
    };
}

/// In a record's flags: a call was admitted since the last cleanup looked.
const VISITED: u32 = 1 << 17;

/// In `touched_and_missed`: below this bit a time, from it on the types of missed events.
const MISSED_SHIFT: u32 = 40;
const TOUCHED: u64 = (1 << MISSED_SHIFT) - 1;

const _: () = assert!(LAST_MOMENT < TOUCHED, "a moment plus one fits");
const _: () = assert!(
    EventMask::ALL.0 as u64 <= u64::MAX >> MISSED_SHIFT,
    "all types fit"
);

/// The flags that [`notify`] leaves alone.
const OTHER_FLAGS: u32 = VISITED | own_settings::HAS_PROFILE | mode::MODES | record_ref::OBSERVERS;

/// What a permit remembers of its admission: two full words, which cost less to move than narrower
/// fields. [`ticket`] says what is in them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    place: u64,
    stamp: u64,
}

/// Why an operation on a record did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The connection was removed.
    Gone,
    Rejected(Refused),
    Stale,
}

// No user code runs while a record is half changed.
impl UnwindSafe for Record {}
impl RefUnwindSafe for Record {}

impl Record {
    /// The hot part of a record, with an empty name. [`RecordRef::new`] fills in the name and the
    /// cold part.
    #[inline(always)]
    fn new(context: &Context, registrant: &mut Registrant<'_>, away: u16) -> Self {
        let registered_at = registrant.now + 1;
        let (word, mode, opening, profile) = match &mut registrant.special {
            None => (Word::NEW, Mode::Normal, None, None),
            Some(special) => {
                let profile = special.profile.take();
                (special.word, special.mode, special.opening, profile)
            }
        };
        let first = Stamp {
            time: opening.map_or(registered_at, |opening| opening.at + 1),
            generation: word.generation(),
            kind: match opening {
                Some(_) => Kind::OpenRegistration,
                None => Kind::Registration,
            },
        };
        let entry = opening.map_or(0, |opening| Entry::of(word, opening).label());
        Record {
            word: AtomicU64::new(word.bits()),
            id: context.next_id(),
            owner: Owner::new(),
            away,
            opening: AtomicU32::new((first.time - 1) as u32),
            stripes: Stripes::new(),
            name: Name::EMPTY,
            flags: AtomicU32::new(
                notify::AT_BIRTH
                    | mode::flags_of(mode)
                    | match profile {
                        Some(_) => own_settings::HAS_PROFILE,
                        None => 0,
                    },
            ),
            cell: Cell::new(),
            hash: registrant.hash,
            limit: AtomicU64::new(registrant.limit.bits()),
            profile: ManuallyDrop::new(ArcSwapOption::new(profile)),
            touched_and_missed: AtomicU64::new(registered_at),
            lasting: AtomicU64::new(entry),
            shared: Shared::new(),
            failures: Failures::new(),
            last_failure: AtomicU64::new(0),
            changed_at: AtomicU64::new(first.pack()),
            references: RefCount::new(2),
            ignored: AtomicU32::new(0),
            delivered: AtomicU32::new(0),
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

    /// Applies an expiry, or the end of a ramp, that is due. Returns when the next one is due:
    /// `None` if none is, and while the circuit is disabled.
    pub(crate) fn expire(&self, context: &Context, now: u64) -> Option<u64> {
        if self.is_disabled_for_driver() {
            return None;
        }
        let word = self.word_at(context, now);
        if word.is_retired() {
            return None;
        }
        word.due_at()
    }

    /// Marks the connection as active, for an admitted call whose permit holds no reference. Reads
    /// no clock. The mark is a flag beside the word: the call reads that line in any case, and
    /// writes it at most once between two cleanups.
    #[inline]
    pub(crate) fn mark_visited(&self) {
        // Relaxed: an admission that overlaps with a cleanup may count as before the cleanup.
        if self.flags.load(Ordering::Relaxed) & VISITED == 0 {
            self.flags.fetch_or(VISITED, Ordering::Relaxed);
        }
    }

    /// Monotonic ms of the last activity. An admission that has not reported yet leaves only the
    /// [`VISITED`] mark, which counts as activity now.
    fn last_activity(&self, now: u64) -> u64 {
        let is_visited = |flags: u32| flags & VISITED != 0;
        // The exchange, not the load, decides: a mark set in between is taken too.
        if is_visited(self.flags.load(Ordering::Relaxed))
            && is_visited(self.flags.fetch_and(!VISITED, Ordering::Relaxed))
        {
            self.touch(now);
        }
        let sums = self.totals().sum();
        let report = sums.last_success_ms.max(self.last_failure_ms());
        [
            self.touched_and_missed.load(Ordering::Relaxed) & TOUCHED,
            Stamp::unpack(self.changed_at.load(Ordering::Relaxed)).time,
            report.map_or(0, |ms| ms + 1),
        ]
        .into_iter()
        .max()
        .unwrap_or_default()
        .saturating_sub(1)
    }

    /// Monotonic ms of the last failure.
    fn last_failure_ms(&self) -> Option<u64> {
        Tick::from_word(self.last_failure.load(Ordering::Relaxed)).map(Tick::ms)
    }

    pub(crate) fn touch_now(&self, context: &Context) -> u64 {
        let now = context.clock.now();
        self.touch(now);
        now
    }

    /// Closed and not removed: a call passes, whatever the time.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn passes_freely(&self) -> bool {
        self.word_now().passes_freely()
    }

    /// Whether the connection was removed. The caller has marked events as missed. If this returns
    /// false, the thread that removes the connection later finds the marks.
    pub(crate) fn is_retired_by_now(&self) -> bool {
        // ORDERING: AcqRel, partner of the exchange of the word by which `retire` or `depart`
        // removes the connection. It is a write that changes nothing, so that one of the two writes
        // comes first, and the later one sees what was done before the earlier. Two loads could
        // each miss the other's write. The cost falls on a thread that finds the ring full, not on
        // a removal.
        Word::from_bits(self.word.fetch_or(0, Ordering::AcqRel)).is_retired()
    }

    /// The address of the word, for hosts that read it without a call.
    #[cfg(feature = "capi")]
    pub(crate) fn word(&self) -> *const u64 {
        std::ptr::from_ref(&self.word).cast()
    }

    #[inline]
    fn totals(&self) -> Totals<'_> {
        Totals {
            primary: &self.cell,
            failures: &self.failures,
            owner: &self.owner,
            stripes: &self.stripes,
            shared: &self.shared,
        }
    }

    fn touch(&self, now: u64) {
        // Relaxed: the time publishes nothing, and the missed events stay as they are. Many
        // admissions fall into one millisecond; all except the first write nothing.
        let touch = |bits: u64| (bits & TOUCHED <= now).then_some(bits & !TOUCHED | (now + 1));
        let _ = self
            .touched_and_missed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, touch);
    }

    #[inline]
    pub(crate) fn word_now(&self) -> Word {
        // ORDERING: Acquire, partner of the AcqRel in `exchange`: a thread that sees a state also
        // sees the count and the window that led to it.
        Word::from_bits(self.word.load(Ordering::Acquire))
    }
}

/// What happened, with all that an event says of it.
#[derive(Clone, Copy)]
struct Happening<'a> {
    occurrence: Occurrence,
    report: &'a Report<'a>,
    /// How many failures count, if the reporter knows that better than the word.
    failures: Option<u32>,
    /// The opening that has ended.
    ended: Option<Word>,
    /// The new opening, or the opening with its new deadline.
    opening: Option<Opening>,
    /// For how many ms the dependency has asked to be left alone, if it did so with this failure.
    wait: Option<u64>,
    /// What counted for the rates when the circuit opened.
    counts: Option<Counts>,
    later: Later,
    now: u64,
}

impl Happening<'_> {
    fn new(occurrence: Occurrence, now: u64) -> Self {
        Happening {
            occurrence,
            report: &Report::NONE,
            failures: None,
            ended: None,
            opening: None,
            wait: None,
            counts: None,
            later: Later::No,
            now,
        }
    }
}

impl Record {
    /// A rejection by this circuit. The caller has read `word`.
    #[inline(always)]
    pub(crate) fn rejected(&self, word: Word, refused: Refused) -> Rejected {
        refused.rejected(self.name.beginning(), self.entry().read_with(word))
    }

    /// What a refusal means for the caller.
    #[cold]
    #[inline(never)]
    pub(crate) fn error(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Gone => Error::not_found(self.key()),
            Refusal::Rejected(refused) => Error::Rejected(self.rejected(self.word_now(), refused)),
            Refusal::Stale => Error::Stale,
        }
    }
}
