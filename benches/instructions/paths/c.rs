//! The same operations through the C ABI, in the shared library, loaded as a host loads it.
//!
//! Each path has a manager of its own, without a background thread. A count includes the
//! calls through function pointers. A host in C makes these calls through its linkage table.

use std::ffi::{CStr, CString, c_int, c_void};
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::{env, ptr};

use super::{NAMES, Operation, manager, operation};
use crate::loaded::{self, Handle, Loaded, Manager, Permit, Text};
use crate::names::Names;

/// The environment variable with the path of the library, for the child process.
pub const LIBRARY: &str = "BRAMA_BENCH_LIBRARY";

/// The functions that the paths call.
#[derive(Clone, Copy)]
pub struct Library {
    pub connection_available: extern "C" fn(Handle) -> bool,
    pub connection_success: extern "C" fn(Handle) -> c_int,
    pub connection_failure: extern "C" fn(Handle, Text) -> c_int,
    connection_acquire: extern "C" fn(Handle, *mut Permit, *mut u64) -> c_int,
    pub permit_success: extern "C" fn(Permit) -> c_int,
    pub permit_failure: extern "C" fn(Permit, Text) -> c_int,
    pub available: extern "C" fn(Manager, Text, Text) -> bool,
    pub success: extern "C" fn(Manager, Text, Text) -> c_int,
    acquire: extern "C" fn(Manager, Text, Text, *mut Permit, *mut u64) -> c_int,
    register: extern "C" fn(Manager, Text, Text, *const c_void, *mut Handle) -> c_int,
    open_circuit: extern "C" fn(Manager, Text, Text, Text, u64) -> c_int,
    poll: extern "C" fn(Manager) -> c_int,
    config_init: extern "C" fn(*mut c_void),
    new: extern "C" fn(*const c_void) -> Manager,
}

impl Library {
    fn load() -> Self {
        let path = env::var(LIBRARY).unwrap_or_else(|_| loaded::build());
        let library = Loaded::from(&path);
        Library {
            connection_available: library.find(c"brama_connection_available"),
            connection_success: library.find(c"brama_connection_success"),
            connection_failure: library.find(c"brama_connection_failure"),
            connection_acquire: library.find(c"brama_connection_acquire"),
            permit_success: library.find(c"brama_permit_success"),
            permit_failure: library.find(c"brama_permit_failure"),
            available: library.find(c"brama_available"),
            success: library.find(c"brama_success"),
            acquire: library.find(c"brama_acquire"),
            register: library.find(c"brama_register"),
            open_circuit: library.find(c"brama_open_circuit"),
            poll: library.find(c"brama_poll"),
            config_init: library.find(c"brama_config_init"),
            new: library.find(c"brama_new"),
        }
    }

    /// A manager without a background thread, whose circuits do not open by themselves.
    fn manager(self) -> Manager {
        // `brama_config_t`, which later versions extend at the end only: `max_attempts` is the lower
        // half of its second word, `background` the upper half of its 24th.
        let mut config = [0_u64; 128];
        (self.config_init)(config.as_mut_ptr().cast());
        config[1] = config[1] >> 32 << 32 | u64::from(u32::MAX);
        config[23] &= u64::from(u32::MAX);
        let manager = (self.new)(config.as_ptr().cast());
        assert!(!manager.0.is_null(), "valid settings");
        manager
    }

    fn registered(self, manager: Manager, identifier: &CStr, scope: Text) -> Handle {
        let mut handle = Handle(ptr::null_mut());
        let name = identifier.as_ptr();
        let registered = (self.register)(manager, name, scope, ptr::null(), &mut handle);
        assert_eq!(registered, 0, "a new name");
        handle
    }

    /// The permit, unless the call is rejected.
    #[inline(always)]
    pub fn admitted(self, db: Handle) -> Option<Permit> {
        let mut permit = MaybeUninit::uninit();
        let admitted = (self.connection_acquire)(db, permit.as_mut_ptr(), ptr::null_mut());
        // SAFETY: 0 says that the permit was filled in.
        (admitted == 0).then(|| unsafe { permit.assume_init() })
    }

    #[inline(always)]
    pub fn admitted_by_name(self, at: Manager, identifier: Text, scope: Text) -> Option<Permit> {
        let mut permit = MaybeUninit::uninit();
        let admitted = (self.acquire)(at, identifier, scope, permit.as_mut_ptr(), ptr::null_mut());
        // SAFETY: 0 says that the permit was filled in.
        (admitted == 0).then(|| unsafe { permit.assume_init() })
    }
}

/// An operation on a manager of the loaded library.
fn at(library: Library, there: Manager, turn: impl Fn(u64) + Send + Sync + 'static) -> Operation {
    let poll = Box::new(move || assert_eq!((library.poll)(there), 0));
    Operation {
        poll,
        ..operation(manager(), turn)
    }
}

pub fn by_handle(act: impl Fn(Library, Handle) -> bool + Send + Sync + 'static) -> Operation {
    let library = Library::load();
    let there = library.manager();
    let db = library.registered(there, c"db", ptr::null());
    at(library, there, move |_| {
        assert!(act(black_box(library), black_box(db)))
    })
}

pub fn rejected(act: impl Fn(Library, Handle) -> bool + Send + Sync + 'static) -> Operation {
    let library = Library::load();
    let (there, name) = (library.manager(), c"db");
    let db = library.registered(there, name, ptr::null());
    let (name, reason) = (name.as_ptr(), c"outage".as_ptr());
    let opened = (library.open_circuit)(there, name, ptr::null(), reason, u64::MAX);
    assert_eq!(opened, 0, "registered");
    at(library, there, move |_| {
        assert!(act(black_box(library), black_box(db)))
    })
}

pub fn by_name(
    act: impl Fn(Library, Manager, Text, Text) -> bool + Send + Sync + 'static,
) -> Operation {
    let library = Library::load();
    let there = library.manager();
    let text = |text: &str| CString::new(text).expect("a name has no NUL");
    let names = Names::of(0..NAMES);
    let names: Vec<_> = names
        .iter()
        .map(|(scope, name)| (text(name), text(scope)))
        .collect();
    for (name, scope) in &names {
        let _ = library.registered(there, name, scope.as_ptr());
    }
    at(library, there, move |turn| {
        let (name, scope) = &names[turn as usize % NAMES];
        assert!(act(
            black_box(library),
            there,
            name.as_ptr(),
            scope.as_ptr()
        ));
    })
}
