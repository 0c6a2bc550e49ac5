use super::*;
use crate::sys::clock::LAST_MOMENT;
use crate::values::tally::Position;

fn tally(failures: u32) -> Tally {
    Tally::plain(failures)
}

fn closed(failures: u32) -> Word {
    Word::NEW.with_tally(tally(failures))
}

impl Word {
    /// Both steps of closing.
    fn closed_by_hand(self, tally: Tally, watched: bool) -> Word {
        self.closing(Closing::Keeping).closed(tally, watched)
    }

    fn recovered(self, tally: Tally, watched: bool) -> Word {
        let closing = self.closing(Closing::Forgetting);
        closing.closed(tally.cleared(), watched)
    }
}

fn open_until(deadline: u64) -> Word {
    Word::NEW.opened(OpenedBy::Other, deadline)
}

#[test]
fn a_new_circuit_is_closed_and_spotless() {
    assert_eq!(Word::NEW.state(), State::Closed);
    assert!(Word::NEW.passes_freely() && Word::NEW.is_spotless());
    assert_eq!(Word::NEW.tally(), Some(Tally::NONE));
    assert_eq!(Word::NEW.zeroed(), Word::NEW, "nothing to write");
}

#[test]
fn an_opening_counts_a_trip_and_names_its_cause() {
    for (by, by_failure) in [(OpenedBy::Other, false), (OpenedBy::Failure, true)] {
        let open = closed(2).opened(by, 107);
        assert_eq!(open.state(), State::Open);
        assert_eq!((open.deadline(), open.trips()), (Some(107), 1));
        assert_eq!(open.is_opened_by_failure(), by_failure);
        assert_eq!(open.tally(), None);
        assert!(!open.passes_freely() && !open.is_spotless());
    }
}

#[test]
fn it_is_due_exactly_at_its_deadline() {
    let open = open_until(50);
    assert!(!open.is_due(49) && open.is_due(50));
    let probing = open.probing();
    assert_eq!(probing.state(), State::HalfOpen);
    assert_eq!(probing.trips(), open.trips());
    assert!(!probing.is_due(u64::MAX) && !Word::NEW.is_due(u64::MAX));
}

#[test]
fn never_is_never_due_and_no_expiry_overflows_into_a_date() {
    assert!(!open_until(NEVER).is_due(LAST_MOMENT));
    assert_eq!(deadline(0, u64::MAX), NEVER);
    assert_eq!(deadline(LAST_MOMENT, 1), NEVER);
    assert_eq!(deadline(LAST_MOMENT - 1, 1), LAST_MOMENT);
    let word = open_until(u64::MAX);
    assert_eq!(word.deadline(), Some(NEVER));
    assert_eq!(
        word.trips(),
        1,
        "an overlong deadline spoils no other field"
    );
}

#[test]
fn trips_stop_at_the_end_of_their_field() {
    let mut word = Word::NEW;
    for trips in 1..=300_u32 {
        word = word.probing().opened(OpenedBy::Failure, 9);
        assert_eq!(word.trips(), trips.min(255));
    }
}

#[test]
fn re_arming_moves_the_deadline_and_is_no_new_opening() {
    for by in [OpenedBy::Other, OpenedBy::Failure] {
        let open = Word::NEW.opened(by, 50);
        let rearmed = open.rearmed(500);
        assert_eq!((rearmed.deadline(), rearmed.trips()), (Some(500), 1));
        assert_eq!(rearmed.generation(), open.generation());
        assert_eq!(
            rearmed.is_opened_by_failure(),
            open.is_opened_by_failure(),
            "the failure still has to be counted, or not"
        );
    }
}

#[test]
fn closing_by_hand_keeps_the_tally_and_the_trips_and_a_recovery_neither() {
    let open = open_until(50);
    let by_hand = open.closed_by_hand(tally(7), false);
    assert_eq!((by_hand.tally(), by_hand.trips()), (Some(tally(7)), 1));
    assert!(by_hand.passes_freely() && !by_hand.is_spotless());
    let recovered = open.recovered(tally(7), false);
    assert_eq!((recovered.tally(), recovered.trips()), (Some(tally(0)), 0));
    assert!(recovered.is_spotless());
}

#[test]
fn a_word_that_is_closing_is_closed_and_passes_nothing_freely() {
    let probing = closed(3).probing().with_success(true);
    for (how, trips) in [(Closing::Keeping, 1), (Closing::Forgetting, 0)] {
        let word = probing.opened(OpenedBy::Other, 9).closing(how);
        assert_eq!(word.state(), State::Closed);
        assert_eq!((word.is_closing(), word.trips()), (Some(how), trips));
        assert_eq!((word.tally(), word.successes()), (None, None));
        assert_eq!((word.deadline(), word.passes_freely()), (None, false));
        let done = word.closed(tally(3), true);
        assert_eq!(done.generation(), word.generation());
        assert_eq!((done.tally(), done.is_closing()), (Some(tally(3)), None));
    }
    assert_eq!(probing.is_closing(), None);
}

#[test]
fn zeroing_keeps_the_permits_and_the_position_of_the_next_failure() {
    let timed = Tally::empty_at(Position::ZERO.plus(3)).plus_failure();
    let word = open_until(50).closed_by_hand(timed, false);
    let zeroed = word.zeroed();
    assert_eq!(zeroed.tally(), Some(timed.cleared()));
    assert_eq!(zeroed.trips(), 0);
    assert_eq!(zeroed.generation(), word.generation());
    assert!(zeroed.is_spotless(), "a position is no failure");
}

#[test]
fn a_watched_circuit_is_closed_and_passes_nothing_freely() {
    let watched = closed(2).watched(true);
    assert!(watched.is_watched() && !watched.passes_freely() && !watched.is_spotless());
    assert_eq!(watched.state(), State::Closed);
    assert_eq!(watched.tally(), Some(tally(2)));
    assert_eq!(watched.watched(true), watched);
    assert_eq!(watched.watched(false), closed(2));
    assert!(!watched.zeroed().is_spotless_at(watched.zeroed().mark()));
    assert!(open_until(9).recovered(tally(0), true).is_watched());
}

#[test]
fn every_change_of_state_is_a_new_generation_and_nothing_else_is() {
    let mut word = Word::NEW;
    for step in 0..20_000_u64 {
        let next = match step % 7 {
            0 => word.with_tally(tally(2)),
            1 => word.opened(OpenedBy::Failure, step),
            2 => word.rearmed(step + 1),
            3 => word.probing(),
            4 => word.with_success(true),
            5 => word.closed_by_hand(tally(1), step % 2 == 0),
            _ => word.zeroed(),
        };
        let changed = next.state() != word.state();
        let is_next = next.generation() == word.generation().next();
        assert_eq!(is_next, changed, "step {step}");
        assert_eq!(is_next, next.generation() != word.generation());
        word = next;
    }
}

#[test]
fn retired_is_final_passes_nothing_and_remembers_what_was() {
    let words = [
        (closed(3), State::Closed),
        (closed(3).watched(true), State::Closed),
        (open_until(9), State::Open),
        (Word::NEW.opened(OpenedBy::Failure, 9), State::Open),
        (open_until(9).probing(), State::HalfOpen),
    ];
    for (word, state) in words {
        let retired = word.retired(3);
        assert!(retired.is_retired() && !retired.passes_freely() && !retired.is_spotless());
        assert_eq!(retired.before_removal(), Some((state, 3)));
        assert_eq!(word.before_removal(), None);
        assert_eq!(retired.state(), State::Unknown);
        assert_eq!((retired.deadline(), retired.tally()), (None, None));
        assert_eq!(retired.generation(), word.generation());
    }
}

#[test]
fn a_failure_below_the_limit_is_counted_by_an_increment() {
    let (two, count) = closed(1).with_failure_below(3).expect("below");
    assert_eq!((two, count), (closed(2), 2));
    assert_eq!(closed(2).with_failure_below(3), None, "it opens");
    assert_eq!(closed(0).with_failure_below(1), None);
    const MOST: u32 = Tally::SMALL + 1;
    assert_eq!(closed(0).watched(true).with_failure_below(9), None);
    assert_eq!(open_until(9).with_failure_below(9), None);
    let timed = Word::NEW.with_tally(Tally::empty_at(Position::ZERO));
    assert_eq!(timed.with_failure_below(MOST), None);
    let most = closed(Tally::SMALL - 1).with_failure_below(MOST);
    assert_eq!(most, Some((closed(Tally::SMALL), Tally::SMALL)));
    assert_eq!(closed(Tally::SMALL).with_failure_below(MOST), None);
}

/// One comparison asks whether the circuit is as it was, and spotless.
#[test]
fn a_mark_fits_the_spotless_word_that_has_it_and_no_other() {
    let words: Vec<Word> = [0, 1, 2, 0x0fff, 0x1fff]
        .iter()
        .flat_map(|generation| {
            let new = Word::from_bits(generation << 40);
            let timed = Tally::empty_at(Position::ZERO.plus(1 << 20));
            [
                new,
                Word::from_bits(7 << 53 | generation << 40),
                new.with_tally(tally(1)),
                new.with_tally(tally(131_072)),
                new.with_tally(timed),
                new.with_tally(timed.plus_failure()),
                new.watched(true),
                new.opened(OpenedBy::Other, 9),
                new.retired(0),
            ]
        })
        .collect();
    for one in words.iter().filter(|word| word.passes_freely()) {
        for other in &words {
            let same = one.mark() == other.mark();
            let fits = other.is_spotless() && same;
            assert_eq!(other.is_spotless_at(one.mark()), fits, "{one:?} {other:?}");
            let is_closed = other.passes_freely() && one.generation() == other.generation();
            assert_eq!(other.is_closed_at(one.mark()), is_closed, "{other:?}");
            // Tickets that are no marks: two that own something, and a probe's.
            for place in [one.mark() | 9 << 60, one.mark() | 4 << 61 | 9, 4 << 61] {
                assert!(!other.is_spotless_at(place), "{one:?} {other:?}");
                let is_closed = other.passes_freely() && other.is_closed_at(place);
                assert!(!is_closed, "{one:?} {other:?}");
            }
        }
    }
}
