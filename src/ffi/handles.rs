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

/// A manager: registers connections, decides which calls may pass, and keeps their totals. NULL is
/// the process-wide default manager.
pub struct brama_t {
    pub(super) brama: Brama,
}

/// A handle of a connection: the name was looked up once, and calls by handle need no look-up. Keep
/// one for a hot path. It may still be used after the connection was unregistered or cleaned up
/// (calls then return BRAMA_ERR_NOT_FOUND) and after its manager was shut down or freed
/// (BRAMA_ERR_SHUT_DOWN). Each reference, from brama_register, brama_get_or_register,
/// brama_connection_get or brama_connection_retain, needs one brama_connection_release.
pub struct brama_connection_t {
    pub(super) connection: Connection,
    pub(super) identifier: CString,
    pub(super) scope: Option<CString>,
    /// The hash of the name, which a rejection remembers. The record has it, too, but on a cache
    /// line that other threads write.
    hash: u64,
}

/// A subscription with a callback.
pub struct brama_subscription_t {
    pub(super) subscription: Subscription,
}

/// A subscription whose events wait until they are drained. Only one thread at a time may drain it
/// and read what it has drained.
pub struct brama_queue_t {
    pub(super) queue: EventQueue,
    /// The strings of the events of the last drain.
    pub(super) drained: Shelf,
}

/// A clock that moves only when brama_clock_advance moves it, for tests without sleeping.
pub struct brama_clock_t {
    pub(super) clock: ManualClock,
}

/// The status of every connection, taken out one after the other. Used by one thread at a time.
pub struct brama_snapshot_t {
    pub(super) rest: std::vec::IntoIter<Status>,
    pub(super) texts: Texts,
}

// `brama_default` returns a pointer to a `Brama` as a pointer to a `brama_t`.
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

    /// The engine and the hash of the name, by which the connection is found again.
    #[inline(always)]
    pub(super) fn trace(&self) -> (&Arc<Engine>, u64) {
        (self.connection.engine(), self.hash)
    }
}
