//! Data structures, nearly all lock-free, that know nothing of circuits.

pub(crate) mod intrusive_stack;
pub(crate) mod last_calls;
pub(crate) mod rate_window;
pub(crate) mod refcount;
pub(crate) mod replaceable;
pub(crate) mod reserve;
pub(crate) mod ring;
pub(crate) mod slab;
pub(crate) mod sliding_window;
pub(crate) mod striped_counter;
pub(crate) mod table;
pub(crate) mod text_cell;
pub(crate) mod use_gate;
pub(crate) mod waker;
