//! The opaque things that C holds pointers to.

use std::ffi::CString;
use std::mem::{offset_of, size_of};
use std::sync::Arc;

use super::text::{Shelf, Texts, to_c};
use crate::circuit::record::Status;
use crate::manager::Brama;
use crate::manager::connection::Connection;
use crate::manager::engine::Engine;
use crate::manager::subscription::{EventQueue, Subscription};
use crate::sys::manual_clock::ManualClock;

/// A manager: registers connections, decides which calls may pass, keeps the books.
/// Wherever one is asked for, NULL is the process-wide default manager. May be used
/// by any number of threads at once. Made by brama_new, freed by brama_free.
pub struct brama_t {
    pub(super) brama: Brama,
}

/// A handle of a connection: resolved once, no look-up after. What one keeps for a
/// hot path. May be used by any number of threads at once, after the connection was
/// unregistered or cleaned up (BRAMA_ERR_NOT_FOUND) and after its manager was shut
/// down or freed (BRAMA_ERR_SHUT_DOWN). Counted: what brama_register,
/// brama_get_or_register, brama_connection_get and brama_connection_retain give is
/// given back by one brama_connection_release each.
pub struct brama_connection_t {
    pub(super) connection: Connection,
    pub(super) identifier: CString,
    pub(super) scope: Option<CString>,
    /// Of the name. Also in the record, on a line that other threads write: a rejection remembers
    /// it.
    hash: u64,
}

/// A subscription with a callback, ended and freed by brama_unsubscribe. May be made
/// and ended on any thread.
pub struct brama_subscription_t {
    pub(super) subscription: Subscription,
}

/// A subscription whose events wait until they are drained. Made by brama_queue_new,
/// freed by brama_queue_free. May be used by several threads at once, but one thread
/// at a time drains it and reads what it drained.
pub struct brama_queue_t {
    pub(super) queue: EventQueue,
    /// What the last drain lent out.
    pub(super) drained: Shelf,
}

/// A clock that moves only when advanced, for tests without sleeping. Made by
/// brama_clock_new, freed by brama_clock_free. May be used by any number of threads
/// at once.
pub struct brama_clock_t {
    pub(super) clock: ManualClock,
}

/// The status of every connection at one time, taken out one after the other. Made by
/// brama_snapshot_new, freed by brama_snapshot_free. Used by one thread at a time.
pub struct brama_snapshot_t {
    pub(super) rest: std::vec::IntoIter<Status>,
    pub(super) texts: Texts,
}

// A pointer to the default manager is handed out as one to this.
const _: () = {
    assert!(offset_of!(brama_t, brama) == 0);
    assert!(size_of::<brama_t>() == size_of::<Brama>());
};

impl brama_connection_t {
    pub(super) fn new(connection: Connection) -> Self {
        let key = connection.key();
        brama_connection_t {
            hash: connection.hash(),
            connection,
            identifier: to_c(&key.identifier),
            scope: key.scope.as_deref().map(to_c),
        }
    }

    /// The hash of its name, and its engine: what leads to it again.
    #[inline(always)]
    pub(super) fn trace(&self) -> (&Arc<Engine>, u64) {
        (self.connection.engine(), self.hash)
    }
}
