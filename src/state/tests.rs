use super::*;

const LIMIT: u32 = 3;

fn fail(word: Word, now: u64) -> Word {
    word.failed(|count| count >= LIMIT, |trips| now + 100 * u64::from(trips))
        .unwrap_or(word)
}

fn open_until(deadline: u64) -> Word {
    Word::NEW.opened_by_hand(|_| deadline).expect("opens")
}

fn half_open() -> Word {
    Word::NEW.half_opened_by_hand().expect("half-opens")
}

#[test]
fn a_new_circuit_is_closed_and_spotless() {
    assert_eq!(Word::NEW.state(), State::Closed);
    assert!(Word::NEW.passes_freely() && Word::NEW.is_spotless());
    assert_eq!(Word::NEW.failures(), Some(0));
    assert_eq!(Word::NEW.succeeded(1), None, "nothing to write");
}

#[test]
fn failures_in_a_row_open_and_a_success_starts_over() {
    let two = fail(fail(Word::NEW, 0), 0);
    assert_eq!((two.state(), two.failures()), (State::Closed, Some(2)));
    assert!(two.passes_freely() && !two.is_spotless());
    let zero = two.succeeded(1).expect("a write");
    assert_eq!(zero, Word::NEW);
    let open = fail(two, 7);
    assert_eq!(open.state(), State::Open);
    assert_eq!(open.deadline(), Some(107));
    assert_eq!(open.trips(), 1);
    assert!(!open.passes_freely());
}

#[test]
fn an_open_circuit_ignores_reports() {
    let open = open_until(50);
    assert_eq!(open.succeeded(1), None);
    assert_eq!(
        open.failed(|_| true, |_| 1_000),
        None,
        "the deadline does not move"
    );
}

#[test]
fn it_is_due_exactly_at_its_deadline() {
    let open = open_until(50);
    assert!(!open.is_due(49));
    assert_eq!(open.expired(49), None);
    let probing = open.expired(50).expect("due");
    assert_eq!(probing.state(), State::HalfOpen);
    assert_eq!(probing.trips(), open.trips());
}

#[test]
fn never_is_never_due_and_no_expiry_overflows_into_a_date() {
    assert!(!open_until(NEVER).is_due(LAST_MOMENT));
    assert_eq!(deadline(0, u64::MAX), NEVER);
    assert_eq!(deadline(LAST_MOMENT, 1), NEVER);
    assert_eq!(deadline(LAST_MOMENT - 1, 1), LAST_MOMENT);
    let word = Word::NEW.failed(|_| true, |_| u64::MAX).expect("opens");
    assert_eq!(word.deadline(), Some(NEVER));
    assert_eq!(
        word.trips(),
        1,
        "an overlong deadline spoils no other field"
    );
}

#[test]
fn enough_successes_close_a_half_open_circuit() {
    let first = half_open().succeeded(3).expect("counted");
    let second = first.succeeded(3).expect("counted");
    assert_eq!(second.state(), State::HalfOpen);
    let closed = second.succeeded(3).expect("closes");
    assert_eq!(closed.state(), State::Closed);
    assert_eq!((closed.trips(), closed.failures()), (0, Some(0)));
}

#[test]
fn a_failed_probe_opens_again_and_counts_a_trip() {
    let mut word = fail(fail(fail(Word::NEW, 0), 0), 0);
    for trips in 1..=300_u32 {
        assert_eq!(word.trips(), trips.min(255));
        let due = word.deadline().expect("open");
        word = fail(word.expired(due).expect("due"), due);
    }
}

#[test]
fn re_arming_moves_the_deadline_and_is_no_new_opening() {
    let open = open_until(50);
    let rearmed = open.opened_by_hand(|_| 500).expect("a write");
    assert_eq!(rearmed.deadline(), Some(500));
    assert_eq!(rearmed.trips(), 1);
    assert_eq!(rearmed.generation(), open.generation());
}

#[test]
fn closing_by_hand_keeps_the_count_and_the_trips() {
    let closed = open_until(50).closed_by_hand(7).expect("closes");
    assert_eq!((closed.failures(), closed.trips()), (Some(7), 1));
    assert_eq!(closed.closed_by_hand(0), None);
}

#[test]
fn a_reset_forgets_everything_but_keeps_a_closed_circuit_s_permits() {
    let counted = fail(Word::NEW, 0);
    assert_eq!(counted.reset(), Some(Word::NEW));
    assert_eq!(Word::NEW.reset(), None);
    let open = open_until(50);
    let reset = open.reset().expect("closes");
    assert_eq!((reset.failures(), reset.trips()), (Some(0), 0));
    assert_ne!(reset.generation(), open.generation());
    let manual = open.closed_by_hand(2).expect("closes");
    let reset = manual.reset().expect("zeroes");
    assert_eq!((reset.failures(), reset.trips()), (Some(0), 0));
    assert_eq!(reset.generation(), manual.generation());
}

#[test]
fn every_change_of_state_is_a_new_generation_and_nothing_else_is() {
    let mut word = Word::NEW;
    let mut last = word.generation();
    for step in 0..20_000_u64 {
        let next = match step % 5 {
            0 => fail(word, 0),
            1 => word.opened_by_hand(|_| step).expect("opens"),
            2 => word.expired(step).expect("due"),
            3 => word.closed_by_hand(1).expect("closes"),
            _ => word.succeeded(1).expect("zeroes"),
        };
        let changed = next.state() != word.state();
        assert_eq!(next.generation() != last, changed, "step {step}");
        assert_eq!(next.state() == State::Closed, next.passes_freely());
        last = next.generation();
        word = next;
    }
}

#[test]
fn retired_is_final_and_passes_nothing() {
    for word in [Word::NEW, open_until(9), half_open()] {
        let retired = word.retired().expect("retires");
        assert!(retired.is_retired() && !retired.passes_freely() && !retired.is_spotless());
        assert_eq!(retired.state(), word.state());
        assert_eq!(retired.retired(), None);
    }
}

#[test]
fn counts_stop_instead_of_overflowing() {
    let full = Word::NEW.with_payload(COUNT_MAX);
    let next = full.failed(|_| false, |_| 0).expect("a write");
    assert_eq!(next.failures(), Some(u32::MAX));
    let probing = half_open().with_payload(COUNT_MAX - 1);
    assert_eq!(
        probing.succeeded(u32::MAX).map(Word::state),
        Some(State::Closed)
    );
}

#[test]
fn a_mark_fits_the_spotless_word_that_has_it_and_no_other() {
    let generations = [0, 1, 2, 0x0fff, 0x1fff];
    let words: Vec<Word> = generations
        .iter()
        .flat_map(|generation| {
            let closed = Word::from_bits(generation << 40);
            let tripped = Word::from_bits(7 << 53 | generation << 40);
            let failed = closed.failed(|_| false, |_| 0).expect("counted");
            let open = closed.opened_by_hand(|_| 9).expect("opened");
            let removed = closed.retired().expect("was there");
            [
                closed,
                tripped,
                failed,
                open,
                removed,
                Word::from_bits(1 << 62),
            ]
        })
        .collect();
    for one in &words {
        for other in &words {
            let same = one.generation() == other.generation() && one.trips() == other.trips();
            let fits = other.is_spotless() && same;
            assert_eq!(other.is_spotless_at(one.mark()), fits, "{other:?}");
            for bits in [Word::UNUSED, 1 << 39, Word::IMPOSSIBLE] {
                let mark = one.mark() | bits;
                assert!(!other.is_spotless_at(mark), "{one:?} {other:?}");
            }
        }
    }
}

#[test]
fn a_deadline_stands_while_the_connection_does() {
    let open = Word::NEW.opened_by_hand(|_| 9).expect("opened");
    assert_eq!(open.standing_deadline(), Some(9));
    assert_eq!(open.retired().expect("was there").standing_deadline(), None);
    assert_eq!(Word::NEW.standing_deadline(), None);
    let half_open = open.expired(9).expect("due");
    assert_eq!(half_open.standing_deadline(), None);
}
