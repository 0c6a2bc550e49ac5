//! One circuit: what operations do, what counts, and what a careless caller may do. What several
//! threads do to one circuit is in `storms`.

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod books;
mod calls;
mod permits;
mod semantics;
mod traps;
