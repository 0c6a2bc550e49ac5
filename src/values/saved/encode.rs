//! Writing a save.

use super::{
    CHECKSUM, FIXED, HEADER, MAGIC, MAX_TOTAL, NO_END, Saved, Stands, VERSION, checksum, decode,
};

/// A save that is being written.
pub(crate) struct Writer {
    written: u64,
    /// The circuits, in the order in which they were added.
    circuits: Vec<u8>,
    /// Where each of them begins.
    starts: Vec<usize>,
}

impl Writer {
    /// An empty save of this moment, in Unix ms.
    pub(crate) fn new(written: u64) -> Self {
        Writer {
            written,
            circuits: Vec::new(),
            starts: Vec::new(),
        }
    }

    /// Adds a circuit. Of two with the same name the later one is saved.
    pub(crate) fn add(&mut self, saved: &Saved<'_>) {
        self.starts.push(self.circuits.len());
        put(&mut self.circuits, saved);
    }

    /// The bytes of the save.
    pub(crate) fn finish(self) -> Vec<u8> {
        let circuits = &self.circuits;
        let name = |start: &usize| decode::name(&circuits[*start..]);
        let mut starts = self.starts;
        // Stable, so that those with the same name stay as they came.
        starts.sort_by(|one, other| name(one).cmp(&name(other)));
        starts.dedup_by(|later, earlier| {
            let is_same = name(later) == name(earlier);
            if is_same {
                *earlier = *later;
            }
            is_same
        });
        let mut data = Vec::with_capacity(HEADER + circuits.len() + CHECKSUM);
        data.extend(MAGIC);
        data.extend(VERSION.to_le_bytes());
        let count = u32::try_from(starts.len()).expect("fewer circuits than bytes of memory");
        data.extend(count.to_le_bytes());
        data.extend(self.written.to_le_bytes());
        for start in starts {
            data.extend(decode::one(&circuits[start..]));
        }
        data.extend(checksum(&data).to_le_bytes());
        data
    }
}

fn put(circuits: &mut Vec<u8>, saved: &Saved<'_>) {
    let texts = [
        Some(saved.key.identifier()),
        saved.key.scope(),
        saved.reason,
        saved.last_failure_reason,
    ]
    .map(Option::unwrap_or_default);
    let (left, given) = match saved.stands {
        Stands::Open { left, given } => (left.unwrap_or(NO_END), given.unwrap_or(NO_END)),
        Stands::Closed | Stands::HalfOpen => (0, 0),
    };
    let length = FIXED + texts.iter().map(|text| text.len()).sum::<usize>();
    let cause = saved.cause.map_or(0, |cause| cause as u8);
    circuits.extend((length as u32).to_le_bytes());
    for text in texts {
        let length = u16::try_from(text.len()).expect("names and reasons are short");
        circuits.extend(length.to_le_bytes());
    }
    circuits.extend([saved.stands.state() as u8, saved.trips, cause, 0]);
    circuits.extend(saved.failures.to_le_bytes());
    circuits.extend(saved.totals.ignored.to_le_bytes());
    let totals = saved.totals;
    for number in [
        left,
        given,
        totals.successes.min(MAX_TOTAL),
        totals.failures.min(MAX_TOTAL),
        totals.rejections.min(MAX_TOTAL),
    ] {
        circuits.extend(number.to_le_bytes());
    }
    for text in texts {
        circuits.extend(text.as_bytes());
    }
}
