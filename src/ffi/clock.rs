//! Clocks that a test moves.

use std::ptr;
use std::time::Duration;

use super::args::{given, given_back, invalid};
use super::errors::brama_result_t;
use super::guard;
use super::handles::brama_clock_t;
use crate::sys::manual_clock::ManualClock;

/// The latest start of a clock. A clock that starts by then never shows a number that is one of the
/// constants, such as BRAMA_NONE.
const LATEST: u64 = i64::MAX as u64;

/// Makes a clock that shows this Unix time, in ms, and stands still. Give it to brama_new in
/// brama_config_t.clock. A time above INT64_MAX is refused: the constants, such as BRAMA_NONE, are
/// there.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn brama_clock_new(unix_ms: u64) -> *mut brama_clock_t {
    guard::value(ptr::null_mut(), || {
        if unix_ms > LATEST {
            let allowed = format!("must be at most {LATEST}");
            return Err(invalid("unix_ms", unix_ms, allowed).into());
        }
        let clock = ManualClock::starting_at(unix_ms);
        Ok(Box::into_raw(Box::new(brama_clock_t { clock })))
    })
}

/// Frees a clock. For managers that use it, time stands still from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_clock_free(clock: *mut brama_clock_t) {
    guard::value((), || {
        // SAFETY: NULL, or from `brama_clock_new`, and given back once: OWNERSHIP in the header.
        drop(unsafe { given_back(clock) });
        Ok(())
    });
}

/// Moves the time on by so many ms; it stops 34 years after the clock's start. What became due
/// takes effect at the next call, on any thread; brama_poll does it now. Errors:
/// BRAMA_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_clock_advance(clock: *mut brama_clock_t, ms: u64) -> brama_result_t {
    guard::result(|| {
        // SAFETY: NULL, or a clock: the rule for pointers in `args`.
        let clock = unsafe { given("clock", clock) }?;
        clock.clock.advance(Duration::from_millis(ms));
        Ok(())
    })
}

/// Returns the time that a clock shows, in Unix ms; BRAMA_NONE for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_clock_unix_ms(clock: *const brama_clock_t) -> u64 {
    guard::value(super::types::BRAMA_NONE, || {
        // SAFETY: NULL, or a clock: the rule for pointers in `args`.
        let clock = unsafe { given("clock", clock) }?;
        Ok(clock.clock.unix_ms())
    })
}
