use super::*;
use crate::sys::clock::LAST_MOMENT;
use crate::values::state::Word;

struct Slots(AtomicU64, MoreProbes);

impl Slots {
    fn new(probes: u32) -> Self {
        let more = MoreProbes::new();
        more.reserve(probes);
        Slots(AtomicU64::new(0), more)
    }

    fn all(&self) -> Probes<'_> {
        Probes::new(&self.0, Some(&self.1))
    }

    fn take(&self, of: Generation, limit: u32, now: u64, end: u64) -> Result<Lease, NoSlot> {
        self.all()
            .take(of, Capacity::at_once(limit), now, end, || true)
    }

    fn hold(&self, lease: Lease) -> Option<Lease> {
        match self.all().claim(lease) {
            Claim::Held(lease) => Some(lease),
            _ => None,
        }
    }
}

fn until(moment: u64) -> Result<Lease, NoSlot> {
    Err(NoSlot::Until(moment))
}

fn generations() -> [Generation; 2] {
    let one = Word::NEW.generation();
    [one, one.next()]
}

#[test]
fn slots_are_taken_up_to_the_limit_and_freed_by_reports() {
    let [generation, _] = generations();
    let slots = Slots::new(3);
    let first = slots.take(generation, 2, 10, 110).expect("free");
    let second = slots.take(generation, 2, 20, 120).expect("free");
    assert_eq!(slots.take(generation, 2, 30, 130), until(110));
    assert!(slots.take(generation, 3, 30, 130).is_ok(), "a higher limit");
    let reporting = slots.hold(second).expect("held");
    assert_eq!(slots.all().claim(second), Claim::Reported, "only once");
    let early = slots.take(generation, 3, 40, 140);
    assert_eq!(early, until(110), "not before it is done");
    slots.all().free(reporting);
    assert_eq!(slots.all().claim(second), Claim::Reported, "still");
    assert!(slots.take(generation, 3, 40, 140).is_ok());
    assert!(slots.hold(first).is_some());
}

#[test]
fn probes_beyond_a_lowered_limit_count_until_they_report() {
    let [generation, _] = generations();
    let slots = Slots::new(3);
    let [first, second, third] =
        [110, 120, 130].map(|end| slots.take(generation, 3, 10, end).expect("free"));
    slots.all().free(first);
    assert_eq!(slots.take(generation, 2, 20, 140), until(120));
    slots.all().free(second);
    assert!(slots.take(generation, 2, 30, 140).is_ok());
    assert_eq!(slots.take(generation, 2, 30, 140), until(130));
    slots.all().free(third);
    assert!(slots.take(generation, 2, 30, 140).is_ok());
}

#[test]
fn each_slot_has_a_lease_of_its_own() {
    let [generation, _] = generations();
    let slots = Slots::new(2);
    let lost = slots.take(generation, 2, 0, 100).expect("free");
    let busy = slots.take(generation, 2, 50, 150).expect("free");
    assert_eq!(slots.take(generation, 2, 99, 199), until(100));
    let next = slots.take(generation, 2, 100, 200).expect("the lost one's");
    assert_eq!(slots.all().claim(lost), Claim::Late);
    assert_eq!(slots.take(generation, 2, 149, 249), until(150));
    assert!(slots.hold(next).is_some() && slots.hold(busy).is_some());
}

#[test]
fn a_report_after_the_lease_holds_the_slot_until_another_probe_takes_it() {
    let [generation, _] = generations();
    let slots = Slots::new(1);
    let lease = slots.take(generation, 1, 0, 100).expect("free");
    let reporting = slots.hold(lease).expect("no other probe has it");
    let next = slots.take(generation, 1, 100, 200).expect("it has ended");
    slots.all().free(reporting);
    assert_eq!(slots.take(generation, 1, 150, 250), until(200));
    assert!(slots.hold(next).is_some());
}

#[test]
fn a_new_generation_starts_with_all_slots_free() {
    let [one, two] = generations();
    let slots = Slots::new(1);
    slots.take(one, 1, 0, LAST_MOMENT).expect("free");
    assert!(slots.take(two, 1, 0, 100).is_ok());
}

#[test]
fn a_probe_of_an_earlier_state_takes_no_slot_of_the_new_one() {
    let [one, two] = generations();
    let slots = Slots::new(1);
    let current = slots.take(two, 1, 0, 100).expect("free");
    let late = slots
        .all()
        .take(one, Capacity::at_once(1), 0, 200, || false);
    assert_eq!(late, Err(NoSlot::Changed));
    assert!(slots.hold(current).is_some());
}

#[test]
fn a_lease_of_a_whole_round_of_generations_ago_is_forgotten() {
    let [one, _] = generations();
    let slots = Slots::new(1);
    let lost = slots.take(one, 1, 0, LAST_MOMENT).expect("free");
    slots.all().forget(one.next(), || true);
    assert_eq!(slots.take(one, 1, 9, 99), until(LAST_MOMENT), "another's");
    slots.all().forget(one, || false);
    assert_eq!(slots.take(one, 1, 9, 99), until(LAST_MOMENT), "not now");
    slots.all().forget(one, || true);
    assert!(slots.take(one, 1, 9, 99).is_ok());
    assert_eq!(
        slots.all().claim(lost),
        Claim::Reported,
        "not the new one's"
    );
}

/// The slot is free, or another probe's, whose lease is the same as ever.
#[test]
fn a_permit_that_is_reported_twice_is_refused_although_another_probe_has_its_slot() {
    let [generation, _] = generations();
    let slots = Slots::new(1);
    let reported = slots.take(generation, 1, 0, 100).expect("free");
    slots.all().free(slots.hold(reported).expect("held"));
    for since in 1..=REMEMBERED {
        let next = slots.take(generation, 1, 0, 100).expect("free");
        assert_eq!(slots.all().claim(reported), Claim::Reported, "{since}");
        slots.all().free(slots.hold(next).expect("its own"));
        assert_eq!(slots.all().claim(reported), Claim::Reported, "{since}");
    }
}

#[test]
fn a_late_probe_counts_whatever_became_of_those_that_had_its_slot_since() {
    let [generation, _] = generations();
    // The leases whose bit is set never report.
    for lost in 0..1_u64 << REMEMBERED {
        let slots = Slots::new(1);
        let late = slots.take(generation, 1, 0, 100).expect("free");
        for since in 0..3 * REMEMBERED {
            let now = (since + 1) * 100;
            let next = slots.take(generation, 1, now, now + 100).expect("ended");
            assert_eq!(slots.all().claim(late), Claim::Late, "{since} {lost:b}");
            if lost >> (since % REMEMBERED) & 1 == 0 {
                slots.all().free(slots.hold(next).expect("its own"));
            }
            assert_eq!(slots.all().claim(late), Claim::Late, "{since} {lost:b}");
        }
    }
}

/// A reporter whose lease ends while it reports has claimed it: it is not lost.
#[test]
fn a_lease_that_ends_during_its_report_is_not_a_lost_one() {
    let [generation, _] = generations();
    let slots = Slots::new(1);
    let slow = slots.take(generation, 1, 0, 100).expect("free");
    let reporting = slots.hold(slow).expect("its own");
    slots.take(generation, 1, 100, 200).expect("ended");
    assert_eq!(slots.all().claim(slow), Claim::Reported);
    slots.all().free(reporting);
    assert_eq!(slots.all().claim(slow), Claim::Reported);
}

#[test]
fn a_limit_above_the_number_of_slots_uses_all_there_are() {
    let [generation, _] = generations();
    let slots = Slots::new(1);
    assert!(slots.take(generation, 9, 0, 100).is_ok());
    assert_eq!(slots.take(generation, 9, 0, 100), until(100));
}
