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
//! - what is retired is destroyed on any thread at any later time, so that must
//!   only free memory: no callbacks, no locks.
//!
//! A pin is a [section](grace), two stores and no barrier, where the kernel grants
//! the [barrier](membarrier) that it needs on the other side: Linux since 4.14, unless a filter
//! of system calls forbids it. Elsewhere it is an [epoch](epochs) of crossbeam's. Which
//! of them is decided once in a process, when its first manager is made.
//!
//! Two engines are harder to trust than one, and sections alone would do: where there is no
//! barrier, with a fence at each pin. They stay two, for these reasons. Such a fence costs 4.6 ns
//! and an epoch 5.7, so only the fallback would gain, a nanosecond of a look-up. Sections would
//! get a second mode, which runs only where the kernel refuses. crossbeam-epoch, which the
//! library depends on and many others use, would be left without a use. It does here what it is
//! good at, on any system, behind four functions, and the tests of reclamation run both.
//!
//! A forked child begins again with either: a thread that was pinned in the parent and
//! does not exist in the child would stop all reclamation there. What the parent had
//! still to free is left alone. No pin is held by the forking thread itself, by the
//! first rule.
//!
//! Under loom the pins of other files' models reclaim nothing: they explore the
//! protocols around it, and [`grace`] has models of its own. That memory is freed
//! neither early nor twice by those who use it is the business of the stress tests
//! under AddressSanitizer.

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

    /// This thread's reader. None before its first pin, at its end, and where pins are
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

    /// Proof that the current thread is pinned. In one word, so that it can stay in a
    /// register: a reader, that of a thread about to end for this one pin ([`LENT`]), or
    /// no reader where pins are epochs, which are taken for lent.
    pub(crate) struct Guard(*const Reader, NotSend);

    /// A reader's word is its thread's alone.
    type NotSend = PhantomData<*const ()>;

    /// In an address that is a multiple of more.
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
                // SAFETY: the mark is not set, so this is a reader from `pin` or `pin_otherwise`,
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

    /// None: an epoch.
    fn reader_of(guard: *const Reader) -> Option<&'static Reader> {
        // SAFETY: without its mark, null or a reader that `pin_otherwise` put there: readers
        // are never freed (`Domain::take_reader` leaks them).
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

        /// The frequent side of a pair of barriers; see [`membarrier`]. What this thread has done
        /// before it is seen by those who [meet all](Guard::meet_all) afterwards, or what they
        /// have done before is seen by this thread afterwards.
        #[inline(always)]
        pub(crate) fn meet_few(&self) {
            match self.is_lent() {
                false => membarrier::light(),
                // ORDERING: SeqCst, partner of the fence in `meet_all`. Pins are epochs here,
                // or a reader is lent for one pin, which pays for the fence too.
                true => fence(Ordering::SeqCst),
            }
        }

        /// The rare side. Without effect, and false, if the kernel refuses what it has granted.
        pub(crate) fn meet_all(&self) -> bool {
            // ORDERING: SeqCst, partner of `meet_few`: of the fence there where the thread's pin
            // is lent; the compiler fence there has its partner in `membarrier::heavy`.
            fence(Ordering::SeqCst);
            !membarrier::is_granted() || membarrier::heavy()
        }

        /// Does not wait for more to be retired: what this thread has retired is freed
        /// soon after it has unpinned. Called after rare, large retirements.
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
        crate::sys::fork::on_child(begin_anew);
        membarrier::is_granted();
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
    fn begin_anew() {
        membarrier::begin_anew();
        DOMAIN.begin_anew();
        set_here(ptr::null());
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
