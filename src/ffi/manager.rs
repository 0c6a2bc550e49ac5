//! Managers.

use std::ptr;

use super::args;
use super::config::brama_config_t;
use super::errors::brama_result_t;
use super::guard;
use super::handles::brama_t;
use crate::manager;

/// Makes a manager. NULL for the defaults. The caller frees it with brama_free. NULL
/// on error: brama_last_error_message names the field. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_new(config: *const brama_config_t) -> *mut brama_t {
    guard::value(ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let brama = unsafe { brama_config_t::builder(config) }?.build()?;
        Ok(Box::into_raw(Box::new(brama_t { brama })))
    })
}

/// The process-wide manager, made with the default settings on first use. It is what
/// NULL stands for. Never freed: brama_free leaves it as it is. NULL only if the system
/// cannot start its thread; whoever asks next tries again. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn brama_default() -> *mut brama_t {
    guard::value(ptr::null_mut(), || {
        Ok(ptr::from_ref(crate::default()).cast_mut().cast())
    })
}

/// Shuts a manager down, see brama_shutdown, and frees it. Handles, subscriptions and
/// queues stay valid until they are released; permits by name do not. NULL is fine:
/// nothing happens, as for the default manager. No other thread may be using the
/// pointer. May be called inside a callback; those that are due are still called then,
/// and must not use the pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_free(manager: *mut brama_t) {
    guard::value((), || {
        let is_default = manager::default_if_made()
            .is_some_and(|default| ptr::eq(default, manager.cast_const().cast()));
        if !manager.is_null() && !is_default {
            // SAFETY: from `brama_new`. The callbacks that this runs may still use it.
            unsafe { args::kept_manager(manager) }.shutdown();
            // SAFETY: as above, and given back once.
            drop(unsafe { Box::from_raw(manager) });
        }
        Ok(())
    });
}

/// Shuts a manager down: all its connections are gone, whatever is asked of one is
/// answered by BRAMA_ERR_SHUT_DOWN, its thread is joined, the events that wait are
/// delivered, and all subscriptions end. Inside a callback it returns at once, and the
/// rest happens when the callback has returned; so also inside a brama_destroy_fn, if
/// there is a background thread. Further calls do nothing. NULL: the default manager,
/// for the rest of the process. May block until a callback under way has returned. Any
/// thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_shutdown(manager: *mut brama_t) -> brama_result_t {
    guard::result(|| {
        // SAFETY: the caller's promise.
        unsafe { args::kept_manager(manager) }.shutdown();
        Ok(())
    })
}

/// Does what is due: expiries, cleanup, delivery of events. Needed without a
/// background thread, harmless with one. Runs callbacks on the calling thread. Inside
/// a callback it does nothing. NULL: the default manager. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_poll(manager: *mut brama_t) -> brama_result_t {
    guard::result(|| {
        // SAFETY: the caller's promise.
        unsafe { args::kept_manager(manager) }.poll();
        Ok(())
    })
}
