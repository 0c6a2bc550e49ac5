//! Threads that are stopped between a change and its stamp: here they change the word, and
//! go on when the test says so.

use std::time::Duration;

use super::*;
use crate::circuit::record::{RecordRef, Registrant};
use crate::sys::clock::Clock;
use crate::sys::manual_clock::ManualClock;
use crate::values::state::OpenedBy;

struct Circuit {
    context: Context,
    record: RecordRef,
    clock: ManualClock,
}

impl Circuit {
    fn new() -> Self {
        let clock = ManualClock::new();
        let context = Context::alone(Clock::Manual(clock.clone()));
        let mut registrant = Registrant::new(&context, "db".into());
        registrant.with(&context, None).expect("valid");
        let [record, _] = RecordRef::new(&context, &mut registrant);
        Circuit {
            context,
            record,
            clock,
        }
    }

    fn pass(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// Changes the word, and writes nothing down.
    fn change(&self, next: fn(Word) -> Word) -> Change {
        let seen = self.record.seen();
        let after = next(seen.word);
        assert!(self.record.leave(seen, after));
        Change {
            before: seen.word,
            after,
        }
    }

    fn open(&self) -> Change {
        self.change(|word| word.opened(OpenedBy::Other, 9_000))
    }

    fn half_open(&self) -> Change {
        self.change(Word::probing)
    }

    fn note(&self, change: Change, now: u64) -> u64 {
        self.record.note_change(&self.context, change, now)
    }

    /// The times of the last opening and of the last change, in monotonic ms.
    fn times(&self) -> [Option<u64>; 2] {
        let status = self.record.status(&self.context).expect("registered");
        let epoch = self.context.clock.unix_ms(0);
        [status.opened_at, status.last_state_change].map(|time| time.map(|time| time - epoch))
    }
}

#[test]
fn an_opening_whose_thread_is_overtaken_has_one_time() {
    let circuit = Circuit::new();
    circuit.pass(100);
    let opening = circuit.open();
    circuit.pass(10);
    let probing = circuit.half_open();
    assert_eq!(circuit.note(probing, 110), 110);
    let times = [Some(110), Some(110)];
    assert_eq!(circuit.times(), times, "by the thread that ended it");
    circuit.pass(10);
    assert_eq!(circuit.note(opening, 100), 110, "what its events tell");
    assert_eq!(circuit.times(), times);
}

#[test]
fn an_opening_of_long_ago_is_not_stamped_after_its_end() {
    let circuit = Circuit::new();
    circuit.pass(100);
    circuit.open();
    circuit.pass(50_000);
    let state = circuit.record.state(&circuit.context);
    assert_eq!(state, crate::values::state::State::HalfOpen);
    assert_eq!(circuit.times(), [Some(9_000), Some(9_000)]);
}

#[test]
fn an_opening_is_not_lost_although_two_threads_are_stopped() {
    let circuit = Circuit::new();
    circuit.pass(100);
    let opening = circuit.open();
    let probing = circuit.half_open();
    circuit.pass(10);
    circuit.record.close(&circuit.context).expect("registered");
    assert_eq!(circuit.times(), [None, Some(110)], "it is not known yet");
    assert_eq!(circuit.note(probing, 100), 100);
    assert_eq!(circuit.note(opening, 100), 100);
    assert_eq!(circuit.times(), [Some(100), Some(110)]);
}

#[test]
fn an_opening_that_status_has_stamped_keeps_that_time() {
    let circuit = Circuit::new();
    circuit.pass(100);
    let opening = circuit.open();
    circuit.pass(5);
    let times = [Some(105), Some(105)];
    assert_eq!(
        circuit.times(),
        times,
        "stamped in the other thread's stead"
    );
    circuit.pass(5);
    assert_eq!(circuit.note(opening, 100), 105, "what its events tell");
    assert_eq!(circuit.times(), times);
    // A thread that reads the clock later and writes first.
    assert_eq!(circuit.note(opening, 108), 105);
    assert_eq!(circuit.times(), times);
    circuit.note(circuit.half_open(), 110);
    assert_eq!(circuit.times(), [Some(105), Some(110)]);
}

/// Its generation seems to come after the last one.
#[test]
fn a_thread_that_was_stopped_for_thousands_of_changes_writes_no_stamp() {
    for changes in [4_098, 6_000, 8_190] {
        let circuit = Circuit::new();
        circuit.pass(100);
        let opening = circuit.open();
        circuit.pass(100);
        for _ in 0..changes / 2 {
            circuit
                .record
                .half_open(&circuit.context)
                .expect("registered");
            circuit.record.close(&circuit.context).expect("registered");
        }
        assert_eq!(circuit.note(opening, 100), 200, "{changes}");
        circuit.pass(100);
        circuit
            .record
            .half_open(&circuit.context)
            .expect("registered");
        assert_eq!(circuit.times(), [Some(200), Some(300)], "{changes}");
    }
}
