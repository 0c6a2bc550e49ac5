//! What is known of a connection, at one moment.
//!
//! A reader reads both words before and after everything else, and reads again if a change came
//! between. A thread that changed the word may be stopped before it wrote the time of the change.
//! Then the reader writes that time, so that the change has one time for all readers from then on.

use super::timestamps::Kind;
use super::*;
use crate::values::cause::Cause;
use crate::values::evidence::Evidence;
use crate::values::mode::Mode;
use crate::values::state::NEVER;

/// The health of one connection: a consistent snapshot, which may be out of date when you look at
/// it.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// # let db = brama.register("db", None)?;
/// db.failure("timeout")?;
/// let status = db.status()?;
/// assert_eq!((status.state, status.failure_count), (brama::State::Closed, 1));
/// assert_eq!(status.last_failure_reason.as_deref(), Some("timeout"));
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// The connection's identifier.
    pub identifier: String,
    /// The connection's scope, if it has one.
    pub scope: Option<String>,
    /// The state, as of now. Closed while the [mode](Status::mode) is [`Mode::Disabled`].
    pub state: State,
    /// The mode in effect.
    pub mode: Mode,
    /// Failures in a row, or inside the window if there is one.
    pub failure_count: u32,
    /// Reports that count for the rates: within the window, and since the circuit closed or was
    /// reset last. While it is not closed: those that counted when it opened. None without a rate,
    /// after an opening by hand or by a failed probe, while the mode is [`Mode::Disabled`], and if
    /// they are not known.
    pub window_calls: Option<u64>,
    /// The failures of [`Status::window_calls`].
    pub window_failures: Option<u64>,
    /// The slow calls of [`Status::window_calls`], whether they failed or not.
    pub window_slow: Option<u64>,
    /// Successes reported since registration.
    pub total_successes: u64,
    /// Failures reported since registration.
    pub total_failures: u64,
    /// Calls rejected since registration.
    pub total_rejections: u64,
    /// Calls that passed in the mode [`Mode::Shadow`] since registration, and that
    /// [`Mode::Normal`] would have rejected.
    pub would_reject: u64,
    /// Probes that are out now: admitted, not reported, and with a lease that has not ended.
    pub probes_out: u32,
    /// Permits that were given back without a success or a failure since registration:
    /// cancelled calls, and those ignored on purpose. Stops at 2³² − 1.
    pub total_ignored: u64,
    /// Successes / (successes + failures); none before the first report.
    pub success_rate: Option<f64>,
    /// Unix ms of the last success; none before the first. It may lag by a tick of the coarse
    /// clock, or by [two](crate::docs::performance#the-tick) while calls are frequent.
    pub last_success_time: Option<u64>,
    /// Unix ms of the last failure; none before the first. May lag as `last_success_time` does.
    pub last_failure_time: Option<u64>,
    /// Unix ms of the last opening; none before the first.
    pub opened_at: Option<u64>,
    /// Unix ms of the last change of state; none before the first.
    pub last_state_change: Option<u64>,
    /// The time since the last change of state; before the first, since registration.
    pub time_in_state: Duration,
    /// While open, how long this opening lasts (none: until closed by hand);
    /// otherwise what the settings say for the present number of trips.
    pub expiry: Option<Duration>,
    /// While open, how long until probes are admitted; none if never, or if not open.
    pub retry_after: Option<Duration>,
    /// Openings since the circuit was last healthy, at most 255.
    pub trips: u32,
    /// The share of the calls that pass now, while a half-open circuit [ramps
    /// up](crate::ConnectionOptions::ramp); otherwise none. With [`Mode::Shadow`] all calls pass,
    /// and [`Mode::Normal`] would let this share pass. None with [`Mode::Disabled`].
    pub ramp_share: Option<f64>,
    /// Why the circuit opened last, even after it has closed. None before the first opening, or if
    /// the thread that opened it was stopped before it could write the cause.
    pub cause: Option<Cause>,
    /// The reason given by the failure, or by the manual control, that opened the circuit last: at
    /// most 256 bytes of it. It stays after the circuit has closed. None if no reason was given.
    /// None, too, if it could not be kept, because two openings came at once or no memory lay ready
    /// for it.
    pub reason: Option<String>,
    /// The calls that had been counted when a rate opened the circuit last, even after it has
    /// closed. None if no rate did, and if the number could not be kept, as for [`Status::reason`].
    pub opened_calls: Option<u64>,
    /// The failures that had been counted when a rule opened the circuit last, even after it has
    /// closed: in a row, inside the window, or among [`Status::opened_calls`], as [`Status::cause`]
    /// says. None if no rule did: after an opening by hand, by a probe, or because the dependency
    /// asked for it. None, too, if the number could not be kept.
    pub opened_failures: Option<u64>,
    /// The slow calls among [`Status::opened_calls`], whether they failed or not.
    pub opened_slow: Option<u64>,
    /// The reason of the last failure that had one, whether or not it opened the circuit: at most
    /// 256 bytes of it. Of several failures at the same time, the reason of one is kept.
    ///
    /// [`Connection::call`](crate::Connection::call) gives a reason only where it has a use, and
    /// only for some errors. For error types that are not text, boxed, io or fmt errors no reason
    /// is kept: use [`call_classified`](crate::Connection::call_classified).
    pub last_failure_reason: Option<String>,
    /// The settings in effect.
    pub settings: Settings,
    /// The connection's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// How often a status is read again before it is taken as it is.
const TRIES: usize = 8;

impl Record {
    /// The status, or `None` if the connection was removed.
    pub(crate) fn status(&self, context: &Context) -> Option<Status> {
        let now = context.clock.now_exact();
        let (mut mode, mut seen) = self.in_one_mode(|| self.seen_asked_at(context, now));
        for _ in 0..TRIES {
            let status = self.read(context, mode, seen, now);
            let (mode_again, again) = self.in_one_mode(|| self.seen_asked_at(context, now));
            if (again.word, again.parked, mode_again) == (seen.word, seen.parked, mode) {
                return status;
            }
            (mode, seen) = (mode_again, again);
        }
        self.read(context, mode, seen, now)
    }

    /// Successes, failures, rejections and calls that would have been rejected so far, even of a
    /// removed connection.
    #[cfg(feature = "metrics")]
    pub(crate) fn totals_so_far(&self) -> [u64; 4] {
        let sums = self.totals().sum();
        [
            sums.successes,
            sums.failures,
            sums.rejected,
            self.would_reject(),
        ]
    }

    fn read(&self, context: &Context, mode: Mode, seen: Seen, now: u64) -> Option<Status> {
        let word = seen.word;
        if word.is_retired() {
            return None;
        }
        // While the circuit is disabled, its deadline does not count.
        let deadline = word.deadline().filter(|_| mode != Mode::Disabled);
        let change = self.stamp_of(context, word);
        let since = change.time;
        let changed = match change.kind {
            Kind::Registration => 0,
            _ => since,
        };
        let opened = self.last_opening(change);
        let tally = seen.parked.tally(word);
        let settings = self.settings(context);
        let profile = self.profile.load();
        let why = self.why(word);
        let evidence = why.evidence();
        let counts = self
            .rate_counts(context, word)
            .or_else(|| why.rates_at(word))
            .filter(|_| mode != Mode::Disabled);
        let sums = self.totals().sum();
        let reports = sums.successes + sums.failures;
        let unix = |stored: u64| stored.checked_sub(1).map(|ms| context.clock.unix_ms(ms));
        let key = self.key();
        Some(Status {
            identifier: key.identifier().to_owned(),
            scope: key.scope().map(str::to_owned),
            state: word.state().in_mode(mode),
            mode,
            failure_count: match (settings.window, self.window(), tally.timed()) {
                (None, ..) => tally.in_a_row(),
                (Some(span), Some(window), Some(timed)) => {
                    let clock = || context.clock.now_exact();
                    window.count(timed, span, clock(), clock)
                }
                // None was reported since there is a window.
                _ => 0,
            },
            window_calls: counts.map(|counts| counts.calls),
            window_failures: counts.map(|counts| counts.failures),
            window_slow: counts.map(|counts| counts.slow),
            total_successes: sums.successes,
            total_failures: sums.failures,
            total_rejections: sums.rejected,
            would_reject: self.would_reject(),
            probes_out: match word.successes() {
                Some(_) => self.probes().out(word.generation(), now),
                None => 0,
            },
            total_ignored: self.ignored.load(Ordering::Relaxed).into(),
            success_rate: (reports > 0).then(|| sums.successes as f64 / reports as f64),
            last_success_time: sums.last_success_ms.map(|ms| context.clock.unix_ms(ms)),
            last_failure_time: self.last_failure_ms().map(|ms| context.clock.unix_ms(ms)),
            opened_at: unix(opened),
            last_state_change: unix(changed),
            time_in_state: Duration::from_millis((now + 1).saturating_sub(since)),
            expiry: match deadline {
                Some(NEVER) => None,
                Some(deadline) => {
                    let since_then = || (deadline + 1).saturating_sub(since);
                    let lasting = self.lasting(word).unwrap_or_else(since_then);
                    Some(Duration::from_millis(lasting))
                }
                None => {
                    let trips = word.trips().max(1);
                    Some(Duration::from_millis(expiry::expiry_ms(&settings, trips)))
                }
            },
            retry_after: deadline
                .filter(|deadline| *deadline != NEVER)
                .map(|_| Duration::from_millis(self.wait(context, word, now))),
            trips: word.trips(),
            ramp_share: self
                .ramp_share(&settings, word, now)
                .filter(|_| mode != Mode::Disabled),
            cause: why.cause,
            reason: why.reason,
            opened_calls: evidence
                .and_then(Evidence::counts)
                .map(|counts| counts.calls),
            opened_failures: evidence.map(Evidence::failures),
            opened_slow: evidence
                .and_then(Evidence::counts)
                .map(|counts| counts.slow),
            last_failure_reason: self.last_failure_reason(),
            settings,
            metadata: profile
                .as_deref()
                .map(|profile| profile.metadata.clone())
                .unwrap_or_default(),
        })
    }
}
