//! What few connections need: allocated once, when settings or a reason need it, and kept.
//!
//! A thread that changes settings may allocate. A thread that reports may not: for its reason it
//! takes a block that lies ready ([`reserve`](crate::structures::reserve)). If there is none, the
//! reason is lost.

use super::Record;
use super::rates::Rates;
use super::why::Reasons;
use crate::circuit::context::Context;
use crate::circuit::probe_slots::{MoreProbes, Probes};
use crate::structures::replaceable::Replaceable;
use crate::structures::reserve::Stock;
use crate::structures::sliding_window::Window;
use crate::sys::atomic::AtomicU64;
use crate::values::mode::Mode;
use crate::values::settings::{MAX_WINDOW_ATTEMPTS, Settings, UNLIMITED};
use crate::values::tally::Position;

pub(super) struct Rare {
    /// Slots for probes beyond the first.
    probes: MoreProbes,
    /// The times of failures.
    pub(super) window: Window,
    /// The evidence of the rates.
    pub(super) rates: Replaceable<Rates>,
    pub(super) reasons: Reasons,
    /// Calls that a circuit in shadow mode would have rejected.
    pub(super) would_reject: AtomicU64,
}

/// Ready blocks, for connections that get their first reason in a report.
static READY: Stock<Rare> = Stock::new(|| Box::new(Rare::new()));

/// Allocates new blocks for those that reports have taken. Called where time does not matter.
pub(crate) fn refill() {
    READY.refill();
}

impl Rare {
    fn new() -> Self {
        Rare {
            probes: MoreProbes::new(),
            window: Window::new(),
            rates: Replaceable::new(),
            reasons: Reasons::new(),
            would_reject: AtomicU64::new(0),
        }
    }
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

    /// Where reasons are kept, if that was allocated.
    pub(super) fn reasons(&self) -> Option<&Reasons> {
        Some(&self.cold().rare.get()?.reasons)
    }

    /// Makes the place where reasons are kept.
    #[cfg(test)]
    pub(crate) fn make_reasons(&self) {
        self.cold().rare.get_or_make(Rare::new);
    }

    /// Where reasons are kept, for a report. Allocates nothing. `None` if no block lies ready; then
    /// the driver allocates some.
    pub(super) fn try_reasons(&self, context: &Context) -> Option<&Reasons> {
        if let Some(reasons) = self.reasons() {
            return Some(reasons);
        }
        let Some(fresh) = READY.take() else {
            context.want(&READY);
            return None;
        };
        let published = self.cold().rare.publish(fresh);
        let rare = published.unwrap_or_else(|(theirs, fresh)| {
            READY.give_back(fresh);
            theirs
        });
        Some(&rare.reasons)
    }

    /// Whether [`Record::make_room`] allocates nothing for these settings.
    pub(crate) fn has_room(settings: &Settings) -> bool {
        settings.half_open_max_calls <= Probes::INLINE
            && settings.window.is_none()
            && settings.rate_shape().is_none()
            && settings.mode != Mode::Shadow
    }

    pub(super) fn rare(&self) -> &Rare {
        self.cold().rare.get_or_make(Rare::new)
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
