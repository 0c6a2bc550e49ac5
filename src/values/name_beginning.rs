//! The beginning of a connection's name, as a plain value. It is for rejections, of which many are
//! made, and which borrow nothing and allocate nothing.
//!
//! Short names lie in their record. They are copied whole, without a branch on their length. Of a
//! long name the identifier is kept first, and the scope gets the bytes that are left.

use std::fmt;
use std::mem::MaybeUninit;

use crate::values::event::beginning;
use crate::values::key::Key;

/// How many bytes of scope and identifier are kept.
const MOST: usize = 40;
/// How many bytes a short name has at most.
pub(crate) const SHORT: usize = 24;

/// Scope and identifier, one after the other, in `short` and `more`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct NameBeginning {
    short: [MaybeUninit<u8>; SHORT],
    /// Apart, so that a short name copies nothing else.
    more: [MaybeUninit<u8>; MOST - SHORT],
    /// The length of both together, with [`CUT`] if the identifier is cut; and the length of the
    /// scope, with [`CUT`] if the scope is cut.
    lengths: [u16; 2],
}

const CUT: u16 = 1 << 15;

impl NameBeginning {
    /// The beginning of no name.
    pub(crate) const EMPTY: NameBeginning = NameBeginning {
        short: [MaybeUninit::uninit(); SHORT],
        more: [MaybeUninit::uninit(); MOST - SHORT],
        lengths: [0; 2],
    };

    /// Copies a short name. `text` has the scope, then the identifier. `lengths` are the length of
    /// both together, and the length of the scope.
    ///
    /// # Safety
    ///
    /// Both parts are UTF-8, have these lengths, and are in `text`.
    #[inline(always)]
    pub(crate) unsafe fn of_text(text: &[MaybeUninit<u8>; SHORT], lengths: [u16; 2]) -> Self {
        NameBeginning {
            short: *text,
            more: [MaybeUninit::uninit(); MOST - SHORT],
            lengths,
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn of_key(key: Key<'_>) -> Self {
        let (identifier, scope) = (key.identifier(), key.scope().unwrap_or_default());
        let kept = beginning(identifier, MOST).len();
        let kept_scope = beginning(scope, MOST - kept).len();
        let length = |kept: usize, is_cut| kept as u16 | if is_cut { CUT } else { 0 };
        let mut name = NameBeginning {
            lengths: [
                length(kept_scope + kept, kept < identifier.len()),
                length(kept_scope, kept_scope < scope.len()),
            ],
            ..NameBeginning::EMPTY
        };
        let text = scope[..kept_scope]
            .bytes()
            .chain(identifier[..kept].bytes());
        for (to, byte) in name.short.iter_mut().chain(&mut name.more).zip(text) {
            to.write(byte);
        }
        name
    }

    fn parts(&self) -> (&str, &str) {
        let [length, scope_length] = self.lengths.map(|length| usize::from(length & !CUT));
        // SAFETY: `of_text`, by its # Safety, and `of_key` have written `length` bytes: two texts
        // in UTF-8, of which the first has `scope_length`. `more` follows `short` without padding.
        unsafe {
            let text = (&raw const *self).cast::<u8>();
            let text = std::slice::from_raw_parts(text, length);
            let (scope, identifier) = text.split_at_unchecked(scope_length);
            (
                str::from_utf8_unchecked(scope),
                str::from_utf8_unchecked(identifier),
            )
        }
    }

    pub(crate) fn identifier(&self) -> &str {
        self.parts().1
    }

    pub(crate) fn scope(&self) -> Option<&str> {
        let scope = self.parts().0;
        (self.lengths[1] != 0).then_some(scope)
    }

    /// Whether the identifier and the scope are cut.
    fn is_cut(&self) -> [bool; 2] {
        self.lengths.map(|length| length & CUT != 0)
    }
}

impl PartialEq for NameBeginning {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts() && self.is_cut() == other.is_cut()
    }
}

impl Eq for NameBeginning {}

impl fmt::Debug for NameBeginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NameBeginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [more, scope_more] = self.is_cut().map(|is_cut| if is_cut { "…" } else { "" });
        let identifier = self.identifier().escape_debug();
        write!(f, "\"{identifier}{more}\"")?;
        match self.scope() {
            Some(scope) => {
                let scope = scope.escape_debug();
                write!(f, " in scope \"{scope}{scope_more}\"")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_characters_its_scope_first() {
        let name = NameBeginning::of_key(Key::from(("billing", "db")));
        assert_eq!(name.to_string(), "\"db\" in scope \"billing\"");
        let (scope, identifier) = ("é".repeat(20), "x".repeat(29));
        let name = NameBeginning::of_key(Key::from((scope.as_str(), identifier.as_str())));
        assert_eq!(
            (name.scope(), name.identifier()),
            (Some("ééééé"), &*identifier)
        );
        assert_eq!(
            name.to_string(),
            format!("\"{identifier}\" in scope \"ééééé…\"")
        );
        let identifier = "é".repeat(21);
        let name = NameBeginning::of_key(Key::from((scope.as_str(), identifier.as_str())));
        let shown = format!("\"{}…\" in scope \"…\"", "é".repeat(20));
        assert_eq!(name.to_string(), shown);
        assert_eq!(NameBeginning::of_key(Key::from("db")).to_string(), "\"db\"");
    }
}
