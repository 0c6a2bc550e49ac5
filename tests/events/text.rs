//! Limits on what reporters give: reasons and metadata that are too long
//! are cut. The memory that they take in a queue is in `storms::memory`.

use crate::common::events::queue_of;
use crate::common::manager;
use brama::{Event, Report};

/// The failure that a report makes.
fn failure(report: Report<'_>) -> Event {
    let (brama, _clock) = manager();
    let db = brama.register("db", None).expect("a new name");
    let queue = queue_of(&brama, 10);
    db.failure(report).expect("it counts");
    assert_eq!(db.status().expect("registered").total_failures, 1);
    queue.try_next().expect("it is delivered")
}

#[test]
fn a_reason_is_cut_at_a_kibibyte_and_at_a_character() {
    for (letter, kept) in [("x", 1_024), ("ü", 512), ("€", 341), ("🦀", 256)] {
        let whole = letter.repeat(kept);
        let event = failure(Report::new().reason(&whole));
        assert_eq!(event.reason(), Some(&*whole));
        assert!(!event.is_truncated(), "{letter}: it fits");
        let longer = letter.repeat(kept + 1);
        let event = failure(Report::new().reason(&longer));
        assert_eq!(event.reason(), Some(&*whole));
        assert!(event.is_truncated(), "{letter}: it is cut");
    }
    let shifted = "x".to_owned() + &"ü".repeat(600);
    let event = failure(Report::from(&shifted));
    assert_eq!(event.reason().map(str::len), Some(1_023));
}

#[test]
fn metadata_is_bounded_as_a_whole() {
    let kept = |pairs: Vec<(String, String)>| {
        let event = failure(Report::new().metadata(pairs));
        let metadata = event.metadata().expect("given").clone();
        (metadata, event.is_truncated())
    };
    let numbered = |count: usize, length: usize| {
        let pair = |n| (format!("{n:04}"), "v".repeat(length));
        (0..count).map(pair).collect::<Vec<_>>()
    };

    let (metadata, cut) = kept(numbered(64, 124));
    assert_eq!((metadata.len(), cut), (64, false), "8 KiB in all");

    let (metadata, cut) = kept(numbered(65, 1));
    assert_eq!((metadata.len(), cut), (64, true));
    assert!(!metadata.contains_key("0064"), "the last one is left out");

    let (metadata, cut) = kept(numbered(1, 1_025));
    assert_eq!((metadata["0000"].len(), cut), (1_024, true));

    let (metadata, cut) = kept(numbered(9, 1_024));
    let bytes: usize = metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
    assert_eq!((metadata.len(), bytes, cut), (7, 7 * 1_028, true));

    let (metadata, cut) = kept(vec![
        ("k".repeat(1_025), "lost".into()),
        ("short".into(), "kept".into()),
    ]);
    assert_eq!((metadata.len(), cut), (1, true));
    assert_eq!(metadata["short"], "kept");
}
