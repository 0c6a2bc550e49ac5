//! The removal of an idle connection: the cleanup's side, and that of threads that use it
//! meanwhile.
//!
//! A cleanup removes a connection that is idle and that no handle holds. It can check neither in
//! one step with the removal, which is an exchange of the word. So it takes three steps:
//!
//! 1. **Mark.** It reads the word, then the activity, and exchanges that word for a
//!    [departing](Word::departing) one. The mark changes no answer: the circuit stays closed, or
//!    half-open.
//! 2. **Check again**, after a [heavy barrier](Guard::meet_all): whether a reference holds the
//!    connection, and whether there was any activity since step 1.
//! 3. **Remove.** It exchanges the word that it has marked, and no other one, for a retired one.
//!
//! Every other thread that uses the connection takes the mark away ([`Record::stay`]) and goes on.
//! Questions (`available`, `state`, `status`) are no activity, and leave the mark. So no caller
//! waits for a cleanup. A cleanup that is stopped for good between two steps, as in the child of a
//! `fork`, leaves nothing that another thread would have to finish. The connection then stays at
//! least until the next cleanup.
//!
//! # Why nothing is lost
//!
//! - **What changes the word** (a failure, a change of state) makes the exchange of step 1 or 3
//!   fail, or finds the connection removed and goes on as with any removed one.
//! - **What holds a reference** (handles, control by name, reports that take the long way) takes it
//!   first, then a fence, and then reads the word ([`Record::hold`]). The cleanup marks the word
//!   and then counts. So the cleanup finds the reference, or the other side finds the mark. If
//!   the reference was given back before the cleanup counted, what was done through it is
//!   activity, which is asked for after that.
//! - **What does neither** (a success by name that changes no state, an admission by name) is the
//!   hot path, so its fence is on the cleanup's side. It leaves its count or its flag, passes a
//!   light barrier, and then reads the word once more ([`Record::stays`]). So the cleanup finds
//!   that trace, or the other side finds the mark.
//!
//! Activity is compared by counts as well as by times: several reports fall into one tick of the
//! coarse clock.
//!
//! # What was rejected
//!
//! - *A mark beside the count of references*: withdrawing the mark and removing the connection
//!   would be changes of two words. A control by name, which changes only the word, would be lost
//!   between them. And if the mark decided, a thread that meets it would have to finish the
//!   removal, or to loop until the cleanup does.
//! - *A reference for each success by name, or for each permit*: two read-modify-writes in the
//!   shortest operations there are.

use super::{Record, RecordRef};
use crate::circuit::context::Context;
use crate::reclaim::Guard;
use crate::sys::atomic::fence_after_rmw;
use crate::values::state::Word;

/// A connection that a cleanup is about to remove.
pub(crate) struct Departure {
    /// The word with the mark.
    word: Word,
    activity: Activity,
}

/// What was done with a connection so far.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Activity {
    /// Monotonic ms of the last one.
    last: u64,
    successes: u64,
    failures: u64,
}

// A cleanup.
impl Record {
    /// Marks the connection as departing if it has been idle for `threshold` ms and nothing keeps
    /// it. Returns `None` otherwise.
    pub(crate) fn begin_departure(
        &self,
        context: &Context,
        now: u64,
        threshold: u64,
    ) -> Option<Departure> {
        // First, so that the exchange below fails if the word changes meanwhile.
        let word = self.word_at(context, now);
        let activity = self.activity(now);
        if word.is_retired()
            || now.saturating_sub(activity.last) < threshold.saturating_add(context.longest_lag())
            || self.is_busy(word, now)
            || self.is_held()
        {
            return None;
        }
        let departing = word.departing();
        self.swap(word, departing).then_some(Departure {
            word: departing,
            activity,
        })
    }

    /// Removes the connection, unless something has happened since it was marked. The caller has
    /// [met all threads](Guard::meet_all) since then. Returns whether it removed the connection.
    pub(crate) fn depart(&self, context: &Context, now: u64, departure: &Departure) -> bool {
        // First the references, then the activity: what was done through a reference that was given
        // back before is activity now.
        if self.is_held()
            || self.activity(now) != departure.activity
            || self.is_busy(departure.word, now)
        {
            self.stay(context);
            return false;
        }
        let failures = self.count(departure.word);
        self.swap(departure.word, departure.word.retired(failures))
    }

    /// The activity so far. An admission that has not reported yet leaves only a mark, which counts
    /// as activity now.
    fn activity(&self, now: u64) -> Activity {
        let last = self.last_activity(now);
        let sums = self.totals().sum();
        Activity {
            last,
            successes: sums.successes,
            failures: sums.failures,
        }
    }

    /// Whether the circuit is in a state that lasts by itself: open with time still to run or
    /// held open by hand, or half-open with a ramp or with a probe whose lease still runs.
    fn is_busy(&self, word: Word, now: u64) -> bool {
        word.deadline().is_some()
            || word.is_ramp()
            || word.successes().is_some()
                && self.probes().last_end(word.generation(), now).is_some()
    }
}

// All other threads.
impl Record {
    /// One more reference, for a handle or an operation. From now on no cleanup removes the
    /// connection, if the word that the caller reads next is not retired.
    #[inline]
    pub(crate) fn hold(&self) -> RecordRef {
        let held = self.share();
        // ORDERING: SeqCst, partner of `Guard::meet_all` between the mark and `depart`: either the
        // cleanup there finds this reference, or this thread finds the mark.
        fence_after_rmw();
        held
    }

    /// [`Record::hold`], for callers that do nothing else. None if the connection was removed.
    pub(crate) fn hold_if_there(&self, context: &Context) -> Option<RecordRef> {
        let held = self.hold();
        self.keep(context).then_some(held)
    }

    /// Whether the connection is still there, after an operation that left its trace without a
    /// reference and without a change of the word. If not, a cleanup may have missed that trace.
    #[inline]
    pub(crate) fn stays(&self, context: &Context, guard: &Guard) -> bool {
        // ORDERING: partner of `Guard::meet_all` between the mark and `depart`: either the cleanup
        // there finds the trace, or this thread finds the mark.
        guard.meet_few();
        self.word_now().is_settled() || self.keep(context)
    }

    #[cold]
    #[inline(never)]
    fn keep(&self, context: &Context) -> bool {
        self.stay(context);
        !self.is_retired()
    }

    /// Takes the mark of a cleanup away.
    #[cold]
    pub(super) fn stay(&self, context: &Context) {
        loop {
            let word = self.word_now();
            if !word.is_departing() {
                return;
            }
            let version = context.version();
            let watched = self.settings(context).is_watched();
            if self.swap(word, word.staying(watched)) {
                // ORDERING: SeqCst, partner of the fence in `Engine::configure`: either the
                // walk there finds this word, or this thread the new version.
                fence_after_rmw();
                if context.version() != version {
                    self.watch(context);
                }
                return;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::circuit::record::Registrant;
    use crate::sys::clock::{Clock, LONGEST_LAG};
    use crate::sys::manual_clock::ManualClock;
    use crate::sys::tick_word::Ticks;
    use crate::values::event::Report;

    /// The starved ticker dates the calls a minute back.
    ///
    /// Mutation: `a-cleanup-that-trusts-the-tick-word`.
    #[test]
    fn a_starved_ticker_removes_no_connection_that_is_in_use() {
        const THRESHOLD: u64 = 30_000;
        let clock = ManualClock::new();
        let mut context = Context::alone(Clock::Manual(clock.clone()));
        context.ticks = Ticks::of_a_test();
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        let departs = || {
            let departure = record.begin_departure(&context, context.clock.now(), THRESHOLD);
            departure.is_some()
        };
        context.ticks.want_ticker(context.clock.tick());
        let starved = context.ticks.begin(|| context.clock.tick());
        assert!(starved.is_some());
        while !record.try_success_without_permit(&context) {
            let success = record.success(&context, None, &Report::NONE);
            success.expect("there");
        }
        clock.advance(Duration::from_millis(2 * THRESHOLD));
        assert!(record.try_success_without_permit(&context));
        assert!(!departs());
        clock.advance(Duration::from_millis(THRESHOLD));
        assert!(!departs(), "it may have been in use until then");
        clock.advance(Duration::from_millis(2 * LONGEST_LAG));
        assert!(departs());
    }
}
