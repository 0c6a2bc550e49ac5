//! Time that a test decides.

use std::ptr;
use std::time::Duration;

use super::args::{given, given_back, invalid};
use super::errors::brama_result_t;
use super::guard;
use super::handles::brama_clock_t;
use crate::sys::manual_clock::ManualClock;

/// No clock that starts by then ever shows a number that has a meaning, such as BRAMA_NONE.
const LATEST: u64 = i64::MAX as u64;

/// Makes a clock that shows this Unix time, in ms, and stands still. Give it to brama_new in
/// brama_config_t.clock. The caller frees it with brama_clock_free. NULL on error, such as a
/// time above INT64_MAX, where BRAMA_NONE and its kin are.
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

/// Frees a clock. Managers that use it keep the time that it shows. NULL is fine. No
/// other thread may be using the pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_clock_free(clock: *mut brama_clock_t) {
    guard::value((), || {
        // SAFETY: NULL, or from `brama_clock_new`, and given back once.
        drop(unsafe { given_back(clock) });
        Ok(())
    });
}

/// Moves the time on by so many ms. It stops 34 years after its start. What became due takes
/// effect at the next call, on any thread; brama_poll does it now. NULL:
/// BRAMA_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_clock_advance(clock: *mut brama_clock_t, ms: u64) -> brama_result_t {
    guard::result(|| {
        // SAFETY: NULL, or a clock.
        let clock = unsafe { given("clock", clock) }?;
        clock.clock.advance(Duration::from_millis(ms));
        Ok(())
    })
}

/// The time that a clock shows, in Unix ms; BRAMA_NONE for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_clock_unix_ms(clock: *const brama_clock_t) -> u64 {
    guard::value(super::types::BRAMA_NONE, || {
        // SAFETY: NULL, or a clock.
        let clock = unsafe { given("clock", clock) }?;
        Ok(clock.clock.unix_ms())
    })
}
