//! Walks over all connections.

use super::Engine;
use crate::circuit::record::{Record, Status};
use crate::reclaim::{self, Guard};
use crate::structures::table::Cursor;
use crate::values::key::Key;

impl Engine {
    /// Visits every record, pinned for a while at a time. `visit` must not run
    /// user code.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Record)) {
        self.for_each_pinned(|record, _| visit(record));
    }

    pub(super) fn for_each_pinned(&self, mut visit: impl FnMut(&Record, &Guard)) {
        self.context.attend();
        const STEP: usize = 1_024;
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor {
            let guard = reclaim::pin();
            cursor = self.table.walk(from, STEP, &guard, |record| {
                if !record.is_retired() {
                    visit(record, &guard);
                }
            });
        }
    }

    pub(crate) fn snapshot(&self, wanted: impl Fn(Key<'_>) -> bool) -> Vec<Status> {
        let mut seen = Vec::new();
        self.for_each(|record| {
            if wanted(record.key()) {
                seen.extend(record.status(&self.context));
            }
        });
        // A name that was registered again during the walk may have been met twice.
        seen.sort_by(|a, b| (&a.scope, &a.identifier).cmp(&(&b.scope, &b.identifier)));
        seen.dedup_by(|a, b| (&a.scope, &a.identifier) == (&b.scope, &b.identifier));
        seen
    }
}
