//! The words of a permit: how they are written and read.
//!
//! A permit has six words. That of a healthy call uses two of them, and by name two more:
//!
//! ```text
//! from a handle   handle       place  stamp  –     –             –
//! by name         manager | 1  place  stamp  hash  registration  –
//! refused         0            0      0      0     0             0
//! ```
//!
//! The first word tells the three kinds apart: a handle and a manager are aligned, so the lowest
//! bit of their address is free. Place and stamp are a [`Token`]. A permit by name owns nothing: it
//! has a [`Trace`], by which its report looks the registration up again. Rejected: a reference to
//! the record (a permit that is copied and reported twice would free it twice).
//!
//! Words are read one by one. One load of two words that two stores have written waits until both
//! stores have reached the cache.

use std::mem::align_of;
use std::ptr;

use super::args::{self, invalid};
use super::handles::{brama_connection_t, brama_t};
use super::permit::brama_permit_t;
use crate::circuit::record::Token;
use crate::manager::trace::Trace;
use crate::manager::{Admission, Brama};
use crate::values::error::Error;

impl brama_permit_t {
    pub(super) const NONE: Self = brama_permit_t { opaque: [0; 6] };

    pub(super) fn of_handle(connection: *const brama_connection_t, token: Token) -> Self {
        let owner = connection.expose_provenance() as u64;
        brama_permit_t {
            opaque: [owner, token.place, token.stamp, 0, 0, 0],
        }
    }

    pub(super) fn by_name(manager: *mut brama_t, admission: Admission) -> Self {
        let Admission {
            trace: Trace { hash, id },
            token,
        } = admission;
        let owner = manager.expose_provenance() as u64 | BY_NAME;
        brama_permit_t {
            opaque: [owner, token.place, token.stamp, hash, id, 0],
        }
    }
}

const BY_NAME: u64 = 1;
const _: () = assert!(align_of::<brama_t>() > 1 && align_of::<brama_connection_t>() > 1);

/// Writes the two words of the permit of a healthy call, where possible with one store: a caller
/// that copies both words with one load then need not wait until two stores have reached the cache,
/// which takes longer than the whole call.
///
/// # Safety
///
/// `permit` is a place for a permit.
#[inline]
pub(super) unsafe fn grant(
    permit: *mut brama_permit_t,
    connection: *const brama_connection_t,
    mark: u64,
) {
    let owner = connection.expose_provenance() as u64;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: `permit` is a place for a permit, which is longer than two words: this function's
    // # Safety. Every such processor has these instructions.
    unsafe {
        use std::arch::x86_64::{_mm_set_epi64x, _mm_storeu_si128};
        let words = _mm_set_epi64x(mark.cast_signed(), owner.cast_signed());
        _mm_storeu_si128(permit.cast(), words);
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: `permit` is a place for a permit, which begins with two words: this function's
    // # Safety.
    unsafe {
        permit.cast::<[u64; 2]>().write([owner, mark]);
    }
}

/// Writes the words of the permit of a healthy call by name, two with each store, as in [`grant`].
///
/// # Safety
///
/// `permit` is a place for a permit.
#[inline(always)]
pub(super) unsafe fn grant_by_name(
    permit: *mut brama_permit_t,
    brama: &Brama,
    trace: Trace,
    mark: u64,
) {
    let owner = ptr::from_ref(brama).expose_provenance() as u64 | BY_NAME;
    let Trace { hash, id } = trace;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: `permit` is a place for a permit, which has three pairs of words: this function's
    // # Safety. Every such processor has these instructions.
    unsafe {
        use std::arch::x86_64::{__m128i, _mm_set_epi64x, _mm_storeu_si128};
        let pair = |one: u64, other: u64| _mm_set_epi64x(other.cast_signed(), one.cast_signed());
        let pairs = permit.cast::<__m128i>();
        _mm_storeu_si128(pairs, pair(owner, mark));
        _mm_storeu_si128(pairs.add(1), pair(0, hash));
        _mm_storeu_si128(pairs.add(2), pair(id, 0));
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: `permit` is a place for a permit: this function's # Safety.
    unsafe {
        permit
            .cast::<[u64; 6]>()
            .write([owner, mark, 0, hash, id, 0]);
    }
}

// The indices of the words of a permit.
pub(super) const OWNER: usize = 0;
const PLACE: usize = 1;
const STAMP: usize = 2;
const HASH: usize = 3;
const REGISTRATION: usize = 4;

/// One word of a permit. Only two words of a healthy call's permit are initialised, so a permit is
/// never read as a whole.
///
/// # Safety
///
/// A permit that has this word.
#[inline(always)]
pub(super) unsafe fn word(permit: *const brama_permit_t, word: usize) -> u64 {
    // SAFETY: `permit` is a permit that has this word: this function's # Safety.
    unsafe { permit.cast::<u64>().add(word).read() }
}

/// The token of a permit.
///
/// # Safety
///
/// A permit.
pub(super) unsafe fn token_in(permit: *const brama_permit_t) -> Token {
    // SAFETY: `permit` is a permit; its first word says whether the token has a second: this
    // function's # Safety.
    unsafe {
        let place = word(permit, PLACE);
        match Token::has_stamp(place) {
            true => Token {
                place,
                stamp: word(permit, STAMP),
            },
            false => Token::to_pass(place),
        }
    }
}

/// The trace of a permit by name.
///
/// # Safety
///
/// A permit by name.
#[inline(always)]
unsafe fn trace_in(permit: *const brama_permit_t) -> Trace {
    // SAFETY: a permit by name has these words: this function's # Safety.
    unsafe {
        Trace {
            hash: word(permit, HASH),
            id: word(permit, REGISTRATION),
        }
    }
}

/// The manager of a permit by name, its trace, and the first word of its token. `None` if the token
/// has a second word, or if the permit is not by name.
///
/// # Safety
///
/// A permit whose manager is still there, if it is by name.
#[inline(always)]
pub(super) unsafe fn healthy_by_name<'a>(
    permit: *const brama_permit_t,
) -> Option<(&'a Brama, Trace, u64)> {
    // SAFETY: `permit` is a permit: this function's # Safety.
    unsafe {
        let (owner, place) = (word(permit, OWNER), word(permit, PLACE));
        if owner & BY_NAME == 0 || Token::has_stamp(place) {
            return None;
        }
        let manager = manager_of(owner)?;
        Some((&manager.brama, trace_in(permit), place))
    }
}

/// The manager of a permit by name; `None` if the word is BY_NAME alone.
///
/// # Safety
///
/// The first word of a permit by name, whose manager is still there, or BY_NAME alone.
#[inline(always)]
unsafe fn manager_of<'a>(owner: u64) -> Option<&'a brama_t> {
    let address = (owner & !BY_NAME) as usize;
    let manager = ptr::with_exposed_provenance::<brama_t>(address);
    // SAFETY: zero or the address of a manager that is still there: this function's # Safety.
    unsafe { manager.as_ref() }
}

/// The handle of a permit, and the first word of its token; `None` if the permit is not from a
/// handle.
///
/// # Safety
///
/// A permit whose handle is still there, if it is from one.
#[inline(always)]
pub(super) unsafe fn healthy<'a>(
    permit: *const brama_permit_t,
) -> Option<(&'a brama_connection_t, u64)> {
    // SAFETY: `permit` is a permit, whose handle is still there: this function's # Safety.
    unsafe {
        let handle = handle_of(word(permit, OWNER))?;
        Some((handle, word(permit, PLACE)))
    }
}

/// The handle of a permit; `None` if the permit is not from a handle.
///
/// # Safety
///
/// The first word of a permit whose handle is still there, if it is from one.
#[inline]
unsafe fn handle_of<'a>(owner: u64) -> Option<&'a brama_connection_t> {
    if owner & BY_NAME != 0 {
        return None;
    }
    let handle = ptr::with_exposed_provenance::<brama_connection_t>(owner as usize);
    // SAFETY: not BY_NAME, so zero or the address of a handle that is still there: this
    // function's # Safety.
    unsafe { handle.as_ref() }
}

/// A permit, as its words say.
pub(super) enum Granted<'a> {
    ByHandle(&'a brama_connection_t, Token),
    ByName(&'a Brama, Admission),
}

impl<'a> Granted<'a> {
    /// Reads a permit; an error for NULL and for a permit of zeroes.
    ///
    /// # Safety
    ///
    /// NULL, zero, or a permit whose handle or manager is still there.
    #[inline]
    pub(super) unsafe fn to(permit: *const brama_permit_t) -> Result<Self, Error> {
        if permit.is_null() {
            return Err(args::null("permit"));
        }
        // SAFETY: not NULL, so a permit: this function's # Safety.
        let owner = unsafe { word(permit, OWNER) };
        // SAFETY: `owner` is its first word, and its handle is still there: this function's
        // # Safety.
        if let Some(handle) = unsafe { handle_of(owner) } {
            // SAFETY: `permit` is a permit: this function's # Safety.
            return Ok(Granted::ByHandle(handle, unsafe { token_in(permit) }));
        }
        // SAFETY: BY_NAME, so zero or the address of a manager that is still there: this
        // function's # Safety.
        match unsafe { manager_of(owner) } {
            Some(manager) => {
                // SAFETY: a permit by name, so `grant_by_name` or `by_name` wrote all its words.
                let admission = unsafe {
                    Admission {
                        trace: trace_in(permit),
                        token: token_in(permit),
                    }
                };
                Ok(Granted::ByName(&manager.brama, admission))
            }
            None => {
                let allowed = "must have been given by brama_acquire or brama_connection_acquire";
                Err(invalid("permit", "zero", allowed))
            }
        }
    }
}
