//! The state of all circuits, as bytes.

use std::{io, ptr};

use super::args::{array, clear, manager, place, put};
use super::errors::brama_result_t;
use super::guard::{self, Failure};
use super::handles::brama_t;

/// Saves the state of every circuit as data for brama_restore: in this process later, in the next
/// one, or on another machine. *data becomes the data, *length its length in bytes.
///
/// Of each circuit it has the name, the state, how long an opening still has to run, the trips, the
/// failures in a row, why it opened last, the reason of its last failure, and the totals. Not saved
/// are settings, metadata, windows, rates, the times of reports, and saved circuits that wait for a
/// registration. A circuit in BRAMA_MODE_DISABLED is saved in the state that it will have once it
/// is enabled. A manager that was shut down has no circuits any more: save first.
///
/// The circuits are read one after the other, so together they are not one instant. No call on a
/// circuit waits for it. On error *data is NULL and *length 0. Errors: BRAMA_ERR_INVALID_ARGUMENT,
/// BRAMA_ERR_OUT_OF_MEMORY.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_save(
    manager: *mut brama_t,
    data: *mut *mut u8,
    length: *mut usize,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: both are NULL or places: the rule for pointers in `args`.
        unsafe {
            clear(data);
            put(length, 0);
        }
        place("data", data)?;
        place("length", length)?;
        // SAFETY: `manager` is NULL or a manager: the rule for pointers in `args`.
        let saved = unsafe { self::manager(manager) }.save();
        // SAFETY: `malloc` has no precondition.
        let copy: *mut u8 = unsafe { libc::malloc(saved.len()) }.cast();
        if copy.is_null() {
            let error = io::Error::from_raw_os_error(libc::ENOMEM);
            return Err(Failure::System(error));
        }
        // SAFETY: `malloc` has just made `copy`, of this length. `data` and `length` are not NULL,
        // so places: the rule for pointers in `args`.
        unsafe {
            ptr::copy_nonoverlapping(saved.as_ptr(), copy, saved.len());
            data.write(copy);
            length.write(saved.len());
        }
        Ok(())
    })
}

/// Frees what brama_save made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_data_free(data: *mut u8) {
    guard::value((), || {
        // SAFETY: NULL, or from `malloc` in `brama_save`, and given back once: the rule for
        // pointers in `args`.
        unsafe { libc::free(data.cast()) };
        Ok(())
    });
}

/// Restores circuits from what brama_save made. The saved circuit of a name that is not registered
/// waits, and the first registration of the name restores it. If count is not NULL, *count becomes
/// the number of circuits that were restored or that wait. All of the data is checked before
/// anything is changed.
///
/// A restore is a transition by hand: permits that are out are stale (BRAMA_ERR_STALE), and there
/// are the events of brama_open_circuit, brama_close_circuit and brama_half_open_circuit, with the
/// saved cause and reason.
///
/// An opening lasts for what was left of it at the save, less the time that has passed since by the
/// wall clock; no jitter is added. If nothing is left, its end is due at once. An opening without
/// an end has none again. A half-open circuit has no successes, and no probe is out. Windows and
/// rates are empty; with a window_ms no failure counts. The totals become the saved ones, unless
/// they are higher already. In BRAMA_MODE_DISABLED the restore takes effect when the circuit is
/// enabled, and its events say so (BRAMA_EVENT_DEFERRED).
///
/// A circuit that has changed its state since the save, by the wall clock, stays as it is and is
/// not counted. A registration is no change of state; another restore is one.
///
/// Saved circuits that wait take as much memory as in the data. A later restore replaces those of
/// the same names. Errors: BRAMA_ERR_INVALID_ARGUMENT (the data is damaged, cut off, of another
/// version or not from brama_save: brama_last_error_message says what is wrong at which offset),
/// BRAMA_ERR_SHUT_DOWN. Then nothing was changed, and *count is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_restore(
    manager: *mut brama_t,
    data: *const u8,
    length: usize,
    count: *mut usize,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `count` is NULL or a place; `data` is NULL or so many bytes; `manager` is NULL or
        // a manager: the rule for pointers in `args`.
        unsafe {
            put(count, 0);
            let data = array("data", data, length)?;
            put(count, self::manager(manager).restore(data)?);
        }
        Ok(())
    })
}
