//! Sections on one thread, with the kernel's barrier: when what was retired is destroyed.

use super::*;
use crate::sys::atomic::AtomicUsize;

unsafe fn count(object: *mut ()) {
    // SAFETY: `retire` made the pointer from a count that outlives the test's use of the domain.
    unsafe { &*object.cast::<AtomicUsize>() }.fetch_add(1, Ordering::Relaxed);
}

fn retire(reader: &Reader, count_of: &AtomicUsize) {
    reader.enter();
    let object = ptr::from_ref(count_of).cast_mut().cast();
    // SAFETY: inside a section of this thread. `count` destroys nothing, so the object may stay
    // reachable, and `count` may be called on any thread.
    unsafe { reader.retire(object, count) };
    reader.leave();
}

#[test]
fn a_section_that_lasts_holds_back_what_is_retired_and_nothing_is_lost() {
    assert!(membarrier::is_granted(), "Linux 4.14 has membarrier");
    let domain: &'static Domain = Box::leak(Box::new(Domain::new()));
    let [lasting, mine] = [(); 2].map(|()| domain.take_reader());
    let destroyed = AtomicUsize::new(0);
    let so_far = || destroyed.load(Ordering::Relaxed);
    retire(mine, &destroyed);
    mine.seal();
    assert_eq!(so_far(), 1);
    // Two nested sections are one.
    lasting.enter();
    lasting.enter();
    for _ in 0..1_000 {
        retire(mine, &destroyed);
    }
    lasting.leave();
    mine.seal();
    assert_eq!(so_far(), 1);
    lasting.leave();
    lasting.enter();
    mine.seal();
    assert_eq!(so_far(), 1_001, "a later section is another");
    lasting.leave();
}

#[test]
fn what_a_thread_retired_is_destroyed_at_its_end() {
    assert!(membarrier::is_granted(), "Linux 4.14 has membarrier");
    let domain: &'static Domain = Box::leak(Box::new(Domain::new()));
    let destroyed = AtomicUsize::new(0);
    let first = domain.take_reader();
    retire(first, &destroyed);
    domain.give_back(first);
    assert_eq!(destroyed.load(Ordering::Relaxed), 1);
    assert!(ptr::eq(first, domain.take_reader()), "used again");
}
