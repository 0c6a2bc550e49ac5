//! The background thread: what it does, and what the system shows of it.
//!
//! One test at a time: they count the threads of the process, measure time, and fork.

#[path = "../common/mod.rs"]
mod common;

#[cfg(target_os = "linux")]
mod threads;
mod work;
