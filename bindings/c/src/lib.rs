//! The C libraries of `brama`: `libbrama.so` and `libbrama.a`.
//!
//! The functions of `include/brama.h` are in `src/ffi` of the crate `brama`, behind its
//! feature `capi`. This package only links them. It is separate so that a Rust program
//! that uses the crate neither builds these libraries nor exports their functions.

// Linked for its exported functions; nothing here calls them.
extern crate brama_core as _;
