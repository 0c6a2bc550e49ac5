//! The log of a storm on rates: what each report adds to the numbers, at least and at most.

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

/// The least and the most that a number can be.
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
        self.or(Bounds::default())
    }

    /// The bounds of a number that is within these or others.
    pub fn or(self, other: Self) -> Self {
        Bounds {
            least: self.least.min(other.least),
            most: self.most.max(other.most),
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

/// When an operation began and ended in the order of the
/// storm, and the first and last time that it may have seen.
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
    /// The entry counts only until its report has ended.
    pub passes: bool,
    /// The evidence may begin one success too late: a success that lies before its beginning, and
    /// is taken back after it, makes the count one too low until the state changes.
    pub moves_beginning: bool,
}

impl Entry {
    pub fn new(span: Span, adds: [Bounds; 3]) -> Self {
        Entry {
            span,
            adds,
            passes: false,
            moves_beginning: false,
        }
    }

    pub fn maybe(self) -> Self {
        let adds = self.adds.map(Bounds::maybe);
        Entry { adds, ..self }
    }

    /// An entry that adds what this one does, or what `other` does.
    pub fn or(self, other: Self) -> Self {
        let adds = std::array::from_fn(|number| self.adds[number].or(other.adds[number]));
        Entry { adds, ..self }
    }

    /// What the entry still adds after a change. `None` if it adds nothing.
    pub fn after(self, change: &Change) -> Option<Self> {
        if change.span.is_before(&self.span) {
            return Some(self);
        }
        if change.span.is_beside(&self.span) {
            return Some(self.maybe());
        }
        // The beginning of the evidence never moves back.
        (change.is_reset && self.moves_beginning).then(|| {
            let mut adds = [Bounds::default(); 3];
            adds[0].least = self.adds[0].least;
            Entry { adds, ..self }
        })
    }

    /// Whether the report certainly has a place among the last calls.
    pub fn is_certain(&self) -> bool {
        self.adds[0].least + self.adds[1].least == 1
    }
}

/// A change with which the evidence begins again.
#[derive(Clone, Copy)]
pub struct Change {
    pub span: Span,
    pub is_reset: bool,
}
