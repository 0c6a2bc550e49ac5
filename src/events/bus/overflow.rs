//! What becomes of a notice that found no room in the ring: see [`bus`](super).

use super::{Bus, Notice};
use crate::circuit::context::Context;
use crate::circuit::record::Record;
use crate::sys::atomic::Ordering;
use crate::values::event::EventMask;

impl Bus {
    #[cold]
    pub(super) fn overflow(&self, context: &Context, notice: &Notice) {
        let record = &notice.record;
        let dropped = notice.wanted.and(EventMask::DROPPABLE);
        let kept = notice.wanted.without(EventMask::DROPPABLE);
        self.published
            .fetch_add(notice.wanted.len(), Ordering::Relaxed);
        self.dropped.fetch_add(dropped.len(), Ordering::Relaxed);
        if kept == EventMask::NONE {
            return;
        }
        let is_late = self.is_late(context, record);
        let before = record.miss(kept);
        self.coalesced
            .fetch_add(before.and(kept).len(), Ordering::Relaxed);
        if !is_late {
            context.attention.leave(record, || record.share());
        } else if record.is_retired_by_now() {
            self.settle_removed(context, record);
        } else {
            // ORDERING: AcqRel, partner of the swap in `take_unlisted`.
            self.unlisted.swap(1, Ordering::AcqRel);
        }
    }

    /// Whether the connection was registered since the ring ran full. The ring is full now.
    fn is_late(&self, context: &Context, record: &Record) -> bool {
        let next = context.last_id() + 1;
        // Relaxed, here and in `settle_removed`: whichever value is read, the ring was full at some
        // moment after the connections with smaller numbers were registered.
        let full_since = self
            .full_since
            .compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed)
            .map_or_else(|since| since, |_| next);
        record.id() >= full_since
    }

    /// Leaves a removed connection that has missed events where the dispatcher finds it, or
    /// forgets it if it came while the ring was full and no subscriber has heard of it.
    #[cold]
    pub(super) fn settle_removed(&self, context: &Context, record: &Record) {
        let full_since = self.full_since.load(Ordering::Relaxed);
        let is_late = full_since != 0 && record.id() >= full_since;
        if is_late && record.forget() {
            self.count_undelivered(record.take_missed());
            return;
        }
        context.attention.leave(record, || record.share());
        context.waker.wake_by(0);
    }

    /// Whether the table has to be searched for connections that missed events.
    pub(crate) fn take_unlisted(&self) -> bool {
        // ORDERING: AcqRel, partner of the swap in `overflow`: a thread that takes
        // the flag sees the marks of those that set it.
        self.unlisted.swap(0, Ordering::AcqRel) == 1
    }
}
