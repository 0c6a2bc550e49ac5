//! Guarded calls, and the calls that a ramp has drawn.

use std::panic::{self, AssertUnwindSafe};

use brama::CallError;

use super::{Driver, World};
use crate::reference::Who;
use crate::trace::{Outcome, Settle, Target};
use crate::view::Answer;

impl World<'_> {
    /// The number of calls that a ramp of a shadow has let pass without drawing them. `None` if no
    /// ramp draws without a visible effect: outside such a ramp, or with another driver than
    /// `AsTold`, where ramps draw every call.
    pub(super) fn unseen_rejections(&mut self, who: Who) -> Option<u64> {
        let is_shadow = self.model.draws_in_a_shadow(who);
        (is_shadow && self.driver == Driver::AsTold).then(|| self.would_reject(who))
    }

    fn would_reject(&self, who: Who) -> u64 {
        let status = self.brama.status(who.name().key());
        status.map_or(0, |status| status.would_reject)
    }

    /// Whether a ramp has drawn the call that has passed since `before` was read.
    pub(super) fn has_drawn(&self, who: Who, before: Option<u64>) -> bool {
        before.is_none_or(|before| self.would_reject(who) == before)
    }

    /// Makes a guarded call, which borrows its handle.
    pub(super) fn call(&mut self, target: Target, how: Settle) -> (Answer, Answer) {
        let (handle, who, name) = self.who(target);
        let classify = |_: &Result<(), ()>| match how {
            Settle::Drop => brama::Outcome::Ignored,
            Settle::Report(Outcome::Success | Outcome::SuccessIn(_)) => brama::Outcome::Success,
            Settle::Report(Outcome::Ignored) => brama::Outcome::Ignored,
            _ => brama::Outcome::Failure,
        };
        let body = || match how {
            Settle::Panic => panic::resume_unwind(Box::new("a guarded call")),
            Settle::Report(Outcome::Success | Outcome::SuccessIn(_)) => Ok(()),
            _ => Err(()),
        };
        let unseen = self.unseen_rejections(who);
        let real = panic::catch_unwind(AssertUnwindSafe(|| match &handle {
            Some(handle) => handle.call_with(classify, body),
            None => self.brama.call_with(name.key(), classify, body),
        }));
        let real = match real {
            Err(_) => Answer::Panicked,
            Ok(Ok(())) => Answer::Done,
            Ok(Err(CallError::Inner(()))) => Answer::Inner,
            Ok(Err(CallError::Rejected(rejected))) => brama::Error::Rejected(rejected).into(),
            Ok(Err(CallError::Unusable(error))) => error.into(),
            Ok(Err(other)) => Answer::Unexpected(format!("{other:?}")),
        };
        let is_rejected = matches!(real, Answer::Rejected(..));
        let drawn = !is_rejected && self.has_drawn(who, unseen);
        let expected = match self.model.admit_call(who, drawn) {
            Err(answer) => answer,
            Ok(permit) => {
                let (outcome, answer) = match how {
                    Settle::Report(Outcome::Success | Outcome::SuccessIn(_)) => {
                        (Outcome::Success, Answer::Done)
                    }
                    Settle::Report(
                        Outcome::Failure | Outcome::FailureFor(_) | Outcome::FailureIn(_),
                    ) => (Outcome::Failure, Answer::Inner),
                    Settle::Report(Outcome::Ignored) | Settle::Drop => {
                        (Outcome::Ignored, Answer::Inner)
                    }
                    Settle::Panic => (Outcome::Failure, Answer::Panicked),
                };
                let reason = matches!(how, Settle::Panic).then_some("panic");
                self.model.settle(&permit, outcome, reason);
                answer
            }
        };
        (real, expected)
    }
}
