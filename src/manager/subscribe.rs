//! Subscribing and unsubscribing.

use std::sync::Arc;

use super::Brama;
use crate::events::bus::EventCounts;
use crate::events::subscriber::{Batch, Sink};
use crate::events::subscriber_queue::SubscriberQueue;
use crate::manager::builder;
use crate::manager::subscription::{EventQueue, Subscription};
use crate::values::error::Error;
use crate::values::event::{Event, EventFilter};

impl Brama {
    /// Calls `callback` for every event that `filter` lets pass, until the subscription is dropped.
    /// It runs on the manager's background thread, or on a thread that polls.
    ///
    /// The callback may call anything in this library. While it runs, no other
    /// event is delivered; a panic is caught and counted.
    ///
    /// ```
    /// # use brama::{Brama, EventFilter, EventType};
    /// # fn main() -> Result<(), brama::Error> {
    /// # let brama = Brama::builder().background(false).build()?;
    /// let changes = EventFilter::new().types([EventType::StateChange]);
    /// let subscription = brama.subscribe(changes, |event| {
    ///     println!("{}: now {}", event.connection(), event.new_state());
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ShutDown`]. [`Error::NoThread`] if the callback could never run, because
    /// the manager is to have a background thread and the system starts none.
    pub fn subscribe(
        &self,
        filter: EventFilter,
        callback: impl FnMut(&Event) + Send + 'static,
    ) -> Result<Subscription, Error> {
        self.subscribe_to(filter, Sink::Each(Box::new(callback)))
    }

    /// Calls `callback` for up to `most` events at a time: when there are `most`, or when the
    /// dispatcher has delivered all events that waited.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// let all = brama::EventFilter::new();
    /// let batches = brama.subscribe_batched(all, 100, |events| println!("{} more", events.len()))?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] if `most` is not 1 to 16 777 216, [`Error::ShutDown`],
    /// [`Error::NoThread`] as [`Brama::subscribe`].
    pub fn subscribe_batched(
        &self,
        filter: EventFilter,
        most: usize,
        callback: impl FnMut(&[Event]) + Send + 'static,
    ) -> Result<Subscription, Error> {
        builder::capacity("most", most)?;
        let batches = Sink::Batches {
            callback: Box::new(callback),
            batch: Batch::default(),
            most,
        };
        self.subscribe_to(filter, batches)
    }

    /// A queue of every event that `filter` lets pass, to be drained by the caller.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// let changes = brama::EventFilter::new().types([brama::EventType::StateChange]);
    /// let queue = brama.subscribe_queue(changes, 100)?;
    /// db.open_circuit("upgrade", None)?;
    /// assert_eq!(queue.drain(10).len(), 1);
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] if `capacity` is not 1 to 16 777 216,
    /// [`Error::ShutDown`].
    pub fn subscribe_queue(
        &self,
        filter: EventFilter,
        capacity: usize,
    ) -> Result<EventQueue, Error> {
        builder::capacity("capacity", capacity)?;
        let queue = Arc::new(SubscriberQueue::new(capacity));
        let subscriber = self
            .engine()
            .subscribe(filter, Sink::SubscriberQueue(queue.clone()))?;
        Ok(EventQueue::new(&self.shared.engine, subscriber, queue))
    }

    fn subscribe_to(&self, filter: EventFilter, sink: Sink) -> Result<Subscription, Error> {
        let subscriber = self.engine().subscribe(filter, sink)?;
        Ok(Subscription::new(&self.shared.engine, subscriber))
    }

    /// Ends every subscription whose filter falls under `pattern`: the filter has the same
    /// connection and the same scope, where the pattern names them, and no type that the pattern
    /// does not have. An empty pattern ends all subscriptions. The promise is that of
    /// [`Subscription::unsubscribe`](crate::Subscription::unsubscribe).
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// let queue = brama.subscribe_queue(brama::EventFilter::new(), 100)?;
    /// brama.unsubscribe(&brama::EventFilter::new());
    /// assert!(queue.is_closed());
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn unsubscribe(&self, pattern: &EventFilter) {
        self.engine()
            .unsubscribe(|subscriber| subscriber.filter.falls_under(pattern));
    }

    /// How many events were published, delivered, dropped and coalesced, and whether the
    /// background thread runs.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// assert_eq!(brama.event_counts().dropped, 0);
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn event_counts(&self) -> EventCounts {
        let engine = self.engine();
        engine.bus.counts(engine.driver.is_running())
    }
}
