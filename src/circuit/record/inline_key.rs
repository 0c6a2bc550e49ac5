//! A connection's name, where a look-up needs it: beside the word.
//!
//! A name whose scope and identifier are short together (as most are) lies in the record itself, so
//! that a look-up by name reads one cache line of it: name, number and word. A longer name is
//! allocated. Scope and identifier are one text, with the length of the scope beside it.

use std::alloc::{self, Layout};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;

use crate::values::key::{self, Key};
use crate::values::name_beginning::{NameBeginning, SHORT};

/// How many bytes of scope and identifier together need no allocation.
const INLINE: usize = SHORT;

/// Scope and identifier, one after the other. Aligned to two bytes only: six
/// bytes of other fields share its line.
#[repr(C)]
pub(super) struct Name {
    /// The text, or the address of it: [`Name::is_inline`]. Not plain bytes: a pointer that is
    /// moved as plain bytes is no valid pointer afterwards.
    bytes: [MaybeUninit<u8>; INLINE],
    len: u16,
    /// How many bytes of it are the scope; 0: none, since no scope is empty.
    scope_len: u16,
}

impl Name {
    /// The name of no connection.
    pub(super) const EMPTY: Name = Name {
        bytes: [MaybeUninit::new(0); INLINE],
        len: 0,
        scope_len: 0,
    };

    /// Fills an empty name with this key. In place, since a value that was just written in pieces
    /// is slow to move.
    #[inline]
    pub(super) fn fill(&mut self, key: Key<'_>) {
        let scope = key.scope().unwrap_or_default();
        let length = |text: &str| u16::try_from(text.len()).expect("validated: at most 1024");
        self.len = length(scope) + length(key.identifier());
        self.scope_len = length(scope);
        let text = if self.is_inline() {
            self.bytes.as_mut_ptr().cast()
        } else {
            self.allocate()
        };
        // SAFETY: `text` has room for `len` bytes, inline or allocated with `layout`, which is
        // the sum of both lengths; the key's own text does not overlap with it.
        unsafe {
            copy(scope.as_bytes(), text);
            copy(key.identifier().as_bytes(), text.add(scope.len()));
        }
    }

    #[cold]
    fn allocate(&mut self) -> *mut u8 {
        // SAFETY: the layout is not empty.
        let text = unsafe { alloc::alloc(self.layout()) };
        if text.is_null() {
            alloc::handle_alloc_error(self.layout());
        }
        let bytes = self.bytes.as_mut_ptr();
        // SAFETY: `bytes` has room for a pointer, which is written without alignment.
        unsafe { bytes.cast::<*mut u8>().write_unaligned(text) };
        text
    }

    #[inline]
    pub(super) fn key(&self) -> Key<'_> {
        // SAFETY: the text is two `&str`, one after the other, and lives as long
        // as `self`; the first is `scope_len` bytes long.
        unsafe {
            let text = std::slice::from_raw_parts(self.text(), usize::from(self.len));
            let (scope, identifier) = text.split_at_unchecked(usize::from(self.scope_len));
            Key::new(
                (self.scope_len > 0).then(|| str::from_utf8_unchecked(scope)),
                str::from_utf8_unchecked(identifier),
            )
        }
    }

    /// The beginning of the name, as a plain value.
    #[inline(always)]
    pub(super) fn beginning(&self) -> NameBeginning {
        if self.is_inline() {
            // SAFETY: `fill` wrote `len` bytes there, two texts in UTF-8, of which the first has
            // `scope_len`; they fit, as the name is inline.
            return unsafe { NameBeginning::of_text(&self.bytes, [self.len, self.scope_len]) };
        }
        NameBeginning::of_key(self.key())
    }

    #[inline(always)]
    pub(super) fn is(&self, key: Key<'_>) -> bool {
        let (scope, identifier) = (key.scope(), key.identifier());
        let scope_len = scope.map_or(0, str::len);
        let len = scope_len + identifier.len();
        if len > INLINE {
            return self.is_long(scope, identifier);
        }
        // Both lengths at once.
        if (scope_len << 16 | len) != usize::from(self.scope_len) << 16 | usize::from(self.len) {
            return false;
        }
        // SAFETY: `fill` wrote a text here, inline, and both lengths were compared with its own.
        unsafe { reads(self.bytes.as_ptr().cast(), scope, identifier) }
    }

    /// [`Name::is`] for a long name. Two texts fit into registers; a key would go through memory.
    #[inline(never)]
    fn is_long(&self, scope: Option<&str>, identifier: &str) -> bool {
        let scope_len = scope.map_or(0, str::len);
        usize::from(self.scope_len) == scope_len
            && usize::from(self.len) - scope_len == identifier.len()
            // SAFETY: `fill` wrote a text there, and both lengths were compared with its own.
            && unsafe { reads(self.text(), scope, identifier) }
    }

    #[inline]
    fn is_inline(&self) -> bool {
        usize::from(self.len) <= INLINE
    }

    #[inline]
    fn text(&self) -> *const u8 {
        if self.is_inline() {
            return self.bytes.as_ptr().cast();
        }
        // SAFETY: the text is not inline, so `allocate` wrote a pointer there, without alignment.
        unsafe { self.bytes.as_ptr().cast::<*const u8>().read_unaligned() }
    }

    fn layout(&self) -> Layout {
        Layout::array::<u8>(usize::from(self.len)).expect("a few kilobytes at most")
    }
}

/// Whether `text` is these two, one after the other.
///
/// # Safety
///
/// `text` points to a text that is as long as both together.
#[inline(always)]
unsafe fn reads(text: *const u8, scope: Option<&str>, identifier: &str) -> bool {
    let scope_len = scope.map_or(0, str::len);
    // SAFETY: this function's # Safety: the text is as long as both parts together.
    let (own, rest) = unsafe {
        let rest = text.add(scope_len);
        (
            std::slice::from_raw_parts(text, scope_len),
            std::slice::from_raw_parts(rest, identifier.len()),
        )
    };
    key::same(rest, identifier.as_bytes())
        && scope.is_none_or(|scope| {
            // An empty scope is no scope's name, and not the same as none.
            !scope.is_empty() && key::same(own, scope.as_bytes())
        })
}

/// Copies usual lengths without a call, as two words that may overlap.
///
/// # Safety
///
/// `to` has room for `from.len()` bytes.
#[inline]
unsafe fn copy(from: &[u8], to: *mut u8) {
    let (len, from) = (from.len(), from.as_ptr());
    // SAFETY: this function's # Safety: `to` has room for `from.len()` bytes. Both words lie
    // within the text, since the lengths of their arms are at least a word's.
    unsafe {
        match len {
            8..=16 => {
                let words = [from, from.add(len - 8)].map(|at| at.cast::<u64>().read_unaligned());
                to.cast::<u64>().write_unaligned(words[0]);
                to.add(len - 8).cast::<u64>().write_unaligned(words[1]);
            }
            4..=7 => {
                let words = [from, from.add(len - 4)].map(|at| at.cast::<u32>().read_unaligned());
                to.cast::<u32>().write_unaligned(words[0]);
                to.add(len - 4).cast::<u32>().write_unaligned(words[1]);
            }
            _ => ptr::copy_nonoverlapping(from, to, len),
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if !self.is_inline() {
            // SAFETY: allocated by `allocate` with this layout, freed once.
            unsafe { alloc::dealloc(self.text().cast_mut(), self.layout()) };
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_it_was_made_of() {
        let make = |key| {
            let mut name = Name::EMPTY;
            name.fill(key);
            name
        };
        let text = "0123456789abcdefghijklmnopqrstuvwxyz";
        for (scope_len, len) in
            (0..36).flat_map(|scope_len| (1..36).map(move |len| (scope_len, len)))
        {
            let scope = (scope_len > 0).then(|| &text[..scope_len]);
            let key = Key::new(scope, &text[..len]);
            let name = make(key);
            assert!(name.key() == key && name.is(key), "{name:?}");
        }
        let long = "long".repeat(256);
        for scope in [None, Some("s"), Some("exactly eleven"), Some(&*long)] {
            for identifier in ["i", "0123456789", "ein über 24 Byte langer Name", &long] {
                let key = Key::new(scope, identifier);
                let name = make(key);
                assert!(name.key() == key && name.is(key), "{name:?}");
                assert!(!name.is(Key::new(Some("other"), identifier)), "{name:?}");
                assert!(!name.is(Key::new(Some(""), identifier)), "{name:?}");
                assert!(!name.is(Key::new(scope, "other")), "{name:?}");
            }
        }
    }
}
