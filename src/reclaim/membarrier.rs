//! A pair of barriers of which one costs nothing.
//!
//! Two threads that each write one word and read the other's both need a full barrier
//! between the two steps; otherwise both may miss the other's write. If one of them does
//! it a thousand times as often, its barrier can be moved to the other side. Linux's
//! `membarrier` makes every running thread of the process execute a full barrier, and
//! returns after that. A thread that is not running executes one when it is put on a core.
//! The frequent side only has to keep the compiler from exchanging the two steps.
//!
//! ```text
//! reader                          collector
//! section := inside               unlink
//! light()                         heavy()
//! load the link                   load section
//! ```
//!
//! For every pair of a [`light`] and a [`heavy`], everything before the one is seen by
//! everything after the other, in one direction at least. Under loom, both are
//! sequentially consistent fences, which promise the same.
//!
//! `membarrier` interrupts the other cores that run threads of this process, and no
//! others; it takes some 200 ns, and with other threads running about a microsecond.
//! `folly` and the `memb` flavour of userspace RCU do the same.

use crate::sys::atomic::{modelled, shipped};

shipped! {
    use crate::sys::atomic::{AtomicU32, Ordering, compiler_fence};

    /// The kernel's answer. A process asks once, and a forked child asks again.
    static ANSWER: AtomicU32 = AtomicU32::new(UNASKED);
    const UNASKED: u32 = 0;
    const GRANTED: u32 = 1;
    const REFUSED: u32 = 2;

    /// The barrier of the frequent side.
    #[inline(always)]
    pub(super) fn light() {
        // ORDERING: SeqCst for the compiler alone; its partner is `heavy`, by which the kernel
        // makes this thread execute a full barrier. The memory model does not describe that, and
        // no checker sees it.
        compiler_fence(Ordering::SeqCst);
    }

    /// The barrier of the rare side. Returns false, without an effect, if the kernel refuses.
    pub(super) fn heavy() -> bool {
        kernel::barrier()
    }

    /// Whether these barriers can be used in this process. The answer never changes.
    pub(super) fn is_granted() -> bool {
        let answer = ANSWER.load(Ordering::Relaxed);
        if answer != UNASKED {
            return answer == GRANTED;
        }
        let answer = if kernel::register() { GRANTED } else { REFUSED };
        // Of several threads at once, the first decides.
        match ANSWER.compare_exchange(UNASKED, answer, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => answer == GRANTED,
            Err(first) => first == GRANTED,
        }
    }

    /// Has the kernel asked again, in the child of a fork.
    pub(super) fn begin_again() {
        ANSWER.store(UNASKED, Ordering::Relaxed);
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    mod kernel {
        // linux/membarrier.h
        const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
        const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

        fn call(command: libc::c_int) -> bool {
            // SAFETY: none of its arguments is a pointer.
            unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
        }

        pub(super) fn register() -> bool {
            call(REGISTER_PRIVATE_EXPEDITED)
        }

        pub(super) fn barrier() -> bool {
            call(PRIVATE_EXPEDITED)
        }
    }

    #[cfg(not(all(target_os = "linux", not(miri))))]
    mod kernel {
        pub(super) fn register() -> bool {
            false
        }

        pub(super) fn barrier() -> bool {
            false
        }
    }
}

modelled! {
    use crate::sys::atomic::{Ordering, fence};

    pub(super) fn light() {
        // ORDERING: SeqCst, partner of the fence in `heavy`.
        fence(Ordering::SeqCst);
    }

    pub(super) fn heavy() -> bool {
        // ORDERING: SeqCst, partner of the fence in `light`.
        fence(Ordering::SeqCst);
        true
    }

    pub(super) fn is_granted() -> bool {
        true
    }
}
