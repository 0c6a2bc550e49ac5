//! Chapters beside the guide. No code: what one reads before deciding to use the
//! crate, or before changing it.

pub mod internals;
pub mod outages;
pub mod performance;
#[doc = include_str!("docs/recovery.md")]
pub mod recovery {}
// Where the first link of this name leads in these pages; the file's own is for those who read it as
// a file.
#[doc = "[outages]: crate::docs::outages\n\n"]
#[doc = include_str!("docs/rules.md")]
pub mod rules {}
