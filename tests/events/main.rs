//! Events: which there are, who hears of them, how they travel, and what becomes of them where there
//! is no room. Under load they are in `storms`.

#[path = "../common/mod.rs"]
mod common;

mod between_managers;
mod callbacks;
mod content;
mod delivery;
mod lots;
mod notices;
mod overflow;
mod queue_waits;
mod shutdown;
mod subscriptions;
mod text;
