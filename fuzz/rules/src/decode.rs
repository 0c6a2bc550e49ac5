//! Decodes any bytes into a sequence of operations.
//!
//! A byte chooses the operation, and the bytes after it are its arguments.
//! Missing bytes are zeroes. Numbers are small, so that few bytes are enough
//! to reach a rule. At most one of the settings of a call is out of its range,
//! since the contract does not say which one of several an error names.

use brama::Mode;

use crate::settings::Given;
use crate::trace::{Advance, Length, NAMES, Name, Op, Outcome, Settle, Target, Trace};

/// The most operations of a sequence, since each step compares every status.
const MOST_OPS: usize = 256;

struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        self.0.next().copied().unwrap_or_default()
    }

    fn below(&mut self, bound: u64) -> u64 {
        u64::from(self.next()) % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn optional<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(8) != 0).then(|| value(self))
    }
}

pub fn trace(bytes: &[u8]) -> Trace {
    let mut bytes = Bytes(bytes.iter());
    let mut global = settings(&mut bytes);
    if global
        .flaw_over(&Given::default(), &Given::default())
        .is_some()
    {
        // The manager could not be made.
        global = Given::default();
    }
    global.auto_register = Some(true);
    let mut ops = Vec::new();
    while bytes.0.len() > 0 && ops.len() < MOST_OPS {
        ops.push((true, op(&mut bytes)));
    }
    Trace::new(global, ops)
}

fn op(bytes: &mut Bytes<'_>) -> Op {
    match bytes.below(32) {
        0..=3 => Op::Report(target(bytes), outcome(bytes)),
        4..=9 => {
            let (target, outcome, many) = (target(bytes), outcome(bytes), 2 + bytes.below(16));
            Op::Reports(target, vec![outcome; many as usize])
        }
        10..=12 => Op::Acquire(target(bytes)),
        13..=15 => Op::Settle(bytes.below(64) as usize, settle(bytes)),
        16 | 17 => Op::Advance(Advance::By(bytes.below(256))),
        18 => Op::Advance(Advance::By(bytes.below(256) * 64)),
        19..=21 => {
            let beside = bytes.pick(&[0, -1, 1]);
            Op::Advance(Advance::Edge(bytes.below(8) as usize, beside))
        }
        22 | 23 => Op::ConfigureConnection(target(bytes), settings(bytes)),
        24 => Op::Configure(settings(bytes)),
        25 => Op::Register(name(bytes), Some(settings(bytes))),
        26 => match bytes.next() {
            251 => Op::Save,
            252.. => Op::Restore,
            other => match other % 4 {
                0 => Op::Unregister(name(bytes)),
                1 => Op::GetOrRegister(name(bytes), None),
                2 => Op::Connection(name(bytes)),
                _ => Op::Poll,
            },
        },
        27 => Op::Open(
            target(bytes),
            match bytes.below(8) {
                0 => Length::Never,
                1 => Length::Configured,
                length => Length::Custom(length * 7),
            },
        ),
        28 => Op::Close(target(bytes)),
        29 => Op::HalfOpen(target(bytes)),
        30 => match bytes.below(4) {
            0 => Op::ResetAll,
            _ => Op::Reset(target(bytes)),
        },
        _ => match bytes.below(4) {
            0 => Op::ProbesFail(name(bytes), bytes.next().into()),
            1 => {
                let given = Given {
                    mode: Some(bytes.pick(&[Mode::Normal, Mode::Disabled, Mode::Shadow])),
                    ..Given::default()
                };
                match bytes.below(3) {
                    0 => Op::Configure(given),
                    _ => Op::ConfigureConnection(target(bytes), given),
                }
            }
            _ => Op::Call(target(bytes), settle(bytes)),
        },
    }
}

fn name(bytes: &mut Bytes<'_>) -> Name {
    bytes.pick(&[NAMES[0], NAMES[0], NAMES[0], NAMES[1]])
}

fn target(bytes: &mut Bytes<'_>) -> Target {
    match bytes.below(3) {
        0 => Target::Name(NAMES[0]),
        1 => Target::Handle(0, NAMES[0]),
        _ => Target::Name(name(bytes)),
    }
}

fn outcome(bytes: &mut Bytes<'_>) -> Outcome {
    match bytes.below(16) {
        0..=4 => Outcome::Success,
        5..=9 => Outcome::Failure,
        10 | 11 => Outcome::SuccessIn(bytes.below(40)),
        12..=14 => Outcome::FailureIn(bytes.below(40)),
        _ => Outcome::FailureFor(bytes.below(40)),
    }
}

fn settle(bytes: &mut Bytes<'_>) -> Settle {
    match bytes.below(16) {
        0..=12 => Settle::Report(outcome(bytes)),
        13 => Settle::Report(Outcome::Ignored),
        14 => Settle::Drop,
        _ => Settle::Panic,
    }
}

/// Up to seven settings, one of which may be out of its range.
fn settings(bytes: &mut Bytes<'_>) -> Given {
    let mut given = Given::default();
    for _ in 0..bytes.below(8) {
        set(&mut given, bytes);
    }
    if bytes.below(8) == 7 {
        spoil(&mut given, bytes);
    }
    given
}

fn set(given: &mut Given, bytes: &mut Bytes<'_>) {
    match bytes.below(23) {
        0 | 1 => given.failure_rate = Some(rate_of(bytes)),
        2 => given.rate_window = Some(bytes.pick(&[1_000, 1_001, 1_999, 2_500, 3_600_000])),
        3 => given.rate_calls = Some(bytes.optional(|bytes| 10 + bytes.below(6) as u32)),
        4 | 5 => given.minimum_calls = Some(1 + bytes.below(16) as u32),
        6 => given.slow_call_duration = Some(bytes.optional(|bytes| 1 + bytes.below(30))),
        7 => given.slow_call_rate = Some(rate_of(bytes)),
        8 => given.max_attempts = Some(bytes.optional(|bytes| 1 + bytes.below(8) as u32)),
        9 => given.window = Some(bytes.optional(|bytes| 1 + bytes.below(200))),
        10 => given.success_clears_window = Some(bytes.below(2) == 0),
        11 => given.expiry = Some(1 + bytes.below(100)),
        12 => given.half_open_max_calls = Some(1 + bytes.below(6) as u32),
        13 => given.half_open_successes = Some(1 + bytes.below(4) as u32),
        14 => given.probe_timeout = Some(bytes.optional(|bytes| 1 + bytes.below(30))),
        15 => given.cancelled_after = Some(bytes.optional(|bytes| 1 + bytes.below(30))),
        16 => given.progressive = Some(bytes.below(2) == 0),
        17 => given.max_expiry = Some(1 + bytes.below(200)),
        18 => given.initial_expiry = Some(1 + bytes.below(100)),
        19 | 20 => given.half_open_failure_rate = Some(rate_of(bytes)),
        21 => given.ramp = Some(bytes.optional(|bytes| 1 + bytes.below(200))),
        _ => given.ramp_start = Some(bytes.pick(&[1.0, 0.1, 0.5])),
    }
}

/// None, or a rate that few reports reach exactly: a quotient of small numbers.
fn rate_of(bytes: &mut Bytes<'_>) -> Option<f64> {
    bytes.optional(|bytes| {
        let whole = 1 + bytes.below(20);
        (1 + bytes.below(whole)) as f64 / whole as f64
    })
}

fn spoil(given: &mut Given, bytes: &mut Bytes<'_>) {
    let rates = [0.0, -0.0, -0.5, 1.01, f64::NAN, f64::INFINITY];
    match bytes.below(16) {
        0 => given.failure_rate = Some(Some(bytes.pick(&rates))),
        1 => given.slow_call_rate = Some(Some(bytes.pick(&rates))),
        2 => given.rate_window = Some(bytes.pick(&[0, 999, 3_600_001, u64::MAX])),
        3 => given.rate_calls = Some(Some(bytes.pick(&[0, 9, 100_001, u32::MAX]))),
        4 => given.minimum_calls = Some(0),
        5 => given.slow_call_duration = Some(Some(0)),
        6 => given.max_attempts = Some(Some(0)),
        7 => given.window = Some(Some(0)),
        8 => given.jitter = Some(bytes.pick(&[-0.01, 1.01, f64::NAN])),
        9 => given.backoff_factor = Some(bytes.pick(&[0.99, f64::NAN, f64::INFINITY])),
        10 => given.half_open_max_calls = Some(bytes.pick(&[0, 65_536])),
        11 => given.cancelled_after = Some(Some(0)),
        12 => given.half_open_failure_rate = Some(Some(bytes.pick(&rates))),
        13 => given.ramp = Some(Some(0)),
        14 => given.ramp_start = Some(bytes.pick(&rates)),
        _ => given.expiry = Some(0),
    }
}
