//! One circuit: what operations do, what counts, and mistakes of a careless caller. Several threads
//! on one circuit are in `storms`.

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod calls;
mod cleanup;
mod durations;
mod last_calls;
mod modes;
mod names;
mod nested;
mod permits;
mod ramp;
mod rate_settings;
mod rates;
mod recovery;
mod retry_after;
mod semantics;
mod settings;
mod slow_calls;
mod status;
mod traps;
mod why;
mod window;
