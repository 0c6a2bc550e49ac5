//! Tests of the integrations. Each is compiled if its feature is on.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "tracing")]
mod tracing;
