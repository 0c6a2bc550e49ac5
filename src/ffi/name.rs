//! A connection's name as C gives it, for entries that have a short way.
//!
//! The short way has the name in registers, and no errors. If the name is invalid, the long way
//! reads it again and says what is wrong with it.

use std::ffi::c_char;
use std::str;

use super::args::key_of_lengths;
use super::strings::{self, TERMINATED};
use crate::values::error::Error;
use crate::values::key::Key;

/// A connection's name as C gives it: two texts of these lengths, or [`TERMINATED`].
#[derive(Clone, Copy)]
pub(super) struct Name {
    identifier: (*const c_char, usize),
    scope: (*const c_char, usize),
}

impl Name {
    #[inline(always)]
    pub(super) fn terminated(identifier: *const c_char, scope: *const c_char) -> Self {
        Name::of_lengths(identifier, TERMINATED, scope, TERMINATED)
    }

    #[inline(always)]
    pub(super) fn of_lengths(
        identifier: *const c_char,
        identifier_length: usize,
        scope: *const c_char,
        scope_length: usize,
    ) -> Self {
        Name {
            identifier: (identifier, identifier_length),
            scope: (scope, scope_length),
        }
    }

    /// The name, or an error that says what is wrong with it.
    ///
    /// # Safety
    ///
    /// The rule for pointers in [`args`](super::args).
    #[inline]
    pub(super) unsafe fn key<'a>(self) -> Result<Key<'a>, Error> {
        let ((identifier, length), (scope, scope_length)) = (self.identifier, self.scope);
        // SAFETY: both are NULL or texts of their lengths: this function's # Safety.
        unsafe { key_of_lengths(identifier, length, scope, scope_length) }
    }

    /// The name, for the short way of a call: without an error it fits into registers. `None` if it
    /// is invalid: [`Name::key`] then says why.
    ///
    /// # Safety
    ///
    /// The rule for pointers in [`args`](super::args).
    #[inline(always)]
    pub(super) unsafe fn plain<'a>(self) -> Option<Key<'a>> {
        let ((identifier, length), (scope, scope_length)) = (self.identifier, self.scope);
        if identifier.is_null() {
            return None;
        }
        // SAFETY: not NULL, so texts of their lengths: this function's # Safety.
        unsafe {
            let identifier = plain_text(identifier, length)?;
            let scope = match scope.is_null() {
                true => None,
                false => Some(plain_text(scope, scope_length)?),
            };
            Some(Key::new(scope, identifier))
        }
    }
}

/// A text of this length, or [`TERMINATED`]. `None` if it is no UTF-8, or longer than memory.
///
/// # Safety
///
/// Not NULL, and otherwise the rule for pointers in [`args`](super::args).
#[inline(always)]
unsafe fn plain_text<'a>(text: *const c_char, length: usize) -> Option<&'a str> {
    // SAFETY: a text of its length: this function's # Safety.
    let (bytes, is_ascii) = unsafe { strings::bytes(text, length) }?;
    match is_ascii {
        // SAFETY: ASCII is UTF-8.
        true => Some(unsafe { str::from_utf8_unchecked(bytes) }),
        false => str::from_utf8(bytes).ok(),
    }
}
