//! What the machine, the process and the thread give: atomics, clocks, threads, descriptors,
//! forks. Nothing here knows what a circuit is.

pub(crate) mod atomic;
pub(crate) mod clock;
pub(crate) mod draw;
pub(crate) mod fork;
pub(crate) mod fork_lock;
// Threads of a model have no variables of the system's threads.
#[cfg(any(not(all(loom, test)), feature = "capi"))]
pub(crate) mod hot_tls;
pub(crate) mod leaked_registry;
pub(crate) mod manual_clock;
pub(crate) mod per_process;
pub(crate) mod prefetch;
pub(crate) mod publish_once;
pub(crate) mod thread;
pub(crate) mod tick_word;
pub(crate) mod wake_fd;
pub(crate) mod wall;
