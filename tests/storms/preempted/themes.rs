//! The themes: what distinguishes one storm from another.

use super::calls::{Op, Outcome, Rules};
use super::circuit::{Kind, Theme};
use super::names;
use crate::common::random::Random;

fn rules(random: &mut Random) -> Rules {
    Rules {
        max_attempts: 2 + random.below(4) as u32,
        window: None,
        half_open_max_calls: 1 + random.below(3) as u32,
        half_open_successes: 1 + random.below(3) as u32,
        probe_timeout: random.pick(&[3, 20, 3_600_000]),
        expiry: random.pick(&[2, 10, 60_000]),
    }
}

/// Failures with and without permits, successes, closings by hand,
/// resets and half-openings, and settings that make the window larger.
pub const WINDOW: Theme = Theme {
    rules: |random| {
        // The ring of times grows with each of the last three.
        let limits = [0, 0, 300, 600, 1_200];
        let with_window = |larger: u32| {
            let rules = rules(random);
            let window = match random.below(8) {
                0 => None,
                _ => Some(random.pick(&[4, 20, 60_000])),
            };
            Rules {
                max_attempts: rules.max_attempts.max(larger),
                window,
                ..rules
            }
        };
        limits.map(with_window).to_vec()
    },
    ops: &[
        (Kind::Failure, 5),
        (Kind::Success, 2),
        (Kind::Acquire, 3),
        (Kind::Report, 4),
        (Kind::Close, 2),
        (Kind::HalfOpen, 1),
        (Kind::Open, 1),
        (Kind::Reset, 1),
        (Kind::State, 1),
        (Kind::Status, 1),
    ],
    outcomes: &[Outcome::Failure, Outcome::Failure, Outcome::Success],
    rounds: 20,
    before: |storm| {
        // Moves the position in the ring to a random slot.
        let failures = storm.random.below(600);
        storm.leave_behind(failures)
    },
    between: |storm| match storm.random.below(4) {
        0 => storm.pass(6),
        _ => Ok(()),
    },
};

/// Failures in a row, without a window: the fast paths of reports.
pub const COUNT: Theme = Theme {
    rules: |random| (0..3).map(|_| rules(random)).collect(),
    ops: &[
        (Kind::Failure, 6),
        (Kind::Success, 2),
        (Kind::Acquire, 3),
        (Kind::Report, 4),
        (Kind::Close, 2),
        (Kind::HalfOpen, 1),
        (Kind::Open, 1),
        (Kind::Reset, 1),
        (Kind::Status, 1),
    ],
    outcomes: &[
        Outcome::Failure,
        Outcome::Failure,
        Outcome::Failure,
        Outcome::Success,
        Outcome::Ignored,
        Outcome::Dropped,
    ],
    rounds: 50,
    before: |_| Ok(()),
    between: |storm| match storm.random.below(8) {
        0 => storm.pass(12),
        _ => Ok(()),
    },
};

/// Probes that report in time, late or never, and changes of the state. The generation wraps
/// around again and again, so that a lease of 8192 changes ago looks like a current one.
pub const PROBES: Theme = Theme {
    rules: |random| (0..3).map(|_| rules(random)).collect(),
    ops: &[
        (Kind::Acquire, 6),
        (Kind::Report, 4),
        (Kind::HalfOpen, 3),
        (Kind::Close, 1),
        (Kind::Open, 1),
        (Kind::Success, 1),
        (Kind::State, 1),
        (Kind::Status, 1),
    ],
    outcomes: &[
        Outcome::Success,
        Outcome::Failure,
        Outcome::Ignored,
        Outcome::Dropped,
    ],
    rounds: 50,
    before: |_| Ok(()),
    between: |storm| match storm.random.below(6) {
        0 | 1 => storm.pass(30),
        2 => {
            // Just before the generation of a lease that may still be out comes again.
            let times = 4_096 - storm.random.below(4);
            storm.quietly(Op::Cycle(times)).map(drop)
        }
        3 => storm.quietly(Op::HalfOpen).map(drop),
        _ => Ok(()),
    },
};

/// Names that come and go while crowds of others make the table larger and smaller.
pub const TABLE: names::Theme = names::Theme {
    ops: &[
        (names::Kind::Register, 4),
        (names::Kind::Unregister, 4),
        (names::Kind::Find, 2),
        (names::Kind::IsKnown, 2),
        (names::Kind::Use, 2),
        (names::Kind::Crowd, 6),
        (names::Kind::Walk, 1),
    ],
    rounds: 30,
    configures: false,
    shuts_down: false,
};

/// All ways to register, beside changes of the settings, and a shutdown in the end.
pub const REGISTRATION: names::Theme = names::Theme {
    ops: &[
        (names::Kind::Register, 5),
        (names::Kind::GetOrRegister, 3),
        (names::Kind::Touch, 3),
        (names::Kind::Unregister, 5),
        (names::Kind::Find, 1),
        (names::Kind::IsKnown, 1),
        (names::Kind::Use, 4),
        (names::Kind::Crowd, 1),
    ],
    rounds: 6,
    configures: true,
    shuts_down: true,
};
