//! What happens without a call: expiries and cleanup by the background thread
//! or by `poll`, on the machine's clock and on a manual one.
//!
//! A caller that looks at a circuit makes a due expiry happen, dated to when it was due. So
//! only the *event* shows that the driver did the work: the `expiry` arrives although no caller
//! looks. In tests of wakes, cleanup is off and no other deadline is near, so the driver would
//! sleep for ever without the wake. Tests use real time only where they test real time.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use crate::common::threads::{asleep, linux::listed};
use crate::common::{START, alone, manager_with, ms, wait_until};
use brama::{
    Brama, Config, Connection, ConnectionOptions, Error, Event, EventFilter, EventType,
    ManualClock, State, Subscription,
};

/// Lengths of 1 to 200 ms in no order.
fn expiries(count: u64) -> impl Iterator<Item = u64> {
    (0..count)
        .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40)
        .map(|n| n % 200 + 1)
}

// ---- real time ----

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(60);

/// A subscription to expiries, and the connection and time of each that is delivered.
fn expiries_of(brama: &Brama) -> (Subscription, mpsc::Receiver<(String, Instant)>) {
    let (tell, told) = mpsc::channel();
    let filter = EventFilter::new().types([EventType::Expiry]);
    let subscription = brama.subscribe(filter, move |event: &Event| {
        let _ = tell.send((event.connection().to_owned(), Instant::now()));
    });
    (subscription.expect("running"), told)
}

/// A manager that does nothing by itself except expiries.
fn idle_manager() -> Brama {
    let builder = Brama::builder().inactive_threshold(None);
    builder.build().expect("valid")
}

/// The name of a manager's background thread.
#[cfg(target_os = "linux")]
const DRIVER: &str = "brama-driver";

/// Waits until the only driver of the process sleeps.
#[cfg(target_os = "linux")]
fn wait_until_it_sleeps() {
    wait_until("the driver sleeps", || {
        let mut threads = listed();
        threads.retain(|thread| thread.name == DRIVER);
        assert!(threads.len() <= 1, "there is one");
        threads.first().is_some_and(|driver| driver.sleeps)
    });
}

#[test]
fn without_traffic_expiries_are_delivered_and_never_early() {
    let _alone = alone();
    let brama = idle_manager();
    let (_subscription, told) = expiries_of(&brama);
    let mut waiting: std::collections::HashMap<_, _> = expiries(300)
        .enumerate()
        .map(|(n, expiry)| {
            let options = ConnectionOptions::new().expiry(ms(expiry)).max_attempts(1);
            let name = format!("{n}");
            let db = brama.register(&name, options).expect("a new name");
            let begin = Instant::now();
            db.failure(None).expect("registered");
            (name, (begin, ms(expiry)))
        })
        .collect();
    let mut worst = Duration::ZERO;
    while !waiting.is_empty() {
        let (name, at) = told.recv_timeout(LONG).expect("it expires");
        let (begin, expiry) = waiting.remove(&name).expect("once");
        let lasted = at - begin;
        assert!(lasted >= expiry, "{lasted:?} of {expiry:?}");
        worst = worst.max(lasted - expiry);
    }
    println!("at most {worst:?} late");
}

#[test]
fn with_traffic_no_expiry_is_early_by_the_precise_clock() {
    let _alone = alone();
    for background in [false, true] {
        let brama = Brama::builder()
            .background(background)
            .build()
            .expect("valid");
        let mut waiting: Vec<_> = expiries(200)
            .enumerate()
            .map(|(n, expiry)| {
                let options = ConnectionOptions::new().expiry(ms(expiry)).max_attempts(1);
                let db = brama
                    .register(&format!("{n}"), options)
                    .expect("a new name");
                let begin = Instant::now();
                match n % 3 {
                    0 => db.open_circuit(None, ms(expiry)).expect("registered"),
                    1 => db.open_circuit(None, None).expect("registered"),
                    _ => drop(db.failure(None).expect("registered")),
                }
                (db, begin, ms(expiry))
            })
            .collect();
        wait_until("all have expired", || {
            waiting.retain(|(db, begin, expiry)| {
                if db.state() == State::Open {
                    return true;
                }
                let elapsed = begin.elapsed();
                assert!(elapsed >= *expiry, "{elapsed:?} of {expiry:?}");
                false
            });
            waiting.is_empty()
        });
    }
}

#[test]
fn two_times_of_one_moment_in_one_status_are_equal() {
    let _alone = alone();
    let brama = Brama::builder().background(false).build().expect("valid");
    let db = brama.register("db", None).expect("a new name");
    db.open_circuit(None, ms(60_000)).expect("registered");
    for _ in 0..200_000 {
        let status = db.status().expect("registered");
        assert_eq!(status.opened_at, status.last_state_change);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_opening_wakes_a_driver_that_sleeps() {
    let _alone = alone();
    wait_until("earlier tests' drivers are gone", || drivers() == 0);
    let brama = idle_manager();
    let (_subscription, told) = expiries_of(&brama);
    let db = brama.register("db", None).expect("a new name");
    wait_until_it_sleeps();
    // No subscriber wants openings, so the driver is woken for the deadline.
    db.open_circuit(None, ms(20)).expect("registered");
    assert_eq!(told.recv_timeout(LONG).expect("it expires").0, "db");
}

#[cfg(target_os = "linux")]
#[test]
fn an_earlier_deadline_wakes_a_driver_that_sleeps_until_a_later_one() {
    let _alone = alone();
    wait_until("earlier tests' drivers are gone", || drivers() == 0);
    let brama = idle_manager();
    let (_subscription, told) = expiries_of(&brama);
    let open = |name: &str| {
        let db = brama.register(name, None).expect("a new name");
        db.open_circuit(None, 10 * LONG).expect("registered");
        db
    };
    let (late, soon) = (open("late"), open("soon"));
    wait_until_it_sleeps();
    soon.open_circuit("re-armed", ms(20)).expect("registered");
    assert_eq!(told.recv_timeout(LONG).expect("it expires").0, "soon");
    assert_eq!(late.state(), State::Open);
}

/// Subscribes a callback, and returns once the driver is
/// inside it. The callback waits until the test sends `()`.
fn stuck(brama: &Brama) -> (Subscription, mpsc::Sender<()>) {
    let (entered, has_entered) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let filter = EventFilter::new().types([EventType::Success]);
    let subscription = brama.subscribe(filter, move |_| {
        let _ = entered.send(());
        let _ = may_go_on.recv();
    });
    let subscription = subscription.expect("running");
    let stuck = brama.register("stuck", None).expect("a new name");
    stuck.success().expect("registered");
    has_entered.recv().expect("it runs");
    (subscription, go_on)
}

/// The driver plans how long it sleeps, then runs a callback. Meanwhile a circuit opens,
/// and another thread may take it from the stack. The driver must still meet the deadline.
#[test]
fn what_another_thread_puts_into_the_plan_is_done_on_time() {
    let _alone = alone();
    type Take = fn(&Brama);
    let takes: [Take; 3] = [
        // No thread takes the circuit from the stack: the driver was awake, and has to look again.
        |_| (),
        |brama| brama.unregister("other").expect("registered"),
        // Inside the callback of another manager, `poll` does not wait for the driver.
        |brama| {
            let (poller, _clock) = manager_with(|b| b);
            let other = brama.clone();
            let polls = poller.subscribe(EventFilter::new(), move |_| other.poll());
            poller.register("x", None).expect("a new name");
            poller.poll();
            drop(polls);
        },
    ];
    for take in takes {
        let brama = idle_manager();
        let (_subscription, told) = expiries_of(&brama);
        let db = brama.register("db", None).expect("a new name");
        brama.register("other", None).expect("a new name");
        let (_stuck, go_on) = stuck(&brama);
        db.open_circuit(None, ms(20)).expect("registered");
        take(&brama);
        go_on.send(()).expect("it waits");
        assert_eq!(told.recv_timeout(LONG).expect("it expires").0, "db");
    }
}

// ---- a manual clock with the driver ----

#[test]
fn advancing_a_manual_clock_wakes_the_driver() {
    let _alone = alone();
    let clock = ManualClock::starting_at(START);
    let brama = Brama::builder()
        .clock(clock.clone())
        .inactive_threshold(ms(1_000))
        .cleanup_interval(ms(100))
        .build()
        .expect("valid");
    for round in 1..=20 {
        let db = brama.register("db", None).expect("a new name");
        let begin = clock.unix_ms();
        db.open_circuit(None, ms(500)).expect("registered");
        clock.advance(ms(500));
        db.success()
            .expect("if no driver was there: half-open, then closed");
        // From here on the connection is idle and has no handle. Only the driver can remove it.
        drop(db);
        wait_until("the driver has removed it", || {
            clock.advance(ms(100));
            brama.state("db") == State::Unknown
        });
        assert!(clock.unix_ms() >= begin + 1_500, "round {round}");
    }
}

#[test]
fn the_driver_does_an_expiry_at_the_manual_moment_it_is_due() {
    let _alone = alone();
    let clock = ManualClock::starting_at(START);
    let brama = Brama::builder()
        .clock(clock.clone())
        .inactive_threshold(ms(100))
        .cleanup_interval(ms(100))
        .build()
        .expect("valid");
    let (_subscription, told) = expiries_of(&brama);
    let db = brama.register("db", None).expect("a new name");
    brama.register("idle", None).expect("a new name");
    clock.advance(ms(50));
    db.open_circuit(None, ms(50)).expect("registered");
    clock.advance(ms(49));
    assert!(told.try_recv().is_err(), "not yet");
    clock.advance(ms(1));
    assert_eq!(told.recv_timeout(LONG).expect("it expires").0, "db");
    wait_until("the idle one is removed", || {
        brama.state("idle") == State::Unknown
    });
    let status = db.status().expect("its expiry was activity");
    assert_eq!(status.last_state_change, Some(START + 100));
}

#[test]
fn the_driver_ends_a_ramp_at_the_manual_moment_it_is_due() {
    let _alone = alone();
    let clock = ManualClock::starting_at(START);
    let builder = Brama::builder().clock(clock.clone()).ramp(ms(60));
    let brama = builder.build().expect("valid");
    let filter = EventFilter::new().types([EventType::CircuitClosed]);
    let events = brama.subscribe_queue(filter, 8).expect("valid");
    let db = brama.register("db", None).expect("a new name");
    db.half_open_circuit().expect("registered");
    db.acquire().expect("a probe").success().expect("in time");
    clock.advance(ms(59));
    assert!(events.try_next().is_none(), "not yet");
    clock.advance(ms(1));
    let closed = events.next_timeout(LONG).expect("it ends");
    assert_eq!(closed.timestamp(), START + 60);
}

// ---- without a thread ----

/// A subscription to expiries, and each that `poll` has delivered, with the time of delivery.
fn polled_expiries(brama: &Brama, clock: &ManualClock) -> (Subscription, Polled) {
    let polled = Polled::default();
    let (write, clock) = (polled.clone(), clock.clone());
    let filter = EventFilter::new().types([EventType::Expiry]);
    let subscription = brama.subscribe(filter, move |event: &Event| {
        let told = (event.connection().to_owned(), clock.unix_ms() - START);
        write.lock().expect("no panic").push(told);
    });
    (subscription.expect("running"), polled)
}

type Polled = Arc<Mutex<Vec<(String, u64)>>>;

#[test]
fn without_a_thread_poll_does_what_is_due_and_no_more() {
    let _alone = alone();
    let (brama, clock) = manager_with(|b| b);
    let (_subscription, polled) = polled_expiries(&brama, &clock);
    for n in 1..=100 {
        let db = brama.register(&format!("{n}"), None).expect("a new name");
        db.open_circuit(None, ms(n)).expect("registered");
    }
    for _ in 0..100 {
        clock.advance(ms(1));
        brama.poll();
    }
    let expected: Vec<_> = (1..=100).map(|n| (n.to_string(), n)).collect();
    assert_eq!(*polled.lock().expect("no panic"), expected);
}

#[test]
fn poll_finds_deadlines_that_moved_and_openings_that_ended_early() {
    let _alone = alone();
    let (brama, clock) = manager_with(|b| b);
    let (_subscription, polled) = polled_expiries(&brama, &clock);
    let open = |name: &str| -> Connection {
        let db = brama.register(name, None).expect("a new name");
        db.open_circuit(None, ms(100)).expect("registered");
        brama.poll();
        db
    };
    let (later, earlier, closed, gone) =
        (open("later"), open("earlier"), open("closed"), open("gone"));
    later.open_circuit(None, ms(150)).expect("registered");
    earlier.open_circuit(None, ms(50)).expect("registered");
    closed.close_circuit().expect("registered");
    brama.unregister("gone").expect("registered");
    for _ in 0..200 {
        clock.advance(ms(1));
        brama.poll();
    }
    let expected = [("earlier".to_owned(), 50), ("later".to_owned(), 150)];
    assert_eq!(*polled.lock().expect("no panic"), expected);
    assert_eq!(closed.state(), State::Closed);
    assert!(gone.status().is_err());
}

#[test]
fn cleanup_in_small_steps_removes_at_the_threshold() {
    let _alone = alone();
    let (brama, clock) = manager_with(|b| b.inactive_threshold(ms(1_000)).cleanup_interval(ms(10)));
    for n in 0..5_000 {
        brama.register(&format!("{n}"), None).expect("a new name");
    }
    for step in 1..=110_u64 {
        clock.advance(ms(10));
        if step == 50 {
            for n in 0..100 {
                brama.success(&format!("{n}")).expect("registered");
            }
        }
        brama.poll();
        let expected = if step < 100 { 5_000 } else { 100 };
        assert_eq!(brama.state_counts().closed, expected, "after {step} steps");
    }
    for _ in 111..=151 {
        clock.advance(ms(10));
        brama.poll();
    }
    assert_eq!(brama.state_counts().closed, 0);
}

// ---- the thread ----

/// The driver threads of this process.
#[cfg(target_os = "linux")]
fn drivers() -> usize {
    let threads = listed().into_iter();
    threads.filter(|thread| thread.name == DRIVER).count()
}

#[cfg(target_os = "linux")]
#[test]
fn shutdown_and_the_last_drop_join_the_thread() {
    let _alone = alone();
    // A thread that has been joined may stay listed for a moment.
    wait_until("earlier tests' drivers are gone", || drivers() == 0);
    let managers: Vec<_> = (0..10)
        .map(|_| Brama::builder().build().expect("valid"))
        .collect();
    let without = Brama::builder().background(false).build().expect("valid");
    wait_until("all have named themselves", || drivers() == 10);
    let handles: Vec<_> = managers
        .iter()
        .map(|brama| brama.register("db", None).expect("a new name"))
        .collect();
    managers[0].shutdown();
    managers[1].clone().shutdown();
    wait_until("two are gone", || drivers() == 8);
    drop(managers);
    wait_until("all are gone", || drivers() == 0);
    assert!(
        handles
            .iter()
            .all(|db| db.success() == Err(Error::ShutDown))
    );
    drop(without);
}

#[cfg(target_os = "linux")]
#[test]
fn a_shutdown_does_not_wait_for_the_driver_s_next_moment() {
    let _alone = alone();
    for clock in [None, Some(ManualClock::new())] {
        wait_until("earlier tests' drivers are gone", || drivers() == 0);
        let mut builder = Brama::builder().cleanup_interval(10 * LONG);
        if let Some(clock) = clock {
            builder = builder.clock(clock);
        }
        let brama = builder.build().expect("valid");
        let db = brama.register("db", None).expect("a new name");
        db.open_circuit(None, 10 * LONG).expect("registered");
        wait_until_it_sleeps();
        let done = asleep(move || brama.shutdown());
        done.recv_timeout(LONG).expect("it returns");
    }
}

#[test]
fn a_new_cleanup_interval_is_noticed_by_a_sleeping_driver() {
    let _alone = alone();
    let clock = ManualClock::starting_at(START);
    let brama = Brama::builder()
        .clock(clock.clone())
        .inactive_threshold(None)
        .build()
        .expect("valid");
    brama.register("db", None).expect("a new name");
    clock.advance(ms(60_000));
    let change = Config::new()
        .inactive_threshold(ms(1_000))
        .cleanup_interval(ms(1_000));
    brama.configure(change).expect("valid");
    wait_until("it is removed", || brama.state("db") == State::Unknown);
}
