//! How a record is shared: a count of references inside the record.
//!
//! An `Arc` would do the same; the count is inside so that the record keeps its
//! alignment (an `Arc` puts 64 bytes of header before it) and so that a look-up
//! can hand out a reference from a plain pointer.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

use super::Record;
use crate::inbox::{Link, Linked};
use crate::key::Key;
use crate::sync::{Ordering, fence};
use crate::table::Entry;

/// One counted reference to a record.
pub(crate) struct RecordRef(NonNull<Record>);

impl RecordRef {
    pub(crate) fn new(record: Record) -> Self {
        let record = Box::into_raw(Box::new(record));
        // Exposed, because `share` makes a pointer from a `&Record`.
        record.expose_provenance();
        RecordRef(NonNull::new(record).expect("a box is not null"))
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
    /// One more reference. The caller has one, or is pinned and found the record
    /// in the table, whose reference is given back only when nobody is pinned.
    pub(crate) fn share(&self) -> RecordRef {
        // Relaxed: a reference is made from one that is known to exist.
        self.references.fetch_add(1, Ordering::Relaxed);
        RecordRef(original(std::ptr::from_ref(self).addr()))
    }
}

/// The pointer that the record was made with: it must not be freed through one
/// that comes from a `&Record`.
fn original(address: usize) -> NonNull<Record> {
    NonNull::new(std::ptr::with_exposed_provenance_mut(address)).expect("not null")
}

impl Deref for RecordRef {
    type Target = Record;

    #[inline]
    fn deref(&self) -> &Record {
        // SAFETY: the reference keeps the record alive.
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
        // ORDERING: Release, so that all uses through this reference come before
        // the last one's Acquire fence, and that before the destruction.
        if self.references.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: the last reference is gone, and the record came from a box.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

impl fmt::Debug for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({})", self.key())
    }
}

// SAFETY: a record is made of atomics and of things that are `Send` and `Sync`;
// the count lets any thread free it.
unsafe impl Send for RecordRef {}
// SAFETY: as above.
unsafe impl Sync for RecordRef {}

impl Entry for Record {
    type Key<'a> = Key<'a>;

    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn is(&self, key: Key<'_>) -> bool {
        self.key() == key
    }

    unsafe fn release(this: *mut Self) {
        // SAFETY: the caller gives the table's reference back, once.
        drop(unsafe { RecordRef::from_raw(original(this.addr())) });
    }
}

// SAFETY: `link` is one field; the raw pointer is one counted reference.
unsafe impl Linked for Record {
    type Ref = RecordRef;

    fn link(&self) -> &Link<Self> {
        &self.link
    }

    fn into_raw(reference: RecordRef) -> NonNull<Self> {
        reference.into_raw()
    }

    unsafe fn from_raw(pointer: NonNull<Self>) -> RecordRef {
        // SAFETY: the caller's promise is the same.
        unsafe { RecordRef::from_raw(pointer) }
    }
}
