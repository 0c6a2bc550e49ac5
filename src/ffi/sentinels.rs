//! Sentinels, numbers with a meaning of their own: BRAMA_NOT_GIVEN_…, BRAMA_INHERIT_…,
//! BRAMA_NEVER, BRAMA_UNLIMITED, BRAMA_NONE.
//!
//! Each meaning has the same value in all integer types, as two's complement: -1 is without an end,
//! -2 not given, -3 inherited, -4 none. So a constant that a compiler has cut to the width of the
//! field keeps its meaning. A field refuses a constant that it does not know, and the error has the
//! constant's name.
//!
//! A double has constants of its own, since all integer constants of 64 bits become the same
//! double. The integer constants are refused in a double, BRAMA_NONE among them: there it is the
//! same number as BRAMA_NEVER.
//!
//! Widening does not keep the meaning: in a field of 64 bits, the 0xfffffffe of BRAMA_NOT_GIVEN_U32
//! is a length of 49 days. Such a field refuses the numbers of BRAMA_NOT_GIVEN_U32 and
//! BRAMA_INHERIT_U32, since a program hardly means them. It takes that of BRAMA_UNLIMITED, which is
//! UINT32_MAX: programs use that number.

use std::fmt::Display;

use super::types::*;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found<T> {
    NotGiven,
    Inherit,
    /// BRAMA_NEVER or BRAMA_UNLIMITED.
    Endless,
    /// BRAMA_NONE.
    None,
    /// A constant for a field of another type, by its name.
    Foreign(&'static str),
    Number(T),
}

/// A type of fields that may hold a sentinel.
pub(super) trait Field: Copy + Display {
    fn found(self) -> Found<Self>;

    /// The name of this value in an error.
    fn name(self) -> String;
}

impl Field for u32 {
    fn found(self) -> Found<u32> {
        const NONE: u32 = BRAMA_NONE as u32;
        match self {
            BRAMA_NOT_GIVEN_U32 => Found::NotGiven,
            BRAMA_INHERIT_U32 => Found::Inherit,
            BRAMA_UNLIMITED => Found::Endless,
            NONE => Found::None,
            number => Found::Number(number),
        }
    }

    fn name(self) -> String {
        named(
            self,
            [
                "BRAMA_UNLIMITED",
                "BRAMA_NOT_GIVEN_U32",
                "BRAMA_INHERIT_U32",
            ],
        )
    }
}

impl Field for u64 {
    fn found(self) -> Found<u64> {
        const NOT_GIVEN: u64 = BRAMA_NOT_GIVEN_U32 as u64;
        const INHERIT: u64 = BRAMA_INHERIT_U32 as u64;
        match self {
            BRAMA_NOT_GIVEN_U64 => Found::NotGiven,
            BRAMA_INHERIT_U64 => Found::Inherit,
            BRAMA_NEVER => Found::Endless,
            BRAMA_NONE => Found::None,
            NOT_GIVEN => Found::Foreign("BRAMA_NOT_GIVEN_U32"),
            INHERIT => Found::Foreign("BRAMA_INHERIT_U32"),
            number => Found::Number(number),
        }
    }

    fn name(self) -> String {
        named(
            self,
            ["BRAMA_NEVER", "BRAMA_NOT_GIVEN_U64", "BRAMA_INHERIT_U64"],
        )
    }
}

impl Field for i32 {
    fn found(self) -> Found<i32> {
        const ENDLESS: i32 = BRAMA_NEVER as i32;
        const NONE: i32 = BRAMA_NONE as i32;
        match self {
            BRAMA_NOT_GIVEN_I32 => Found::NotGiven,
            BRAMA_INHERIT_I32 => Found::Inherit,
            ENDLESS => Found::Endless,
            NONE => Found::None,
            number => Found::Number(number),
        }
    }

    /// With the number, since a program may mean just -1.
    fn name(self) -> String {
        let name = named(
            self,
            ["BRAMA_NEVER", "BRAMA_NOT_GIVEN_I32", "BRAMA_INHERIT_I32"],
        );
        match self.found() {
            Found::Endless | Found::None => format!("{name} ({self})"),
            _ => name,
        }
    }
}

impl Field for f64 {
    fn found(self) -> Found<f64> {
        // All constants of 64 bits are this number, as a double.
        const OF_64_BITS: f64 = BRAMA_NEVER as f64;
        const NONE: f64 = BRAMA_NONE as u32 as f64;
        const UNLIMITED: f64 = BRAMA_UNLIMITED as f64;
        const NOT_GIVEN: f64 = BRAMA_NOT_GIVEN_U32 as f64;
        const INHERIT: f64 = BRAMA_INHERIT_U32 as f64;
        match self {
            BRAMA_NOT_GIVEN_F64 => Found::NotGiven,
            BRAMA_INHERIT_F64 => Found::Inherit,
            OF_64_BITS => Found::Foreign("a constant for uint64_t"),
            UNLIMITED => Found::Foreign("BRAMA_UNLIMITED"),
            NOT_GIVEN => Found::Foreign("BRAMA_NOT_GIVEN_U32"),
            INHERIT => Found::Foreign("BRAMA_INHERIT_U32"),
            NONE => Found::Foreign("BRAMA_NONE"),
            BRAMA_NONE_F64 => Found::None,
            number => Found::Number(number),
        }
    }

    fn name(self) -> String {
        match self.found() {
            Found::None => "BRAMA_NONE_F64".to_owned(),
            _ => named(self, ["", "BRAMA_NOT_GIVEN_F64", "BRAMA_INHERIT_F64"]),
        }
    }
}

/// A length of time in ms; `None` for a sentinel, and above INT64_MAX: a program that subtracts a
/// later time from an earlier one computes a negative number, which is that large as a `u64`.
pub(super) fn length(found: Found<u64>) -> Option<u64> {
    const MOST: u64 = i64::MAX as u64;
    match found {
        Found::Number(ms @ ..=MOST) => Some(ms),
        _ => None,
    }
}

/// The name of a value, with the names that its type has for three of the meanings.
fn named<T: Field>(value: T, [endless, not_given, inherit]: [&str; 3]) -> String {
    match value.found() {
        Found::Endless => endless.to_owned(),
        Found::NotGiven => not_given.to_owned(),
        Found::Inherit => inherit.to_owned(),
        Found::None => "BRAMA_NONE".to_owned(),
        Found::Foreign(name) => name.to_owned(),
        Found::Number(number) => number.to_string(),
    }
}

// Each meaning has one value.
const _: () = {
    assert!(BRAMA_NEVER as i64 == -1 && BRAMA_UNLIMITED as i32 == -1);
    assert!(BRAMA_NOT_GIVEN_U64 as i64 == -2 && BRAMA_NOT_GIVEN_U32 as i32 == -2);
    assert!(BRAMA_NOT_GIVEN_I32 == -2 && BRAMA_NOT_GIVEN_I64 == -2);
    assert!(BRAMA_INHERIT_U64 as i64 == -3 && BRAMA_INHERIT_U32 as i32 == -3);
    assert!(BRAMA_INHERIT_I32 == -3);
    assert!(BRAMA_NONE as i64 == -4);
};
