use super::*;
use crate::values::key::Key;

#[test]
fn names_and_types_are_each_other_s() {
    for kind in EventType::ALL {
        assert_eq!(EventType::from_name(kind.as_str()), Some(kind));
        assert!(EventMask::ALL.contains(kind));
    }
    assert_eq!(EventType::from_name("state change"), None);
    assert_eq!(
        EventType::ALL.into_iter().collect::<EventMask>(),
        EventMask::ALL
    );
}

#[test]
fn only_reports_and_admissions_are_droppable() {
    let droppable: Vec<_> = EventType::ALL
        .into_iter()
        .filter(|kind| kind.is_droppable())
        .collect();
    assert_eq!(droppable, [Failure, Success, CallRejected, Probe]);
}

#[test]
fn reasons_are_kept_whole_short_or_long() {
    for length in [0, 1, Text::SHORT, Text::SHORT + 1, 1_023, 1_024] {
        let reason = "ö".repeat(length / 2) + &"x".repeat(length % 2);
        let text = Text::new(Some(&reason));
        assert_eq!(text.get(), Some(reason.as_str()));
        assert_eq!(matches!(text, Text::Long(_)), length > Text::SHORT);
    }
    assert_eq!(Text::new(None).get(), None);
}

#[test]
fn a_filter_names_what_it_wants_and_nothing_else() {
    let key = Key::from(("billing", "db"));
    let all = EventFilter::new();
    assert_eq!(all.interest_in(key), EventMask::ALL);
    let openings = all.clone().types([CircuitOpened]);
    assert_eq!(openings.interest_in(key), EventMask::of(CircuitOpened));
    for (filter, wanted) in [
        (all.clone().connection("db"), true),
        (all.clone().connection("other"), false),
        (all.clone().scope("billing"), true),
        (all.clone().scope(None), false),
        (all.clone().scope("billing").connection("db"), true),
        (all.clone().scope("billing").connection("other"), false),
    ] {
        assert_eq!(
            filter.interest_in(key) != EventMask::NONE,
            wanted,
            "{filter:?}"
        );
    }
    assert_eq!(
        all.clone().scope(None).interest_in("db".into()),
        EventMask::ALL
    );
}

#[test]
fn a_pattern_covers_the_filters_that_agree_with_it() {
    let new = EventFilter::new;
    let narrow = new().types([Failure]).connection("db").scope("billing");
    for (pattern, covers) in [
        (new(), true),
        (new().connection("db"), true),
        (new().connection("other"), false),
        (new().scope("billing"), true),
        (new().scope(None), false),
        (new().types([Failure, Success]), true),
        (new().types([Success]), false),
        (narrow.clone(), true),
    ] {
        assert_eq!(narrow.falls_under(&pattern), covers, "{pattern:?}");
    }
    assert!(!new().falls_under(&narrow));
}

#[test]
fn what_changes_a_state_delivers_the_change_before_its_name() {
    let occurrences = [
        Occurrence::Success,
        Occurrence::Failure,
        Occurrence::Expiry,
        Occurrence::OpenedByHand,
        Occurrence::ClosedByHand,
        Occurrence::HalfOpenedByHand,
        Occurrence::Reset,
    ];
    for occurrence in occurrences {
        let events = occurrence.events(true);
        let change = events.iter().position(|kind| *kind == StateChange);
        assert_eq!(change, Some(events.len() - 2), "{occurrence:?}");
        assert!(events.len() <= 3, "they fit into the numbers of one change");
    }
}

#[test]
fn a_nul_in_a_reason_or_in_metadata_is_replaced_and_the_event_says_so() {
    let report = Report::new().reason("a\0b");
    assert!(report.is_altered());
    let kept = Text::new(report.reason);
    assert_eq!(kept.get(), Some("a\u{fffd}b"));
    let long = format!("{}\0", "x".repeat(1_023));
    assert_eq!(
        Text::new(Some(&long)).get(),
        Some(&long[..1_023]),
        "no room for it"
    );
    let report = Report::new().metadata([("a\0", "1"), ("b", "\0")]);
    assert!(report.is_altered());
    let kept = report.metadata.expect("given");
    assert_eq!(kept["a\u{fffd}"], "1");
    assert_eq!(kept["b"], "\u{fffd}");
    let beyond = format!("{}\0", "x".repeat(1_024));
    assert_eq!(Text::new(Some(&beyond)).get(), Some(&beyond[..1_024]));
}

#[cfg(feature = "capi")]
#[test]
fn bytes_become_a_text_of_bounded_length() {
    assert_eq!(valid_beginning(b"down"), ("down".into(), false));
    assert_eq!(valid_beginning(b"d\xf6wn"), ("d\u{fffd}wn".into(), true));
    assert_eq!(
        valid_beginning(b"cut \xf0\x9f"),
        ("cut \u{fffd}".into(), true)
    );
    assert_eq!(valid_beginning(b"a\0b"), ("a\u{fffd}b".into(), true));
    for (letter, kept) in [("x", 1_024), ("ü", 512), ("€", 341), ("🦀", 256)] {
        let whole = letter.repeat(kept);
        assert_eq!(
            valid_beginning(whole.as_bytes()),
            (whole.as_str().into(), false)
        );
        for more in 1..5 {
            let longer = letter.repeat(kept + more);
            let shown = valid_beginning(longer.as_bytes());
            assert_eq!(shown, (whole.as_str().into(), true), "{letter} {more}");
        }
    }
    let (text, is_altered) = valid_beginning(&[0xff; 5_000]);
    assert_eq!((text.len(), is_altered), (1_023, true));
}
