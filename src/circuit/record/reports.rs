//! Reports: success, failure, ignored, cancelled.
//!
//! Like an admission, a report has a short way, which does one exchange at most (`try_…`), and a
//! long one. [`success`] and [`failure`] have a file each. What they share is here: whether a
//! permit still belongs to the state that the report finds, and what becomes of a probe's slot.

use super::{Record, Refusal, Ticket};
use crate::circuit::context::Context;
use crate::circuit::probe_slots::Claim;
use crate::sys::atomic::Ordering;
use crate::values::settings::Settings;
use crate::values::state::Word;

mod counting;
mod duration;
mod failure;
mod failure_total;
mod success;

impl Record {
    /// Counts a call as neither success nor failure, and gives a probe's slot back.
    pub(crate) fn ignored(&self, context: &Context, ticket: Ticket) -> Result<(), Refusal> {
        if self.is_retired() {
            return Err(Refusal::Gone);
        }
        // Relaxed: the count publishes nothing. It stops at its highest value.
        let count = |ignored: u32| ignored.checked_add(1);
        let _ = self
            .ignored
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        let now = context.clock.now();
        self.touch(now);
        self.settling(Some(ticket), || {
            let word = self.look(context, now)?.word;
            if !self.is_for_totals(Some(ticket)) {
                check(Some(ticket), word)?;
            }
            Ok(ProbeSlot::Released(()))
        })
    }

    /// Reports a call that its caller gave up: as ignored, or as a failure if it lasted as long as
    /// the settings say.
    pub(crate) fn cancelled(&self, context: &Context, ticket: Ticket) -> Result<(), Refusal> {
        match self.is_overdue(context, ticket) {
            true => self
                .failure(context, Some(ticket), &"cancelled".into())
                .map(drop),
            false => self.ignored(context, ticket),
        }
    }

    /// Runs `report`, and holds the probe's slot meanwhile. So a probe is reported once, and no
    /// other call takes the slot before the report has taken effect, unless the lease ends.
    fn settling<T>(
        &self,
        ticket: Option<Ticket>,
        report: impl FnOnce() -> Result<ProbeSlot<T>, Refusal>,
    ) -> Result<T, Refusal> {
        let Some(lease) = ticket.and_then(Ticket::lease) else {
            return report().map(ProbeSlot::answer);
        };
        match self.probes().claim(lease) {
            Claim::Held(lease) => {
                let answer = report();
                match answer {
                    Ok(ProbeSlot::Spent(_)) => self.probes().spend(lease),
                    _ => self.probes().free(lease),
                }
                answer.map(ProbeSlot::answer)
            }
            // The probe is late, and not lost: it counts if the circuit is still half-open.
            Claim::Late => report().map(ProbeSlot::answer),
            // While the circuit is disabled, no report is stale.
            Claim::Reported if self.is_disabled() => report().map(ProbeSlot::answer),
            Claim::Reported => Err(Refusal::Stale),
        }
    }
}

/// The answer to the reporter, and what becomes of the probe's slot.
enum ProbeSlot<T> {
    Released(T),
    /// The slots are a sample, and the report keeps its slot for good.
    Spent(T),
}

impl<T> ProbeSlot<T> {
    /// The answer to a report that counts.
    fn after(ticket: Option<Ticket>, settings: impl FnOnce() -> Settings, answer: T) -> Self {
        let is_spent =
            ticket.is_some_and(Ticket::is_probe) && settings().half_open_failure_rate.is_some();
        match is_spent {
            true => ProbeSlot::Spent(answer),
            false => ProbeSlot::Released(answer),
        }
    }

    fn answer(self) -> T {
        let (ProbeSlot::Released(answer) | ProbeSlot::Spent(answer)) = self;
        answer
    }
}

fn check(ticket: Option<Ticket>, word: Word) -> Result<(), Refusal> {
    let Some(ticket) = ticket else {
        return Ok(());
    };
    if ticket.is_for_totals() {
        return Err(Refusal::Stale);
    }
    // The state as well, since generations wrap.
    let is_its_state = match ticket.is_probe() {
        true => word.successes().is_some(),
        false => word.tally().is_some() || word.is_ramp(),
    };
    let is_its_generation = match ticket.generation() == word.generation() {
        // A permit of a ramp counts in the closed circuit directly after it, too.
        false => ticket.is_of_ramp() && ticket.generation().next() == word.generation(),
        true => true,
    };
    match is_its_generation && is_its_state {
        true => Ok(()),
        false => Err(Refusal::Stale),
    }
}
