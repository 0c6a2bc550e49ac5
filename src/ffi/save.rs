//! The state of all circuits, as bytes.

use std::{io, ptr};

use super::args::{array, clear, manager, place, put};
use super::errors::brama_result_t;
use super::guard::{self, Failure};
use super::handles::brama_t;

/// Makes data of the state of every circuit, for brama_restore: in this process later, in the
/// next one, or on another machine. *data becomes the data, *length its length in bytes. The
/// caller gives it back with brama_data_free.
///
/// Of each circuit: its name, its state, how long an opening has still to run, its trips, its
/// failures in a row, why it opened last, the reason of its last failure, and its totals. Not
/// saved are settings, metadata, windows, rates, the times of reports, and what waits for a
/// registration. A circuit in BRAMA_MODE_DISABLED is saved as what it will be when its mode returns.
/// A manager that was shut down has no circuits any more: save first.
///
/// The circuits are read one after the other, so together they are not one instant. No caller
/// of a circuit waits for it. On error *data is NULL and *length 0. Errors:
/// BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_OUT_OF_MEMORY.
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
        // SAFETY: any size may be asked for.
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

/// Frees what brama_save made, once. NULL is fine: nothing happens. No other thread may be using
/// it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_data_free(data: *mut u8) {
    guard::value((), || {
        // SAFETY: NULL, or from `malloc` in `brama_save`, and given back once: the rule for
        // pointers in `args`.
        unsafe { libc::free(data.cast()) };
        Ok(())
    });
}

/// Restores circuits from what brama_save made. If count is not NULL, *count becomes the number
/// of circuits that were restored, and of those that wait because no connection of their name
/// is registered: each of these is restored by the first registration of its name. All of the
/// data is checked before anything is changed.
///
/// A restore is a transition by hand: permits that are out are stale (BRAMA_ERR_STALE), and
/// subscribers hear of it as of brama_open_circuit, brama_close_circuit and
/// brama_half_open_circuit, with the saved cause and reason.
///
/// What is left of an opening is what was left when it was saved, less the time that has passed
/// since by the wall clock; no jitter is added. An opening whose time is over is due at once, one
/// without an end has none. A half-open circuit has no successes, and no probe is out. Windows
/// and rates are empty; with a window_ms no failure counts. The totals become the saved ones,
/// unless they are higher already. A circuit that has changed its state after it was saved, by
/// the wall clock, is left alone and not counted. A registration is no change; another restore
/// is one. In BRAMA_MODE_DISABLED the restore takes effect when the mode returns, and its events
/// say so (BRAMA_EVENT_DEFERRED).
///
/// What waits takes as much memory as it does in the data; a later restore replaces what waits
/// for the same names. data is not kept. Errors: BRAMA_ERR_INVALID_ARGUMENT (damaged, cut off,
/// of another version or no such data: brama_last_error_message says what is wrong at which
/// offset), BRAMA_ERR_SHUT_DOWN. Then nothing was changed, and *count is 0.
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
