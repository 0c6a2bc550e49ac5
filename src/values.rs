//! Decisions and descriptions, as values: no atomics, no threads, no clocks. What a circuit decides
//! can be read and tested here without knowing how threads apply it.

pub(crate) mod cause;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod evidence;
pub(crate) mod expiry;
pub(crate) mod generation;
pub(crate) mod key;
pub(crate) mod mode;
pub(crate) mod name_beginning;
pub(crate) mod opened;
pub(crate) mod rates;
pub(crate) mod recovery;
pub(crate) mod saved;
pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod tally;
pub(crate) mod timing;
pub(crate) mod trip_rule;
