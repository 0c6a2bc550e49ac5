//! The failures in a row of a circuit that is not closed.
//!
//! Closed, they are in the state word, which decides by them. Open and half-open,
//! the word has no room and no use for them, and they wait beside it until the
//! circuit is closed by hand and goes on counting from there.
//!
//! The two places cannot change in one step, so who adds beside the word looks at
//! the word afterwards. If the circuit is closed by then, a failure that found it
//! open comes home into the word, where it counts as one more; so does what a
//! closing by hand finds late. The count that an opening carried out is dropped
//! instead: whoever closed the circuit has decided what becomes of the count, and a
//! recovery or a reset must not be undone. While such operations run, an answer may lack what
//! another thread is carrying.

use super::{Applied, Record, decide};
use crate::env::Env;
use crate::state::State;
use crate::sync::Ordering;

impl Record {
    /// Counts a failure that found the circuit open, and returns how many there are.
    pub(super) fn add_to_streak(&self, env: &Env, failures: u32, now: u64) -> u32 {
        let count = self.change_streak(|count| count.saturating_add(failures));
        self.bring_streak_home(env, now);
        count
    }

    /// Puts the count of an opening beside the word, and returns how many there are.
    pub(super) fn carry_out(&self, failures: u32) -> u32 {
        let count = self.change_streak(|count| count.saturating_add(failures));
        if self.word_now().passes_freely() {
            self.change_streak(|count| count.saturating_sub(failures));
        }
        count
    }

    fn change_streak(&self, change: impl Fn(u32) -> u32) -> u32 {
        // ORDERING: AcqRel, partner of `take_streak`: who adds after somebody has
        // taken for a closing sees the closed word.
        let before = self
            .streak
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                Some(change(count))
            });
        change(before.unwrap_or_default())
    }

    /// Takes what is beside the word: to forget it, or to put it elsewhere.
    pub(super) fn take_streak(&self) -> u32 {
        // Load first: healthy, there is nothing, and nothing is to be written.
        if self.streak.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        // ORDERING: AcqRel, see `change_streak`.
        self.streak.swap(0, Ordering::AcqRel)
    }

    /// After a recovery or a reset: forgets what came beside the word meanwhile,
    /// unless the circuit has opened again.
    pub(super) fn forget_streak(&self) {
        if self.word_now().passes_freely() {
            self.take_streak();
        }
    }

    /// Moves what is beside the word of a closed circuit into it.
    pub(super) fn bring_streak_home(&self, env: &Env, now: u64) {
        while self.word_now().passes_freely() {
            let failures = self.take_streak();
            if failures == 0 {
                return;
            }
            let applied = self.apply(env, now, |word| {
                Ok(decide(
                    word.with_failures(failures),
                    word.failures().is_some(),
                ))
            });
            match applied {
                Ok(applied) if !applied.answer => {
                    // Not closed any more: back to where it belongs.
                    self.change_streak(|count| count.saturating_add(failures));
                }
                // In the word, or removed with the connection.
                _ => return,
            }
        }
    }

    /// The count of a closed circuit moves beside the word of one that no longer is.
    pub(super) fn carry_count_out<T>(&self, applied: &Applied<T>) {
        if let Some(failures) = applied.before.failures()
            && applied.after.state() != State::Closed
        {
            self.carry_out(failures);
        }
    }
}
