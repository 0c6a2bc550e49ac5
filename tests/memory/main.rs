//! Memory: which operations allocate, and what becomes of the memory of removed connections. What a
//! connection weighs is in `weight`, what becomes of a million in `scale`.
//!
//! One test at a time: what another leaves to the epochs would be collected here, and the child of
//! a fork would inherit what it has in hand.

#[path = "../common/mod.rs"]
mod common;

mod allocation;
#[cfg(target_os = "linux")]
mod reclamation;

use common::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
