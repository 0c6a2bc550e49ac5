//! Children of the test's own process. A test makes them by `fork` while other tests run on other
//! threads, and checks how they end.

use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use brama::{Brama, ConnectionOptions, Error, EventFilter, EventType, State};

use super::events::all;
use super::ms;

/// A child that runs for longer than this counts as hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// What a child found. An error says what is wrong.
pub type Finding = Result<(), String>;

/// Returns an error unless `holds`.
pub fn check(holds: bool, what: impl FnOnce() -> String) -> Finding {
    if holds { Ok(()) } else { Err(what()) }
}

/// Returns an error unless `found` equals `wanted`.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Finding {
    check(found == wanted, || {
        format!("{what}: {found:?} instead of {wanted:?}")
    })
}

/// Waits until `done`. Returns an error after 20 seconds.
pub fn soon(what: &str, mut done: impl FnMut() -> bool) -> Finding {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        check(Instant::now() < deadline, || format!("never {what}"))?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A child that runs.
pub struct Child {
    id: libc::pid_t,
    report: std::fs::File,
}

/// Forks. The child does `work`, reports what it found, and ends without running exit handlers.
pub fn fork(work: impl FnOnce() -> Finding) -> Child {
    fork_and_end(work, |code| {
        // SAFETY: ends the process, nothing else.
        unsafe { libc::_exit(code) };
    })
}

/// [`fork`], where the child ends by `end`, which does not return.
pub fn fork_and_end(work: impl FnOnce() -> Finding, end: impl FnOnce(i32)) -> Child {
    let mut pipe = [0; 2];
    // SAFETY: the buffer has room for two.
    let made = unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) };
    assert_eq!(made, 0, "there are descriptors left");
    // SAFETY: `pipe2` has just made both descriptors, so they have no other owner.
    let [report, tell] = pipe.map(|fd| unsafe { std::fs::File::from_raw_fd(fd) });
    // SAFETY: the child runs only `work`, whose safety after a fork is what the tests check.
    let id = unsafe { libc::fork() };
    assert!(id >= 0, "a process can be made");
    if id == 0 {
        drop(report);
        let found = panic::catch_unwind(AssertUnwindSafe(work));
        let found = found.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            Err(format!("it panicked: {}", text.unwrap_or_default()))
        });
        if let Err(wrong) = &found {
            // SAFETY: the buffer is valid for its length.
            unsafe { libc::write(tell.as_raw_fd(), wrong.as_ptr().cast(), wrong.len()) };
        }
        end(i32::from(found.is_err()));
        unreachable!("the child has ended");
    }
    Child { id, report }
}

impl Child {
    /// Waits for its end, and fails if it hangs or found something wrong.
    pub fn join(mut self) {
        let begin = Instant::now();
        let mut status = 0;
        let hangs = loop {
            // SAFETY: `status` is a valid place, and the child is ours.
            match unsafe { libc::waitpid(self.id, &mut status, libc::WNOHANG) } {
                0 if begin.elapsed() > LIMIT => break true,
                0 => std::thread::sleep(Duration::from_millis(1)),
                id => {
                    assert_eq!(id, self.id, "it can be waited for");
                    break false;
                }
            }
        };
        if hangs {
            // SAFETY: the child is ours and was not waited for yet.
            unsafe {
                libc::kill(self.id, libc::SIGKILL);
                libc::waitpid(self.id, &mut status, 0);
            }
            panic!("the child hangs");
        }
        let mut wrong = String::new();
        let _ = self.report.read_to_string(&mut wrong);
        assert!(wrong.is_empty(), "in the child: {wrong}");
        assert_eq!(status, 0, "the child's status");
    }
}

/// Does `work` in a child and waits for it.
pub fn in_child(work: impl FnOnce() -> Finding) {
    fork(work).join();
}

/// Numbers that the process and its children share, 0 at first.
pub fn shared_numbers<const N: usize>() -> &'static [AtomicU64; N] {
    let size = size_of::<[AtomicU64; N]>();
    // SAFETY: a fresh mapping.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(page, libc::MAP_FAILED, "memory can be shared");
    // SAFETY: zeroed, aligned to a page, large enough, and there until the process ends.
    unsafe { &*page.cast() }
}

/// Does `work` on `count` new threads and `meanwhile` on this one. The threads are made by the
/// system and not by `std`, which takes locks of its own when a thread begins or ends. A child may
/// have inherited such a lock while it was held.
pub fn beside<W: Fn() + Sync>(
    count: usize,
    work: W,
    meanwhile: impl FnOnce() -> Finding,
) -> Finding {
    extern "C" fn begin<W: Fn()>(work: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: `work` is the argument of `beside`, which joins all threads before it returns.
        unsafe { (*work.cast::<W>())() };
        std::ptr::null_mut()
    }
    let threads: Vec<libc::pthread_t> = (0..count)
        .map(|_| {
            let mut thread = 0;
            let work = (&raw const work).cast_mut().cast();
            // SAFETY: `thread` is a valid place for the answer, and `begin::<W>` takes a pointer to
            // a `W`, which `work` is.
            let made =
                unsafe { libc::pthread_create(&mut thread, std::ptr::null(), begin::<W>, work) };
            assert_eq!(made, 0, "a thread can be made");
            thread
        })
        .collect();
    let found = panic::catch_unwind(AssertUnwindSafe(meanwhile));
    for thread in threads {
        // SAFETY: `pthread_create` made the thread above, and it is joined once.
        unsafe { libc::pthread_join(thread, std::ptr::null_mut()) };
    }
    found.unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// A filter for circuits that expire.
pub fn halves() -> EventFilter {
    EventFilter::new().types([EventType::CircuitHalfOpened])
}

/// A filter for changes of state.
pub fn changes() -> EventFilter {
    EventFilter::new().types([EventType::StateChange])
}

/// Uses each part of the library once, on `brama`.
pub fn a_bit_of_everything(brama: &Brama, tag: &str) -> Finding {
    let wrong = |error: Error| format!("{tag}: {error}");
    let heard = Arc::new(AtomicU32::new(0));
    let hears = heard.clone();
    let subscription = brama
        .subscribe(changes().connection(format!("own {tag}")), move |_| {
            hears.fetch_add(1, Ordering::Relaxed);
        })
        .map_err(wrong)?;
    let queue = brama.subscribe_queue(all(), 64).map_err(wrong)?;
    queue.as_raw_fd().map_err(|error| error.to_string())?;
    let name = format!("own {tag}");
    let options = ConnectionOptions::new()
        .max_attempts(2)
        .expiry(ms(1))
        .probe_timeout(ms(60_000));
    let own = brama.register(&name, options).map_err(wrong)?;
    check(brama.available(&name), || "not available".into())?;
    own.success().map_err(wrong)?;
    own.failure("one").map_err(wrong)?;
    own.failure("two").map_err(wrong)?;
    soon("half-open", || own.state() == State::HalfOpen)?;
    own.acquire().map_err(wrong)?.success().map_err(wrong)?;
    same("state", own.state(), State::Closed)?;
    soon("three changes", || {
        brama.poll();
        heard.load(Ordering::Relaxed) == 3
    })?;
    check(queue.next_timeout(ms(10_000)).is_some(), || {
        "no event".into()
    })?;
    subscription.unsubscribe();
    brama
        .configure(brama::Config::new().max_attempts(7))
        .map_err(wrong)?;
    brama.snapshot();
    brama.reset_all();
    brama.unregister(&name).map_err(wrong)?;
    drop(queue);
    Ok(())
}
