//! What operations cost, how that was measured, and how to measure it again.
//!
//! # Which operation to use
//!
//! - A **handle** ([`Connection`](crate::Connection)) needs no look-up, and no hash. Keep
//!   one wherever a call is made often. By name, every operation pays for reading and
//!   hashing the name, for comparing it, and for the misses of a table that does not fit
//!   the caches. Names of 4 to 16 bytes, scope and identifier each, are the fastest.
//! - **Registering** without options is the shortest: the connection takes the place of a removed
//!   one, and nothing is resolved. With options, those in effect are worked out and kept.
//! - **Unregistering** pays for the safety of threads that look names up at that moment: once
//!   in 128 removals of a thread a system call (`membarrier`) interrupts the process's
//!   other threads for a moment.
//! - [`available`](crate::Connection::available) on a closed circuit is one load.
//! - A guarded call ([`acquire`](crate::Connection::acquire) and a report, or
//!   [`call`](crate::Connection::call)) by handle adds one to a total of its own thread. It reads a
//!   coarse clock, unless calls are so frequent that there is [a tick](#the-tick). If it
//!   succeeds, it writes no cache line that other threads' calls read, with [few
//!   exceptions](super::limits#shared-cache-lines). So threads that share a circuit don't slow
//!   each other down. The same holds for a guarded call by name: its permit holds no reference,
//!   and its report looks the connection up again.
//! - An **owned permit** ([`acquire_owned`](crate::Connection::acquire_owned)) counts a reference to
//!   the manager, on a line that the owned permits of all its connections share: two
//!   read-modify-writes. So it takes longer than a permit that borrows the handle. Use
//!   [`acquire`](crate::Connection::acquire) if the permit need not outlive the handle.
//! - A **failure** writes a shared cache line: all threads share the count of failures in a row.
//! - **Events** that no subscriber wants cost nothing. (The first report on a connection that
//!   was registered while there was no subscriber asks once.) Events that a subscriber wants cost
//!   the reporting thread a push into a ring, whatever the number of subscribers.
//! - **Delivery** is the dispatcher's work, and grows with the number of subscribers. The
//!   dispatcher makes an event once, with one allocation, and all subscribers share it. A queue
//!   without a filter function gets its events in batches, up to 32 events under one lock. A batch
//!   costs at most one system call for the threads that sleep until an event arrives, and one for a
//!   descriptor that is not readable yet. If no thread sleeps and the host has not drained the
//!   queue since, it costs none. A filter function makes a queue as expensive as a callback, which
//!   gets each event by itself.
//!
//! # Threads of one circuit
//!
//! Each thread counts its reports and rejections in a cell of its own. The first thread's lies in the
//! circuit; a second thread brings a block of lines for cells, one for each processor (4 to 64). What a
//! report costs depends on where the thread's cell lies:
//!
//! | the thread's cell | a report |
//! |---|---|
//! | the first one on its line, as for all threads of a process with few | the single-threaded price |
//! | on a line that others have taken, which are idle now | some tens of instructions more |
//! | on a line with others that report at the same time | waits for them |
//! | none: three live threads have taken the line, in the largest block | waits for all such threads |
//!
//! Threads that wait for each other on a line notice within some thousand reports. The circuit then
//! gets a block with four times the lines, up to 128, from the background thread (or
//! [`poll`](crate::Brama::poll)), as long as that helps. So 64 threads on 16 processors soon have a line
//! each, and one of the table's last two rows needs more than 128 or 384 threads. A thread that is idle
//! keeps its cell, of 32 bytes, and not the line. When it ends, the next new thread inherits the cell.
//!
//! The blocks of a circuit take 0.9 KB with 4 lines, 2.4 KB with 16, 8.6 KB with 64 and 17 KB with 128,
//! and stay as long as the circuit. A circuit that one thread uses has none.
//!
//! # The tick
//!
//! A success records its time, and reading the coarse clock for it takes longer than all the rest.
//! But that clock moves only once in 1 to 10 ms, depending on the kernel. So while a process
//! reports several thousand results in each of these ticks, the background thread of a manager
//! wakes once in each, and records that time has moved. A success that finds that time has not
//! moved reads no clock. Nor does a failure that is counted in a row only, opens nothing and has
//! no subscriber. One success in 64 reads the clock in any case, and so does one such failure in 64.
//!
//! - **What it changes.** The times of the last success and of the last failure lag by one tick more.
//!   So does the moment as of which a success counts for a rate over a time (`rate_window`), and the
//!   time of the last use that a cleanup sees. Waits, expiries, measured durations and events use the
//!   clock itself.
//! - **What it costs.** 5 to 20 µs of a core in each tick. No thread is started for it. About an eighth
//!   of a second after calls have become rare, the thread sleeps as before: an idle process is not
//!   woken.
//! - **Where there is none.** In managers without a background thread
//!   ([`background(false)`](crate::Builder::background)), unless another one of the process ticks;
//!   with a [`ManualClock`](crate::ManualClock); while the thread runs callbacks.
//! - **When the thread is late**, because of other threads, a debugger or a suspended container. A
//!   recorded time that is more than 20 ms behind is found by the 64th report of a thread on a
//!   connection at the latest (the 64th success, or the 64th failure), and whenever a rate is evaluated. It is then no longer used. For one
//!   `rate_window` after that, rates over a time open no circuit, since successes may be missing in
//!   them; failures in a row, windows and rates over the last calls still do. A cleanup waits for
//!   `inactive_threshold` and as long as the thread was ever late. There is no tick for a minute, and
//!   for twice as long after each further time, up to 17 hours.
//!
//! # Memory
//!
//! A connection takes 232 bytes, and 11 to 37 bytes of the index, depending on how full that is. A
//! name is extra if scope and identifier together have more than 24 bytes.
//! Settings and metadata of its own, several probes, a window, rates
//! ([how much](super::rules#what-it-costs)), and a second thread that reports ([how much](#threads-of-one-circuit))
//! take more, once each. So does the first reason that is reported: some 600 bytes, which lie ready, so that no
//! report allocates them.
//!
//! Records come from a pool of the process, shared by all managers. **It gives no memory back**: it
//! keeps what the largest number of connections at one time took, including those that were removed
//! and not yet reclaimed, for later connections. Each thread keeps up to 128 places in a list of
//! its own. The memory of the index, settings, metadata and long names is freed.
//!
//! In builds under a sanitizer or Miri (the build script sees that) there is no pool,
//! and records come from the allocator, so that these tools see what becomes of them.
//!
//! # How it is measured
//!
//! Contestants take turns in one process, in laps of a few milliseconds whose order
//! rotates; a figure is the median of the laps. Threads are pinned to a core each, live
//! as long as the race, pass a gate together, and the first one to finish stops the
//! others. With several threads a time is that of one operation as one of them sees it:
//! if threads don't disturb each other it stays the same.
//!
//! A disturbed lap is run again, a few times. A lap is disturbed if a thread waited for a core
//! for more than 3 % of it (`/proc/thread-self/schedstat`). It is also disturbed if the core was
//! slow before or after it. A core is slow if fixed arithmetic takes more than 1.15 times its
//! best time. A virtual machine's core is often half a core. While another program keeps the
//! other half busy, work of many instructions takes up to twice as long. A read-modify-write,
//! which waits, takes hardly longer. So disturbed laps would shift the ratios. Each bench says
//! how many laps of a median stayed disturbed.
//!
//! Floors are the parts that an operation cannot do without: an atomic load, one read-modify-write
//! (`fetch_add`), a reading of the coarse clock, reading and hashing a name. "To the
//! floor" is the ratio to the sum of those that apply. An epoch pin stands beside them:
//! operations by name need it only where the system has no `membarrier`.
//!
//! Peers are used as their authors intend, and where there is a choice, in the way that is fastest
//! for them:
//!
//! - Breakers: `recloser`, `failsafe`, `circuit_breaker`, `tower-resilience` (a service
//!   for each thread, polled busily), and a plain breaker behind a mutex, thirty lines as
//!   all threads write them. All are set so that the circuit stays as it is.
//!   `circuit_breaker` keeps neither totals nor times of successes.
//! - Maps: `papaya`, `dashmap`, `scc` and `hashbrown` behind an `RwLock`, all with
//!   `ahash`, from an owned name in one piece of memory to one word, found by a borrowed
//!   pair without an allocation. They keep no books and no settings for what they find.
//! - Rings: crossbeam's `ArrayQueue`, `concurrent-queue`, `thingbuf`.
//!
//! Names are random ones of those registered, and lie one after the other in memory in
//! the order in which they are asked for, so that what is measured is the look-up and
//! not the fetching of the question.
//!
//! Instructions are counted by callgrind, with a clock that stands still and fixed
//! secrets of the hash: the same in every run. Writes to shared cache lines are counted in
//! a trace of all memory accesses of two threads, of three, and of four: the number of times, at
//! most, that a line has to change sides for an operation of the thread that pays most.
//!
//! # Again, on your machine
//!
//! ```sh
//! cargo bench -p brama-bench                     # everything; writes the figures below
//! cargo bench -p brama-bench --bench hot_path -- success       # one group of one bench
//! BRAMA_BENCH_QUICK=1 cargo bench -p brama-bench               # whether all of it works
//! cargo bench -p brama-bench --bench summary                   # the figures, written again
//! cargo bench -p brama-bench --bench summary -- --check        # whether they are as they have to be
//! cargo bench -p brama-bench --bench instructions -- --check   # against the baseline
//! cargo bench -p brama-bench --bench instructions -- --rewrite # the counts become the baseline
//! BRAMA_BENCH_10M=1 cargo bench -p brama-bench --bench scaling # ten million connections
//! ```
//!
//! A whole run writes `benches/results/<machine>.json`, one file for each kind of machine, named by its
//! processor, the number of cores and the architecture. What was measured on another kind stays. A run of
//! one bench, or of a part of one, prints its figures and changes no file; nor does a quick one, whose
//! pages go to `target/brama-bench/trial`. From the results files come the pages and charts in
//! `src/docs/figures`, the table of the README and the list at the end of this chapter. The gate
//! compares them (`--check`) and measures nothing for that.
//!
//! The baseline of the instructions is `benches/instructions.baseline`. Counting them needs valgrind.
//!
//! ## From 1 to 16 threads
//!
//! The program `threads` measures what more threads cost, on one circuit and with a circuit each,
//! beside the same peers. Linked statically it is one file that runs on a machine without Rust or
//! this source, in some three minutes:
//!
//! ```sh
//! RUSTFLAGS="-C target-feature=+crt-static" cargo build --release -p brama-bench --bin threads \
//!     --target x86_64-unknown-linux-gnu
//! scp target/x86_64-unknown-linux-gnu/release/threads other: && ssh other ./threads
//! scp other:threads.json . && cargo bench -p brama-bench --bench summary -- --add threads.json
//! ```
//!
//! The last command keeps the results, and makes a page and charts of them. `threads --quick` shows in a
//! minute that the program works; `--threads 1,2,4` chooses the numbers of threads. Columns with more
//! threads than cores say so.
//!
//! A static program finds no function of the kernel by its name. It reads the clock through the C library,
//! which calls that function (no system call), by a detour of a quarter of the reading. So a guarded call
//! costs a little more there, alone and with others.
//!
//! # Reading the figures
//!
//! Where a target is not reached, its ratio is bold. Most are ratios to others, and these
//! differ from machine to machine, and with more laps disturbed than not also from hour to
//! hour: what waits for memory is slowed by what neighbours do to the shared cache, and no
//! lap is quiet enough to escape that. Some figures need an explanation:
//!
//! - **A guarded call.** Where there is no [tick](#the-tick), more than half of it is reading the
//!   clock, for the time of the last success; the fastest peer keeps neither times nor totals.
//! - **A rejected call** reads the coarse clock, always.
//! - **A failure** is one read-modify-write, for the count in a row, and without a
//!   [tick](#the-tick) a reading of the clock, for the time of the last. The total is the thread's own. A reason that is not that of the
//!   failure before is copied, which takes another read-modify-write. `recloser` keeps a rate and
//!   no time.
//! - **Names.** How many steps a probe takes cannot be guessed, and a wrong guess costs as
//!   much as the rest of a look-up in a table that fits the caches; so two slots are read
//!   at once and chosen from without a branch. A name that is not there is answered
//!   without touching a record.
//! - **Registration.** The maps keep a name and one word; a connection is a record of
//!   232 bytes with a state word, totals, times, settings and a name. What is left of it
//!   is seven read-modify-writes and a miss, for its place in the table.
//! - **From C.** A call through a loaded library is compared with the same of Rust's and
//!   what a bare call costs. A thread's own memory, where its index, its reader and its
//!   last rejection are, costs one call more there. By name, strings have to be measured.
//! - **Delivery to many queues.** Each queue costs three read-modify-writes and its own cache
//!   lines. A wake costs several times as much: a `write` to a descriptor, or the time in which
//!   the system puts a sleeping thread on a core. So let a few threads drain the queues of a
//!   program that has many.
//! - **Latency of a queue.** A callback runs on the dispatcher's thread; a queue wakes a
//!   second thread after it.
//! - **Kinds of machine differ.** Where a read-modify-write overlaps with other work, peers that live on
//!   such writes come closer with one thread, and the clock weighs more. The number of the processor's
//!   model is in a machine's name where its vendor's name says nothing.
//!
//! # Figures
//!
// Written by `cargo bench -p brama-bench --bench summary`.
//! [intel-xeon-model-167-2-cores-x86_64]: #intel-xeon-model-167-2-cores-x86_64
//!
#![doc = include_str!("figures/results.md")]
#![doc = include_str!("figures/intel-xeon-model-167-2-cores-x86_64.md")]
// Up to here.
