//! How long a reported call has lasted, and whether that is too long.
//!
//! What the reporter gives goes before what was measured. A call is measured if it has a permit
//! that knows its start, which is where a setting asks for it ([`timing`]). What is too long is a
//! decision about the settings and a length of time; here it gets the two.
//!
//! [`timing`]: crate::values::timing

use std::time::Duration;

use super::super::{Record, Ticket};
use crate::circuit::context::Context;
use crate::values::settings::Settings;

impl Record {
    /// Whether a call that is given up now has lasted so long that it counts as a failure.
    pub(crate) fn is_overdue(&self, context: &Context, ticket: Ticket) -> bool {
        // First, since it needs no settings.
        if !ticket.has_start() {
            return false;
        }
        let settings = self.settings(context);
        let lasted = duration(context, &settings, Some(ticket), None);
        lasted.is_some_and(|lasted| settings.is_overdue(lasted))
    }
}

/// How long a call has lasted that is reported now, if that is known.
fn duration(
    context: &Context,
    settings: &Settings,
    ticket: Option<Ticket>,
    given: Option<Duration>,
) -> Option<Duration> {
    given.or_else(|| ticket?.elapsed(&context.clock, settings.timing()))
}
