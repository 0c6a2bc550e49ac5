//! What a breaker is worth: nine outages of public record, and how breakers do in them.
//!
//! Shopify published nine scenarios with its library semian: a service with 1 % errors, spikes,
//! sustained outages, one slow service of ten, and a slow query. A bench runs them in virtual time.
//! Every breaker sees the same calls, 300 a second by 60 workers. The bench draws the service, the
//! endpoint and the outcome of each call from a stated seed, before it asks the breaker. So it
//! knows whether a refused call would have succeeded. It counts two kinds of wrong decisions:
//!
//! - **A**, failing calls let through: calls to the degraded service, begun in a degraded phase, that
//!   were admitted and failed (an error, a time-out, or no place in the service).
//! - **B**, healthy calls not served: calls that would have succeeded, begun at any time, that were
//!   refused or found no free caller. "Outside" is the part that began in healthy phases.
//! - **A + B** is compared with the **best guess**: a breaker that knows the error rate at once,
//!   and lets all calls through or none.
//!
//! The columns:
//!
//! - **brama** is this library, through its public interface, under its manual clock. In all scenarios it
//!   has the settings that the chapter [`rules`](super::rules) begins with. With "no ramp" the circuit
//!   closes as soon as its probes have succeeded. With "defaults" it has no setting at all: five failures
//!   in a row, and 60 s open. The defaults are for a circuit of which nothing is known. The figures
//!   show how much better a few settings do.
//! - **semian** is a model of each of its two breakers, written from its source. Its *classic* breaker
//!   counts errors in 20 s and stays open for 15 s; 12, 2 or 3 errors open it, tuned by scenario. Its
//!   *adaptive* breaker refuses a share of the calls, which a controller sets once a second.
//! - **own** is a circuit for each worker and service, as semian has them. **shared** is one circuit for
//!   each service.
//!
//! A service answers in 0.1 s, two endpoints of ten in 0.35 s; a failure comes after 30 % of that. The
//! client gives up after 10 s. In the two slow scenarios there are 60 callers: a call that finds all of
//! them waiting is not served. In the slow query a service works on 15 calls at once, and a further one
//! waits for a second. Each outage is run with its published length, and with 0.75 to 1.5 times that,
//! by the seed.
//!
//! In "one of many" no breaker that waits for results can avoid about 2 300 of B: the first time-out
//! comes after 10 s, and by then all callers wait.
//!
//! ```sh
//! cargo bench -p brama-bench --bench outages              # writes the tables, here and in the README
//! cargo bench -p brama-bench --bench outages -- --check   # fails if they say something else
//! ```
//!
//! # Figures
//!
#![doc = include_str!("figures/outages.md")]
