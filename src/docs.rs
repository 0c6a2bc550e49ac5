//! Chapters beside the guide. No code: what one reads before deciding to use the
//! crate, or before changing it.

pub mod internals;
pub mod performance;
#[doc = include_str!("docs/recovery.md")]
pub mod recovery {}
#[doc = include_str!("docs/rules.md")]
pub mod rules {}
