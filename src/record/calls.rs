//! What calls do: ask, pass, report.

use super::{Begun, Happening, Record, Refusal, Ticket, Wait, decide};
use crate::counter::reserve;
use crate::env::Env;
use crate::event::{Cause, EventMask, EventType, Report};
use crate::expiry;
use crate::state::{self, LAST_MOMENT, State, Word};
use crate::sync::Ordering;
use crate::trip::{self, Evidence};

const SUCCEEDED: EventMask = EventMask::of(EventType::Success);
const FAILED: EventMask = EventMask::of(EventType::Failure);
const REJECTED: EventMask = EventMask::of(EventType::CallRejected);
const PROBED: EventMask = EventMask::of(EventType::Probe);

impl Record {
    /// Whether a call may pass now.
    #[inline]
    pub(crate) fn available(&self, env: &Env) -> bool {
        let word = self.word_now();
        word.passes_freely() || self.available_unless_closed(env)
    }

    #[cold]
    fn available_unless_closed(&self, env: &Env) -> bool {
        env.attend();
        let word = self.word_at(env, env.clock.now());
        !word.is_retired() && word.state() != State::Open
    }

    /// The state as of now, or `Unknown` if the connection was removed.
    pub(crate) fn state(&self, env: &Env) -> State {
        let word = self.word_now();
        if word.passes_freely() {
            return State::Closed;
        }
        let word = self.word_at(env, env.clock.now());
        if word.is_retired() {
            State::Unknown
        } else {
            word.state()
        }
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.word_now().is_retired()
    }

    /// Admits a call, or says why not.
    #[inline]
    pub(crate) fn acquire(&self, env: &Env) -> Result<Ticket, Refusal> {
        match self.pass() {
            Some(ticket) => Ok(ticket),
            None => match self.reject_at_once(env) {
                Some(wait) => Err(Refusal::Rejected(wait.into())),
                None => self.acquire_unless_closed(env),
            },
        }
    }

    /// Admits a call to a closed circuit.
    #[inline]
    pub(crate) fn pass(&self) -> Option<Ticket> {
        let word = self.word_now();
        word.passes_freely().then(|| {
            self.mark_visited();
            Ticket::to_pass(word)
        })
    }

    /// Counts the rejection of an open circuit that nobody wants to hear of, or does
    /// nothing: then [`Record::acquire_unless_closed`] has to do it. In an outage this
    /// is what every call costs, so it answers in a register.
    #[inline(never)]
    pub(crate) fn reject_at_once(&self, env: &Env) -> Option<Wait> {
        self.reject_inline(env)
    }

    /// The same in the midst of the caller's code, for one that has something to do
    /// with the thread's own memory too: in a shared library finding that is a call.
    #[inline(always)]
    pub(crate) fn reject_inline(&self, env: &Env) -> Option<Wait> {
        env.attend();
        // The word first: what is not due later was not due then.
        let deadline = self.word_now().standing_deadline()?;
        if self.wants(REJECTED) {
            return None;
        }
        let cell = self.totals().own()?;
        let now = env.clock.now();
        if deadline <= now {
            return None;
        }
        cell.rejected();
        Some(Wait::until(deadline, now))
    }

    #[inline(never)]
    pub(crate) fn acquire_unless_closed(&self, env: &Env) -> Result<Ticket, Refusal> {
        env.attend();
        let now = env.clock.now();
        loop {
            let word = self.word_at(env, now);
            if word.is_retired() {
                return Err(Refusal::Gone);
            }
            let free_at = match word.deadline() {
                Some(deadline) => deadline,
                None if word.passes_freely() => return Ok(Ticket::to_pass(word)),
                None => match self.probe(env, word, now) {
                    Ok(Some(ticket)) => return Ok(ticket),
                    Ok(None) => continue,
                    Err(free_at) => free_at,
                },
            };
            if !self.totals().rejected() {
                want_cells(env);
            }
            if self.wants(REJECTED) {
                self.tell_unmoved(env, word, Happening::new(Cause::Rejected, now));
            }
            return Err(Refusal::Rejected(Wait::until(free_at, now).into()));
        }
    }

    /// Takes a probe's place under the half-open `word`: `None` if the word has
    /// changed meanwhile, or the moment when the first place is free again.
    fn probe(&self, env: &Env, word: Word, now: u64) -> Result<Option<Ticket>, u64> {
        let settings = self.settings(env);
        let lease = settings
            .probe_timeout_ms
            .unwrap_or_else(|| expiry::expiry_ms(&settings, word.trips()));
        let end = state::deadline(env.clock.now_upper(), lease).min(LAST_MOMENT);
        let taken =
            self.cold()
                .probes
                .take(word.generation(), settings.half_open_max_calls, now, end);
        // A place counts only in its generation; nobody is admitted to a
        // circuit that has opened meanwhile, nor rejected by one that has closed.
        if self.word_now().generation() != word.generation() {
            if let Ok(lease) = taken {
                self.cold().probes.free(lease);
            }
            return Ok(None);
        }
        let lease = taken?;
        self.touch(now);
        if self.wants(PROBED) {
            self.tell_unmoved(env, word, Happening::new(Cause::Probed, now));
        }
        Ok(Some(Ticket::of_lease(lease)))
    }

    /// Counts a success that changes nothing but the totals, or does nothing:
    /// then [`Record::success`] has to do it. What a healthy call costs is this
    /// and [`Record::pass`], so it lies in the midst of the caller's code. A ticket
    /// that owns something is always for the other way.
    #[inline(always)]
    pub(crate) fn succeed_with_permit(&self, env: &Env, ticket: Ticket) -> bool {
        self.word_now().is_spotless_at(ticket.place) && self.succeed_at_once(env)
    }

    /// The same for a report without a permit.
    #[inline(always)]
    pub(crate) fn succeed_without_permit(&self, env: &Env) -> bool {
        self.word_now().is_spotless() && self.succeed_at_once(env)
    }

    #[inline(always)]
    fn succeed_at_once(&self, env: &Env) -> bool {
        if self.wants(SUCCEEDED) {
            return false;
        }
        // The cell first, so that the cell alone has to outlast the clock's call.
        match self.totals().own() {
            Some(cell) => {
                cell.success(env.clock.tick());
                true
            }
            None => self.succeed_as_newcomer(env),
        }
    }

    #[cold]
    #[inline(never)]
    fn succeed_as_newcomer(&self, env: &Env) -> bool {
        self.count_success(env);
        true
    }

    /// Counts a success, and says when it was.
    #[inline]
    fn count_success(&self, env: &Env) -> u64 {
        let now = env.clock.tick();
        if !self.totals().success(now) {
            want_cells(env);
        }
        now.ms()
    }

    /// Counts a success.
    pub(crate) fn success(
        &self,
        env: &Env,
        ticket: Option<Ticket>,
        report: &Report<'_>,
    ) -> Result<(), Refusal> {
        if self.is_retired() {
            return Err(Refusal::Gone);
        }
        let now = self.count_success(env);
        let happening = Happening {
            report,
            ..Happening::new(Cause::Success, now)
        };
        let applied = self
            .settling(ticket, now, || {
                self.apply(env, now, |word| {
                    check(ticket, word)?;
                    let needed = match word.state() {
                        State::HalfOpen => self.settings(env).half_open_successes,
                        _ => 1,
                    };
                    self.cold().window.clear();
                    self.take_streak();
                    Ok(decide(word.succeeded(needed), ()))
                })
            })
            .inspect_err(|refusal| self.tell_stale(env, *refusal, happening))?;
        self.forget_streak();
        self.after(env, &applied, happening);
        Ok(())
    }

    /// Counts a failure and returns how many count now: in a row, or inside the
    /// window if there is one.
    pub(crate) fn failure(
        &self,
        env: &Env,
        ticket: Option<Ticket>,
        report: &Report<'_>,
    ) -> Result<u32, Refusal> {
        let begun = match ticket {
            Some(ticket) => self.fail_with_permit(env, ticket),
            None => self.fail_without_permit(env),
        };
        match begun {
            Begun::Done(count) => Ok(count as u32),
            _ => self.failure_that_matters(env, ticket, report, begun),
        }
    }

    /// Counts a failure that nobody wants to hear of and that does not open the
    /// circuit. Any other has to be gone on with by [`Record::failure_that_matters`].
    #[inline]
    pub(crate) fn fail_with_permit(&self, env: &Env, ticket: Ticket) -> Begun {
        self.fail_in_place(env, ticket.place)
    }

    #[inline(never)]
    fn fail_in_place(&self, env: &Env, place: u64) -> Begun {
        // A probe's ticket is of no closed circuit, whatever its generation.
        let mark = place & (Word::IMPOSSIBLE | Word::MARK);
        self.fail_at_once(env, |word| word.mark() == mark)
    }

    /// The same for a report without a permit.
    #[inline(never)]
    pub(crate) fn fail_without_permit(&self, env: &Env) -> Begun {
        self.fail_at_once(env, |_| true)
    }

    #[inline(always)]
    fn fail_at_once(&self, env: &Env, is_meant: impl Fn(Word) -> bool) -> Begun {
        if self.wants(FAILED) {
            return Begun::Not;
        }
        let limit = self.limit(env);
        let counted = |word: Word| word.failed_below(limit).filter(|_| is_meant(word));
        let mut word = self.word_now();
        let Some(mut next) = counted(word) else {
            return Begun::Not;
        };
        let now = env.clock.now();
        self.total_failure(now);
        loop {
            match self.swap(word, next) {
                Ok(()) => return Begun::Done(next.payload()),
                Err(current) => word = current,
            }
            match counted(word) {
                Some(again) => next = again,
                None => return Begun::Totalled(now),
            }
        }
    }

    /// A failure's place in the totals, before that in the word: nobody sees more
    /// failures in a row than failures.
    #[inline]
    fn total_failure(&self, now: u64) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        // Load first: a storm of failures falls into one millisecond.
        if self.last_failure.load(Ordering::Relaxed) <= now {
            self.last_failure.fetch_max(now + 1, Ordering::Relaxed);
        }
    }

    #[inline(never)]
    pub(crate) fn failure_that_matters(
        &self,
        env: &Env,
        ticket: Option<Ticket>,
        report: &Report<'_>,
        begun: Begun,
    ) -> Result<u32, Refusal> {
        let now = match begun {
            Begun::Done(count) => return Ok(count as u32),
            Begun::Totalled(now) => now,
            Begun::Not if self.is_retired() => return Err(Refusal::Gone),
            Begun::Not => {
                let now = env.clock.now();
                self.total_failure(now);
                now
            }
        };
        let happening = Happening {
            report,
            ..Happening::new(Cause::Failure, now)
        };
        self.settling(ticket, now, || self.count_failure(env, ticket, happening))
            .inspect_err(|refusal| self.tell_stale(env, *refusal, happening))
    }

    fn count_failure(
        &self,
        env: &Env,
        ticket: Option<Ticket>,
        happening: Happening<'_>,
    ) -> Result<u32, Refusal> {
        let settings = self.settings(env);
        let clock = || env.clock.now_exact();
        let mut recorded = None;
        let applied = self.apply(env, happening.now, |word| {
            check(ticket, word)?;
            // Recorded once, however often the word has to be tried; a success may
            // have cleared it by then. A report that becomes stale in between leaves
            // its time in the window.
            let in_window = settings.window_ms.and_then(|window| match recorded {
                Some(first) => Some(self.cold().window.count(window, clock).clamp(1, first)),
                None => {
                    recorded = self.cold().window.record(window, clock);
                    recorded
                }
            });
            let mut in_a_row = 0;
            let mut opening = None;
            let next = word.failed(
                |count| {
                    in_a_row = count;
                    let evidence = Evidence {
                        in_a_row,
                        in_window,
                    };
                    trip::asks_for_opening(&settings, evidence)
                },
                |trips| {
                    opening
                        .insert(self.opening(env, &settings, trips))
                        .deadline()
                },
            );
            Ok(decide(next, (in_a_row, in_window, opening)))
        })?;
        let (mut in_a_row, in_window, opening) = applied.answer;
        // Closed, the count went into the word; otherwise it is beside it.
        match (applied.before.state(), applied.after.state()) {
            (State::Closed, State::Closed) => {}
            (State::Closed, _) => {
                self.carry_out(in_a_row);
            }
            (State::Open, _) => in_a_row = self.add_to_streak(env, 1, happening.now),
            _ => in_a_row = self.carry_out(1),
        }
        let count = in_window.unwrap_or(in_a_row);
        let happening = Happening {
            failures: Some(count),
            ..happening
        };
        self.after_opening(env, &applied, happening, opening);
        Ok(count)
    }

    /// Gives a probe's place back: neither success nor failure.
    pub(crate) fn ignored(&self, env: &Env, ticket: Ticket) -> Result<(), Refusal> {
        if self.is_retired() {
            return Err(Refusal::Gone);
        }
        let now = env.clock.now();
        self.touch(now);
        self.settling(Some(ticket), now, || {
            let word = self.word_at(env, now);
            if word.is_retired() {
                return Err(Refusal::Gone);
            }
            check(Some(ticket), word)
        })
    }

    /// Runs a report. A probe's place is the report's alone from before until
    /// after: it can be reported once, and nobody else takes the place before
    /// the report has had its effect.
    fn settling<T>(
        &self,
        ticket: Option<Ticket>,
        now: u64,
        report: impl FnOnce() -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let Some(lease) = ticket.and_then(Ticket::lease) else {
            return report();
        };
        let lease = self.cold().probes.claim(lease, now).ok_or(Refusal::Stale)?;
        let answer = report();
        self.cold().probes.free(lease);
        answer
    }
}

/// A thread counts where others count, too: it is faster with a cell of its own.
#[cold]
fn want_cells(env: &Env) {
    // Without a driver nobody would come, and the call of another manager's thread
    // must not be taken for done.
    if env.bell.has_driver() && reserve::wants_refill() {
        env.bell.wake();
    }
}

fn check(ticket: Option<Ticket>, word: Word) -> Result<(), Refusal> {
    match ticket {
        Some(ticket) if ticket.generation() != word.generation() => Err(Refusal::Stale),
        _ => Ok(()),
    }
}
