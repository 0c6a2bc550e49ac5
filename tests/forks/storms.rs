//! Forks while other threads do everything at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::common::counting::bytes_alive;
use crate::common::events::{all, queue_of};
use crate::common::forks::{a_bit_of_everything, check, halves, in_child, same, soon};
use crate::common::{alone, ms, wait_until};
use brama::{Brama, Config, Error, State};

/// Ends a storm when it is dropped, even if a child has failed.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `during` while three threads register, subscribe, poll and report to `brama`.
fn in_a_storm(brama: &Brama, during: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let go_on = || !over.load(Ordering::Relaxed);
        scope.spawn(move || {
            for n in 0_u64.. {
                let name = format!("storm {}", n % 300);
                if !go_on() {
                    break;
                }
                let _ = brama.register(&name, None);
                let _ = brama.failure(&name, "storm");
                let _ = brama.unregister(&format!("storm {}", (n + 150) % 300));
            }
        });
        scope.spawn(move || {
            while go_on() {
                let subscription = brama.subscribe(all(), |_| {}).expect("running");
                let batched = brama.subscribe_batched(all(), 3, |_| {}).expect("running");
                let queue = queue_of(brama, 4);
                queue.as_raw_fd().expect("there are some left");
                queue.drain(2);
                drop((subscription, batched, queue));
            }
        });
        scope.spawn(move || {
            while go_on() {
                brama.poll();
                for name in ["db", "storm 1", "storm 2"] {
                    brama.available(name);
                    let _ = brama.acquire(name).map(|permit| permit.failure(None));
                    let _ = brama.reset_circuit(name);
                    let _ = brama.status(name);
                }
            }
        });
        let _ends = Ends(&over);
        during();
    });
}

#[test]
fn two_hundred_forks_in_a_storm_and_no_child_hangs() {
    let _alone = alone();
    let brama = Brama::builder().event_capacity(64).build().expect("valid");
    brama.register("db", None).expect("a new name");
    let queue = queue_of(&brama, 16);
    in_a_storm(&brama, || {
        for number in 0..220 {
            in_child(|| {
                a_bit_of_everything(&brama, &format!("child {number}"))?;
                queue.drain(4);
                if number % 3 == 0 {
                    in_child(|| a_bit_of_everything(&brama, "grandchild"));
                }
                brama.shutdown();
                same("shut", brama.success("db"), Err(Error::ShutDown))
            });
        }
    });
    a_bit_of_everything(&brama, "parent").expect("it works");
    drop(queue);
    brama.shutdown();
}

/// At the moment of the fork, other threads of the parent register and unregister.
#[test]
fn connections_that_a_child_makes_are_each_their_own() {
    let _alone = alone();
    let brama = Brama::builder().background(false).build().expect("valid");
    let make = |tag: &str| {
        let connections = (0..400).map(|n| brama.register(&format!("{tag} {n}"), None));
        let connections: Vec<_> = connections.collect::<Result<_, _>>()?;
        for (n, connection) in (1..).zip(&connections) {
            for _ in 0..n % 4 {
                connection.failure("timeout")?;
            }
            connection.success()?;
        }
        for (n, connection) in (1..).zip(&connections) {
            let status = connection.status()?;
            if (status.total_failures, status.total_successes) != (n % 4, 1) {
                return Ok(Some(format!("{status:?}")));
            }
        }
        for n in 0..400 {
            brama.unregister(&format!("{tag} {n}"))?;
        }
        Ok::<_, Error>(None)
    };
    let found = |tag: &str| match make(tag) {
        Ok(None) => Ok(()),
        Ok(Some(wrong)) => Err(wrong),
        Err(error) => Err(error.to_string()),
    };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for who in ["one", "another"] {
            let (over, found) = (&over, &found);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    found(who).expect("in the parent");
                }
            });
        }
        let _ends = Ends(&over);
        for _ in 0..100 {
            in_child(|| {
                found("child")?;
                in_child(|| found("grandchild"));
                found("child")
            });
        }
    });
}

/// The standard library takes locks in threads that begin or end. If one is held at the moment of
/// the fork, the child can never take it. So the child's driver must start without these locks.
#[test]
fn the_child_of_a_process_whose_threads_begin_and_end_has_a_driver() {
    let _alone = alone();
    let brama = Brama::builder().build().expect("valid");
    let heard = Arc::new(AtomicBool::new(false));
    let _subscription = brama.subscribe(halves().connection("child's"), {
        let heard = heard.clone();
        move |_| heard.store(true, Ordering::Relaxed)
    });
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let many = [(); 32].map(|()| thread::spawn(|| ()));
                    for thread in many {
                        thread.join().expect("it does nothing");
                    }
                }
            });
        }
        let _ends = Ends(&over);
        for _ in 0..800 {
            in_child(|| {
                let own = brama.register("child's", None).expect("a new name");
                own.open_circuit("in the child", ms(1)).expect("registered");
                soon("expired", || heard.load(Ordering::Relaxed))?;
                brama.shutdown();
                same("shut", own.success(), Err(Error::ShutDown))
            });
        }
    });
}

#[test]
fn threads_that_were_pinned_do_not_keep_the_child_from_freeing() {
    let _alone = alone();
    let brama = Brama::builder().background(false).build().expect("valid");
    for n in 0..50_000 {
        brama.register(&format!("{n}"), None).expect("a new name");
    }
    let over = AtomicBool::new(false);
    let looks = [const { AtomicU64::new(0) }; 3];
    let looks_of_all = || {
        let looks = looks.iter().map(|looks| looks.load(Ordering::Relaxed));
        looks.min().expect("there are three")
    };
    thread::scope(|scope| {
        for looks in &looks {
            let (brama, over) = (&brama, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    // Pinned most of the time.
                    brama.state_counts();
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _ends = Ends(&over);
        for _ in 0..3 {
            let before = looks_of_all();
            wait_until("all have looked again", || looks_of_all() > before);
            in_child(|| {
                let churn = |pairs: u32| {
                    for n in 0..pairs {
                        let name = format!("churn {n}");
                        drop(brama.register(&name, None));
                        drop(brama.unregister(&name));
                    }
                };
                churn(20_000);
                let before = bytes_alive();
                churn(200_000);
                let more = bytes_alive() - before;
                check(more < 4 << 20, || {
                    format!("{more} bytes more after 200000 pairs")
                })
            });
        }
    });
}

#[test]
fn a_child_of_a_process_that_is_being_configured_obeys_what_it_shows() {
    let _alone = alone();
    let brama = Brama::builder().background(false).build().expect("valid");
    let db = brama.register("db", None).expect("a new name");
    let over = AtomicBool::new(false);
    let go_on = || !over.load(Ordering::Relaxed);
    thread::scope(|scope| {
        scope.spawn(|| {
            for attempts in [2, 1_000].into_iter().cycle().take_while(|_| go_on()) {
                let settings = Config::new().max_attempts(attempts);
                brama.configure(settings).expect("valid");
            }
        });
        scope.spawn(|| {
            while go_on() {
                db.failure(None).expect("registered");
                db.reset_circuit().expect("registered");
            }
        });
        let _ends = Ends(&over);
        for _ in 0..300 {
            in_child(|| {
                db.reset_circuit().expect("registered");
                let attempts = db.status().expect("registered").settings.max_attempts();
                db.failure(None).expect("registered");
                db.failure(None).expect("registered");
                let wanted = if attempts == Some(2) {
                    State::Open
                } else {
                    State::Closed
                };
                same("after two failures", db.state(), wanted)
            });
        }
    });
}
