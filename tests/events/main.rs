//! Events: which there are, which subscribers get them, how they are delivered, and
//! what happens when a ring or a queue is full. Events under load are in `storms`.

#[path = "../common/mod.rs"]
mod common;

mod between_managers;
mod bursts;
mod callbacks;
mod content;
mod delivery;
mod notices;
mod overflow;
mod queue_waits;
mod shutdown;
mod subscriptions;
mod text;
