//! What `brama` is compared with, each set and used as its authors mean it, and
//! where there is a choice the way that is fastest for it.

// Each bench compiles it again and needs a part of it.
#![allow(dead_code)]

pub mod breakers;
pub mod maps;
pub mod names;
