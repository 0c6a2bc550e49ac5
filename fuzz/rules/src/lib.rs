//! Bytes of a fuzzer as settings and operations, compared step by step with the naive model.
//!
//! The model, and what plays it beside a manager, are those of `tests/model`. Where that draws its
//! sequences at random, libFuzzer looks for inputs that reach new code. `decode` makes a sequence
//! of any bytes. What differs from the model ends the process with both answers and the sequence.

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

/// What libFuzzer calls with each input.
///
/// # Safety
///
/// `data` points to `size` bytes that nothing changes during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> c_int {
    let bytes = match size {
        0 => &[],
        // SAFETY: the caller's promise above.
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
