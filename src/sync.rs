//! The one façade for atomics: `std` in every build, loom's in model tests.
//!
//! Every lock-free file of the crate takes its atomics from here, so that the
//! same source that ships is the source the models explore. Nothing but this
//! file names `std::sync::atomic`, and nothing but this file and
//! [`reclaim`](crate::reclaim) knows that loom exists.

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

#[cfg(all(loom, test))]
pub(crate) use loom::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::atomic::AtomicU16;

#[cfg(all(loom, test))]
pub(crate) use loom::sync::atomic::AtomicU16;

/// Items that exist in every build but the models': statics, which loom's
/// atomics cannot be, and facts about layout, which they do not share.
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
