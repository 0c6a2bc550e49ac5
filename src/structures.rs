//! Lock-free structures that know nothing of circuits.

pub(crate) mod intrusive_stack;
pub(crate) mod refcount;
pub(crate) mod reserve;
pub(crate) mod ring;
pub(crate) mod slab;
pub(crate) mod sliding_window;
pub(crate) mod striped_counter;
pub(crate) mod table;
pub(crate) mod text_cell;
pub(crate) mod use_gate;
pub(crate) mod waker;
