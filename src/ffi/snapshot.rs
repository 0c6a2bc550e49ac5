//! All connections, for hosts where a callback is expensive or dangerous.
//!
//! `brama_for_each` with the loop on the caller's side: an interpreter may end a
//! thread that is inside a callback, and foreign frames are no place for that.

use std::ffi::c_char;

use super::args::{clear, given, given_back, judge_place, place, write};
use super::errors::brama_result_t;
use super::guard;
use super::handles::{brama_snapshot_t, brama_t};
use super::status::{brama_status_t, snapshot, translate};
use super::text::Texts;

/// Takes the status of every connection, ordered by scope and identifier, into *out, to
/// be freed by the caller with brama_snapshot_free; NULL on error. As brama_for_each,
/// with the loop on the caller's side.
///
/// scope: only its connections; BRAMA_NO_SCOPE: only those without one; NULL: all. A
/// NULL manager is the default one, out must not be NULL. Errors:
/// BRAMA_ERR_INVALID_ARGUMENT. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_snapshot_new(
    manager: *mut brama_t,
    scope: *const c_char,
    out: *mut *mut brama_snapshot_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `out` is NULL or a place: the rule for pointers in `args`.
        unsafe { clear(out) };
        place("out", out)?;
        // SAFETY: `manager` is NULL or a manager; `scope` is NULL or a string: the rule for
        // pointers in `args`.
        let statuses = unsafe { snapshot(manager, scope) }?;
        let snapshot = Box::new(brama_snapshot_t {
            rest: statuses.into_iter(),
            texts: Texts::default(),
        });
        // SAFETY: not NULL, so a place for a pointer: the rule for pointers in `args`.
        unsafe { out.write(Box::into_raw(snapshot)) };
        Ok(())
    })
}

/// Fills in the next status, and says whether there was one. The struct has been through
/// brama_status_init. Its strings and metadata belong to the snapshot and are valid
/// until the next call with it. False also for NULL. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_snapshot_next(
    snapshot: *mut brama_snapshot_t,
    status: *mut brama_status_t,
) -> bool {
    guard::value(false, || {
        // SAFETY: `snapshot` is NULL or a snapshot, which one thread at a time uses; `status`
        // is NULL or a status: the rule for pointers in `args`.
        unsafe {
            given("snapshot", snapshot)?;
            judge_place("status", status)?;
            let brama_snapshot_t { rest, texts } = &mut *snapshot;
            let next = rest.next();
            if let Some(next) = &next {
                write(status, &translate(next, texts));
            }
            Ok(next.is_some())
        }
    })
}

/// Frees a snapshot and its strings. NULL is fine. No other thread may be using it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_snapshot_free(snapshot: *mut brama_snapshot_t) {
    guard::value((), || {
        // SAFETY: NULL, or from `brama_snapshot_new`, and given back once.
        drop(unsafe { given_back(snapshot) });
        Ok(())
    });
}
