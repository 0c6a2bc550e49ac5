//! Memory: which operations allocate, and whether the memory of removed connections is
//! freed. The memory of one connection is in `weight`, that of a million in `scale`.
//!
//! One test at a time. Otherwise a test could free what another one has left to the
//! epochs, and the child of a fork would inherit what another test is working on.

#[path = "../common/mod.rs"]
mod common;

mod allocation;
#[cfg(target_os = "linux")]
mod reclamation;

use common::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
