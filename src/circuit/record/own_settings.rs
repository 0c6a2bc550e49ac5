//! A connection's own settings and metadata, and the settings in effect for it.
//!
//! The settings in effect are the connection's own, and the global ones where it has none. They are
//! resolved when a thread asks, which takes two loads of shared pointers and a dozen fields. A
//! failure needs only one setting: how many failures in a row open the circuit. So the record
//! caches that, with the version of the settings that it was learned from. Every change of any
//! settings makes a new version, so what was cached before it is void.

use std::sync::Arc;

use super::Record;
use crate::circuit::context::Context;
use crate::sys::atomic::Ordering;
use crate::values::settings::{Metadata, Overrides, Settings};
use crate::values::tally::Tally;
use crate::values::timing::Timing;
use crate::values::trip_rule;

/// In a record's flags: the record has a [`Profile`], or is about to get one.
pub(super) const HAS_PROFILE: u32 = 1 << 19;

/// A connection's own settings and metadata.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    pub(crate) overrides: Overrides,
    pub(crate) metadata: Metadata,
}

/// How many failures in a row open a circuit, whether successes keep them, how calls are measured,
/// and as of which version of the settings:
/// `version << 32 | keeps << 31 | timing << 29 | failures`. 0 failures: failures in a row alone do
/// not decide. [`Tally::SMALL`] plus one: so many or more, which are counted the long way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(u64);

/// In a [`Limit`]: a success leaves the failures that count.
const KEEPS: u64 = 1 << 31;

const TIMING_SHIFT: u32 = 29;
const TIMING_MASK: u64 = 3;
const FAILURES: u64 = (1 << TIMING_SHIFT) - 1;

const _: () = assert!((Tally::SMALL as u64) < FAILURES);

impl Limit {
    pub(crate) fn from_bits(bits: u64) -> Self {
        Limit(bits)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The limit of no version: versions begin with 1.
    pub(crate) const UNKNOWN: Limit = Limit(0);

    pub(crate) fn of(version: u32, settings: &Settings) -> Self {
        // More are counted the long way.
        let failures = trip_rule::limit(settings)
            .unwrap_or(0)
            .min(Tally::SMALL + 1);
        let keeps = if settings.keeps_failures() { KEEPS } else { 0 };
        let timing = (settings.timing() as u64) << TIMING_SHIFT;
        Limit(u64::from(version) << 32 | keeps | timing | u64::from(failures))
    }

    /// The limit without a number of failures: failures in a row alone do not decide.
    fn without_failures(self) -> Self {
        Limit(self.0 & !FAILURES)
    }

    #[inline]
    pub(crate) fn is_of(self, version: u32) -> bool {
        self.0 >> 32 == u64::from(version)
    }

    #[inline]
    fn failures(self) -> u32 {
        (self.0 & FAILURES) as u32
    }

    fn keeps(self) -> bool {
        self.0 & KEEPS != 0
    }

    fn timing(self) -> Timing {
        const NONE: u64 = Timing::None as u64;
        const COARSE: u64 = Timing::Coarse as u64;
        match self.0 >> TIMING_SHIFT & TIMING_MASK {
            NONE => Timing::None,
            COARSE => Timing::Coarse,
            _ => Timing::Exact,
        }
    }
}

impl Record {
    /// What the connection has of its own.
    pub(crate) fn profile(&self) -> Option<Arc<Profile>> {
        self.may_have_profile().then(|| self.profile.load_full())?
    }

    /// False if the connection has no profile, as most have none. A flag beside the word says so.
    /// Once set, the flag stays.
    fn may_have_profile(&self) -> bool {
        // Relaxed: the flag is set before the pointer. What makes a thread see the pointer makes it
        // see the flag.
        self.has_flag(HAS_PROFILE)
    }

    /// Replaces the profile `current` by `next`. Returns false if the connection has another
    /// profile by now.
    pub(crate) fn replace_profile(
        &self,
        current: &Option<Arc<Profile>>,
        next: Arc<Profile>,
    ) -> bool {
        self.flags.fetch_or(HAS_PROFILE, Ordering::Relaxed);
        let previous = self.profile.compare_and_swap(current, Some(next));
        match (&*previous, current) {
            (None, None) => true,
            (Some(previous), Some(current)) => Arc::ptr_eq(previous, current),
            _ => false,
        }
    }

    pub(crate) fn settings(&self, context: &Context) -> Settings {
        let profile = self.profile();
        context.settings(profile.as_deref().map(|profile| &profile.overrides))
    }

    /// Brings up to date what depends on the settings in effect: the memory that they need, what is
    /// kept for rates, whether calls are watched, and the mode. The thread that has changed
    /// settings does this afterwards, for all records concerned. May allocate.
    pub(crate) fn follow_settings(&self, context: &Context) {
        self.make_room(&self.settings(context));
        self.fit_rates(context);
        self.watch(context);
        // Last: if it ends *disabled*, the evidence begins in the block of these settings.
        self.adopt_mode(context);
    }

    /// How many failures in a row open the circuit; 0 if failures in a row alone do not decide.
    pub(super) fn limit(&self, context: &Context) -> u32 {
        self.limit_now(context).failures()
    }

    /// [`Record::limit`], if it was learned from the present settings.
    #[inline]
    pub(super) fn known_limit(&self, context: &Context) -> Option<u32> {
        let version = context.version();
        let known = Limit(self.limit.load(Ordering::Relaxed));
        known.is_of(version).then(|| known.failures())
    }

    /// Whether a success leaves the failures that count.
    pub(super) fn keeps_failures(&self, context: &Context) -> bool {
        self.limit_now(context).keeps()
    }

    /// How calls are measured.
    pub(super) fn timing(&self, context: &Context) -> Timing {
        self.limit_now(context).timing()
    }

    #[inline]
    fn limit_now(&self, context: &Context) -> Limit {
        let version = context.version();
        let known = Limit(self.limit.load(Ordering::Relaxed));
        if known.is_of(version) {
            return known;
        }
        self.learn_limit(context, version)
    }

    #[cold]
    fn learn_limit(&self, context: &Context, version: u32) -> Limit {
        self.note_limit(version, &self.settings(context))
    }

    /// Caches the limit of `settings`, which were loaded after the version and so are at least as
    /// new. A thread that knows an older version may overwrite the limit; then it is learned once
    /// more.
    fn note_limit(&self, version: u32, settings: &Settings) -> Limit {
        let limit = Limit::of(version, settings);
        let limit = match self.window() {
            // The short way gives failures no times. The window was there before this version.
            Some(_) => limit.without_failures(),
            None => limit,
        };
        self.limit.store(limit.0, Ordering::Relaxed);
        limit
    }
}

/// The drop of `ArcSwapOption` would look for readers in every thread's list. There are none: a
/// thread that reads the profile has a reference to its record, or is pinned.
impl Drop for Record {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.may_have_profile() {
            return;
        }
        self.drop_profile();
    }
}

impl Record {
    #[cold]
    #[inline(never)]
    fn drop_profile(&self) {
        if let Some(profile) = self.profile.load_full() {
            // SAFETY: only the drop of the record calls this. This is the reference that
            // `self.profile` holds, which is in a `ManuallyDrop` and not used any more; `profile`
            // is another one.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&profile)) };
        }
    }
}
