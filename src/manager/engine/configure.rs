//! Settings that change at run time: of the manager, and of one connection.
//!
//! Room comes first, then the settings, then their number, so that no report finds settings for which
//! its record has no room. Then each record that is concerned is brought up to date.

use std::sync::Arc;

use super::Engine;
use crate::circuit::record::{Profile, Record, Refusal};
use crate::sys::atomic::{Ordering, fence};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::settings::{Config, ConnectionOptions, Overrides};

impl Engine {
    pub(crate) fn configure(&self, config: &Config) -> Result<(), Error> {
        self.refuse_if_shut()?;
        loop {
            let current = self.context.global.load();
            let next = Arc::new(current.updated_by(config)?);
            // Room first, so that no report finds settings it has no room for.
            self.make_room_everywhere(config, &next.overrides);
            let previous = self
                .context
                .global
                .compare_and_swap(&*current, next.clone());
            if Arc::ptr_eq(&previous, &current) {
                self.context.next_version();
                // ORDERING: SeqCst, partner of the fences in `configure_record`, `register` and the
                // record's `finish_closing`, `watch`, `adopt_mode` and `keep`: either the walk
                // finds their change, or they find the new version.
                fence(Ordering::SeqCst);
                if config.changes.concern_records() {
                    self.for_each(|record| record.follow_settings(&self.context));
                }
                self.context.waker.wake();
                return Ok(());
            }
        }
    }

    fn make_room_everywhere(&self, config: &Config, global: &Overrides) {
        if !config.changes.concern_room() {
            return;
        }
        self.for_each(|record| {
            let profile = record.profile();
            let own = profile.as_deref().map(|profile| &profile.overrides);
            record.make_room(&Overrides::resolve(own, global));
        });
    }

    pub(crate) fn configure_by_name(
        &self,
        key: Key<'_>,
        options: &ConnectionOptions,
    ) -> Result<(), Error> {
        options.validate_for_existing()?;
        let global = self.context.global.load_full();
        let record = match self.find(key) {
            Err(Error::NotFound(_)) if global.housekeeping.auto_register() => {
                // Validated first: an invalid call changes nothing.
                options.applied_to(&Overrides::NONE, &global.overrides)?;
                self.get_or_register(key, &ConnectionOptions::new())?
            }
            found => found?,
        };
        self.configure_record(&record, options)
    }

    pub(crate) fn configure_record(
        &self,
        record: &Record,
        options: &ConnectionOptions,
    ) -> Result<(), Error> {
        if record.is_retired() {
            return Err(self.error(Refusal::Gone, record));
        }
        options.validate_for_existing()?;
        loop {
            let current = record.profile();
            let before = current.as_deref().cloned().unwrap_or_default();
            let global = self.context.global.load_full();
            let overrides = options.applied_to(&before.overrides, &global.overrides)?;
            record.make_room(&Overrides::resolve(Some(&overrides), &global.overrides));
            let next = Arc::new(Profile {
                overrides,
                metadata: options.metadata.clone().unwrap_or(before.metadata),
            });
            if record.replace_profile(&current, next) {
                self.context.next_version();
                // ORDERING: SeqCst, partner of the fences in `configure` and the record's
                // `finish_closing`, `watch` and `keep`: either the walk there sees these
                // settings, or this thread the new global ones.
                fence(Ordering::SeqCst);
                record.follow_settings(&self.context);
                record.touch_now(&self.context);
                return Ok(());
            }
        }
    }
}
