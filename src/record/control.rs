//! Circuits by hand: open, close, half-open, reset, remove.

use std::time::Duration;

use super::{Happening, Opening, Record, Refusal, decide};
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
        let mut carried = 0_u32;
        let applied = self.apply(env, now, |word| {
            if word.state() != State::Closed {
                carried = carried.saturating_add(self.take_streak());
            }
            Ok(decide(word.closed_by_hand(carried), ()))
        });
        let wrote = matches!(&applied, Ok(applied) if applied.before != applied.after);
        let back = if wrote { 0 } else { carried };
        self.add_to_streak(env, back, now);
        self.after(env, &applied?, Happening::new(Cause::ClosedByHand, now));
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
            self.cold().window.clear();
            self.take_streak();
            Ok(decide(word.reset(), ()))
        })?;
        self.forget_streak();
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
}
