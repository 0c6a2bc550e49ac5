//! Admission: whether a call may pass.
//!
//! Each operation has two ways. The short one is for what changes no state and what no
//! subscriber wants to hear of. It is inlined, and declines everything else (`try_…`). The long one
//! can do everything.
//!
//! The coarse clock lags behind the exact one by some ms. Close to a deadline the exact clock is
//! read, so that a caller who waited as long as it was asked to is admitted.
//!
//! The lag matters after an opening, too: by a clock that was read, or that last moved, before the
//! circuit opened, the wait until its deadline is longer than the opening. So a thread that opens a
//! circuit first notes the moment, and then exchanges the word. The noted moment only goes forward.
//! The short way of a rejection reads the word and then that moment, and declines if its clock
//! shows less. The long way reads how long the opening was to last, or an exact clock
//! ([`Record::wait`]). Rejected: a flag that the first rejection clears when the clock has moved. A
//! rejection of an earlier opening would clear it as well.

use super::mode::MODES;
use super::notify::UNKNOWN;
use super::ticket::Answer;
use super::{Happening, Record, Refusal, Refused, Ticket};
use crate::circuit::context::Context;
use crate::circuit::probe_slots::{Capacity, NoSlot};
use crate::structures::striped_counter;
use crate::sys::atomic::Ordering;
use crate::sys::clock::{LAST_MOMENT, LONGEST_LAG};
use crate::sys::fork;
use crate::values::event::{EventMask, EventType, Occurrence};
use crate::values::expiry;
use crate::values::mode::Mode;
use crate::values::state::{self, State, Word};

const REJECTED: EventMask = EventMask::of(EventType::CallRejected);
const PROBED: EventMask = EventMask::of(EventType::Probe);

/// A default lease is at least this long, in ms: a dependency that answers slowly when
/// it is well must be able to close its circuit.
const SHORTEST_LEASE: u64 = 1_000;

/// No clock lags by so many ms, 12 days.
const LONG_AGO: u32 = 1 << 30;

/// How many ms before a deadline the exact clock is read.
const NEAR: u64 = LONGEST_LAG;

impl Record {
    /// Whether a call may pass now.
    #[inline]
    pub(crate) fn available(&self, context: &Context) -> bool {
        let word = self.word_now();
        word.passes_freely() || self.available_unless_closed(context)
    }

    #[cold]
    fn available_unless_closed(&self, context: &Context) -> bool {
        context.attend();
        let (mode, word) = self.in_one_mode(|| self.word_for_question(context));
        !word.is_retired() && (word.state() != State::Open || mode != Mode::Normal)
    }

    /// The state as of now, or `Unknown` if the connection was removed.
    pub(crate) fn state(&self, context: &Context) -> State {
        let word = self.word_now();
        if word.passes_freely() {
            return State::Closed;
        }
        let (mode, word) = self.in_one_mode(|| self.word_for_question(context));
        word.state().in_mode(mode)
    }

    /// The word as of now, for a question: close to a deadline by the exact clock.
    fn word_for_question(&self, context: &Context) -> Word {
        let now = context.clock.now();
        let due = self.word_now().due_at();
        self.word_asked_at(context, exact_near(context, now, due))
    }

    /// The word, if the circuit is half-open as of now.
    pub(crate) fn half_open_word(&self, context: &Context) -> Option<Word> {
        let word = self.word_for_question(context);
        word.is_half_open().then_some(word)
    }

    /// The ticket of a call that rides on another call under this word.
    pub(crate) fn ticket_to_ride(&self, context: &Context, word: Word) -> Ticket {
        let timing = self.timing(context);
        let ticket = Ticket::to_pass(word).starting(&context.clock, timing);
        match std::thread::panicking() {
            true => ticket.acquired_while_panicking(),
            false => ticket,
        }
    }

    /// The refusal of a circuit that is open by now and stays so for a while; `None` if that
    /// takes more than a look. Counts nothing.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn refusal_while_open(&self, context: &Context) -> Option<Refused> {
        let word = self.word_now();
        if !word.is_open() || fork::incarnation() != 0 || self.lets_all_pass() {
            return None;
        }
        self.try_refuse(word, context.clock.now())
    }

    /// Why a call would not be admitted now. Counts nothing.
    #[cfg(feature = "capi")]
    pub(crate) fn why_unavailable(&self, context: &Context) -> Option<Refusal> {
        let word = self.word_for_question(context);
        if word.is_retired() {
            return Some(Refusal::Gone);
        }
        let deadline = word.deadline().filter(|_| !self.lets_all_pass())?;
        let now = exact_near(context, context.clock.now(), Some(deadline));
        let refused = Refused::waiting(deadline, self.wait(context, word, now));
        Some(Refusal::Rejected(refused))
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.word_now().is_retired()
    }

    /// Admits a call, or says why not.
    #[inline]
    pub(crate) fn acquire(&self, context: &Context) -> Result<Ticket, Refusal> {
        let word = self.word_now();
        if let Some(ticket) = Record::try_pass_by(word) {
            return Ok(ticket);
        }
        if word.is_open()
            && let Some(refused) = self.try_reject(context, word)
        {
            return Err(Refusal::Rejected(refused));
        }
        self.acquire_unless_closed(context)
    }

    /// [`Record::acquire`] for a permit, which remembers whether its thread is panicking. Returns
    /// in registers: if the answer went through memory here, the permits of healthy calls would,
    /// too.
    #[inline(never)]
    pub(crate) fn acquire_for_permit(&self, context: &Context) -> Answer {
        let ticket = self.acquire(context);
        match std::thread::panicking() {
            true => ticket.map(Ticket::acquired_while_panicking).into(),
            false => ticket.into(),
        }
    }

    /// Admits a call to a closed circuit. `None` if it is not closed, or is watched.
    #[inline]
    pub(crate) fn try_pass(&self) -> Option<Ticket> {
        Record::try_pass_by(self.word_now())
    }

    /// Admits a call to a closed circuit, watched or not. `None` if it is not closed.
    #[inline]
    pub(crate) fn pass(&self, context: &Context) -> Option<Ticket> {
        let word = self.word_now();
        Record::try_pass_by(word).or_else(|| self.pass_watched(context, word))
    }

    #[inline(never)]
    fn pass_watched(&self, context: &Context, word: Word) -> Option<Ticket> {
        context.attend();
        word.is_watched()
            .then(|| self.pass_with_start(context, word))
    }

    /// [`Record::try_pass`] by a word that was just read.
    #[inline]
    pub(crate) fn try_pass_by(word: Word) -> Option<Ticket> {
        // Spotless first: such a word is its own mark.
        if word.is_spotless() {
            return Some(Ticket::at_spotless(word));
        }
        word.passes_freely().then(|| Ticket::to_pass(word))
    }

    /// Counts a rejection by a circuit that is open in this word. Returns `None` if there is more
    /// to do: for example, a subscriber wants the event, the mode is not normal, or the deadline is
    /// near. Then continue with [`Record::acquire_unless_closed`]. In an outage every call comes
    /// here, so this returns in registers.
    #[inline(never)]
    pub(crate) fn try_reject(&self, context: &Context, word: Word) -> Option<Refused> {
        self.try_reject_inline(context, word)
    }

    /// [`Record::try_reject`] by the present word. Returns `None` if the circuit is not open.
    #[inline(always)]
    pub(crate) fn try_reject_open(&self, context: &Context) -> Option<Refused> {
        let word = self.word_now();
        match word.is_open() {
            true => self.try_reject_inline(context, word),
            false => None,
        }
    }

    /// [`Record::try_reject`], forced inline, for FFI callers that touch thread-local storage
    /// themselves: inlined, both accesses share one look-up of it.
    #[inline(always)]
    pub(crate) fn try_reject_inline(&self, context: &Context, word: Word) -> Option<Refused> {
        match fork::incarnation() {
            0 => self.try_reject_attended(context, word),
            _ => self.try_reject_in_child(context, word),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_reject_in_child(&self, context: &Context, word: Word) -> Option<Refused> {
        context.attend();
        self.try_reject_attended(context, word)
    }

    #[inline(always)]
    fn try_reject_attended(&self, context: &Context, word: Word) -> Option<Refused> {
        if self.has_flag(REJECTED.or(UNKNOWN).0 | MODES) {
            return None;
        }
        // After the word was read: what is not due now was not due then.
        match context.clock.system_now() {
            Some(now) => self.try_reject_at(word, now),
            None => self.try_reject_by_hand(context, word),
        }
    }

    /// [`Record::try_reject_attended`] with a manual clock. Apart, so that the other way keeps no
    /// more values than it needs across the clock's call.
    #[cold]
    #[inline(never)]
    fn try_reject_by_hand(&self, context: &Context, word: Word) -> Option<Refused> {
        self.try_reject_at(word, context.clock.now())
    }

    #[inline(always)]
    fn try_reject_at(&self, word: Word, now: u64) -> Option<Refused> {
        let refused = self.try_refuse(word, now)?;
        // After the clock's call, so that only the record and the word have to be kept across it.
        self.totals().own()?.rejected();
        Some(refused)
    }

    /// What an open circuit answers at `now`, unless that takes more than a look.
    #[inline(always)]
    fn try_refuse(&self, word: Word, now: u64) -> Option<Refused> {
        // By a clock that lags behind the opening's, the wait would be longer than the opening.
        if is_before(now as u32, self.opening.load(Ordering::Relaxed)) {
            return None;
        }
        let deadline = word.deadline_of_open();
        // Both are far below 2^63, so their difference has a sign.
        let wait = deadline.wrapping_sub(now);
        if wait.cast_signed() <= NEAR.cast_signed() {
            return None;
        }
        Some(Refused::waiting(deadline, wait))
    }

    /// Notes the moment of an opening, before it is made: a thread that reads the open word
    /// afterwards finds this moment, or a later one.
    pub(super) fn note_opening(&self, at: u64) {
        let at = at as u32;
        let later = |noted: u32| is_before(noted, at).then_some(at);
        // Relaxed: the exchange of the word publishes it.
        let _ = self
            .opening
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// Forgets an opening that was so long ago that its moment seems to be in the future.
    fn forget_opening(&self, now: u64) {
        let (now, noted) = (now as u32, self.opening.load(Ordering::Relaxed));
        if noted.wrapping_sub(now) > LONG_AGO && is_before(now, noted) {
            // Fails if the circuit opens meanwhile.
            let _ = self
                .opening
                .compare_exchange(noted, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    #[inline(never)]
    pub(crate) fn acquire_unless_closed(&self, context: &Context) -> Result<Ticket, Refusal> {
        context.attend();
        let word = self.word_now();
        if word.is_watched() {
            return Ok(self.pass_with_start(context, word));
        }
        let mut now = context.clock.now();
        loop {
            let (mode, word) = self.in_one_mode(|| self.word_at(context, now));
            if word.is_retired() {
                return Err(Refusal::Gone);
            }
            if word.tally().is_some() {
                return Ok(self.pass_with_start(context, word));
            }
            if mode == Mode::Disabled {
                return Ok(self.pass_for_totals(context));
            }
            let exact = exact_near(context, now, word.due_at());
            if word.is_due(exact) {
                now = exact;
                continue;
            }
            let refused = match (word.deadline(), word.ramp_end()) {
                (Some(deadline), _) => {
                    self.forget_opening(exact);
                    Refused::waiting(deadline, self.wait(context, word, exact))
                }
                (None, Some(end)) => match self.draw_in_ramp(context, word, end, exact) {
                    Ok(ticket) => return Ok(ticket),
                    Err(refused) => refused,
                },
                (None, None) => match self.probe(context, word, now) {
                    Ok(ticket) => return Ok(ticket),
                    Err(NoSlot::Changed) => continue,
                    Err(NoSlot::Until(end)) => {
                        self.touch(now);
                        Refused::probes_out(end, now)
                    }
                },
            };
            if let Some(ticket) = self.pass_in_spite_of(context, word, now) {
                return Ok(ticket);
            }
            if !self.totals().rejected() {
                striped_counter::stocks().for_each(|stock| context.want(stock));
            }
            if self.wants(REJECTED) {
                self.notify_unmoved(context, word, Happening::new(Occurrence::Rejected, now));
            }
            return Err(Refusal::Rejected(refused));
        }
    }

    /// Admits a call to a closed circuit, with a start if the circuit is watched and its settings
    /// ask for one.
    fn pass_with_start(&self, context: &Context, word: Word) -> Ticket {
        let ticket = Ticket::to_pass(word);
        match word.is_watched() {
            true => ticket.starting(&context.clock, self.timing(context)),
            false => ticket,
        }
    }

    /// Takes a slot for a probe under the half-open `word`.
    fn probe(&self, context: &Context, word: Word, now: u64) -> Result<Ticket, NoSlot> {
        let settings = self.settings(context);
        let lease = settings
            .probe_timeout
            .unwrap_or_else(|| expiry::expiry_ms(&settings, word.trips()).max(SHORTEST_LEASE));
        let end = state::deadline(context.clock.now_upper(), lease).min(LAST_MOMENT);
        let is_present = || self.word_now().generation() == word.generation();
        let (successes, failures) = (word.successes(), word.probe_failures());
        let capacity = Capacity {
            limit: settings.half_open_max_calls,
            are_a_sample: settings
                .places_are_a_sample(successes.unwrap_or(0), failures.unwrap_or(0)),
        };
        let taken = self
            .probes()
            .take(word.generation(), capacity, now, end, is_present);
        // A slot counts only in its generation: no call is admitted to a circuit that has
        // opened meanwhile, nor rejected by one that has closed. And the thread may have been
        // stopped for as long as its lease: then another call may have the slot.
        let is_over = taken.is_ok() && end < LAST_MOMENT && end <= context.clock.now_exact();
        if is_over || !is_present() {
            if let Ok(lease) = taken {
                self.probes().free(lease);
            }
            return Err(NoSlot::Changed);
        }
        let lease = taken?;
        self.touch(now);
        if self.wants(PROBED) {
            self.notify_unmoved(context, word, Happening::new(Occurrence::Probed, now));
        }
        Ok(Ticket::of_lease(lease).starting(&context.clock, settings.timing()))
    }
}

/// Whether `moment` comes before `other`, which are the low bits of monotonic ms: at most 24 days
/// apart.
#[inline]
fn is_before(moment: u32, other: u32) -> bool {
    moment.wrapping_sub(other).cast_signed() < 0
}

/// `now`, or the exact time if the deadline is near.
#[inline]
fn exact_near(context: &Context, now: u64, deadline: Option<u64>) -> u64 {
    match deadline {
        Some(deadline) if deadline.saturating_sub(now) <= NEAR => {
            context.clock.now_exact().max(now)
        }
        _ => now,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::circuit::record::{OpenFor, RecordRef, Registrant};
    use crate::sys::clock::Clock;
    use crate::sys::manual_clock::ManualClock;
    use crate::values::event::Report;

    fn open_record() -> (ManualClock, Context, RecordRef) {
        let clock = ManualClock::new();
        let clock_of_env = Clock::Manual(clock.clone());
        let context = Context::alone(clock_of_env);
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        record.learn_interest(&*context.sink);
        record
            .open(&context, &Report::NONE, OpenFor::Never)
            .expect("there");
        // So that the thread has a cell to count in.
        assert!(record.success(&context, None, &Report::NONE).is_ok());
        (clock, context, record)
    }

    fn is_short(record: &Record, context: &Context) -> bool {
        record.try_reject(context, record.word_now()).is_some()
    }

    /// Otherwise the wait until the deadline would be longer than the opening, by as much as the
    /// coarse clock lags. A rejection during the opening before makes no difference.
    #[test]
    fn no_rejection_takes_the_short_way_by_a_clock_that_lags_behind_an_opening() {
        let (clock, context, record) = open_record();
        assert!(is_short(&record, &context));
        // An opening by a clock that is ahead, before it is made and afterwards.
        let at = context.clock.now() + 4;
        record.note_opening(at);
        for _ in 0..2 {
            assert!(!is_short(&record, &context));
            assert!(record.acquire(&context).is_err(), "the long way");
        }
        record.note_opening(at - 2);
        clock.advance(Duration::from_millis(3));
        assert!(!is_short(&record, &context), "it lags by 1 ms still");
        clock.advance(Duration::from_millis(1));
        assert!(is_short(&record, &context));
    }

    #[test]
    fn an_opening_of_long_ago_is_not_taken_for_one_to_come() {
        let (clock, context, record) = open_record();
        for days in [1, 20, 30, 34] {
            clock.advance(Duration::from_secs(days * 86_400));
            assert!(record.acquire(&context).is_err());
            assert!(is_short(&record, &context), "{days} days later");
        }
    }
}
