//! Forks while a thread changes settings, once at each allocation that the change makes.

use crate::common::counting::stopped_at;
use crate::common::forks::{Finding, in_child, same};
use crate::common::{alone, manager, ms};
use brama::{Brama, Cause, Config, Connection, ConnectionOptions, State};

/// Checks, in the child of a process that is being configured,
/// that each connection obeys the rules that its status shows.
fn obeys_what_it_shows(brama: &Brama, all: &[Connection]) -> Finding {
    let (first, others) = all.split_at(1);
    // A connection that reports a failure needs no driver to obey its rules.
    opens_by_what_it_shows(&first[0], Cause::FailureRate)?;
    // The poll does the driver's work, for connections that have reported no failure.
    brama.poll();
    for db in others {
        opens_by_what_it_shows(db, Cause::SlowCallRate)?;
        opens_by_what_it_shows(db, Cause::FailureRate)?;
    }
    opens_by_what_it_shows(&first[0], Cause::SlowCallRate)
}

/// Checks that two bad calls open the circuit for `cause`,
/// if its settings show a rate, and not otherwise.
fn opens_by_what_it_shows(db: &Connection, cause: Cause) -> Finding {
    let status = db.status().map_err(|error| error.to_string())?;
    let wanted = status.settings.failure_rate().map(|_| cause);
    for _ in 0..2 {
        let reported = match cause {
            Cause::FailureRate => db.failure(None).map(drop),
            _ => db.success_in(ms(100)),
        };
        reported.map_err(|error| error.to_string())?;
    }
    let status = db.status().map_err(|error| error.to_string())?;
    let found = status.cause.filter(|_| status.state == State::Open);
    same("the cause", found, wanted)?;
    db.reset_circuit().map_err(|error| error.to_string())
}

/// Stops `configure` at each of its allocations, and forks there.
fn fork_at_each_step(configure: impl Fn(&Brama, &Connection) + Sync) {
    let _alone = alone();
    for number in 1.. {
        let (brama, _clock) = manager();
        let all = ["one", "two", "three"].map(|name| brama.register(name, None).expect("new"));
        let was_stopped = stopped_at(
            number,
            || configure(&brama, &all[1]),
            || in_child(|| obeys_what_it_shows(&brama, &all)),
        );
        if !was_stopped {
            assert!(number > 4, "it allocates where it changes something");
            break;
        }
    }
}

/// Mutations: `a-child-that-leaves-records-behind`, `a-failure-that-leaves-its-record-behind`.
#[test]
fn a_child_of_a_process_that_changes_global_rules_obeys_what_it_shows() {
    fork_at_each_step(|brama, _| {
        let settings = Config::new()
            .failure_rate(1.0)
            .slow_call_duration(ms(100))
            .slow_call_rate(1.0)
            .minimum_calls(2);
        brama.configure(settings).expect("valid");
    });
}

#[test]
fn a_child_of_a_process_that_changes_the_rules_of_a_connection_obeys_what_it_shows() {
    fork_at_each_step(|_, db| {
        let settings = ConnectionOptions::new()
            .failure_rate(1.0)
            .slow_call_duration(ms(100))
            .slow_call_rate(1.0)
            .minimum_calls(2)
            .rate_calls(10);
        db.configure(settings).expect("valid");
    });
}
