//! Strings for C: with a NUL at their end, in one allocation.
//!
//! If Rust code gave a reason or metadata with a NUL in it, C sees the part before the NUL.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::ptr;

use super::settings::brama_settings_t;
use super::types::brama_pair_t;
use crate::sys::atomic::{AtomicPtr, Ordering};

pub(super) fn to_c(text: &str) -> CString {
    let end = text.bytes().position(|byte| byte == 0);
    CString::new(&text[..end.unwrap_or(text.len())]).expect("cut before the first NUL")
}

/// Strings, pairs and settings of one answer. They do not move until the next [`Texts::begin`].
#[derive(Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    pairs: Vec<brama_pair_t>,
    settings: Option<Box<brama_settings_t>>,
}

// SAFETY: the pointers in `pairs` point into the heap memory of `bytes`, which moves to the other
// thread together with them.
unsafe impl Send for Texts {}

/// A place for texts between two uses. A thread that finds it empty makes new texts. So no thread
/// waits, and the child of a fork does not wait for a thread of the parent.
pub(super) struct Shelf(AtomicPtr<Texts>);

impl Shelf {
    pub(super) fn new() -> Self {
        Shelf(AtomicPtr::new(ptr::null_mut()))
    }

    pub(super) fn take(&self) -> Box<Texts> {
        // ORDERING: Acquire, partner of the Release in `put`.
        let kept = self.0.swap(ptr::null_mut(), Ordering::Acquire);
        if kept.is_null() {
            return Box::default();
        }
        // SAFETY: not null, so from `Box::into_raw` in `put`; the swap took it out of the shelf, so
        // no other thread has it.
        unsafe { Box::from_raw(kept) }
    }

    /// Keeps these texts, and frees others that a nested call has put there meanwhile.
    pub(super) fn put(&self, texts: Box<Texts>) {
        // ORDERING: Release, partner of the Acquire in `take`; Acquire for what is
        // dropped.
        let other = self.0.swap(Box::into_raw(texts), Ordering::AcqRel);
        if !other.is_null() {
            // SAFETY: not null, so from `Box::into_raw` in `put`; the swap took it out of the
            // shelf, so no other thread has it.
            drop(unsafe { Box::from_raw(other) });
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// The room that some texts need.
#[derive(Clone, Copy, Default)]
pub(super) struct WaitRoom {
    bytes: usize,
    pairs: usize,
}

impl WaitRoom {
    pub(super) fn text(&mut self, text: Option<&str>) {
        self.bytes += text.map_or(0, |text| text.len() + 1);
    }

    pub(super) fn map(&mut self, map: Option<&BTreeMap<String, String>>) {
        for (key, value) in map.into_iter().flatten() {
            self.bytes += key.len() + value.len() + 2;
            self.pairs += 1;
        }
    }
}

impl Texts {
    /// Clears the strings and pairs, and reserves room.
    pub(super) fn begin(&mut self, room: WaitRoom) {
        self.bytes.clear();
        self.pairs.clear();
        self.bytes.reserve(room.bytes);
        self.pairs.reserve(room.pairs);
    }

    /// Adds settings.
    pub(super) fn settings(&mut self, settings: brama_settings_t) -> *const brama_settings_t {
        &**self.settings.insert(Box::new(settings))
    }

    /// Adds a string; NULL for `None`.
    pub(super) fn text(&mut self, text: Option<&str>) -> *const c_char {
        let Some(text) = text else {
            return ptr::null();
        };
        let start = self.bytes.len();
        assert!(self.bytes.capacity() - start > text.len(), "room was made");
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        // SAFETY: inside the vector, which has not moved.
        unsafe { self.bytes.as_ptr().add(start).cast() }
    }

    /// Adds pairs; NULL and zero if there are none.
    pub(super) fn map(
        &mut self,
        map: Option<&BTreeMap<String, String>>,
    ) -> (*const brama_pair_t, usize) {
        let Some(map) = map.filter(|map| !map.is_empty()) else {
            return (ptr::null(), 0);
        };
        let start = self.pairs.len();
        for (key, value) in map {
            let key = self.text(Some(key));
            let value = self.text(Some(value));
            assert!(self.pairs.len() < self.pairs.capacity(), "room was made");
            self.pairs.push(brama_pair_t { key, value });
        }
        // SAFETY: inside the vector, which has not moved.
        (unsafe { self.pairs.as_ptr().add(start) }, map.len())
    }
}
