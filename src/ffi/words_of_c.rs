//! Errors about settings in C's words. Fields that are lengths of time have names that end in
//! `_ms`, and values that are numbers.

use crate::values::error::{Error, Invalid};
use crate::values::settings::setting_table;

/// A function from the name of a setting to that of its field.
macro_rules! field {
    ($($(#[$doc:meta])* $name:ident $variant:ident $field:ident: $kind:ident = $default:expr;)*) => {
        |setting| match setting {
            $(stringify!($name) => Some(stringify!($field)),)*
            _ => None,
        }
    };
}

/// An error about a setting in C's words: the field's name, and lengths of time as numbers.
pub(super) fn in_c(error: Error) -> Error {
    match error {
        Error::InvalidConfig(invalid) => {
            let (name, value, allowed) = words_of_c(&invalid);
            Error::config(name, value, allowed)
        }
        Error::InvalidArgument(invalid) if invalid.name == "expiry" => {
            let (name, value, allowed) = words_of_c(&invalid);
            Error::argument_value(name, value, allowed)
        }
        other => other,
    }
}

fn words_of_c(invalid: &Invalid) -> (&'static str, String, String) {
    let field = match invalid.name {
        "cleanup_interval" => "cleanup_interval_ms",
        "inactive_threshold" => "inactive_threshold_ms",
        setting => setting_table!(field)(setting).unwrap_or(setting),
    };
    let mut allowed = invalid.allowed.clone();
    for setting in ["initial_expiry", "rate_window", "slow_call_duration"] {
        allowed = allowed.replace(setting, &format!("{setting}_ms"));
    }
    if field == invalid.name {
        return (field, invalid.value.clone(), allowed);
    }
    // A length below 1 ms that comes from C is 0.
    let value = match invalid.value.strip_suffix(" ms") {
        Some(number) if number.parse::<u64>().is_ok() => number.to_owned(),
        _ => "0".to_owned(),
    };
    (field, value, allowed)
}
