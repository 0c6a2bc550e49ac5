//! What a connection has of its own, and what is in effect for it.
//!
//! The settings in effect are the global ones under those of its own, resolved when
//! somebody asks: two loads of shared pointers and a dozen fields. A failure asks
//! for one thing only, how many in a row open the circuit, so the record remembers
//! that together with the version of the settings that it was learned from. Every
//! change of any settings makes a new version, and so whatever is remembered of the
//! old ones is void.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Record;
use crate::config::{MAX_WINDOW_ATTEMPTS, Metadata, Overrides, Settings, UNLIMITED};
use crate::env::Env;
use crate::sync::Ordering;
use crate::trip;

/// What a connection has of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    pub(crate) overrides: Overrides,
    pub(crate) metadata: Metadata,
}

impl Record {
    pub(crate) fn profile(&self) -> &ArcSwapOption<Profile> {
        &self.profile
    }

    pub(crate) fn settings(&self, env: &Env) -> Settings {
        let profile = self.profile.load();
        env.settings(profile.as_deref().map(|profile| &profile.overrides))
    }

    /// Failures in a row that open the circuit, if that is all there is to ask.
    #[inline]
    pub(super) fn limit(&self, env: &Env) -> u32 {
        let version = env.version();
        let known = self.limit.load(Ordering::Relaxed);
        if known >> 32 == u64::from(version) {
            return known as u32;
        }
        self.learn_limit(env, version)
    }

    #[cold]
    fn learn_limit(&self, env: &Env, version: u32) -> u32 {
        self.note_limit(version, &self.settings(env))
    }

    /// Remembers what `settings` say, which were loaded after the version and so are
    /// at least as new. Whoever knows less may overwrite it; then it is learned once
    /// more.
    pub(super) fn note_limit(&self, version: u32, settings: &Settings) -> u32 {
        let limit = trip::limit(settings).unwrap_or(0);
        self.limit.store(
            u64::from(version) << 32 | u64::from(limit),
            Ordering::Relaxed,
        );
        limit
    }

    /// Allocates what these settings need, so that no report has to.
    pub(crate) fn make_room(&self, settings: &Settings) {
        self.cold().probes.reserve(settings.half_open_max_calls);
        if settings.window_ms.is_some() {
            // An unlimited circuit counts for the status only.
            let exact = settings.max_attempts.min(MAX_WINDOW_ATTEMPTS);
            let unlimited = settings.max_attempts == UNLIMITED;
            self.cold()
                .window
                .reserve(if unlimited { 1_024 } else { exact });
        }
    }
}

/// The pointer's own drop would look for readers in every thread's list. There are
/// none: whoever reads the profile has a reference to its record.
impl Drop for Record {
    fn drop(&mut self) {
        if let Some(profile) = self.profile.load_full() {
            // SAFETY: this is the reference that `self.profile` holds, which is not
            // dropped and not used any more; `profile` is another one.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&profile)) };
        }
    }
}
