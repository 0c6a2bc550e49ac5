use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::values::error::Error;
use crate::values::state::NEVER;

/// A circuit with texts of its own.
#[derive(Clone, Debug)]
struct Owned {
    stands: Stands,
    trips: u8,
    cause: Option<Cause>,
    reason: Option<String>,
    last_failure_reason: Option<String>,
    failures: u32,
    totals: Totals,
}

impl Owned {
    fn named<'a>(&'a self, key: Key<'a>) -> Saved<'a> {
        Saved {
            key,
            stands: self.stands,
            trips: self.trips,
            cause: self.cause,
            reason: self.reason.as_deref(),
            last_failure_reason: self.last_failure_reason.as_deref(),
            failures: self.failures,
            totals: self.totals,
        }
    }
}

fn stands() -> impl Strategy<Value = Stands> {
    let opening = || prop_oneof![0..NEVER, Just(NEVER - 1), Just(0)];
    prop_oneof![
        Just(Stands::Closed),
        Just(Stands::HalfOpen),
        Just(Stands::Open {
            left: None,
            given: None
        }),
        (opening(), opening()).prop_map(|(one, other)| Stands::Open {
            left: Some(one.min(other)),
            given: Some(one.max(other)),
        }),
    ]
}

fn circuits() -> impl Strategy<Value = Owned> {
    let text = || option::of("[^\0]{1,20}");
    let cause = (0..8_u64).prop_map(Cause::from_bits);
    let total = || prop_oneof![0..=MAX_TOTAL, Just(MAX_TOTAL)];
    let totals = (total(), total(), total(), any::<u32>());
    (
        (stands(), any::<u8>(), cause, any::<u32>()),
        totals,
        (text(), text()),
    )
        .prop_map(|(state, totals, texts)| Owned {
            stands: state.0,
            trips: state.1,
            cause: state.2,
            failures: state.3,
            reason: texts.0,
            last_failure_reason: texts.1,
            totals: Totals {
                successes: totals.0,
                failures: totals.1,
                rejections: totals.2,
                ignored: totals.3,
            },
        })
}

/// Names, in the order of a save.
type Names = (Option<String>, String);

fn key(name: &Names) -> Key<'_> {
    Key::new(name.0.as_deref(), &name.1)
}

fn written<'a>(at: u64, circuits: impl IntoIterator<Item = Saved<'a>>) -> Vec<u8> {
    let mut writer = Writer::new(at);
    for saved in circuits {
        writer.add(&saved);
    }
    writer.finish()
}

/// The data with a valid checksum, so that what else is wrong in it is found.
fn sealed(mut data: Vec<u8>) -> Vec<u8> {
    let end = data.len() - CHECKSUM;
    let sum = checksum(&data[..end]);
    data[end..].copy_from_slice(&sum.to_le_bytes());
    data
}

fn refusal(data: &[u8]) -> String {
    match Save::parse(data) {
        Err(Error::InvalidArgument(invalid)) => {
            assert_eq!(invalid.name, "data");
            invalid.allowed.clone()
        }
        other => panic!("{other:?}"),
    }
}

fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 200;
        config.rng_seed = RngSeed::Fixed(7);
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_saved_is_what_is_read(
        at in any::<u64>(),
        circuits in btree_map((option::of("[^\0]{1,9}"), "[^\0]{1,9}"), circuits(), 0..9),
    ) {
        let names: Vec<_> = circuits.iter().collect();
        // In whatever order they come.
        let data = written(at, names.iter().rev().map(|(name, saved)| saved.named(key(name))));
        let save = Save::parse(&data).expect("it was just saved");
        prop_assert_eq!(save.written, at);
        let read: Vec<_> = save.circuits().map(|(saved, _)| saved).collect();
        let expected: Vec<_> = names.iter().map(|(name, saved)| saved.named(key(name))).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn what_is_cut_off_or_longer_is_refused(
        circuits in btree_map((option::of("[^\0]{1,9}"), "[^\0]{1,9}"), circuits(), 0..4),
        more in vec(any::<u8>(), 1..9),
    ) {
        let data = written(1, circuits.iter().map(|(name, saved)| saved.named(key(name))));
        for length in 0..data.len() {
            refusal(&data[..length]);
            if length >= HEADER + CHECKSUM {
                refusal(&sealed(data[..length].to_vec()));
            }
        }
        let longer: Vec<u8> = data.iter().copied().chain(more).collect();
        refusal(&longer);
        refusal(&sealed(longer));
    }

    #[test]
    fn another_byte_is_refused(
        circuits in btree_map((option::of("[^\0]{1,9}"), "[^\0]{1,9}"), circuits(), 0..4),
        flip in 1..=255_u8,
    ) {
        let data = written(1, circuits.iter().map(|(name, saved)| saved.named(key(name))));
        for at in 0..data.len() {
            let mut data = data.clone();
            data[at] ^= flip;
            refusal(&data);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        circuits in btree_map((option::of("[^\0]{1,9}"), "[^\0]{1,9}"), circuits(), 1..4),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..9),
    ) {
        let mut data = written(1, circuits.iter().map(|(name, saved)| saved.named(key(name))));
        let end = data.len() - CHECKSUM;
        for (at, byte) in changes {
            data[at.index(end)] = byte;
        }
        let data = sealed(data);
        if let Ok(save) = Save::parse(&data) {
            let read: Vec<_> = save.circuits().map(|(saved, _)| saved).collect();
            prop_assert_eq!(written(save.written, read), data);
        }
    }
}

fn closed(identifier: &str) -> Saved<'_> {
    Saved {
        key: identifier.into(),
        stands: Stands::Closed,
        trips: 0,
        cause: None,
        reason: None,
        last_failure_reason: None,
        failures: 0,
        totals: Totals::default(),
    }
}

/// Saves lie on disks, so the format does not change.
#[test]
fn the_format_is_the_documented_one() {
    let saved = Saved {
        key: ("s", "db").into(),
        stands: Stands::Open {
            left: Some(0x0102),
            given: Some(0x0304),
        },
        trips: 3,
        cause: Some(Cause::Manual),
        reason: Some("why"),
        last_failure_reason: Some("no"),
        failures: 5,
        totals: Totals {
            successes: 6,
            failures: 7,
            rejections: 8,
            ignored: 9,
        },
    };
    let data = written(0x0a0b, [saved]);
    let mut expected = b"brama\x1asv\x01\0\0\0\x01\0\0\0\x0b\x0a\0\0\0\0\0\0".to_vec();
    expected.extend(b"\x48\0\0\0\x02\0\x01\0\x03\0\x02\0\x02\x03\x07\0\x05\0\0\0\x09\0\0\0");
    expected.extend(b"\x02\x01\0\0\0\0\0\0\x04\x03\0\0\0\0\0\0");
    expected.extend(b"\x06\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0dbswhyno");
    expected.extend(checksum(&expected).to_le_bytes());
    assert_eq!(data, expected);
}

/// The published values of FNV-1a.
#[test]
fn the_checksum_is_fnv_1a() {
    assert_eq!(checksum(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(checksum(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(checksum(b"foobar"), 0x8594_4171_f739_67e8);
}

#[test]
fn of_two_with_one_name_the_later_is_saved() {
    let late = Saved {
        failures: 2,
        ..closed("db")
    };
    let data = written(1, [closed("db"), closed("aa"), late]);
    let save = Save::parse(&data).expect("no name is there twice");
    let read: Vec<_> = save.circuits().map(|(saved, _)| saved).collect();
    assert_eq!(read, [closed("aa"), late]);
}

/// Writes bytes into a save of one closed circuit.
fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut data = written(1, [closed("db")]);
    data[at..at + bytes.len()].copy_from_slice(bytes);
    sealed(data)
}

#[test]
fn a_refusal_says_what_is_wrong_and_where() {
    let whole = written(1, [closed("db")]);
    let twice = {
        let mut data = whole.clone();
        let circuit = whole[HEADER..whole.len() - CHECKSUM].to_vec();
        data.splice(HEADER..HEADER, circuit);
        data[12] = 2;
        sealed(data)
    };
    let unordered = {
        let mut data = written(1, [closed("aa"), closed("ab")]);
        data[HEADER + FIXED] = b'b';
        sealed(data)
    };
    let mut damaged = whole.clone();
    damaged[HEADER] ^= 1;
    let in_circuit = |at: usize, bytes: &[u8]| with(HEADER + at, bytes);
    let never = NEVER.to_le_bytes();
    let total = (MAX_TOTAL + 1).to_le_bytes();
    for (data, wrong) in [
        (Vec::new(), "at offset 0: it does not begin"),
        (
            b"{\"circuits\": []}".to_vec(),
            "at offset 0: it does not begin",
        ),
        (whole[..20].to_vec(), "at offset 20: it ends too early"),
        (
            with(8, &[2]),
            "at offset 8: version 2 is unknown, this library reads version 1",
        ),
        (damaged, "at offset 90: the checksum is another one"),
        (
            in_circuit(40, &total),
            "at offset 64: a total of 4611686018427387905, must be at most 2^62",
        ),
        (in_circuit(48, &total), "at offset 72: a total of"),
        (
            in_circuit(56, &u64::MAX.to_le_bytes()),
            "at offset 80: a total of",
        ),
        (
            with(12, &[0xff; 4]),
            "at offset 90: it ends before circuit 1 of 4294967295",
        ),
        (
            with(12, &[0; 4]),
            "at offset 24: 66 bytes after the last circuit",
        ),
        (
            in_circuit(0, &[0xff; 4]),
            "at offset 24: a circuit of 4294967295 bytes, must be 64 to 66",
        ),
        (
            in_circuit(0, &[63]),
            "at offset 24: a circuit of 63 bytes, must be 64 to 66",
        ),
        (
            in_circuit(4, &[3]),
            "at offset 88: a text of 3 bytes, which ends too late",
        ),
        (
            in_circuit(4, &[1]),
            "at offset 89: 1 bytes after a circuit's texts",
        ),
        (in_circuit(65, &[0xff]), "at offset 89: no UTF-8"),
        (
            in_circuit(65, &[0]),
            "at offset 88: a name, must be 1 to 1024 bytes without NUL",
        ),
        (
            in_circuit(4, &[0, 0, 2]),
            "at offset 88: a name, must be 1 to 1024 bytes without NUL",
        ),
        (
            in_circuit(12, &[0]),
            "at offset 36: state 0, must be 1, 2 or 3",
        ),
        (
            in_circuit(12, &[4]),
            "at offset 36: state 4, must be 1, 2 or 3",
        ),
        (
            in_circuit(14, &[8]),
            "at offset 38: cause 8, must be 0 to 7",
        ),
        (in_circuit(15, &[1]), "at offset 39: 1, must be 0"),
        (
            in_circuit(24, &[1]),
            "at offset 48: an opening of a circuit that is not open",
        ),
        (
            in_circuit(32, &[1]),
            "at offset 48: an opening of a circuit that is not open",
        ),
        (twice, "at offset 90: the same name a second time"),
        (unordered, "at offset 90: a name that is out of order"),
    ] {
        let refusal = refusal(&data);
        let expected = format!("must be what `save` returned, whole; {wrong}");
        assert!(refusal.starts_with(&expected), "{refusal}, not {wrong}");
    }
    let open = |left: [u8; 8], given: [u8; 8]| {
        let mut data = with(HEADER + 12, &[2]);
        data[HEADER + 24..HEADER + 32].copy_from_slice(&left);
        data[HEADER + 32..HEADER + 40].copy_from_slice(&given);
        sealed(data)
    };
    let one = 1_u64.to_le_bytes();
    for (left, given) in [
        (one, [0; 8]),
        ([0; 8], never),
        ([0xff; 8], one),
        (one, [0xff; 8]),
    ] {
        assert!(refusal(&open(left, given)).contains("at offset 48: an opening with"));
    }
    for (at, text) in [(8, "a reason"), (10, "a reason")] {
        let mut data = written(1, [closed("db")]);
        let long = vec![b'x'; MAX_REASON_BYTES + 1];
        let end = data.len() - CHECKSUM;
        data.splice(end..end, long);
        data[HEADER..HEADER + 4].copy_from_slice(&(66 + 1_025_u32).to_le_bytes());
        data[HEADER + at..HEADER + at + 2].copy_from_slice(&1_025_u16.to_le_bytes());
        assert!(refusal(&sealed(data)).contains(text));
    }
}
