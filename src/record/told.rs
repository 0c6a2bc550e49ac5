//! What others hear of a connection: what they have been told. For the dispatcher.
//!
//! One word, `told`:
//!
//! | bits | |
//! |---|---|
//! | 0 to 12 | the generation of the state that was told last |
//! | 13, 14 | that state; 0 while nothing was told, which counts as closed |
//! | [`HEARD`] | something of this connection was told |
//! | [`FORGOTTEN`] | nothing of it will ever be told |
//! | [`GONE`] | it was told that the connection is gone |
//! | [`WARNED`] | its user was told of settings that do not apply |
//! | [`COMING`] | whoever removes the connection tells of it |
//! | [`ENDED`] | the dispatcher has told of the removal by itself |
//!
//! The dispatcher writes all but `FORGOTTEN`, `WARNED` and `COMING`, one thread at a time. `HEARD` and
//! `FORGOTTEN` exclude each other: the dispatcher sets the one before it tells anything,
//! a thread that removes the connection sets the other if the ring leaves no room, and
//! whichever comes second finds the first. So of a connection that came and went while
//! there was no room, subscribers hear everything that matters or nothing.
//!
//! `COMING` and `ENDED` exclude each other likewise. A removal that nobody wants to hear of
//! is not told. But the registration may still wait in the ring, and by the time it is
//! told there may be a subscriber who wants both. So when the dispatcher has told a
//! registration, and finds the connection removed and the removal not coming, it tells of
//! that itself.
//!
//! **Is it still true?** Notices can reach the dispatcher in another order than the
//! changes they tell of: between a change and its notice the thread may be stopped for
//! as long as the system likes. The dispatcher compares generations, of which a circuit
//! has one for each state that it was ever in (as long as 4 096 changes do not happen
//! while one thread is stopped). A notice is *outdated* if a later state was told, or
//! the latest. What is told then instead is what holds now, so the last thing told of a
//! connection is always true: either the latest state is told, or the notice of the
//! latest change, or its mark, is still to come.

use super::Record;
use crate::env::Env;
use crate::event::{Facts, Text};
use crate::state::{Generation, State, Word};
use crate::sync::{Ordering, fence};

const GENERATION: u32 = (1 << Generation::BITS) - 1;
const STATE_SHIFT: u32 = Generation::BITS;
const STATE: u32 = 3 << STATE_SHIFT;
const HEARD: u32 = 1 << 15;
const FORGOTTEN: u32 = 1 << 16;
const GONE: u32 = 1 << 17;
const WARNED: u32 = 1 << 18;
const COMING: u32 = 1 << 19;
const ENDED: u32 = 1 << 20;

impl Record {
    // ORDERING: Relaxed throughout, read-modify-writes of one word. What belongs to them
    // is handed over by the lock of those who dispatch, or by the ring.

    /// The dispatcher is about to tell something. False if it must not: the connection
    /// was forgotten.
    pub(crate) fn begin_telling(&self) -> bool {
        if self.told.load(Ordering::Relaxed) & HEARD != 0 {
            return true;
        }
        let begin = |told: u32| (told & FORGOTTEN == 0).then_some(told | HEARD);
        self.told
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, begin)
            .is_ok()
    }

    /// The connection is removed, and there is no room to tell of it: true if nothing was
    /// told of it so far, and then nothing will be.
    pub(crate) fn forget(&self) -> bool {
        let forget = |told: u32| (told & HEARD == 0).then_some(told | FORGOTTEN);
        self.told
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, forget)
            .is_ok()
    }

    /// The connection is removed, and the thread that did it is about to tell. False if the
    /// dispatcher has told that it is removed.
    pub(super) fn claim_removal(&self) -> bool {
        self.claim(COMING, ENDED)
    }

    /// For the dispatcher, which has told the registration: whether the connection is
    /// removed, and it has to tell of that.
    pub(crate) fn take_removal(&self) -> bool {
        // ORDERING: SeqCst, partner of the fence in `tell_removal`: either that one comes
        // later, and finds the interest of everybody whom the registration was told to,
        // or this thread finds the connection removed.
        fence(Ordering::SeqCst);
        self.is_retired() && self.claim(ENDED, COMING)
    }

    fn claim(&self, mine: u32, others: u32) -> bool {
        let claim = |told: u32| (told & (mine | others) == 0).then_some(told | mine);
        self.told
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim)
            .is_ok()
    }

    /// The dispatcher tells of this state.
    pub(crate) fn note_told(&self, facts: &Facts) {
        let generation = facts.generation.bits() as u32;
        let state = (facts.after as u32) << STATE_SHIFT;
        let tell = |told: u32| {
            let gone = if facts.after == State::Unknown {
                GONE
            } else {
                0
            };
            Some(told & !(GENERATION | STATE) | generation | state | gone)
        };
        let _ = self
            .told
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, tell);
    }

    /// The state that was told last.
    pub(crate) fn told_state(&self) -> State {
        let told = self.told.load(Ordering::Relaxed);
        match (told & STATE) >> STATE_SHIFT {
            _ if told & GONE != 0 => State::Unknown,
            2 => State::Open,
            3 => State::HalfOpen,
            // Every connection begins closed.
            _ => State::Closed,
        }
    }

    /// Whether a later state than that of these facts was told, or the latest.
    pub(crate) fn is_outdated(&self, facts: &Facts) -> bool {
        if facts.after == State::Unknown {
            return false;
        }
        let told = self.told.load(Ordering::Relaxed);
        if told & GONE != 0 {
            return true;
        }
        let last = Generation::from_bits(u64::from(told));
        if facts.generation == last {
            return facts.after != self.told_state();
        }
        let word = self.word_now();
        let is_current = facts.generation == word.generation()
            && (word.is_retired() || facts.after == word.state());
        !is_current && (word.generation() == last || last.follows(facts.generation))
    }

    /// The facts that hold now, for events that stand for others.
    pub(crate) fn facts_now(&self, env: &Env) -> Facts {
        let word = self.word_now();
        Facts {
            time: env.clock.now(),
            before: self.told_state(),
            after: if word.is_retired() {
                State::Unknown
            } else {
                word.state()
            },
            generation: word.generation(),
            is_altered: false,
            failures: self.count(word),
            expiry: word
                .deadline()
                .and_then(|deadline| self.lasting(deadline))
                .unwrap_or(u64::MAX),
            reason: Text::None,
            metadata: None,
        }
    }

    /// What there is to say of a registration.
    pub(crate) fn facts_of_registration(&self, time: u64) -> Facts {
        Facts {
            time,
            before: State::Unknown,
            after: State::Closed,
            generation: Word::NEW.generation(),
            is_altered: false,
            failures: 0,
            expiry: u64::MAX,
            reason: Text::None,
            metadata: None,
        }
    }

    /// Whether its user was told of settings that do not apply.
    pub(crate) fn has_warned(&self) -> bool {
        self.told.load(Ordering::Relaxed) & WARNED != 0
    }

    /// Its user is about to be told so. True for the one who has to.
    pub(crate) fn begin_warning(&self) -> bool {
        self.told.fetch_or(WARNED, Ordering::Relaxed) & WARNED == 0
    }
}
