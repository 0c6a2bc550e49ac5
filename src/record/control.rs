//! Circuits by hand: open, close, half-open, reset, remove.

use std::time::Duration;

use super::{Applied, Happening, Opening, Record, Refusal, decide};
use crate::config;
use crate::env::Env;
use crate::event::{Cause, Report};
use crate::state::{State, Word};
use crate::sync::Ordering;

/// For how long somebody opens a circuit by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OpenFor {
    /// As long as the settings say, backoff and jitter included.
    #[default]
    Configured,
    /// This long, for this one opening. At least 1 ms.
    Custom(Duration),
    /// Until somebody closes or resets it.
    Never,
}

impl From<Duration> for OpenFor {
    fn from(duration: Duration) -> Self {
        OpenFor::Custom(duration)
    }
}

/// `None`: as configured.
impl From<Option<Duration>> for OpenFor {
    fn from(duration: Option<Duration>) -> Self {
        duration.map_or(OpenFor::Configured, OpenFor::Custom)
    }
}

impl Record {
    pub(crate) fn open(
        &self,
        env: &Env,
        report: &Report<'_>,
        how_long: OpenFor,
    ) -> Result<(), Refusal> {
        let now = self.touch_now(env);
        let settings = self.settings(env);
        let applied = self.apply(env, now, |word| {
            let mut opening = None;
            let next = word.opened_by_hand(|trips| {
                let planned = match how_long {
                    OpenFor::Configured => self.opening(env, &settings, trips),
                    OpenFor::Custom(length) => Opening {
                        at: env.clock.now_upper(),
                        lasting: config::given_ms(length),
                    },
                    OpenFor::Never => Opening {
                        at: env.clock.now_upper(),
                        lasting: u64::MAX,
                    },
                };
                opening.insert(planned).deadline()
            });
            Ok(decide(next, opening))
        })?;
        self.carry_count_out(&applied);
        let opening = applied.answer;
        let happening = Happening {
            report,
            ..Happening::new(Cause::OpenedByHand, now)
        };
        self.after_opening(env, &applied, happening, opening);
        Ok(())
    }

    pub(crate) fn close(&self, env: &Env) -> Result<(), Refusal> {
        let now = self.touch_now(env);
        let applied = self.apply(env, now, |word| {
            let carried = self.streak.load(Ordering::Relaxed);
            Ok(decide(word.closed_by_hand(carried), carried))
        })?;
        if applied.before.state() != State::Closed {
            // Failures that were counted beside the word since it was looked at.
            let late = self.streak.swap(0, Ordering::Relaxed);
            let late = late.saturating_sub(applied.answer);
            if late > 0 {
                let generation = applied.after.generation();
                // Removed meanwhile: nothing to count.
                let _ = self.apply(env, now, |word| {
                    let same = word.generation() == generation;
                    Ok(decide(word.with_failures(late).filter(|_| same), ()))
                });
            }
        }
        self.after(env, &applied, Happening::new(Cause::ClosedByHand, now));
        Ok(())
    }

    pub(crate) fn half_open(&self, env: &Env) -> Result<(), Refusal> {
        let now = self.touch_now(env);
        let applied = self.apply(env, now, |word| Ok(decide(word.half_opened_by_hand(), ())))?;
        self.carry_count_out(&applied);
        self.after(env, &applied, Happening::new(Cause::HalfOpenedByHand, now));
        Ok(())
    }

    pub(crate) fn reset(&self, env: &Env) -> Result<(), Refusal> {
        let now = self.touch_now(env);
        let applied = self.apply(env, now, |word| {
            self.window.clear();
            Ok(decide(word.reset(), ()))
        })?;
        self.streak.swap(0, Ordering::Relaxed);
        self.after(env, &applied, Happening::new(Cause::Reset, now));
        Ok(())
    }

    /// Marks the connection as removed. True for the one who did it.
    pub(crate) fn retire(&self) -> bool {
        self.word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |bits| {
                Word::from_bits(bits).retired().map(Word::bits)
            })
            .is_ok()
    }

    /// The count of a closed circuit moves beside the word of one that no
    /// longer is.
    fn carry_count_out<T>(&self, applied: &Applied<T>) {
        if let Some(failures) = applied.before.failures()
            && applied.after.state() != State::Closed
        {
            self.add_to_streak(failures);
        }
    }
}
