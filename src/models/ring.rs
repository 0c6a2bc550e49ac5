//! The ring: [`ring`](crate::structures::ring).
//!
//! All parties run in threads of their own. The main thread only joins them and reads what is left.
//! Each model asserts what must hold in every execution. Then it asserts that exactly the possible
//! outcomes were seen, so that a model that explores too little fails, too.
//!
//! Loom watches the slots' cells. Two accesses without an order between them fail the model,
//! whatever was read.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc as StdArc, Mutex};

use loom::sync::Arc;
use loom::thread;

use crate::structures::ring::Ring;

type Shared = Arc<Ring<u32>>;

/// Explores `model`, and returns the set of its outcomes.
fn explore<O: Ord + Debug + Send + 'static>(
    preemptions: Option<usize>,
    model: impl Fn() -> O + Send + Sync + 'static,
) -> BTreeSet<O> {
    let seen = StdArc::new(Mutex::new(BTreeSet::new()));
    let sink = StdArc::clone(&seen);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        let outcome = model();
        sink.lock().unwrap().insert(outcome);
    });
    StdArc::into_inner(seen).unwrap().into_inner().unwrap()
}

fn spawn<R: 'static>(ring: &Shared, party: impl FnOnce(&Ring<u32>) -> R + 'static) -> Party<R> {
    let ring = Arc::clone(ring);
    thread::spawn(move || party(&ring))
}

type Party<R> = thread::JoinHandle<R>;

/// Pushes each value once, in order. Returns the values that the ring accepted. A refused value
/// must come back unchanged.
fn produce(ring: &Ring<u32>, values: &[u32]) -> Vec<u32> {
    values
        .iter()
        .copied()
        .filter(|&value| match ring.push(value) {
            Ok(()) => true,
            Err(back) => {
                assert_eq!(back, value);
                false
            }
        })
        .collect()
}

/// Pops `times` times. Returns the values.
fn consume(ring: &Ring<u32>, times: usize) -> Vec<u32> {
    (0..times).filter_map(|_| ring.pop()).collect()
}

fn rest(ring: &Shared) -> Vec<u32> {
    std::iter::from_fn(|| ring.pop()).collect()
}

fn sorted(mut values: Vec<u32>) -> Vec<u32> {
    values.sort_unstable();
    values
}

/// Two producers and a consumer on two slots. Accepted values come out once, in each producer's
/// order. The third value may find the ring full.
///
/// Mutations: `a-stamp-stored-relaxed`, `a-stamp-before-its-value`,
/// `claiming-a-position-by-a-store`.
#[test]
fn two_producers_one_consumer() {
    let seen = explore(Some(3), || {
        let ring = Arc::new(Ring::new(2));
        let first = spawn(&ring, |ring| produce(ring, &[1, 2]));
        let second = spawn(&ring, |ring| produce(ring, &[3]));
        let consumer = spawn(&ring, |ring| consume(ring, 3));

        let accepted = [first.join().unwrap(), second.join().unwrap()].concat();
        let popped = consumer.join().unwrap();
        let early = popped.len();
        let delivered = [popped, rest(&ring)].concat();
        assert_eq!(sorted(delivered.clone()), sorted(accepted));
        (early, delivered)
    });

    let orders: BTreeSet<_> = seen.iter().map(|(_, order)| order.as_slice()).collect();
    let expected: [&[u32]; 6] = [
        &[1, 2],
        &[1, 3],
        &[3, 1],
        &[1, 2, 3],
        &[1, 3, 2],
        &[3, 1, 2],
    ];
    assert_eq!(orders, BTreeSet::from(expected));
    let early: BTreeSet<_> = seen.iter().map(|(early, _)| *early).collect();
    assert_eq!(early, BTreeSet::from([0, 1, 2, 3]));
}

/// A producer and two consumers. No value goes to both.
///
/// Mutation: `a-stamp-read-relaxed`.
#[test]
fn one_producer_two_consumers() {
    let seen = explore(Some(4), || {
        let ring = Arc::new(Ring::new(2));
        let producer = spawn(&ring, |ring| produce(ring, &[1, 2]));
        let first = spawn(&ring, |ring| ring.pop());
        let second = spawn(&ring, |ring| ring.pop());

        assert_eq!(producer.join().unwrap(), [1, 2]);
        let popped = (first.join().unwrap(), second.join().unwrap());
        let mut delivered: Vec<_> = [popped.0, popped.1].into_iter().flatten().collect();
        delivered.extend(rest(&ring));
        assert_eq!(sorted(delivered), [1, 2]);
        popped
    });
    let expected = [
        (None, None),
        (Some(1), None),
        (None, Some(1)),
        (Some(1), Some(2)),
        (Some(2), Some(1)),
    ];
    assert_eq!(seen, BTreeSet::from(expected));
}

/// The third value goes into the slot of the first one, a lap later, once the first one is popped.
///
/// Mutations: `a-slot-freed-relaxed`, `a-slot-freed-for-the-next-position`.
#[test]
fn a_slot_is_reused_a_lap_later() {
    let seen = explore(None, || {
        let ring = Arc::new(Ring::new(2));
        let producer = spawn(&ring, |ring| produce(ring, &[1, 2, 3]));
        let consumer = spawn(&ring, |ring| consume(ring, 3));

        let accepted = producer.join().unwrap();
        let popped = consumer.join().unwrap();
        let early = popped.len();
        assert_eq!([popped, rest(&ring)].concat(), accepted);
        (accepted.len(), early)
    });
    let expected = [(2, 0), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3)];
    assert_eq!(seen, BTreeSet::from(expected));
}

/// Four values for two slots. Two values are refused and come back, and those in the ring stay.
///
/// Mutation: `a-slot-of-the-lap-before-taken`.
#[test]
fn a_full_ring_gives_the_value_back() {
    let seen = explore(None, || {
        let ring = Arc::new(Ring::new(2));
        let first = spawn(&ring, |ring| produce(ring, &[1, 2]));
        let second = spawn(&ring, |ring| produce(ring, &[3, 4]));

        let accepted = [first.join().unwrap(), second.join().unwrap()].concat();
        let kept = rest(&ring);
        assert_eq!(sorted(kept.clone()), sorted(accepted));
        kept
    });
    let expected = [vec![1, 2], vec![1, 3], vec![3, 1], vec![3, 4]];
    assert_eq!(seen, BTreeSet::from(expected));
}

/// Each push has a single attempt. The loser of a race gets its value back although the ring is not
/// full. At least one push succeeds.
///
/// Mutation: `one-attempt-too-many`.
#[test]
fn attempts_are_bounded() {
    let seen = explore(None, || {
        let ring = Arc::new(Ring::new(2));
        let first = spawn(&ring, |ring| ring.push_within(1, 1));
        let second = spawn(&ring, |ring| ring.push_within(1, 2));

        let results = [first.join().unwrap(), second.join().unwrap()];
        assert!(matches!(results, [Ok(()) | Err(1), Ok(()) | Err(2)]));
        let kept = rest(&ring);
        assert_eq!(kept.contains(&1), results[0].is_ok());
        assert_eq!(kept.contains(&2), results[1].is_ok());
        kept.len()
    });
    assert_eq!(seen, BTreeSet::from([1, 2]));
}
