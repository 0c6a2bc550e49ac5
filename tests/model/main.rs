//! Random operations on a manager, compared step by step with a naive model.
//!
//! The model (`reference`, `circuit`) is written from the promises of the guide. It consists of
//! maps and of lists of times and leases, and runs on one thread. Every answer is compared, and
//! after every step the whole status of every connection. The sequences are always the same.
//! `PROPTEST_CASES` sets another number of sequences, which are then different in each run.

#![cfg(not(loom))]

mod admission;
mod circuit;
mod draw;
mod effective;
mod evidence;
mod found;
mod probing;
mod reference;
mod settings;
mod trace;
mod view;
mod world;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError};

use draw::traces;
use trace::Trace;
use view::Answer;
use world::{Driver, Watch, run};

/// The configuration of the environment, or else one of `cases` sequences that are always the same.
fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
        config.rng_seed = RngSeed::Fixed(11);
    }
    config
}

fn play(trace: &Trace, driver: Driver, watch: Watch) -> Result<Vec<Answer>, TestCaseError> {
    run(trace, driver, watch).map_err(TestCaseError::fail)
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn every_answer_and_every_status_is_the_models(trace in traces(true)) {
        play(&trace, Driver::AsTold, Watch::Everything)?;
    }

    #[test]
    fn looking_on_changes_nothing(trace in traces(true)) {
        play(&trace, Driver::AsTold, Watch::Nothing)?;
    }

    #[test]
    fn results_do_not_depend_on_whether_the_driver_ran(trace in traces(false)) {
        let never = play(&trace, Driver::Never, Watch::Nothing)?;
        let always = play(&trace, Driver::AfterEveryStep, Watch::Nothing)?;
        let thread = play(&trace, Driver::Thread, Watch::Nothing)?;
        prop_assert_eq!(&never, &always);
        prop_assert_eq!(&never, &thread);
    }
}
