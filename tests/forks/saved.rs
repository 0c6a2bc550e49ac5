//! Saved state that waits for the registration of its name: both processes have it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::forks::{beside, in_child, same};
use crate::common::{in_company, manager};
use brama::State;

/// The saved state of open circuits of these names.
fn open_circuits(names: &[&str]) -> Vec<u8> {
    let (brama, _clock) = manager();
    for name in names {
        let db = brama.register(*name, None).expect("a new name");
        db.open_circuit("saved", None).expect("registered");
    }
    brama.save()
}

#[test]
fn what_waits_for_its_registration_does_so_in_both_processes() {
    let _company = in_company();
    let (brama, _clock) = manager();
    let count = brama.restore(&open_circuits(&["db"]));
    assert_eq!(count, Ok(1));
    let take = || {
        let state = brama.register("db", None).map(|db| db.state());
        same("registered", state, Ok(State::Open))?;
        brama.unregister("db").expect("registered");
        let state = brama.register("db", None).map(|db| db.state());
        same("registered again", state, Ok(State::Closed))
    };
    in_child(take);
    take().expect("it waited here, too");
}

/// Ends the other threads when it is dropped, even if a child has failed.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_fork_amid_a_restore_leaves_a_manager_that_restores() {
    let _company = in_company();
    let (brama, _clock) = manager();
    let data = open_circuits(&["child", "db"]);
    let ends = AtomicBool::new(false);
    let restore = || {
        while !ends.load(Ordering::Relaxed) {
            brama.restore(&data).expect("just saved");
            let _ = brama.register("db", None);
            let _ = brama.unregister("db");
        }
    };
    let found = beside(2, restore, || {
        let _ends = Ends(&ends);
        for _ in 0..200 {
            in_child(|| {
                brama.restore(&data).expect("just saved");
                let state = brama.register("child", None).map(|db| db.state());
                same("registered", state, Ok(State::Open))
            });
        }
        Ok(())
    });
    found.expect("no child fails");
}
