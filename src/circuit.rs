//! One connection: its state word, its counts, its probes, and what it reports.

pub(crate) mod context;
pub(crate) mod event_sink;
pub(crate) mod probe_slots;
pub(crate) mod record;
