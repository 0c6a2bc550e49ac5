//! The word with tickers that come, stop, starve and are left behind.

use super::*;

fn at(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

/// On since `ms`.
fn ticking(word: &TickWord, ms: u64) -> Ticker<'_> {
    word.want_ticker(at(ms));
    word.begin(|| at(ms)).expect("wanted, and off")
}

/// Whether a success of a cell whose last one was then needs no clock.
fn is_known(word: &TickWord, last: u64) -> bool {
    at(last).to_word() >= word.word()
}

fn is_doubtful(word: &TickWord, since: u64, now: u64) -> bool {
    word.is_doubtful(since, || at(now))
}

#[test]
fn a_success_needs_no_clock_until_the_next_tick() {
    let word = TickWord::new();
    assert!(!is_known(&word, 1_000), "off");
    let mut ticker = ticking(&word, 1_000);
    assert!(is_known(&word, 1_000) && !is_known(&word, 999));
    assert!(ticker.tick(|| at(1_000)), "time stands still");
    assert!(is_known(&word, 1_000));
    assert!(ticker.tick(|| at(1_004)));
    assert!(!is_known(&word, 1_000) && is_known(&word, 1_004));
    ticker.end(|| at(1_005));
    assert!(!is_known(&word, 1_005));
    assert_eq!(word.word(), OFF);
    assert!(!is_doubtful(&word, 0, 1_005));
}

#[test]
fn a_ticker_is_wanted_while_thousands_of_successes_are_reported_in_a_tick() {
    let word = TickWord::new();
    assert!(word.begin(|| at(1_000)).is_none(), "not wanted");
    let burst = |now| (0..ENOUGH).map(|_| word.note_reports(at(now))).collect();
    let noted: Vec<bool> = burst(1_000);
    assert_eq!(
        noted.iter().position(|wakes| *wakes),
        Some(ENOUGH as usize - 1)
    );
    assert!(!burst(1_000).contains(&true), "said once in a tick");
    for now in 1_001..1_100 {
        assert!(!word.note_reports(at(now)), "one burst in a tick");
    }
    let mut ticker = word.begin(|| at(1_100)).expect("wanted");
    assert!(!burst(1_101).contains(&true), "there is one");
    for now in 1_102..=1_101 + PATIENCE_MS {
        assert!(ticker.tick(|| at(now)), "{now}");
    }
    assert!(
        !ticker.tick(|| at(1_102 + PATIENCE_MS)),
        "the process is idle"
    );
    ticker.end(|| at(1_102 + PATIENCE_MS));
    assert!(word.begin(|| at(1_103 + PATIENCE_MS)).is_none());
}

/// Found by a cell, by an evaluation, and by the ticker itself.
#[test]
fn a_starved_ticker_is_switched_off_by_the_thread_that_finds_it() {
    let late = 1_000 + LONGEST_LAG + 1;
    let find: [fn(&TickWord, Tick); 2] = [
        |word, now| word.check(now, || now),
        |word, now| {
            word.is_doubtful(0, || now);
        },
    ];
    for find in find {
        let word = TickWord::new();
        let mut ticker = ticking(&word, 1_000);
        find(&word, at(late - 1));
        assert!(word.is_on() || find as usize != 0);
        find(&word, at(late));
        assert_eq!(word.word(), OFF);
        assert!(
            !ticker.tick(|| at(late + 1)),
            "it replaces its own tick only"
        );
        assert_eq!((word.word(), word.starvations()), (OFF, 1));
        ticker.end(|| at(late + 1));
        assert!(is_doubtful(&word, late, late + 1));
    }
    let word = TickWord::new();
    let mut ticker = ticking(&word, 1_000);
    assert!(!ticker.tick(|| at(late)));
    assert_eq!(word.word(), OFF);
    assert!(is_doubtful(&word, late, late));
}

#[test]
fn a_ticker_that_goes_late_leaves_a_mark() {
    let word = TickWord::new();
    let late = 1_000 + LONGEST_LAG + 1;
    ticking(&word, 1_000).end(|| at(late));
    assert_eq!((word.word(), word.starvations()), (OFF, 1));
    assert!(is_doubtful(&word, late, late));
    // Stopped between its look at the clock and its exchange, or after it.
    let word = TickWord::new();
    let readings = std::cell::Cell::new(1_004);
    ticking(&word, 1_000).end(|| at(readings.replace(late + 4)));
    assert_eq!((word.word(), word.starvations()), (OFF, 1));
    assert!(is_doubtful(&word, late + 4, late + 4));
}

/// It was stopped before it could look once more: an evaluation does so in its place.
#[test]
fn a_ticker_that_stops_as_it_goes_is_doubted() {
    let word = TickWord::new();
    let mut ticker = ticking(&word, 1_000);
    assert!(ticker.replace_by(at(1_004), at(1_004).to_word() | AWAY, || at(1_004)));
    assert!(!is_known(&word, 1_004));
    assert!(!is_doubtful(&word, 0, 1_004 + LONGEST_LAG));
    assert!(is_doubtful(&word, 0, 1_005 + LONGEST_LAG));
    assert_eq!(word.word(), OFF);
}

#[test]
fn successes_are_doubted_for_one_window_after_a_starved_ticker() {
    let word = TickWord::new();
    let _starved = ticking(&word, 1_000);
    let window = 10_000;
    assert!(is_doubtful(&word, 0, 2_000));
    for (now, doubted) in [(2_001, true), (12_000, true), (12_001, false)] {
        assert_eq!(
            is_doubtful(&word, now - window.min(now), now),
            doubted,
            "{now}"
        );
    }
}

/// A machine that starves its threads has no tick soon, and rates that are sure.
#[test]
fn after_each_starved_ticker_the_word_rests_for_twice_as_long() {
    let word = TickWord::new();
    let mut now = 1_000;
    for rest in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 1_024] {
        let mut ticker = ticking(&word, now);
        now += LONGEST_LAG + 1;
        assert!(!ticker.tick(|| at(now)));
        let end = now + rest * REST_MS;
        word.want_ticker(at(end - 1));
        assert!(word.begin(|| at(end - 1)).is_none(), "{rest}");
        now = end;
    }
}

#[test]
fn a_process_has_one_ticker() {
    let word = TickWord::new();
    let mut first = ticking(&word, 1_000);
    assert!(word.begin(|| at(1_001)).is_none());
    // Long after the first was starved, another one comes. The first goes on, and leaves it alone.
    word.check(at(2_000), || at(2_000));
    let now = 2_000 + REST_MS;
    let mut second = ticking(&word, now);
    assert!(!first.tick(|| at(1_004)));
    first.end(|| at(1_004));
    assert!(second.tick(|| at(now + 4)) && is_known(&word, now + 4));
}

#[test]
fn the_child_of_a_fork_has_no_ticker() {
    let word = TickWord::new();
    let _gone = ticking(&word, 1_000);
    word.leave_behind(|| at(1_010));
    assert_eq!(word.word(), OFF);
    assert!(!is_doubtful(&word, 0, 1_010), "no success was late");
    let word = TickWord::new();
    let _gone = ticking(&word, 1_000);
    word.leave_behind(|| at(2_000));
    assert_eq!(word.word(), OFF);
    assert!(
        is_doubtful(&word, 2_000, 2_000),
        "the parent's ticker was late"
    );
}

/// A clone of the process without the handlers of a fork.
#[test]
fn a_ticker_that_a_clone_has_left_behind_is_found_before_another_one_begins() {
    let word = TickWord::new();
    let _gone = ticking(&word, 1_000);
    word.want_ticker(at(2_000));
    assert!(word.begin(|| at(2_000)).is_none());
    assert_eq!(word.word(), OFF);
    assert!(is_doubtful(&word, 2_000, 2_000));
}

/// The thread that finds a starved ticker is stopped, and successes are reported meanwhile.
///
/// Mutation: `a-mark-before-the-last-success`.
#[test]
fn the_mark_of_a_starved_ticker_is_later_than_the_last_success_that_it_hides() {
    let word = TickWord::new();
    let _starved = ticking(&word, 1_000);
    word.check(at(1_030), || {
        assert!(!is_known(&word, 1_000), "successes read the clock by now");
        assert!(is_doubtful(&word, 5_000, 5_000));
        at(9_000)
    });
    assert!(is_doubtful(&word, 9_000, 9_001));
    assert!(!is_doubtful(&word, 9_001, 9_001));
}

/// All managers with a manual clock have one word, also those of other tests.
///
/// Mutation: `ticks-that-a-manual-clock-wants`.
#[test]
fn frequent_reports_by_a_manual_clock_delay_no_cleanup() {
    let clock = Clock::Manual(crate::sys::manual_clock::ManualClock::new());
    let ticks = Ticks::of(&clock);
    for _ in 0..2 * ENOUGH {
        assert!(!ticks.note_reports(at(1_000)));
    }
    assert_eq!(ticks.longest_lag(|| clock.tick()), 0);
}
