//! When the call of a ticket began, and how long it has lasted.
//!
//! A ticket carries a start if a setting asks for it ([`timing`](crate::values::timing)). The bits
//! are those of the table in [`ticket`](super). A start says by which clock it was read, so that
//! the end is read by the same clock. Rejected: the exact clock for all calls, which is more
//! expensive.

use std::time::Duration;

use super::{KIND_SHIFT, PASS_PANICKING, Ticket};
use crate::sys::clock::{Clock, Micros};
use crate::values::timing::Timing;

// A ticket to pass has its start in the stamp, below the mark of a panic.
const COARSE: u64 = PASS_PANICKING >> 1;
const PASS_START: u64 = COARSE - 1;

// A ticket to probe has its start in the place.
const START_SHIFT: u32 = 17;
const START_MASK: u64 = (1 << (KIND_SHIFT - START_SHIFT)) - 1;

impl Ticket {
    /// The ticket with a start, which is now, if `timing` asks for one. Probes are few, so they
    /// always take the exact clock.
    pub(crate) fn starting(self, clock: &Clock, timing: Timing) -> Self {
        let Ticket { place, stamp } = self;
        if timing == Timing::None {
            return self;
        }
        if self.is_probe() {
            let start = clock.micros_upper().bits() + 1;
            let place = place | (start & START_MASK) << START_SHIFT;
            return Ticket { place, stamp };
        }
        let start = match timing {
            Timing::Coarse => COARSE | (clock.micros_coarse().bits() + 1),
            Timing::Exact | Timing::None => clock.micros_upper().bits() + 1,
        };
        Ticket {
            place,
            stamp: stamp | start,
        }
    }

    /// Whether the moment of its start is known.
    pub(crate) fn has_start(self) -> bool {
        self.start() != 0
    }

    /// The moment of the start, in µs + 1, or 0.
    fn start(self) -> u64 {
        match self.is_probe() {
            true => self.place >> START_SHIFT & START_MASK,
            false => self.stamp & PASS_START,
        }
    }

    /// How long the call has lasted. `None` if its start is not known. The length of a probe is
    /// right up to 12 days. With [`Timing::Exact`], the result is never longer than the call was,
    /// even if the settings have changed and the start is a coarse one: then it is shorter by as
    /// much as the coarse clock may lag.
    pub(crate) fn elapsed(self, clock: &Clock, timing: Timing) -> Option<Duration> {
        let start = self.start();
        if start == 0 {
            return None;
        }
        let since = |now: Micros| match self.is_probe() {
            false => (now.bits() + 1).saturating_sub(start),
            true => {
                // Modulo 2^41 µs, of which the upper half is below zero: the start was rounded up.
                let elapsed = (now.bits() + 1).wrapping_sub(start) & START_MASK;
                let is_below_zero = elapsed > START_MASK / 2;
                if is_below_zero { 0 } else { elapsed }
            }
        };
        let is_coarse = !self.is_probe() && self.stamp & COARSE != 0;
        let elapsed = |now| Duration::from_micros(since(now));
        Some(match (is_coarse, timing) {
            (false, _) => elapsed(clock.micros()),
            (true, Timing::Exact) => elapsed(clock.micros_coarse()).saturating_sub(clock.lag()),
            (true, Timing::Coarse | Timing::None) => elapsed(clock.micros_coarse()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::tickets;
    use super::*;
    use crate::sys::manual_clock::ManualClock;

    #[test]
    fn a_ticket_remembers_its_start() {
        let manual = ManualClock::new();
        let clock = Clock::Manual(manual.clone());
        for ticket in tickets() {
            let untimed = ticket.starting(&clock, Timing::None);
            assert_eq!(untimed.elapsed(&clock, Timing::Exact), None);
            assert!(!untimed.has_start());
            for timing in [Timing::Coarse, Timing::Exact] {
                let started = ticket.starting(&clock, timing).traced();
                let started = started.acquired_while_panicking();
                manual.advance(Duration::from_millis(4));
                for end in [Timing::None, Timing::Coarse, Timing::Exact] {
                    let elapsed = started.elapsed(&clock, end);
                    assert_eq!(
                        elapsed,
                        Some(Duration::from_millis(4)),
                        "{timing:?} {end:?}"
                    );
                }
                assert!(started.has_start());
                assert_eq!(started.lease(), ticket.lease());
            }
        }
    }

    /// By the coarse clock its length would be 0, or a tick.
    #[test]
    fn a_short_call_is_measured_to_the_microsecond() {
        let clock = Clock::system();
        for ticket in tickets() {
            let started = ticket.starting(&clock, Timing::Exact);
            let begun = clock.micros_upper().bits();
            let mut now = begun;
            while now < begun + 1_500 {
                now = clock.micros().bits();
            }
            let elapsed = started.elapsed(&clock, Timing::Exact).expect("started");
            assert!(elapsed >= Duration::from_micros(now - begun), "{elapsed:?}");
        }
    }

    /// With the machine's clock, whose coarse reading lags.
    #[test]
    fn no_call_is_taken_for_longer_than_it_was_where_that_matters() {
        let clock = Clock::system();
        for ticket in tickets() {
            for _ in 0..20_000 {
                let before = clock.micros();
                let started = ticket.starting(&clock, Timing::Exact);
                let elapsed = started.elapsed(&clock, Timing::Exact).expect("started");
                let most = clock.micros_upper().bits() - before.bits();
                assert!(elapsed <= Duration::from_micros(most), "{elapsed:?} {most}");
            }
        }
        // A start by the coarse clock, until a tick falls into the call.
        let [ticket, ..] = tickets();
        loop {
            let before = clock.micros();
            let started = ticket.starting(&clock, Timing::Coarse);
            let coarse = started.elapsed(&clock, Timing::Coarse).expect("started");
            let elapsed = started.elapsed(&clock, Timing::Exact).expect("started");
            let most = Duration::from_micros(clock.micros_upper().bits() - before.bits());
            assert!(elapsed <= most, "{elapsed:?} {most:?}");
            if coarse > most {
                break;
            }
        }
    }
}
