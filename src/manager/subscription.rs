//! [`Subscription`] and [`EventQueue`]: a user's handles of a subscription.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::events::bus::is_inside_user_code;
use crate::events::subscriber::Subscriber;
use crate::events::subscriber_queue::SubscriberQueue;
use crate::manager::engine::Engine;
use crate::values::event::Event;

/// A subscription with a callback. Dropping it unsubscribes.
///
/// Once [`Subscription::unsubscribe`] (or the drop) has returned, the callback is
/// not running, never will again, and has been dropped with all it holds: it waits for a
/// callback under way on another thread.
///
/// Inside user code it never waits: inside a callback, a filter or the destructor of one,
/// of this manager or any other. (Two callbacks that end each other would wait for ever.)
/// It returns at once, and the promise holds as soon as the callback that is running has
/// returned; whatever thread runs it then drops the callback. The same is so when a
/// [shutdown](crate::Brama::shutdown_within) has run out of time.
///
/// May be made and dropped on any thread. The subscription does not keep its manager
/// alive.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// let subscription = brama.subscribe(brama::EventFilter::new(), |event| {
///     println!("{}: {}", event.connection(), event.event_type());
/// })?;
/// drop(subscription); // The callback is not called any more.
/// # Ok::<(), brama::Error>(())
/// ```
#[must_use = "dropping a subscription unsubscribes it"]
pub struct Subscription {
    engine: Weak<Engine>,
    subscriber: Option<Arc<Subscriber>>,
}

impl Subscription {
    pub(crate) fn new(engine: &Arc<Engine>, subscriber: Arc<Subscriber>) -> Self {
        Subscription {
            engine: Arc::downgrade(engine),
            subscriber: Some(subscriber),
        }
    }

    /// Ends the subscription; see the type.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// let all = brama::EventFilter::new();
    /// brama.subscribe(all, |event| println!("{event:?}"))?.unsubscribe();
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn unsubscribe(self) {}

    /// Lets the subscription live as long as the manager.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// let all = brama::EventFilter::new();
    /// brama.subscribe(all, |event| println!("{event:?}"))?.detach();
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn detach(mut self) {
        self.subscriber = None;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(subscriber) = self.subscriber.take() {
            end(&self.engine, &subscriber);
        }
    }
}

fn end(engine: &Weak<Engine>, subscriber: &Arc<Subscriber>) {
    let engine = engine.upgrade();
    if let Some(engine) = &engine {
        engine.unsubscribe(|other| other.id == subscriber.id);
    }
    // Even if another thread has ended it, and its callback is still running.
    let is_over = engine.is_some_and(|engine| engine.bus.is_out_of_time());
    subscriber.close(!is_inside_user_code() && !is_over);
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = self
            .subscriber
            .as_ref()
            .map(|subscriber| &subscriber.filter);
        f.debug_struct("Subscription")
            .field("filter", &filter)
            .finish()
    }
}

/// A subscription whose events wait in a queue until they are taken.
///
/// Up to its capacity events wait in order. When it is full, droppable events are
/// dropped and counted; of the others the latest of each type and connection is
/// kept, stands for the earlier ones ([`Event::is_coalesced`]), and comes after
/// what waits. A connection that was registered and removed while the queue was
/// full leaves nothing.
///
/// In a manager without a background thread, taking from the queue also does what
/// [`Brama::poll`](crate::Brama::poll) does. Any thread may take. Dropping the queue
/// unsubscribes; after a shutdown what waits can still be taken.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// # let queue = brama.subscribe_queue(brama::EventFilter::new(), 100)?;
/// brama.register("db", None)?;
/// while let Some(event) = queue.try_next() {
///     println!("{}: {}", event.connection(), event.event_type());
/// }
/// # Ok::<(), brama::Error>(())
/// ```
pub struct EventQueue {
    engine: Weak<Engine>,
    subscriber: Arc<Subscriber>,
    queue: Arc<SubscriberQueue>,
}

impl EventQueue {
    pub(crate) fn new(
        engine: &Arc<Engine>,
        subscriber: Arc<Subscriber>,
        queue: Arc<SubscriberQueue>,
    ) -> Self {
        EventQueue {
            engine: Arc::downgrade(engine),
            subscriber,
            queue,
        }
    }

    /// The next event, if one waits.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let queue = brama.subscribe_queue(brama::EventFilter::new(), 100)?;
    /// assert!(queue.try_next().is_none());
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn try_next(&self) -> Option<Event> {
        self.pump();
        self.queue.take()
    }

    /// Up to `most` events that wait.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let queue = brama.subscribe_queue(brama::EventFilter::new(), 100)?;
    /// brama.register("db", None)?;
    /// assert!(!queue.drain(100).is_empty());
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn drain(&self, most: usize) -> Vec<Event> {
        self.pump();
        self.queue.drain(most)
    }

    /// The next event, waiting for it at most `timeout`. None also when the
    /// manager was shut down and nothing waits.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let queue = brama.subscribe_queue(brama::EventFilter::new(), 100)?;
    /// brama.register("db", None)?;
    /// assert!(queue.next_timeout(std::time::Duration::from_secs(10)).is_some());
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn next_timeout(&self, timeout: Duration) -> Option<Event> {
        self.wait_for(
            timeout,
            |queue, left| queue.wait(left),
            |event| event.is_some(),
        )
    }

    /// Waits at most `timeout` until an event can be taken, and says whether one
    /// can. Another thread may take it first. False also, at once, when the queue
    /// is closed and nothing waits.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let queue = brama.subscribe_queue(brama::EventFilter::new(), 100)?;
    /// brama.register("db", None)?;
    /// assert!(queue.wait(std::time::Duration::from_secs(10)));
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn wait(&self, timeout: Duration) -> bool {
        self.wait_for(timeout, |queue, left| queue.wait_for_any(left), |any| *any)
    }

    /// Waits by `look`, which may sleep for the given time, until `found` accepts its answer, the
    /// time is over, or no more events will come. Where there is no driver, one of the waiting
    /// threads does its work.
    fn wait_for<T>(
        &self,
        timeout: Duration,
        look: impl Fn(&SubscriberQueue, Duration) -> T,
        found: impl Fn(&T) -> bool,
    ) -> T {
        let begin = Instant::now();
        loop {
            let engine = self.engine.upgrade().filter(|_| !self.queue.is_closed());
            let left = || timeout.saturating_sub(begin.elapsed());
            let Some(engine) = engine.filter(|engine| !engine.is_driven()) else {
                return look(&self.queue, left());
            };
            engine.do_all_due();
            let answer = look(&self.queue, Duration::ZERO);
            let left = left();
            if found(&answer) || left.is_zero() {
                return answer;
            }
            engine.pump_and_sleep(left, &self.queue);
        }
    }

    /// Ends the subscription, as the drop does: no more events come, and waiting threads are woken.
    /// Events that wait can still be taken.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let queue = brama.subscribe_queue(brama::EventFilter::new(), 100)?;
    /// queue.close();
    /// assert!(queue.is_closed() && queue.try_next().is_none());
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn close(&self) {
        end(&self.engine, &self.subscriber);
        // Even while its filter is running, for which user code does not wait.
        self.queue.close();
    }

    /// Whether nothing more will come: the subscription was ended or the manager
    /// shut down. Events may still wait.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let queue = brama.subscribe_queue(brama::EventFilter::new(), 100)?;
    /// assert!(!queue.is_closed());
    /// brama.shutdown();
    /// assert!(queue.is_closed());
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// A file descriptor that is readable while events wait, and for ever once the
    /// queue is closed: for epoll, kqueue, poll, and the event loops built on them.
    /// It belongs to the queue; do not read from it, take events instead. In the child
    /// of a [fork](crate::docs::threads#forks) the number is the same; register it again.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let queue = brama.subscribe_queue(brama::EventFilter::new(), 100)?;
    /// let descriptor = queue.as_raw_fd().expect("descriptors are left");
    /// // Wait by epoll, kqueue or `mio` until it is readable. Then take all: `mio` and other
    /// // edge-triggered loops report nothing new while an event is left.
    /// while let Some(event) = queue.try_next() {
    ///     println!("{}", event.connection());
    /// }
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What the system says if it has no descriptor left, even if that was so when a
    /// child was forked.
    #[cfg(unix)]
    pub fn as_raw_fd(&self) -> std::io::Result<std::os::fd::RawFd> {
        self.queue.descriptor()
    }

    fn pump(&self) {
        if !self.queue.is_closed()
            && let Some(engine) = self.engine.upgrade()
            && !engine.is_driven()
        {
            engine.do_all_due();
        }
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        end(&self.engine, &self.subscriber);
    }
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue")
            .field("filter", &self.subscriber.filter)
            .finish()
    }
}
