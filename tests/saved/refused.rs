//! Data that is not a valid save is refused as a whole.

use brama::{Error, State};

use super::restored::{registered, status};
use crate::common::{fail, manager, ms};

/// Mutation: `a-save-that-is-not-checked-whole`.
#[test]
fn whatever_is_damaged_is_refused_and_changes_nothing() {
    let (old, _) = manager();
    for name in ["a", "b"] {
        fail(&old.register(name, None).expect("a new name"), 5);
    }
    old.open_circuit("a", "by hand", ms(5_000))
        .expect("registered");
    let data = old.save();
    let (new, _clock) = manager();
    let a = new.register("a", None).expect("a new name");
    let before = status(&a);
    let refused = |damaged: &[u8]| match new.restore(damaged) {
        Err(Error::InvalidArgument(invalid)) => assert_eq!(invalid.name, "data"),
        other => panic!("{other:?}"),
    };
    for length in 0..data.len() {
        refused(&data[..length]);
    }
    for at in 0..data.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = data.clone();
            damaged[at] ^= flip;
            refused(&damaged);
        }
    }
    refused(&[&data[..], &[0]].concat());
    refused(&[&data[..], &data[..]].concat());
    refused(b"{}");
    assert_eq!(status(&a), before);
    let b = new.register("b", None).expect("a new name");
    assert_eq!(b.state(), State::Closed, "nothing waits");
    assert_eq!(new.restore(&data), Ok(2), "undamaged");
    assert_eq!(a.state(), State::Open);
}

/// `data` with `total` as each total of its only circuit, and with a matching checksum.
fn with_totals(mut data: Vec<u8>, total: u64) -> Vec<u8> {
    let end = data.len() - 8;
    for at in [64, 72, 80] {
        data[at..at + 8].copy_from_slice(&total.to_le_bytes());
    }
    let sum = data[..end].iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    data[end..].copy_from_slice(&sum.to_le_bytes());
    data
}

/// A program may forge the data, and the checksum does not detect that.
#[test]
fn totals_that_would_overflow_are_refused() {
    let (brama, _clock) = manager();
    let db = registered(&brama);
    let data = brama.save();
    for total in [(1 << 62) + 1, u64::MAX] {
        let error = brama.restore(&with_totals(data.clone(), total));
        assert!(matches!(error, Err(Error::InvalidArgument(_))), "{error:?}");
    }
    assert_eq!(brama.restore(&with_totals(data, 1 << 62)), Ok(1));
    db.success().expect("registered");
    db.failure(None).expect("registered");
    let now = status(&db);
    assert_eq!(now.total_successes, (1 << 62) + 1);
    assert_eq!(now.total_failures, (1 << 62) + 1);
    assert_eq!(now.success_rate, Some(0.5));
    assert_eq!(
        brama.restore(&brama.save()),
        Ok(1),
        "at most so many are saved"
    );
}

#[test]
fn the_message_says_what_is_wrong() {
    let (brama, _clock) = manager();
    registered(&brama);
    let mut data = brama.save();
    data[8] = 9;
    let error = brama.restore(&data).expect_err("another version");
    let said = error.to_string();
    for part in ["`data`", "98 bytes", "offset 8", "version 9 is unknown"] {
        assert!(said.contains(part), "{said}, without {part}");
    }
}
