//! Concurrent maps from names to one word. To find and load the word
//! is the least that a breaker by name on top of a map would do.
//!
//! All hash with `ahash`, keyed. A key owns its name in one piece of memory. A borrowed
//! pair finds it without an allocation and without copying: directly in the maps that
//! support `Equivalent`, and through a trait object in dashmap, which supports only
//! `Borrow`. With keys of two strings, a look-up would cost one more cache miss with a
//! million names. Joining the pair before the look-up would cost more than either. The
//! word is inside the map, where a breaker would keep a pointer to its record.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use hashbrown::Equivalent;

/// A name that owns its text: scope and identifier one after the other.
#[derive(PartialEq, Eq)]
pub struct Owned {
    text: Box<str>,
    scope: u32,
}

impl Owned {
    fn new((scope, identifier): (&str, &str)) -> Self {
        Owned {
            text: [scope, identifier].concat().into(),
            scope: scope.len() as u32,
        }
    }
}

/// A borrowed name.
pub struct Pair<'a>(&'a str, &'a str);

pub trait Parts {
    fn parts(&self) -> Pair<'_>;
}

impl Parts for Owned {
    #[inline]
    fn parts(&self) -> Pair<'_> {
        let (scope, identifier) = self.text.split_at(self.scope as usize);
        Pair(scope, identifier)
    }
}

impl Parts for Pair<'_> {
    #[inline]
    fn parts(&self) -> Pair<'_> {
        Pair(self.0, self.1)
    }
}

impl Hash for Pair<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.as_bytes());
        state.write(self.1.as_bytes());
    }
}

impl Hash for Owned {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl Equivalent<Owned> for Pair<'_> {
    #[inline]
    fn equivalent(&self, other: &Owned) -> bool {
        let Pair(scope, identifier) = other.parts();
        self.1 == identifier && self.0 == scope
    }
}

impl<'a> Borrow<dyn Parts + 'a> for Owned {
    #[inline]
    fn borrow(&self) -> &(dyn Parts + 'a) {
        self
    }
}

impl Hash for dyn Parts + '_ {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for dyn Parts + '_ {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (self.parts(), other.parts());
        one.1 == other.1 && one.0 == other.0
    }
}

impl Eq for dyn Parts + '_ {}

/// A concurrent map, as a breaker by name needs it.
pub trait Map: Sync {
    const NAME: &str;

    fn new() -> Self;
    /// The word of this name, if there is one.
    fn get(&self, name: (&str, &str)) -> Option<u64>;
    fn insert(&self, name: (&str, &str)) -> bool;
    fn remove(&self, name: (&str, &str)) -> bool;
}

#[inline]
fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Acquire)
}

pub type Locked = RwLock<hashbrown::HashMap<Owned, AtomicU64, RandomState>>;

impl Map for Locked {
    const NAME: &str = "RwLock + hashbrown";

    fn new() -> Self {
        RwLock::default()
    }

    #[inline]
    fn get(&self, name: (&str, &str)) -> Option<u64> {
        let map = self.read().expect("nobody panics");
        map.get(&Pair(name.0, name.1)).map(load)
    }

    #[inline]
    fn insert(&self, name: (&str, &str)) -> bool {
        let owned = Owned::new(name);
        let mut map = self.write().expect("nobody panics");
        map.insert(owned, AtomicU64::new(0)).is_none()
    }

    #[inline]
    fn remove(&self, name: (&str, &str)) -> bool {
        let mut map = self.write().expect("nobody panics");
        map.remove(&Pair(name.0, name.1)).is_some()
    }
}

pub type Papaya = papaya::HashMap<Owned, AtomicU64, RandomState>;

impl Map for Papaya {
    const NAME: &str = "papaya";

    fn new() -> Self {
        Papaya::default()
    }

    #[inline]
    fn get(&self, name: (&str, &str)) -> Option<u64> {
        self.pin().get(&Pair(name.0, name.1)).map(load)
    }

    #[inline]
    fn insert(&self, name: (&str, &str)) -> bool {
        let owned = Owned::new(name);
        self.pin().insert(owned, AtomicU64::new(0)).is_none()
    }

    #[inline]
    fn remove(&self, name: (&str, &str)) -> bool {
        self.pin().remove(&Pair(name.0, name.1)).is_some()
    }
}

pub type Dash = dashmap::DashMap<Owned, AtomicU64, RandomState>;

impl Map for Dash {
    const NAME: &str = "dashmap";

    fn new() -> Self {
        Dash::default()
    }

    #[inline]
    fn get(&self, name: (&str, &str)) -> Option<u64> {
        let name: &dyn Parts = &Pair(name.0, name.1);
        Dash::get(self, name).map(|word| load(&word))
    }

    #[inline]
    fn insert(&self, name: (&str, &str)) -> bool {
        Dash::insert(self, Owned::new(name), AtomicU64::new(0)).is_none()
    }

    #[inline]
    fn remove(&self, name: (&str, &str)) -> bool {
        let name: &dyn Parts = &Pair(name.0, name.1);
        Dash::remove(self, name).is_some()
    }
}

pub type Scc = scc::HashMap<Owned, AtomicU64, RandomState>;

impl Map for Scc {
    const NAME: &str = "scc HashMap";

    fn new() -> Self {
        Scc::default()
    }

    #[inline]
    fn get(&self, name: (&str, &str)) -> Option<u64> {
        self.read_sync(&Pair(name.0, name.1), |_, word| load(word))
    }

    #[inline]
    fn insert(&self, name: (&str, &str)) -> bool {
        self.insert_sync(Owned::new(name), AtomicU64::new(0))
            .is_ok()
    }

    #[inline]
    fn remove(&self, name: (&str, &str)) -> bool {
        self.remove_sync(&Pair(name.0, name.1)).is_some()
    }
}

pub type SccIndex = scc::HashIndex<Owned, AtomicU64, RandomState>;

impl Map for SccIndex {
    const NAME: &str = "scc HashIndex";

    fn new() -> Self {
        SccIndex::default()
    }

    #[inline]
    fn get(&self, name: (&str, &str)) -> Option<u64> {
        self.peek_with(&Pair(name.0, name.1), |_, word| load(word))
    }

    #[inline]
    fn insert(&self, name: (&str, &str)) -> bool {
        self.insert_sync(Owned::new(name), AtomicU64::new(0))
            .is_ok()
    }

    #[inline]
    fn remove(&self, name: (&str, &str)) -> bool {
        self.remove_sync(&Pair(name.0, name.1))
    }
}

/// Hashing a name, which no look-up can do without.
#[inline]
pub fn hash(random: &RandomState, name: (&str, &str)) -> u64 {
    random.hash_one(Pair(name.0, name.1))
}
