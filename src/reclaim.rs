//! The one façade for reclamation: an object is freed only after its last reader has left.
//!
//! A reader [`pin`]s before it loads a shared pointer; a writer that unlinks an
//! object hands it to [`Guard::retire`], which destroys it once every thread that was
//! pinned at that moment has unpinned.
//!
//! Two rules keep the rest of the crate honest:
//!
//! - no pin is held while user code runs or a thread sleeps, since one pinned
//!   thread stops all reclamation;
//! - a retired object is destroyed on any thread at any later time, so its
//!   destruction must only free memory: no callbacks, no locks.
//!
//! There are two engines. Where the kernel grants the [barrier](membarrier) that the collector
//! needs, a pin is a [section](grace): two stores and no barrier. That is Linux since 4.14, unless
//! a filter of system calls forbids it. Elsewhere a pin is an [epoch](epochs) of crossbeam's.
//! Which of them is decided once in a process, when its first manager is made.
//!
//! One engine would be easier to trust, and sections alone would do: without the kernel's barrier,
//! they would need a fence at each pin. There are two for these reasons. Such a fence costs 4.6 ns
//! and an epoch 5.7, so only the fallback would gain, a nanosecond of a look-up. Sections would
//! get a second mode, which runs only where the kernel refuses. crossbeam-epoch is used by many
//! other programs and runs on any system. It lies behind four functions, and the tests of
//! reclamation run both engines.
//!
//! A forked child begins again with either: a thread that was pinned in the parent and
//! does not exist in the child would stop all reclamation there. What the parent had
//! still to free is left alone. No pin is held by the forking thread itself, by the
//! first rule.
//!
//! Under loom the pins of other files' models reclaim nothing: they explore the
//! protocols around it, and [`grace`] has models of its own. The stress tests, run under
//! AddressSanitizer, check that the users of this module free memory neither early nor twice.

use crate::sys::atomic::{modelled, shipped};

pub(crate) mod grace;
mod membarrier;

shipped! {
    mod epochs;

    use std::marker::PhantomData;
    use std::ptr;

    use crate::sys::hot_tls::{AtThreadEnd, words};
    use crate::sys::atomic::{Ordering, fence};
    use grace::{Domain, Reader};

    static DOMAIN: Domain = Domain::new();

    thread_local! {
        static FAREWELL: AtThreadEnd = const { AtThreadEnd::new(give_reader_back) };
    }

    fn give_reader_back() {
        // Taken out first: destructors that `give_back` runs may pin.
        if let Some(reader) = here() {
            set_here(ptr::null());
            DOMAIN.give_back(reader);
        }
    }

    /// This thread's reader. `None` before its first pin, at its end, and where pins are
    /// epochs.
    #[inline(always)]
    fn here() -> Option<&'static Reader> {
        // SAFETY: null, or a reader that `set_here` stored: `Domain::take_reader` leaked it, and
        // readers are never freed.
        words(|words| unsafe { words.reader.get().cast::<Reader>().as_ref() })
    }

    fn set_here(reader: *const Reader) {
        words(|words| words.reader.set(reader.cast()));
    }

    /// Proof that the current thread is pinned. One word, so that it can stay in a
    /// register: the address of a reader. With the flag [`LENT`], the reader was taken for this
    /// one pin, by a thread that is about to end. Where pins are epochs, the address is null and
    /// the flag is set.
    pub(crate) struct Guard(*const Reader, NotSend);

    /// Keeps a guard on its thread: only that thread may write its reader's word.
    type NotSend = PhantomData<*const ()>;

    /// A flag in the lowest bit of a reader's address, which its alignment leaves free.
    const LENT: usize = 1;
    const _: () = assert!(align_of::<Reader>() > LENT);

    /// Pins the current thread: nothing retired from now on is destroyed before the
    /// guard is dropped. Nestable. The first pin of a thread may allocate.
    #[inline(always)]
    pub(crate) fn pin() -> Guard {
        match here() {
            Some(reader) => {
                reader.enter();
                Guard(reader, PhantomData)
            }
            None => pin_otherwise(),
        }
    }

    #[cold]
    #[inline(never)]
    fn pin_otherwise() -> Guard {
        if !membarrier::is_granted() {
            epochs::enter();
            return Guard(ptr::without_provenance(LENT), PhantomData);
        }
        let reader = DOMAIN.take_reader();
        reader.enter();
        if !AtThreadEnd::will_run(&FAREWELL) {
            let lent = ptr::from_ref(reader).map_addr(|address| address | LENT);
            return Guard(lent, PhantomData);
        }
        set_here(reader);
        Guard(reader, PhantomData)
    }

    impl Drop for Guard {
        #[inline(always)]
        fn drop(&mut self) {
            match self.is_lent() {
                // SAFETY: `LENT` is not set, so this is a reader from `pin` or `pin_otherwise`,
                // and readers are never freed (`Domain::take_reader` leaks them).
                false => unsafe { &*self.0 }.leave(),
                true => unpin_otherwise(self.0),
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn unpin_otherwise(lent: *const Reader) {
        match reader_of(lent) {
            Some(reader) => {
                reader.leave();
                DOMAIN.give_back(reader);
            }
            None => epochs::leave(),
        }
    }

    /// The reader of a guard, lent or not. `None` where pins are epochs.
    fn reader_of(guard: *const Reader) -> Option<&'static Reader> {
        // SAFETY: without `LENT`, null or a reader that `pin` or `pin_otherwise` put there:
        // readers are never freed (`Domain::take_reader` leaks them).
        unsafe { guard.map_addr(|address| address & !LENT).as_ref() }
    }

    impl Guard {
        #[inline(always)]
        fn is_lent(&self) -> bool {
            self.0.addr() & LENT != 0
        }

        /// Runs `destroy` on the object once no thread pinned now is pinned any more.
        ///
        /// # Safety
        ///
        /// The object is unreachable for threads that pin from now on. `destroy` may be
        /// called with it once, on any thread and at any later time; it must not panic.
        pub(crate) unsafe fn retire<T>(&self, object: *mut T, destroy: unsafe fn(*mut T)) {
            match reader_of(self.0) {
                Some(reader) => {
                    // SAFETY: both function types take one thin pointer and return nothing, so
                    // their ABI is the same: `T` is `Sized`. `ReaderState::retire` stores the
                    // pointer with the object, and `Bag::destroy` calls it with that object
                    // alone, once.
                    let destroy = unsafe {
                        std::mem::transmute::<unsafe fn(*mut T), unsafe fn(*mut ())>(destroy)
                    };
                    // SAFETY: this thread has the reader and is inside a section, since it has
                    // the guard. What `ReaderState::retire` asks of the object and of `destroy` is
                    // what the # Safety of this function asks.
                    unsafe { reader.retire(object.cast(), destroy) };
                }
                // SAFETY: the guard says that the thread is pinned (`epochs::enter` in
                // `pin_otherwise`). `epochs::retire` asks the rest in the words of this
                // function's # Safety.
                None => unsafe { epochs::retire(object, destroy) },
            }
        }

        /// The frequent side of a pair of barriers; see [`membarrier`]. Of this thread and one
        /// that calls [`meet_all`](Guard::meet_all), at least one sees afterwards what the other
        /// did before.
        #[inline(always)]
        pub(crate) fn meet_few(&self) {
            match self.is_lent() {
                false => membarrier::light(),
                // ORDERING: SeqCst, partner of the fence in `meet_all`. Needed where pins are
                // epochs; a pin with a lent reader executes it too.
                true => fence(Ordering::SeqCst),
            }
        }

        /// The rare side of the pair. Returns false, without the effect of a barrier, if the
        /// kernel refuses a barrier that it granted before.
        pub(crate) fn meet_all(&self) -> bool {
            // ORDERING: SeqCst, partner of `meet_few`: of the fence there where the thread's pin
            // is lent; the compiler fence there has its partner in `membarrier::heavy`.
            fence(Ordering::SeqCst);
            !membarrier::is_granted() || membarrier::heavy()
        }

        /// Has what this thread has retired freed soon after it unpins, without waiting for a
        /// full bag. Called after rare, large retirements.
        pub(crate) fn flush(&self) {
            match reader_of(self.0) {
                Some(reader) => reader.seal_soon(),
                None => epochs::flush(),
            }
        }
    }

    /// Asks the kernel for its barrier. In a process with several threads that may take
    /// it some milliseconds, which is better spent where a manager is made than in the
    /// first pin.
    pub(crate) fn prepare() {
        crate::sys::fork::on_child(begin_again);
        membarrier::is_granted();
    }

    /// Frees what can be freed of what waits, if anything does. Called where the thread is not
    /// pinned and time does not matter.
    pub(crate) fn tidy() {
        if DOMAIN.has_sealed() {
            pin().flush();
        }
    }

    /// In the child of a fork: leaves the parent's readers behind. Allocates and
    /// frees nothing.
    fn begin_again() {
        membarrier::begin_again();
        DOMAIN.begin_again();
        set_here(ptr::null());
        epochs::begin_again();
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

        pub(crate) fn meet_few(&self) {
            membarrier::light();
        }

        pub(crate) fn meet_all(&self) -> bool {
            membarrier::heavy()
        }
    }

    pub(crate) fn tidy() {}

    pub(crate) fn prepare() {}
}
