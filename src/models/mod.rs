//! Models of the lock-free protocols, explored by loom. Each names the mutation
//! that makes it fail. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p brama --release --lib models`.

mod bus;
mod counter;
mod gate;
mod inbox;
mod lifetimes;
mod lock;
mod pool;
mod record;
mod references;
mod ring;
mod sections;
mod table;
mod window;
