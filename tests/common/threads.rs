//! The threads of this process, as the system lists them. A thread that sleeps has done all that it
//! could. So a test learns that the thread waits, or has nothing left to do, without guessing how
//! long that takes.

use std::sync::mpsc::{self, Receiver};
use std::thread;

/// Runs `work` on a new thread, and returns when that thread sleeps or has ended. Where the system
/// lists no threads, it returns when the thread has begun. The receiver gets the result of `work`.
pub fn asleep<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (tell, told) = mpsc::channel();
    let (begin, has_begun) = mpsc::channel();
    thread::spawn(move || {
        #[cfg(target_os = "linux")]
        let _ = begin.send(linux::this_thread());
        #[cfg(not(target_os = "linux"))]
        let _ = begin.send(());
        let _ = tell.send(work());
    });
    let begun = has_begun.recv().expect("it begins");
    #[cfg(target_os = "linux")]
    super::wait_until("the thread sleeps", || {
        let mut listed = linux::listed().into_iter();
        listed.all(|thread| thread.sleeps || thread.id != begun)
    });
    #[cfg(not(target_os = "linux"))]
    let () = begun;
    told
}

#[cfg(target_os = "linux")]
pub mod linux {
    use std::fs;

    /// A thread, at the time when it was listed.
    pub struct Listed {
        pub id: libc::pid_t,
        pub name: String,
        pub sleeps: bool,
    }

    /// All threads of this process. A thread that was just joined may still be listed.
    pub fn listed() -> Vec<Listed> {
        let tasks = fs::read_dir("/proc/self/task").expect("linux").flatten();
        let lines = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
        lines
            .map(|line| {
                let (front, rest) = line.rsplit_once(") ").expect("a name in parentheses");
                let (id, name) = front.split_once(" (").expect("a number before it");
                Listed {
                    id: id.parse().expect("a number"),
                    name: name.to_owned(),
                    sleeps: rest.starts_with('S'),
                }
            })
            .collect()
    }

    pub fn this_thread() -> libc::pid_t {
        // SAFETY: `gettid` has no arguments and no preconditions.
        unsafe { libc::gettid() }
    }

    /// Whether all threads of this process except the calling one sleep.
    pub fn others_sleep() -> bool {
        let mut listed = listed().into_iter();
        listed.all(|thread| thread.sleeps || thread.id == this_thread())
    }
}
