//! `brama` ("gate") is a circuit breaker for programs that call other things: HTTP services,
//! databases, queues. It counts what succeeds and what fails, stops calls to what is failing, lets
//! a few probes through after some time, and closes the circuit again when they succeed.
//!
//! The core is lock-free. A call by handle through a healthy circuit takes no lock, allocates
//! nothing, and does not write to cache lines that other threads' calls read. The few exceptions
//! are [listed](docs::limits).
//!
//! # Quick start
//!
//! ```
//! use std::time::Duration;
//! use brama::{Brama, CallError, ConnectionOptions, State};
//!
//! # fn charge() -> Result<u32, String> { Err("HTTP 503".into()) }
//! # fn main() -> Result<(), brama::Error> {
//! let brama = Brama::builder().expiry(Duration::from_secs(30)).build()?;
//! let payments = brama.register("payment_api", ConnectionOptions::new().max_attempts(3))?;
//!
//! for _ in 0..10 {
//!     match payments.call(|| charge()) {
//!         Ok(receipt) => println!("paid: {receipt}"),
//!         Err(CallError::Inner(error)) => println!("failed: {error}"),
//!         Err(CallError::Rejected(r)) => println!("not tried, again in {:?}", r.retry_after),
//!         Err(error) => println!("{error}"),
//!     }
//! }
//! assert_eq!(payments.state(), State::Open);
//! assert_eq!(payments.status()?.total_failures, 3);
//! assert_eq!(payments.status()?.total_rejections, 7);
//! # Ok(())
//! # }
//! ```
//!
//! # The states of a circuit
//!
//! | state | calls | until |
//! |---|---|---|
//! | [closed](State::Closed), from the registration on | pass | a [rule](docs::rules) fires, the dependency [asks to be left alone](Connection::failure_for), or it is opened by hand |
//! | [open](State::Open) | are rejected, with the time after which to come back | its expiry is over, or it is closed, reset or half-opened by hand |
//! | [half-open](State::HalfOpen) | a limited number pass, the *probes*; then, with a [`ramp`](ConnectionOptions::ramp), a growing share | enough succeed: it closes. Or one fails: it opens again |
//!
//! Every operation sees the state as of now, on any thread, whether or not a background thread has
//! run.
//!
//! # Two ways to use a circuit
//!
//! - **Guarded calls**: [`Connection::call`], or [`Connection::acquire`] and a report on the
//!   [`Permit`]. A permit belongs to the state in which it was given. A report that comes when that
//!   state is gone changes the totals and nothing else.
//! - **Ask, call, report**: [`Connection::available`], then [`success`](Connection::success) or
//!   [`failure`](Connection::failure). Simpler to add to existing code, but the number of probes is
//!   not limited.
//!
//! # Which settings
//!
//! The defaults are for a circuit of which nothing is known. Where there are a few calls a second,
//! begin with these:
//!
//! ```
//! # use std::time::Duration;
//! # use brama::{Brama, Cause, ConnectionOptions, State};
//! # fn main() -> Result<(), brama::Error> {
//! # let brama = Brama::builder().background(false).build()?;
//! // Nine failures in a row, or half of at least 20 calls within 10 s; then 5 s open, two probes,
//! // and a growing share of the calls for 2 s.
//! let options = ConnectionOptions::new()
//!     .max_attempts(9)
//!     .failure_rate(0.5)
//!     .expiry(Duration::from_secs(5))
//!     .half_open_max_calls(2)
//!     .half_open_successes(2)
//!     .ramp(Duration::from_secs(2));
//! let users = brama.register("users", options)?;
//! for _ in 0..10 {
//!     users.success()?;
//!     users.failure("HTTP 503")?;
//! }
//! let status = users.status()?;
//! assert_eq!((status.state, status.cause), (State::Open, Some(Cause::FailureRate)));
//! assert_eq!((status.window_calls, status.window_failures), (Some(20), Some(10)));
//! # Ok(())
//! # }
//! ```
//!
//! # The guide
//!
//! | chapter | what is in it |
//! |---|---|
//! | [start](docs::start) | names, handles, guarded calls, what a call reports, rejections, status, control by hand, tests |
//! | [rules](docs::rules) | which rule, which numbers: for five kinds of dependency; all settings, modes, which level wins |
//! | [recovery](docs::recovery) | how an open circuit closes again: expiry, probes, a rate of failures, a ramp, nested calls |
//! | [events](docs::events) | callbacks and queues: what arrives, in which order, how it ends |
//! | [threads](docs::threads) | several threads, the background thread, forks |
//! | [processes](docs::processes) | several processes, servers that fork, circuits that outlive a process |
//! | [async](docs::async) | guarded calls of futures, cancellation, time-outs |
//! | [c](docs::c) | C and C++: linking, permits, versions, callbacks; other languages by way of C |
//! | [limits](docs::limits) | what is promised, with every exception; bounds; platforms |
//! | [performance](docs::performance) | what operations cost, and how that is measured |
//! | [outages](docs::outages) | what a breaker is worth, on nine outages of public record |
//! | [internals](docs::internals) | the inside, for those who change it |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `tracing` | `integrations::tracing::subscribe`: the events of a manager as `tracing` events with target `brama`, structured fields, a level for each type |
//! | `metrics` | `integrations::metrics::Exporter`: totals, changes of state, time spent open, for each connection, through the `metrics` facade |
//!
//! Both are off by default. Without them the library needs `crossbeam-epoch`, `arc-swap`, `libc` and
//! `once_cell`. (Epochs reclaim memory where the system has no `membarrier`.) `capi` is for the C
//! libraries.

// The floors. `docs::internals` says which imports from which.
mod circuit;
mod events;
#[cfg(feature = "capi")]
mod ffi;
#[cfg(any(feature = "metrics", feature = "tracing"))]
pub mod integrations;
mod manager;
mod reclaim;
mod structures;
mod sys;
mod values;

pub mod docs;

#[cfg(all(loom, test))]
mod models;

pub use circuit::record::{OpenFor, Status};
pub use events::bus::EventCounts;
pub use manager::builder::Builder;
pub use manager::classified::Classified;
pub use manager::connection::Connection;
pub use manager::permit::{Outcome, Permit};
pub use manager::subscription::{EventQueue, Subscription};
pub use manager::{Brama, StateCounts, default};
pub use sys::manual_clock::ManualClock;
pub use values::cause::Cause;
pub use values::error::{CallError, Details, Error, Invalid, Rejected, RejectionKind};
pub use values::event::{Event, EventFilter, EventType, Report};
pub use values::key::{Key, KeyBuf, MAX_NAME_BYTES};
pub use values::mode::{InitialState, Mode};
pub use values::settings::{
    Config, ConnectionOptions, ExpiryStrategy, MAX_HALF_OPEN_CALLS, MAX_WINDOW_ATTEMPTS, Metadata,
    Setting, Settings,
};
pub use values::state::State;
