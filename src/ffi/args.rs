//! Arguments: from what C gives to what the library takes.
//!
//! The functions here check an argument, and return an error that names it.
//!
//! **The rule for pointers** cannot be checked. The C program keeps it, and every `SAFETY` comment
//! of this floor rests on it: a pointer that is not NULL points to what its type says, for as long
//! as the call lasts. The same holds of the pointers in what it points to. A permit is zero, or
//! this library filled it in and its handle or manager has not been freed.

use std::ffi::c_char;
use std::fmt::Display;
use std::{mem, ptr, slice, str};

use super::handles::{brama_connection_t, brama_t};
use super::strings::{self, TERMINATED};
use super::types::brama_pair_t;
use crate::manager::Brama;
use crate::values::error::Error;
use crate::values::key::{Key, validate_name};

#[cold]
pub(super) fn invalid(
    name: &'static str,
    value: impl Display,
    allowed: impl Into<String>,
) -> Error {
    Error::argument_value(name, value, allowed)
}

#[cold]
pub(super) fn null(name: &'static str) -> Error {
    invalid(name, "NULL", "must not be NULL")
}

/// The manager of a pointer; NULL is the process-wide one.
///
/// # Safety
///
/// The rule for pointers: the top of the file.
#[inline]
pub(super) unsafe fn manager<'a>(manager: *mut brama_t) -> &'a Brama {
    // SAFETY: NULL, or a manager that is not freed during the call.
    match unsafe { manager.as_ref() } {
        Some(manager) => &manager.brama,
        None => crate::default(),
    }
}

/// A clone of the manager of a pointer, for a call that may run the host's functions. If one of
/// them frees the manager, it ends when the call returns.
///
/// # Safety
///
/// The rule for pointers (the top of the file), until the clone is made: a callback may free the
/// manager after that.
pub(super) unsafe fn kept_manager(manager: *mut brama_t) -> Brama {
    // SAFETY: NULL, or a manager that is not freed before its clone is made: this function's
    // # Safety.
    unsafe { self::manager(manager) }.clone()
}

/// The handle of a pointer; an error for NULL.
///
/// # Safety
///
/// The rule for pointers: the top of the file.
#[inline]
pub(super) unsafe fn handle<'a>(
    connection: *const brama_connection_t,
) -> Result<&'a brama_connection_t, Error> {
    // SAFETY: NULL, or a handle that is held during the call.
    unsafe { connection.as_ref() }.ok_or_else(|| null("connection"))
}

/// What a pointer points to; an error for NULL.
///
/// # Safety
///
/// The rule for pointers: the top of the file.
#[inline]
pub(super) unsafe fn given<'a, T>(name: &'static str, pointer: *const T) -> Result<&'a T, Error> {
    // SAFETY: NULL, or a `T` that stays for the call: this function's # Safety.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// Writes an answer to a place; does nothing for NULL.
///
/// # Safety
///
/// NULL, or a place for a `T`.
#[inline]
pub(super) unsafe fn put<T>(place: *mut T, answer: T) {
    if !place.is_null() {
        // SAFETY: not NULL, so a place for a `T`: this function's # Safety.
        unsafe { place.write(answer) };
    }
}

/// Writes NULL to the place for what an entry makes, since the entry may fail; does nothing if the
/// place is NULL.
///
/// # Safety
///
/// NULL, or a place for a pointer.
pub(super) unsafe fn clear<T>(out: *mut *mut T) {
    // SAFETY: NULL, or a place for a pointer: this function's # Safety.
    unsafe { put(out, ptr::null_mut()) }
}

/// The box behind a pointer that this library made and the caller gives back; `None` for NULL.
///
/// # Safety
///
/// NULL, or from `Box::into_raw`, and given back once.
pub(super) unsafe fn given_back<T>(made: *mut T) -> Option<Box<T>> {
    // SAFETY: not NULL, so from a box, and given back once: this function's # Safety.
    (!made.is_null()).then(|| unsafe { Box::from_raw(made) })
}

/// Refuses a reserved field that is not zero, so that it can have a meaning later.
pub(super) fn validate_reserved(field: &'static str, reserved: u32) -> Result<(), Error> {
    match reserved {
        0 => Ok(()),
        other => Err(invalid(field, other, "must be zero")),
    }
}

/// A place for an answer; an error for NULL.
#[inline]
pub(super) fn place<T>(name: &'static str, pointer: *mut T) -> Result<*mut T, Error> {
    if pointer.is_null() {
        return Err(null(name));
    }
    Ok(pointer)
}

/// A connection's name. Its length is validated where it is used.
///
/// # Safety
///
/// The rule for pointers: the top of the file.
#[inline(always)]
pub(super) unsafe fn key<'a>(
    identifier: *const c_char,
    scope: *const c_char,
) -> Result<Key<'a>, Error> {
    // SAFETY: both are NULL or strings: this function's # Safety.
    unsafe { key_of_lengths(identifier, TERMINATED, scope, TERMINATED) }
}

/// A connection's name of texts of these lengths, or [`TERMINATED`].
///
/// # Safety
///
/// The rule for pointers: the top of the file.
#[inline(always)]
pub(super) unsafe fn key_of_lengths<'a>(
    identifier: *const c_char,
    identifier_length: usize,
    scope: *const c_char,
    scope_length: usize,
) -> Result<Key<'a>, Error> {
    // SAFETY: both are NULL or texts of their lengths: this function's # Safety.
    unsafe {
        let identifier = text("identifier", identifier, identifier_length)?;
        let identifier = identifier.ok_or_else(|| null("identifier"))?;
        Ok(Key::new(text("scope", scope, scope_length)?, identifier))
    }
}

/// A text of this length, or [`TERMINATED`]; NULL for none.
///
/// # Safety
///
/// The rule for pointers: the top of the file.
#[inline(always)]
pub(super) unsafe fn text<'a>(
    argument: &'static str,
    text: *const c_char,
    length: usize,
) -> Result<Option<&'a str>, Error> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, so a text of its length: this function's # Safety.
    let Some((bytes, is_ascii)) = (unsafe { strings::bytes(text, length) }) else {
        return Err(too_long(argument, length));
    };
    if is_ascii {
        // SAFETY: ASCII is UTF-8.
        return Ok(Some(unsafe { str::from_utf8_unchecked(bytes) }));
    }
    utf8(argument, bytes).map(Some)
}

/// A scope that selects connections: `None` for NULL, which is any, and `Some(None)` for
/// BRAMA_NO_SCOPE.
///
/// # Safety
///
/// The rule for pointers: the top of the file.
pub(super) unsafe fn wanted_scope<'a>(
    argument: &'static str,
    scope: *const c_char,
) -> Result<Option<Option<&'a str>>, Error> {
    // SAFETY: `scope` is NULL or a string: this function's # Safety.
    let scope = unsafe { text(argument, scope, TERMINATED) }?;
    let scope = scope.map(|scope| Some(scope).filter(|scope| !scope.is_empty()));
    if let Some(Some(scope)) = scope {
        validate_name(argument, scope)?;
    }
    Ok(scope)
}

#[cold]
fn too_long(argument: &'static str, length: usize) -> Error {
    let value = format!("a text of {length} bytes");
    invalid(argument, value, "must fit into memory")
}

#[cold]
fn utf8<'a>(argument: &'static str, bytes: &'a [u8]) -> Result<&'a str, Error> {
    str::from_utf8(bytes).map_err(|_| {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]);
        Error::argument(argument, &shown, "must be UTF-8")
    })
}

/// Validates the step of a caller's array: the size of its structs, as the caller knows them.
pub(super) fn validate_step<T: Extensible>(
    argument: &'static str,
    step: usize,
) -> Result<(), Error> {
    if step < T::FIRST_SIZE || !step.is_multiple_of(mem::size_of::<usize>()) {
        return Err(invalid(
            argument,
            step,
            format!("must be sizeof({})", T::NAME),
        ));
    }
    Ok(())
}

/// Validates that memory can hold `count` elements, each `step` bytes after the one before.
pub(super) fn validate_extent<T>(
    name: &'static str,
    first: *const T,
    step: usize,
    count: usize,
) -> Result<(), Error> {
    match count {
        0 => Ok(()),
        _ if first.is_null() => Err(null(name)),
        count if count > isize::MAX as usize / step => {
            let value = format!("{count} elements");
            Err(invalid(name, value, "must fit into memory"))
        }
        _ => Ok(()),
    }
}

/// A caller's array; empty if `count` is 0, even for NULL.
///
/// # Safety
///
/// The rule for pointers: the top of the file.
pub(super) unsafe fn array<'a, T>(
    name: &'static str,
    first: *const T,
    count: usize,
) -> Result<&'a [T], Error> {
    validate_extent(name, first, mem::size_of::<T>(), count)?;
    if count == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL, as `validate_extent` found, so `count` values: this function's # Safety.
    Ok(unsafe { slice::from_raw_parts(first, count) })
}

/// Pairs of strings. NULL and 0 are `None`, which is not the same as an array of zero pairs.
///
/// # Safety
///
/// The rule for pointers: the top of the file.
pub(super) unsafe fn pairs<'a>(
    first: *const brama_pair_t,
    count: usize,
) -> Result<Option<Vec<(&'a str, &'a str)>>, Error> {
    if first.is_null() && count == 0 {
        return Ok(None);
    }
    // SAFETY: `first` is NULL or `count` pairs: this function's # Safety.
    let pairs = unsafe { array("metadata", first, count) }?;
    let each = |name, one: *const c_char| {
        // SAFETY: both texts of a pair are NULL or strings: this function's # Safety, of all
        // that `first` leads to.
        unsafe { text(name, one, TERMINATED) }?.ok_or_else(|| null(name))
    };
    let pairs = pairs.iter().map(|pair| {
        Ok((
            each("metadata key", pair.key)?,
            each("metadata value", pair.value)?,
        ))
    });
    pairs.collect::<Result<_, _>>().map(Some)
}

/// A struct that begins with its size and may grow at its end.
///
/// # Safety
///
/// The type is `repr(C)`, begins with a `usize` which is its size, and any bytes are a value of it.
pub(super) unsafe trait Extensible: Copy {
    const NAME: &'static str;
    /// The name of its `_init` function.
    const INIT: &'static str;
    /// The size in the first version of this interface. A field that is added later does not change
    /// it. `bindings/c/tests/c/layout.txt` has the numbers.
    const FIRST_SIZE: usize;
    /// A value with every field as its `_init` function leaves it.
    const BLANK: Self;
}

/// An upper bound of the size of any version of any of these structs.
const TOO_LARGE: usize = 4_096;

fn validate_size<T: Extensible>(argument: &'static str, size: usize) -> Result<(), Error> {
    match (T::FIRST_SIZE..=TOO_LARGE).contains(&size) {
        true => Ok(()),
        false => Err(wrong_size::<T>(argument, size)),
    }
}

#[cold]
fn wrong_size<T: Extensible>(argument: &'static str, size: usize) -> Error {
    let allowed = format!(
        "the size of a {} is {}, call {} before filling it in",
        T::NAME,
        mem::size_of::<T>(),
        T::INIT
    );
    invalid(argument, format!("a struct of size {size}"), allowed)
}

/// Reads a struct: the fields that caller and library both know, the rest blank. Refuses a struct
/// whose size is out of range, or that has bytes other than zero after what the library knows.
///
/// # Safety
///
/// The rule for pointers (the top of the file), and the struct is as long as its size says.
pub(super) unsafe fn read<T: Extensible>(
    argument: &'static str,
    from: *const T,
) -> Result<T, Error> {
    if from.is_null() {
        return Err(null(argument));
    }
    // SAFETY: not NULL, so a struct that begins with its size (`Extensible`) and is as long as that
    // says: this function's # Safety.
    unsafe {
        let size = from.cast::<usize>().read();
        validate_size::<T>(argument, size)?;
        let known = mem::size_of::<T>();
        let tail = from.cast::<u8>().add(known.min(size));
        let tail = slice::from_raw_parts(tail, size.saturating_sub(known));
        if tail.iter().any(|byte| *byte != 0) {
            let value = format!("a {} of size {size}", T::NAME);
            let allowed =
                format!("this library knows {known} bytes of it, what is beyond must be zero");
            return Err(invalid(argument, value, allowed));
        }
        let mut read = T::BLANK;
        let bytes = ptr::from_mut(&mut read).cast::<u8>();
        ptr::copy_nonoverlapping(from.cast::<u8>(), bytes, known.min(size));
        Ok(read)
    }
}

/// [`read`] of a struct in a place of `room` bytes; an error if the struct says that it is longer.
///
/// # Safety
///
/// As [`read`], if the struct's size is at most `room`. Otherwise the place has room for a size.
pub(super) unsafe fn read_within<T: Extensible>(
    argument: &'static str,
    from: *const T,
    room: usize,
) -> Result<T, Error> {
    if from.is_null() {
        return Err(null(argument));
    }
    // SAFETY: not NULL, so a place for a size: this function's # Safety.
    let size = unsafe { from.cast::<usize>().read() };
    if size > room {
        return Err(wrong_size::<T>(argument, size));
    }
    // SAFETY: not NULL, and as long as its size says: this function's # Safety.
    unsafe { read(argument, from) }
}

/// [`read`], or a blank struct for NULL.
///
/// # Safety
///
/// As [`read`].
pub(super) unsafe fn read_or_blank<T: Extensible>(
    argument: &'static str,
    from: *const T,
) -> Result<T, Error> {
    if from.is_null() {
        return Ok(T::BLANK);
    }
    // SAFETY: not NULL, so a struct as long as its size says: this function's # Safety.
    unsafe { read(argument, from) }
}

/// Validates a caller's struct that [`write()`] will fill in, before the work is done.
///
/// # Safety
///
/// As [`read`].
pub(super) unsafe fn validate_place<T: Extensible>(
    argument: &'static str,
    to: *mut T,
) -> Result<(), Error> {
    place(argument, to)?;
    // SAFETY: not NULL, as `place` found, so a struct, which begins with its size (`Extensible`).
    validate_size::<T>(argument, unsafe { to.cast::<usize>().read() })
}

/// Fills in the fields of a caller's struct that it has; its size stays.
///
/// # Safety
///
/// As [`read`], and [`validate_place`] has returned `Ok` for it.
pub(super) unsafe fn write<T: Extensible>(to: *mut T, value: &T) {
    let skip = mem::size_of::<usize>();
    // SAFETY: the caller's struct is as long as its size says, which is at least FIRST_SIZE, as
    // `validate_place` found: this function's # Safety.
    unsafe {
        let size = to.cast::<usize>().read().min(mem::size_of::<T>());
        let from = ptr::from_ref(value).cast::<u8>().add(skip);
        ptr::copy_nonoverlapping(from, to.cast::<u8>().add(skip), size - skip);
    }
}

/// The work of an `_init` function: writes the struct as it was in the first version; does nothing
/// for NULL. The macro BRAMA_X_INIT knows the fields that were added later.
///
/// # Safety
///
/// NULL, or room for the struct as it was in the first version.
pub(super) unsafe fn init<T: Extensible>(place: *mut T) {
    const { assert!(T::FIRST_SIZE <= mem::size_of::<T>()) };
    if !place.is_null() {
        // A variable: the address of a constant may be that of a temporary.
        let blank = T::BLANK;
        // SAFETY: not NULL, so room for FIRST_SIZE bytes: this function's # Safety. No more are
        // written, and the blank struct has as many: the assertion above.
        unsafe {
            let from = ptr::from_ref(&blank).cast::<u8>();
            ptr::copy_nonoverlapping(from, place.cast::<u8>(), T::FIRST_SIZE);
            place.cast::<usize>().write(T::FIRST_SIZE);
        }
    }
}
