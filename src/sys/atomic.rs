//! The only source of atomics: `std` in every build, loom's in model tests.
//!
//! Every lock-free file of the crate takes its atomics from here, so the models explore the source
//! that ships. Outside the models, only this file names `std::sync::atomic` and loom's types.

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence,
};

#[cfg(all(loom, test))]
pub(crate) use loom::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicBool, atomic::AtomicU16};

#[cfg(all(loom, test))]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicBool, atomic::AtomicU16};

#[cfg(all(loom, test))]
pub(crate) use loom::cell::UnsafeCell;

/// [`std::cell::UnsafeCell`] with the interface of loom's, which sees every access begin and end,
/// and so finds two that overlap.
#[cfg(not(all(loom, test)))]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(all(loom, test)))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Lends the contents for one exclusive access. The pointer must not
    /// outlive `access`.
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}

/// Executes the processor's hint for spin loops this many times, about 40 ns each. In models it
/// does nothing: a spin there hides races.
#[inline]
pub(crate) fn pause(times: u32) {
    #[cfg(not(all(loom, test)))]
    for _ in 0..times {
        std::hint::spin_loop();
    }
    #[cfg(all(loom, test))]
    let _ = times;
}

/// A sequentially consistent fence that comes after a read-modify-write of the same thread, and
/// that has to order no other earlier access.
///
/// On x86 each such instruction is a full barrier, whatever ordering the source names. So there
/// this is a compiler fence, which keeps the compiler from moving accesses across it. It is not
/// clear that the memory model permits this: in the model, a compiler fence orders nothing between
/// threads. The argument is about the instructions that compilers emit today. crossbeam-epoch
/// relies on the same one.
///
/// No checker sees the x86 variant. Loom and Miri run the `fence` below in its place, so they check
/// the protocols with a real fence and say nothing of the compiler fence. ThreadSanitizer follows
/// fences of neither kind, and AddressSanitizer looks at no orderings. Tests on x86 machines run
/// it, and can only fail by chance.
#[inline(always)]
pub(crate) fn fence_after_rmw() {
    #[cfg(all(
        any(target_arch = "x86_64", target_arch = "x86"),
        not(any(miri, all(loom, test)))
    ))]
    compiler_fence(Ordering::SeqCst);
    #[cfg(not(all(
        any(target_arch = "x86_64", target_arch = "x86"),
        not(any(miri, all(loom, test)))
    )))]
    fence(Ordering::SeqCst);
}

/// Items that exist in every build except the models': statics, which loom's atomics cannot be, and
/// facts about layout, which loom's atomics do not share.
#[cfg(not(all(loom, test)))]
macro_rules! shipped {
    ($($item:item)*) => { $($item)* };
}
#[cfg(all(loom, test))]
macro_rules! shipped {
    ($($item:item)*) => {};
}

/// Items that stand in, under loom, for those inside [`shipped!`].
#[cfg(not(all(loom, test)))]
macro_rules! modelled {
    ($($item:item)*) => {};
}
#[cfg(all(loom, test))]
macro_rules! modelled {
    ($($item:item)*) => { $($item)* };
}

pub(crate) use {modelled, shipped};

/// A number that no other thread ever had, even across forks; never 0.
pub(crate) fn thread_token() -> usize {
    #[cfg(not(all(loom, test)))]
    {
        // It has no destructor, so it can be used until the thread's very end.
        thread_local!(static HERE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
        HERE.with(|here| {
            if here.get() == 0 {
                here.set(NEXT_TOKEN.fetch_add(1, Ordering::Relaxed));
            }
            here.get()
        })
    }
    #[cfg(all(loom, test))]
    {
        usize::from(model_thread()) + 1
    }
}

#[cfg(not(all(loom, test)))]
static NEXT_TOKEN: AtomicUsize = AtomicUsize::new(1);

/// The token of the next thread that asks for one.
#[cfg(not(all(loom, test)))]
pub(crate) fn next_token() -> usize {
    NEXT_TOKEN.load(Ordering::Relaxed)
}

/// The number of the current thread in this execution of a model, from 0.
/// Loom shows it only through `Debug`; a counter of our own would add orderings
/// between threads that the shipped code does not have.
#[cfg(all(loom, test))]
pub(crate) fn model_thread() -> u16 {
    let id = format!("{:?}", loom::thread::current().id());
    id.trim_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .expect("loom prints ThreadId(n)")
}
