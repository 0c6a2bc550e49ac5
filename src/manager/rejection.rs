//! Whether an error is the rejection of a circuit.
//!
//! A rejection is not a failure of the dependency: a guarded call whose error is one, of whatever
//! circuit, is ignored by default. The error of a guarded call is of the caller's type, and
//! nothing is asked of that type, so it is recognised by its identity:
//!
//! - [`Error`] and [`Rejected`] themselves;
//! - a boxed `dyn Error` with one of them in its chain of sources ([`CallError::Rejected`] has its
//!   [`Rejected`] as source);
//! - [`CallError<E>`](CallError) of any `E`. There are as many of these types as programs make,
//!   so each is learned when the first rejection becomes a value of it: before that, no value
//!   of the type can be a rejection.
//!
//! Other types that wrap a rejection are not recognised: use a classifier for them.
//!
//! All of this runs after a call has failed or was rejected.
//!
//! Rejected: a bound on the error's type, which would exclude types that are in use, `()` among
//! them; a mark in thread-local memory at each rejection, which says that there was one, and not
//! that this error is it.

use std::any::TypeId;
use std::error::Error as StdError;
use std::marker::PhantomData;
use std::mem;
use std::ptr;

use crate::sys::atomic::{AtomicPtr, Ordering, modelled, shipped};
use crate::sys::publish_once::PublishOnce;
use crate::values::error::{CallError, Error, Rejected};

/// Whether the error of a guarded call is a rejection.
pub(crate) fn is_rejection<E>(error: &E) -> bool {
    let id = id_of::<E>();
    if id == TypeId::of::<Rejected>() {
        return true;
    }
    let is_rejected = |error: &Error| matches!(error, Error::Rejected(_));
    let answer = ask_as::<E, Error, _>(id, error, is_rejected)
        .or_else(|| ask_as::<E, Box<dyn StdError>, _>(id, error, |error| has_rejection(&**error)))
        .or_else(|| {
            ask_as::<E, Box<dyn StdError + Send>, _>(id, error, |error| has_rejection(&**error))
        })
        .or_else(|| {
            ask_as::<E, Box<dyn StdError + Send + Sync>, _>(id, error, |error| {
                has_rejection(&**error)
            })
        });
    if let Some(answer) = answer {
        return answer;
    }
    match find(id) {
        // SAFETY: the type was learned by `learn`, for this identity, which is that of `E`.
        Some(known) => unsafe { (known.is_rejection)(ptr::from_ref(error).cast()) },
        None => false,
    }
}

impl<E> From<Error> for CallError<E> {
    #[inline]
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(rejected) => call_error(rejected),
            other => CallError::Unusable(other),
        }
    }
}

/// The error of a guarded call that was rejected. Each of them is made here, so its type is learned.
#[inline(always)]
pub(crate) fn call_error<E>(rejected: Rejected) -> CallError<E> {
    learn::<E>();
    CallError::Rejected(rejected)
}

fn has_rejection(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Rejected>() || matches!(error.downcast_ref(), Some(Error::Rejected(_))) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Asks the error as a `T`; `None` if its type is another, apart from lifetimes.
pub(super) fn ask_as<E, T: 'static, A: 'static>(
    id: TypeId,
    error: &E,
    ask: fn(&T) -> A,
) -> Option<A> {
    // SAFETY: both have the same identity, so they are the same type except for lifetimes. `E`
    // may be `Box<dyn Error + 'a>`, which is asked as if it lived for ever. That is sound, as no
    // code is compiled differently for other lifetimes, and nothing outlives the error: `ask` is
    // given the view for any lifetime, is a plain function, and answers with what borrows nothing.
    // A `T` with a lifetime, as `&'static str`, is read only, and what is read is copied.
    (id == TypeId::of::<T>()).then(|| ask(unsafe { &*ptr::from_ref(error).cast::<T>() }))
}

/// The identity of a type, whatever its lifetimes.
pub(super) fn id_of<T: ?Sized>() -> TypeId {
    trait Identity {
        fn id(&self) -> TypeId
        where
            Self: 'static;
    }
    impl<T: ?Sized> Identity for PhantomData<T> {
        fn id(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<T>()
        }
    }
    let of_type = PhantomData::<T>;
    let of_type: &dyn Identity = &of_type;
    // SAFETY: only the lifetime bound of the trait object changes, which no code sees. `id`
    // touches no value, and the identity does not depend on lifetimes.
    let of_type = unsafe { mem::transmute::<&dyn Identity, &(dyn Identity + 'static)>(of_type) };
    of_type.id()
}

/// A type of which values can be rejections.
struct Known {
    id: fn() -> TypeId,
    /// Asks a value of that type.
    is_rejection: unsafe fn(*const ()) -> bool,
}

/// Each `CallError` type as a constant, so that learning one allocates nothing.
trait Learnable {
    const KNOWN: &'static Known;
}

impl<E> Learnable for CallError<E> {
    const KNOWN: &'static Known = &Known {
        id: id_of::<CallError<E>>,
        is_rejection: ask::<E>,
    };
}

/// # Safety
///
/// The pointer is to a `CallError<E>`.
unsafe fn ask<E>(error: *const ()) -> bool {
    // SAFETY: this function's # Safety: the pointer is to a `CallError<E>`.
    match unsafe { &*error.cast::<CallError<E>>() } {
        CallError::Rejected(_) | CallError::Unusable(Error::Rejected(_)) => true,
        CallError::Inner(inner) => is_rejection(inner),
        CallError::Unusable(_) => false,
    }
}

/// The types that were learned, from the first to the first null. None is forgotten.
struct Learned {
    types: [AtomicPtr<Known>; 32],
    more: PublishOnce<Learned>,
}

shipped! {
    static LEARNED: Learned = Learned::new();

    impl Learned {
        const fn new() -> Self {
            Learned {
                types: [const { AtomicPtr::new(ptr::null_mut()) }; 32],
                more: PublishOnce::new(),
            }
        }

        fn first() -> Option<&'static Learned> {
            Some(&LEARNED)
        }
    }
}

modelled! {
    /// Models learn no types: loom has no statics.
    impl Learned {
        fn new() -> Self {
            unreachable!("models learn no types")
        }

        fn first() -> Option<&'static Learned> {
            None
        }
    }
}

fn find(id: TypeId) -> Option<&'static Known> {
    let mut next = Learned::first();
    while let Some(learned) = next {
        for place in &learned.types {
            // SAFETY: null, or a constant. Relaxed, since constants are never written.
            let known: &'static Known = unsafe { place.load(Ordering::Relaxed).as_ref() }?;
            if (known.id)() == id {
                return Some(known);
            }
        }
        next = learned.more.get();
    }
    None
}

/// A rejection becomes a `CallError<E>`. Allocates for one type in 32, the first time.
///
/// In an outage every call comes here. Most programs reject calls of few types, so the address of
/// the first one is compared at once.
#[inline]
pub(crate) fn learn<E>() {
    let known = CallError::<E>::KNOWN;
    // Relaxed, as in `find`.
    let first = Learned::first().map(|learned| learned.types[0].load(Ordering::Relaxed));
    if !first.is_some_and(|first| ptr::eq(first, known)) {
        learn_otherwise(known);
    }
}

#[inline(never)]
fn learn_otherwise(known: &'static Known) {
    // By the identity: a constant may have several addresses.
    if find((known.id)()).is_none() {
        add(known);
    }
}

#[cold]
#[inline(never)]
fn add(known: &'static Known) {
    let mut next = Learned::first();
    while let Some(learned) = next {
        for place in &learned.types {
            // A type that two threads learn at once stands there twice, which does no harm.
            // Relaxed, as in `find`.
            let added = place.compare_exchange(
                ptr::null_mut(),
                ptr::from_ref(known).cast_mut(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if added.is_ok() {
                return;
            }
        }
        next = Some(learned.more.get_or_make(Learned::new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::error::RejectionKind;
    use std::fmt;

    fn rejected() -> Rejected {
        Rejected::unnamed(RejectionKind::HeldOpen, None)
    }

    #[derive(Debug)]
    struct Wrapped(Box<dyn StdError + Send + Sync>);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrapped")
        }
    }

    impl StdError for Wrapped {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(self.0.as_ref())
        }
    }

    #[test]
    fn rejections_are_recognised_in_every_form_that_can_be() {
        assert!(is_rejection(&rejected()));
        assert!(is_rejection(&Error::Rejected(rejected())));
        let boxed: Box<dyn StdError> = Box::new(Error::Rejected(rejected()));
        assert!(is_rejection(&boxed));
        let call_error = CallError::<fmt::Error>::from(Error::Rejected(rejected()));
        let boxed: Box<dyn StdError + Send + Sync> = Box::new(call_error);
        assert!(is_rejection(&boxed));
        let chain: Box<dyn StdError + Send> = Box::new(Wrapped(boxed));
        assert!(is_rejection(&chain));
    }

    #[test]
    fn a_call_error_of_any_type_is_recognised_also_one_with_lifetimes() {
        struct Odd<'a>(#[allow(dead_code, reason = "a type with a lifetime")] &'a str);
        let text = String::from("borrowed");
        let none = CallError::Inner(Odd(&text));
        assert!(!is_rejection(&none));
        let rejection = CallError::<Odd<'_>>::from(Error::Rejected(rejected()));
        assert!(is_rejection(&rejection));
        assert!(!is_rejection(&none), "another value of the type");
    }

    #[test]
    fn a_boxed_error_that_borrows_is_asked_like_any_other() {
        struct Borrows<'a>(&'a str, Option<Rejected>);
        impl fmt::Debug for Borrows<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl fmt::Display for Borrows<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl StdError for Borrows<'_> {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                self.1.as_ref().map(|rejected| rejected as _)
            }
        }
        let text = String::from("borrowed");
        for (source, expected) in [(None, false), (Some(rejected()), true)] {
            let boxed: Box<dyn StdError + Send + '_> = Box::new(Borrows(&text, source));
            assert_eq!(is_rejection(&boxed), expected);
            assert_eq!(boxed.to_string(), "borrowed");
        }
    }

    #[test]
    fn as_many_types_are_learned_as_there_are() {
        struct Nth<const N: usize>;
        macro_rules! learn_all {
            ($($n:literal)*) => {$(
                let rejection = CallError::<[Nth<$n>; 2]>::from(Error::Rejected(rejected()));
                assert!(is_rejection(&rejection));
            )*};
        }
        for _ in 0..2 {
            learn_all!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27
                28 29 30 31 32 33 34 35 36 37 38 39 40);
        }
    }

    #[test]
    fn other_errors_are_none() {
        assert!(!is_rejection(&()));
        assert!(!is_rejection(&"rejected"));
        assert!(!is_rejection(&Error::Stale));
        assert!(!is_rejection(&fmt::Error));
        let boxed: Box<dyn StdError> = Box::new(fmt::Error);
        assert!(!is_rejection(&boxed));
    }
}
