//! Storms with threads that are stopped at random instructions, for every protocol
//! of a circuit and of the table. Each takes some seconds. For a long run:
//!
//! ```sh
//! BRAMA_STORM_SECONDS=600 cargo test --release --test storms preempted
//! ```
//!
//! What an oracle checks holds for every interleaving; each says why. The
//! system decides which interleavings happen. So a mutation that is named here
//! (`tests/mutations`) was seen to fail within seconds, and may pass by
//! chance. The guard that the first line of its patch names fails for certain.

mod calls;
mod circuit;
mod contract;
mod hands;
mod name;
mod names;
mod rate_hands;
mod rate_log;
mod rates;
mod recovery;
mod themes;
mod thresholds;

use crate::common::in_company;
use crate::common::storm::storm;

/// How long a storm lasts if the environment does not say.
const SECONDS: u64 = 10;

/// Mutation: `parking-by-a-store`.
#[test]
fn a_window_holds_the_failures_that_count_and_no_others() {
    let _company = in_company();
    storm("window", SECONDS, |seed| {
        circuit::tempest(&themes::WINDOW, seed)
    });
}

/// Mutation: `exchanging-the-word-by-a-store`.
#[test]
fn a_count_includes_every_failure_once() {
    let _company = in_company();
    storm("count", SECONDS, |seed| {
        circuit::tempest(&themes::COUNT, seed)
    });
}

/// Mutation: `forgetting-no-lease`.
#[test]
fn probes_keep_to_their_number_and_never_wedge_the_circuit() {
    let _company = in_company();
    storm("probes", SECONDS, |seed| {
        circuit::tempest(&themes::PROBES, seed)
    });
}

/// Mutations: `rebuilding-without-freezing`, `inserting-behind-the-winner`.
#[test]
fn a_name_is_found_and_removed_through_every_rebuild_of_the_table() {
    let _company = in_company();
    storm("table", SECONDS, |seed| {
        names::tempest(&themes::TABLE, seed)
    });
}

/// Mutations: `registering-without-a-second-look-at-the-shutdown`, and `-at-the-settings`.
#[test]
fn a_registration_has_one_winner_and_misses_no_shutdown_and_no_settings() {
    let _company = in_company();
    storm("registration", SECONDS, |seed| {
        names::tempest(&themes::REGISTRATION, seed)
    });
}

/// How long a storm of rates lasts if the environment does not say.
const SECONDS_OF_RATES: u64 = 4;

/// Mutation: `a-late-success-in-a-rate`.
#[test]
fn a_rate_counts_each_report_of_its_window_once() {
    let _company = in_company();
    storm("rate window", SECONDS_OF_RATES, |seed| {
        rates::tempest(rate_hands::Over::Time, seed)
    });
}

#[test]
fn a_rate_counts_each_of_the_last_calls_once() {
    let _company = in_company();
    storm("rate calls", SECONDS_OF_RATES, |seed| {
        rates::tempest(rate_hands::Over::Calls, seed)
    });
}

/// Mutations: `a-reader-without-the-next-bucket`, `calls-read-before-those-that-were-slow`.
#[test]
fn a_rate_in_time_opens_with_the_last_bad_call_that_it_needs() {
    let _company = in_company();
    storm("threshold in time", SECONDS_OF_RATES, |seed| {
        thresholds::tempest(rate_hands::Over::Time, seed)
    });
}

#[test]
fn a_rate_of_the_last_calls_opens_with_the_last_bad_call_that_it_needs() {
    let _company = in_company();
    storm("threshold of calls", SECONDS_OF_RATES, |seed| {
        thresholds::tempest(rate_hands::Over::Calls, seed)
    });
}

/// Mutation: `a-report-while-half-open-by-a-store`.
#[test]
fn a_circuit_on_its_way_back_admits_its_sample_and_closes() {
    let _company = in_company();
    storm("recovery", SECONDS_OF_RATES, recovery::tempest);
}
