//! Operations on a manager, and sequences of them.

use std::fmt;

use brama::{Key, KeyBuf};

use crate::settings::Given;
use crate::view::Answer;

/// A scope and an identifier, which may be invalid.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    pub scope: Option<&'static str>,
    pub identifier: &'static str,
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.key(), f)
    }
}

const fn name(scope: Option<&'static str>, identifier: &'static str) -> Name {
    Name { scope, identifier }
}

/// Names, some of which would be equal if scope and identifier were concatenated.
pub const NAMES: [Name; 5] = [
    name(None, "a:b"),
    name(Some("a"), "b"),
    name(Some("a"), ":b"),
    name(Some("a:"), "b"),
    name(None, "b"),
];

pub const BAD_NAMES: [Name; 4] = [
    name(None, ""),
    name(None, "a\0b"),
    name(Some(""), "b"),
    name(Some("\0"), "b"),
];

impl Name {
    pub fn key(self) -> Key<'static> {
        Key::new(self.scope, self.identifier)
    }

    pub fn owned(self) -> KeyBuf {
        self.key().to_buf()
    }

    pub fn check(self) -> Result<(), Answer> {
        let good = |name: &str| !name.is_empty() && !name.contains('\0');
        if !good(self.identifier) {
            return Err(Answer::InvalidArgument("identifier"));
        }
        if !self.scope.is_none_or(good) {
            return Err(Answer::InvalidArgument("scope"));
        }
        Ok(())
    }
}

/// How an operation reaches its connection: by name or by handle.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    Name(Name),
    /// The handle at this index, or the name if there was no handle yet.
    Handle(usize, Name),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    Success,
    Failure,
    /// The dependency asks for no calls for so many ms.
    FailureFor(u64),
    /// The reporter says that the call lasted so many ms.
    SuccessIn(u64),
    FailureIn(u64),
    Ignored,
}

/// For how long a circuit is opened by hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    Configured,
    Custom(u64),
    Never,
}

#[derive(Clone, Copy, Debug)]
pub enum Settle {
    Report(Outcome),
    Drop,
    Panic,
}

#[derive(Clone, Copy, Debug)]
pub enum Advance {
    By(u64),
    /// To the n-th time at which something ends, plus so many ms.
    Edge(usize, i64),
}

#[derive(Clone, Debug)]
pub enum Op {
    Register(Name, Option<Given>),
    GetOrRegister(Name, Option<Given>),
    Connection(Name),
    Unregister(Name),
    Available(Target),
    Acquire(Target),
    Settle(usize, Settle),
    Report(Target, Outcome),
    /// Several reports, one after the other.
    Reports(Target, Vec<Outcome>),
    Call(Target, Settle),
    Open(Target, Length),
    Close(Target),
    HalfOpen(Target),
    Reset(Target),
    ResetAll,
    Configure(Given),
    ConfigureConnection(Target, Given),
    /// Saves all circuits, in place of the last save.
    Save,
    /// Restores the last save.
    Restore,
    Advance(Advance),
    Poll,
    Status(Target),
    State(Target),
    Snapshot,
    SnapshotOfScope(Option<&'static str>),
    /// So many probes fail, since the dependency stays down.
    ProbesFail(Name, u16),
}

/// The manager's settings, and a sequence of operations. An operation that is off is left out, so
/// that a failing sequence shrinks to the operations that it needs.
#[derive(Clone)]
pub struct Trace {
    pub global: Given,
    ops: Vec<(bool, Op)>,
}

impl Trace {
    pub fn new(global: Given, ops: Vec<(bool, Op)>) -> Trace {
        Trace { global, ops }
    }

    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.ops.iter().filter_map(|(on, op)| on.then_some(op))
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.global)?;
        for op in self.ops() {
            writeln!(f, "    {op:?}")?;
        }
        Ok(())
    }
}
