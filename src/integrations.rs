//! Bridges to other crates, each behind a cargo feature of the same name that is off by default.
//!
//! They translate what a manager reports, and decide nothing. Each runs where subscribers run. So a
//! slow recorder or log delays other subscribers, but no call.

#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "tracing")]
pub mod tracing;
