//! How a record is shared: a count of references inside the record.
//!
//! An `Arc` would do the same; the count is inside so that the record begins at a cache line (an
//! `Arc` puts a header before it), and so that a look-up can hand out a reference from a plain
//! pointer.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

use super::{ColdFields, Record, Registrant};
use crate::circuit::context::Context;
use crate::structures::intrusive_stack::{Link, Linked};
use crate::structures::slab;
use crate::structures::table::{ALIGNMENT, Entry};
use crate::sys::atomic::Ordering;
use crate::values::key::Key;

const _: () = assert!(slab::ALIGNMENT.is_multiple_of(ALIGNMENT));

slab::slots_for!(Record, ColdFields);

/// One counted reference to a record.
pub(crate) struct RecordRef(NonNull<Record>);

impl RecordRef {
    /// Prefetches the memory of a record that is about to be made.
    #[inline(always)]
    pub(crate) fn expect_new() {
        slab::expect_take::<Record>();
    }

    /// A record with two references, one of them for the table.
    #[inline(always)]
    pub(crate) fn new(context: &Context, registrant: &mut Registrant<'_>) -> [Self; 2] {
        let slot = slab::take::<Record>();
        let place = slot.hot();
        // SAFETY: `slab::take` has just returned it: memory of a `Record`'s size and alignment,
        // no other thread's.
        unsafe { place.write(Record::new(context, registrant, slot.away())) };
        // SAFETY: written above, and no other thread has it yet.
        unsafe { (*place.as_ptr()).name.fill(registrant.key) };
        // SAFETY: `slab::take` has just returned the slot, of which this is the cold part.
        unsafe { ColdFields::fill(slot.cold()) };
        let record = RecordRef(place);
        let special = registrant.special.as_deref();
        if let Some(settings) = special.and_then(|special| special.roomy.as_ref()) {
            record.make_room(settings);
            record.fit_rates_to(context, registrant.version, settings);
        }
        [RecordRef(place), record]
    }

    /// # Safety
    ///
    /// This was the last reference.
    #[inline(never)]
    unsafe fn destroy(&self) {
        let away = self.away;
        let cold = original(std::ptr::from_ref(self.cold()).addr());
        // SAFETY: this function's # Safety: there is no other reference. `new` took the slot with
        // this distance and filled both parts of it.
        unsafe {
            ColdFields::empty(cold);
            self.0.drop_in_place();
            slab::give::<Record>(self.0, away);
        }
    }

    /// Hands the reference over as a pointer; [`RecordRef::from_raw`] takes it back.
    pub(crate) fn into_raw(self) -> NonNull<Record> {
        std::mem::ManuallyDrop::new(self).0
    }

    /// # Safety
    ///
    /// `pointer` came from [`RecordRef::into_raw`] and is taken back once.
    pub(crate) unsafe fn from_raw(pointer: NonNull<Record>) -> Self {
        RecordRef(pointer)
    }
}

impl Record {
    /// One more reference. The caller has one, or is pinned and found the record in the table,
    /// whose reference is given back only when no thread is pinned.
    pub(crate) fn share(&self) -> RecordRef {
        self.references.share();
        RecordRef(original(std::ptr::from_ref(self).addr()))
    }

    /// Whether a handle, an operation, a notice or the stack of records for the driver
    /// holds the connection, beside the table and the observers.
    pub(super) fn is_held(&self) -> bool {
        // ORDERING: Acquire, so that these are read one after the other. An observer first adds its
        // reference and then counts itself, and ends in the reverse order. So if both reads find
        // the same number, that many references are observers'.
        let observers = || (self.flags.load(Ordering::Acquire) & OBSERVERS) / OBSERVER;
        let before = observers();
        let references = self.references.count();
        references > 1 + before || observers() != before
    }
}

/// In a record's flags: the number of observers, and one of them.
pub(super) const OBSERVERS: u32 = 0x1ff << 21;
const OBSERVER: u32 = 1 << 21;

/// A reference that keeps a record's totals readable, without keeping its connection registered. At
/// most 511 of them are counted as observers. One beyond that keeps the connection registered, as
/// any other reference does.
#[cfg(feature = "metrics")]
#[derive(Debug)]
pub(crate) struct Observed {
    record: RecordRef,
    is_counted: bool,
}

#[cfg(feature = "metrics")]
impl Observed {
    pub(crate) fn new(record: RecordRef) -> Self {
        let more = |flags: u32| (flags & OBSERVERS != OBSERVERS).then_some(flags + OBSERVER);
        // ORDERING: Release, partner of the Acquire in `is_held`: the reference comes first.
        let counted = record
            .flags
            .fetch_update(Ordering::Release, Ordering::Relaxed, more);
        Observed {
            is_counted: counted.is_ok(),
            record,
        }
    }
}

#[cfg(feature = "metrics")]
impl Drop for Observed {
    fn drop(&mut self) {
        if self.is_counted {
            // ORDERING: AcqRel: Release is the partner of the Acquire in `is_held`; Acquire
            // keeps the return of the reference, which follows, behind it.
            self.record.flags.fetch_sub(OBSERVER, Ordering::AcqRel);
        }
    }
}

#[cfg(feature = "metrics")]
impl Deref for Observed {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

/// The pointer that the record, or its cold part, was made with: it must not be freed
/// through one that comes from a `&Record`.
fn original<T>(address: usize) -> NonNull<T> {
    NonNull::new(std::ptr::with_exposed_provenance_mut(address)).expect("not null")
}

impl Deref for RecordRef {
    type Target = Record;

    #[inline]
    fn deref(&self) -> &Record {
        // SAFETY: `new` filled the record, and this reference is counted, so `destroy` has not
        // run.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for RecordRef {
    fn clone(&self) -> Self {
        self.share()
    }
}

impl Drop for RecordRef {
    fn drop(&mut self) {
        if self.references.give_back() {
            // SAFETY: `give_back` says that this was the last reference.
            unsafe { self.destroy() };
        }
    }
}

impl fmt::Debug for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({})", self.key())
    }
}

// SAFETY: a reference gives `&Record` to the thread that has it, and the last one drops the
// record there. `Record` is `Send` and `Sync`, which the assertion in `manager::permit` shows.
unsafe impl Send for RecordRef {}
// SAFETY: a shared reference gives `&Record` and clones, whose count is atomic; `Record` is
// `Send` and `Sync` (see `manager::permit`).
unsafe impl Sync for RecordRef {}

impl Entry for Record {
    type Key<'a> = Key<'a>;

    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline(always)]
    fn is(&self, key: Key<'_>) -> bool {
        self.has_name(key)
    }

    unsafe fn release(this: *mut Self) {
        // SAFETY: `Table::release`'s # Safety: `insert` took the reference from `into_raw`, and
        // it is given back once.
        drop(unsafe { RecordRef::from_raw(original(this.addr())) });
    }
}

// SAFETY: `link` is one field; the raw pointer is one counted reference.
unsafe impl Linked for Record {
    type Ref = RecordRef;

    fn link(&self) -> &Link<Self> {
        &self.cold().link
    }

    fn into_raw(reference: RecordRef) -> NonNull<Self> {
        reference.into_raw()
    }

    unsafe fn from_raw(pointer: NonNull<Self>) -> RecordRef {
        // SAFETY: `Linked::from_raw`'s # Safety: `pointer` is from `into_raw`, and taken back
        // once.
        unsafe { RecordRef::from_raw(pointer) }
    }
}

#[cfg(all(test, not(loom), feature = "metrics"))]
mod tests {
    use super::*;
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;

    /// Observers beyond the highest count keep the record held, and change no flag.
    #[test]
    fn observers_are_counted_up_to_an_end_and_change_no_other_flag() {
        let context = Context::alone(Clock::Manual(ManualClock::new()));
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        let flags = || record.flags.load(Ordering::Relaxed);
        let before = flags();
        let mut observers = Vec::new();
        for n in 1..=1_500 {
            observers.push(Observed::new(record.share()));
            assert_eq!(flags() & !OBSERVERS, before, "with {n}");
            assert_eq!(record.is_held(), n > 511, "with {n}");
        }
        observers.reverse();
        while let Some(observer) = observers.pop() {
            drop(observer);
            assert_eq!(flags() & !OBSERVERS, before);
        }
        assert_eq!(flags(), before);
        assert!(!record.is_held());
    }
}
