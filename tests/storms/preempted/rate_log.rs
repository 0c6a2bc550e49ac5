//! What each report adds to the numbers of a rate, at least and at most.

use std::fmt;

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Span {
            began,
            ended,
            first,
            last,
        } = self;
        write!(f, "{began} to {ended}, at {first} to {last} ms")
    }
}

impl fmt::Debug for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.least, self.most)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.span, self.adds)
    }
}

/// At least and at most.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Bounds {
    pub least: i64,
    pub most: i64,
}

impl Bounds {
    pub fn exactly(one: bool) -> Self {
        let one = i64::from(one);
        Bounds {
            least: one,
            most: one,
        }
    }

    pub fn maybe(self) -> Self {
        Bounds {
            least: self.least.min(0),
            most: self.most.max(0),
        }
    }

    pub fn add(&mut self, other: Self) {
        self.least += other.least;
        self.most += other.most;
    }

    pub fn holds(self, number: u64, slack: i64) -> bool {
        (self.least - slack..=self.most + slack).contains(&(number as i64))
    }
}

/// When something was done, in the order of the storm, and what the clock showed.
#[derive(Clone, Copy)]
pub struct Span {
    pub began: u64,
    pub ended: u64,
    pub first: u64,
    pub last: u64,
}

impl Span {
    pub fn is_before(&self, other: &Span) -> bool {
        self.ended < other.began
    }

    pub fn is_beside(&self, other: &Span) -> bool {
        !self.is_before(other) && !other.is_before(self)
    }
}

/// What a report adds to successes, failures and slow calls.
#[derive(Clone, Copy)]
pub struct Entry {
    pub span: Span,
    pub adds: [Bounds; 3],
    /// It counts only until it has ended.
    pub passes: bool,
}

impl Entry {
    pub fn new(span: Span, adds: [Bounds; 3]) -> Self {
        Entry {
            span,
            adds,
            passes: false,
        }
    }

    pub fn maybe(self) -> Self {
        let adds = self.adds.map(Bounds::maybe);
        Entry { adds, ..self }
    }

    /// What it still adds after a change, if it may.
    pub fn after(self, change: &Change) -> Option<Self> {
        // Where evidence begins, it never goes back. So a success that was missing, and is taken
        // back after that, is missing until the state changes.
        if change.is_reset && self.adds[0].least < 0 || change.span.is_before(&self.span) {
            return Some(self);
        }
        change.span.is_beside(&self.span).then(|| self.maybe())
    }

    /// It has a place among the last calls, for certain.
    pub fn is_certain(&self) -> bool {
        self.adds[0].least + self.adds[1].least == 1
    }
}

/// The evidence begins again.
#[derive(Clone, Copy)]
pub struct Change {
    pub span: Span,
    pub is_reset: bool,
}
