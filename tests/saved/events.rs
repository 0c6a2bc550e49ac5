//! What subscribers hear of a restore.

use brama::{Brama, Cause, Event, EventQueue, EventType, State};

use super::restored::{moved, registered};
use crate::common::events::queue_of;
use crate::common::{manager, ms};

fn drained(brama: &Brama, queue: &EventQueue) -> Vec<Event> {
    brama.poll();
    queue.drain(100)
}

type Told = (EventType, State, State, Option<Cause>, Option<String>);

fn told(events: &[Event]) -> Vec<Told> {
    let told = |event: &Event| {
        let reason = event.reason().map(str::to_owned);
        let (before, after) = (event.previous_state(), event.new_state());
        (event.event_type(), before, after, event.cause(), reason)
    };
    events.iter().map(told).collect()
}

#[test]
fn an_opening_is_delivered_as_one_by_hand_with_the_saved_cause_and_reason() {
    let (old, _) = manager();
    let db = registered(&old);
    db.failure_for("HTTP 503", ms(5_000)).expect("registered");
    let (new, _clock) = manager();
    registered(&new);
    let queue = queue_of(&new, 100);
    assert_eq!(moved(&old, &new), 1);
    let events = drained(&new, &queue);
    let opened = |kind| {
        let cause = Some(Cause::RetryAfter);
        (
            kind,
            State::Closed,
            State::Open,
            cause,
            Some("HTTP 503".to_owned()),
        )
    };
    assert_eq!(
        told(&events),
        [
            opened(EventType::StateChange),
            opened(EventType::CircuitOpened)
        ]
    );
    assert!(events.iter().all(|event| event.expiry() == Some(ms(5_000))));
    // A second restore, to the same state.
    assert_eq!(moved(&old, &new), 1);
    let (_, _, after, cause, reason) = opened(EventType::CircuitOpened);
    let again = (EventType::CircuitOpened, State::Open, after, cause, reason);
    assert_eq!(told(&drained(&new, &queue)), [again]);
}

#[test]
fn each_state_is_delivered_as_by_hand() {
    let (old, _) = manager();
    let saved = registered(&old);
    let (new, _clock) = manager();
    let db = registered(&new);
    let queue = queue_of(&new, 100);
    let restored = |from: State| {
        match from {
            State::Open => db.open_circuit(None, None),
            State::HalfOpen => db.half_open_circuit(),
            _ => db.close_circuit(),
        }
        .expect("registered");
        drained(&new, &queue);
        assert_eq!(moved(&old, &new), 1);
        told(&drained(&new, &queue))
            .into_iter()
            .map(|(kind, before, after, ..)| (kind, before, after))
            .collect::<Vec<_>>()
    };
    let states = [State::Closed, State::HalfOpen, State::Open];
    for (to, kind) in states.into_iter().zip([
        EventType::CircuitClosed,
        EventType::CircuitHalfOpened,
        EventType::CircuitOpened,
    ]) {
        match to {
            State::Open => saved.open_circuit(None, None).expect("registered"),
            State::HalfOpen => saved.half_open_circuit().expect("registered"),
            _ => {}
        }
        for from in states {
            let last = (kind, from, to);
            let expected = match from == to {
                true => vec![last],
                false => vec![(EventType::StateChange, from, to), last],
            };
            assert_eq!(restored(from), expected);
        }
    }
}

#[test]
fn a_registration_that_takes_what_waits_is_delivered_first() {
    let (old, _) = manager();
    registered(&old)
        .open_circuit("down", ms(5_000))
        .expect("registered");
    let (new, clock) = manager();
    let queue = queue_of(&new, 100);
    assert_eq!(moved(&old, &new), 1);
    assert!(drained(&new, &queue).is_empty());
    clock.advance(ms(1_000));
    registered(&new);
    let events = drained(&new, &queue);
    let kinds: Vec<_> = events.iter().map(|event| event.event_type()).collect();
    let expected = [
        EventType::Registration,
        EventType::ConnectionRegistered,
        EventType::StateChange,
        EventType::CircuitOpened,
    ];
    assert_eq!(kinds, expected);
    let sequence: Vec<_> = events.iter().map(|event| event.sequence()).collect();
    assert!(sequence.is_sorted());
    clock.advance(ms(4_000));
    let kinds: Vec<_> = drained(&new, &queue)
        .iter()
        .map(|event| event.event_type())
        .collect();
    let expected = [
        EventType::Expiry,
        EventType::StateChange,
        EventType::CircuitHalfOpened,
    ];
    assert_eq!(kinds, expected, "on time, without a call");
}

/// Subscribers hear of the begin of a restored opening before its end, even if its time is over.
///
/// Mutation: `totals-restored-before-their-opening-is-reported`.
#[test]
fn an_opening_that_is_over_is_delivered_before_its_end() {
    let (old, _) = manager();
    let db = registered(&old);
    db.open_circuit(None, ms(5)).expect("registered");
    let data = old.save();
    let (new, clock) = manager();
    registered(&new);
    clock.advance(ms(5));
    let queue = queue_of(&new, 100);
    assert_eq!(new.restore(&data), Ok(1));
    let events = drained(&new, &queue);
    let steps: Vec<_> = told(&events)
        .into_iter()
        .filter(|told| told.0 == EventType::StateChange)
        .map(|(_, before, after, ..)| (before, after))
        .collect();
    let open = State::Open;
    assert_eq!(steps, [(State::Closed, open), (open, State::HalfOpen)]);
}
