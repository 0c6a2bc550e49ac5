//! Mistakes that random sequences have found, each as a fixed sequence.

use brama::{Brama, Builder, Config, ConnectionOptions, Error, ManualClock, State};

use crate::settings::ms;

fn manager() -> (ManualClock, Builder) {
    let clock = ManualClock::starting_at(0);
    let builder = Brama::builder().clock(clock.clone()).background(false);
    (clock, builder)
}

#[test]
fn an_expiry_has_the_time_it_was_due_whichever_call_saw_it_first() -> Result<(), Error> {
    let (clock, builder) = manager();
    let brama = builder.max_attempts(1).expiry(ms(1)).build()?;
    let db = brama.register("db", None)?;
    db.failure(None)?;
    clock.advance(ms(5));
    let status = db.status()?;
    assert_eq!(status.last_state_change, Some(1));
    assert_eq!(status.time_in_state, ms(4));
    Ok(())
}

#[test]
fn neither_a_past_success_nor_a_rejection_is_activity_at_the_next_cleanup() -> Result<(), Error> {
    let (clock, builder) = manager();
    let brama = builder
        .cleanup_interval(ms(1))
        .inactive_threshold(ms(50))
        .build()?;
    brama.register("succeeded", None)?.success()?;
    brama.register("rejected", None)?;
    brama.open_circuit("rejected", None, ms(1))?;
    assert!(brama.acquire("rejected").is_err());
    clock.advance(ms(51));
    brama.poll();
    assert_eq!(brama.snapshot(), []);
    Ok(())
}

#[test]
fn an_invalid_configure_registers_nothing_at_first_use() -> Result<(), Error> {
    let brama = manager().1.auto_register(true).build()?;
    let invalid = ConnectionOptions::new().max_attempts(0);
    let answer = brama.configure_connection("db", invalid);
    assert!(matches!(answer, Err(Error::InvalidConfig(_))));
    assert_eq!(brama.state("db"), State::Unknown);
    Ok(())
}

#[test]
fn ignoring_a_removed_connections_permit_is_not_found_also_after_the_lease() -> Result<(), Error> {
    let (clock, builder) = manager();
    let brama = builder.build()?;
    let db = brama.register("db", None)?;
    db.half_open_circuit()?;
    let permit = db.acquire()?;
    brama.unregister("db")?;
    clock.advance(ms(60_000));
    assert!(matches!(permit.ignore(), Err(Error::NotFound(_))));
    Ok(())
}

#[test]
fn a_lowered_half_open_max_calls_counts_the_probes_still_out() -> Result<(), Error> {
    let brama = manager().1.half_open_max_calls(2).build()?;
    let db = brama.register("db", None)?;
    db.half_open_circuit()?;
    let first = db.acquire()?;
    let second = db.acquire()?;
    first.ignore()?;
    brama.configure(Config::new().half_open_max_calls(1))?;
    assert!(matches!(db.acquire(), Err(Error::Rejected(_))));
    second.ignore()?;
    db.acquire()?.ignore()
}

#[test]
fn failures_between_two_windows_are_in_the_second() -> Result<(), Error> {
    let (_clock, builder) = manager();
    let brama = builder.build()?;
    let second = ms(1_000);
    let windowed = ConnectionOptions::new().window(second).max_attempts(256);
    let db = brama.register("db", windowed.clone())?;
    let fail = |times: u32| (0..times).try_for_each(|_| db.failure(None).map(drop));
    fail(250)?;
    db.configure(ConnectionOptions::new().window(None))?;
    fail(5)?;
    db.configure(windowed)?;
    assert_eq!(db.failure(None)?, 256, "all of them are a second young");
    assert_eq!(db.state(), State::Open);
    Ok(())
}

#[test]
fn the_first_failure_after_a_window_was_taken_away_has_a_time() -> Result<(), Error> {
    let (_clock, builder) = manager();
    let brama = builder.build()?;
    let db = brama.register("db", None)?;
    // Reports take the fast path from the second one on.
    db.success()?;
    brama.configure(Config::new().window(ms(1_000)))?;
    brama.configure(Config::new().window(None))?;
    db.failure(None)?;
    brama.configure(Config::new().window(ms(1_000)))?;
    assert_eq!(db.status()?.failure_count, 1);
    Ok(())
}

#[test]
fn an_opening_that_no_rate_led_to_has_no_evidence() -> Result<(), Error> {
    for calls in [false, true] {
        let (clock, builder) = manager();
        let builder = builder.failure_rate(0.5).minimum_calls(1);
        let brama = match calls {
            false => builder.build()?,
            true => builder.rate_calls(10).build()?,
        };
        let db = brama.register("db", None)?;
        let counted = || db.status().map(|status| status.window_calls);
        db.half_open_circuit()?;
        assert_eq!(counted()?, None, "it was not open");
        db.failure(None)?;
        assert_eq!((db.state(), counted()?), (State::Open, None), "by a probe");
        db.close_circuit()?;
        db.open_circuit(None, None)?;
        assert_eq!(counted()?, None, "by hand");
        db.close_circuit()?;
        db.failure(None)?;
        assert_eq!((db.state(), counted()?), (State::Open, Some(1)));
        clock.advance(ms(60_000));
        assert_eq!((db.state(), counted()?), (State::HalfOpen, Some(1)));
        db.failure(None)?;
        assert_eq!((db.state(), counted()?), (State::Open, None));
    }
    Ok(())
}

/// Generations wrap, and one that is half a round ahead seems to be older.
#[test]
fn the_last_calls_count_after_an_outage_of_thousands_of_probes() -> Result<(), Error> {
    for is_given_first in [true, false] {
        let brama = manager().1.build()?;
        let db = brama.register("db", None)?;
        let rate = || ConnectionOptions::new().failure_rate(1.0).rate_calls(10);
        if is_given_first {
            db.configure(rate())?;
            db.success()?;
        }
        for _ in 0..2_500 {
            db.half_open_circuit()?;
            db.failure(None)?;
        }
        db.close_circuit()?;
        db.configure(rate())?;
        db.success()?;
        db.failure(None)?;
        let status = db.status()?;
        let counted = (status.window_calls, status.window_failures);
        assert_eq!(counted, (Some(2), Some(1)), "{is_given_first}");
    }
    Ok(())
}

/// A circuit in a long ramp, with a window of a second.
fn ramping() -> Result<(ManualClock, Brama), Error> {
    let (clock, builder) = manager();
    let brama = builder.ramp(ms(10_000)).ramp_start(1.0).build()?;
    let db = brama.register("db", None)?;
    db.configure(ConnectionOptions::new().window(ms(1_000)))?;
    db.half_open_circuit()?;
    db.success()?;
    assert!(db.status()?.ramp_share.is_some());
    Ok((clock, brama))
}

#[test]
fn the_first_failure_of_a_ramp_is_in_the_window() -> Result<(), Error> {
    let (_clock, brama) = ramping()?;
    assert_eq!(brama.failure("db", None)?, 1);
    assert_eq!(brama.status("db")?.failure_count, 1);
    assert_eq!(brama.failure("db", None)?, 2);
    let opened = brama.status("db")?;
    assert_eq!((opened.state, opened.failure_count), (State::Open, 2));
    Ok(())
}

#[test]
fn a_failure_of_a_ramp_before_the_first_window_is_in_none() -> Result<(), Error> {
    let (_clock, builder) = manager();
    let brama = builder.ramp(ms(10_000)).ramp_start(1.0).build()?;
    let db = brama.register("db", None)?;
    db.half_open_circuit()?;
    db.success()?;
    assert_eq!(db.failure(None)?, 1);
    db.configure(ConnectionOptions::new().window(ms(1_000)))?;
    assert_eq!(db.failure(None)?, 1, "the first has no time");
    assert_eq!(db.state(), State::Open, "two in a row");
    Ok(())
}

#[test]
fn each_failure_of_a_ramp_has_a_place_of_its_own_in_the_window() -> Result<(), Error> {
    let (clock, brama) = ramping()?;
    for _ in 0..3 {
        assert_eq!(brama.failure("db", None)?, 1);
        assert_eq!(brama.status("db")?.failure_count, 1);
        brama.success("db")?;
        clock.advance(ms(1_500));
    }
    Ok(())
}

#[test]
fn the_last_calls_of_a_ramp_count_no_more_after_a_hand() -> Result<(), Error> {
    type Hand = fn(&Brama) -> Result<(), Error>;
    let hands: [Hand; 2] = [
        |brama| brama.close_circuit("db"),
        |brama| brama.reset_circuit("db"),
    ];
    for hand in hands {
        let builder = manager().1.failure_rate(1.0).rate_calls(10);
        let brama = builder.ramp(ms(1_000)).ramp_start(1.0).build()?;
        brama.register("db", None)?;
        brama.half_open_circuit("db")?;
        brama.success("db")?;
        brama.failure("db", None)?;
        assert_eq!(brama.status("db")?.window_calls, Some(1));
        hand(&brama)?;
        let closed = brama.status("db")?;
        assert_eq!(
            (closed.state, closed.window_calls),
            (State::Closed, Some(0))
        );
    }
    Ok(())
}

/// A sample always ends, even if its size changes or the rate is taken back. Whatever was reported
/// before, successes alone close the circuit or open it, and failures alone do so, too.
#[test]
fn a_sample_of_another_size_always_ends() -> Result<(), Error> {
    let sizes = [1, 2, 3, 5, 8];
    for (size, next) in sizes
        .iter()
        .flat_map(|size| sizes.map(|next| (*size, next)))
    {
        for rates in [
            (0.3, Some(0.3)),
            (1.0, Some(0.5)),
            (0.5, Some(1.0)),
            (0.7, None),
        ] {
            for reports in 0..1_u32 << (size - 1) {
                for succeeds in [false, true] {
                    let brama = manager().1.build()?;
                    let db = brama.register("db", None)?;
                    let sample = |size: u32, rate: Option<f64>| {
                        let options = ConnectionOptions::new().half_open_max_calls(size);
                        db.configure(options.half_open_failure_rate(rate))
                    };
                    sample(size, Some(rates.0))?;
                    db.half_open_circuit()?;
                    let report = |succeeds: bool| {
                        let permit = db.acquire().expect("a place");
                        match succeeds {
                            true => permit.success(),
                            false => permit.failure(None).map(drop),
                        }
                    };
                    for nth in 0..size - 1 {
                        if db.state() == State::HalfOpen {
                            report(reports >> nth & 1 == 1)?;
                        }
                    }
                    sample(next, rates.1)?;
                    for _ in 0..next {
                        if db.state() == State::HalfOpen {
                            report(succeeds)?;
                        }
                    }
                    let case = (size, next, rates, reports, succeeds);
                    assert_ne!(db.state(), State::HalfOpen, "{case:?}");
                }
            }
        }
    }
    Ok(())
}
