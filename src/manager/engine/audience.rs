//! The subscribers of an engine: how they come and go, and the notices that are made for
//! them.

use std::sync::Arc;

use super::Engine;
use crate::circuit::event_sink::EventSink;
use crate::circuit::record::Record;
use crate::events::bus::is_inside_user_code;
use crate::events::subscriber::{Sink, Subscriber};
use crate::sys::atomic::Ordering;
use crate::sys::atomic::fence;
use crate::values::error::Error;
use crate::values::event::{EventFilter, EventType};
use crate::values::settings::ConnectionOptions;

impl Engine {
    /// Adds a subscriber, and adds what it wants to the interest of every record.
    pub(crate) fn subscribe(
        &self,
        filter: EventFilter,
        sink: Sink,
    ) -> Result<Arc<Subscriber>, Error> {
        self.refuse_if_shut()?;
        if !matches!(sink, Sink::SubscriberQueue(_)) {
            self.refuse_without_a_thread()?;
        }
        let bus = &*self.bus;
        let subscriber = Arc::new(Subscriber::new(bus.next_id(), filter, sink));
        let (one_at_a_time, is_first) = bus.add(subscriber.clone());
        // ORDERING: SeqCst, partner of the fences in `shut_down` and `register`: either
        // that one finds this subscriber, or this thread the flag, or the record.
        fence(Ordering::SeqCst);
        if self.is_shut() {
            drop(one_at_a_time);
            self.unsubscribe(|other| other.id == subscriber.id);
            return Err(Error::ShutDown);
        }
        self.for_each(|record| {
            let wanted = subscriber.filter.interest_in(record.key());
            record.add_interest(wanted, is_first, bus);
        });
        subscriber.begin();
        drop(one_at_a_time);
        // ORDERING: SeqCst, partner of the fences in `Record::notify_without_waking` and
        // `notify_removal`: if this thread still finds the old state, the thread that changes
        // it finds the subscriber.
        fence(Ordering::SeqCst);
        Ok(subscriber)
    }

    /// Refuses a callback that would never run: the manager is to have a background thread,
    /// and the system starts none.
    fn refuse_without_a_thread(&self) -> Result<(), Error> {
        if !self.has_driver() || self.driver.is_running() {
            return Ok(());
        }
        self.context.waker.attend();
        match self.driver.refusal() {
            Some(reason) => Err(Error::NoThread(reason)),
            None => Ok(()),
        }
    }

    /// Ends the subscriptions that `which` names. From outside user code, nothing of them
    /// runs any more when this returns, unless the time of a shutdown is over.
    pub(crate) fn unsubscribe(&self, which: impl Fn(&Subscriber) -> bool) {
        let bus = &*self.bus;
        let gone = bus.find(which);
        if gone.is_empty() {
            return;
        }
        // Before they leave the list: another thread that ends one of them still finds it
        // there, and waits too.
        for subscriber in &gone {
            subscriber.close(!is_inside_user_code() && !bus.is_out_of_time());
        }
        let _one_at_a_time = bus.remove(&gone);
        self.for_each(|record| record.set_interest(bus.interest_in(record.key())));
    }

    /// Makes a notice, once for each connection, if `get_or_register` is given other settings
    /// than the connection has. Those that it has are kept.
    pub(super) fn warn_of_other_settings(&self, record: &Record, options: &ConnectionOptions) {
        if *options == ConnectionOptions::new() || record.has_warned() {
            return;
        }
        // Without a subscriber the notice waits for a later call.
        if !record.is_wanted(&*self.bus, EventType::Notice) {
            return;
        }
        let profile = record.profile();
        let mut others = options.changes.not_in(&record.settings(&self.context));
        let metadata = profile.as_deref().map(|profile| &profile.metadata);
        if let Some(given) = &options.metadata
            && metadata.map_or(!given.is_empty(), |metadata| metadata != given)
        {
            others.push("metadata");
        }
        if !others.is_empty() && record.begin_warning() {
            let text = format!(
                "get_or_register was given other settings than the connection has: {}; \
                 the connection keeps its own",
                others.join(", ")
            );
            record.notify_of_text(&self.context, &text);
        }
    }
}
