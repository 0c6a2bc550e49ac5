//! Makes settings and operations of a fuzzer's bytes, and
//! compares the library with the naive model after each step.
//!
//! The model, and the code that runs it beside a manager, are those of
//! `tests/model`. There sequences are random. Here libFuzzer searches for inputs
//! that reach new code, and `decode` makes a sequence of them. A difference from
//! the model ends the process, and prints both answers and the sequence.

mod decode;

#[path = "../../../tests/model/admission.rs"]
mod admission;
#[path = "../../../tests/model/circuit.rs"]
mod circuit;
#[path = "../../../tests/model/effective.rs"]
mod effective;
#[path = "../../../tests/model/evidence.rs"]
mod evidence;
#[path = "../../../tests/model/probing.rs"]
mod probing;
#[path = "../../../tests/model/reference.rs"]
mod reference;
#[path = "../../../tests/model/settings.rs"]
mod settings;
#[allow(dead_code, reason = "every status is looked at after every step")]
#[path = "../../../tests/model/trace.rs"]
mod trace;
#[path = "../../../tests/model/view.rs"]
mod view;
#[allow(dead_code, reason = "the driver does its work where the input polls")]
#[path = "../../../tests/model/world.rs"]
mod world;

use std::ffi::c_int;
use std::slice;

use world::{Driver, Watch};

/// The function that libFuzzer calls with each input.
///
/// # Safety
///
/// `data` points to `size` bytes that nothing changes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> c_int {
    let bytes = match size {
        0 => &[],
        // SAFETY: `data` points to `size` bytes that
        // nothing changes during the call (see `# Safety`).
        _ => unsafe { slice::from_raw_parts(data, size) },
    };
    let trace = decode::trace(bytes);
    if std::env::var_os("BRAMA_FUZZ_SHOW").is_some() {
        eprintln!("{trace:?}");
    }
    // A panic ends the process here.
    if let Err(wrong) = world::run(&trace, Driver::AsTold, Watch::Everything) {
        panic!("{wrong}\n{trace:?}");
    }
    0
}
