//! Names: which are refused, which are the same, and their hashes.

use super::*;
use std::collections::HashSet;

#[test]
fn a_name_is_valid_by_its_length_and_without_nul_in_one_pass_or_alone() {
    let hasher = Hasher::new();
    // Arithmetic on whole words is most likely to take 0x01 and 0x80 for 0.
    for filling in ["\u{1}", "x", "\u{80}", "\u{1}\u{80}"] {
        for len in (0..=20).chain([MAX_NAME_BYTES, MAX_NAME_BYTES + 1]) {
            for nul in (0..len.min(20)).map(Some).chain([None]) {
                let mut name = filling.repeat(len)[..len - len % filling.len()].to_owned();
                if let Some(nul) = nul.filter(|nul| name.is_char_boundary(*nul)) {
                    name.insert(nul, '\0');
                }
                let expected = (1..=MAX_NAME_BYTES).contains(&name.len())
                    && !name.bytes().any(|byte| byte == 0);
                for key in [
                    Key::from(&name),
                    Key::from((&*name, "service")),
                    Key::from(("team", &*name)),
                ] {
                    assert_eq!(key.validate().is_ok(), expected, "{key:?}");
                    let both = (hasher.hash(key), expected);
                    assert_eq!(hasher.hash_and_validate(key), both, "{key:?}");
                }
            }
        }
    }
}

#[test]
fn names_outside_the_rule_are_refused_with_their_argument() {
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    for bad in ["", "a\0b", &long] {
        let error = Key::from(bad).validate().unwrap_err().to_string();
        assert!(
            error.contains("`identifier`") && error.contains(RULE),
            "{error}"
        );
        let error = Key::from((bad, "x")).validate().unwrap_err().to_string();
        assert!(error.contains("`scope`") && error.contains(RULE), "{error}");
    }
    assert!(Key::from(&long[1..]).validate().is_ok());
    assert!(Key::from(("ö", "日本")).validate().is_ok());
}

#[test]
fn keys_that_would_collide_when_concatenated_stay_apart() {
    let hasher = Hasher::new();
    let keys = [
        Key::from("a:b"),
        Key::from(("a", "b")),
        Key::from(("a:", "b")),
        Key::from(("a", ":b")),
        Key::from("ab"),
        Key::from(("b", "a")),
        Key::from("b"),
    ];
    let hashes: HashSet<u64> = keys.iter().map(|key| hasher.hash(*key)).collect();
    assert_eq!(hashes.len(), keys.len());
    for (i, a) in keys.iter().enumerate() {
        for (j, b) in keys.iter().enumerate() {
            assert_eq!(a == b, i == j);
        }
    }
}

#[test]
fn names_are_the_same_if_all_their_bytes_are() {
    for length in 0..70 {
        let name = vec![b'n'; length];
        assert!(same(&name, &name.clone()));
        assert!(!same(&name, &vec![b'n'; length + 1]));
        for position in 0..length {
            let mut other = name.clone();
            other[position] = b'o';
            assert!(!same(&name, &other), "{length}/{position}");
        }
    }
}

#[test]
fn hashes_of_similar_names_differ_in_about_half_their_bits() {
    let hasher = Hasher::new();
    for length in 1..70 {
        let name = "n".repeat(length);
        let base = hasher.hash(Key::from(name.as_str()));
        for position in 0..length {
            let mut other = name.clone().into_bytes();
            other[position] = b'o';
            let other = String::from_utf8(other).expect("ascii");
            let differing = (base ^ hasher.hash(Key::from(other.as_str()))).count_ones();
            assert!(
                (8..=56).contains(&differing),
                "{length}/{position}: {differing}"
            );
        }
    }
}

#[test]
fn two_managers_hash_differently() {
    let key = Key::from("payment_api");
    assert_ne!(Hasher::new().hash(key), Hasher::new().hash(key));
}
