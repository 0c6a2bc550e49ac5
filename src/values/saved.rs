//! The state of circuits as bytes: what [`Brama::save`](crate::Brama::save) returns.
//!
//! Numbers are little endian, lengths in bytes, durations and times in ms.
//!
//! | at | |
//! |---|---|
//! | 0 | `brama`, `0x1a`, `s`, `v` |
//! | 8 | 4 bytes: the version, 1 |
//! | 12 | 4 bytes: the number of circuits |
//! | 16 | 8 bytes: when it was saved, in Unix time |
//! | 24 | the circuits, ordered by scope and identifier |
//! | the last 8 | a checksum of all bytes before: FNV-1a of 64 bits |
//!
//! | at, in a circuit | |
//! |---|---|
//! | 0 | 4 bytes: its length, these included |
//! | 4 | 4 × 2 bytes: the lengths of identifier, scope, the opening's reason, the last failure's reason; 0 for none |
//! | 12 | 1 byte: the [state](State) |
//! | 13 | 1 byte: the trips |
//! | 14 | 1 byte: the [cause](Cause) of the last opening; 0 for none |
//! | 15 | 1 byte: 0 |
//! | 16 | 4 bytes: the failures in a row |
//! | 20 | 4 bytes: the ignored calls |
//! | 24 | 8 bytes: while open, the time that was left; all ones if it was held open |
//! | 32 | 8 bytes: while open, the length that the opening was given; all ones if it had no end |
//! | 40 | 3 × 8 bytes: the successes, failures and rejections in all, each at most 2⁶² |
//! | 64 | the four texts, one after the other |
//!
//! [`Save::parse`] checks all of it and allocates nothing, so a large number in the data costs
//! nothing. The order of the circuits is fixed. So a duplicate is found without a set of names, and
//! one state has one form.
//!
//! The checksum is that of G. Fowler, L. C. Noll and K.-P. Vo (RFC 9923). Each of its steps maps
//! the sums one to one. So it finds every change of a single byte with certainty, and others nearly
//! always. It finds damage, not malice: every value is checked besides.
//!
//! Rejected: a text format, which is three times as long and needs a parser; saving monotonic
//! times, which mean nothing after the machine has started again.

use crate::values::cause::Cause;
use crate::values::key::Key;
use crate::values::state::State;

mod decode;
mod encode;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use decode::{Save, circuit, name};
pub(crate) use encode::Writer;

const MAGIC: [u8; 8] = *b"brama\x1asv";
const VERSION: u32 = 1;
/// Before the circuits.
const HEADER: usize = 24;
/// Of a circuit, before its texts.
const FIXED: usize = 64;
const CHECKSUM: usize = 8;
/// In place of a length: without an end.
const NO_END: u64 = u64::MAX;
/// The longest reason, in bytes. A circuit keeps less.
const MAX_REASON_BYTES: usize = 1_024;
/// The largest total. No process lives long enough to reach it, and sums do not overflow.
const MAX_TOTAL: u64 = 1 << 62;

/// One circuit, as it was when it was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saved<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) stands: Stands,
    /// Openings since it was healthy, at most 255.
    pub(crate) trips: u8,
    /// Why it opened last.
    pub(crate) cause: Option<Cause>,
    /// The reason of the last opening.
    pub(crate) reason: Option<&'a str>,
    pub(crate) last_failure_reason: Option<&'a str>,
    /// Failures in a row.
    pub(crate) failures: u32,
    pub(crate) totals: Totals,
}

/// In which state a circuit was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    Closed,
    /// Both in ms; none: without an end.
    Open {
        left: Option<u64>,
        given: Option<u64>,
    },
    HalfOpen,
}

/// What was reported to a circuit in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) successes: u64,
    pub(crate) failures: u64,
    pub(crate) rejections: u64,
    pub(crate) ignored: u32,
}

impl Stands {
    fn state(self) -> State {
        match self {
            Stands::Closed => State::Closed,
            Stands::Open { .. } => State::Open,
            Stands::HalfOpen => State::HalfOpen,
        }
    }
}

/// A name, scope first: the circuits of a save are in the order of their names. No scope is an
/// empty one, and comes before all others.
pub(crate) type Name<'a> = (&'a [u8], &'a [u8]);

pub(crate) fn name_of(key: Key<'_>) -> Name<'_> {
    let scope = key.scope().unwrap_or_default();
    (scope.as_bytes(), key.identifier().as_bytes())
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET_BASIS, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}
