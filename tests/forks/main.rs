//! Forks: how a manager works in the child, which process gets which events, and forks
//! while other threads use the manager. A test forks this program, with all its threads.
//!
//! The storms run alone: beside them the children of other tests would be too slow.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

mod child;
mod configured;
mod events;
mod saved;
mod storms;

use common::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
