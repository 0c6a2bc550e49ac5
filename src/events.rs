//! The way from a notice to a subscriber.

pub(crate) mod bus;
pub(crate) mod subscriber;
pub(crate) mod subscriber_queue;
