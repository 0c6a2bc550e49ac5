//! Circuits that are saved and restored.

#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;

mod beside;
mod changed;
mod combined;
mod events;
mod modes;
mod refused;
mod restored;
mod waiting;
