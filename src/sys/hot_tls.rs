//! Words that every thread has for itself, in one variable.
//!
//! In a shared library, which is what C and Python load, each access to a thread-local variable is
//! a call, and takes as long as a third of a report. So everything that the hot paths need of their
//! thread lies in this one variable, and one access serves all of it. Each word is used by one
//! module only.
//!
//! The words own nothing. Where the target has thread-local variables of its own, one without a
//! destructor can be used until the thread's very end, and is read without a check. What a word
//! stands for is given back by a destructor of the module that uses it. On other targets (Windows
//! with GNU tools, Android) the library's substitute may be made again while a thread ends, and
//! what it stood for is then not used again.
//!
//! That destructor is an [`AtThreadEnd`], in a variable of its own.

use std::cell::Cell;
use std::ptr;
use std::thread::LocalKey;

pub(crate) struct HotTls {
    /// Where the thread announces what it reads. Used by `reclaim`.
    pub(crate) reader: Cell<*const ()>,
    /// The thread's last error, if it is a rejection without a message yet, or 0. Used by `ffi`.
    #[cfg(feature = "capi")]
    pub(crate) rejection: Cell<u64>,
    /// Of that rejection: the hash of the connection's name.
    #[cfg(feature = "capi")]
    pub(crate) rejecter: Cell<u64>,
    /// Of that rejection: the manager's engine, to be compared.
    #[cfg(feature = "capi")]
    pub(crate) engine: Cell<*const ()>,
    /// The thread's index, under which it owns cells. [`NO_INDEX`] until it asks for one, and one
    /// less if it gets none. Used by `striped_counter`.
    pub(crate) index: Cell<u16>,
}

pub(crate) const NO_INDEX: u16 = u16::MAX;

thread_local! {
    static HOT_TLS: HotTls = const {
        HotTls {
            reader: Cell::new(ptr::null()),
            #[cfg(feature = "capi")]
            rejection: Cell::new(0),
            #[cfg(feature = "capi")]
            rejecter: Cell::new(0),
            #[cfg(feature = "capi")]
            engine: Cell::new(ptr::null()),
            index: Cell::new(NO_INDEX),
        }
    };
}

/// The words of the current thread.
#[inline(always)]
pub(crate) fn words<T>(use_them: impl FnOnce(&HotTls) -> T) -> T {
    HOT_TLS.with(use_them)
}

/// Calls a function when the thread ends.
pub(crate) struct AtThreadEnd(fn());

impl AtThreadEnd {
    /// To be put into a variable of the thread. Without effect before [`AtThreadEnd::will_run`].
    pub(crate) const fn new(function: fn()) -> Self {
        AtThreadEnd(function)
    }

    /// Makes sure that the function is called. Returns false if the thread is ending and has called
    /// it already.
    pub(crate) fn will_run(variable: &'static LocalKey<Self>) -> bool {
        variable.try_with(|_| ()).is_ok()
    }
}

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        (self.0)();
    }
}
