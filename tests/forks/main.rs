//! Forks: what a manager is in the child, which events are whose, and children that are made while
//! other threads do everything at once. A test forks this program, with all its threads.
//!
//! The storms are alone: beside them, the children of other tests would not get their time.
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
