//! A thread of the library's own, started so that it also starts in the child of a
//! `fork`.
//!
//! The standard library keeps a list of its threads, for the message about a stack overflow. A
//! thread enters it when it begins and leaves it when it ends, both times under a lock. The child
//! of a fork inherits that lock as it is. If a thread of the parent was beginning or ending at that
//! moment, no thread of `std` ever begins or ends in the child. Starting one can also read the
//! environment, under another such lock. So on Unix this asks the system for a thread. The C
//! library has locks here as well, and puts them right in the child.
//!
//! To `std` such a thread is like one that another library has started. Its handle is made when it
//! is first asked for, from an atomic counter. Parking, thread-locals and their destructors work as
//! in any other. It lacks three things: a name in `std` (the system has one), `std`'s message about
//! a stack overflow (which ends the process all the same), and a stack size from `RUST_MIN_STACK`.
//!
//! It blocks all signals, from before its first instruction on. The host's handlers expect to run
//! on threads of the host, and a signal that the host waits for by `sigwait` has to reach that
//! thread. A thread inherits its mask, so the starter blocks all signals while it asks for one.
//! Threads that a callback starts on this thread inherit the mask as well. A fault in a callback
//! (`SIGSEGV` and its like, which the system raises for an instruction) ends the process without a
//! handler, since the signal is blocked.
//!
//! Rejected: `std`'s thread in the first process and the system's in children. A driver of `std`'s
//! that forks inside a callback is a thread of `std`'s in the child as well, and has to end there.

#[cfg(unix)]
pub(crate) use unix::Running;

#[cfg(not(unix))]
pub(crate) use elsewhere::Running;

#[cfg(unix)]
mod unix {
    use std::ffi::{CStr, c_void};
    use std::mem::{self, MaybeUninit};
    use std::panic::{self, AssertUnwindSafe};
    use std::{io, ptr};

    /// The size of the stack, as of `std`'s threads.
    const STACK: usize = 2 << 20;

    /// A thread that was started. Dropped, it runs on and cannot be joined.
    pub(crate) struct Running(libc::pthread_t);

    // SAFETY: a thread's name, which POSIX lets any thread of the process use; a pointer in
    // some C libraries, which nothing here follows.
    unsafe impl Send for Running {}

    struct Beginning<F> {
        name: &'static CStr,
        life: F,
    }

    impl Running {
        /// Starts a thread that runs `life`. A panic ends it, and goes no further.
        pub(crate) fn start<F>(name: &'static CStr, life: F) -> io::Result<Self>
        where
            F: FnOnce() + Send + 'static,
        {
            let mut attributes = MaybeUninit::uninit();
            // SAFETY: the pointer is to uninitialised memory for the attributes, which the call
            // fills.
            let failed = unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) };
            if failed != 0 {
                return Err(io::Error::from_raw_os_error(failed));
            }
            let beginning = Box::into_raw(Box::new(Beginning { name, life }));
            let blocked = Blocked::all();
            let mut thread = MaybeUninit::uninit();
            let mut create = |attributes| {
                // SAFETY: room for the answer; attributes that `pthread_attr_init` made, or
                // none; and `begin` takes the pointer to the `Beginning<F>` that is passed with
                // it.
                unsafe {
                    libc::pthread_create(
                        thread.as_mut_ptr(),
                        attributes,
                        begin::<F>,
                        beginning.cast(),
                    )
                }
            };
            // SAFETY: `pthread_attr_init` made them. A size that the system refuses changes
            // nothing.
            unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK) };
            let mut failed = create(attributes.as_ptr());
            if failed == libc::EINVAL {
                // The program's thread-locals need a larger stack. The system's default has room
                // for them.
                failed = create(ptr::null());
            }
            drop(blocked);
            // SAFETY: `pthread_attr_init` made them, and they are not used any more.
            unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
            if failed != 0 {
                // SAFETY: leaked above; both calls failed, so no thread has it.
                drop(unsafe { Box::from_raw(beginning) });
                return Err(io::Error::from_raw_os_error(failed));
            }
            // SAFETY: `pthread_create` succeeded and has filled it in.
            Ok(Running(unsafe { thread.assume_init() }))
        }

        /// Waits until it has ended.
        pub(crate) fn join(self) {
            // SAFETY: started by `start`, and neither joined nor let go.
            let failed = unsafe { libc::pthread_join(self.0, ptr::null_mut()) };
            debug_assert_eq!(failed, 0, "a thread does not join itself");
            mem::forget(self);
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            // SAFETY: started by `start` and not joined.
            unsafe { libc::pthread_detach(self.0) };
        }
    }

    /// While this lives, the thread that made it blocks all signals. Its drop restores the mask.
    struct Blocked(libc::sigset_t);

    impl Blocked {
        fn all() -> Self {
            let mut all = MaybeUninit::uninit();
            let mut before = MaybeUninit::uninit();
            // SAFETY: a place for a set, which is then full, and one for the mask of this
            // thread. Neither call can fail for these.
            unsafe {
                libc::sigfillset(all.as_mut_ptr());
                libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
                Blocked(before.assume_init())
            }
        }
    }

    impl Drop for Blocked {
        fn drop(&mut self) {
            // SAFETY: `Blocked::all` stored the mask that this thread had.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
        }
    }

    extern "C" fn begin<F: FnOnce()>(beginning: *mut c_void) -> *mut c_void {
        // SAFETY: leaked by `start` for this thread alone.
        let beginning = unsafe { Box::from_raw(beginning.cast::<Beginning<F>>()) };
        let Beginning { name, life } = *beginning;
        set_name(name);
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(life)) {
            // The panic hook has reported it. A drop of what the panic carries may panic again.
            mem::forget(panic);
        }
        ptr::null_mut()
    }

    /// Names this thread, for tools that look at the process. The system may refuse the name.
    fn set_name(name: &CStr) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // SAFETY: this thread, and a string that lives long enough.
        unsafe {
            libc::pthread_setname_np(libc::pthread_self(), name.as_ptr())
        };
        #[cfg(target_vendor = "apple")]
        // SAFETY: a string that lives long enough.
        unsafe {
            libc::pthread_setname_np(name.as_ptr())
        };
        #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
        let _ = name;
    }
}

/// Where nothing forks: the standard library's.
#[cfg(not(unix))]
mod elsewhere {
    use std::ffi::CStr;
    use std::io;
    use std::thread::{Builder, JoinHandle};

    /// A thread that was started. Dropped, it runs on and cannot be joined.
    pub(crate) struct Running(JoinHandle<()>);

    impl Running {
        /// Starts a thread that runs `life`. A panic ends it, and goes no further.
        pub(crate) fn start<F>(name: &'static CStr, life: F) -> io::Result<Self>
        where
            F: FnOnce() + Send + 'static,
        {
            let name = name.to_string_lossy().into_owned();
            Builder::new().name(name).spawn(life).map(Running)
        }

        /// Waits until it has ended.
        pub(crate) fn join(self) {
            // If it panicked, the panic hook has reported that.
            let _ = self.0.join();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::Running;

    #[test]
    fn joined_it_has_done_its_work_and_dropped_what_it_had() {
        let shared = Arc::new(());
        let theirs = shared.clone();
        let (go_on, wait) = mpsc::channel();
        let running = Running::start(c"brama-test", move || {
            wait.recv().expect("the test lets it go on");
            drop(theirs);
        });
        assert_eq!(Arc::strong_count(&shared), 2);
        go_on.send(()).expect("it waits");
        running.expect("the system has threads").join();
        assert_eq!(Arc::strong_count(&shared), 1);
    }

    #[test]
    fn let_go_it_runs_on() {
        let (go_on, wait) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        drop(Running::start(c"brama-test", move || {
            wait.recv().expect("the test lets it go on");
            tell.send(()).expect("it is heard");
        }));
        go_on.send(()).expect("it waits");
        told.recv().expect("it has run");
    }

    #[test]
    fn a_panic_ends_it_and_nothing_else() {
        let shared = Arc::new(());
        let theirs = shared.clone();
        let running = Running::start(c"brama-test", move || {
            let _theirs = theirs;
            panic!("on purpose");
        });
        running.expect("the system has threads").join();
        assert_eq!(Arc::strong_count(&shared), 1);
    }
}
