//! Models of the lock-free protocols, explored by loom. Each names the mutation
//! that makes it fail. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p brama --release --lib models`.

mod bus;
mod circuit;
mod closing;
mod counter;
mod departure;
mod driver;
mod engine;
mod gate;
mod inbox;
mod lifetimes;
mod lock;
mod mailbox;
mod per_process;
mod pool;
mod probes;
mod publish_once;
mod record;
mod references;
mod ring;
mod sections;
mod table;
mod window;
