//! Saving and restoring all circuits of a manager.

use std::sync::Arc;

use super::Engine;
use crate::circuit::record::Record;
use crate::manager::waiting::Entry;
use crate::reclaim;
use crate::sys::atomic::modelled;
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::saved::{Save, Saved, Writer};

/// What became of a saved circuit.
enum Fate {
    Restored,
    /// It has changed since.
    LeftAlone,
    /// No connection of this name is registered.
    Unknown,
}

impl Engine {
    pub(crate) fn save(&self) -> Vec<u8> {
        // Rounded up: a change that is stamped later came later.
        let begun = self.context.clock.now_upper();
        let mut writer = Writer::new(self.context.clock.unix_ms(begun));
        self.for_each(|record| record.save(&self.context, begun, &mut writer));
        writer.finish()
    }

    /// How many of the circuits were restored, or wait for their registration.
    pub(crate) fn restore(&self, data: &[u8]) -> Result<usize, Error> {
        self.refuse_if_shut()?;
        let save = Save::parse(data)?;
        let mut count = 0;
        let mut unknown = Vec::new();
        for (saved, bytes) in save.circuits() {
            match self.restore_by_name(&saved, save.written) {
                Fate::Restored => count += 1,
                Fate::LeftAlone => {}
                Fate::Unknown => {
                    unknown.push(Arc::new(Entry::new(bytes, save.written)));
                }
            }
        }
        while !unknown.is_empty() {
            self.waiting.add(&unknown);
            let mut again = Vec::new();
            for entry in unknown {
                let saved = entry.saved();
                // It was registered meanwhile, and its thread may have found nothing.
                if !self.is_registered(saved.key) || !self.waiting.take(&entry) {
                    count += 1;
                    continue;
                }
                match self.restore_by_name(&saved, entry.written) {
                    Fate::Restored => count += 1,
                    Fate::LeftAlone => {}
                    // And removed.
                    Fate::Unknown => again.push(Arc::new(entry.again())),
                }
            }
            unknown = again;
        }
        Ok(count)
    }

    fn is_registered(&self, key: Key<'_>) -> bool {
        let guard = reclaim::pin();
        let record = self.table.get(self.context.hasher.hash(key), key, &guard);
        record.is_some_and(|record| !record.is_retired())
    }

    fn restore_by_name(&self, saved: &Saved<'_>, written: u64) -> Fate {
        let guard = reclaim::pin();
        let hash = self.context.hasher.hash(saved.key);
        let Some(record) = self.table.get(hash, saved.key, &guard) else {
            return Fate::Unknown;
        };
        let record = record.hold();
        drop(guard);
        match record.restore(&self.context, saved, written) {
            Ok(true) => Fate::Restored,
            Ok(false) => Fate::LeftAlone,
            Err(_) => Fate::Unknown,
        }
    }

    /// Restores what waits for a connection that was just registered.
    #[cold]
    pub(super) fn restore_registered(&self, record: &Record) {
        if let Some(entry) = self.waiting.take_by_name(record.key()) {
            // If the connection was removed meanwhile, this was its registration all the same.
            let _ = record.restore(&self.context, &entry.saved(), entry.written);
        }
    }
}

modelled! {
    impl Engine {
        pub(crate) fn has_waiting(&self) -> bool {
            self.waiting.has_any()
        }
    }
}
