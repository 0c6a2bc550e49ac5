//! Settings of each kind in C: what a field holds when nothing is given, how a caller's value is
//! read, and how the setting in effect is shown.
//!
//! Each kind of `values::settings::table` has a module of the same name. So a macro over the table
//! finds the functions for a setting by its kind, and the compiler finds a field that a struct
//! lacks or that has another type than its kind.

use std::time::Duration;

use super::sentinels::{Field, Found, length};
use super::types::*;
use crate::values::error::Error;
use crate::values::mode::InitialState;
use crate::values::settings::Given;

/// Reads a field: a constant that all settings have, or what `meant` makes of its value. Returns an
/// error that names what is `allowed` if `meant` returns `None`.
pub(super) fn given<T: Field, U>(
    field: &'static str,
    value: T,
    allowed: &'static str,
    meant: impl FnOnce(Found<T>) -> Option<U>,
) -> Result<Given<U>, Error> {
    match value.found() {
        Found::NotGiven => Ok(Given::Keep),
        Found::Inherit => Ok(Given::Inherit),
        found => match meant(found) {
            Some(value) => Ok(Given::Value(value)),
            None => Err(Error::config(field, value.name(), allowed)),
        },
    }
}

/// The number in a field; `None` for a constant.
fn number<T>(found: Found<T>) -> Option<T> {
    match found {
        Found::Number(number) => Some(number),
        _ => None,
    }
}

pub(super) mod attempts {
    use super::*;
    use crate::values::settings::UNLIMITED;

    pub(in crate::ffi) const NOT_GIVEN: u32 = BRAMA_NOT_GIVEN_U32;
    pub(in crate::ffi) const BLANK: u32 = 0;

    const _: () = assert!(UNLIMITED == BRAMA_UNLIMITED);

    pub(in crate::ffi) fn given(field: &'static str, value: u32) -> Result<Given<u32>, Error> {
        let allowed = "must be at least 1, or BRAMA_UNLIMITED";
        super::given(field, value, allowed, |found| match found {
            Found::Endless => Some(UNLIMITED),
            found => number(found),
        })
    }

    pub(in crate::ffi) fn shown(value: Option<u32>) -> u32 {
        value.unwrap_or(BRAMA_UNLIMITED)
    }
}

pub(super) mod calls {
    use super::*;

    pub(in crate::ffi) const NOT_GIVEN: u32 = BRAMA_NOT_GIVEN_U32;
    pub(in crate::ffi) const BLANK: u32 = 0;

    pub(in crate::ffi) fn given(field: &'static str, value: u32) -> Result<Given<u32>, Error> {
        super::given(field, value, "must be 1 to 65535", number)
    }

    pub(in crate::ffi) fn shown(value: u32) -> u32 {
        value
    }
}

pub(super) mod time {
    use std::time::Duration;

    use super::*;

    pub(in crate::ffi) const NOT_GIVEN: u64 = BRAMA_NOT_GIVEN_U64;
    pub(in crate::ffi) const BLANK: u64 = 0;

    pub(in crate::ffi) fn given(field: &'static str, value: u64) -> Result<Given<u64>, Error> {
        super::given(
            field,
            value,
            "must be a number of ms up to INT64_MAX",
            length,
        )
    }

    pub(in crate::ffi) fn shown(value: Duration) -> u64 {
        crate::sys::clock::millis(value)
    }
}

pub(super) mod optional_time {
    use std::time::Duration;

    use super::*;

    pub(in crate::ffi) const NOT_GIVEN: u64 = BRAMA_NOT_GIVEN_U64;
    pub(in crate::ffi) const BLANK: u64 = BRAMA_NONE;

    pub(in crate::ffi) fn given(
        field: &'static str,
        value: u64,
    ) -> Result<Given<Option<u64>>, Error> {
        let allowed = "must be a number of ms up to INT64_MAX, or BRAMA_NONE";
        super::given(field, value, allowed, |found| match found {
            Found::None => Some(None),
            found => length(found).map(Some),
        })
    }

    pub(in crate::ffi) fn shown(value: Option<Duration>) -> u64 {
        value.map_or(BRAMA_NONE, crate::sys::clock::millis)
    }
}

pub(super) mod bounded_time {
    use super::*;

    pub(in crate::ffi) use time::{BLANK, NOT_GIVEN, shown};

    pub(in crate::ffi) fn given(field: &'static str, value: u64) -> Result<Given<u64>, Error> {
        super::given(field, value, "must be 1000 to 3600000 ms", number)
    }
}

/// A number of reports; `None` for a constant, and for more than `u32` holds.
fn reports(found: Found<u64>) -> Option<u32> {
    number(found).and_then(|number| u32::try_from(number).ok())
}

pub(super) mod count {
    use super::*;

    pub(in crate::ffi) const NOT_GIVEN: u64 = BRAMA_NOT_GIVEN_U64;
    pub(in crate::ffi) const BLANK: u64 = 0;

    pub(in crate::ffi) fn given(field: &'static str, value: u64) -> Result<Given<u32>, Error> {
        super::given(field, value, "must be 1 to 4294967295", reports)
    }

    pub(in crate::ffi) fn shown(value: u32) -> u64 {
        value.into()
    }
}

pub(super) mod optional_calls {
    use super::*;

    pub(in crate::ffi) const NOT_GIVEN: u64 = BRAMA_NOT_GIVEN_U64;
    pub(in crate::ffi) const BLANK: u64 = BRAMA_NONE;

    pub(in crate::ffi) fn given(
        field: &'static str,
        value: u64,
    ) -> Result<Given<Option<u32>>, Error> {
        let allowed = "must be 10 to 100000, or BRAMA_NONE";
        super::given(field, value, allowed, |found| match found {
            Found::None => Some(None),
            found => reports(found).map(Some),
        })
    }

    pub(in crate::ffi) fn shown(value: Option<u32>) -> u64 {
        value.map_or(BRAMA_NONE, u64::from)
    }
}

pub(super) mod factor {
    use super::*;

    pub(in crate::ffi) const NOT_GIVEN: f64 = BRAMA_NOT_GIVEN_F64;
    pub(in crate::ffi) const BLANK: f64 = 0.0;

    pub(in crate::ffi) fn given(field: &'static str, value: f64) -> Result<Given<f64>, Error> {
        super::given(field, value, "must be finite and at least 1.0", number)
    }

    pub(in crate::ffi) fn shown(value: f64) -> f64 {
        value
    }
}

pub(super) mod part {
    use super::*;

    pub(in crate::ffi) use factor::{BLANK, NOT_GIVEN, shown};

    pub(in crate::ffi) fn given(field: &'static str, value: f64) -> Result<Given<f64>, Error> {
        super::given(field, value, "must be 0.0 to 1.0", number)
    }
}

pub(super) mod optional_rate {
    use super::*;

    pub(in crate::ffi) const NOT_GIVEN: f64 = BRAMA_NOT_GIVEN_F64;
    pub(in crate::ffi) const BLANK: f64 = BRAMA_NONE_F64;

    pub(in crate::ffi) fn given(
        field: &'static str,
        value: f64,
    ) -> Result<Given<Option<f64>>, Error> {
        let allowed = "must be above 0.0 and at most 1.0, or BRAMA_NONE_F64";
        super::given(field, value, allowed, |found| match found {
            Found::None => Some(None),
            found => number(found).map(Some),
        })
    }

    pub(in crate::ffi) fn shown(value: Option<f64>) -> f64 {
        value.unwrap_or(BRAMA_NONE_F64)
    }
}

pub(super) mod share {
    use super::*;

    pub(in crate::ffi) use factor::{BLANK, NOT_GIVEN, shown};

    pub(in crate::ffi) fn given(field: &'static str, value: f64) -> Result<Given<f64>, Error> {
        super::given(field, value, "must be above 0.0 and at most 1.0", number)
    }
}

pub(super) mod strategy {
    use super::*;
    use crate::values::settings::ExpiryStrategy;

    pub(in crate::ffi) const NOT_GIVEN: brama_expiry_strategy_t = BRAMA_NOT_GIVEN_I32;
    pub(in crate::ffi) const BLANK: brama_expiry_strategy_t = 0;

    pub(in crate::ffi) fn given(
        field: &'static str,
        value: brama_expiry_strategy_t,
    ) -> Result<Given<ExpiryStrategy>, Error> {
        let allowed = "must be BRAMA_EXPIRY_FIXED or BRAMA_EXPIRY_PROGRESSIVE";
        super::given(field, value, allowed, |found| match found {
            Found::Number(BRAMA_EXPIRY_FIXED) => Some(ExpiryStrategy::Fixed),
            Found::Number(BRAMA_EXPIRY_PROGRESSIVE) => Some(ExpiryStrategy::Progressive),
            _ => None,
        })
    }

    pub(in crate::ffi) fn shown(value: ExpiryStrategy) -> brama_expiry_strategy_t {
        match value {
            ExpiryStrategy::Fixed => BRAMA_EXPIRY_FIXED,
            ExpiryStrategy::Progressive => BRAMA_EXPIRY_PROGRESSIVE,
        }
    }
}

pub(super) mod mode {
    use super::*;
    use crate::values::mode::Mode;

    pub(in crate::ffi) const NOT_GIVEN: brama_mode_t = BRAMA_NOT_GIVEN_I32;
    pub(in crate::ffi) const BLANK: brama_mode_t = BRAMA_MODE_NORMAL;

    pub(in crate::ffi) fn given(
        field: &'static str,
        value: brama_mode_t,
    ) -> Result<Given<Mode>, Error> {
        let allowed = "must be BRAMA_MODE_NORMAL, BRAMA_MODE_DISABLED or BRAMA_MODE_SHADOW";
        super::given(field, value, allowed, |found| match found {
            Found::Number(BRAMA_MODE_NORMAL) => Some(Mode::Normal),
            Found::Number(BRAMA_MODE_DISABLED) => Some(Mode::Disabled),
            Found::Number(BRAMA_MODE_SHADOW) => Some(Mode::Shadow),
            _ => None,
        })
    }

    pub(in crate::ffi) fn shown(value: Mode) -> brama_mode_t {
        match value {
            Mode::Normal => BRAMA_MODE_NORMAL,
            Mode::Disabled => BRAMA_MODE_DISABLED,
            Mode::Shadow => BRAMA_MODE_SHADOW,
        }
    }
}

pub(super) mod flag {
    use super::*;

    pub(in crate::ffi) const NOT_GIVEN: i32 = BRAMA_NOT_GIVEN_I32;
    pub(in crate::ffi) const BLANK: i32 = 0;

    pub(in crate::ffi) fn given(field: &'static str, value: i32) -> Result<Given<bool>, Error> {
        super::given(field, value, FLAG, flagged)
    }

    pub(in crate::ffi) fn shown(value: bool) -> i32 {
        value.into()
    }
}

// Settings that only registrations have.

/// The state in which a circuit begins: 0, or the number of ms for which it is open.
pub(super) fn initial_state(
    field: &'static str,
    value: i64,
) -> Result<Option<InitialState>, Error> {
    match value.cast_unsigned().found() {
        Found::NotGiven => Ok(None),
        Found::Endless => Ok(Some(InitialState::HeldOpen)),
        Found::Number(0) => Ok(Some(InitialState::Closed)),
        Found::Number(ms) if value > 0 => Ok(Some(InitialState::Open(Duration::from_millis(ms)))),
        _ => {
            let allowed = "must be 0, a number of ms, or BRAMA_NEVER";
            Err(Error::config(field, value, allowed))
        }
    }
}

// Settings that only managers have.

/// A length of time, or BRAMA_NEVER.
pub(super) fn endless_time(field: &'static str, value: u64) -> Result<Given<Option<u64>>, Error> {
    let allowed = "must be a number of ms up to INT64_MAX, or BRAMA_NEVER";
    given(field, value, allowed, |found| match found {
        Found::Endless => Some(None),
        found => length(found).map(Some),
    })
}

/// A [`flag`] that cannot be taken back, since there is no level below it.
pub(super) fn lasting_flag(field: &'static str, value: i32) -> Result<Option<bool>, Error> {
    lasting(field, value, FLAG, flagged)
}

/// The capacity of a manager's ring. The ring checks its limits.
pub(super) fn capacity(field: &'static str, value: u64) -> Result<Option<usize>, Error> {
    lasting(field, value, "must be 1 to 16777216", |found| {
        number(found).map(|capacity| usize::try_from(capacity).unwrap_or(usize::MAX))
    })
}

const FLAG: &str = "must be 0 or 1";

fn flagged(found: Found<i32>) -> Option<bool> {
    match found {
        Found::Number(0) => Some(false),
        Found::Number(1) => Some(true),
        _ => None,
    }
}

fn lasting<T: Field, U>(
    field: &'static str,
    value: T,
    allowed: &'static str,
    meant: impl FnOnce(Found<T>) -> Option<U>,
) -> Result<Option<U>, Error> {
    match given(field, value, allowed, meant)? {
        Given::Keep => Ok(None),
        Given::Value(value) => Ok(Some(value)),
        Given::Inherit => {
            let allowed = format!("has nothing to inherit, {allowed}");
            Err(Error::config(field, value.name(), allowed))
        }
    }
}
