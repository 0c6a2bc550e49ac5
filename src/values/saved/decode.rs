//! Reading a save: all of it is checked before anything is taken from it.

use std::cmp::Ordering;

use super::{
    CHECKSUM, FIXED, HEADER, MAGIC, MAX_REASON_BYTES, MAX_TOTAL, NO_END, Name, Saved, Stands,
    Totals, VERSION, checksum, name_of,
};
use crate::values::cause::Cause;
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::state::NEVER;

/// A save whose every byte was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Save<'a> {
    /// When it was saved, in Unix ms.
    pub(crate) written: u64,
    circuits: &'a [u8],
}

/// What is wrong, and where.
struct Flaw {
    offset: usize,
    what: String,
}

impl Flaw {
    fn new(offset: usize, what: impl Into<String>) -> Self {
        Flaw {
            offset,
            what: what.into(),
        }
    }
}

impl<'a> Save<'a> {
    /// Checks all of the data.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] says what is wrong, and where.
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self, Error> {
        check(data).map_err(|Flaw { offset, what }| {
            let allowed =
                format!("must be what `save` returned, whole; at offset {offset}: {what}");
            Error::argument_value("data", format_args!("{} bytes", data.len()), allowed)
        })
    }

    /// The circuits, ordered by scope and identifier.
    pub(crate) fn circuits(self) -> impl Iterator<Item = (Saved<'a>, &'a [u8])> {
        let mut rest = self.circuits;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let bytes = one(rest);
            rest = &rest[bytes.len()..];
            Some((circuit(bytes), bytes))
        })
    }
}

/// A circuit that [`Save::circuits`] has given.
pub(crate) fn circuit(bytes: &[u8]) -> Saved<'_> {
    match check_circuit(bytes, 0) {
        Ok(saved) => saved,
        Err(flaw) => unreachable!("it was checked: {}", flaw.what),
    }
}

/// The bytes of the first of these circuits, which are well-formed.
pub(super) fn one(circuits: &[u8]) -> &[u8] {
    &circuits[..u32_at(circuits, 0) as usize]
}

/// The name of the first of these circuits, which are well-formed.
pub(crate) fn name(circuits: &[u8]) -> Name<'_> {
    let [identifier, scope] = [4, 6].map(|at| usize::from(u16_at(circuits, at)));
    let (identifier, rest) = circuits[FIXED..].split_at(identifier);
    (&rest[..scope], identifier)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let bytes = bytes[at..].first_chunk();
    u16::from_le_bytes(*bytes.expect("the length was checked"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes[at..].first_chunk();
    u32::from_le_bytes(*bytes.expect("the length was checked"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes[at..].first_chunk();
    u64::from_le_bytes(*bytes.expect("the length was checked"))
}

fn check(data: &[u8]) -> Result<Save<'_>, Flaw> {
    if !data.starts_with(&MAGIC) {
        return Err(Flaw::new(0, "it does not begin as a save of brama does"));
    }
    if data.len() < HEADER + CHECKSUM {
        return Err(Flaw::new(data.len(), "it ends too early"));
    }
    let version = u32_at(data, 8);
    if version != VERSION {
        let what = format!("version {version} is unknown, this library reads version {VERSION}");
        return Err(Flaw::new(8, what));
    }
    let end = data.len() - CHECKSUM;
    if checksum(&data[..end]) != u64_at(data, end) {
        let what = "the checksum is another one, so the data is damaged or cut off";
        return Err(Flaw::new(end, what));
    }
    let count = u32_at(data, 12);
    let mut at = HEADER;
    let mut last: Option<Key<'_>> = None;
    for number in 0..count {
        let circuit = &data[at..end];
        if circuit.len() < FIXED {
            let what = format!("it ends before circuit {number} of {count}");
            return Err(Flaw::new(at, what));
        }
        let length = u32_at(circuit, 0) as usize;
        if !(FIXED..=circuit.len()).contains(&length) {
            let left = circuit.len();
            let what = format!("a circuit of {length} bytes, must be {FIXED} to {left}");
            return Err(Flaw::new(at, what));
        }
        let key = check_circuit(&circuit[..length], at)?.key;
        match last.map(|last| name_of(last).cmp(&name_of(key))) {
            None | Some(Ordering::Less) => {}
            Some(Ordering::Equal) => return Err(Flaw::new(at, "the same name a second time")),
            Some(Ordering::Greater) => return Err(Flaw::new(at, "a name that is out of order")),
        }
        last = Some(key);
        at += length;
    }
    if at != end {
        let what = format!("{} bytes after the last circuit", end - at);
        return Err(Flaw::new(at, what));
    }
    Ok(Save {
        written: u64_at(data, 16),
        circuits: &data[HEADER..end],
    })
}

/// A circuit of at least [`FIXED`] bytes, which begin at `offset` of the data.
fn check_circuit(bytes: &[u8], offset: usize) -> Result<Saved<'_>, Flaw> {
    let wrong = |at: usize, what: String| Err(Flaw::new(offset + at, what));
    let mut at = FIXED;
    let mut texts = [None; 4];
    for (n, text) in texts.iter_mut().enumerate() {
        let length = usize::from(u16_at(bytes, 4 + 2 * n));
        let Some(given) = bytes.get(at..at + length) else {
            return wrong(at, format!("a text of {length} bytes, which ends too late"));
        };
        match std::str::from_utf8(given) {
            Ok(given) => *text = (length > 0).then_some(given),
            Err(error) => return wrong(at + error.valid_up_to(), "no UTF-8".to_owned()),
        }
        at += length;
    }
    if at != bytes.len() {
        let what = format!("{} bytes after a circuit's texts", bytes.len() - at);
        return wrong(at, what);
    }
    let [identifier, scope, reason, last_failure_reason] = texts;
    let key = Key::new(scope, identifier.unwrap_or_default());
    if key.validate().is_err() {
        let what = "a name, must be 1 to 1024 bytes without NUL".to_owned();
        return wrong(FIXED, what);
    }
    for reason in [reason, last_failure_reason].into_iter().flatten() {
        if reason.len() > MAX_REASON_BYTES || reason.contains('\0') {
            let what = format!("a reason, must be at most {MAX_REASON_BYTES} bytes without NUL");
            return wrong(FIXED, what);
        }
    }
    let (left, given) = (u64_at(bytes, 24), u64_at(bytes, 32));
    let stands = match bytes[12] {
        2 if left == NO_END && given == NO_END => Stands::Open {
            left: None,
            given: None,
        },
        2 if left <= given && given < NEVER => Stands::Open {
            left: Some(left),
            given: Some(given),
        },
        2 => return wrong(24, format!("an opening with {left} of {given} ms left")),
        1 | 3 if (left, given) != (0, 0) => {
            return wrong(24, "an opening of a circuit that is not open".to_owned());
        }
        1 => Stands::Closed,
        3 => Stands::HalfOpen,
        other => return wrong(12, format!("state {other}, must be 1, 2 or 3")),
    };
    let cause = Cause::from_bits(bytes[14].into());
    if cause.is_none() && bytes[14] != 0 {
        return wrong(14, format!("cause {}, must be 0 to 7", bytes[14]));
    }
    if bytes[15] != 0 {
        return wrong(15, format!("{}, must be 0", bytes[15]));
    }
    for at in [40, 48, 56] {
        let total = u64_at(bytes, at);
        if total > MAX_TOTAL {
            return wrong(at, format!("a total of {total}, must be at most 2^62"));
        }
    }
    Ok(Saved {
        key,
        stands,
        trips: bytes[13],
        cause,
        reason,
        last_failure_reason,
        failures: u32_at(bytes, 16),
        totals: Totals {
            successes: u64_at(bytes, 40),
            failures: u64_at(bytes, 48),
            rejections: u64_at(bytes, 56),
            ignored: u32_at(bytes, 20),
        },
    })
}
