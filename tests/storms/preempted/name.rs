//! A model of one name, after the contract: which registration
//! is in effect, and what look-ups and handles answer.
//!
//! Operations on one name take effect one after the other, and names are independent of each other.
//! So each name is explained by itself (`common/explain.rs`). A shutdown takes effect on each name
//! at a time of its own, which [`Name::after`] lets be any time during the shutdown. A registration
//! that a shutdown refuses may be there for a moment, until it is refused. A use that registers the
//! name does it again if another thread removes the name before the use has had its effect.

/// A registration of the storm.
pub type Id = u32;

/// Registrations with an odd number have it in their metadata. The others have
/// no settings of their own, which takes another path through the library.
pub fn is_tagged(id: Id) -> bool {
    id % 2 == 1
}

/// What a caller finds out about the registration that it has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    Tagged(Id),
    Plain,
    /// It was removed before the caller could ask.
    Vanished,
}

impl Met {
    fn may_be(self, id: Id) -> bool {
        match self {
            Met::Tagged(tag) => tag == id,
            Met::Plain => !is_tagged(id),
            Met::Vanished => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Register(Id),
    GetOrRegister(Id),
    /// A success by name, which may register.
    Touch(Id),
    Unregister,
    Find,
    IsKnown,
    /// A report through a handle of this registration.
    Use(Id),
    /// A walk through all names. It is checked only if no other call
    /// changes this name meanwhile. Otherwise the walk promises nothing.
    IsListed,
    Shutdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    Met(Met),
    Yes,
    No,
    NotFound,
    AlreadyRegistered,
    ShutDown,
    /// The thread has no handle of this registration.
    NoHandle,
}

/// What may happen while an operation runs.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Whether the first use of a name registers it.
    pub auto_register: bool,
    /// The registrations of such uses that overlap with the operation.
    pub uses: &'a [Id],
    /// Whether a shutdown has begun before the operation has ended.
    pub is_closing: bool,
    /// Whether a registration that a shutdown has refused overlaps with the operation.
    pub is_refusing: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Name {
    /// The registration that is in effect.
    pub current: Option<Id>,
    pub is_shut: bool,
}

impl Name {
    /// The states that the name can be in after an operation
    /// with this answer. None if the answer is wrong.
    pub fn after(self, deed: Deed, answer: Answer, around: Around<'_>) -> Vec<Name> {
        let mut before = vec![self];
        if around.is_closing && self.current.is_some() {
            before.push(Name {
                current: None,
                ..self
            });
        }
        if !self.is_shut && self.current.is_none() {
            before.extend(around.uses.iter().map(|id| Name {
                current: Some(*id),
                ..self
            }));
        }
        let after = before.into_iter();
        after
            .filter_map(|name| name.decide(deed, answer, around))
            .collect()
    }

    fn decide(self, deed: Deed, answer: Answer, around: Around<'_>) -> Option<Name> {
        let (same, current) = (Some(self), self.current);
        let present = |id| match self.is_shut {
            true => None,
            false => Some(Name {
                current: Some(id),
                ..self
            }),
        };
        match (deed, answer) {
            (_, Answer::NoHandle) => same,
            (Deed::Shutdown, Answer::Done) => Some(Name {
                current: None,
                is_shut: true,
            }),
            (Deed::Register(id), Answer::Done) if current.is_none() => present(id),
            (Deed::Register(_), Answer::AlreadyRegistered) if current.is_some() => same,
            (Deed::GetOrRegister(id), Answer::Met(met)) => match current {
                Some(other) if met.may_be(other) => same,
                None if met.may_be(id) => present(id),
                _ => same.filter(|_| around.is_refusing),
            },
            (Deed::Touch(id), Answer::Done) => match current {
                Some(_) => same,
                None if around.is_refusing => same,
                None if around.auto_register => present(id),
                None => None,
            },
            (Deed::Unregister, Answer::Done) if current.is_some() => Some(Name {
                current: None,
                ..self
            }),
            (Deed::Find, Answer::Met(met)) if current.is_some_and(|id| met.may_be(id)) => same,
            (Deed::Use(id), Answer::Done) if current == Some(id) => same,
            (Deed::Use(id), Answer::NotFound) if current != Some(id) && !self.is_shut => same,
            (Deed::Use(id), Answer::ShutDown) if current != Some(id) && around.is_closing => same,
            (Deed::Touch(_), Answer::NotFound) if around.auto_register => None,
            (Deed::Touch(_) | Deed::Unregister | Deed::Find, Answer::NotFound) => {
                same.filter(|_| current.is_none() && !self.is_shut)
            }
            (Deed::IsKnown | Deed::IsListed, Answer::Yes) if current.is_some() => same,
            (Deed::IsKnown | Deed::IsListed, Answer::No) if current.is_none() => same,
            // From the beginning of a shutdown, registrations are refused, even of
            // a name that is present. A look-up of a present name still finds it.
            (Deed::Register(_) | Deed::GetOrRegister(_), Answer::ShutDown) => {
                same.filter(|_| around.is_closing)
            }
            (Deed::Touch(_) | Deed::Unregister | Deed::Find, Answer::ShutDown) => {
                same.filter(|_| around.is_closing && current.is_none())
            }
            (Deed::Register(_), Answer::AlreadyRegistered)
            | (Deed::Unregister, Answer::Done)
            | (Deed::Find, Answer::Met(_))
            | (Deed::IsKnown | Deed::IsListed, Answer::Yes) => same.filter(|_| around.is_refusing),
            _ => None,
        }
    }
}
