//! Which processor a thread runs on.
//!
//! A processor of the system may be one of two hardware threads of a core. Two threads on
//! one core share its resources. So each core gets one thread before any core gets two.

use std::sync::OnceLock;
use std::thread;

/// How many threads this process can run at once.
pub fn count() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// How many cores the processors of this process belong to, at most [`count`].
pub fn physical() -> usize {
    let first = places().iter().filter(|(rank, _)| *rank == 0).count();
    first.clamp(1, count())
}

/// Keeps the calling thread, number `who` of those that run together, on one processor. Otherwise
/// two new threads often share a processor for a whole turn, and never run at the same time.
pub fn stay_on(who: usize) {
    #[cfg(target_os = "linux")]
    if let Some((_, processor)) = places().get(who % places().len().max(1)) {
        // SAFETY: a set of processors is plain bits, for which zeroes are valid, and
        // `set` outlives the call. If the processor does not exist, nothing happens.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(*processor, &mut set);
            libc::sched_setaffinity(0, size_of_val(&set), &set);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = who;
}

/// The processors that this process may use, each with its rank among those
/// of its core, lowest rank first. They are read before any thread is pinned.
fn places() -> &'static [(usize, usize)] {
    static PLACES: OnceLock<Vec<(usize, usize)>> = OnceLock::new();
    PLACES.get_or_init(|| {
        let allowed = allowed();
        let rank = |processor: usize| {
            let siblings = siblings(processor);
            let earlier = siblings.iter().filter(|sibling| **sibling < processor);
            earlier.filter(|sibling| allowed.contains(sibling)).count()
        };
        let mut places: Vec<_> = allowed.iter().map(|one| (rank(*one), *one)).collect();
        places.sort_unstable();
        places
    })
}

#[cfg(target_os = "linux")]
fn allowed() -> Vec<usize> {
    // SAFETY: a set of processors is plain bits, for which zeroes are valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid for the size that is passed. 0 is the calling thread.
    let failed = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    let among = 0..if failed == 0 {
        libc::CPU_SETSIZE as usize
    } else {
        0
    };
    // SAFETY: `processor` is less than CPU_SETSIZE.
    let has = |processor: &usize| unsafe { libc::CPU_ISSET(*processor, &set) };
    among.filter(has).collect()
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> Vec<usize> {
    (0..count()).collect()
}

/// The processors of the same core, as the system lists them: "0,8" or "0-1".
fn siblings(processor: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let ranges = text.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse::<usize>().ok()?)
    });
    ranges.flatten().collect()
}
