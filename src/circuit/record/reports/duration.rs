//! How long a reported call has lasted, and whether that is too long.
//!
//! A duration that the reporter gives replaces the measured one. A call is measured if its permit
//! has a start, which it has if a setting asks for one ([`timing`]). The settings decide which
//! duration is too long.
//!
//! [`timing`]: crate::values::timing

use std::time::Duration;

use super::super::{Record, Ticket};
use crate::circuit::context::Context;
use crate::values::event::Report;
use crate::values::settings::Settings;
use crate::values::timing::Timing;

impl Record {
    /// Whether a call that is reported now counts as slow. A caller that needs one answer for one
    /// report asks once: time goes on.
    pub(super) fn is_slow(
        &self,
        context: &Context,
        settings: &Settings,
        ticket: Option<Ticket>,
        report: &Report<'_>,
    ) -> bool {
        // First, since it needs no clock.
        settings.slow_call_duration.is_some()
            && lasted(context, settings.timing(), ticket, report.duration)
                .is_some_and(|lasted| settings.is_slow(lasted))
    }

    /// Whether a call that is given up now has lasted so long that it counts as a failure.
    pub(crate) fn is_overdue(&self, context: &Context, ticket: Ticket) -> bool {
        // First, since it needs no settings.
        if !ticket.has_start() {
            return false;
        }
        let settings = self.settings(context);
        let lasted = lasted(context, settings.timing(), Some(ticket), None);
        lasted.is_some_and(|lasted| settings.is_overdue(lasted))
    }
}

/// How long a call that is reported now has lasted, if that is known.
pub(super) fn lasted(
    context: &Context,
    timing: Timing,
    ticket: Option<Ticket>,
    given: Option<Duration>,
) -> Option<Duration> {
    given.or_else(|| ticket?.elapsed(&context.clock, timing))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::circuit::record::{RecordRef, Registrant};
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;
    use crate::values::settings::ConnectionOptions;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A record of these settings, and whether it takes calls for slow.
    struct World {
        clock: ManualClock,
        context: Context,
        record: RecordRef,
    }

    impl World {
        fn new(options: ConnectionOptions) -> Self {
            let clock = ManualClock::new();
            let context = Context::alone(Clock::Manual(clock.clone()));
            let mut registrant = Registrant::new(&context, "db".into());
            registrant.with(&context, Some(options)).expect("valid");
            let [record, _] = RecordRef::new(&context, &mut registrant);
            World {
                clock,
                context,
                record,
            }
        }

        fn acquire(&self) -> Ticket {
            self.record.acquire(&self.context).expect("admitted")
        }

        fn is_slow(&self, ticket: Option<Ticket>, given: Option<Duration>) -> bool {
            let settings = self.record.settings(&self.context);
            let report = Report {
                duration: given,
                ..Report::NONE
            };
            self.record
                .is_slow(&self.context, &settings, ticket, &report)
        }
    }

    #[test]
    fn a_call_is_slow_as_it_was_measured_unless_a_duration_is_given() {
        for limit in [7, 700] {
            let world = World::new(ConnectionOptions::new().slow_call_duration(ms(limit)));
            for is_probe in [false, true] {
                if is_probe {
                    world.record.half_open(&world.context).expect("registered");
                }
                let ticket = Some(world.acquire());
                assert_eq!(ticket.is_some_and(Ticket::is_probe), is_probe);
                world.clock.advance(ms(limit - 1));
                assert!(!world.is_slow(ticket, None));
                assert!(world.is_slow(ticket, Some(ms(limit))));
                world.clock.advance(ms(1));
                assert!(world.is_slow(ticket, None));
                assert!(!world.is_slow(ticket, Some(ms(limit - 1))));
            }
            assert!(world.is_slow(None, Some(ms(limit))));
            assert!(!world.is_slow(None, Some(ms(limit - 1))));
            assert!(!world.is_slow(None, None), "it is not known");
        }
    }

    #[test]
    fn no_call_is_slow_where_no_setting_says_how_slow() {
        let world = World::new(ConnectionOptions::new().cancelled_after(ms(7)));
        let ticket = world.acquire();
        world.clock.advance(ms(60_000));
        assert!(!world.is_slow(Some(ticket), None));
        assert!(!world.is_slow(None, Some(Duration::MAX)));
        assert!(world.record.is_overdue(&world.context, ticket));
    }
}
