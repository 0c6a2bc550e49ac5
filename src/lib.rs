//! `brama` ("gate") keeps track of the health of an application's connections to
//! what it depends on, and stops calls to what is failing: circuit breaking,
//! self-healing, monitoring. The core is lock-free. A call by handle through a healthy
//! circuit takes no lock, allocates nothing, and does not write to cache lines that
//! other threads' calls read. The few exceptions are [listed](#what-is-promised).
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
//! A connection is **closed** (healthy) from its registration: calls pass. When
//! the trip rule says so it **opens**: calls are rejected, with a hint when to
//! come back. When its expiry is over it is **half-open**: a limited number of
//! calls, the probes, test the dependency. Enough successes close it; one failure
//! opens it again, for longer if the expiry is progressive.
//! [More of that below](#how-it-recovers).
//!
//! Time is part of the state. Every operation sees the state as of now, on any
//! thread, whether or not a background thread has run. Expiry is measured on the
//! monotonic clock: a wall-clock jump opens and closes nothing, and an opening is
//! never over before its time.
//!
//! # Two ways to use a circuit
//!
//! **Guarded calls**: [`Connection::call`], or [`Connection::acquire`] and a
//! report on the [`Permit`]. A permit knows in which state it was given. A result that
//! comes when that state is gone changes the totals and nothing else.
//!
//! ```
//! # use brama::Brama;
//! # fn ping() -> bool { true }
//! # fn main() -> Result<(), brama::Error> {
//! # let brama = Brama::builder().build()?;
//! # let db = brama.register("db", None)?;
//! let permit = db.acquire()?;
//! if ping() {
//!     permit.success()?;
//! } else {
//!     permit.failure("no answer")?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **Ask, call, report**: [`Connection::available`], then [`success`](Connection::success) or
//! [`failure`](Connection::failure). Simpler to add to existing code; half-open, every caller that
//! asks gets a yes, so the number of probes is not limited.
//!
//! **What a call reports.** `Ok` is a success, `Err` and a panic are failures. The rejection of a
//! circuit ([`Error::Rejected`], [`CallError::Rejected`]) says nothing about this
//! dependency and is ignored; [`call_with`](Connection::call_with) can decide otherwise. A
//! call that is cancelled is ignored, or a failure if it lasted
//! [`cancelled_after`](ConnectionOptions::cancelled_after).
//!
//! **When to come back.** [`Rejected::retry_after`] is a promise while the circuit is open: a
//! caller who waits that long and asks again is not refused because of the same opening. Half-open
//! it is a hint of at most 1 s: the time until the first lease ends, or the ramp does. It is `None`
//! if the circuit is held open until it is closed by hand.
//!
//! Every operation exists by name, on [`Brama`], and on a handle, [`Connection`], which costs no
//! look-up. A name is an identifier, or a scope and an identifier:
//!
//! ```
//! # use brama::{Brama, State};
//! # fn main() -> Result<(), brama::Error> {
//! # let brama = Brama::builder().build()?;
//! brama.register(("billing", "payment_api"), None)?;
//! assert!(brama.available(("billing", "payment_api")));
//! assert_eq!(brama.state("payment_api"), State::Unknown);
//! # Ok(())
//! # }
//! ```
//!
//! # When a circuit opens by itself
//!
//! By rules. A circuit may have several; the first one that fires opens it. They are asked when a
//! failure or a slow success is reported, not when time passes or a fast success arrives.
//!
//! | rule | settings | fires at |
//! |---|---|---|
//! | in a row | [`max_attempts`](ConnectionOptions::max_attempts) (5) | so many failures in a row |
//! | window | `max_attempts` and [`window`](ConnectionOptions::window) | so many failures within the window; a success clears it |
//! | count in time | the same, and [`success_clears_window(false)`](ConnectionOptions::success_clears_window) | so many failures within the window; only a recovery and a reset clear it |
//! | failure rate | [`failure_rate`](ConnectionOptions::failure_rate), [`rate_window`](ConnectionOptions::rate_window) (10 s), [`minimum_calls`](ConnectionOptions::minimum_calls) (20) | this share of failures, if there are `minimum_calls` reports within `rate_window` |
//! | slow calls | [`slow_call_duration`](ConnectionOptions::slow_call_duration), [`slow_call_rate`](ConnectionOptions::slow_call_rate), the same two | this share of calls that lasted so long, failed or not |
//! | last calls | [`rate_calls`](ConnectionOptions::rate_calls) in place of `rate_window` | the same shares of exactly the last so many reports |
//!
//! **[Which rule, which numbers](docs::rules)** has complete settings for five kinds of dependency,
//! and what rates count and cost. To begin with:
//!
//! ```
//! # use std::time::Duration;
//! # use brama::{Brama, Cause, ConnectionOptions, State};
//! # fn main() -> Result<(), brama::Error> {
//! # let brama = Brama::builder().background(false).build()?;
//! // Nine failures in a row, or half of at least 20 calls within 10 s; then 5 s open.
//! let options = ConnectionOptions::new()
//!     .max_attempts(9)
//!     .failure_rate(0.5)
//!     .expiry(Duration::from_secs(5))
//!     .half_open_max_calls(2)
//!     .half_open_successes(2);
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
//! **Counts.** Failures in a row do not fade with time. A window is exact: a failure of the window's
//! age no longer counts. A success clears both, so a dependency that fails every other call never
//! opens such a circuit.
//!
//! **Rates.** With fewer than `minimum_calls` reports in its window a rate opens nothing: a circuit that
//! has a rate alone and few calls never opens. A `failure_rate` takes the place of the default
//! `max_attempts`: failures in a row count beside it only if `max_attempts` or a `window` is given.
//! What counts was reported since the circuit closed or was reset last.
//!
//! A dependency may say itself how long it wants to be left alone, as HTTP does with
//! `Retry-After`. [`failure_for`](Connection::failure_for) opens the circuit at once and for so
//! long, whatever the settings say of failures.
//!
//! # How long calls last
//!
//! A call is measured from its admission to its report where
//! [`slow_call_duration`](ConnectionOptions::slow_call_duration) or
//! [`cancelled_after`](ConnectionOptions::cancelled_after) is set, from the next call on. The smaller
//! of the two decides by which clock. Below 100 ms it is the exact one, with the start rounded up and
//! the end down: no call is taken for longer than it was. From 100 ms on it is the coarse one, which
//! costs less and is off by less than one of its ticks, 1 to 10 ms.
//!
//! A report without a permit has a duration only if its reporter gives one:
//! [`success_in`](Connection::success_in), [`failure_in`](Connection::failure_in). On a permit, a
//! duration that is given takes the place of the measured one. Where no setting asks for durations,
//! one that is given changes nothing. [An example](docs::rules#a-database-pool).
//!
//! # Why it opened
//!
//! [`Status::cause`] and [`Event::cause`] say which of these opened the circuit, or that a failed
//! probe or a hand did. [`Status::reason`] is the text that came with the failure or the hand, up to
//! 256 bytes of it; [`Status::last_failure_reason`] that of the last failure that had one. A
//! rejection says the cause ([`Rejected::cause`]). [`Connection::why`] reads the reason when it is
//! wanted, and [`Connection::explain`] makes a message of all that is known.
//!
//! A guarded call takes the text of its error for the reason, where a subscriber listens for
//! failures or openings. Nothing is asked of the error's type: the text is known of texts, boxed
//! errors, `std::io::Error` and `std::fmt::Error`. For others
//! [`call_classified`](Connection::call_classified) gives a reason.
//!
//! If a rate is set, [`Status::window_calls`], [`Status::window_failures`] and
//! [`Status::window_slow`] say what counts now. Of a circuit that is not closed they say what counted
//! when it opened. [`Status::opened_failures`], and for a rate [`Status::opened_calls`] and
//! [`Status::opened_slow`], say what the rule that opened the circuit last had counted. They stay when
//! it closes.
//!
//! # How it recovers
//!
//! Half-open, [`half_open_max_calls`](ConnectionOptions::half_open_max_calls) permits may be out at
//! once. Each is a probe with a lease of [`probe_timeout`](ConnectionOptions::probe_timeout).
//! [`half_open_successes`](ConnectionOptions::half_open_successes) close the circuit and one failure
//! opens it, or a [share of failures](ConnectionOptions::half_open_failure_rate) decides. With a
//! [`ramp`](ConnectionOptions::ramp) the circuit then admits a growing share of the calls before it
//! closes. **[Recovery](docs::recovery)** says all of this in full, and which calls *ride*: a guarded
//! call inside a call of the same half-open circuit takes no place of its own.
//!
//! # Settings
//!
//! Global ones on the manager, others on the connection; the connection's win,
//! and a field that it did not set follows the global one also when that changes
//! later. Both can be changed at run time ([`Brama::configure`],
//! [`Connection::configure`]); the fields of one call take effect together, and
//! counts, deadlines and permits survive.
//!
//! Of `rate_window` and `rate_calls` the nearest level that names one decides, and one call cannot
//! give both. The same holds for `half_open_successes` and `half_open_failure_rate`. `minimum_calls`
//! above the `rate_calls` of another level is lowered to them.
//!
//! ```
//! # use std::time::Duration;
//! # use brama::{Brama, Config, ConnectionOptions};
//! # fn main() -> Result<(), brama::Error> {
//! # let brama = Brama::builder().build()?;
//! let db = brama.register("db", ConnectionOptions::new().max_attempts(2))?;
//! brama.configure(Config::new().max_attempts(9).expiry(Duration::from_secs(5)))?;
//! let settings = db.status()?.settings;
//! assert_eq!(settings.max_attempts(), Some(2));
//! assert_eq!(settings.expiry(), Duration::from_secs(5));
//!
//! let error = db.configure(ConnectionOptions::new().jitter(1.5)).unwrap_err();
//! assert_eq!(error.to_string(), "invalid setting `jitter` = 1.5: must be 0.0 to 1.0");
//! # Ok(())
//! # }
//! ```
//!
//! # Events
//!
//! To receive events, subscribe with a filter: by [type](EventType), connection, scope, or
//! a predicate. Events go to a callback ([`Brama::subscribe`], or
//! [`Brama::subscribe_batched`]), or to a queue that you drain
//! ([`Brama::subscribe_queue`]). The queue has a [file descriptor](EventQueue::as_raw_fd)
//! that an event loop can poll.
//!
//! ```
//! # use std::time::Duration;
//! # use brama::{Brama, EventFilter, EventType, State};
//! # fn main() -> Result<(), brama::Error> {
//! # let brama = Brama::builder().max_attempts(2).build()?;
//! # let db = brama.register("db", None)?;
//! let changes = EventFilter::new().types([EventType::StateChange]);
//! let logged = brama.subscribe(changes.clone(), |event| {
//!     println!("{}: {}", event.connection(), event.new_state());
//! })?;
//! let queue = brama.subscribe_queue(changes, 100)?;
//!
//! db.failure("timeout")?;
//! db.failure("timeout")?;
//!
//! let event = queue.next_timeout(Duration::from_secs(10)).expect("the circuit opened");
//! assert_eq!(event.new_state(), State::Open);
//! assert_eq!(event.reason(), Some("timeout"));
//! logged.unsubscribe();
//! # Ok(())
//! # }
//! ```
//!
//! A thread that reports never runs a subscriber and never waits for one. If any
//! subscriber wants the event, the reporting thread pushes a notice onto the manager's
//! ring. If none does, the check costs one load. Callbacks and predicates run on the
//! background thread, or on one that polls. They may call anything in this library. While
//! one runs, no other event of the manager is delivered. A panic in one is caught and
//! counted, and the others get the event.
//!
//! **What arrives.** `success`, `failure`, `probe` and `call_rejected` are *droppable*: under
//! overload they may be dropped, and every drop is counted. All other types are *kept*:
//! each is delivered at least once to every subscriber that it matches. Where there is no
//! room, a kept event is delivered late, and several of one type and connection become
//! one, which [says so](Event::is_coalesced):
//!
//! - **The ring is full** ([`event_capacity`](Builder::event_capacity) happenings), or the
//!   reporting thread has lost 32 consecutive races for a slot (about 60 µs under heavy
//!   contention). Kept events of one type and connection become one event, made later with
//!   the state that then holds, without reason and metadata. A connection that was
//!   registered since the ring ran full, and removed before any subscriber heard of it,
//!   leaves no event.
//! - **A queue is full** (the capacity given to `subscribe_queue`). The latest kept event of
//!   each type and connection stays, with the previous state of the first that it stands
//!   for, and comes after what waits. A connection that was registered and removed while
//!   the queue was full leaves no event.
//! - **A notice is outdated**: a thread was stopped between a change and its notice, and a
//!   later state was delivered first. The event then has the state that holds now.
//!
//! **In which order.** A subscriber hears of a registration before anything else of that
//! connection. If it hears of a registration, it hears of the removal, afterwards; whatever
//! is delivered even later says that the connection is gone
//! ([`State::Unknown`]). In a queue that wants removals nothing comes later: the removal stands
//! for it. [Sequence numbers](Event::sequence) of a connection grow in the
//! order of delivery, and the last event of a connection tells the state that holds. No
//! order is promised between connections. Nothing is kept for those who subscribe later,
//! and a [shutdown](Brama::shutdown) tells of no removal.
//!
//! **Memory** is bounded by the configured capacities plus the number of connections
//! (counting those that were registered when the ring or a queue filled up): each event is
//! bounded, because reasons are cut at 1 KiB and [metadata](Report) at 8 KiB.
//! [`Brama::event_counts`] counts every drop and every event that another one stands for.
//!
//! **Ending a subscription.** When [`Subscription::unsubscribe`] or its drop has returned,
//! the callback is not running and never will again, and what it held has been dropped: it
//! waits for a callback under way. Called from *user code* (a callback, a predicate, or the
//! destructor of one, of any manager) it waits for nothing. It returns at once, and the
//! promise holds from the moment that the callback under way returns. So does every call
//! that user code makes: none waits for user code of another manager.
//!
//! **The end.** [`Brama::shutdown`] delivers what waits and ends all subscriptions;
//! [`Brama::shutdown_within`] does so within a time, and says how many events were left.
//! The drop of the last [`Brama`] is a shutdown. The process-wide [default]
//! manager is never dropped: a program that wants its last events calls
//! `brama::default().shutdown_within(…)` before `main` returns. Until then the background
//! thread runs on, also while destructors of statics run.
//!
//! # By hand
//!
//! [`open_circuit`](Connection::open_circuit) for a maintenance window, for a time
//! of its own or for ever; [`close_circuit`](Connection::close_circuit),
//! [`half_open_circuit`](Connection::half_open_circuit),
//! [`reset_circuit`](Connection::reset_circuit), [`Brama::reset_all`].
//!
//! ```
//! # use brama::{Brama, OpenFor, State};
//! # fn main() -> Result<(), brama::Error> {
//! # let brama = Brama::builder().build()?;
//! # let db = brama.register("db", None)?;
//! db.open_circuit("migration", OpenFor::Never)?;
//! assert_eq!(db.acquire().unwrap_err().to_string(),
//!     "rejected: the circuit of \"db\" is held open until it is closed by hand (manual)");
//! db.reset_circuit()?;
//! assert_eq!(db.state(), State::Closed);
//! # Ok(())
//! # }
//! ```
//!
//! [`Brama::save`] returns the state of all circuits as bytes. [`Brama::restore`] brings circuits
//! into a saved state: those of the next process, say. A restore is a transition by hand, too. The
//! state of a name that is not registered waits for its registration.
//!
//! # The background thread
//!
//! A manager has one, unless built with [`background(false)`](Builder::background):
//! it lets expiries happen without traffic, and removes connections that were not used for
//! [`inactive_threshold`](Builder::inactive_threshold). It removes none that is open before
//! its time, none that is held open by hand, and none of which a handle exists. Without it call
//! [`Brama::poll`] now and then; every answer is the same either way. Tests plug in
//! a [`ManualClock`] and never sleep.
//!
//! The thread is called `brama-driver` and blocks all signals, so that signal handlers run
//! on threads of the program. Threads and processes that a callback starts inherit that
//! mask, and a fault in a callback (`SIGSEGV` and the like) ends the process without a
//! handler.
//!
//! If the system has no thread to give, the manager works as one without: it tries again
//! when there is work for the thread, [`Brama::subscribe`] answers [`Error::NoThread`]
//! instead of promising callbacks that would never run, queues are filled by those who take
//! from them, and [`background_running`](EventCounts::background_running) is false.
//!
//! # Forks
//!
//! After `fork` (pre-forking servers, `multiprocessing`) both processes go on, each
//! with its own copy of every manager. Whatever the other threads of the parent were
//! doing, no operation in the child waits for one of them. The parent notices nothing.
//!
//! - **State**: circuits, counts, deadlines, totals, settings, metadata, handles and
//!   permits are the child's as they were, and from then on its own. An operation
//!   that another thread was in the midst of may have happened or not.
//! - **The background thread** restarts in the child at the next use of the manager:
//!   any operation but those that meet a closed circuit and change nothing but its
//!   totals. It then does what falls due for all circuits, those included that were
//!   open at the fork.
//! - **Settings** that another thread was changing at the fork are the new ones or the old
//!   ones in the child. Its circuits obey them from the first turn of the background thread, or
//!   [`Brama::poll`], on; one that a failure is reported to before that, from that failure on.
//! - **Subscriptions** live on in both processes, each of which delivers its own
//!   changes. Events that wait at the fork, for the background thread, in a batch or
//!   in a queue, are the parent's; in the child queues are empty. (An event that had
//!   found the ring full, and a registration that was not delivered before the fork, may be
//!   delivered in both.) A parent that forks only to exit, to
//!   become a daemon, calls [`Brama::poll`] and drains its queues before.
//!   [`Brama::event_counts`] go on from the parent's; events that were on their way
//!   are missing in the child's balance.
//! - **Descriptors of queues** keep their number. In the child it refers to an object
//!   of its own, so that no wake-up crosses; register it again, with an epoll or
//!   kqueue of the child's own.
//! - **Shutting down** in the child ends what is the child's, and the same in the
//!   parent the parent's.
//!
//! A callback or filter that was running on another thread is cut off there in the
//! child, and is called again for the child's events. What it keeps is as it was at
//! that moment, and a lock that it held stays held: see to these as in any program
//! that forks. So do the standard library's own locks, which this library keeps clear
//! of and a callback may need: of the standard streams, thus also of the message of a
//! panic, of the environment, of threads that begin or end. A callback may `fork`
//! itself; when it returns in the child, the child goes on as described here, and its events
//! are delivered after that.
//!
//! The first use after a fork allocates, and may start a thread. A child leaves some
//! of the parent's memory unused, once for each fork between it and the first
//! process. Children that run another program need none of this and pay a few system
//! calls.
//!
//! Not supported: `fork` in a signal handler that interrupts this library; making
//! processes that go on with this library by `vfork`, `_Fork` or `clone`, which do
//! not run the handlers of `pthread_atfork`; closing a queue's descriptor by its number.
//!
//! # From C, and other languages
//!
//! Everything here can be had through a C ABI: `include/brama.h` is its manual, and
//! the crate also builds as a shared and as a static library. The README shows a
//! guarded call in C. A permit is there a plain struct that needs no free, and NULL
//! is the [process-wide manager](default); hosts to which a foreign call is expensive can
//! read a circuit's state without one.
//!
//! # Platforms
//!
//! - **Run**: all tests run on Linux on x86-64 with glibc.
//! - **Only checked** by the compiler, with each change: `i686-unknown-linux-gnu`,
//!   `aarch64-unknown-linux-gnu`, `aarch64-apple-darwin`, `x86_64-pc-windows-gnu`.
//! - **Neither**: all others. The library needs a processor with atomic operations on 64 bits.
//!
//! Where the system is no Unix there are no descriptors of queues, no signals to block, and no
//! forks to notice.
//!
//! # Features
//!
//! Off by default: `tracing` (events of a manager as `tracing` events) and `metrics`
//! (totals, states and time spent open, through the `metrics` facade). With one of
//! them there is a module `integrations`.
//!
//! # What is promised
//!
//! - **No lock** is taken by `available`, `acquire`, `success`, `failure` and the reports of
//!   permits once a connection is registered. No lock is held and nothing is pinned while
//!   your function runs.
//! - **Nothing is allocated** by them, whether or not there is a subscriber. The exceptions:
//!   1. A reason of more than 38 bytes, if a subscriber wants an event that carries it: one
//!      allocation of at most 1 KiB. [`Report::metadata`] allocates what it is given.
//!   2. An error that contains a name (`NotFound`, `AlreadyRegistered`).
//!   3. A thread's first use of the library, and the first use in the child of a
//!      [fork](crate#forks).
//!   4. Starting the background thread, where it is missing: in the child of a fork, or
//!      again after the system has refused one.
//!   5. Where the system has no `membarrier` (it came with Linux 4.14, and a filter may
//!      forbid it): an operation by name may do its share of freeing what was unregistered.
//! - **No shared cache line is written** by a guarded call that succeeds on a closed circuit,
//!   made with [`call`](Connection::call) or [`acquire`](Connection::acquire), by handle or by
//!   name. The exceptions: a *recently used* flag, set at most
//!   once per cleanup interval; the order of the calls, if the rates count
//!   [`rate_calls`](docs::rules#what-it-costs); and the total, for threads that found no
//!   cell of their own in it (a circuit has as many cells as the machine has processors, 4 to 64, and one
//!   more; a thread keeps the cell that it has taken).
//! - **Shared cache lines are written** by owned permits ([`Connection::acquire_owned`]): they
//!   count a reference to the manager when they are made and when they are reported, and cost
//!   [four times as much](docs::performance#which-operation-to-use). So do failures, probes, and
//!   every report that a subscriber wants to hear of.
//! - **Signal handlers** may read a circuit's state where C's pass word is
//!   ([from C](crate#from-c-and-other-languages)), and do nothing else with this library.
//!   Any other operation may find an expiry that has to be reported, which can start a thread;
//!   the first use by a thread allocates, and hangs if the handler has interrupted the
//!   allocator; a report that interrupts another one on the same thread may lose a count.
//! - If you install a seccomp filter on Linux, either allow `membarrier`, or make it fail
//!   with an error *before* the first manager is made: brama then uses its fallback. If it
//!   starts failing later, memory of connections unregistered after that point is leaked. A
//!   filter that kills the process on `membarrier` will do so.
//! - Handles and permits are safe to use after the connection was removed and
//!   after the manager was shut down.

// The floors, from the ground: each imports from those above it in this list only.
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
