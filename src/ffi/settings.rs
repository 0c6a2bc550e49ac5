//! The settings in effect for a connection.

use std::ffi::c_char;
use std::mem::size_of;

use super::args::{self, Extensible, handle, init, key, validate_place, write};
use super::errors::brama_result_t;
use super::guard;
use super::handles::{brama_connection_t, brama_t};
use super::kinds;
use super::types::*;
use crate::values::settings::{Settings, setting_table};

/// The struct with no setting.
macro_rules! blank {
    ($($(#[$doc:meta])* $name:ident $variant:ident $field:ident: $kind:ident = $default:expr;)*) => {
        brama_settings_t {
            size: size_of::<brama_settings_t>(),
            $($field: kinds::$kind::BLANK,)*
        }
    };
}

/// The struct that shows these settings.
macro_rules! shown {
    ([$settings:expr] $($(#[$doc:meta])* $name:ident $variant:ident $field:ident: $kind:ident = $default:expr;)*) => {
        brama_settings_t {
            size: size_of::<brama_settings_t>(),
            $($field: kinds::$kind::shown($settings.$name()),)*
        }
    };
}

/// The settings in effect for a connection; the fields are those of brama_options_t.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_settings_t {
    /// Bytes of this struct; set by brama_settings_init.
    pub size: usize,
    /// BRAMA_UNLIMITED: no number of failures opens the circuit.
    pub max_attempts: u32,
    /// See brama_options_t.
    pub expiry_strategy: brama_expiry_strategy_t,
    /// See brama_options_t.
    pub expiry_ms: u64,
    /// See brama_options_t.
    pub initial_expiry_ms: u64,
    /// See brama_options_t.
    pub max_expiry_ms: u64,
    /// See brama_options_t.
    pub backoff_factor: f64,
    /// See brama_options_t.
    pub jitter: f64,
    /// BRAMA_NONE: failures in a row count.
    pub window_ms: u64,
    /// BRAMA_NONE: the current expiry, at least 1000.
    pub probe_timeout_ms: u64,
    /// See brama_options_t.
    pub half_open_max_calls: u32,
    /// See brama_options_t.
    pub half_open_successes: u32,
    /// BRAMA_NONE: a call that is given up is ignored.
    pub cancelled_after_ms: u64,
    /// 0: a success leaves the failures in the window, unless the circuit is half-open.
    pub success_clears_window: i32,
    /// See brama_options_t.
    pub mode: brama_mode_t,
    /// BRAMA_NONE_F64: the share of failures does not count.
    pub failure_rate: f64,
    /// Without effect while there are rate_calls.
    pub rate_window_ms: u64,
    /// BRAMA_NONE: the rates count reports within rate_window_ms.
    pub rate_calls: u64,
    /// See brama_options_t.
    pub minimum_calls: u64,
    /// BRAMA_NONE: no call is slow.
    pub slow_call_duration_ms: u64,
    /// BRAMA_NONE_F64: the share of slow calls does not count.
    pub slow_call_rate: f64,
    /// BRAMA_NONE_F64: one failure opens a half-open circuit, half_open_successes close it.
    pub half_open_failure_rate: f64,
    /// BRAMA_NONE: the circuit closes as soon as its probes have succeeded.
    pub ramp_ms: u64,
    /// See brama_options_t.
    pub ramp_start: f64,
}

// SAFETY: numbers after the size.
unsafe impl Extensible for brama_settings_t {
    const NAME: &'static str = "brama_settings_t";
    const INIT: &'static str = "brama_settings_init";
    const FIRST_SIZE: usize = size_of::<Self>();
    const BLANK: Self = setting_table!(blank);
}

/// Sets the size, and every field to none or zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_settings_init(settings: *mut brama_settings_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(settings) }
}

/// Fills in the settings in effect for a connection. Initialise the struct with
/// brama_settings_init. Never registers a connection.
///
/// Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_settings(
    manager: *mut brama_t,
    identifier: *const c_char,
    scope: *const c_char,
    settings: *mut brama_settings_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager; the names are NULL or strings; `settings` is
        // NULL or settings: the rule for pointers in `args`.
        unsafe {
            validate_place("settings", settings)?;
            let known = args::manager(manager).status(key(identifier, scope)?)?;
            write(settings, &in_effect(&known.settings));
        }
        Ok(())
    })
}

/// brama_settings on a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_connection_settings(
    connection: *const brama_connection_t,
    settings: *mut brama_settings_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `connection` is NULL or a handle; `settings` is NULL or settings: the rule
        // for pointers in `args`.
        unsafe {
            let handle = handle(connection)?;
            validate_place("settings", settings)?;
            write(settings, &in_effect(&handle.connection.status()?.settings));
        }
        Ok(())
    })
}

/// Settings in effect, in the form that C gets.
pub(super) fn in_effect(settings: &Settings) -> brama_settings_t {
    setting_table!(shown, settings)
}
