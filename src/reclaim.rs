//! The one façade for reclamation: nobody frees what a reader may hold.
//!
//! A reader [`pin`]s before it loads a shared pointer; a writer that unlinks an
//! object hands it to [`Guard::retire`], which destroys it once every thread that was
//! pinned at that moment has unpinned.
//!
//! Two rules keep the rest of the crate honest:
//!
//! - no pin is held while user code runs or a thread sleeps, since one pinned
//!   thread stops all reclamation;
//! - what is retired is destroyed on any thread at any later time, so that must
//!   only free memory: no callbacks, no locks.
//!
//! A pin is a [section](sections), two stores and no barrier, where the kernel grants
//! the [barrier] that it needs on the other side: Linux since 4.14, unless a filter
//! of system calls forbids it. Elsewhere it is an [epoch](epochs) of crossbeam's. Which
//! of them is decided once in a process, when its first manager is made.
//!
//! A forked child begins anew with either: a thread that was pinned in the parent and
//! does not exist in the child would stop all reclamation there. What the parent had
//! still to free is left alone. No pin is held by the forking thread itself, by the
//! first rule.
//!
//! Under loom the pins of other files' models reclaim nothing: they explore the
//! protocols around it, and [`sections`] has models of its own. That memory is freed
//! neither early nor twice by those who use it is the business of the stress tests
//! under AddressSanitizer.

use crate::sync::{modelled, shipped};

mod barrier;
pub(crate) mod sections;

shipped! {
    mod epochs;

    use std::cell::Cell;
    use std::marker::PhantomData;
    use std::mem::ManuallyDrop;
    use std::ptr;

    use sections::{Domain, Reader};

    static DOMAIN: Domain = Domain::new();

    // Two, because a variable without a destructor is read without asking whether it
    // is still there.
    thread_local! {
        /// This thread's reader; null before its first pin, at its end, and where
        /// pins are epochs.
        static HERE: Cell<*const Reader> = const { Cell::new(ptr::null()) };
        static FAREWELL: Farewell = const { Farewell };
    }

    /// Gives the reader up when the thread ends.
    struct Farewell;

    impl Drop for Farewell {
        fn drop(&mut self) {
            // Taken out first: what is destroyed may pin.
            // SAFETY: null, or a reader, which is never freed.
            if let Some(reader) = unsafe { HERE.replace(ptr::null()).as_ref() } {
                DOMAIN.give_back(reader);
            }
        }
    }

    /// Proof that the current thread is pinned.
    pub(crate) struct Guard(Pin, NotSend);

    /// A reader's word is its thread's alone.
    type NotSend = PhantomData<*const ()>;

    enum Pin {
        Here(&'static Reader),
        /// Of a thread that is about to end, for this one pin.
        Lent(&'static Reader),
        Epoch(ManuallyDrop<crossbeam_epoch::Guard>),
    }

    /// Pins the current thread: nothing retired from now on is destroyed before the
    /// guard is dropped. Nestable. The first pin of a thread may allocate.
    #[inline(always)]
    pub(crate) fn pin() -> Guard {
        // SAFETY: null, or a reader, which is never freed.
        match unsafe { HERE.get().as_ref() } {
            Some(reader) => {
                reader.enter();
                Guard(Pin::Here(reader), PhantomData)
            }
            None => pin_otherwise(),
        }
    }

    #[cold]
    #[inline(never)]
    fn pin_otherwise() -> Guard {
        if !barrier::is_granted() {
            return Guard(Pin::Epoch(ManuallyDrop::new(epochs::pin())), PhantomData);
        }
        let reader = DOMAIN.take_reader();
        reader.enter();
        if FAREWELL.try_with(|_| ()).is_err() {
            return Guard(Pin::Lent(reader), PhantomData);
        }
        HERE.set(reader);
        Guard(Pin::Here(reader), PhantomData)
    }

    impl Drop for Guard {
        #[inline(always)]
        fn drop(&mut self) {
            match &mut self.0 {
                Pin::Here(reader) => reader.leave(),
                other => unpin_otherwise(other),
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn unpin_otherwise(pin: &mut Pin) {
        match pin {
            Pin::Here(reader) => reader.leave(),
            Pin::Lent(reader) => {
                reader.leave();
                DOMAIN.give_back(reader);
            }
            // SAFETY: from the guard's drop, after which nobody uses it.
            Pin::Epoch(guard) => unsafe { ManuallyDrop::drop(guard) },
        }
    }

    impl Guard {
        /// Runs `destroy` on the object once no thread pinned now is pinned any more.
        ///
        /// # Safety
        ///
        /// The object is unreachable for threads that pin from now on. `destroy` may be
        /// called with it once, on any thread and at any later time; it must not panic.
        pub(crate) unsafe fn retire<T>(&self, object: *mut T, destroy: unsafe fn(*mut T)) {
            match &self.0 {
                Pin::Here(reader) | Pin::Lent(reader) => {
                    // SAFETY: functions that differ in what a thin pointer points to are
                    // called alike.
                    let destroy = unsafe {
                        std::mem::transmute::<unsafe fn(*mut T), unsafe fn(*mut ())>(destroy)
                    };
                    // SAFETY: the caller's promise; the guard is this thread's.
                    unsafe { reader.retire(object.cast(), destroy) };
                }
                // SAFETY: the caller's promise.
                Pin::Epoch(guard) => unsafe {
                    guard.defer_unchecked(move || destroy(object));
                },
            }
        }

        /// Does not wait for more to be retired: what this thread has retired is freed
        /// soon after it has unpinned. Called after rare, large retirements.
        pub(crate) fn flush(&self) {
            match &self.0 {
                Pin::Here(reader) | Pin::Lent(reader) => reader.seal_soon(),
                Pin::Epoch(guard) => guard.flush(),
            }
        }
    }

    /// Asks the kernel for its barrier. In a process with several threads that may take
    /// it some milliseconds, which is better spent where a manager is made than in the
    /// first pin.
    pub(crate) fn prepare() {
        barrier::is_granted();
    }

    /// Looks after what waits to be freed, if anything does. For a moment when the
    /// thread is not pinned and time does not matter.
    pub(crate) fn tidy() {
        if DOMAIN.has_sealed() {
            pin().flush();
        }
    }

    /// In the child of a fork: leaves the parent's readers behind. Allocates and
    /// frees nothing.
    pub(crate) fn begin_anew() {
        barrier::begin_anew();
        DOMAIN.begin_anew();
        HERE.set(ptr::null());
        epochs::begin_anew();
    }
}

modelled! {
    pub(crate) struct Guard;

    pub(crate) fn pin() -> Guard {
        Guard
    }

    impl Guard {
        pub(crate) unsafe fn retire<T>(&self, _object: *mut T, _destroy: unsafe fn(*mut T)) {}

        pub(crate) fn flush(&self) {}
    }

    pub(crate) fn tidy() {}

    pub(crate) fn prepare() {}
}
