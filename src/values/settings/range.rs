//! What each kind of setting may be. The error names the setting, the value and the rule.

use std::ops::RangeInclusive;

use super::{ExpiryStrategy, MAX_HALF_OPEN_CALLS};
use crate::values::error::Error;
use crate::values::mode::Mode;

/// How long a window of rates may be, in ms: 1 s to 1 h.
const RATE_WINDOWS: RangeInclusive<u64> = 1_000..=3_600_000;
/// How many reports a rate may count back.
const RATE_CALLS: RangeInclusive<u32> = 10..=100_000;

pub(super) fn attempts(name: &'static str, value: u32) -> Result<(), Error> {
    match value {
        0 => Err(Error::config(name, 0, "must be at least 1")),
        _ => Ok(()),
    }
}

pub(super) fn calls(name: &'static str, value: u32) -> Result<(), Error> {
    if (1..=MAX_HALF_OPEN_CALLS).contains(&value) {
        return Ok(());
    }
    let allowed = format!("must be 1 to {MAX_HALF_OPEN_CALLS}");
    Err(Error::config(name, value, allowed))
}

pub(super) fn time(name: &'static str, ms: u64) -> Result<(), Error> {
    match ms {
        0 => Err(Error::config(
            name,
            "less than 1 ms",
            "must be at least 1 ms",
        )),
        _ => Ok(()),
    }
}

pub(super) fn optional_time(name: &'static str, ms: Option<u64>) -> Result<(), Error> {
    ms.map_or(Ok(()), |ms| time(name, ms))
}

pub(super) fn bounded_time(name: &'static str, ms: u64) -> Result<(), Error> {
    if RATE_WINDOWS.contains(&ms) {
        return Ok(());
    }
    let value = match ms {
        0 => "less than 1 ms".to_owned(),
        _ => format!("{ms} ms"),
    };
    let (least, most) = (RATE_WINDOWS.start(), RATE_WINDOWS.end());
    Err(Error::config(
        name,
        value,
        format!("must be {least} to {most} ms"),
    ))
}

pub(super) fn count(name: &'static str, value: u32) -> Result<(), Error> {
    attempts(name, value)
}

pub(super) fn optional_calls(name: &'static str, value: Option<u32>) -> Result<(), Error> {
    let Some(calls) = value.filter(|calls| !RATE_CALLS.contains(calls)) else {
        return Ok(());
    };
    let (least, most) = (RATE_CALLS.start(), RATE_CALLS.end());
    Err(Error::config(
        name,
        calls,
        format!("must be {least} to {most}"),
    ))
}

pub(super) fn factor(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() && value >= 1.0 {
        return Ok(());
    }
    let allowed = "must be finite and at least 1.0";
    Err(Error::config(name, value, allowed))
}

pub(super) fn part(name: &'static str, value: f64) -> Result<(), Error> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::config(name, value, "must be 0.0 to 1.0"))
}

pub(super) fn optional_rate(name: &'static str, value: Option<f64>) -> Result<(), Error> {
    match value {
        None => Ok(()),
        Some(rate) if rate > 0.0 && rate <= 1.0 => Ok(()),
        Some(rate) => Err(Error::config(
            name,
            rate,
            "must be above 0.0 and at most 1.0",
        )),
    }
}

pub(super) fn share(name: &'static str, value: f64) -> Result<(), Error> {
    optional_rate(name, Some(value))
}

/// Every value of the type is allowed.
pub(super) fn strategy(_: &'static str, _: ExpiryStrategy) -> Result<(), Error> {
    Ok(())
}

/// Every value of the type is allowed.
pub(super) fn mode(_: &'static str, _: Mode) -> Result<(), Error> {
    Ok(())
}

/// Every value of the type is allowed.
pub(super) fn flag(_: &'static str, _: bool) -> Result<(), Error> {
    Ok(())
}
