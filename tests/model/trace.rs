//! Operations, and how sequences of them are drawn.

use std::fmt;

use brama::{Key, KeyBuf};
use proptest::option;
use proptest::prelude::*;

use crate::settings::Given;
use crate::view::Answer;

/// A scope and an identifier, not necessarily allowed ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    pub scope: Option<&'static str>,
    pub identifier: &'static str,
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.key(), f)
    }
}

const fn name(scope: Option<&'static str>, identifier: &'static str) -> Name {
    Name { scope, identifier }
}

/// Names that would collide if they were concatenated.
pub const NAMES: [Name; 5] = [
    name(None, "a:b"),
    name(Some("a"), "b"),
    name(Some("a"), ":b"),
    name(Some("a:"), "b"),
    name(None, "b"),
];

const BAD_NAMES: [Name; 4] = [
    name(None, ""),
    name(None, "a\0b"),
    name(Some(""), "b"),
    name(Some("\0"), "b"),
];

impl Name {
    pub fn key(self) -> Key<'static> {
        Key::new(self.scope, self.identifier)
    }

    pub fn owned(self) -> KeyBuf {
        self.key().to_buf()
    }

    pub fn check(self) -> Result<(), Answer> {
        let good = |name: &str| !name.is_empty() && !name.contains('\0');
        if !good(self.identifier) {
            return Err(Answer::InvalidArgument("identifier"));
        }
        if !self.scope.is_none_or(good) {
            return Err(Answer::InvalidArgument("scope"));
        }
        Ok(())
    }
}

/// By which of the two ways an operation reaches its connection.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    Name(Name),
    /// The handle in this place; by its name, if there never was one.
    Handle(usize, Name),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    Success,
    Failure,
    /// The dependency asks to be left alone for so many ms.
    FailureFor(u64),
    Ignored,
}

/// For how long a circuit is opened by hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    Configured,
    Custom(u64),
    Never,
}

#[derive(Clone, Copy, Debug)]
pub enum Settle {
    Report(Outcome),
    Drop,
    Panic,
}

#[derive(Clone, Copy, Debug)]
pub enum Advance {
    By(u64),
    /// To the n-th moment at which something ends, or a millisecond beside it.
    Edge(usize, i64),
}

#[derive(Clone, Debug)]
pub enum Op {
    Register(Name, Option<Given>),
    GetOrRegister(Name, Option<Given>),
    Connection(Name),
    Unregister(Name),
    Available(Target),
    Acquire(Target),
    Settle(usize, Settle),
    Report(Target, Outcome),
    Call(Target, Settle),
    Open(Target, Length),
    Close(Target),
    HalfOpen(Target),
    Reset(Target),
    ResetAll,
    Configure(Given),
    ConfigureConnection(Target, Given),
    Advance(Advance),
    Poll,
    Status(Target),
    State(Target),
    Snapshot,
    SnapshotOfScope(Option<&'static str>),
    /// A dependency that stays down: this many probes fail.
    ProbesFail(Name, u16),
}

/// The manager's settings and what is done with it. An operation that is off is
/// left out: so a failing sequence shrinks to what it needs.
#[derive(Clone)]
pub struct Trace {
    pub global: Given,
    ops: Vec<(bool, Op)>,
}

impl Trace {
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.ops.iter().filter_map(|(on, op)| on.then_some(op))
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.global)?;
        for op in self.ops() {
            writeln!(f, "    {op:?}")?;
        }
        Ok(())
    }
}

/// Traces of about 100 operations. `cleanup`: connections may be removed for
/// inactivity.
pub fn traces(cleanup: bool) -> impl Strategy<Value = Trace> {
    let op = (prop::bool::weighted(0.97), ops());
    (
        valid_settings(),
        housekeeping(),
        prop::collection::vec(op, 104),
    )
        .prop_map(move |(global, house, ops)| Trace {
            global: keep(cleanup, global.updated_by(&house)),
            ops: ops
                .into_iter()
                .map(|(on, op)| match op {
                    Op::Configure(given) => (on, Op::Configure(keep(cleanup, given))),
                    op => (on, op),
                })
                .collect(),
        })
}

fn keep(cleanup: bool, mut given: Given) -> Given {
    if !cleanup {
        given.inactive_threshold = Some(None);
    }
    given
}

fn ops() -> impl Strategy<Value = Op> {
    let register = |op: fn(Name, Option<Given>) -> Op| {
        (names(), option::weighted(0.8, settings())).prop_map(move |(name, given)| op(name, given))
    };
    prop_oneof![
        14 => (targets(), outcomes()).prop_map(|(target, outcome)| Op::Report(target, outcome)),
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
    ]
}

fn settles() -> impl Strategy<Value = Settle> {
    prop_oneof![
        9 => Just(Settle::Report(Outcome::Success)),
        9 => Just(Settle::Report(Outcome::Failure)),
        1 => (0..40_u64).prop_map(|wait| Settle::Report(Outcome::FailureFor(wait))),
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
        4 => (0..6_usize, -1..=1_i64).prop_map(|(n, beside)| Advance::Edge(n, beside)),
    ]
}

/// Small settings, so that everything meets everything; each call names few.
fn valid_settings() -> impl Strategy<Value = Given> {
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
        option::weighted(0.4, 1..4_u32),
        option::weighted(0.4, 1..4_u32),
        option::weighted(
            0.4,
            prop_oneof![1 => Just(None), 2 => (1..31_u64).prop_map(Some)],
        ),
        option::weighted(
            0.2,
            prop_oneof![1 => Just(None), 2 => (1..31_u64).prop_map(Some)],
        ),
        option::weighted(0.2, prop::sample::select(vec!["x", "y"])),
    )
        .prop_map(
            |(attempts, expiry, growth, window, calls, successes, timeout, limit, note)| Given {
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
                half_open_successes: successes,
                probe_timeout: timeout,
                cancelled_after: limit,
                metadata: note.map(|note| [("note".to_owned(), note.to_owned())].into()),
                ..Given::default()
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
}

/// Mostly valid; sometimes one field is out of its range, or contradicts what is
/// in force.
fn settings() -> impl Strategy<Value = Given> {
    let spoilt = |spoil: fn(&mut Given)| Just(Some(spoil));
    let spoil = prop_oneof![
        80 => Just(None),
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
    ];
    (valid_settings(), spoil).prop_map(|(mut given, spoil)| {
        if let Some(spoil) = spoil {
            spoil(&mut given);
        }
        given
    })
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
