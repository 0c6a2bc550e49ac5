//! Random sequences of all operations on a circuit: reports, permits, control by hand, modes,
//! settings, saves and restores. The tests check what holds in every order. They use one thread, a
//! manual clock and fixed seeds.

use std::time::Duration;

use brama::{
    Brama, Connection, ConnectionOptions, EventQueue, EventType, InitialState, ManualClock, Mode,
    OpenFor, Permit, State, Status,
};

use super::restored::status;
use crate::common::events::queue_of;
use crate::common::random::Random;
use crate::common::{manager, ms};

const SEEDS: u64 = 150;
const STEPS: u64 = 80;
const HOUR: Duration = Duration::from_secs(3_600);

/// One circuit, with its outstanding permits, its saves and its events.
struct World {
    random: Random,
    brama: Brama,
    clock: ManualClock,
    db: Connection,
    permits: Vec<Permit<'static>>,
    saves: Vec<Vec<u8>>,
    queue: EventQueue,
    /// The last state that subscribers have heard of.
    told: State,
}

/// What a step has done to the evidence.
#[derive(Default)]
struct Done {
    is_counted: bool,
    begins: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (brama, clock) = manager();
        let queue = queue_of(&brama, 4_096);
        let mut options = ConnectionOptions::new()
            .expiry(ms(100))
            .failure_rate(1.0)
            .minimum_calls(1_000);
        options = match seed % 2 {
            0 => options.rate_calls(2_000),
            _ => options.rate_window(HOUR),
        };
        if random.once_in(2) {
            options = options.max_attempts(3);
        }
        if !random.once_in(3) {
            options = options.ramp(ms(1 + random.below(300)));
        }
        if random.once_in(3) {
            let probes = 1 + random.below(4) as u32;
            options = options
                .half_open_max_calls(probes)
                .half_open_failure_rate(0.5);
        }
        if random.once_in(4) {
            options = options.initial_state(InitialState::Open(ms(40)));
        }
        let db = brama.register("db", options).expect("a new name");
        World {
            random,
            brama,
            clock,
            db,
            permits: Vec::new(),
            saves: Vec::new(),
            queue,
            told: State::Closed,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn turn(&self, mode: Mode) {
        let options = ConnectionOptions::new().mode(mode);
        self.db.configure(options).expect("valid");
    }

    /// Does a random operation.
    fn step(&mut self) -> Done {
        let before = status(&self.db);
        let is_disabled = before.mode == Mode::Disabled;
        let mut done = Done::default();
        match self.below(21) {
            0 | 1 => done.is_counted = self.db.success().is_ok(),
            2 | 3 => done.is_counted = self.db.failure("refused").is_ok(),
            4..=6 => match self.db.acquire_owned() {
                Ok(permit) => self.permits.push(permit),
                Err(_) => assert_eq!(before.mode, Mode::Normal, "the others reject nothing"),
            },
            7..=9 if !self.permits.is_empty() => {
                let at = self.below(self.permits.len() as u64) as usize;
                let permit = self.permits.swap_remove(at);
                let reported = match self.below(6) {
                    0..=2 => permit.success().map(|()| true),
                    3 | 4 => permit.failure(None).map(|_| true),
                    _ => permit.ignore().map(|()| false),
                };
                assert!(reported.is_ok() || !is_disabled, "no report is stale");
                done.is_counted = reported == Ok(true);
            }
            10 => {
                let how_long = match self.below(3) {
                    0 => OpenFor::Never,
                    1 => OpenFor::Configured,
                    _ => OpenFor::Custom(ms(1 + self.below(100))),
                };
                self.db.open_circuit(None, how_long).expect("registered");
            }
            11 => {
                self.db.close_circuit().expect("registered");
                // The circuit may have been in a ramp, which this ends early.
                done.begins = before.state != State::Closed;
            }
            12 => self.db.half_open_circuit().expect("registered"),
            13 => {
                self.db.reset_circuit().expect("registered");
                done.begins = true;
            }
            14 => {
                let modes = [Mode::Normal, Mode::Disabled, Mode::Shadow];
                let mode = modes[self.below(3) as usize];
                self.turn(mode);
                done.begins = is_disabled && mode != Mode::Disabled;
            }
            15 => self.saves.push(self.brama.save()),
            16 if !self.saves.is_empty() => {
                let at = self.below(self.saves.len() as u64) as usize;
                let restored = self.brama.restore(&self.saves[at]);
                done.begins = restored.expect("it was saved") == 1;
            }
            17 => {
                let wait = ms(1 + self.below(60));
                self.db.failure_for("HTTP 429", wait).expect("registered");
                done.begins = true;
            }
            _ => self.clock.advance(ms(self.random.below(60))),
        }
        done
    }

    /// One turn of the driver and of the dispatcher. Checks that changes are delivered in order.
    fn poll(&mut self) {
        self.brama.poll();
        for event in self.queue.drain(4_096) {
            if event.event_type() == EventType::StateChange {
                assert_eq!(event.previous_state(), self.told, "{event:?}");
                self.told = event.new_state();
            }
        }
    }

    /// Another manager, whose clock shows the same time, with this manager's circuits restored.
    fn restored(&self, mode: Mode) -> (Brama, Connection) {
        let (brama, clock) = manager();
        clock.advance(ms(self.clock.unix_ms() - clock.unix_ms()));
        let options = ConnectionOptions::new().mode(mode);
        let db = brama.register("db", options).expect("a new name");
        assert_eq!(brama.restore(&self.brama.save()), Ok(1));
        (brama, db)
    }
}

fn assert_same(one: &Status, other: &Status) {
    assert_eq!((one.state, one.trips), (other.state, other.trips));
    assert_eq!(one.retry_after, other.retry_after);
    if one.state == State::Open {
        assert_eq!((one.cause, &one.reason), (other.cause, &other.reason));
    }
}

/// Subscribers hear of each change of state, in order, although no call asks for the state.
#[test]
fn subscribers_hear_of_every_change_in_order() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for step in 0..STEPS {
            world.step();
            world.poll();
            let now = status(&world.db);
            let expected = match now.mode {
                Mode::Disabled => State::Closed,
                _ => world.told,
            };
            assert_eq!(now.state, expected, "seed {seed}, step {step}: {now:?}");
            assert!(now.probes_out as usize <= world.permits.len());
            assert!(now.ramp_share.is_none() || now.state == State::HalfOpen);
        }
    }
}

/// The evidence counts each report to a closed circuit or to a ramp, since its begin or its reset.
#[test]
fn the_evidence_is_every_report_since_it_began() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        let has_evidence = |status: &Status| {
            let is_open_to_calls = status.state == State::Closed || status.ramp_share.is_some();
            is_open_to_calls && status.mode == Mode::Normal
        };
        let mut expected = 0;
        for step in 0..STEPS {
            let before = status(&world.db);
            // Calls that a shadow would have rejected do not count.
            if before.mode != Mode::Normal {
                world.permits.clear();
                world.turn(Mode::Normal);
                world.db.reset_circuit().expect("registered");
                expected = 0;
                continue;
            }
            let done = world.step();
            let after = status(&world.db);
            if done.begins || !has_evidence(&before) {
                expected = 0;
            } else if done.is_counted {
                expected += 1;
            }
            if has_evidence(&after) {
                let counted = after.window_calls;
                assert_eq!(
                    counted,
                    Some(expected),
                    "seed {seed}, step {step}: {after:?}"
                );
            }
        }
    }
}

/// This holds for a disabled circuit, too, as soon as it is enabled.
#[test]
fn what_is_restored_is_what_was_saved() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..seed % STEPS {
            world.step();
        }
        let mode = status(&world.db).mode;
        let (_brama, db) = world.restored(mode);
        if mode == Mode::Disabled {
            assert_eq!(status(&db).state, State::Closed);
            db.configure(ConnectionOptions::new().mode(Mode::Normal))
                .expect("valid");
            world.turn(Mode::Normal);
        }
        let (mine, theirs) = (status(&world.db), status(&db));
        assert_same(&mine, &theirs);
    }
}

/// After any sequence, a circuit that is not held open closes when calls succeed again.
#[test]
fn no_circuit_is_stuck() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.turn(Mode::Normal);
        let now = status(&world.db);
        if now.state == State::Open && now.expiry.is_none() {
            continue;
        }
        let is_closed = (0..100).any(|_| {
            world.clock.advance(ms(2_000));
            if let Ok(permit) = world.db.acquire() {
                permit.success().expect("in time");
            }
            world.db.state() == State::Closed
        });
        assert!(is_closed, "seed {seed}: {now:?}");
    }
}
