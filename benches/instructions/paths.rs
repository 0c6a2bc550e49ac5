//! What is counted.
//!
//! Everything runs on one thread, without the background one except where it is to tick; circuits
//! stay as they are. By name, names are taken in turn from a few hundred.

use std::fmt::Error as Failed;
use std::hint::black_box;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use brama::{Brama, Connection, ConnectionOptions, EventFilter, EventType, OpenFor};

use crate::names::Names;

/// An operation, and how to make what it needs.
pub struct Path {
    pub name: &'static str,
    make: fn() -> Operation,
}

/// Something to do, and the manager with which it is done.
pub struct Operation {
    pub brama: Brama,
    /// Does it once, and gets the number of its turn.
    pub turn: Box<dyn Fn(u64) + Send + Sync>,
}

/// How often an operation is done before it is counted: what is set up once, is.
const WARM_UP: u64 = 1_024;

/// So many calls in a tick of the clock are worth a wake. A multiple of those after which a thread
/// says so.
const FREQUENT: usize = 16_384;

/// How many names there are, by name. A power of two.
const NAMES: usize = 256;

impl Path {
    pub fn operation(&self) -> Operation {
        (self.make)()
    }

    /// Does it so often, and before that some times that are not counted.
    pub fn run(&self, turns: u64) {
        let operation = self.operation();
        (0..WARM_UP).for_each(&operation.turn);
        measured_turns(&operation, WARM_UP..WARM_UP + turns);
    }
}

/// What callgrind counts while it runs, by its name.
#[inline(never)]
fn measured_turns(operation: &Operation, turns: Range<u64>) {
    turns.for_each(&operation.turn);
}

/// Nothing: what the loop costs.
pub const EMPTY: Path = Path {
    name: "nothing",
    make: || {
        operation(manager(), |turn| {
            black_box(turn);
        })
    },
};

pub const ALL: &[Path] = &[
    Path {
        name: "available",
        make: || by_handle(|db| black_box(db.available())),
    },
    Path {
        name: "success",
        make: || by_handle(|db| db.success().is_ok()),
    },
    Path {
        name: "acquire + success",
        make: || by_handle(|db| db.acquire().is_ok_and(|permit| permit.success().is_ok())),
    },
    Path {
        name: "acquire + failure",
        make: || {
            by_handle(|db| {
                db.acquire()
                    .is_ok_and(|permit| permit.failure("timeout").is_ok())
            })
        },
    },
    Path {
        name: "acquire + failure, another reason each time",
        make: || {
            let (brama, db) = closed();
            operation(brama, move |turn| {
                let reason = ["timeout", "reset by peer"][turn as usize % 2];
                let permit = black_box(&db).acquire();
                assert!(permit.is_ok_and(|permit| permit.failure(reason).is_ok()));
            })
        },
    },
    Path {
        name: "acquire + failure, no reason",
        make: || {
            by_handle(|db| {
                db.acquire()
                    .is_ok_and(|permit| permit.failure(None).is_ok())
            })
        },
    },
    Path {
        name: "call",
        make: || by_handle(|db| db.call(|| black_box(Ok::<_, Failed>(()))).is_ok()),
    },
    Path {
        name: "success, with a tick",
        make: || ticking(|db| db.success().is_ok()),
    },
    Path {
        name: "acquire + success, with a tick",
        make: || ticking(|db| db.acquire().is_ok_and(|permit| permit.success().is_ok())),
    },
    Path {
        name: "call, with a tick",
        make: || ticking(|db| db.call(|| black_box(Ok::<_, Failed>(()))).is_ok()),
    },
    Path {
        name: "call, with a failure rate",
        make: || guarded(|options| options.failure_rate(0.5)),
    },
    Path {
        name: "call, of the last 100",
        make: || guarded(|options| options.failure_rate(0.5).rate_calls(100)),
    },
    Path {
        name: "call, with slow calls",
        make: || {
            let slow = std::time::Duration::from_secs(60);
            guarded(move |options| options.slow_call_duration(slow).slow_call_rate(0.5))
        },
    },
    Path {
        name: "acquire, rejected",
        make: || {
            let (brama, db) = closed();
            db.open_circuit("outage", OpenFor::Never)
                .expect("registered");
            operation(brama, move |_| assert!(black_box(&db).acquire().is_err()))
        },
    },
    Path {
        name: "available, by name",
        make: || by_name(|brama, name| brama.available(name)),
    },
    Path {
        name: "available, by an unknown name",
        make: || by_name(|brama, (scope, name)| !brama.available((name, scope))),
    },
    Path {
        name: "success, by name",
        make: || by_name(|brama, name| brama.success(name).is_ok()),
    },
    Path {
        name: "acquire + success, by name",
        make: || {
            by_name(|brama, name| {
                brama
                    .acquire(name)
                    .is_ok_and(|permit| permit.success().is_ok())
            })
        },
    },
    Path {
        name: "acquire + failure, by name",
        make: || {
            by_name(|brama, name| {
                brama
                    .acquire(name)
                    .is_ok_and(|permit| permit.failure("timeout").is_ok())
            })
        },
    },
    Path {
        name: "acquire + success, somebody wants another type",
        make: || subscribed(EventType::StateChange),
    },
    Path {
        name: "acquire + success, somebody wants to know",
        make: || subscribed(EventType::Success),
    },
    Path {
        name: "register + unregister",
        make: || {
            let brama = manager();
            let names = Names::of(0..NAMES);
            operation(brama.clone(), move |turn| {
                let name = names.at(turn);
                drop(brama.register(name, None).expect("not there"));
                brama.unregister(name).expect("there");
            })
        },
    },
];

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
    let turn = Box::new(turn);
    Operation { brama, turn }
}

fn by_handle(act: impl Fn(&Connection) -> bool + Send + Sync + 'static) -> Operation {
    let (brama, connection) = closed();
    operation(brama, move |_| assert!(act(black_box(&connection))))
}

/// With a background thread that says that time has not moved, as it does where calls are frequent.
/// The clock stands still, so it says so for ever once it has begun.
fn ticking(act: impl Fn(&Connection) -> bool + Send + Sync + 'static) -> Operation {
    let brama = Brama::builder().unlimited_attempts().build();
    let brama = brama.expect("valid");
    let connection = brama.register("db", None).expect("a new name");
    for _ in 0..FREQUENT {
        assert!(act(&connection));
    }
    // If this is too short, counts are too high.
    thread::sleep(Duration::from_millis(200));
    operation(brama, move |_| assert!(act(black_box(&connection))))
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

/// With a subscriber; what it wants is published and stays in the ring.
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
