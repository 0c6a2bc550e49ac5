//! The operations that are counted.
//!
//! Everything runs on one thread. Only paths with a tick have a background thread,
//! too. Circuits stay in their state. Paths by name take a few hundred names in turn.

pub mod c;

use std::fmt::Error as Failed;
use std::hint::black_box;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use brama::{Brama, Connection, ConnectionOptions, EventFilter, EventType, OpenFor, Permit};

use crate::names::Names;

/// The name of an operation, and the function that prepares it.
pub struct Path {
    pub name: &'static str,
    make: fn() -> Operation,
}

/// An operation that is ready to run, and its manager.
pub struct Operation {
    pub brama: Brama,
    /// Does the operation once. Gets the number of the turn.
    pub turn: Box<dyn Fn(u64) + Send + Sync>,
    /// Does the work of a background thread, between turns.
    pub poll: Box<dyn Fn() + Send + Sync>,
}

/// How many turns run before the count begins, so that everything that is set up once exists.
const WARM_UP: u64 = 1_024;

/// So many calls in a tick of the clock make the background thread tick.
/// A multiple of the calls after which a thread reports them to it.
const FREQUENT: usize = 16_384;

/// How many names the paths by name use. A power of two.
const NAMES: usize = 256;

impl Path {
    pub fn operation(&self) -> Operation {
        (self.make)()
    }

    /// Runs so many turns, after a warm-up that is not counted.
    pub fn run(&self, turns: u64) {
        let operation = self.operation();
        (0..WARM_UP).for_each(&operation.turn);
        measured_turns(&operation, WARM_UP..WARM_UP + turns);
        // If a circuit had opened, the count would be of another path.
        let is_open = operation.brama.state_counts().open > 0;
        assert_eq!(
            is_open,
            self.name.contains("rejected") && !self.name.starts_with("C: ")
        );
    }
}

/// Callgrind counts while this function runs. It finds it by its name.
#[inline(never)]
fn measured_turns(operation: &Operation, turns: Range<u64>) {
    turns.for_each(&operation.turn);
}

/// An operation that does nothing, to count the loop alone.
pub const EMPTY: Path = Path {
    name: "nothing",
    make: || {
        operation(manager(), |turn| {
            black_box(turn);
        })
    },
};

const fn path(name: &'static str, make: fn() -> Operation) -> Path {
    Path { name, make }
}

/// All paths, a line each. Longer preparations are functions below, or in [`c`].
#[rustfmt::skip]
pub const ALL: &[Path] = &[
    path("available", || by_handle(|db| black_box(db.available()))),
    path("success", || by_handle(|db| db.success().is_ok())),
    path("acquire + success", || by_handle(|db| acquired(db, |permit| permit.success().is_ok()))),
    path("acquire + failure", || by_handle(|db| acquired(db, |permit| permit.failure("timeout").is_ok()))),
    path("acquire + failure, another reason each time", another_reason_each_time),
    path("acquire + failure, no reason", || by_handle(|db| acquired(db, |permit| permit.failure(None).is_ok()))),
    path("failure", || by_handle(|db| db.failure("timeout").is_ok())),
    path("failure, within a window", || failing(|options| options.window(MINUTE).max_attempts(65_536))),
    path("failure, with a failure rate", || failing(|options| options.failure_rate(0.5).minimum_calls(u32::MAX))),
    path("failure, of the last 100 000", || failing(|options| options.failure_rate(1.0).rate_calls(100_000).minimum_calls(100_000))),
    path("call", || by_handle(|db| db.call(|| black_box(Ok::<_, Failed>(()))).is_ok())),
    path("success, with a tick", || ticking(|db| db.success().is_ok())),
    path("acquire + success, with a tick", || ticking(|db| acquired(db, |permit| permit.success().is_ok()))),
    path("call, with a tick", || ticking(|db| db.call(|| black_box(Ok::<_, Failed>(()))).is_ok())),
    path("acquire + failure, with a tick", || ticking(|db| acquired(db, |permit| permit.failure("timeout").is_ok()))),
    path("call that fails, with a tick", || ticking(|db| db.call(|| black_box(Err::<(), _>(Failed))).is_err())),
    path("call, with a failure rate", || guarded(|options| options.failure_rate(0.5))),
    path("call, of the last 100", || guarded(|options| options.failure_rate(0.5).rate_calls(100))),
    path("call, with slow calls", || guarded(|options| options.slow_call_duration(MINUTE).slow_call_rate(0.5))),
    path("call that fails", || by_handle(|db| db.call(|| black_box(Err::<(), _>(Failed))).is_err())),
    path("acquire, rejected", || rejected(|db| db.acquire().is_err())),
    path("available, rejected", || rejected(|db| !db.available())),
    path("call, rejected", || rejected(|db| db.call(|| black_box(Ok::<_, Failed>(()))).is_err())),
    path("available, by name", || by_name(|brama, name| brama.available(name))),
    path("available, by an unknown name", || by_name(|brama, (scope, name)| !brama.available((name, scope)))),
    path("success, by name", || by_name(|brama, name| brama.success(name).is_ok())),
    path("failure, by name", || by_name(|brama, name| brama.failure(name, "timeout").is_ok())),
    path("acquire + success, by name", || by_name(|brama, name| brama.acquire(name).is_ok_and(|permit| permit.success().is_ok()))),
    path("acquire + failure, by name", || by_name(|brama, name| brama.acquire(name).is_ok_and(|permit| permit.failure("timeout").is_ok()))),
    path("call, by name", || by_name(|brama, name| brama.call(name, || black_box(Ok::<_, Failed>(()))).is_ok())),
    path("call that fails, by name", || by_name(|brama, name| brama.call(name, || black_box(Err::<(), _>(Failed))).is_err())),
    path("acquire, rejected, by name", || rejected_by_name(|brama, name| brama.acquire(name).is_err())),
    path("call, rejected, by name", || rejected_by_name(|brama, name| brama.call(name, || black_box(Ok::<_, Failed>(()))).is_err())),
    path("acquire + success, a subscriber of another type", || subscribed(EventType::StateChange)),
    path("acquire + success, a subscriber of this type", || subscribed(EventType::Success)),
    path("register + unregister", register_and_unregister),
    path("C: available", || c::by_handle(|c, db| (c.connection_available)(db))),
    path("C: success", || c::by_handle(|c, db| (c.connection_success)(db) == 0)),
    path("C: failure", || c::by_handle(|c, db| (c.connection_failure)(db, c"timeout".as_ptr()) == 0)),
    path("C: acquire + success", || c::by_handle(|c, db| c.admitted(db).is_some_and(|permit| (c.permit_success)(permit) == 0))),
    path("C: acquire + failure", || c::by_handle(|c, db| c.admitted(db).is_some_and(|permit| (c.permit_failure)(permit, c"timeout".as_ptr()) == 0))),
    path("C: acquire, rejected", || c::rejected(|c, db| c.admitted(db).is_none())),
    path("C: available, by name", || c::by_name(|c, manager, name, scope| (c.available)(manager, name, scope))),
    path("C: success, by name", || c::by_name(|c, manager, name, scope| (c.success)(manager, name, scope) == 0)),
    path("C: acquire + success, by name", || c::by_name(|c, manager, name, scope| c.admitted_by_name(manager, name, scope).is_some_and(|permit| (c.permit_success)(permit) == 0))),
];

const MINUTE: Duration = Duration::from_secs(60);

fn manager() -> Brama {
    let brama = Brama::builder().background(false).unlimited_attempts();
    // Room for everything that is reported here.
    brama.event_capacity(1 << 15).build().expect("valid")
}

fn closed() -> (Brama, Connection) {
    let brama = manager();
    let connection = brama.register("db", None).expect("a new name");
    (brama, connection)
}

fn operation(brama: Brama, turn: impl Fn(u64) + Send + Sync + 'static) -> Operation {
    let polled = brama.clone();
    Operation {
        brama,
        turn: Box::new(turn),
        poll: Box::new(move || polled.poll()),
    }
}

fn by_handle(act: impl Fn(&Connection) -> bool + Send + Sync + 'static) -> Operation {
    let (brama, connection) = closed();
    operation(brama, move |_| assert!(act(black_box(&connection))))
}

/// An operation with a background thread that ticks, as it does while
/// calls are frequent: then calls read no clock. The clock stands
/// still, so the thread never stops ticking once it has begun.
fn ticking(act: impl Fn(&Connection) -> bool + Send + Sync + 'static) -> Operation {
    let brama = Brama::builder().unlimited_attempts().build();
    let brama = brama.expect("valid");
    let connection = brama.register("db", None).expect("a new name");
    for _ in 0..FREQUENT {
        assert!(act(&connection));
    }
    // Gives the thread time to begin. If this is too short, counts are too high.
    thread::sleep(Duration::from_millis(200));
    operation(brama, move |_| assert!(act(black_box(&connection))))
}

fn acquired(db: &Connection, report: impl FnOnce(Permit) -> bool) -> bool {
    db.acquire().is_ok_and(report)
}

/// An operation on an open circuit.
fn rejected(act: impl Fn(&Connection) -> bool + Send + Sync + 'static) -> Operation {
    let (brama, db) = closed();
    db.open_circuit("outage", OpenFor::Never)
        .expect("registered");
    operation(brama, move |_| assert!(act(black_box(&db))))
}

fn another_reason_each_time() -> Operation {
    let (brama, db) = closed();
    operation(brama, move |turn| {
        let reason = ["timeout", "reset by peer"][turn as usize % 2];
        assert!(acquired(black_box(&db), |permit| permit
            .failure(reason)
            .is_ok()));
    })
}

/// Failures of a circuit with these settings of its own, none of which opens it.
fn failing(settings: impl FnOnce(ConnectionOptions) -> ConnectionOptions) -> Operation {
    let (brama, db) = closed();
    db.configure(settings(ConnectionOptions::new()))
        .expect("valid");
    operation(brama, move |_| {
        assert!(black_box(&db).failure("timeout").is_ok());
    })
}

fn register_and_unregister() -> Operation {
    let brama = manager();
    let names = Names::of(0..NAMES);
    operation(brama.clone(), move |turn| {
        let name = names.at(turn);
        drop(brama.register(name, None).expect("not there"));
        brama.unregister(name).expect("there");
    })
}

/// Guarded calls of a circuit with these settings of its own.
fn guarded(settings: impl FnOnce(ConnectionOptions) -> ConnectionOptions) -> Operation {
    let (brama, connection) = closed();
    connection
        .configure(settings(ConnectionOptions::new()))
        .expect("valid");
    operation(brama, move |_| {
        let answer = || black_box(Ok::<_, Failed>(()));
        assert!(black_box(&connection).call(answer).is_ok());
    })
}

fn by_name(act: impl Fn(&Brama, (&str, &str)) -> bool + Send + Sync + 'static) -> Operation {
    let brama = manager();
    let names = Names::of(0..NAMES);
    for name in names.iter() {
        brama.register(name, None).expect("a new name");
    }
    operation(brama.clone(), move |turn| {
        assert!(act(&brama, names.at(turn)))
    })
}

/// By names of open circuits.
fn rejected_by_name(
    act: impl Fn(&Brama, (&str, &str)) -> bool + Send + Sync + 'static,
) -> Operation {
    let operation = by_name(act);
    for name in Names::of(0..NAMES).iter() {
        let opened = operation.brama.open_circuit(name, "outage", OpenFor::Never);
        opened.expect("registered");
    }
    operation
}

/// With a subscriber. The events that it wants are published, and stay in the ring.
fn subscribed(wanted: EventType) -> Operation {
    let (brama, connection) = closed();
    let filter = EventFilter::new().types([wanted]);
    let subscription = brama.subscribe(filter, |_| {}).expect("not shut down");
    subscription.detach();
    operation(brama, move |_| {
        let permit = black_box(&connection).acquire();
        assert!(permit.is_ok_and(|permit| permit.success().is_ok()));
    })
}
