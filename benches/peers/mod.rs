//! What `brama` is compared with. Each is set and used as its
//! authors intend, and in the fastest way if there are several.

// Each bench compiles it again and needs a part of it.
#![allow(dead_code)]

pub mod breakers;
pub mod maps;
pub mod names;
