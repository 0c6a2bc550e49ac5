//! What a call costs through the C ABI: `cargo bench -p brama-bench --bench ffi`.
//!
//! The bench finds the functions in the shared library with `dlsym`, as a
//! host of another language does. Beside each is the same call from Rust.

mod loaded;
mod race;

use std::ffi::{CString, c_int, c_void};
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr;

use brama::{Brama, Connection};
use criterion::{Criterion, criterion_group, criterion_main};
use loaded::{Handle, Loaded, Manager, Permit, Text};
use race::{Race, criterion};

/// The process-wide manager: NULL in C.
const DEFAULT: Manager = Manager(ptr::null_mut());

/// The functions that the bench calls.
#[derive(Clone, Copy)]
struct Library {
    abi_version: extern "C" fn() -> u32,
    register: extern "C" fn(Manager, Text, Text, *const c_void, *mut Handle) -> c_int,
    connection_available: extern "C" fn(Handle) -> bool,
    connection_success: extern "C" fn(Handle) -> c_int,
    connection_acquire: extern "C" fn(Handle, *mut Permit, *mut u64) -> c_int,
    permit_success: extern "C" fn(Permit) -> c_int,
    connection_failure: extern "C" fn(Handle, Text) -> c_int,
    available: extern "C" fn(Manager, Text, Text) -> bool,
    success: extern "C" fn(Manager, Text, Text) -> c_int,
    acquire: extern "C" fn(Manager, Text, Text, *mut Permit, *mut u64) -> c_int,
    open_circuit: extern "C" fn(Manager, Text, Text, Text, u64) -> c_int,
    connection_get: extern "C" fn(Manager, Text, Text, *mut Handle) -> c_int,
    configure: extern "C" fn(Handle, *const c_void) -> c_int,
    options_init: extern "C" fn(*mut c_void),
}

impl Library {
    /// Builds the library, unless it is built already, and loads it.
    fn load() -> Self {
        let library = Loaded::from(&loaded::build());
        Library {
            abi_version: library.find(c"brama_abi_version"),
            register: library.find(c"brama_register"),
            connection_available: library.find(c"brama_connection_available"),
            connection_success: library.find(c"brama_connection_success"),
            connection_acquire: library.find(c"brama_connection_acquire"),
            permit_success: library.find(c"brama_permit_success"),
            connection_failure: library.find(c"brama_connection_failure"),
            available: library.find(c"brama_available"),
            success: library.find(c"brama_success"),
            acquire: library.find(c"brama_acquire"),
            open_circuit: library.find(c"brama_open_circuit"),
            connection_get: library.find(c"brama_connection_get"),
            configure: library.find(c"brama_connection_configure"),
            options_init: library.find(c"brama_options_init"),
        }
    }

    fn handle(&self, (scope, identifier): &(CString, CString)) -> Handle {
        let mut handle = Handle(ptr::null_mut());
        let got = (self.connection_get)(DEFAULT, identifier.as_ptr(), scope.as_ptr(), &mut handle);
        assert_eq!(got, 0, "registered");
        handle
    }

    /// Sets `max_attempts` so that the circuit never opens by itself.
    fn unlimited(&self, handle: Handle) {
        // `brama_options_t`, which is no larger than this.
        // Its second word begins with `max_attempts`.
        let mut options = [0_u64; 64];
        (self.options_init)(options.as_mut_ptr().cast());
        let second = options[1].to_ne_bytes();
        let mut bytes = second;
        bytes[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        options[1] = u64::from_ne_bytes(bytes);
        assert_eq!((self.configure)(handle, options.as_ptr().cast()), 0);
    }
}

const NAMES: usize = 1_000;

fn names() -> Vec<(String, String)> {
    (0..NAMES)
        .map(|i| (format!("team_{}", i % 7), format!("service_{i:04}")))
        .collect()
}

struct Sides {
    c: Library,
    /// The same names for C, registered with the default manager.
    c_names: Vec<(CString, CString)>,
    rust: Brama,
    rust_names: Vec<(String, String)>,
}

impl Sides {
    fn new() -> Self {
        let c = Library::load();
        let rust = Brama::builder().build().unwrap();
        let rust_names = names();
        let text = |text: &str| CString::new(text).unwrap();
        let c_names: Vec<_> = rust_names
            .iter()
            .map(|(scope, identifier)| (text(scope), text(identifier)))
            .collect();
        for ((scope, identifier), name) in c_names.iter().zip(&rust_names) {
            let none = ptr::null();
            let (identifier, scope) = (identifier.as_ptr(), scope.as_ptr());
            // An earlier group may have registered it.
            let _ = (c.register)(DEFAULT, identifier, scope, none, ptr::null_mut());
            rust.register((name.0.as_str(), name.1.as_str()), None)
                .unwrap();
        }
        Sides {
            c,
            c_names,
            rust,
            rust_names,
        }
    }

    fn c_name(&self, turn: u64) -> (Text, Text) {
        let (scope, identifier) = &self.c_names[turn as usize % NAMES];
        (identifier.as_ptr(), scope.as_ptr())
    }

    fn rust_name(&self, turn: u64) -> (&str, &str) {
        let (scope, identifier) = &self.rust_names[turn as usize % NAMES];
        (scope, identifier)
    }

    fn rust_handle(&self) -> Connection {
        self.rust.connection(self.rust_name(0)).unwrap()
    }
}

fn by_handle(criterion: &mut Criterion) {
    let sides = Sides::new();
    let c = sides.c;
    let rust = &sides.rust_handle();
    let handle = c.handle(&sides.c_names[0]);
    Race::new("ffi_by_handle")
        .one("a bare call", move |_| black_box(c.abi_version)())
        .one("available, Rust", move |_| black_box(rust).available())
        .one("available, C", move |_| {
            black_box(c.connection_available)(black_box(handle))
        })
        .one("success, Rust", move |_| black_box(rust).success().is_ok())
        .one("success, C", move |_| {
            black_box(c.connection_success)(black_box(handle))
        })
        .one("acquire + success, Rust", move |_| {
            black_box(rust).acquire().unwrap().success().is_ok()
        })
        .one("acquire + success, C", move |_| {
            let mut permit = MaybeUninit::<Permit>::uninit();
            let handle = black_box(handle);
            let admitted =
                black_box(c.connection_acquire)(handle, permit.as_mut_ptr(), ptr::null_mut());
            assert_eq!(admitted, 0);
            // SAFETY: filled in where admitted.
            black_box(c.permit_success)(unsafe { permit.assume_init() })
        })
        .run_with(criterion);
    c.unlimited(handle);
    rust.configure(brama::ConnectionOptions::new().unlimited_attempts())
        .unwrap();
    Race::new("ffi_failure")
        .one("a bare call", move |_| black_box(c.abi_version)())
        .one("failure, Rust", move |turn| match succeeds(turn) {
            true => black_box(rust).success().is_ok(),
            false => black_box(rust).failure("timeout").is_ok(),
        })
        .one("failure, C", move |turn| match succeeds(turn) {
            true => black_box(c.connection_success)(black_box(handle)),
            false => black_box(c.connection_failure)(black_box(handle), c"timeout".as_ptr()),
        })
        .run_with(criterion);
}

/// Every thousandth call. A circuit that only failed would be one that no settings leave closed:
/// the number of failures in a row has an end.
fn succeeds(turn: u64) -> bool {
    turn.is_multiple_of(1_024)
}

fn rejected(criterion: &mut Criterion) {
    let sides = Sides::new();
    let c = sides.c;
    let rust = &sides.rust.register("down", None).unwrap();
    rust.open_circuit("outage", brama::OpenFor::Never).unwrap();
    let manager = DEFAULT;
    let down = (c"all".to_owned(), c"down".to_owned());
    let (scope, identifier) = (down.0.as_ptr(), down.1.as_ptr());
    (c.register)(manager, identifier, scope, ptr::null(), ptr::null_mut());
    (c.open_circuit)(manager, identifier, scope, c"outage".as_ptr(), u64::MAX);
    let handle = c.handle(&down);
    Race::new("ffi_rejected")
        .one("a bare call", move |_| black_box(c.abi_version)())
        .one("acquire, Rust", move |_| black_box(rust).acquire().is_err())
        .one("acquire, C", move |_| {
            let mut permit = MaybeUninit::<Permit>::uninit();
            black_box(c.connection_acquire)(black_box(handle), permit.as_mut_ptr(), ptr::null_mut())
        })
        .run_with(criterion);
}

fn by_name(criterion: &mut Criterion) {
    let sides = &Sides::new();
    let c = sides.c;
    let rust = &sides.rust;
    let manager = DEFAULT;
    Race::new("ffi_by_name")
        .one("a bare call", move |_| black_box(c.abi_version)())
        .one("available, Rust", move |turn| {
            rust.available(sides.rust_name(turn))
        })
        .one("available, C", move |turn| {
            let (identifier, scope) = sides.c_name(turn);
            black_box(c.available)(manager, identifier, scope)
        })
        .one("success, Rust", move |turn| {
            rust.success(sides.rust_name(turn)).is_ok()
        })
        .one("success, C", move |turn| {
            let (identifier, scope) = sides.c_name(turn);
            black_box(c.success)(manager, identifier, scope)
        })
        .one("acquire + success, Rust", move |turn| {
            let permit = rust.acquire(sides.rust_name(turn)).unwrap();
            permit.success().is_ok()
        })
        .one("acquire + success, C", move |turn| {
            let (identifier, scope) = sides.c_name(turn);
            let mut permit = MaybeUninit::<Permit>::uninit();
            let to = permit.as_mut_ptr();
            let admitted = black_box(c.acquire)(manager, identifier, scope, to, ptr::null_mut());
            assert_eq!(admitted, 0);
            // SAFETY: filled in where admitted.
            black_box(c.permit_success)(unsafe { permit.assume_init() })
        })
        .run_with(criterion);
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = by_handle, rejected, by_name
}
criterion_main!(benches);
