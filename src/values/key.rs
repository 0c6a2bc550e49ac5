//! The name of a connection: an identifier, and optionally a scope.
//!
//! Two keys name the same connection only if both parts are equal. The parts are never
//! concatenated, so `"a:b"` without a scope and `"b"` in scope `"a"` stay apart.
//!
//! The hash is a folded multiply in the manner of wyhash (Wang Yi, 2019). Its secrets are drawn for
//! each manager from the operating system's entropy, through `std`'s `RandomState`. So names that
//! an adversary chose spread like any others. SipHash would be stronger, and takes three times as
//! long for short names. The table compares whole keys after the hash, so a collision costs a
//! comparison and never gives a wrong answer.

use std::fmt;

use crate::sys::atomic::{modelled, shipped};
use crate::values::error::Error;

/// The longest identifier or scope, in bytes.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// let longest = "x".repeat(brama::MAX_NAME_BYTES);
/// brama.register(&longest, None)?;
/// assert!(brama.register(&(longest + "x"), None).is_err());
/// # Ok::<(), brama::Error>(())
/// ```
pub const MAX_NAME_BYTES: usize = 1024;

const RULE: &str = "must be 1 to 1024 bytes of UTF-8 without NUL";

/// A connection's name, borrowed: `"payment_api"`, or `("billing", "payment_api")`
/// as (scope, identifier).
///
/// ```
/// use brama::Key;
/// let plain: Key = "payment_api".into();
/// let scoped: Key = ("billing", "payment_api").into();
/// assert_ne!(plain, scoped);
/// ```
///
/// Both parts are 1 to 1024 bytes of UTF-8 without NUL. A key that breaks this rule can be made.
/// The operation that receives it returns [`Error::InvalidArgument`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'a> {
    scope: Option<&'a str>,
    identifier: &'a str,
}

/// A connection's name, owned.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// # let db = brama.register("db", None)?;
/// assert_eq!(db.key().to_string(), "\"db\"");
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyBuf {
    /// The scope, if it has one.
    pub scope: Option<String>,
    /// The identifier.
    pub identifier: String,
}

impl<'a> Key<'a> {
    /// The key of `identifier` in `scope`.
    ///
    /// ```
    /// let key = brama::Key::new(Some("billing"), "db");
    /// assert_eq!(key, ("billing", "db").into());
    /// ```
    pub fn new(scope: Option<&'a str>, identifier: &'a str) -> Self {
        Key { scope, identifier }
    }

    /// The scope, if it has one.
    ///
    /// ```
    /// let key = brama::Key::new(Some("billing"), "db");
    /// assert_eq!(key.scope(), Some("billing"));
    /// ```
    pub fn scope(&self) -> Option<&'a str> {
        self.scope
    }

    /// The identifier.
    ///
    /// ```
    /// let key = brama::Key::new(Some("billing"), "db");
    /// assert_eq!(key.identifier(), "db");
    /// ```
    pub fn identifier(&self) -> &'a str {
        self.identifier
    }

    /// This key with strings of its own.
    ///
    /// ```
    /// let key = brama::Key::new(Some("billing"), "db");
    /// assert_eq!(key.to_buf().identifier, "db");
    /// ```
    pub fn to_buf(&self) -> KeyBuf {
        KeyBuf {
            scope: self.scope.map(str::to_owned),
            identifier: self.identifier.to_owned(),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        match self.is_valid() {
            true => Ok(()),
            false => self.blame(),
        }
    }

    /// Whether [`Key::validate`] returns `Ok`.
    fn is_valid(&self) -> bool {
        is_valid(self.identifier) && self.scope.is_none_or(is_valid)
    }

    /// Returns the error that names the invalid part.
    #[cold]
    #[inline(never)]
    fn blame(&self) -> Result<(), Error> {
        validate_name("identifier", self.identifier)?;
        self.scope
            .map_or(Ok(()), |scope| validate_name("scope", scope))
    }
}

pub(crate) fn validate_name(argument: &'static str, name: &str) -> Result<(), Error> {
    match is_valid(name) {
        true => Ok(()),
        false => Err(Error::argument(argument, name, RULE)),
    }
}

fn is_valid(name: &str) -> bool {
    is_valid_with(Ends::of(name.as_bytes()), name.as_bytes())
}

/// Whether `name` is valid. `ends` is `Ends::of(name)`.
#[inline(always)]
fn is_valid_with(ends: Option<Ends>, name: &[u8]) -> bool {
    match ends {
        Some(ends) => !ends.have_nul(),
        None => is_valid_unusual(name),
    }
}

/// For names of fewer than 4 or more than 16 bytes.
#[cold]
#[inline(never)]
fn is_valid_unusual(name: &[u8]) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains(&0)
}

/// A whole name of usual length (4 to 16 bytes), as two words that may overlap.
#[derive(Clone, Copy)]
struct Ends {
    low: u64,
    high: u64,
    /// The bits of each word that hold no byte of the name.
    rest: u64,
}

impl Ends {
    #[inline(always)]
    fn of(name: &[u8]) -> Option<Self> {
        let len = name.len();
        match len {
            8..=16 => Some(Ends {
                low: word(name),
                high: word(&name[len - 8..]),
                rest: 0,
            }),
            4..=7 => Some(Ends {
                low: half(name),
                high: half(&name[len - 4..]),
                rest: u64::MAX << 32,
            }),
            _ => None,
        }
    }

    #[inline(always)]
    fn have_nul(self) -> bool {
        const ONES: u64 = u64::from_ne_bytes([1; 8]);
        // Sets the highest bit of each zero byte. Apart from these it can set only that of a byte
        // above a zero byte. So none of the highest bits is set if no byte is zero.
        let nul = |word: u64| word.wrapping_sub(ONES) & !word;
        (nul(self.low | self.rest) | nul(self.high | self.rest)) & (ONES << 7) != 0
    }
}

impl KeyBuf {
    /// Borrows it.
    ///
    /// ```
    /// let key = brama::Key::new(Some("billing"), "db");
    /// assert_eq!(key.to_buf().as_key(), key);
    /// ```
    pub fn as_key(&self) -> Key<'_> {
        Key::new(self.scope.as_deref(), &self.identifier)
    }
}

impl<'a> From<&'a str> for Key<'a> {
    fn from(identifier: &'a str) -> Self {
        Key::new(None, identifier)
    }
}

impl<'a> From<&'a String> for Key<'a> {
    fn from(identifier: &'a String) -> Self {
        Key::new(None, identifier)
    }
}

impl<'a> From<(&'a str, &'a str)> for Key<'a> {
    fn from((scope, identifier): (&'a str, &'a str)) -> Self {
        Key::new(Some(scope), identifier)
    }
}

impl<'a> From<(Option<&'a str>, &'a str)> for Key<'a> {
    fn from((scope, identifier): (Option<&'a str>, &'a str)) -> Self {
        Key::new(scope, identifier)
    }
}

impl<'a> From<&'a KeyBuf> for Key<'a> {
    fn from(key: &'a KeyBuf) -> Self {
        key.as_key()
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            Some(scope) => write!(f, "{:?} in scope {scope:?}", self.identifier),
            None => write!(f, "{:?}", self.identifier),
        }
    }
}

impl fmt::Display for KeyBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_key().fmt(f)
    }
}

/// The secrets of one manager's hash.
#[derive(Clone, Copy)]
pub(crate) struct Hasher {
    secret: [u64; 4],
}

shipped! {
    fn random_words() -> [u64; 4] {
        use std::hash::{BuildHasher, RandomState};
        let state = RandomState::new();
        [0_u64, 1, 2, 3].map(|number| state.hash_one(number))
    }
}

modelled! {
    /// Secrets that are the same in every run of a model.
    fn random_words() -> [u64; 4] {
        [0x9e37_79b9, 0x7f4a_7c15, 0x85eb_ca6b, 0xc2b2_ae35].map(|word: u64| word << 32 | word)
    }
}

impl Hasher {
    /// A hasher with secrets that no other process knows.
    pub(crate) fn new() -> Self {
        // Odd secrets keep the products from collapsing to zero.
        Hasher {
            secret: random_words().map(|word| word | 1),
        }
    }

    /// Hashes both parts, each with its length, so that moving a character from
    /// one to the other changes the hash. Always inlined, because a look-up
    /// by name does little else.
    #[inline(always)]
    pub(crate) fn hash(&self, key: Key<'_>) -> u64 {
        let [plain, scoped, _, right] = self.secret;
        let start = match key.scope {
            None => plain,
            Some(scope) => self.absorb(scoped, scope.as_bytes()).0,
        };
        fold(self.absorb(start, key.identifier.as_bytes()).0, right)
    }

    /// [`Hasher::hash`], and whether [`Key::validate`] returns `Ok`: in one pass over the name.
    #[inline(always)]
    pub(crate) fn hash_and_validate(&self, key: Key<'_>) -> (u64, bool) {
        let [plain, scoped, _, right] = self.secret;
        let (start, is_valid) = match key.scope {
            None => (plain, true),
            Some(scope) => {
                let (start, ends) = self.absorb(scoped, scope.as_bytes());
                (start, is_valid_with(ends, scope.as_bytes()))
            }
        };
        let (end, ends) = self.absorb(start, key.identifier.as_bytes());
        let is_valid = is_valid && is_valid_with(ends, key.identifier.as_bytes());
        (fold(end, right), is_valid)
    }

    #[inline(always)]
    fn absorb(&self, state: u64, bytes: &[u8]) -> (u64, Option<Ends>) {
        let [_, _, left, right] = self.secret;
        let state = state ^ (bytes.len() as u64).wrapping_mul(right);
        // All of a name of 4 to 16 bytes, as two words that may overlap.
        let ends = Ends::of(bytes);
        let hash = match ends {
            Some(Ends { low, high, .. }) => fold(low ^ left, high ^ state),
            None => self.absorb_unusual(state, bytes),
        };
        (hash, ends)
    }

    /// For names of fewer than 4 or more than 16 bytes.
    #[cold]
    #[inline(never)]
    fn absorb_unusual(&self, mut state: u64, bytes: &[u8]) -> u64 {
        let [_, _, left, _] = self.secret;
        let mut rest = bytes;
        while rest.len() > 16 {
            state = fold(word(rest) ^ left, word(&rest[8..]) ^ state);
            rest = &rest[16..];
        }
        let (low, high) = match rest {
            [] => (0, 0),
            [.., last] if rest.len() < 4 => (
                u64::from(rest[0]) | u64::from(rest[rest.len() / 2]) << 8,
                u64::from(*last),
            ),
            [..] if rest.len() < 8 => (half(rest), half(&rest[rest.len() - 4..])),
            [..] => (word(rest), word(&rest[rest.len() - 8..])),
        };
        fold(low ^ left, high ^ state)
    }
}

/// Whether two names are equal. Names are short, and a call of the library's comparison costs more
/// than comparing a word or two.
#[inline(always)]
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        // Two words that may overlap.
        8..=16 => {
            let last = a.len() - 8;
            word(a) == word(b) && word(&a[last..]) == word(&b[last..])
        }
        4..=7 => half(a) == half(b) && half(&a[a.len() - 4..]) == half(&b[b.len() - 4..]),
        _ => same_unusual(a, b),
    }
}

/// For names of fewer than 4 or more than 16 bytes.
#[cold]
#[inline(never)]
fn same_unusual(a: &[u8], b: &[u8]) -> bool {
    a == b
}

/// The 128-bit product, its halves xored: every input bit reaches every output bit.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

#[inline]
fn half(bytes: &[u8]) -> u64 {
    u64::from(u32::from_le_bytes(
        bytes[..4].try_into().expect("four bytes"),
    ))
}

/// A well-mixed number from a counter-like one (splitmix64: Steele, Lea, Flood 2014).
pub(crate) fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
