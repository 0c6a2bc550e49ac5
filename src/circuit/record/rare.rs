//! What few connections need: allocated once, when settings ask for it, and kept.

use super::Record;
use super::rates::Rates;
use crate::circuit::probe_slots::{MoreProbes, Probes};
use crate::structures::replaceable::Replaceable;
use crate::structures::sliding_window::Window;
use crate::values::settings::{MAX_WINDOW_ATTEMPTS, Settings, UNLIMITED};
use crate::values::tally::Position;

pub(super) struct Rare {
    /// Slots for probes beyond the first.
    probes: MoreProbes,
    /// The times of failures.
    pub(super) window: Window,
    /// What rates are made of.
    pub(super) rates: Replaceable<Rates>,
}

impl Record {
    pub(super) fn probes(&self) -> Probes<'_> {
        let cold = self.cold();
        Probes::new(&cold.probe, cold.rare.get().map(|rare| &rare.probes))
    }

    /// The times of failures, if settings ever asked for them.
    pub(super) fn window(&self) -> Option<&Window> {
        let window = &self.cold().rare.get()?.window;
        window.is_reserved().then_some(window)
    }

    /// Whether [`Record::make_room`] allocates nothing for these settings.
    pub(crate) fn has_room(settings: &Settings) -> bool {
        settings.half_open_max_calls <= Probes::INLINE
            && settings.window.is_none()
            && settings.rate_shape().is_none()
    }

    pub(super) fn rare(&self) -> &Rare {
        self.cold().rare.get_or_make(|| Rare {
            probes: MoreProbes::new(),
            window: Window::new(),
            rates: Replaceable::new(),
        })
    }

    /// Allocates what these settings need, so that no report has to.
    pub(crate) fn make_room(&self, settings: &Settings) {
        if Record::has_room(settings) {
            return;
        }
        let rare = self.rare();
        rare.probes.reserve(settings.half_open_max_calls);
        if settings.window.is_some() {
            // An unlimited circuit counts for the status only.
            let failures = match settings.max_attempts {
                UNLIMITED => 1_024,
                attempts => attempts.min(MAX_WINDOW_ATTEMPTS),
            };
            let seen = self.seen();
            let timed = seen.parked.tally(seen.word).timed();
            let next = timed.map_or(Position::ZERO, |timed| timed.next);
            rare.window.reserve(failures, next);
        }
    }
}
