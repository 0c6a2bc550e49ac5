//! Strategies that draw random sequences of operations.

use brama::Mode;
use proptest::option;
use proptest::prelude::*;

use crate::settings::Given;
use crate::trace::{Advance, BAD_NAMES, Length, NAMES, Name, Op, Outcome, Settle, Target, Trace};

/// Traces of about 100 operations. `cleanup`: connections may be removed for
/// inactivity, and a ramp may admit a share of the calls.
pub fn traces(cleanup: bool) -> impl Strategy<Value = Trace> {
    let op = (prop::bool::weighted(0.97), ops());
    (
        valid_settings(),
        housekeeping(),
        prop::collection::vec(op, 104),
    )
        .prop_map(move |(global, house, ops)| {
            let keep = |given| if cleanup { given } else { repeatable(given) };
            let ops = ops.into_iter().map(|(on, op)| {
                let op = match op {
                    Op::Configure(given) => Op::Configure(keep(given)),
                    Op::Register(name, given) => Op::Register(name, given.map(keep)),
                    Op::GetOrRegister(name, given) => Op::GetOrRegister(name, given.map(keep)),
                    Op::ConfigureConnection(target, given) => {
                        Op::ConfigureConnection(target, keep(given))
                    }
                    op => op,
                };
                (on, op)
            });
            Trace::new(keep(global.updated_by(&house)), ops.collect())
        })
}

/// Changes settings such that no answer depends on when the driver works or on what a ramp draws.
fn repeatable(mut given: Given) -> Given {
    given.inactive_threshold = Some(None);
    given.ramp_start = Some(1.0);
    given
}

fn ops() -> impl Strategy<Value = Op> {
    let register = |op: fn(Name, Option<Given>) -> Op| {
        (names(), option::weighted(0.8, settings())).prop_map(move |(name, given)| op(name, given))
    };
    prop_oneof![
        14 => (targets(), outcomes()).prop_map(|(target, outcome)| Op::Report(target, outcome)),
        6 => (targets(), prop::collection::vec(outcomes(), 4..20))
            .prop_map(|(target, outcomes)| Op::Reports(target, outcomes)),
        12 => targets().prop_map(Op::Acquire),
        12 => (0..64_usize, settles()).prop_map(|(permit, how)| Op::Settle(permit, how)),
        14 => advances().prop_map(Op::Advance),
        4 => targets().prop_map(Op::Available),
        4 => (targets(), settles()).prop_map(|(target, how)| Op::Call(target, how)),
        6 => register(Op::Register),
        4 => register(Op::GetOrRegister),
        3 => names().prop_map(Op::Connection),
        2 => names().prop_map(Op::Unregister),
        4 => (targets(), lengths()).prop_map(|(target, length)| Op::Open(target, length)),
        2 => targets().prop_map(Op::Close),
        4 => targets().prop_map(Op::HalfOpen),
        2 => targets().prop_map(Op::Reset),
        1 => Just(Op::ResetAll),
        2 => Just(Op::Save),
        3 => Just(Op::Restore),
        3 => (settings(), housekeeping())
            .prop_map(|(given, house)| Op::Configure(given.updated_by(&house))),
        5 => (targets(), settings())
            .prop_map(|(target, given)| Op::ConfigureConnection(target, given)),
        5 => Just(Op::Poll),
        2 => targets().prop_map(Op::Status),
        2 => targets().prop_map(Op::State),
        1 => Just(Op::Snapshot),
        1 => prop::sample::select(vec![None, Some("a"), Some("a:"), Some("c")])
            .prop_map(Op::SnapshotOfScope),
        1 => (names(), prop_oneof![9 => 1..12_u16, 1 => 250..300_u16])
            .prop_map(|(name, times)| Op::ProbesFail(name, times)),
    ]
}

fn names() -> impl Strategy<Value = Name> {
    prop_oneof![
        20 => Just(NAMES[0]),
        10 => Just(NAMES[1]),
        8 => prop::sample::select(&NAMES[2..]),
        1 => prop::sample::select(&BAD_NAMES[..]),
    ]
}

fn targets() -> impl Strategy<Value = Target> {
    prop_oneof![
        names().prop_map(Target::Name),
        (0..3_usize, names()).prop_map(|(slot, name)| Target::Handle(slot, name)),
    ]
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        8 => Just(Outcome::Success),
        16 => Just(Outcome::Failure),
        1 => (0..40_u64).prop_map(Outcome::FailureFor),
        6 => (0..40_u64).prop_map(Outcome::SuccessIn),
        3 => (0..40_u64).prop_map(Outcome::FailureIn),
    ]
}

fn settles() -> impl Strategy<Value = Settle> {
    prop_oneof![
        9 => Just(Settle::Report(Outcome::Success)),
        9 => Just(Settle::Report(Outcome::Failure)),
        1 => (0..40_u64).prop_map(|wait| Settle::Report(Outcome::FailureFor(wait))),
        2 => (0..40_u64).prop_map(|lasted| Settle::Report(Outcome::SuccessIn(lasted))),
        2 => (0..40_u64).prop_map(|lasted| Settle::Report(Outcome::FailureIn(lasted))),
        3 => Just(Settle::Report(Outcome::Ignored)),
        3 => Just(Settle::Drop),
        3 => Just(Settle::Panic),
    ]
}

fn lengths() -> impl Strategy<Value = Length> {
    prop_oneof![
        3 => Just(Length::Configured),
        3 => (1..40_u64).prop_map(Length::Custom),
        1 => Just(Length::Never),
        1 => Just(Length::Custom(0)),
    ]
}

fn advances() -> impl Strategy<Value = Advance> {
    prop_oneof![
        2 => (0..25_u64).prop_map(Advance::By),
        1 => (25..400_u64).prop_map(Advance::By),
        1 => (400..3_000_u64).prop_map(Advance::By),
        4 => (0..6_usize, -1..=1_i64).prop_map(|(n, beside)| Advance::Edge(n, beside)),
    ]
}

/// Settings with small values, so that many combinations come up. Each call gives few settings.
///
/// On the heap, since many strategies contain this one, and a strategy is as large as all those
/// that it contains.
fn valid_settings() -> BoxedStrategy<Given> {
    let some = |chance: f64| move |range: std::ops::Range<u64>| option::weighted(chance, range);
    let rarely = some(0.25);
    (
        option::weighted(
            0.6,
            prop_oneof![7 => (1..5_u32).prop_map(Some), 1 => Just(None)],
        ),
        (some(0.7)(1..51), rarely(1..51), rarely(1..200)),
        (
            option::weighted(0.4, any::<bool>()),
            option::weighted(0.3, prop::sample::select(vec![1.0, 1.1, 1.5, 2.0, 3.0])),
            option::weighted(0.1, Just(0.0)),
        ),
        (
            option::weighted(
                0.4,
                prop_oneof![1 => Just(None), 2 => (1..41_u64).prop_map(Some)],
            ),
            option::weighted(0.4, any::<bool>()),
        ),
        option::weighted(0.5, 1..6_u32),
        recovery(),
        option::weighted(
            0.4,
            prop_oneof![1 => Just(None), 2 => (1..31_u64).prop_map(Some)],
        ),
        option::weighted(
            0.2,
            prop_oneof![1 => Just(None), 2 => (1..31_u64).prop_map(Some)],
        ),
        option::weighted(0.2, prop::sample::select(vec!["x", "y"])),
        rates(),
    )
        .prop_map(
            |(attempts, expiry, growth, window, calls, recovery, timeout, limit, note, rates)| {
                Given {
                    max_attempts: attempts,
                    expiry: expiry.0,
                    initial_expiry: expiry.1,
                    max_expiry: expiry.2,
                    progressive: growth.0,
                    backoff_factor: growth.1,
                    jitter: growth.2,
                    window: window.0,
                    success_clears_window: window.1,
                    half_open_max_calls: calls,
                    half_open_successes: recovery.half_open_successes,
                    half_open_failure_rate: recovery.half_open_failure_rate,
                    ramp: recovery.ramp,
                    ramp_start: recovery.ramp_start,
                    probe_timeout: timeout,
                    cancelled_after: limit,
                    metadata: note.map(|note| [("note".to_owned(), note.to_owned())].into()),
                    ..rates
                }
            },
        )
        .prop_map(|mut given| {
            if given
                .flaw_over(&Given::default(), &Given::default())
                .is_some()
            {
                given.max_expiry = None;
            }
            given
        })
        .boxed()
}

/// The settings that decide how a half-open circuit closes, with ramps short enough to end in a
/// trace.
fn recovery() -> impl Strategy<Value = Given> {
    let decides = prop_oneof![
        5 => Just((None, None)),
        4 => (1..4_u32).prop_map(|successes| (Some(successes), None)),
        4 => prop::sample::select(vec![0.01, 0.3, 0.5, 0.7, 1.0])
            .prop_map(|rate| (None, Some(Some(rate)))),
        1 => Just((None, Some(None))),
        1 => (1..4_u32).prop_map(|successes| (Some(successes), Some(None))),
    ];
    let ramp = prop_oneof![1 => Just(None), 4 => (1..60_u64).prop_map(Some)];
    let start = prop::sample::select(vec![0.1, 0.5, 0.999, 1.0, 1.0]);
    (
        decides,
        option::weighted(0.35, ramp),
        option::weighted(0.35, start),
    )
        .prop_map(|(decides, ramp, ramp_start)| Given {
            half_open_successes: decides.0,
            half_open_failure_rate: decides.1,
            ramp,
            ramp_start,
            ..Given::default()
        })
}

/// A mode, and rates that a few reports reach, over windows short enough to end in a trace.
fn rates() -> BoxedStrategy<Given> {
    let rate = || {
        option::weighted(
            0.35,
            prop_oneof![
                1 => Just(None),
                6 => prop::sample::select(vec![0.01, 0.1, 0.3, 0.5, 0.7, 1.0]).prop_map(Some),
            ],
        )
    };
    let window = prop_oneof![
        6 => Just((None, None)),
        3 => prop::sample::select(vec![1_000, 1_001, 1_999, 2_500]).prop_map(|ms| (Some(ms), None)),
        3 => (10..14_u32).prop_map(|calls| (None, Some(Some(calls)))),
        1 => Just((None, Some(None))),
        1 => Just((Some(1_200), Some(None))),
    ];
    let slow = prop_oneof![1 => Just(None), 3 => (1..31_u64).prop_map(Some)];
    let modes = vec![Mode::Normal, Mode::Normal, Mode::Disabled, Mode::Shadow];
    (
        option::weighted(0.3, prop::sample::select(modes)),
        rate(),
        window,
        option::weighted(0.5, 1..10_u32),
        option::weighted(0.3, slow),
        rate(),
    )
        .prop_map(
            |(mode, failure_rate, window, minimum_calls, slow_call_duration, slow_call_rate)| {
                Given {
                    mode,
                    failure_rate,
                    rate_window: window.0,
                    rate_calls: window.1,
                    minimum_calls,
                    slow_call_duration,
                    slow_call_rate,
                    ..Given::default()
                }
            },
        )
        .boxed()
}

/// Settings that are mostly valid. Sometimes one field is out of its range, or contradicts the
/// settings in effect.
fn settings() -> BoxedStrategy<Given> {
    let spoilt = |spoil: fn(&mut Given)| Just(Some(spoil));
    let spoil = prop_oneof![
        100 => Just(None),
        1 => spoilt(|given| given.max_attempts = Some(Some(0))),
        1 => spoilt(|given| given.expiry = Some(0)),
        1 => spoilt(|given| given.initial_expiry = Some(0)),
        1 => spoilt(|given| given.max_expiry = Some(0)),
        4 => spoilt(|given| given.max_expiry = Some(2)),
        1 => spoilt(|given| given.backoff_factor = Some(0.99)),
        1 => spoilt(|given| given.backoff_factor = Some(f64::NAN)),
        1 => spoilt(|given| given.backoff_factor = Some(f64::INFINITY)),
        1 => spoilt(|given| given.jitter = Some(1.01)),
        1 => spoilt(|given| given.jitter = Some(-0.01)),
        1 => spoilt(|given| given.jitter = Some(f64::NAN)),
        1 => spoilt(|given| given.window = Some(Some(0))),
        1 => spoilt(|given| given.half_open_max_calls = Some(0)),
        1 => spoilt(|given| given.half_open_max_calls = Some(65_536)),
        1 => spoilt(|given| given.half_open_successes = Some(0)),
        1 => spoilt(|given| given.half_open_successes = Some(65_536)),
        1 => spoilt(|given| given.cancelled_after = Some(Some(0))),
        1 => spoilt(|given| given.probe_timeout = Some(Some(0))),
        1 => spoilt(|given| given.failure_rate = Some(Some(0.0))),
        1 => spoilt(|given| given.failure_rate = Some(Some(f64::NAN))),
        1 => spoilt(|given| given.slow_call_rate = Some(Some(1.01))),
        1 => spoilt(|given| given.slow_call_rate = Some(Some(-0.5))),
        1 => spoilt(|given| given.slow_call_duration = Some(Some(0))),
        1 => spoilt(|given| given.rate_window = Some(999)),
        1 => spoilt(|given| given.rate_window = Some(3_600_001)),
        1 => spoilt(|given| given.rate_calls = Some(Some(9))),
        1 => spoilt(|given| given.rate_calls = Some(Some(100_001))),
        1 => spoilt(|given| given.minimum_calls = Some(0)),
        1 => spoilt(|given| given.half_open_failure_rate = Some(Some(1.01))),
        2 => spoilt(|given| {
            given.half_open_failure_rate = Some(Some(0.5));
            given.half_open_successes = Some(2);
        }),
        1 => spoilt(|given| given.ramp = Some(Some(0))),
        1 => spoilt(|given| given.ramp_start = Some(0.0)),
        3 => spoilt(|given| given.minimum_calls = Some(12)),
        2 => spoilt(|given| {
            given.rate_window = Some(1_000);
            given.rate_calls = Some(Some(11));
        }),
    ];
    (valid_settings(), spoil)
        .prop_map(|(mut given, spoil)| {
            if let Some(spoil) = spoil {
                spoil(&mut given);
            }
            given
        })
        .boxed()
}

fn housekeeping() -> impl Strategy<Value = Given> {
    (
        option::weighted(0.5, 1..60_u64),
        option::weighted(
            0.5,
            prop_oneof![1 => Just(None), 3 => (1..80_u64).prop_map(Some)],
        ),
        option::weighted(0.2, any::<bool>()),
    )
        .prop_map(
            |(cleanup_interval, inactive_threshold, auto_register)| Given {
                cleanup_interval,
                inactive_threshold,
                auto_register,
                ..Given::default()
            },
        )
}
