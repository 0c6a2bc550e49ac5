//! The end of delivery: a shutdown may be limited in time.
//!
//! The thread that shuts down sets the limit, and the dispatcher checks it before each event. What
//! is not delivered by then is *left*, and counted. The thread that shuts down cannot wait for a
//! callback that does not return. So it takes what still waits in the ring away from the
//! dispatcher, which stops as soon as the callback returns. Both count what they take, and no event
//! is taken twice.

use std::time::{Duration, Instant};

use super::Bus;
use crate::circuit::record::RecordRef;
use crate::sys::atomic::Ordering;

const NO_LIMIT: u64 = u64::MAX;

impl Bus {
    /// Sets the limit, unless an earlier one is set.
    pub(crate) fn set_limit(&self, time: Duration) {
        let limit = self.born.elapsed().saturating_add(time).as_micros();
        let limit = u64::try_from(limit).unwrap_or(NO_LIMIT);
        self.limit.fetch_min(limit, Ordering::Relaxed);
    }

    /// The limit; `None` if there is none.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.limit.load(Ordering::Relaxed) {
            NO_LIMIT => None,
            limit => self.born.checked_add(Duration::from_micros(limit)),
        }
    }

    pub(crate) fn is_out_of_time(&self) -> bool {
        self.deadline()
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Takes away what waits in the ring, what these records have missed, and, if the time
    /// is over, what is in batches.
    pub(crate) fn discard(&self, late: Vec<RecordRef>) {
        while let Some(notice) = self.ring.pop() {
            self.published
                .fetch_add(notice.wanted.len(), Ordering::Relaxed);
            self.count_left(notice.wanted.len());
        }
        for record in late {
            self.count_left(record.take_missed().len());
        }
        if self.is_out_of_time() {
            let subscribers = self.subscribers.load();
            let batches = subscribers.iter().map(|one| one.discard_batch(self));
            self.in_callbacks
                .fetch_max(batches.sum(), Ordering::Relaxed);
        }
    }

    pub(crate) fn count_left(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
        self.left.fetch_add(events, Ordering::Relaxed);
    }

    /// The number of events that were not delivered to all subscribers because the time was
    /// over. It includes those that the dispatcher has in hand, and those in a batch whose
    /// callback has not returned.
    pub(crate) fn left(&self) -> u64 {
        [&self.left, &self.in_hand, &self.in_callbacks]
            .map(|count| count.load(Ordering::Relaxed))
            .iter()
            .sum()
    }

    /// The number of happenings that wait in the ring. Takes none of them away.
    pub(crate) fn waiting(&self) -> u64 {
        self.ring.len() as u64
    }
}
