//! Models of the lock-free protocols, explored by loom. Each names the mutations in
//! `tests/mutations` that make it fail. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p brama --release --lib models`.

mod bus;
mod circuit;
mod closing;
mod departure;
mod driver;
mod engine;
mod fork_lock;
mod grace;
mod intrusive_stack;
mod last_calls;
mod last_opening;
mod leaked_registry;
mod lifetimes;
mod modes;
mod per_process;
mod probe_slots;
mod publish_once;
mod rate_window;
mod rates;
mod reasons;
mod record;
mod recovery;
mod recovery_evidence;
mod refcount;
mod restore;
mod ring;
mod slab;
mod sliding_window;
mod slow_calls;
mod striped_counter;
mod subscriber_queue;
mod table;
mod text_cell;
mod tick_word;
mod use_gate;
mod waiting;
