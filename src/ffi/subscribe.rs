//! Filters, subscriptions with a callback, and counts of events.

use std::ffi::{c_char, c_void};
use std::mem::size_of;
use std::ptr;

use super::args::{
    self, Extensible, clear, given_back, init, invalid, null, read_or_blank, validate_place, write,
};
use super::callback::{HostBool, UserData};
use super::errors::brama_result_t;
use super::event::{brama_event_t, room_for, translate, translate_one};
use super::guard;
use super::handles::{brama_subscription_t, brama_t};
use super::strings::TERMINATED;
use super::text::{Shelf, Texts};
use super::types::*;
use crate::manager::Brama;
use crate::manager::subscription::Subscription;
use crate::values::error::Error;
use crate::values::event::{EventFilter, EventType};
use crate::values::key::validate_name;

/// Called with one event. What event points to is valid until the callback returns. The
/// introduction (CALLBACKS) says where it runs and what it may do; it may even end its own
/// subscription. While it runs, no other event of the manager is delivered.
pub type brama_event_fn =
    Option<unsafe extern "C" fn(event: *const brama_event_t, user_data: *mut c_void)>;

/// Called with several events at a time. The i-th is at (const char *)events + i * event_size.
/// Otherwise as brama_event_fn.
pub type brama_events_fn = Option<
    unsafe extern "C" fn(
        events: *const brama_event_t,
        event_size: usize,
        count: usize,
        user_data: *mut c_void,
    ),
>;

/// Returns whether an event is wanted; otherwise as brama_event_fn. A host that has no bool returns
/// a byte: 0 is false.
pub type brama_predicate_fn =
    Option<unsafe extern "C" fn(event: *const brama_event_t, user_data: *mut c_void) -> HostBool>;

/// Which events a subscriber wants. A field that is not given lets all events pass.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_filter_t {
    /// Bytes of this struct; set by brama_filter_init.
    pub size: usize,
    /// BRAMA_EVENT_BIT(BRAMA_EVENT_...) of every type that is wanted, combined with |; 0: all
    /// types. A BRAMA_EVENT_ constant itself is no bit: BRAMA_EVENT_CIRCUIT_CLOSED is 8, which
    /// is the bit of BRAMA_EVENT_FAILURE.
    pub event_types: u32,
    /// Zero; anything else is refused.
    pub reserved: u32,
    /// A string: only connections with this identifier, in any scope unless one is given. NULL:
    /// any.
    pub connection: *const c_char,
    /// A string: only connections of this scope; BRAMA_NO_SCOPE: only those without one. NULL: any.
    pub scope: *const c_char,
    /// Only events for which the predicate returns true. NULL: all.
    pub predicate: brama_predicate_fn,
    /// The user data of the predicate.
    pub predicate_data: *mut c_void,
    /// Called with predicate_data when the subscription has ended, or if it cannot begin:
    /// exactly once per subscribe call that accepted this struct. It is not called if the
    /// struct was rejected because of its size or because unknown trailing bytes were not
    /// zero. It is called immediately if there is no predicate. NULL: none.
    pub predicate_destroy: brama_destroy_fn,
}

/// What became of a manager's events, in numbers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct brama_event_counts_t {
    /// Bytes of this struct; set by brama_event_counts_init.
    pub size: usize,
    /// Events that a subscriber wanted when they happened.
    pub published: u64,
    /// Deliveries: an event that three subscribers received counts three times.
    pub delivered: u64,
    /// Events of droppable types that found no room, and all events that a shutdown left.
    pub dropped: u64,
    /// Events of the other types that were merged into a later one, or that were left out because
    /// the connection was registered and removed meanwhile.
    pub coalesced: u64,
    /// Callbacks of Rust subscribers that panicked.
    pub panics: u64,
    /// 1 while the background thread runs in this process, otherwise 0: the manager was made
    /// without one or was shut down, the system refuses to start one, or this is the child of a
    /// fork that has not used the manager yet. Without it, brama_poll and brama_queue_drain deliver
    /// events.
    pub background_running: u32,
    /// Zero.
    pub reserved: u32,
}

// SAFETY: numbers and pointers after the size; no function is NULL.
unsafe impl Extensible for brama_filter_t {
    const NAME: &'static str = "brama_filter_t";
    const INIT: &'static str = "brama_filter_init";
    const FIRST_SIZE: usize = size_of::<Self>();
    const BLANK: Self = brama_filter_t {
        size: size_of::<Self>(),
        event_types: 0,
        reserved: 0,
        connection: ptr::null(),
        scope: ptr::null(),
        predicate: None,
        predicate_data: ptr::null_mut(),
        predicate_destroy: None,
    };
}

// SAFETY: numbers after the size.
unsafe impl Extensible for brama_event_counts_t {
    const NAME: &'static str = "brama_event_counts_t";
    const INIT: &'static str = "brama_event_counts_init";
    const FIRST_SIZE: usize = size_of::<Self>();
    const BLANK: Self = brama_event_counts_t {
        size: size_of::<Self>(),
        published: 0,
        delivered: 0,
        dropped: 0,
        coalesced: 0,
        panics: 0,
        background_running: 0,
        reserved: 0,
    };
}

/// Makes a filter that lets everything pass.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_filter_init(filter: *mut brama_filter_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(filter) }
}

/// Sets the size, and all else to zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_event_counts_init(counts: *mut brama_event_counts_t) {
    // SAFETY: NULL, or room for the struct.
    unsafe { init(counts) }
}

/// Calls callback for every event that filter lets pass, until the subscription ends: by
/// brama_unsubscribe, by brama_unsubscribe_matching or by the manager's shutdown. A NULL filter
/// lets everything pass.
///
/// destroy, if not NULL, is called exactly once with user_data, when the callback will not run any
/// more: after the subscription has ended, by the thread that ended it or that ran the callback. If
/// this function fails, for whatever reason, destroy is called before it returns.
///
/// If out is not NULL, *out becomes the subscription, or NULL on error. The callback may run before
/// *out is written. If out is NULL, the subscription lasts as long as the manager.
///
/// Errors: BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN; BRAMA_ERR_UNSUPPORTED if the manager is
/// to have a background thread and the system refuses to start it, so that the callback could never
/// run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_subscribe(
    manager: *mut brama_t,
    filter: *const brama_filter_t,
    callback: brama_event_fn,
    user_data: *mut c_void,
    destroy: brama_destroy_fn,
    out: *mut *mut brama_subscription_t,
) -> brama_result_t {
    let begin =
        |brama: &Brama, filter, user_data: UserData, callback: unsafe extern "C" fn(_, _)| {
            let mut texts = Texts::default();
            brama.subscribe(filter, move |event| {
                let event = translate_one(event, &mut texts);
                // SAFETY: the host's function, with an event and the user data that the host gave
                // with it: `brama_event_fn` in the header.
                unsafe { callback(&raw const event, user_data.get()) };
            })
        };
    let user_data = UserData::new(user_data, destroy);
    // SAFETY: `manager` is NULL or a manager; `filter` is NULL or a filter; `out` is NULL or a
    // place: the rule for pointers in `args`.
    unsafe { subscribed(manager, filter, user_data, callback, out, begin) }
}

/// brama_subscribe with a callback for up to `most` events at a time. A batch is delivered when it
/// has `most` events, or when no more events wait. `most` is 1 to 16777216; any other number is
/// BRAMA_ERR_INVALID_CONFIG.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_subscribe_batched(
    manager: *mut brama_t,
    filter: *const brama_filter_t,
    most: usize,
    callback: brama_events_fn,
    user_data: *mut c_void,
    destroy: brama_destroy_fn,
    out: *mut *mut brama_subscription_t,
) -> brama_result_t {
    let begin =
        |brama: &Brama, filter, user_data: UserData, callback: unsafe extern "C" fn(_, _, _, _)| {
            let mut texts = Texts::default();
            brama.subscribe_batched(filter, most, move |events| {
                texts.begin(room_for(events));
                let events: Vec<_> = events
                    .iter()
                    .map(|event| translate(event, &mut texts))
                    .collect();
                let size = size_of::<brama_event_t>();
                // SAFETY: the host's function, with its events and the user data that the host gave
                // with it: `brama_events_fn` in the header.
                unsafe { callback(events.as_ptr(), size, events.len(), user_data.get()) };
            })
        };
    let user_data = UserData::new(user_data, destroy);
    // SAFETY: `manager` is NULL or a manager; `filter` is NULL or a filter; `out` is NULL or a
    // place: the rule for pointers in `args`.
    unsafe { subscribed(manager, filter, user_data, callback, out, begin) }
}

/// Ends a subscription and frees it. It waits for a callback under way on another thread. When it
/// has returned, the callback is not running and never will again, and destroy has been called.
///
/// Called from a callback, predicate or brama_destroy_fn, of this manager or any other, it waits
/// for nothing and returns at once. The guarantee then holds once the callback under way has
/// returned, and the thread that runs it calls destroy. So free user data in destroy, not after
/// this call. The same applies after a brama_shutdown_within whose time was over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_unsubscribe(subscription: *mut brama_subscription_t) {
    guard::value((), || {
        // SAFETY: NULL, or from `hand_out`, and given back once: OWNERSHIP in the header.
        if let Some(given) = unsafe { given_back(subscription) } {
            given.subscription.unsubscribe();
        }
        Ok(())
    });
}

/// Frees the pointer to a subscription without ending it: it lasts as long as the manager.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_subscription_detach(subscription: *mut brama_subscription_t) {
    guard::value((), || {
        // SAFETY: NULL, or from `hand_out`, and given back once: OWNERSHIP in the header.
        if let Some(given) = unsafe { given_back(subscription) } {
            given.subscription.detach();
        }
        Ok(())
    });
}

/// Ends every subscription, also of a queue, whose filter falls under a pattern: the filter has the
/// same connection and the same scope, where the pattern gives them, and no type that the pattern
/// does not have. The predicate of the pattern is ignored and not destroyed. A NULL pattern ends
/// all subscriptions. The guarantee is that of brama_unsubscribe. Subscriptions and queues still
/// have to be freed.
///
/// Errors: BRAMA_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_unsubscribe_matching(
    manager: *mut brama_t,
    pattern: *const brama_filter_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager; `pattern` is NULL or a filter: the rule for
        // pointers in `args`.
        unsafe {
            let pattern = read_or_blank("pattern", pattern)?.pattern()?;
            args::kept_manager(manager).unsubscribe(&pattern);
        }
        Ok(())
    })
}

/// Counts what became of a manager's events, and says whether its background thread runs. The
/// counts are exact while no event is on its way, for example after brama_poll. Initialise the
/// struct with brama_event_counts_init. Errors: BRAMA_ERR_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brama_event_counts(
    manager: *mut brama_t,
    counts: *mut brama_event_counts_t,
) -> brama_result_t {
    guard::result(|| {
        // SAFETY: `manager` is NULL or a manager; `counts` is NULL or counts: the rule for
        // pointers in `args`.
        unsafe {
            validate_place("counts", counts)?;
            let known = args::manager(manager).event_counts();
            let known = brama_event_counts_t {
                published: known.published,
                delivered: known.delivered,
                dropped: known.dropped,
                coalesced: known.coalesced,
                panics: known.panics,
                background_running: known.background_running.into(),
                ..Extensible::BLANK
            };
            write(counts, &known);
        }
        Ok(())
    })
}

impl brama_filter_t {
    /// The filter that a caller gives; one that lets everything pass for NULL. Takes over the
    /// predicate's data, even on error, unless the struct itself is refused.
    ///
    /// # Safety
    ///
    /// The rule for pointers in [`args`].
    pub(super) unsafe fn wanted(filter: *const Self) -> Result<EventFilter, Error> {
        // SAFETY: `filter` is NULL or a filter: this function's # Safety.
        let given = unsafe { read_or_blank("filter", filter) }?;
        let data = UserData::new(given.predicate_data, given.predicate_destroy);
        // SAFETY: the filter's names are NULL or strings: this function's # Safety.
        let filter = unsafe { given.pattern() }?;
        let Some(predicate) = given.predicate else {
            return Ok(filter);
        };
        let kept = Shelf::new();
        Ok(filter.custom(move |event| {
            let mut texts = kept.take();
            let translated = translate_one(event, &mut texts);
            // SAFETY: the host's function, with an event and the user data that the host gave with
            // it: `brama_predicate_fn` in the header.
            let wanted = unsafe { predicate(&translated, data.get()) };
            kept.put(texts);
            wanted.is_true()
        }))
    }

    /// The filter without its predicate.
    ///
    /// # Safety
    ///
    /// The rule for pointers in [`args`].
    unsafe fn pattern(&self) -> Result<EventFilter, Error> {
        let mut filter = EventFilter::new();
        if self.event_types != 0 {
            filter = filter.types(types_in(self.event_types)?);
        }
        args::validate_reserved("filter.reserved", self.reserved)?;
        let name = "filter.connection";
        // SAFETY: the connection is NULL or a string: this function's # Safety.
        if let Some(connection) = unsafe { args::text(name, self.connection, TERMINATED) }? {
            validate_name(name, connection)?;
            filter = filter.connection(connection);
        }
        // SAFETY: the scope is NULL or a string: this function's # Safety.
        if let Some(scope) = unsafe { args::wanted_scope("filter.scope", self.scope) }? {
            filter = filter.scope(scope);
        }
        Ok(filter)
    }
}

fn types_in(bits: u32) -> Result<Vec<EventType>, Error> {
    let bit = |kind: &EventType| 1_u32 << *kind as u32;
    let known = EventType::ALL
        .iter()
        .fold(0, |known, kind| known | bit(kind));
    if bits & !known != 0 {
        let allowed =
            format!("use BRAMA_EVENT_BIT(BRAMA_EVENT_...), all of which are {known:#x} together");
        let value = format!("{bits:#x}");
        return Err(invalid("filter.event_types", value, allowed));
    }
    Ok(EventType::ALL
        .into_iter()
        .filter(|kind| bits & bit(kind) != 0)
        .collect())
}

/// The manager and the filter that a caller gives. The manager is cloned first: a filter that is
/// refused, or has no predicate, calls the host's destroy function, which may free the manager.
///
/// # Safety
///
/// The rule for pointers in [`args`].
pub(super) unsafe fn subscriber(
    manager: *mut brama_t,
    filter: *const brama_filter_t,
) -> (Brama, Result<EventFilter, Error>) {
    // SAFETY: `manager` is NULL or a manager; `filter` is NULL or a filter: this function's
    // # Safety.
    unsafe {
        let brama = args::kept_manager(manager);
        (brama, brama_filter_t::wanted(filter))
    }
}

/// Begins a subscription of either kind, and writes it to `out` if that is not NULL.
///
/// # Safety
///
/// The rule for pointers in [`args`].
unsafe fn subscribed<C>(
    manager: *mut brama_t,
    filter: *const brama_filter_t,
    user_data: UserData,
    callback: Option<C>,
    out: *mut *mut brama_subscription_t,
    begin: impl FnOnce(&Brama, EventFilter, UserData, C) -> Result<Subscription, Error>,
) -> brama_result_t {
    guard::result(move || {
        // SAFETY: `manager` is NULL or a manager; `filter` is NULL or a filter; `out` is NULL or
        // a place: this function's # Safety.
        let (brama, filter) = unsafe {
            clear(out);
            subscriber(manager, filter)
        };
        let (filter, callback) = (filter?, callback.ok_or_else(|| null("callback"))?);
        let subscription = begin(&brama, filter, user_data, callback)?;
        // SAFETY: `out` is NULL or a place: this function's # Safety.
        unsafe { hand_out(subscription, out) };
        Ok(())
    })
}

/// Writes a subscription to `out`; detaches it if that is NULL.
///
/// # Safety
///
/// `out` is NULL or a place for a pointer.
unsafe fn hand_out(subscription: Subscription, out: *mut *mut brama_subscription_t) {
    if out.is_null() {
        return subscription.detach();
    }
    let subscription = Box::into_raw(Box::new(brama_subscription_t { subscription }));
    // SAFETY: not NULL, so a place for a pointer: this function's # Safety.
    unsafe { out.write(subscription) };
}
