//! The C ABI: `include/brama.h`, function by function.
//!
//! Nothing is decided here. A function checks and translates its arguments, calls the same
//! operation that a Rust user has, and translates the answer. The header is generated from these
//! files and is the manual for C programmers. So the doc comments of exported items address them.
//!
//! # Rules
//!
//! - Every entry is guarded ([`guard`]): no panic leaves it, and its failure is remembered for
//!   `brama_last_error_message`. An entry goes without a guard if it cannot panic and the guard
//!   would take longer than its work. Calls by handle on a healthy circuit remember nothing, and
//!   touch no thread-local storage of this floor.
//! - No Rust enum crosses the boundary, in either direction: a number that is none
//!   of its values would be undefined behaviour. Types are numbers, values constants. For the
//!   same reason no bool comes in: `auto_register` is a number, and a callback answers with a byte
//!   (`callback::HostBool`).
//! - Structs begin with their size and are only extended at their end
//!   ([`args`] reads them). A field that is added later must mean "not given" when it is zero: an
//!   older library refuses a struct whose unknown tail is not zero.
//! - An `_init` function writes the struct as it was in the first version, and never more:
//!   an old program has no room for more. The header's initialiser macro, BRAMA_X_INIT, sets
//!   the struct as that header knows it, with zero in fields that were added later. The
//!   header then makes `brama_X_init` a macro that uses it.
//! - `size_t` for sizes and counts, fixed widths for all else, explicit padding.
//!
//! # The header
//!
//! `bindings/c/tests/header.rs` makes it: the introduction from `cbindgen.toml`, then one
//! section for each file.
#![allow(non_camel_case_types, reason = "the names are C's")]

// What all functions share: arguments, answers, and types.
mod args;
mod callback;
mod entry;
mod errors;
mod guard;
mod handles;
mod kinds;
mod sentinels;
mod strings;
mod text;
mod types;
mod words_of_c;

// The functions. Each file is a section of the header.
mod batch;
mod by_name;
mod clock;
mod config;
mod connection;
mod control;
mod durations;
mod event;
mod manager;
mod name;
mod pass_word;
mod permit;
mod permit_report;
mod permit_words;
mod queue;
mod report;
mod save;
mod settings;
mod snapshot;
mod status;
mod subscribe;
mod version;
