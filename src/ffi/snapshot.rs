//! Snapshots of all connections, for hosts where a callback is expensive or dangerous, and counts
//! of connections.
//!
//! A snapshot is `brama_for_each` with the loop on the caller's side. An interpreter may end a
//! thread that is inside a callback. That must not happen with frames of this library on the stack.

use std::ffi::c_char;
use std::mem::size_of;

use super::args::{self, Extensible, clear, given, given_back, init, place, validate_place, write};
use super::errors::brama_result_t;
use super::guard;
use super::handles::{brama_snapshot_t, brama_t};
use super::status::{brama_status_t, snapshot, translate};
use super::text::Texts;

/// Makes a snapshot: the status of every connection, ordered by scope and identifier. *out becomes
/// the snapshot, or NULL on error. It is brama_for_each with the loop on the caller's side.
///
/// scope: only its connections; BRAMA_NO_SCOPE: only those without one; NULL: all. Errors:
/// BRAMA_ERR_INVALID_ARGUMENT.
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

/// Fills in the next status, and returns whether there was one. Initialise the struct with
/// brama_status_init. What its pointers lead to belongs to the snapshot and is valid until the next
/// call with the snapshot.
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
            validate_place("status", status)?;
            let brama_snapshot_t { rest, texts } = &mut *snapshot;
            let next = rest.next();
            if let Some(next) = &next {
                write(status, &translate(next, texts));
            }
            Ok(next.is_some())
        }
    })
}

/// Frees a snapshot and its strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_snapshot_free(snapshot: *mut brama_snapshot_t) {
    guard::value((), || {
        // SAFETY: NULL, or from `brama_snapshot_new`, and given back once: OWNERSHIP in the header.
        drop(unsafe { given_back(snapshot) });
        Ok(())
    });
}

/// How many connections of a manager are in each state.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_state_counts_t {
    /// Bytes of this struct; set by brama_state_counts_init.
    pub size: usize,
    /// Healthy.
    pub closed: u64,
    /// Failing.
    pub open: u64,
    /// Probing.
    pub half_open: u64,
}

// SAFETY: numbers after the size.
unsafe impl Extensible for brama_state_counts_t {
    const NAME: &'static str = "brama_state_counts_t";
    const INIT: &'static str = "brama_state_counts_init";
    const FIRST_SIZE: usize = size_of::<Self>();
    const BLANK: Self = brama_state_counts_t {
        size: size_of::<Self>(),
        closed: 0,
        open: 0,
        half_open: 0,
    };
}

/// Sets the size, and all else to zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_state_counts_init(counts: *mut brama_state_counts_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(counts) }
}

/// Counts the connections in each state. Initialise the struct with brama_state_counts_init.
/// Errors: BRAMA_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_state_counts(
    manager: *mut brama_t,
    counts: *mut brama_state_counts_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager; `counts` is NULL or counts: the rule for
        // pointers in `args`.
        unsafe {
            validate_place("counts", counts)?;
            let known = args::manager(manager).state_counts();
            let known = brama_state_counts_t {
                closed: known.closed as u64,
                open: known.open as u64,
                half_open: known.half_open as u64,
                ..Extensible::BLANK
            };
            write(counts, &known);
        }
        Ok(())
    })
}
