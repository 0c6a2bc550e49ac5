//! A file descriptor that is readable or not: how a queue wakes an event loop.
//!
//! An eventfd on Linux, a pipe on other Unix systems; both non-blocking and closed
//! on exec. Elsewhere there is none.

#[cfg(unix)]
pub(crate) use unix::Wake;

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

    #[derive(Debug)]
    pub(crate) struct Wake {
        read: OwnedFd,
        /// None: the same as `read`.
        write: Option<OwnedFd>,
    }

    impl Wake {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        pub(crate) fn new() -> io::Result<Self> {
            // SAFETY: a plain system call.
            let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the descriptor is new and nobody else's.
            let read = unsafe { OwnedFd::from_raw_fd(fd) };
            Ok(Wake { read, write: None })
        }

        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        pub(crate) fn new() -> io::Result<Self> {
            let (read, write) = io::pipe()?;
            let (read, write) = (OwnedFd::from(read), OwnedFd::from(write));
            for fd in [&read, &write] {
                // SAFETY: plain system calls on a descriptor of ours.
                let done = unsafe {
                    let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
                    libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)
                };
                if done < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(Wake {
                read,
                write: Some(write),
            })
        }

        pub(crate) fn descriptor(&self) -> RawFd {
            self.read.as_raw_fd()
        }

        /// Makes it readable. One that is so already stays so.
        pub(crate) fn set(&self) {
            let one = 1_u64.to_ne_bytes();
            let fd = self.write.as_ref().unwrap_or(&self.read).as_raw_fd();
            // SAFETY: the buffer is valid for its length. A full pipe or counter
            // is readable, which is all that is asked for.
            let _ = unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
        }

        /// Makes it unreadable.
        pub(crate) fn clear(&self) {
            let mut bytes = [0_u8; 512];
            loop {
                // SAFETY: the buffer is valid for its length.
                let read = unsafe {
                    libc::read(self.descriptor(), bytes.as_mut_ptr().cast(), bytes.len())
                };
                // An eventfd is empty after one read; a pipe once one falls short.
                if read < bytes.len() as isize {
                    return;
                }
            }
        }
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) enum Wake {}

#[cfg(not(unix))]
impl Wake {
    pub(crate) fn set(&self) {
        match *self {}
    }

    pub(crate) fn clear(&self) {
        match *self {}
    }
}
