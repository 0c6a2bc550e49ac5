//! The inside of the library, for those who change it: its floors, its words, which threads touch
//! which field, two walks through the code, and where its ideas come from.
//!
//! # Reading the source
//!
//! Each file begins with its purpose, the reasons for its design, and what was rejected. A good
//! order: `values/state.rs` (the decisions, as values), `circuit/record.rs` (the atomics that apply
//! them), `structures/table.rs`, `events/bus.rs`, `manager/driver.rs`.
//!
//! `.ci/run` is the gate that every change passes. It includes loom models of each lock-free
//! protocol (`src/models`), each with the mutations that it catches, and a minute of storms with
//! threads that are stopped at random instructions (`tests/storms/preempted.rs`). Ten minutes of
//! each storm:
//!
//! ```sh
//! BRAMA_STORM_SECONDS=600 cargo test --release --test storms preempted
//! ```
//!
//! # The floors
//!
//! Each folder of `src` is a floor. A file imports from its own floor and from those below it.
//! `tests/floors.rs` fails on an import that goes up.
//!
//! | floor | what is there | knows |
//! |---|---|---|
//! | `integrations` | `tracing` and `metrics` | the public interface |
//! | `ffi` | the C ABI: checks and translation only | everything |
//! | `manager` | the product: managers, handles, permits, guarded calls, the driver | everything but C |
//! | `events` | from a notice to a subscriber | circuits |
//! | `circuit` | one connection: its word, counts, probes, notices | no subscriber, no driver |
//! | `structures` | lock-free structures | no circuit |
//! | `reclaim` | memory that readers may still hold | nothing of what it frees |
//! | `values` | decisions and descriptions, without atomics | no thread |
//! | `sys` | atomics, clocks, threads, forks, descriptors | the system |
//!
//! A setting is a line of `values::settings::table`, whose top says how to add one.
//!
//! Beside the floors: `docs` (these chapters) and `models` (loom models of the protocols).
//! `tests/mutations` breaks each protocol in turn, and expects its model to notice.
//!
//! # The words
//!
//! | word | means |
//! |---|---|
//! | connection | what is registered: a name with a circuit |
//! | record | a connection in memory (`circuit::record`) |
//! | circuit | the state of a connection and what decides it |
//! | word | the 64 bits that hold state, trips, generation and payload (`values::state`) |
//! | generation | counts the changes of a word's state, modulo 8 192 |
//! | tally | the failures that count, as a value (`values::tally`) |
//! | parked | where the tally is while the circuit is not closed (`circuit::record::parked`) |
//! | trips | openings since the circuit was last healthy |
//! | watched | a closed circuit whose calls are measured, or whose reports need a place among the last calls |
//! | evidence | the reports that count for the rates (`circuit::record::rates`) |
//! | line, home line | 128 bytes with cells of up to three threads; the one of a block where a thread's cell is |
//! | stripe, lane | what one thread counts of a connection; the stripes that share their marks (`Totals::lane`) |
//! | mark | how many reports a lane had counted when a bucket of time began |
//! | entry | cause and length of the last opening (`circuit::record::last_opening`) |
//! | permit, ticket | an admission; what the library remembers of it |
//! | probe, lease | a permit of a half-open circuit; how long its place is kept for it |
//! | notice | what a reporter pushes onto the ring (`circuit::event_sink`) |
//! | event | what the dispatcher makes of a notice: once, and all subscribers share it |
//! | burst | a batch of events that a queue gets under one lock and with one wake (`events::bus::outbox`) |
//! | kept, droppable | types of events that must arrive, and those that may be dropped |
//! | missed, late | a kept event that found no room; its delivery from the record's present state |
//! | reporter | the thread of the caller that reports |
//! | dispatcher | the thread that delivers events; one at a time |
//! | driver | the manager's background thread, or a thread that does its work in `poll` |
//! | plan | the timers of the driver: when to look at which record |
//! | save, saved | the state of circuits as bytes (`values::saved`); a circuit as it was then |
//! | to wait | of what was saved: for the registration of its name (`manager::waiting`) |
//! | waker | wakes the driver (`structures::waker`) |
//! | pin, guard | a thread's announcement that it reads what other threads may retire |
//! | incarnation | how many forks lie between this process and the first |
//!
//! # Which threads touch which field of a record
//!
//! `R` is Relaxed, `A` Acquire, `L` Release. "All" are the threads of callers. The *opener* is the
//! thread that opens the circuit. The *configurer* gives settings, the *restorer* restores a save,
//! and the *remover* removes the connection.
//!
//! | field | written by | read by | ordering |
//! |---|---|---|---|
//! | `word` | threads that change the state, by exchange | all, with every operation | `AL` exchange, `A` load; `AL` addition of 0 by who must not miss a removal |
//! | `opening` | the opener or restorer, before the word | who stamps a rejection or an opening | `R`: a bound, not a message |
//! | `owner`, `cell`, `failures` | the thread that reported here first | `status` | `R`: a count is exact when its threads are joined. The cell's time and `last_failure` are compared with the tick word, see `sys::tick_word` |
//! | `stripes` | the second thread that reports, and a thread whose line is crowded | all that report | `L` publishes a block, `A` |
//! | `shared`, `ignored` | threads without a cell, all, by addition; the restorer, by exchange or as a maximum | `status` | `R` |
//! | `flags`: interest, token | subscribing threads, the first report, the dispatcher | all, with every operation | `R`, with `SeqCst` fences where a subscriber and a change must not miss each other |
//! | `flags`: visited, has a profile | reporters and cleanup; the configurer | cleanup; operations that need settings | `R` |
//! | `flags`: observers | who takes or ends an observer | `is_held` | `AL` to end, `A` to count |
//! | `limit` | the configurer, who finds it old | failures, calls of a watched circuit | `R`: the word says of which version it is |
//! | `profile` | the configurer | operations that need settings | arc-swap's |
//! | `touched_and_missed`: touched | all | cleanup | `R` |
//! | `touched_and_missed`: missed | reporters set bits; the dispatcher, the remover and who discards take them | the same | `AL` |
//! | `last_failure` | all, as a maximum | cleanup, `status` | `R` |
//! | `lasting` | the opener, moves a deadline or ends an opening, by exchange | rejections, `status`, events | `L`, `A`; see `circuit::record::last_opening` |
//! | `changed_at` | who changes the state, or reads that it changed | `status`, events, the next change | `L`, `A` |
//! | `references` | the table, handles, notices, the driver's stack | the last one frees | `R` to take, `L` to give back, `A` by the last |
//! | `delivered` | the dispatcher; the remover (forgotten, coming); the configurer (warned) | the dispatcher | `R`; a `SeqCst` fence where removal and registration must not miss each other |
//! | cold: `parked` | who counts or changes the state | the same, `status` | `AL` exchange, `A` loads before and after the word |
//! | cold: `probe` | probes | probes, cleanup | `AL` exchange |
//! | cold: `rare` | who gives settings, or reports the first reason, once | probes, failures, `status` | `L` publishes, `A` |
//! | rare: `rates` | who gives another window of a rate, by exchange | reports, `status` | see `structures::replaceable` |
//! | rare: `reasons` | who fails or opens with a reason, one thread at a time | rejections that are explained, `status` | see `structures::text_cell` |
//! | cold: `times` | the opener; the dispatcher (the time of the last event) | `status`; the dispatcher | `R`, the opening published by `changed_at` |
//! | cold: `link` | who leaves the record for the driver | the driver | `AL` |
//!
//! # Walk 1: a failure that opens a circuit, to the callback
//!
//! 1. `manager::permit`: `Permit::failure` takes the permit apart, and tries the short way.
//! 2. `circuit::record::reports::failure`: `try_failure` sees a subscriber, or a count that reaches the limit,
//!    and leaves it to `finish_failure`.
//! 3. `apply_failure` reads what is parked and the word (`parked::seen`), lets an expiry that is due
//!    happen (`transition::look`), and decides by values. `circuit::record::reports::counting` works out
//!    what counts with it, `values::trip_rule` and `values::rates` whether that opens,
//!    `values::expiry` for how long.
//! 4. `transition::leave_with`: one exchange of what is parked, one of the word. If either fails, from 3.
//! 5. Only then: the failure's time is written to the window, the opening's to the record
//!    (`transition::after_opening`), and a notice is made (`circuit::record::notify`).
//! 6. `events::bus` pushes the notice onto the ring; the record is left on the driver's stack; the
//!    driver is woken once (`structures::waker`).
//! 7. The driver (`manager::driver`) takes the record into its plan, so that the opening ends on
//!    time, and dispatches (`events::bus::dispatch`): it makes the notice's events and numbers
//!    them.
//! 8. `events::bus::outbox` finds the subscribers that want them. Queues get them in bursts
//!    (`events::subscriber_queue`), before any user code runs.
//! 9. `events::subscriber`: the filter, then the callback, inside a use gate
//!    (`structures::use_gate`), which one thread at a time enters.
//!
//! # Walk 2: `available` by name
//!
//! 1. `manager::engine` hashes the name (`values::key`) and pins (`reclaim`).
//! 2. `structures::table` finds the slot: fingerprints first, the record only if they agree. The record
//!    compares its own name (`circuit::record::inline_key`).
//! 3. `circuit::record::admission` loads the word. If it is that of a closed circuit, the answer is
//!    yes, and no clock is read.
//!
//! # Where the ideas come from
//!
//! | idea | source |
//! |---|---|
//! | circuit breaker, half-open | M. Nygard, *Release It!*, 2007 |
//! | ring with a stamp in each slot | D. Vyukov, *Bounded MPMC queue*; `crossbeam-queue` |
//! | open addressing with fingerprints, tombstones, resize by freezing slots | C. Click, *A Lock-Free Hash Table*, 2007; `papaya` |
//! | read sections with `membarrier` | M. Desnoyers and others, *User-Level Implementations of Read-Copy Update*, 2012; `seize` |
//! | epochs | K. Fraser, *Practical Lock-Freedom*, 2004; `crossbeam-epoch` |
//! | slab with magazines | J. Bonwick and J. Adams, *Magazines and Vmem*, 2001 |
//! | stack that is taken whole | R. K. Treiber, 1986 |
//! | striped counters | D. Lea, `LongAdder` |
//! | text between two looks at a sequence | H.-J. Boehm, *Can Seqlocks Get Along With Programming Language Memory Models?*, 2012 |
//! | helping to finish another thread's operation | M. Herlihy, *Wait-Free Synchronization*, 1991 |
//! | backoff with jitter | M. Brooker, *Exponential Backoff and Jitter*, 2015 |
//! | models of memory | B. Norris and B. Demsky, *CDSChecker*, 2013; `loom` |
