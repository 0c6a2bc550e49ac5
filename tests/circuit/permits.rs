//! What a permit owns, borrows, and gives back, whatever becomes of it.

use std::panic::{self, AssertUnwindSafe};

use crate::common::manager;
use brama::{Outcome, Permit, Report, State};

#[test]
fn a_report_that_panics_while_it_is_made_reports_a_failure() {
    struct Unmakeable;
    impl From<Unmakeable> for Report<'static> {
        fn from(_: Unmakeable) -> Self {
            panic!("no report")
        }
    }
    let (brama, _) = manager();
    let db = brama.register("db", None).unwrap();
    type Way = fn(Permit<'_>);
    let ways: [Way; 3] = [
        |permit| drop(permit.success_with(Unmakeable)),
        |permit| drop(permit.failure(Unmakeable)),
        |permit| drop(permit.report(Outcome::Success, Unmakeable)),
    ];
    for report in ways {
        db.half_open_circuit().unwrap();
        let permit = brama.acquire("db").unwrap();
        let reported = panic::catch_unwind(AssertUnwindSafe(|| report(permit)));
        assert!(reported.is_err());
        assert_eq!(db.state(), State::Open, "the probe has failed");
    }
}

#[test]
fn a_permit_by_name_does_not_borrow_the_name() {
    let (brama, _) = manager();
    brama.register("db", None).unwrap();
    let permit = {
        let name = String::from("db");
        brama.acquire(&name).unwrap()
    };
    permit.success().unwrap();
}
