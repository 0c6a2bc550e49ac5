//! The slots for probes: [`probe_slots`](crate::circuit::probe_slots).
//!
//! `Circuit::generation` stands for the state word: it is the present generation. No party runs in
//! a model's main thread, which loom explores incompletely.

use loom::sync::Arc;
use loom::thread;

use crate::circuit::probe_slots::{Capacity, Claim, Lease, MoreProbes, NoSlot, Probes};
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::values::generation::Generation;
use crate::values::state::Word;

struct Circuit {
    slot: AtomicU64,
    more: MoreProbes,
    generation: AtomicU64,
}

impl Circuit {
    fn new(generation: Generation) -> Arc<Self> {
        Arc::new(Circuit {
            slot: AtomicU64::new(0),
            more: MoreProbes::new(),
            generation: AtomicU64::new(generation.bits()),
        })
    }

    fn probes(&self) -> Probes<'_> {
        Probes::new(&self.slot, Some(&self.more))
    }

    fn is(&self, generation: Generation) -> bool {
        self.generation.load(Ordering::Acquire) == generation.bits()
    }

    /// Makes the circuit half-open in `next`, unless another thread was faster.
    fn half_open(&self, before: Generation, next: Generation) {
        self.probes().forget(next, || self.is(before));
        let (before, next) = (before.bits(), next.bits());
        let _ = self
            .generation
            .compare_exchange(before, next, Ordering::AcqRel, Ordering::Acquire);
    }

    fn take(&self, present: Generation, now: u64, end: u64) -> Result<Lease, NoSlot> {
        self.take_of(1, present, now, end)
    }

    /// Takes a slot if fewer than `limit` are taken.
    fn take_of(
        &self,
        limit: u32,
        present: Generation,
        now: u64,
        end: u64,
    ) -> Result<Lease, NoSlot> {
        let capacity = Capacity::at_once(limit);
        self.probes()
            .take(present, capacity, now, end, || self.is(present))
    }
}

/// The slot has the lease of a probe that never reported, from 8192 changes ago. Two threads make
/// the circuit half-open at once, and one of them probes.
///
/// Mutations: `forgetting-no-lease`, `forgetting-without-a-second-look`.
#[test]
fn an_old_lease_delays_no_probe_and_a_new_one_is_not_forgotten() {
    // The thread that is spawned first runs first, and loom misses executions in which it comes
    // later.
    for probes_first in [false, true] {
        forget_and_probe(probes_first);
    }
}

fn forget_and_probe(probes_first: bool) {
    loom::model(move || {
        let before = Word::NEW.generation();
        let next = before.next();
        let circuit = Circuit::new(next);
        circuit.take(next, 0, 1_000).expect("free");
        circuit.generation.store(before.bits(), Ordering::Release);
        let other = || {
            let circuit = circuit.clone();
            thread::spawn(move || circuit.half_open(before, next))
        };
        let probing = || {
            let circuit = circuit.clone();
            thread::spawn(move || {
                circuit.half_open(before, next);
                circuit.take(next, 10, 2_000).expect("no other call probes")
            })
        };
        let (probing, other) = if probes_first {
            (probing(), other())
        } else {
            let other = other();
            (probing(), other)
        };
        other.join().unwrap();
        let lease = probing.join().unwrap();
        assert_eq!(
            circuit.take(next, 20, 3_000),
            Err(NoSlot::Until(2_000)),
            "it is out"
        );
        assert!(matches!(circuit.probes().claim(lease), Claim::Held(_)));
    });
}

/// A thread asks for a probe in a state that ends meanwhile. The first probe of the next state
/// takes the slot.
///
/// Mutation: `taking-a-slot-without-a-second-look`.
#[test]
fn a_late_request_leaves_the_slot_of_the_next_probe() {
    loom::model(|| {
        let before = Word::NEW.generation().next();
        let next = before.next();
        let circuit = Circuit::new(before);
        let probing = thread::spawn({
            let circuit = circuit.clone();
            move || {
                circuit.generation.store(next.bits(), Ordering::Release);
                circuit.take(next, 10, 200).expect("it is the first")
            }
        });
        let asking = thread::spawn({
            let circuit = circuit.clone();
            move || circuit.take(before, 10, 100).is_ok()
        });
        asking.join().unwrap();
        let lease = probing.join().unwrap();
        assert!(matches!(circuit.probes().claim(lease), Claim::Held(_)));
    });
}

/// A probe reports just when its lease ends and another call takes the slot.
///
/// Mutations: `freeing-a-slot-by-a-store`, `reporting-a-probe-by-a-store`.
#[test]
fn a_late_report_does_not_free_the_slot_of_the_next_probe() {
    loom::model(|| {
        let present = Word::NEW.generation().next();
        let circuit = Circuit::new(present);
        let late = circuit.take(present, 0, 100).expect("free");
        let reporting = thread::spawn({
            let circuit = circuit.clone();
            move || match circuit.probes().claim(late) {
                Claim::Held(lease) => circuit.probes().free(lease),
                Claim::Late => {}
                Claim::Reported => panic!("it reports once"),
            }
        });
        let probing = thread::spawn({
            let circuit = circuit.clone();
            move || {
                circuit
                    .take(present, 100, 200)
                    .expect("the lease has ended")
            }
        });
        reporting.join().unwrap();
        let next = probing.join().unwrap();
        assert_eq!(circuit.take(present, 150, 300), Err(NoSlot::Until(200)));
        assert!(matches!(circuit.probes().claim(next), Claim::Held(_)));
    });
}

/// A report of a sample spends its slot, unless another call has taken the slot meanwhile.
///
/// Mutation: `spending-a-slot-by-a-store`.
#[test]
fn a_late_report_spends_no_slot_of_the_next_probe() {
    loom::model(|| {
        let present = Word::NEW.generation().next();
        let circuit = Circuit::new(present);
        let take = move |circuit: &Circuit, now, end| {
            let capacity = Capacity {
                limit: 1,
                are_a_sample: true,
            };
            let is_present = || circuit.is(present);
            circuit
                .probes()
                .take(present, capacity, now, end, is_present)
        };
        let late = take(&circuit, 0, 100).expect("free");
        let reporting = thread::spawn({
            let circuit = circuit.clone();
            move || match circuit.probes().claim(late) {
                Claim::Held(lease) => circuit.probes().spend(lease),
                Claim::Late => {}
                Claim::Reported => panic!("it reports once"),
            }
        });
        let probing = thread::spawn({
            let circuit = circuit.clone();
            move || take(&circuit, 100, 200).ok()
        });
        reporting.join().unwrap();
        let next = probing.join().unwrap();
        assert!(take(&circuit, 150, 300).is_err(), "spent, or out");
        if let Some(next) = next {
            assert!(matches!(circuit.probes().claim(next), Claim::Held(_)));
        }
    });
}

/// Mutation: `claiming-without-a-mark`.
#[test]
fn a_permit_that_two_threads_report_is_reported_once() {
    loom::model(|| {
        let present = Word::NEW.generation().next();
        let circuit = Circuit::new(present);
        let lease = circuit.take(present, 0, 100).expect("free");
        let report = move |circuit: &Circuit| match circuit.probes().claim(lease) {
            Claim::Held(lease) => {
                circuit.probes().free(lease);
                1
            }
            _ => 0,
        };
        let reports = [(); 2].map(|()| {
            let circuit = circuit.clone();
            thread::spawn(move || report(&circuit))
        });
        let counted: u32 = reports
            .into_iter()
            .map(|report| report.join().unwrap())
            .sum();
        assert_eq!(counted, 1);
        assert!(circuit.take(present, 10, 300).is_ok(), "it is free");
    });
}

/// The only probe is out. Two threads give the circuit a second slot at once, and both probe.
///
/// Mutation: `slots-added-by-a-store`.
#[test]
fn slots_that_two_threads_add_are_not_lost() {
    loom::model(|| {
        let present = Word::NEW.generation().next();
        let circuit = Circuit::new(present);
        circuit.take(present, 0, 100).expect("free");
        let probes = [(); 2].map(|()| {
            let circuit = circuit.clone();
            thread::spawn(move || {
                circuit.more.reserve(2);
                circuit.take_of(2, present, 0, 100).is_ok()
            })
        });
        let [one, two] = probes.map(|probe| probe.join().unwrap());
        assert!(one != two, "one place is free");
        let third = circuit.take_of(2, present, 10, 200);
        assert_eq!(third, Err(NoSlot::Until(100)), "both are out");
    });
}

/// The limit was lowered from three to two while the probe in the third slot is out. Two threads
/// ask for the one slot that is left.
///
/// Mutation: `taking-below-the-limit-without-comparing`.
#[test]
fn of_two_probes_below_a_lowered_limit_one_is_admitted() {
    loom::model(|| {
        let present = Word::NEW.generation().next();
        let circuit = Circuit::new(present);
        circuit.more.reserve(3);
        let [one, two, _] = [(); 3].map(|()| circuit.take_of(3, present, 0, 100).expect("free"));
        circuit.probes().free(one);
        circuit.probes().free(two);
        let probes = [(); 2].map(|()| {
            let circuit = circuit.clone();
            thread::spawn(move || circuit.take_of(2, present, 10, 200).is_ok())
        });
        let admitted = probes.map(|probe| probe.join().unwrap());
        assert_ne!(admitted[0], admitted[1]);
    });
}
