//! A file descriptor that is readable or not: how a queue wakes an event loop.
//!
//! An eventfd on Linux, a pipe on other Unix systems; both non-blocking and closed
//! on exec. Elsewhere there is none.
//!
//! The child of a `fork` inherits a descriptor, and shares with the parent what it refers to: the
//! child would take the parent's wake-ups and send it false ones. So before `fork` returns in the
//! child, each descriptor gets a new object under its old number, unreadable until the child has
//! events of its own. The number stays valid for programs that keep it. For that, all descriptors
//! are in a [registry](crate::sys::leaked_registry), which the child can read whatever other
//! threads were doing to it.
//!
//! Rejected: a new number on the child's next use. Until then the child would go on
//! using the parent's, and a program that kept the old number would wait for the
//! wrong process.

#[cfg(unix)]
pub(crate) use unix::WakeFd;

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::fd::RawFd;

    use crate::sys::atomic::{AtomicU32, Ordering, modelled, shipped};
    use crate::sys::leaked_registry::{Leaked, LeakedRegistry};

    /// In place of a descriptor: there is none.
    const NONE: RawFd = -1;

    #[derive(Debug)]
    pub(crate) struct WakeFd {
        descriptors: &'static Leaked<Descriptors>,
    }

    /// Where a child finds a descriptor.
    #[derive(Debug)]
    struct Descriptors {
        /// Both descriptors, as bits; [`NONE`] while a child must not renew them.
        read: AtomicU32,
        write: AtomicU32,
        /// 1: readable for ever.
        for_good: AtomicU32,
    }

    shipped! {
        static REGISTRY: LeakedRegistry<Descriptors> = LeakedRegistry::new();

        fn registry() -> &'static LeakedRegistry<Descriptors> {
            &REGISTRY
        }
    }

    modelled! {
        /// Models have no descriptors.
        fn registry() -> &'static LeakedRegistry<Descriptors> {
            unreachable!("no descriptors in models")
        }
    }

    impl WakeFd {
        pub(crate) fn new() -> io::Result<Self> {
            crate::sys::fork::on_child(renew_all);
            let [read, write] = machine::open()?;
            let descriptors = registry().take(Descriptors::unused);
            descriptors.for_good.store(0, Ordering::Relaxed);
            descriptors.put([read, write]);
            Ok(WakeFd { descriptors })
        }

        pub(crate) fn descriptor(&self) -> io::Result<RawFd> {
            match self.descriptors.descriptors() {
                // In a child for which the system had no descriptor left.
                [NONE, _] => Err(io::Error::from_raw_os_error(libc::EMFILE)),
                [read, _] => Ok(read),
            }
        }

        /// Makes it readable. One that is so already stays so.
        pub(crate) fn set(&self) {
            self.descriptors.set();
        }

        /// Makes it readable for ever.
        pub(crate) fn set_for_good(&self) {
            self.descriptors.for_good.store(1, Ordering::Relaxed);
            self.set();
        }

        /// Makes it unreadable.
        pub(crate) fn clear(&self) {
            let [read, _] = self.descriptors.descriptors();
            let mut bytes = [0_u8; 512];
            loop {
                // SAFETY: the buffer is valid for its length.
                let got = unsafe { libc::read(read, bytes.as_mut_ptr().cast(), bytes.len()) };
                // An eventfd is empty after one read; a pipe once one falls short.
                if got < bytes.len() as isize {
                    return;
                }
            }
        }
    }

    impl Drop for WakeFd {
        fn drop(&mut self) {
            let descriptors = self.descriptors.descriptors();
            // Before the close: after it the numbers may be used for other files, which a child
            // must not touch.
            self.descriptors.put([NONE, NONE]);
            machine::close(descriptors);
            self.descriptors.give_back();
        }
    }

    impl Descriptors {
        fn unused() -> Descriptors {
            Descriptors {
                read: AtomicU32::new(NONE as u32),
                write: AtomicU32::new(NONE as u32),
                for_good: AtomicU32::new(0),
            }
        }

        fn descriptors(&self) -> [RawFd; 2] {
            [&self.read, &self.write].map(|fd| fd.load(Ordering::Relaxed) as RawFd)
        }

        fn put(&self, [read, write]: [RawFd; 2]) {
            self.read.store(read as u32, Ordering::Relaxed);
            self.write.store(write as u32, Ordering::Relaxed);
        }

        fn set(&self) {
            let one = 1_u64.to_ne_bytes();
            let [_, write] = self.descriptors();
            // SAFETY: the buffer is valid for its length. A write may fail because the pipe or the
            // counter is full: then it is readable, as `set` promises.
            let _ = unsafe { libc::write(write, one.as_ptr().cast(), one.len()) };
        }

        fn renew(&self) {
            let old = self.descriptors();
            if old.contains(&NONE) {
                return;
            }
            // Closed first, so that numbers are free even if the process has reached its limit.
            machine::close(old);
            let renewed = machine::open().and_then(|new| machine::move_to(new, old));
            if renewed.is_err() {
                self.put([NONE, NONE]);
            } else if self.for_good.load(Ordering::Relaxed) == 1 {
                self.set();
            }
        }
    }

    /// In the child of a fork, while it has one thread: gives each descriptor an
    /// object of its own. System calls only.
    fn renew_all() {
        registry()
            .iter()
            .for_each(|descriptors| descriptors.renew());
    }

    /// An eventfd, for both ends.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    mod machine {
        use std::io;
        use std::os::fd::RawFd;

        pub(super) fn open() -> io::Result<[RawFd; 2]> {
            // SAFETY: the call takes numbers alone.
            let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok([fd, fd])
        }

        pub(super) fn close([fd, _]: [RawFd; 2]) {
            // SAFETY: the call takes a number: a descriptor that `open` made and that is not
            // used any more, or none, which the system refuses.
            unsafe { libc::close(fd) };
        }

        /// Moves what `open` returned to numbers that are free.
        pub(super) fn move_to(new: [RawFd; 2], to: [RawFd; 2]) -> io::Result<()> {
            if new == to {
                return Ok(());
            }
            // SAFETY: the call takes numbers alone.
            let moved = unsafe { libc::dup3(new[0], to[0], libc::O_CLOEXEC) };
            let moved = if moved < 0 {
                Err(io::Error::last_os_error())
            } else {
                Ok(())
            };
            close(new);
            moved
        }
    }

    /// A pipe.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    mod machine {
        use std::io;
        use std::os::fd::{IntoRawFd, RawFd};

        pub(super) fn open() -> io::Result<[RawFd; 2]> {
            let (read, write) = io::pipe()?;
            let ends = [read.into_raw_fd(), write.into_raw_fd()];
            for fd in ends {
                // SAFETY: the calls take numbers alone: a descriptor that `io::pipe` has just
                // made.
                let done = unsafe {
                    let flags = libc::fcntl(fd, libc::F_GETFL);
                    libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK)
                };
                if done < 0 {
                    let error = io::Error::last_os_error();
                    close(ends);
                    return Err(error);
                }
            }
            Ok(ends)
        }

        pub(super) fn close(ends: [RawFd; 2]) {
            for fd in ends {
                // SAFETY: the call takes a number: a descriptor that `open` made and that is
                // not used any more, or none, which the system refuses.
                unsafe { libc::close(fd) };
            }
        }

        /// Moves what `open` returned to numbers that are free, unless `new` has them.
        pub(super) fn move_to(new: [RawFd; 2], to: [RawFd; 2]) -> io::Result<()> {
            // Out of the way first: the two pairs may overlap.
            let above = to[0].max(to[1]) + 1;
            // SAFETY: the call takes numbers alone.
            let away = new.map(|fd| unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, above) });
            close(new);
            let moved = away.iter().zip(to).all(|(&fd, to)| {
                // SAFETY: the calls take numbers alone.
                unsafe {
                    fd >= 0
                        && libc::dup2(fd, to) == to
                        && libc::fcntl(to, libc::F_SETFD, libc::FD_CLOEXEC) >= 0
                }
            });
            let error = io::Error::last_os_error();
            close(away);
            if moved { Ok(()) } else { Err(error) }
        }
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) enum WakeFd {}

#[cfg(not(unix))]
impl WakeFd {
    pub(crate) fn set(&self) {
        match *self {}
    }

    pub(crate) fn set_for_good(&self) {
        match *self {}
    }

    pub(crate) fn clear(&self) {
        match *self {}
    }
}
