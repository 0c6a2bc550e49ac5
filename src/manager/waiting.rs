//! Saved circuits of names that are not registered yet, which wait for the registration.
//!
//! A list that is never changed, ordered by name, behind a pointer. A restore puts another list in
//! its place, with what still waits in the old one. A registration looks into it only if
//! something waits, which is one load.
//!
//! Each entry is **taken once**: by an exchange of its flag. Lists share their entries, so a
//! registration that finds an entry in a list that was just replaced takes it from the new one,
//! too.
//!
//! A restore and a registration of the same name at once do not miss each other. The restore
//! publishes the list, and then looks for the connection. The registration puts the connection
//! into the table, and then looks for something that waits. With a fence in between on both sides,
//! one of them finds the other's, and if both do, the flag decides.
//!
//! The list is as large as the data that was restored and still waits, whatever is registered.
//! Nothing here is a lock, so the child of a fork finds whatever its parent had published.
//!
//! Rejected: a lock around a map, which a fork can leave half changed; the word of a
//! record that is made open before it is registered, since a registration that loses against
//! another of the same name would have to put it back.

use std::sync::Arc;

use crate::structures::replaceable::Replaceable;
use crate::sys::atomic::{AtomicU32, AtomicUsize, Ordering, fence};
use crate::values::key::Key;
use crate::values::saved::{self, Name, Saved};

pub(crate) struct Waiting {
    list: Replaceable<Vec<Arc<Entry>>>,
    /// How many entries wait.
    left: AtomicUsize,
}

/// One circuit that waits.
pub(crate) struct Entry {
    /// What was saved of it, its name included.
    bytes: Box<[u8]>,
    /// When, in Unix ms.
    pub(crate) written: u64,
    /// 1 once it has been taken.
    taken: AtomicU32,
}

impl Entry {
    pub(crate) fn new(bytes: &[u8], written: u64) -> Self {
        Entry {
            bytes: bytes.into(),
            written,
            taken: AtomicU32::new(0),
        }
    }

    /// The same again, for what was taken in vain.
    pub(crate) fn again(&self) -> Self {
        Entry::new(&self.bytes, self.written)
    }

    fn name(&self) -> Name<'_> {
        saved::name(&self.bytes)
    }

    pub(crate) fn saved(&self) -> Saved<'_> {
        saved::circuit(&self.bytes)
    }

    fn waits(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == 0
    }
}

impl Waiting {
    pub(crate) fn new() -> Self {
        Waiting {
            list: Replaceable::new(),
            left: AtomicUsize::new(0),
        }
    }

    /// Whether something waits. For a thread that has put a connection into the table, and fenced.
    #[inline]
    pub(crate) fn has_any(&self) -> bool {
        // Relaxed: the fences of both sides order it, see `add`.
        self.left.load(Ordering::Relaxed) != 0
    }

    /// Lets these wait, which are ordered by name, in place of those with the same names. The
    /// caller then looks for their connections.
    pub(crate) fn add(&self, entries: &[Arc<Entry>]) {
        // First, so that it is never less than what waits.
        self.left.fetch_add(entries.len(), Ordering::Relaxed);
        loop {
            let current = self.list.load();
            let older = current.as_deref().map_or(&[][..], Vec::as_slice);
            let mut replaced = Vec::new();
            let mut next = Vec::with_capacity(older.len() + entries.len());
            let mut newer = entries.iter().peekable();
            for old in older.iter().filter(|entry| entry.waits()) {
                let comes_first = |new: &&Arc<Entry>| new.name() < old.name();
                while let Some(new) = newer.next_if(comes_first) {
                    next.push(new.clone());
                }
                match newer.peek().is_some_and(|new| new.name() == old.name()) {
                    true => replaced.push(old.clone()),
                    false => next.push(old.clone()),
                }
            }
            next.extend(newer.cloned());
            if self.list.replace(current.as_ref(), Some(Box::new(next))) {
                for entry in replaced {
                    self.take(&entry);
                }
                break;
            }
        }
        // ORDERING: SeqCst, partner of the fence in `Engine::register`: either that thread finds
        // what waits, or the caller finds its connection.
        fence(Ordering::SeqCst);
    }

    /// Takes an entry. False if it does not wait any more.
    pub(crate) fn take(&self, entry: &Entry) -> bool {
        // AcqRel is not needed: what is in an entry was written before it was published.
        if entry.taken.swap(1, Ordering::Relaxed) == 1 {
            return false;
        }
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.clear();
        }
        true
    }

    /// Takes what waits for this name.
    pub(crate) fn take_by_name(&self, key: Key<'_>) -> Option<Arc<Entry>> {
        let entry = {
            let list = self.list.load()?;
            let wanted = saved::name_of(key);
            let at = list.binary_search_by(|entry| entry.name().cmp(&wanted));
            list[at.ok()?].clone()
        };
        self.take(&entry).then_some(entry)
    }

    /// Frees the list if nothing in it waits.
    fn clear(&self) {
        let current = self.list.load();
        if let Some(list) = &current
            && !list.iter().any(|entry| entry.waits())
        {
            // Fails if another list has come meanwhile.
            self.list.replace(Some(list), None);
        }
    }
}
