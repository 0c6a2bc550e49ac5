//! The end of delivery: a shutdown may be limited in time.
//!
//! The limit is a moment, set once and for all by whoever shuts down, and looked at
//! before each event is told. What is not told by then is *left*, and counted. The
//! thread that shuts down cannot wait for a callback that does not return: it takes what
//! still waits in the ring away from the dispatcher, who stops as soon as the callback
//! returns. Both count what they take, and no event is taken twice.

use std::time::{Duration, Instant};

use super::Bus;
use crate::record::RecordRef;
use crate::sync::Ordering;

const NO_LIMIT: u64 = u64::MAX;

impl Bus {
    /// Nothing is delivered any more when so much time is over.
    pub(crate) fn set_limit(&self, time: Duration) {
        let limit = self.born.elapsed().saturating_add(time).as_micros();
        let limit = u64::try_from(limit).unwrap_or(NO_LIMIT);
        self.limit.fetch_min(limit, Ordering::Relaxed);
    }

    /// When delivery ends, if that is limited.
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

    /// Takes away what waits, what these records have missed, and what is in batches.
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

    /// How many events were not delivered to everybody because the time was over. Those
    /// count that the dispatcher has in hand, and those in a batch whose callback has not
    /// returned.
    pub(crate) fn left(&self) -> u64 {
        [&self.left, &self.in_hand, &self.in_callbacks]
            .map(|count| count.load(Ordering::Relaxed))
            .iter()
            .sum()
    }

    /// How many happenings wait: about as many as there are events, for somebody who must
    /// not take them away.
    pub(crate) fn waiting(&self) -> u64 {
        self.ring.len() as u64
    }
}
