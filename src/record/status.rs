//! What is known of a connection, at one moment.
//!
//! The word is read before and after everything else, and the reading repeated
//! if a change came between. A thread that changed the word and was stopped
//! before it wrote the times would make that go on for ever, so after a few
//! tries the times of such a change are taken from the word and the clock: it
//! is happening just now.

use super::*;

/// The health of one connection: consistent with itself, and already past when
/// you look at it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// The connection's identifier.
    pub identifier: String,
    /// The connection's scope, if it has one.
    pub scope: Option<String>,
    /// The state, as of now.
    pub state: State,
    /// Failures in a row, or inside the window if there is one.
    pub failure_count: u32,
    /// Successes reported since registration.
    pub total_successes: u64,
    /// Failures reported since registration.
    pub total_failures: u64,
    /// Calls rejected since registration.
    pub total_rejections: u64,
    /// Successes / (successes + failures); none before the first report.
    pub success_rate: Option<f64>,
    /// Unix ms of the last success; none before the first.
    pub last_success_time: Option<u64>,
    /// Unix ms of the last failure; none before the first.
    pub last_failure_time: Option<u64>,
    /// Unix ms of the last opening; none before the first.
    pub opened_at: Option<u64>,
    /// Unix ms of the last change of state; none before the first.
    pub last_state_change: Option<u64>,
    /// Since the last change of state; since registration before the first.
    pub time_in_state: Duration,
    /// While open, how long this opening lasts (none: until closed by hand);
    /// otherwise what the settings say for the present number of trips.
    pub expiry: Option<Duration>,
    /// While open, how long until probes are admitted; none if never, or if not open.
    pub retry_after: Option<Duration>,
    /// Openings since the circuit was last healthy, at most 255.
    pub trips: u32,
    /// The settings in effect.
    pub settings: Settings,
    /// The connection's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// How often a status is read anew before it is taken as it is.
const TRIES: usize = 8;

impl Record {
    /// Everything, or `None` if the connection was removed.
    pub(crate) fn status(&self, env: &Env) -> Option<Status> {
        let now = env.clock.now_exact();
        let mut word = self.word_at(env, now);
        for _ in 0..TRIES {
            let status = self.read(env, word, now);
            let again = self.word_at(env, now);
            if again == word && self.has_settled(word) {
                return status;
            }
            word = again;
        }
        self.read(env, word, now)
    }

    /// Successes, failures and rejections so far, also of a removed connection.
    #[cfg(feature = "metrics")]
    pub(crate) fn totals_so_far(&self) -> [u64; 3] {
        let sums = self.totals().sum();
        let failures = self.failures.load(Ordering::Relaxed);
        [sums.successes, failures, sums.rejected]
    }

    /// Whether the times of the change that led to `word` are written.
    fn has_settled(&self, word: Word) -> bool {
        Stamp::unpack(self.changed_at.load(Ordering::Acquire)).generation == word.generation()
    }

    fn read(&self, env: &Env, word: Word, now: u64) -> Option<Status> {
        if word.is_retired() {
            return None;
        }
        // ORDERING: Acquire, partner of the Release in `after`.
        let change = Stamp::unpack(self.changed_at.load(Ordering::Acquire));
        let settled = change.generation == word.generation();
        let since = if settled { change.time } else { now + 1 };
        let changed = if settled && change.is_registration {
            0
        } else {
            since
        };
        let opened = match word.deadline() {
            Some(_) if !settled => now + 1,
            _ => self.cold().opened_at.load(Ordering::Relaxed),
        };
        let settings = self.settings(env);
        let profile = self.profile.load();
        let sums = self.totals().sum();
        let failures = self.failures.load(Ordering::Relaxed);
        let reports = sums.successes + failures;
        // One look at the wall clock for all times.
        let wall = env.clock.wall();
        let unix = |stored: u64| stored.checked_sub(1).map(|ms| wall.unix_ms(ms));
        let key = self.key();
        Some(Status {
            identifier: key.identifier().to_owned(),
            scope: key.scope().map(str::to_owned),
            state: word.state(),
            failure_count: match settings.window_ms {
                Some(window) => self.cold().window.count(window, || env.clock.now_exact()),
                None => word
                    .failures()
                    .unwrap_or_else(|| self.streak.load(Ordering::Relaxed)),
            },
            total_successes: sums.successes,
            total_failures: failures,
            total_rejections: sums.rejected,
            success_rate: (reports > 0).then(|| sums.successes as f64 / reports as f64),
            last_success_time: sums.last_success_ms.map(|ms| wall.unix_ms(ms)),
            last_failure_time: unix(self.last_failure.load(Ordering::Relaxed)),
            opened_at: unix(opened),
            last_state_change: unix(changed),
            time_in_state: Duration::from_millis((now + 1).saturating_sub(since)),
            expiry: match word.deadline() {
                Some(NEVER) => None,
                Some(deadline) => {
                    let left = deadline.saturating_sub(now);
                    let lasting = self.lasting(deadline).filter(|_| settled);
                    Some(Duration::from_millis(lasting.unwrap_or(left)))
                }
                None => {
                    let trips = word.trips().max(1);
                    Some(Duration::from_millis(expiry::expiry_ms(&settings, trips)))
                }
            },
            retry_after: word
                .deadline()
                .filter(|deadline| *deadline != NEVER)
                .map(|deadline| Duration::from_millis(deadline.saturating_sub(now))),
            trips: word.trips(),
            settings,
            metadata: profile
                .as_deref()
                .map(|profile| profile.metadata.clone())
                .unwrap_or_default(),
        })
    }
}
