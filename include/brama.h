/*
 * brama.h: a circuit breaker, from C and C++.
 *
 * brama ("gate") tracks the health of a program's connections to its dependencies, and stops calls
 * to those that fail.
 *
 *     #include <brama.h>
 *     #include <stdio.h>
 *
 *     static bool charge(void) { return false; }  // the dependency
 *
 *     int main(void) {
 *         brama_connection_t *payments;
 *         brama_options_t options = BRAMA_OPTIONS_INIT;
 *         options.max_attempts = 3;
 *         if (brama_register(NULL, "payment_api", NULL, &options, &payments) != BRAMA_OK) {
 *             fprintf(stderr, "%s\n", brama_last_error_message());
 *             return 1;
 *         }
 *         brama_permit_t permit;
 *         if (brama_connection_acquire(payments, &permit, NULL) != BRAMA_OK)
 *             printf("not tried: %s\n", brama_last_error_message());
 *         else if (charge())
 *             brama_permit_success(permit);
 *         else
 *             brama_permit_failure(permit, "HTTP 503");
 *         brama_connection_release(payments);
 *         return 0;
 *     }
 *
 * Build with `cc program.c $(pkg-config --cflags --libs brama)`. If the library is in a folder that
 * the system does not search, such as $HOME/.local/lib, set PKG_CONFIG_PATH to its subfolder
 * pkgconfig, and add `-Wl,-rpath,$HOME/.local/lib`.
 *
 * This text cites chapters such as rules.md. They are in share/doc/brama below the prefix that the
 * library was installed in, and in src/docs of the source.
 *
 * STATES. The circuit of a connection is closed from the registration on: calls pass. A rule that
 * fires opens it: calls are rejected. When its expiry is over it is half-open: a limited number of
 * calls, the probes, test the dependency. Enough successes close it, one failure opens it again.
 * Time is part of the state: every function sees the state as of now, on any thread.
 *
 * RULES. A circuit may have several rules. They are evaluated when a failure or a slow success is
 * reported, and the first one that fires opens the circuit:
 *
 *     in a row        max_attempts failures in a row (5)
 *     window          max_attempts failures within window_ms; a success clears the window
 *     count in time   the same with success_clears_window 0: no success clears it
 *     failure rate    at least minimum_calls (20) reports within rate_window_ms (10000), and the
 *                     share failure_rate of them are failures
 *     slow calls      the same minimum, and the share slow_call_rate of the reports lasted
 *                     slow_call_duration_ms or longer, failed or not
 *     last calls      the same two shares, among exactly the last rate_calls reports
 *     Retry-After     brama_failure_for: the dependency asked to be left alone
 *
 * With fewer than minimum_calls reports no rate opens a circuit. A failure_rate replaces the
 * default of max_attempts, so give max_attempts, too. To begin with:
 *
 *     options.max_attempts = 9;         // failures in a row, or
 *     options.failure_rate = 0.5;       // half of at least 20 calls within 10 s;
 *     options.expiry_ms = 5000;         // then 5 s open,
 *     options.half_open_max_calls = 2;  // then two probes,
 *     options.half_open_successes = 2;  // of which both have to succeed,
 *     options.ramp_ms = 2000;           // then 2 s with a growing share of the calls
 *
 * rules.md has settings for five kinds of dependency, what rates count exactly, and what they cost.
 *
 * RECOVERY. half_open_max_calls probes may be out at once, and half_open_successes successes close
 * the circuit. With half_open_failure_rate only half_open_max_calls probes are admitted in all, and
 * the share of failures among them decides. With ramp_ms the circuit stays half-open for that long
 * after its probes have succeeded. Meanwhile it admits a share of the calls that grows from
 * ramp_start (0.1) to 1; two failures in a row, or a rate, open it again. recovery.md says this in
 * full.
 *
 * TWO WAYS. Guarded calls: acquire a permit, call, report on the permit. Or ask (brama_available),
 * call, report (brama_success, brama_failure). The second way is simpler to add to existing code,
 * but a half-open circuit then admits every caller that asks. Both ways exist by name and by
 * handle. A handle costs no look-up: keep one for a hot path. A report may return an error, such as
 * BRAMA_ERR_STALE for a permit whose state is gone. That is normal: a program may ignore the
 * results of reports, as the examples do.
 *
 * NAMES. A connection has an identifier, and optionally a scope: ("payment_api", NULL) and
 * ("payment_api", "billing") are different connections. Identifier and scope have 1 to 1024 bytes
 * of UTF-8 each. String arguments end with a NUL; functions whose name ends in _n take lengths
 * instead. The library copies what it keeps. All strings that the library returns end with a NUL,
 * and the function that returns one says how long it is valid.
 *
 * TEXT NEVER COSTS A REPORT. If a reason or the metadata of a report is no valid UTF-8 or too long,
 * the library makes it valid and cuts it. The report counts, and its event has
 * BRAMA_EVENT_TRUNCATED.
 *
 * POINTERS. A NULL manager is the default manager, and a NULL scope means that the connection has
 * none. No other pointer may be NULL unless its function says what NULL means. A function that is
 * given a NULL all the same does nothing: it returns BRAMA_ERR_INVALID_ARGUMENT, false or NULL.
 * The library cannot check other pointers. Nor can it check a permit that no function has filled
 * in: initialise a permit with BRAMA_PERMIT_INIT if a report may come before brama_acquire.
 * Functions that end in _init, _free, _release or _detach ignore NULL, and so does
 * brama_unsubscribe.
 *
 * ERRORS. A function that can fail returns brama_result_t: BRAMA_OK, which is 0, or a negative
 * code. If it returns a pointer instead, it returns NULL. After a failure,
 * brama_last_error_message() says what was wrong, and brama_last_error_code() is its code, on the
 * thread that made the call. Both also say why a form of brama_available was false, and why a form
 * of brama_state was BRAMA_STATE_UNKNOWN. A call that fails changes nothing, unless its function
 * says so.
 *
 * OWNERSHIP. The caller gives back once what a function has made, by the function of this table.
 * All other memory is the caller's own.
 *
 *     made by                                        given back by
 *     brama_new                                      brama_free
 *     brama_register, brama_get_or_register,         brama_connection_release
 *       brama_connection_get, _retain
 *     brama_subscribe, brama_subscribe_batched       brama_unsubscribe (ends it), or
 *                                                    brama_subscription_detach (leaves it)
 *     brama_queue_new                                brama_queue_free
 *     brama_snapshot_new                             brama_snapshot_free
 *     brama_save                                     brama_data_free
 *     brama_clock_new                                brama_clock_free
 *
 * Handles count their references, hence _release; everything else has one owner, hence _free.
 * Handles, subscriptions and queues may outlive their manager.
 *
 * STRUCTS. Initialise a struct before you fill it in, with BRAMA_X_INIT where it is declared or
 * with brama_X_init. Both set `size`, which tells a newer library which fields your program was
 * compiled with, and every other field to "not given" (BRAMA_NOT_GIVEN_...). BRAMA_INHERIT_...
 * takes a setting back that was given before.
 *
 * VERSIONS. As long as BRAMA_ABI_VERSION stays the same, structs with a size only grow at their
 * end, and constants keep their values. It changes with the minor version before 1.0, and with the
 * major version from then on. The SONAME is libbrama.so.0.MINOR before 1.0 and libbrama.so.MAJOR
 * from then on, so a program finds a library that it can work with, or none. A program that loads
 * the library itself compares brama_abi_version() with BRAMA_ABI_VERSION. A program that sets a
 * field which an older library does not know gets BRAMA_ERR_INVALID_ARGUMENT.
 *
 * TIME. Lengths of time are in milliseconds, in uint64_t named ..._ms. A length above INT64_MAX,
 * such as a negative difference, is refused in settings, expiries, durations and wait_ms, unless it
 * is one of the constants that the field or argument allows. Times are Unix milliseconds, made of
 * the monotonic clock: a wall-clock jump opens and closes nothing. An opening that would last
 * longer than 34 years lasts until it is closed by hand.
 *
 * THREADS. Every function may be called from any thread at any time, with two exceptions. The call
 * that gives something back (OWNERSHIP) must be the last use of it, on any thread. Only one thread
 * at a time may drain a given queue, or take from a given snapshot.
 *
 * Asking, admitting and reporting never wait and take no lock. They allocate if a subscriber wants
 * the event and its reason is longer than 38 bytes or it has metadata. limits.md has the few other
 * cases, such as the first use by a thread.
 *
 * These functions may wait for a callback that is running on another thread: brama_poll (and
 * brama_queue_drain and brama_queue_wait where no background thread runs), brama_shutdown,
 * brama_free, brama_unsubscribe, brama_unsubscribe_matching, brama_queue_close, brama_queue_free,
 * and brama_shutdown_within until its time is over. Do not call them with a lock held that a
 * callback takes. Called from a callback they wait for nothing.
 *
 * A manager's background thread is called "brama-driver" and blocks all signals. If the system
 * refuses to start it, brama_subscribe returns BRAMA_ERR_UNSUPPORTED,
 * brama_event_counts_t.background_running is 0, and everything else works as in a manager without
 * a background thread.
 *
 * SIGNAL HANDLERS. A handler may read a pass word (brama_connection_pass_word, obtained before).
 * It must call no function of this library: an expiry that it finds may be reported, which can
 * start a thread; the first use by a thread allocates; a report that interrupts another may lose a
 * count.
 *
 * CANCELLED THREADS. Do not cancel a thread (pthread_cancel) while it is inside a function of this
 * library: disable cancellation, or cancel where you wait for the dependency. If a thread is
 * cancelled there, its cleanup handler reports brama_permit_cancelled.
 *
 * INTERPRETERS. Callbacks run on a foreign thread. An interpreter with a lock or with per-thread
 * state (Python, Ruby, Perl, R, Node) must not run its code there: it deadlocks or dies. Use
 * instead: a queue that one of the interpreter's threads drains (brama_queue_fd wakes event loops);
 * brama_snapshot_new in place of brama_for_each where a callback is awkward; permits by pointer
 * (the functions that end in _at); and brama_connection_pass_word.
 *
 * CALLBACKS run on the manager's background thread, or on a thread that calls a function that may
 * wait (THREADS); never on a thread that reports. They may call anything in this library, and none
 * of their calls waits for another callback, of this manager or any other. They must return: no
 * longjmp and no C++ exception may leave them. On the background thread all signals are blocked,
 * also in threads and processes that a callback starts there. A fault in such a callback ends the
 * process without a handler.
 *
 * EVENTS. success, failure, probe and call_rejected may be dropped under overload, and every drop
 * is counted. All other types are delivered at least once to every subscriber that they match.
 * Where there is no room, the events of one type and connection are merged into the latest of them
 * (BRAMA_EVENT_COALESCED), which arrives late. A connection that was registered and removed
 * meanwhile leaves none.
 *
 * A subscriber that received the registration of a connection receives its removal, too, later.
 * After the removal, late events of the connection may follow: their new_state is
 * BRAMA_STATE_UNKNOWN. A queue whose filter lets removals pass gets no such events. The capacities
 * and the number of connections bound the memory, since reasons and metadata are bounded, too
 * (brama_report_t).
 *
 * THE END OF THE PROCESS. exit() and a return from main deliver nothing. The background thread runs
 * until the system ends it, also while atexit functions and destructors of static objects run. So
 * call brama_shutdown_within(manager, timeout_ms, &left), with NULL for the default manager, before
 * that: if the program wants its last events, or if its callbacks use what such functions destroy.
 * The call may be registered with atexit. Functions that were registered later, and destructors of
 * static objects that were made later, have then run already.
 *
 * FORK. In the child of a fork() everything goes on with the state that it had: managers, handles,
 * permits, subscriptions, queues. The background thread restarts by itself. Events that were
 * waiting are the parent's. The descriptor of a queue keeps its number and belongs to the child:
 * register it again with an event loop.
 */

#ifndef BRAMA_H
#define BRAMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- The version --------------------------------------------------------------------- */

/** The version of this header. */
#define BRAMA_VERSION_MAJOR 0
#define BRAMA_VERSION_MINOR 1
#define BRAMA_VERSION_PATCH 0
#define BRAMA_VERSION_STRING "0.1.0"

/** The version as one number, for #if: 1002003 is 1.2.3. */
#define BRAMA_VERSION \
    (BRAMA_VERSION_MAJOR * 1000000 + BRAMA_VERSION_MINOR * 1000 + BRAMA_VERSION_PATCH)

/** The version of the binary interface that this header describes. */
#define BRAMA_ABI_VERSION 1

/**
 * Before every declaration. Define it yourself before you include this header if your
 * compiler needs something else.
 */
#ifndef BRAMA_API
#if defined(_WIN32) && !defined(BRAMA_STATIC)
#define BRAMA_API __declspec(dllimport)
#elif defined(__GNUC__)
#define BRAMA_API __attribute__((visibility("default")))
#else
#define BRAMA_API
#endif
#endif

/** Before functions whose answer must be looked at. */
#ifndef BRAMA_MUST_USE
#if defined(__GNUC__)
#define BRAMA_MUST_USE __attribute__((warn_unused_result))
#else
#define BRAMA_MUST_USE
#endif
#endif

/**
 * Returns the version of the library that is loaded, such as "0.1.0". That of the header is
 * BRAMA_VERSION_STRING. Never NULL, valid for ever.
 */
BRAMA_API const char *brama_version(void);

/**
 * Returns the version of the binary interface of the library that is loaded: the minor version
 * before 1.0, and major * 1000 from then on. A program works with the library if this equals the
 * header's BRAMA_ABI_VERSION.
 */
BRAMA_API uint32_t brama_abi_version(void);

/* -- Results and errors -------------------------------------------------------------- */

/*
 *     if (brama_success(NULL, "no such name", NULL) != BRAMA_OK)
 *         fprintf(stderr, "%s\n", brama_last_error_message());
 */

/** What a function returns: BRAMA_OK, or one of the negative BRAMA_ERR_ values. */
typedef int32_t brama_result_t;

/** Done. */
#define BRAMA_OK 0
/** An argument is NULL, not UTF-8, or out of its range. Nothing was done. */
#define BRAMA_ERR_INVALID_ARGUMENT (-1)
/** No connection of this name is registered (any more). */
#define BRAMA_ERR_NOT_FOUND (-2)
/** A connection of this name is registered already, and was left as it is. */
#define BRAMA_ERR_ALREADY_REGISTERED (-3)
/** The circuit does not admit the call. */
#define BRAMA_ERR_REJECTED (-4)

/**
 * The state that the permit was given in is gone: the report was counted in the totals and changed
 * nothing else. This is normal and may be ignored.
 */
#define BRAMA_ERR_STALE (-5)

/** A setting is out of its range. Nothing was changed. */
#define BRAMA_ERR_INVALID_CONFIG (-6)
/** The manager was shut down. */
#define BRAMA_ERR_SHUT_DOWN (-7)
/** A defect of the library was met. It is contained: other calls still work. */
#define BRAMA_ERR_PANIC (-8)
/** The operating system does not support, or refuses, what this function needs. */
#define BRAMA_ERR_UNSUPPORTED (-9)

/**
 * There is no memory for something of a size that the caller chose, or for what the operating
 * system has to make. If the process runs out of memory in any other place, it is aborted.
 */
#define BRAMA_ERR_OUT_OF_MEMORY (-10)

/** A limit of the process or the system is reached, such as that of open files. */
#define BRAMA_ERR_LIMIT (-11)

/**
 * Returns what a result code means in general: a short English text without details, even for
 * numbers that are no code. Never NULL, valid for ever.
 */
BRAMA_API const char *brama_strerror(brama_result_t result);

/**
 * Returns the code of this thread's last call that failed: one of the BRAMA_ERR_ values, or
 * BRAMA_OK if none has failed. Calls that succeed leave it as it is. It is of use after functions
 * that return a pointer or a bool.
 */
BRAMA_API brama_result_t brama_last_error_code(void);

/**
 * Returns what was wrong in this thread's last call that failed: the argument, its value and what
 * is allowed, such as
 *
 *   invalid setting `jitter` = 1.5: must be 0.0 to 1.0
 *
 * Of a rejection it says the connection's name, up to 40 bytes of it, the cause of the opening,
 * what the rule had counted, and the reason:
 *
 *   rejected: the circuit of "db" is open (failure_rate, 12 of 20 calls failed: timeout),
 *   retry after 5s
 *
 * The library looks these four up in the first call of brama_last_error_message,
 * brama_last_error_cause or brama_last_error_reason after the rejection, so they are as of that
 * call. Later calls return the same, until another call fails. The wait is as of the rejection. If
 * the connection was removed before that first call, the message has none of the four.
 *
 * Never NULL; "" if no call of this thread has failed. Calls that succeed leave it as it is. Valid
 * until the next call of this thread that fails, or until the thread ends.
 */
BRAMA_API const char *brama_last_error_message(void);

/* -- States, types of events, numbers with a meaning --------------------------------- */

/*
 * NUMBERS WITH A MEANING. Use the constant for the type of the field:
 *
 *     -1   BRAMA_NEVER, BRAMA_UNLIMITED   without an end, without a limit
 *     -2   BRAMA_NOT_GIVEN_...            the setting stays as it is
 *     -3   BRAMA_INHERIT_...              the setting is taken back
 *     -4   BRAMA_NONE                     no value
 *
 * The number on the left is the value of the constant as a signed number, at each width. So a
 * constant that C cuts to the width of a narrower field keeps its meaning. A setting refuses a
 * constant that means nothing for it.
 *
 * A 32-bit constant in a field of type uint64_t does not keep its meaning: BRAMA_NOT_GIVEN_U32 is
 * 4294967294 there. Settings, expiries, waits and durations refuse 4294967294 and 4294967293, which
 * is BRAMA_INHERIT_U32. They take BRAMA_UNLIMITED as the number 4294967295.
 *
 * A double has constants of its own: BRAMA_NOT_GIVEN_F64, BRAMA_INHERIT_F64 and BRAMA_NONE_F64. A
 * setting of type double refuses the constants for whole numbers.
 */

/** The bit of an event type in brama_filter_t.event_types. */
#define BRAMA_EVENT_BIT(event_type) (UINT32_C(1) << (event_type))

/** In brama_filter_t.scope and brama_for_each: only connections without a scope. */
#define BRAMA_NO_SCOPE ""
/** Instead of the length of a string: it ends with a NUL. */
#define BRAMA_TERMINATED SIZE_MAX

/** A number that was not given, in a field of type uint32_t. */
#define BRAMA_NOT_GIVEN_U32 UINT32_C(0xfffffffe)
/** A number that was not given, in a field or argument of type uint64_t. */
#define BRAMA_NOT_GIVEN_U64 UINT64_C(0xfffffffffffffffe)
/** A choice that was not given, in a field of type int32_t. */
#define BRAMA_NOT_GIVEN_I32 (-2)
/** A number that was not given, in a field of type int64_t. */
#define BRAMA_NOT_GIVEN_I64 (-2)
/** A number that was not given, in a field of type double. */
#define BRAMA_NOT_GIVEN_F64 (-1.0e300)

/**
 * Takes a setting of type uint32_t back: a connection follows its manager again, a manager the
 * default.
 */
#define BRAMA_INHERIT_U32 UINT32_C(0xfffffffd)

/** Takes a setting of type uint64_t back. */
#define BRAMA_INHERIT_U64 UINT64_C(0xfffffffffffffffd)
/** Takes a setting of type int32_t back. */
#define BRAMA_INHERIT_I32 (-3)
/** Takes a setting of type double back. */
#define BRAMA_INHERIT_F64 (-2.0e300)

/**
 * `max_attempts` of a circuit that no number of failures opens. Without a rate it never opens by
 * itself.
 */
#define BRAMA_UNLIMITED UINT32_C(0xffffffff)

/** A time that never comes or a wait that never ends. */
#define BRAMA_NEVER UINT64_C(0xffffffffffffffff)
/** No value: the time of something that has not happened, a window that is not set. */
#define BRAMA_NONE UINT64_C(0xfffffffffffffffc)

/** No value, in a field of type double: a rate that is not set. */
#define BRAMA_NONE_F64 (-3.0e300)

/** The state of a circuit: one of the BRAMA_STATE_ values. */
typedef int32_t brama_state_t;

/** Not registered. */
#define BRAMA_STATE_UNKNOWN 0
/** Healthy: calls pass. */
#define BRAMA_STATE_CLOSED 1
/** Failing: calls are rejected. */
#define BRAMA_STATE_OPEN 2

/**
 * Probing: a limited number of calls test whether the dependency recovered. Then it may
 * ramp up: a growing share of the calls passes.
 */
#define BRAMA_STATE_HALF_OPEN 3

/** What an event is about: one of the BRAMA_EVENT_ values. */
typedef int32_t brama_event_type_t;

/** The circuit's state changed. */
#define BRAMA_EVENT_STATE_CHANGE 1

/**
 * A connection was registered. A BRAMA_EVENT_CONNECTION_REGISTERED with the same content follows
 * it: subscribe to that one, the counterpart of BRAMA_EVENT_CONNECTION_REMOVED.
 */
#define BRAMA_EVENT_REGISTRATION 2

/** A failure was reported. May be dropped under overload. */
#define BRAMA_EVENT_FAILURE 3
/** A success was reported. May be dropped under overload. */
#define BRAMA_EVENT_SUCCESS 4
/** An opening reached its end. */
#define BRAMA_EVENT_EXPIRY 5
/** A connection was removed because it was not used. */
#define BRAMA_EVENT_CLEANUP 6
/** The circuit opened, or an open one was given another deadline. */
#define BRAMA_EVENT_CIRCUIT_OPENED 7
/** The circuit closed. */
#define BRAMA_EVENT_CIRCUIT_CLOSED 8
/** The circuit was reset. */
#define BRAMA_EVENT_CIRCUIT_RESET 9

/**
 * A connection was registered. Comes right after BRAMA_EVENT_REGISTRATION, with the same content.
 */
#define BRAMA_EVENT_CONNECTION_REGISTERED 10

/** A connection was unregistered. */
#define BRAMA_EVENT_CONNECTION_UNREGISTERED 11
/** The circuit admits probes. */
#define BRAMA_EVENT_CIRCUIT_HALF_OPENED 12
/** A connection was removed: unregistered or cleaned up. */
#define BRAMA_EVENT_CONNECTION_REMOVED 13
/** A call was not admitted. May be dropped under overload. */
#define BRAMA_EVENT_CALL_REJECTED 14
/** A probe was admitted. May be dropped under overload. */
#define BRAMA_EVENT_PROBE 15

/**
 * Something other than a change of state, for those who use the connection: the event's reason is
 * a text about it.
 */
#define BRAMA_EVENT_NOTICE 16

/**
 * What a circuit does: one of the BRAMA_MODE_ values, or in a setting BRAMA_NOT_GIVEN_I32 or
 * BRAMA_INHERIT_I32. More may come.
 */
typedef int32_t brama_mode_t;

/** It opens, and rejects calls. */
#define BRAMA_MODE_NORMAL 0

/**
 * It does nothing. Every call passes. Reports change the totals only, and are never stale. Nothing
 * opens, closes or expires, and the state is closed. Control by hand takes effect when this mode
 * ends. The end of this mode resets the circuit, with two exceptions: an opening by hand stays,
 * and so does a half-open state that was made by hand in this mode.
 */
#define BRAMA_MODE_DISABLED 1

/**
 * It opens and closes as in BRAMA_MODE_NORMAL, and rejects nothing. A call that it would reject
 * passes, and counts in the totals only.
 */
#define BRAMA_MODE_SHADOW 2

/** Why a circuit opened: one of the BRAMA_CAUSE_ values. More may come. */
typedef int32_t brama_cause_t;

/** It never opened, or is not open after the event, or the cause is not known yet. */
#define BRAMA_CAUSE_NONE 0
/** There were max_attempts failures in a row. */
#define BRAMA_CAUSE_CONSECUTIVE 1
/** There were max_attempts failures within the window. */
#define BRAMA_CAUSE_WINDOW 2
/** The share of failures reached failure_rate. */
#define BRAMA_CAUSE_FAILURE_RATE 3
/** The share of slow calls reached slow_call_rate. */
#define BRAMA_CAUSE_SLOW_CALL_RATE 4
/** The dependency asked to be left alone: brama_failure_for. */
#define BRAMA_CAUSE_RETRY_AFTER 5
/** A probe failed, or the share of failed probes reached half_open_failure_rate. */
#define BRAMA_CAUSE_PROBE 6
/** By hand: brama_open_circuit. */
#define BRAMA_CAUSE_MANUAL 7

/**
 * How long a circuit stays open while a dependency stays down: one of the
 * BRAMA_EXPIRY_ values, or in a setting BRAMA_NOT_GIVEN_I32 or BRAMA_INHERIT_I32.
 */
typedef int32_t brama_expiry_strategy_t;

/** Every opening lasts `expiry_ms`. */
#define BRAMA_EXPIRY_FIXED 0

/**
 * The n-th opening in a row lasts
 * min(max_expiry_ms, initial_expiry_ms * backoff_factor^(n-1)).
 */
#define BRAMA_EXPIRY_PROGRESSIVE 1

/** The outcome of a call: one of the BRAMA_OUTCOME_ values. */
typedef int32_t brama_outcome_t;

/** The dependency is fine. */
#define BRAMA_OUTCOME_SUCCESS 1
/** The dependency failed. */
#define BRAMA_OUTCOME_FAILURE 2

/**
 * Called once with the user data that was given with it, when the library needs the data no more.
 * May call anything in this library. Must not throw.
 */
typedef void (*brama_destroy_fn)(void *user_data);

/**
 * A key and a value, user-supplied UTF-8 that ends with a NUL. Of several pairs with one key, the
 * last counts. Pairs come in arrays, so this struct never grows.
 */
typedef struct brama_pair_t {
    /** Not NULL. */
    const char *key;
    /** Not NULL. */
    const char *value;
} brama_pair_t;

/**
 * Returns "unknown", "closed", "open" or "half_open"; "unknown" also for other numbers. Never
 * NULL, valid for ever.
 */
BRAMA_API const char *brama_state_name(brama_state_t state);

/**
 * Returns the name of an event type, such as "state_change"; "unknown" for other numbers. Never
 * NULL, valid for ever.
 */
BRAMA_API const char *brama_event_type_name(brama_event_type_t event_type);

/**
 * Returns "normal", "disabled" or "shadow"; "unknown" for other numbers. Never NULL, valid for
 * ever.
 */
BRAMA_API const char *brama_mode_name(brama_mode_t mode);

/**
 * Returns the name of a cause, such as "window"; "none" for BRAMA_CAUSE_NONE, "unknown" for other
 * numbers. Never NULL, valid for ever.
 */
BRAMA_API const char *brama_cause_name(brama_cause_t cause);

/**
 * Returns why the circuit had opened, if this thread's last call that failed was a rejection.
 * BRAMA_CAUSE_NONE if it was not, or if the cause is not known.
 */
BRAMA_API brama_cause_t brama_last_error_cause(void);

/**
 * Returns the reason of that opening: the text of the failure that opened the circuit, or the one
 * given when it was opened by hand. At most 256 bytes of it; NULL if there is none. Valid until
 * the next call of this thread that fails, or until the thread ends.
 */
BRAMA_API const char *brama_last_error_reason(void);

/* -- Opaque types -------------------------------------------------------------------- */

/** A clock that moves only when brama_clock_advance moves it, for tests without sleeping. */
typedef struct brama_clock_t brama_clock_t;

/**
 * A handle of a connection: the name was looked up once, and calls by handle need no look-up. Keep
 * one for a hot path. It may still be used after the connection was unregistered or cleaned up
 * (calls then return BRAMA_ERR_NOT_FOUND) and after its manager was shut down or freed
 * (BRAMA_ERR_SHUT_DOWN). Each reference, from brama_register, brama_get_or_register,
 * brama_connection_get or brama_connection_retain, needs one brama_connection_release.
 */
typedef struct brama_connection_t brama_connection_t;

/**
 * A subscription whose events wait until they are drained. Only one thread at a time may drain it
 * and read what it has drained.
 */
typedef struct brama_queue_t brama_queue_t;

/** The status of every connection, taken out one after the other. Used by one thread at a time. */
typedef struct brama_snapshot_t brama_snapshot_t;

/** A subscription with a callback. */
typedef struct brama_subscription_t brama_subscription_t;

/**
 * A manager: registers connections, decides which calls may pass, and keeps their totals. NULL is
 * the process-wide default manager.
 */
typedef struct brama_t brama_t;

/* -- Settings ------------------------------------------------------------------------ */

/*
 *     brama_options_t options = BRAMA_OPTIONS_INIT;
 *     options.max_attempts = 9;       // failures in a row, or
 *     options.failure_rate = 0.5;     // half of at least 20 calls in 10 s
 *     options.expiry_ms = 5000;       // then 5 s open
 *     if (brama_register(gate, "search", NULL, &options, NULL) != BRAMA_OK)
 *         fprintf(stderr, "%s\n", brama_last_error_message());
 *     options.expiry_ms = BRAMA_INHERIT_U64; // later: as the manager says
 *     brama_configure_connection(gate, "search", NULL, &options);
 */

/**
 * Settings of one connection. A setting that is not given follows the manager's, even when that
 * changes later. BRAMA_INHERIT_U32, BRAMA_INHERIT_U64, BRAMA_INHERIT_I32 or BRAMA_INHERIT_F64
 * takes a setting back that was given before.
 */
typedef struct brama_options_t {
    /** Bytes of this struct; set by brama_options_init. */
    size_t size;
    /**
     * The number of failures that opens the circuit: in a row, or within the window if there is
     * one. At least 1, with a window at most 65536; or BRAMA_UNLIMITED. Default 5. With a
     * failure_rate and no window the default is BRAMA_UNLIMITED.
     */
    uint32_t max_attempts;
    /** BRAMA_EXPIRY_FIXED (default) or BRAMA_EXPIRY_PROGRESSIVE. */
    brama_expiry_strategy_t expiry_strategy;
    /** How long an opening lasts. At least 1. Default 60000. */
    uint64_t expiry_ms;
    /** The first expiry of the progressive strategy. At least 1. Default: expiry_ms. */
    uint64_t initial_expiry_ms;
    /**
     * The longest expiry of the progressive strategy. At least 1. With
     * BRAMA_EXPIRY_PROGRESSIVE also at least initial_expiry_ms; other strategies ignore it.
     * Default: ten times initial_expiry_ms.
     */
    uint64_t max_expiry_ms;
    /** The factor of the progressive strategy. Finite, at least 1.0. Default 2.0. */
    double backoff_factor;
    /**
     * Prolongs every automatic expiry by a random length, at most this part of the expiry. 0.0 to
     * 1.0. Default 0.0.
     */
    double jitter;
    /**
     * The length of the window: failures count if they happened less than this long ago. At least
     * 1; BRAMA_NONE (default): failures in a row count, however old.
     */
    uint64_t window_ms;
    /**
     * How long a probe may take before another call may take its place. At least 1;
     * BRAMA_NONE (default): as long as the current expiry, at least 1000.
     */
    uint64_t probe_timeout_ms;
    /** Probes admitted at once while half-open. 1 to 65535. Default 1. */
    uint32_t half_open_max_calls;
    /** Successes that close a half-open circuit. 1 to 65535. Default 1. */
    uint32_t half_open_successes;
    /**
     * A call that its caller gives up (brama_permit_cancelled) counts as a failure if it
     * lasted at least so long. At least 1; BRAMA_NONE (default): it is ignored.
     */
    uint64_t cancelled_after_ms;
    /**
     * 1 (default): a success clears the failures in the window. 0: they count until they are as
     * old as the window; only a recovery and a reset clear them. With 0, each success after the
     * first failure looks at the circuit's settings until a recovery: some tens of ns. Without a
     * window a success always clears the failures in a row.
     */
    int32_t success_clears_window;
    /** BRAMA_MODE_NORMAL (default), BRAMA_MODE_DISABLED or BRAMA_MODE_SHADOW. */
    brama_mode_t mode;
    /**
     * The share of failures among the reports that opens the circuit, once there are
     * minimum_calls. Above 0.0, at most 1.0; BRAMA_NONE_F64 (default): the share does not count.
     * With a failure_rate the circuit opens for failures in a row only if max_attempts or
     * window_ms is given, here or in brama_config_t.
     */
    double failure_rate;
    /**
     * The time over which the rates count reports. 1000 to 3600000. It replaces a rate_calls that
     * was given before or is the manager's; one call cannot give both. Default 10000.
     */
    uint64_t rate_window_ms;
    /**
     * How many of the last reports the rates count, in place of those within rate_window_ms.
     * 10 to 100000. It replaces a rate_window_ms that was given before or is the manager's; one
     * call cannot give both. BRAMA_NONE (default): the rates count in time, whatever the manager's
     * setting says.
     */
    uint64_t rate_calls;
    /**
     * How many reports in its window a rate needs before it may open the circuit. At least 1. A
     * connection, or manager, that has a rate_calls of its own cannot have a larger minimum of its
     * own; an inherited or default one is lowered. Default 20.
     */
    uint64_t minimum_calls;
    /** A call that lasts at least so long is slow. At least 1; BRAMA_NONE (default): no call is. */
    uint64_t slow_call_duration_ms;
    /**
     * The share of slow calls among the reports that opens the circuit, once there are
     * minimum_calls; a slow failure counts as slow, too. Above 0.0, at most 1.0; BRAMA_NONE_F64
     * (default): the share does not count. Without a slow_call_duration_ms in effect, a
     * connection's is refused, and a manager's has no effect.
     */
    double slow_call_rate;
    /**
     * The share of failures among half_open_max_calls probes that opens a half-open circuit
     * again; a smaller share closes it. No more than half_open_max_calls probes are admitted in
     * all, and the circuit changes as soon as the result is certain. A slow success counts as a
     * failure where slow_call_rate is set. It replaces a half_open_successes that was given before
     * or is the manager's; one call cannot give both. Above 0.0, at most 1.0; BRAMA_NONE_F64
     * (default): one failure opens the circuit, half_open_successes close it.
     */
    double half_open_failure_rate;
    /**
     * The length of the ramp: a circuit whose probes have succeeded stays half-open for so long
     * and admits a growing share of the calls, and then closes. Two failures in a row open it
     * again, and so does a rate. At least 1, rounded up to 2; BRAMA_NONE (default): it closes at
     * once.
     */
    uint64_t ramp_ms;
    /**
     * The share of the calls that a ramp admits at its start. Above 0.0, at most 1.0.
     * Default 0.1.
     */
    double ramp_start;
    /**
     * For how many ms the circuit is open from its registration on. It is a length of time, no
     * BRAMA_STATE_ constant: BRAMA_STATE_OPEN is 2, which means open for 2 ms. 0 (default): the
     * circuit begins closed. -1, which is BRAMA_NEVER: open until it is closed or reset by hand.
     * The cause of such an opening is BRAMA_CAUSE_MANUAL. For a registration only:
     * brama_configure_connection and brama_connection_configure refuse it; brama_get_or_register
     * ignores it if the connection exists.
     */
    int64_t initial_state;
    /** The connection's metadata, which replaces all that it had. NULL: not given. */
    const brama_pair_t *metadata;
    /** How many pairs metadata has. */
    size_t metadata_count;
} brama_options_t;

/**
 * Settings of a manager. In brama_new a setting that is not given has its default; in
 * brama_configure it stays as it is. BRAMA_INHERIT_... stands for the default.
 */
typedef struct brama_config_t {
    /** Bytes of this struct; set by brama_config_init. */
    size_t size;
    /**
     * For connections that do not set their own. This and the following fields of the same names
     * have the meaning, the limits and the defaults that brama_options_t gives.
     */
    uint32_t max_attempts;
    /** As in brama_options_t. */
    brama_expiry_strategy_t expiry_strategy;
    /** As in brama_options_t. */
    uint64_t expiry_ms;
    /** As in brama_options_t. */
    uint64_t initial_expiry_ms;
    /** As in brama_options_t. */
    uint64_t max_expiry_ms;
    /** As in brama_options_t. */
    double backoff_factor;
    /** As in brama_options_t. */
    double jitter;
    /** As in brama_options_t. */
    uint64_t window_ms;
    /** As in brama_options_t. */
    uint64_t probe_timeout_ms;
    /** As in brama_options_t. */
    uint32_t half_open_max_calls;
    /** As in brama_options_t. */
    uint32_t half_open_successes;
    /** As in brama_options_t. */
    uint64_t cancelled_after_ms;
    /** As in brama_options_t. */
    int32_t success_clears_window;
    /** As in brama_options_t. */
    brama_mode_t mode;
    /** As in brama_options_t. */
    double failure_rate;
    /** As in brama_options_t. */
    uint64_t rate_window_ms;
    /** As in brama_options_t. */
    uint64_t rate_calls;
    /** As in brama_options_t. */
    uint64_t minimum_calls;
    /** As in brama_options_t. */
    uint64_t slow_call_duration_ms;
    /** As in brama_options_t. */
    double slow_call_rate;
    /** As in brama_options_t. */
    double half_open_failure_rate;
    /** As in brama_options_t. */
    uint64_t ramp_ms;
    /** As in brama_options_t. */
    double ramp_start;
    /**
     * The time between two cleanups, which remove unused connections. At least 1.
     * Default 10000.
     */
    uint64_t cleanup_interval_ms;
    /**
     * A connection without activity for this long is removed. At least 1, or
     * BRAMA_NEVER. Default 86400000 (a day).
     */
    uint64_t inactive_threshold_ms;
    /**
     * 1: an unknown name is registered, with the manager's settings, by its first
     * use. Default 0.
     */
    int32_t auto_register;
    /**
     * 1 (default): the manager has a background thread, which does what is due while no call
     * comes. 0: call brama_poll now and then. Only for brama_new.
     */
    int32_t background;
    /**
     * How many happenings can wait to be delivered as events. brama_new allocates some 128 bytes
     * for each. 1 to 16777216. Default 1024. Only for brama_new.
     */
    uint64_t event_capacity;
    /**
     * The clock that the manager reads instead of the machine's, if not NULL. May be freed after
     * brama_new. Only for brama_new.
     */
    const brama_clock_t *clock;
} brama_config_t;

/** Sets every field to "not given". */
BRAMA_API void brama_options_init(brama_options_t *options);

/** Sets every field to "not given". */
BRAMA_API void brama_config_init(brama_config_t *config);

/**
 * Changes the manager's settings that are given, all at once; the others stay. Connections
 * without a setting of their own follow. Counts, deadlines and permits survive.
 *
 * Errors: BRAMA_ERR_INVALID_CONFIG (nothing was changed), BRAMA_ERR_INVALID_ARGUMENT,
 * BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API brama_result_t brama_configure(brama_t *manager, const brama_config_t *config);

/**
 * Changes the settings of one connection, by name, that are given, all at once; the others stay.
 * Counts, deadlines and permits survive. brama_connection_configure does this on a handle.
 *
 * Errors: BRAMA_ERR_INVALID_CONFIG (nothing was changed), BRAMA_ERR_INVALID_ARGUMENT,
 * BRAMA_ERR_NOT_FOUND, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
brama_result_t brama_configure_connection(brama_t *manager,
                                          const char *identifier,
                                          const char *scope,
                                          const brama_options_t *options);

/** brama_configure_connection on a handle. */
BRAMA_API
brama_result_t brama_connection_configure(const brama_connection_t *connection,
                                          const brama_options_t *options);
/** brama_options_init as an initialiser. */
#define BRAMA_OPTIONS_INIT \
    { sizeof(brama_options_t), BRAMA_NOT_GIVEN_U32, BRAMA_NOT_GIVEN_I32, \
      BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_U64, \
      BRAMA_NOT_GIVEN_F64, BRAMA_NOT_GIVEN_F64, BRAMA_NOT_GIVEN_U64, \
      BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_U32, BRAMA_NOT_GIVEN_U32, \
      BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_I32, BRAMA_NOT_GIVEN_I32, \
      BRAMA_NOT_GIVEN_F64, BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_U64, \
      BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_F64, \
      BRAMA_NOT_GIVEN_F64, BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_F64, \
      BRAMA_NOT_GIVEN_I64, NULL, 0 }

/** brama_config_init as an initialiser. */
#define BRAMA_CONFIG_INIT \
    { sizeof(brama_config_t), BRAMA_NOT_GIVEN_U32, BRAMA_NOT_GIVEN_I32, \
      BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_U64, \
      BRAMA_NOT_GIVEN_F64, BRAMA_NOT_GIVEN_F64, BRAMA_NOT_GIVEN_U64, \
      BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_U32, BRAMA_NOT_GIVEN_U32, \
      BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_I32, BRAMA_NOT_GIVEN_I32, \
      BRAMA_NOT_GIVEN_F64, BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_U64, \
      BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_F64, \
      BRAMA_NOT_GIVEN_F64, BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_F64, \
      BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_U64, BRAMA_NOT_GIVEN_I32, \
      BRAMA_NOT_GIVEN_I32, BRAMA_NOT_GIVEN_U64, NULL }


/* -- Managers ------------------------------------------------------------------------ */

/*
 *     brama_config_t config = BRAMA_CONFIG_INIT;
 *     config.expiry_ms = 10000; // for every connection that says nothing else
 *     config.background = 0;    // this program calls brama_poll
 *     brama_t *gate = brama_new(&config);
 *     if (gate == NULL)
 *         fprintf(stderr, "%s\n", brama_last_error_message());
 */

/**
 * Makes a manager. A NULL config stands for the defaults. Errors: a setting that is out of its
 * range, or no memory for event_capacity. If the system refuses to start a background thread, that
 * is no error here: brama_event_counts says whether one is running.
 */
BRAMA_API BRAMA_MUST_USE brama_t *brama_new(const brama_config_t *config);

/**
 * Returns the process-wide default manager, for which NULL stands. Its first use makes it, with
 * the default settings. Never NULL. brama_free does not free it.
 */
BRAMA_API brama_t *brama_default(void);

/**
 * Shuts a manager down (brama_shutdown) and frees it; does nothing for the default manager.
 * Handles, subscriptions and queues stay valid until they are given back; permits by name do not.
 * It waits as long as the callbacks take: call brama_shutdown_within first where that may be too
 * long. May be called from a callback: callbacks for events already queued still run afterwards,
 * and must not use the pointer.
 */
BRAMA_API void brama_free(brama_t *manager);

/**
 * Shuts a manager down: all connections are removed, any later operation on them returns
 * BRAMA_ERR_SHUT_DOWN, the events that wait are delivered, all subscriptions end, and the
 * background thread is joined. Further calls do nothing. The default manager stays shut down for
 * the rest of the process.
 *
 * It waits as long as the callbacks take; brama_shutdown_within has a limit. Called from a
 * callback, predicate or brama_destroy_fn, of this manager or any other, it waits for nothing and
 * returns at once. The background thread, or the thread that runs the callback, does the rest
 * after the callback has returned.
 */
BRAMA_API brama_result_t brama_shutdown(brama_t *manager);

/**
 * Shuts a manager down as brama_shutdown does, within timeout_ms (BRAMA_NEVER: without a limit).
 * If left is not NULL, *left becomes the number of events that were not delivered: 0 if all were.
 *
 * When the time is over, events that wait are not delivered any more. A callback under way may
 * still be running when this function returns; the thread that runs it then calls its destroy
 * function. Later calls of brama_shutdown, brama_free and brama_unsubscribe do not wait for it. An
 * event is left if it was not offered to every subscriber, or if its last callback has not
 * returned. An event in batches that were not delivered counts once for each batch.
 *
 * Without a background thread the callbacks run on the calling thread, which checks the time
 * between two of them. Called from a callback it returns at once, as brama_shutdown does, and
 * *left is the number of happenings that wait.
 */
BRAMA_API
brama_result_t brama_shutdown_within(brama_t *manager,
                                     uint64_t timeout_ms,
                                     uint64_t *left);

/**
 * Does what is due: expiries, cleanup, delivery of events. Needed without a background thread,
 * harmless with one. Runs callbacks on the calling thread. Called from a callback of the same
 * manager it does nothing. Never fails.
 */
BRAMA_API brama_result_t brama_poll(brama_t *manager);

/* -- What comes with a report -------------------------------------------------------- */

/*
 *     const brama_pair_t metadata[] = {{"host", "db-2"}, {"attempt", "1"}};
 *     uint32_t failures = 0;
 *     brama_report_t report = BRAMA_REPORT_INIT;
 *     report.reason = "HTTP 503";
 *     report.metadata = metadata;
 *     report.metadata_count = 2;
 *     report.failure_count = &failures; // becomes the number that counts now
 *     brama_failure_with(gate, "search", NULL, &report);
 */

/**
 * The part of a report beside its outcome: a reason and metadata, which go into the events.
 *
 * Text never costs a report. The library keeps the following bounds; where it cuts or leaves
 * something out, the event has BRAMA_EVENT_TRUNCATED.
 *
 * A reason, and each value of the metadata, is cut at 1 KiB, at a character's boundary. Bytes that
 * are no UTF-8 become U+FFFD. At most 64 pairs and 8 KiB of metadata are kept, keys and values
 * together. Pairs are taken in the order of their keys. A pair is left out if it does not fit any
 * more, if its key has more than 1 KiB, or if its key or value is NULL. All metadata is left out
 * if the array is NULL or larger than memory, and so is a reason longer than PTRDIFF_MAX.
 */
typedef struct brama_report_t {
    /** Bytes of this struct; set by brama_report_init. */
    size_t size;
    /** The reason, UTF-8. NULL: none. Up to 38 bytes are kept without allocating. */
    const char *reason;
    /** User-supplied strings. NULL: none. */
    const brama_pair_t *metadata;
    /** How many pairs metadata has. */
    size_t metadata_count;
    /**
     * If not NULL, and a failure was counted, *failure_count becomes the number of failures that
     * count now: in a row, or inside the window if there is one.
     */
    uint32_t *failure_count;
    /**
     * Bytes of the reason; BRAMA_TERMINATED (default): it ends with a NUL. 0: the reason is empty.
     * A designated initialiser that leaves this field out makes it 0: begin with
     * BRAMA_REPORT_INIT instead.
     */
    size_t reason_length;
} brama_report_t;

/** Sets every field to "not given". */
BRAMA_API void brama_report_init(brama_report_t *report);
/** brama_report_init as an initialiser. */
#define BRAMA_REPORT_INIT \
    { sizeof(brama_report_t), NULL, NULL, 0, NULL, BRAMA_TERMINATED }


/* -- Connections by name ------------------------------------------------------------- */

/*
 *     brama_register(gate, "db", "billing", NULL, NULL);
 *     if (brama_available(gate, "db", "billing")) {
 *         if (connect_to_server() >= 0)
 *             brama_success(gate, "db", "billing");
 *         else
 *             brama_failure(gate, "db", "billing", "no answer");
 *     }
 */

/**
 * Registers a connection, closed.
 *
 * NULL options: the manager's settings in everything. If out is not NULL, *out becomes a handle,
 * or NULL on error.
 *
 * Errors: BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_INVALID_CONFIG, BRAMA_ERR_ALREADY_REGISTERED
 * (the existing connection is left as it is), BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
brama_result_t brama_register(brama_t *manager,
                              const char *identifier,
                              const char *scope,
                              const brama_options_t *options,
                              brama_connection_t **out);

/**
 * brama_register for hosts whose strings have lengths. The strings need no NUL at their end:
 * identifier_length and scope_length are the numbers of their bytes, or BRAMA_TERMINATED for a
 * string that ends with a NUL. Other lengths above PTRDIFF_MAX are refused with
 * BRAMA_ERR_INVALID_ARGUMENT. The length of a NULL scope is ignored.
 */
BRAMA_API
brama_result_t brama_register_n(brama_t *manager,
                                const char *identifier,
                                size_t identifier_length,
                                const char *scope,
                                size_t scope_length,
                                const brama_options_t *options,
                                brama_connection_t **out);

/**
 * Registers a connection as brama_register does. If it is registered already, its settings stay
 * as they are, and *out becomes a handle of it. If options give other settings than it has, a
 * BRAMA_EVENT_NOTICE says so: once for each connection, when there is a subscriber. Errors as
 * brama_register, without BRAMA_ERR_ALREADY_REGISTERED.
 */
BRAMA_API
brama_result_t brama_get_or_register(brama_t *manager,
                                     const char *identifier,
                                     const char *scope,
                                     const brama_options_t *options,
                                     brama_connection_t **out);

/** brama_get_or_register with a name of these lengths; see brama_register_n. */
BRAMA_API
brama_result_t brama_get_or_register_n(brama_t *manager,
                                       const char *identifier,
                                       size_t identifier_length,
                                       const char *scope,
                                       size_t scope_length,
                                       const brama_options_t *options,
                                       brama_connection_t **out);

/**
 * Removes a connection. Existing handles return BRAMA_ERR_NOT_FOUND from now on; you still have
 * to release them.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
brama_result_t brama_unregister(brama_t *manager,
                                const char *identifier,
                                const char *scope);

/**
 * Looks a connection up: *out becomes a handle of it, or NULL on error. With the manager's
 * auto_register an unknown name is registered.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
BRAMA_MUST_USE
brama_result_t brama_connection_get(brama_t *manager,
                                    const char *identifier,
                                    const char *scope,
                                    brama_connection_t **out);

/** brama_connection_get with a name of these lengths; see brama_register_n. */
BRAMA_API
BRAMA_MUST_USE
brama_result_t brama_connection_get_n(brama_t *manager,
                                      const char *identifier,
                                      size_t identifier_length,
                                      const char *scope,
                                      size_t scope_length,
                                      brama_connection_t **out);

/**
 * Returns whether the circuit lets calls pass now: true if it is closed or half-open, or if its
 * mode rejects nothing. This takes no permit, so it is true of a half-open circuit even if all
 * probes are out. If it is false, brama_last_error_message says why: the circuit is open, no
 * connection of this name is registered, the manager was shut down, or an argument is invalid.
 */
BRAMA_API
BRAMA_MUST_USE
bool brama_available(brama_t *manager,
                     const char *identifier,
                     const char *scope);

/** brama_available with a name of these lengths; see brama_register_n. */
BRAMA_API
BRAMA_MUST_USE
bool brama_available_n(brama_t *manager,
                       const char *identifier,
                       size_t identifier_length,
                       const char *scope,
                       size_t scope_length);

/**
 * Returns the state as of now. BRAMA_STATE_UNKNOWN if no connection of this name is registered,
 * the manager was shut down, or an argument is invalid: brama_last_error_message says which of
 * these. Never registers a connection.
 */
BRAMA_API brama_state_t brama_state(brama_t *manager, const char *identifier, const char *scope);

/**
 * Reports a success without a permit (ask, call, report). While the circuit is half-open it counts
 * like a probe's.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API brama_result_t brama_success(brama_t *manager, const char *identifier, const char *scope);

/** brama_success with a report. A NULL report adds nothing. */
BRAMA_API
brama_result_t brama_success_with(brama_t *manager,
                                  const char *identifier,
                                  const char *scope,
                                  const brama_report_t *report);

/**
 * Reports a failure without a permit. While the circuit is half-open it counts like a probe's. The
 * reason goes into the events; NULL: none. brama_failure_with also gives the number of failures
 * that count now.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
brama_result_t brama_failure(brama_t *manager,
                             const char *identifier,
                             const char *scope,
                             const char *reason);

/** brama_success with a name of these lengths; see brama_register_n. */
BRAMA_API
brama_result_t brama_success_n(brama_t *manager,
                               const char *identifier,
                               size_t identifier_length,
                               const char *scope,
                               size_t scope_length);

/**
 * brama_failure with a name and a reason of these lengths: the name as in brama_register_n, the
 * reason as in brama_report_t.
 */
BRAMA_API
brama_result_t brama_failure_n(brama_t *manager,
                               const char *identifier,
                               size_t identifier_length,
                               const char *scope,
                               size_t scope_length,
                               const char *reason,
                               size_t reason_length);

/** brama_failure with a report. A NULL report adds nothing. */
BRAMA_API
brama_result_t brama_failure_with(brama_t *manager,
                                  const char *identifier,
                                  const char *scope,
                                  const brama_report_t *report);

/**
 * Reports a failure together with the time for which the dependency has asked to be left alone
 * (HTTP: Retry-After). A closed or half-open circuit opens at once for wait_ms, prolonged by the
 * jitter, whatever its rules say. If the circuit is open already, the wait changes nothing. The
 * failure then is in the totals, is the last failure, and has its event, but failure_count is not
 * raised. A NULL report adds nothing.
 *
 * wait_ms is at most 24 h (86400000), before jitter; a longer wait is cut. 0 is no wait: the
 * failure is an ordinary one, as by brama_failure_with. Some numbers are refused with
 * BRAMA_ERR_INVALID_ARGUMENT, and nothing is reported: those above INT64_MAX, such as a negative
 * difference, and BRAMA_NOT_GIVEN_U32 and BRAMA_INHERIT_U32.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
brama_result_t brama_failure_for(brama_t *manager,
                                 const char *identifier,
                                 const char *scope,
                                 const brama_report_t *report,
                                 uint64_t wait_ms);

/* -- Connections by handle ----------------------------------------------------------- */

/*
 *     brama_connection_t *db;
 *     if (brama_connection_get(gate, "db", "billing", &db) != BRAMA_OK)
 *         return;
 *     if (brama_connection_available(db))
 *         brama_connection_success(db);
 *     brama_connection_release(db);
 */

/** Takes one more reference to a handle, and returns the same pointer. */
BRAMA_API brama_connection_t *brama_connection_retain(const brama_connection_t *connection);

/**
 * Gives a reference to a handle back; with the last one the handle is freed. The connection
 * stays registered.
 */
BRAMA_API void brama_connection_release(brama_connection_t *connection);

/** Returns the connection's identifier, which is valid as long as the handle is held. */
BRAMA_API const char *brama_connection_identifier(const brama_connection_t *connection);

/**
 * Returns the connection's scope, which is valid as long as the handle is held; NULL if it has
 * none.
 */
BRAMA_API const char *brama_connection_scope(const brama_connection_t *connection);

/** brama_available on a handle. */
BRAMA_API BRAMA_MUST_USE bool brama_connection_available(const brama_connection_t *connection);

/** brama_state on a handle. BRAMA_STATE_UNKNOWN for NULL. */
BRAMA_API brama_state_t brama_connection_state(const brama_connection_t *connection);

/** brama_success on a handle. */
BRAMA_API brama_result_t brama_connection_success(const brama_connection_t *connection);

/** brama_success_with on a handle. */
BRAMA_API
brama_result_t brama_connection_success_with(const brama_connection_t *connection,
                                             const brama_report_t *report);

/** brama_failure on a handle. */
BRAMA_API
brama_result_t brama_connection_failure(const brama_connection_t *connection,
                                        const char *reason);

/** brama_connection_failure with a reason of this length, as in brama_report_t. */
BRAMA_API
brama_result_t brama_connection_failure_n(const brama_connection_t *connection,
                                          const char *reason,
                                          size_t reason_length);

/** brama_failure_with on a handle. */
BRAMA_API
brama_result_t brama_connection_failure_with(const brama_connection_t *connection,
                                             const brama_report_t *report);

/** brama_failure_for on a handle. */
BRAMA_API
brama_result_t brama_connection_failure_for(const brama_connection_t *connection,
                                            const brama_report_t *report,
                                            uint64_t wait_ms);

/* -- Guarded calls ------------------------------------------------------------------- */

/*
 *     brama_permit_t permit;
 *     uint64_t retry_after_ms;
 *     const brama_result_t result = brama_connection_acquire(db, &permit, &retry_after_ms);
 *     if (result == BRAMA_ERR_REJECTED && retry_after_ms != BRAMA_NEVER)
 *         printf("try again in %llu ms\n", (unsigned long long)retry_after_ms);
 *     else if (result != BRAMA_OK)
 *         fprintf(stderr, "%s\n", brama_last_error_message());
 *     else if (connect_to_server() >= 0)
 *         brama_permit_success(permit);
 *     else
 *         brama_permit_failure(permit, "no answer");
 */

/**
 * An admission, to be reported once, on any thread. It is a plain value that may be copied and
 * needs no free. A permit that is never reported costs nothing; if it is a probe, its place is
 * free again after probe_timeout_ms. Report a permit from a handle while the handle is held, and
 * one by name before its manager is freed. A permit of zeroes (BRAMA_PERMIT_INIT) is refused.
 */
typedef struct brama_permit_t {
    /** Opaque; do not read or write. */
    uint64_t opaque[6];
} brama_permit_t;

/**
 * Asks for admission. If the circuit is closed, or half-open with a probe's place free, *permit
 * becomes a permit. A ramp (ramp_ms) admits a share of the calls, drawn by lot.
 *
 * BRAMA_ERR_REJECTED: do not call. The rejection is counted. On every error *permit becomes zero,
 * if permit is not NULL.
 *
 * If retry_after_ms is not NULL, *retry_after_ms says in how many ms to ask again:
 *
 *   open             a promise: after that time the call is admitted, unless other callers have
 *                    taken the probes
 *   half-open        a hint, 1 to 1000: all probes are out, or a ramp did not draw the call
 *   held open        BRAMA_NEVER: until it is closed by hand
 *   admitted         0
 *   another error    BRAMA_NONE
 *
 * Other errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
BRAMA_MUST_USE
brama_result_t brama_acquire(brama_t *manager,
                             const char *identifier,
                             const char *scope,
                             brama_permit_t *permit,
                             uint64_t *retry_after_ms);

/** brama_acquire with a name of these lengths; see brama_register_n. */
BRAMA_API
BRAMA_MUST_USE
brama_result_t brama_acquire_n(brama_t *manager,
                               const char *identifier,
                               size_t identifier_length,
                               const char *scope,
                               size_t scope_length,
                               brama_permit_t *permit,
                               uint64_t *retry_after_ms);

/** brama_acquire on a handle. */
BRAMA_API
BRAMA_MUST_USE
brama_result_t brama_connection_acquire(const brama_connection_t *connection,
                                        brama_permit_t *permit,
                                        uint64_t *retry_after_ms);

/**
 * Returns whether the call is a probe: the circuit is half-open, and the call tests the
 * dependency. A client may shorten its time-out then. False for a call that a ramp admitted, which
 * is no test, and for a permit of zeroes.
 */
BRAMA_API bool brama_permit_is_probe(brama_permit_t permit);

/** brama_permit_is_probe with the permit by pointer. */
BRAMA_API bool brama_permit_is_probe_at(const brama_permit_t *permit);

/**
 * Returns whether a half-open circuit gave the permit: to a probe, or to a call in a ramp. Another
 * call may ride only on such a call (brama_permit_covers). So a host that remembers the calls
 * under way need remember no others. False for a permit of zeroes.
 */
BRAMA_API bool brama_permit_is_half_open(brama_permit_t permit);

/** brama_permit_is_half_open with the permit by pointer. */
BRAMA_API bool brama_permit_is_half_open_at(const brama_permit_t *permit);

/**
 * Returns whether a guarded call of this connection may ride on the call that has this permit. Ask
 * for a call that is made inside the other one, before the permit is reported. True if the circuit
 * is half-open and gave the permit in the same half-open state: to a probe, or to a call in the
 * same ramp.
 *
 * A call that rides needs no permit and reports nothing: the outer call reports for both. Without
 * that, a call that a probe makes of its own circuit would be rejected, and the circuit would
 * never close. In a ramp, a call that was admitted could fail because a call inside of it was not.
 * One call at a time may ride on a permit, and another one may ride on the call that rides. If the
 * outer call is ignored and the inner one failed, the outer call reports a failure. brama.hpp does
 * all this.
 *
 * A permit of zeroes is an error: false.
 */
BRAMA_API
bool brama_permit_covers(brama_permit_t permit,
                         const brama_connection_t *connection);

/** brama_permit_covers with the permit by pointer. */
BRAMA_API
bool brama_permit_covers_at(const brama_permit_t *permit,
                            const brama_connection_t *connection);
/** A permit of zeroes as an initialiser. */
#define BRAMA_PERMIT_INIT { { 0, 0, 0, 0, 0, 0 } }


/* -- What became of a guarded call --------------------------------------------------- */

/*
 *     brama_permit_t permit;
 *     if (brama_connection_acquire(db, &permit, NULL) != BRAMA_OK)
 *         return;
 *     const int answer = connect_to_server();
 *     if (answer == -1)
 *         brama_permit_cancelled(permit); // this program has given the call up
 *     else if (answer == -2)
 *         brama_permit_failure_for(permit, NULL, 30000); // "Retry-After: 30"
 *     else
 *         brama_permit_success(permit);
 */

/**
 * Reports that the admitted call succeeded.
 *
 * BRAMA_ERR_STALE: the state in which the permit was given is gone, or this is the second report
 * of a probe. The report is counted in the totals and changes nothing else. A probe that reports
 * after its probe_timeout_ms, in the same half-open state, counts. The second report of a probe is
 * recognised until more than 4 other probes have had its place; after that it counts like a late
 * one. A permit of a closed circuit that is reported twice counts twice.
 *
 * BRAMA_ERR_NOT_FOUND: the connection is not registered any more. Other errors:
 * BRAMA_ERR_INVALID_ARGUMENT for a permit of zeroes, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API brama_result_t brama_permit_success(brama_permit_t permit);

/**
 * brama_permit_success with the permit by pointer, for hosts that cannot pass a struct or for
 * which that is expensive. The permit is not changed.
 */
BRAMA_API brama_result_t brama_permit_success_at(const brama_permit_t *permit);

/** brama_permit_success with a report. A NULL report adds nothing. */
BRAMA_API
brama_result_t brama_permit_success_with(brama_permit_t permit,
                                         const brama_report_t *report);

/** brama_permit_success_with with the permit by pointer; see brama_permit_success_at. */
BRAMA_API
brama_result_t brama_permit_success_with_at(const brama_permit_t *permit,
                                            const brama_report_t *report);

/**
 * Reports that the admitted call failed. The reason goes into the events; NULL: none. Errors
 * as brama_permit_success.
 */
BRAMA_API brama_result_t brama_permit_failure(brama_permit_t permit, const char *reason);

/** brama_permit_failure with the permit by pointer; see brama_permit_success_at. */
BRAMA_API brama_result_t brama_permit_failure_at(const brama_permit_t *permit, const char *reason);

/** brama_permit_failure_at with a reason of this length, as in brama_report_t. */
BRAMA_API
brama_result_t brama_permit_failure_n(const brama_permit_t *permit,
                                      const char *reason,
                                      size_t reason_length);

/** brama_permit_failure with a report. A NULL report adds nothing. */
BRAMA_API
brama_result_t brama_permit_failure_with(brama_permit_t permit,
                                         const brama_report_t *report);

/** brama_permit_failure_with with the permit by pointer; see brama_permit_success_at. */
BRAMA_API
brama_result_t brama_permit_failure_with_at(const brama_permit_t *permit,
                                            const brama_report_t *report);

/**
 * Reports that the admitted call failed, and for how long the dependency has asked to be left
 * alone; report and wait_ms as in brama_failure_for. If the permit is stale, or the circuit is
 * open, the wait changes nothing. Errors as brama_permit_success. If wait_ms is refused
 * (BRAMA_ERR_INVALID_ARGUMENT), nothing was reported, and the permit can still be.
 */
BRAMA_API
brama_result_t brama_permit_failure_for(brama_permit_t permit,
                                        const brama_report_t *report,
                                        uint64_t wait_ms);

/** brama_permit_failure_for with the permit by pointer; see brama_permit_success_at. */
BRAMA_API
brama_result_t brama_permit_failure_for_at(const brama_permit_t *permit,
                                           const brama_report_t *report,
                                           uint64_t wait_ms);

/**
 * Gives the permit back without a success or a failure, since the call said nothing about the
 * dependency. The permit counts as ignored. Errors as brama_permit_success.
 */
BRAMA_API brama_result_t brama_permit_ignore(brama_permit_t permit);

/** brama_permit_ignore with the permit by pointer; see brama_permit_success_at. */
BRAMA_API brama_result_t brama_permit_ignore_at(const brama_permit_t *permit);

/**
 * Reports that the caller has given the call up, for example at a time-out of its own. The call is
 * ignored, as by brama_permit_ignore, since a cancelled caller is no failing dependency. If
 * cancelled_after_ms is set and the call lasted at least so long, it is a failure. Errors as
 * brama_permit_success.
 */
BRAMA_API brama_result_t brama_permit_cancelled(brama_permit_t permit);

/** brama_permit_cancelled with the permit by pointer; see brama_permit_success_at. */
BRAMA_API brama_result_t brama_permit_cancelled_at(const brama_permit_t *permit);

/* -- How long a call has lasted ------------------------------------------------------ */

/*
 *     const uint64_t duration_ms = 730; // as the HTTP client has measured it
 *     brama_connection_success_in(db, &report, duration_ms);
 */

/**
 * Reports a success of a call that lasted duration_ms, as the reporter measured it; otherwise as
 * brama_success_with. Where slow_call_duration_ms is set, the call is slow if duration_ms is at
 * least as long.
 *
 * Some numbers are refused with BRAMA_ERR_INVALID_ARGUMENT, and nothing is reported: those above
 * INT64_MAX, such as a negative difference, and BRAMA_NOT_GIVEN_U32 and BRAMA_INHERIT_U32.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
brama_result_t brama_success_in(brama_t *manager,
                                const char *identifier,
                                const char *scope,
                                const brama_report_t *report,
                                uint64_t duration_ms);

/**
 * Reports a failure of a call that lasted duration_ms; otherwise as brama_failure_with. A slow
 * failure counts as a failure and as a slow call. duration_ms and errors as in brama_success_in.
 */
BRAMA_API
brama_result_t brama_failure_in(brama_t *manager,
                                const char *identifier,
                                const char *scope,
                                const brama_report_t *report,
                                uint64_t duration_ms);

/** brama_success_in on a handle. */
BRAMA_API
brama_result_t brama_connection_success_in(const brama_connection_t *connection,
                                           const brama_report_t *report,
                                           uint64_t duration_ms);

/** brama_failure_in on a handle. */
BRAMA_API
brama_result_t brama_connection_failure_in(const brama_connection_t *connection,
                                           const brama_report_t *report,
                                           uint64_t duration_ms);

/**
 * Reports that the admitted call succeeded, and that it lasted duration_ms, which replaces what
 * the library measured. report and duration_ms as in brama_success_in. Errors as
 * brama_permit_success. If duration_ms is refused (BRAMA_ERR_INVALID_ARGUMENT), nothing was
 * reported, and the permit can still be.
 */
BRAMA_API
brama_result_t brama_permit_success_in(brama_permit_t permit,
                                       const brama_report_t *report,
                                       uint64_t duration_ms);

/** brama_permit_success_in with the permit by pointer; see brama_permit_success_at. */
BRAMA_API
brama_result_t brama_permit_success_in_at(const brama_permit_t *permit,
                                          const brama_report_t *report,
                                          uint64_t duration_ms);

/**
 * Reports that the admitted call failed, and that it lasted duration_ms, which replaces what the
 * library measured. report and duration_ms as in brama_failure_in, errors as in
 * brama_permit_success_in.
 */
BRAMA_API
brama_result_t brama_permit_failure_in(brama_permit_t permit,
                                       const brama_report_t *report,
                                       uint64_t duration_ms);

/** brama_permit_failure_in with the permit by pointer; see brama_permit_success_at. */
BRAMA_API
brama_result_t brama_permit_failure_in_at(const brama_permit_t *permit,
                                          const brama_report_t *report,
                                          uint64_t duration_ms);

/* -- Guarded calls by reading -------------------------------------------------------- */

/*
 *     const uint32_t *word = brama_connection_pass_word(db); // once
 *     brama_permit_t permit;
 *
 *     const uint32_t pass = __atomic_load_n(word, __ATOMIC_ACQUIRE); // before each call
 *     if (pass < BRAMA_PASS_LIMIT
 *         && brama_connection_pass_permit(db, pass, &permit) == BRAMA_OK) {
 *         connect_to_server();
 *         brama_permit_success_at(&permit);
 *     }
 */

/**
 * A call may pass if the number that it read from the pass word (brama_connection_pass_word) is
 * smaller than this.
 */
#define BRAMA_PASS_LIMIT 536870912

/**
 * Returns a pointer to the connection's pass word, for hosts where calling a C function is
 * expensive (interpreters). Read it in one piece, before the guarded call:
 *
 *   uint32_t pass = __atomic_load_n(word, __ATOMIC_ACQUIRE);
 *   if (pass < BRAMA_PASS_LIMIT)
 *     call, then report on the permit that brama_connection_pass_permit makes of
 *     the number
 *   else
 *     brama_connection_acquire: it admits the call, or says why not
 *
 * The number stands for a permit: a report on it is stale once the state in which it was read is
 * gone. It need not be reported. The report counts as activity of the connection; reading the
 * number does not.
 *
 * If the number is below the limit, the circuit is closed. If it is not, ask
 * brama_connection_available. Nothing else about the number has a fixed meaning. Never write to
 * it. The pointer is valid as long as the handle is held. After the connection was unregistered,
 * the number lets no call pass.
 */
BRAMA_API const uint32_t *brama_connection_pass_word(const brama_connection_t *connection);

/**
 * Makes a permit of a number that lets calls pass, into *permit: the one that
 * brama_connection_acquire would have given when the number was read. It serves every call that
 * passed by that number, and is reported once for each of them. So keep the permit as long as the
 * number stays the same: a guarded call is then one read and brama_permit_success_at.
 *
 * Errors: BRAMA_ERR_INVALID_ARGUMENT, also for a number that lets no call pass; *permit is then
 * zero.
 */
BRAMA_API
brama_result_t brama_connection_pass_permit(const brama_connection_t *connection,
                                            uint32_t pass,
                                            brama_permit_t *permit);

/* -- Circuits by hand ---------------------------------------------------------------- */

/*
 *     brama_open_circuit(gate, "db", "billing", "maintenance", BRAMA_NEVER);
 *     // ... and when it is over:
 *     brama_reset_circuit(gate, "db", "billing");
 */

/**
 * Opens a circuit, or moves the deadline of an open one.
 *
 * expiry_ms is how long it stays open this time, 1 to INT64_MAX. BRAMA_NOT_GIVEN_U64: as long as
 * its settings say, backoff and jitter included. BRAMA_NEVER: until it is closed or reset. The
 * reason goes into the events; NULL: none.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
brama_result_t brama_open_circuit(brama_t *manager,
                                  const char *identifier,
                                  const char *scope,
                                  const char *reason,
                                  uint64_t expiry_ms);

/** brama_open_circuit with a report. A NULL report adds nothing. */
BRAMA_API
brama_result_t brama_open_circuit_with(brama_t *manager,
                                       const char *identifier,
                                       const char *scope,
                                       const brama_report_t *report,
                                       uint64_t expiry_ms);

/**
 * Closes a circuit. Its count of failures stays, so one more failure may open it again.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
brama_result_t brama_close_circuit(brama_t *manager,
                                   const char *identifier,
                                   const char *scope);

/**
 * Makes a circuit half-open: probes are admitted now. Does nothing if it is half-open already.
 * Arguments and errors as brama_close_circuit.
 */
BRAMA_API
brama_result_t brama_half_open_circuit(brama_t *manager,
                                       const char *identifier,
                                       const char *scope);

/**
 * Closes a circuit, and sets its failure_count, its window and its trips to zero. The totals stay,
 * and so do the time and the cause of the last opening. Arguments and errors as
 * brama_close_circuit.
 */
BRAMA_API
brama_result_t brama_reset_circuit(brama_t *manager,
                                   const char *identifier,
                                   const char *scope);

/** Resets every circuit of a manager, as brama_reset_circuit. Never fails. */
BRAMA_API brama_result_t brama_reset_all(brama_t *manager);

/** brama_open_circuit on a handle. */
BRAMA_API
brama_result_t brama_connection_open_circuit(const brama_connection_t *connection,
                                             const char *reason,
                                             uint64_t expiry_ms);

/** brama_open_circuit_with on a handle. */
BRAMA_API
brama_result_t brama_connection_open_circuit_with(const brama_connection_t *connection,
                                                  const brama_report_t *report,
                                                  uint64_t expiry_ms);

/** brama_close_circuit on a handle. */
BRAMA_API brama_result_t brama_connection_close_circuit(const brama_connection_t *connection);

/** brama_half_open_circuit on a handle. */
BRAMA_API brama_result_t brama_connection_half_open_circuit(const brama_connection_t *connection);

/** brama_reset_circuit on a handle. */
BRAMA_API brama_result_t brama_connection_reset_circuit(const brama_connection_t *connection);

/* -- Settings in effect -------------------------------------------------------------- */

/*
 *     brama_settings_t settings = BRAMA_SETTINGS_INIT;
 *     if (brama_connection_settings(db, &settings) == BRAMA_OK)
 *         printf("opens for %llu ms\n", (unsigned long long)settings.expiry_ms);
 */

/** The settings in effect for a connection; the fields are those of brama_options_t. */
typedef struct brama_settings_t {
    /** Bytes of this struct; set by brama_settings_init. */
    size_t size;
    /** BRAMA_UNLIMITED: no number of failures opens the circuit. */
    uint32_t max_attempts;
    /** See brama_options_t. */
    brama_expiry_strategy_t expiry_strategy;
    /** See brama_options_t. */
    uint64_t expiry_ms;
    /** See brama_options_t. */
    uint64_t initial_expiry_ms;
    /** See brama_options_t. */
    uint64_t max_expiry_ms;
    /** See brama_options_t. */
    double backoff_factor;
    /** See brama_options_t. */
    double jitter;
    /** BRAMA_NONE: failures in a row count. */
    uint64_t window_ms;
    /** BRAMA_NONE: the current expiry, at least 1000. */
    uint64_t probe_timeout_ms;
    /** See brama_options_t. */
    uint32_t half_open_max_calls;
    /** See brama_options_t. */
    uint32_t half_open_successes;
    /** BRAMA_NONE: a call that is given up is ignored. */
    uint64_t cancelled_after_ms;
    /** 0: a success leaves the failures in the window, unless the circuit is half-open. */
    int32_t success_clears_window;
    /** See brama_options_t. */
    brama_mode_t mode;
    /** BRAMA_NONE_F64: the share of failures does not count. */
    double failure_rate;
    /** Without effect while there are rate_calls. */
    uint64_t rate_window_ms;
    /** BRAMA_NONE: the rates count reports within rate_window_ms. */
    uint64_t rate_calls;
    /** See brama_options_t. */
    uint64_t minimum_calls;
    /** BRAMA_NONE: no call is slow. */
    uint64_t slow_call_duration_ms;
    /** BRAMA_NONE_F64: the share of slow calls does not count. */
    double slow_call_rate;
    /** BRAMA_NONE_F64: one failure opens a half-open circuit, half_open_successes close it. */
    double half_open_failure_rate;
    /** BRAMA_NONE: the circuit closes as soon as its probes have succeeded. */
    uint64_t ramp_ms;
    /** See brama_options_t. */
    double ramp_start;
} brama_settings_t;

/** Sets the size, and every field to none or zero. */
BRAMA_API void brama_settings_init(brama_settings_t *settings);

/**
 * Fills in the settings in effect for a connection. Initialise the struct with
 * brama_settings_init. Never registers a connection.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
brama_result_t brama_settings(brama_t *manager,
                              const char *identifier,
                              const char *scope,
                              brama_settings_t *settings);

/** brama_settings on a handle. */
BRAMA_API
brama_result_t brama_connection_settings(const brama_connection_t *connection,
                                         brama_settings_t *settings);
/** brama_settings_init as an initialiser. */
#define BRAMA_SETTINGS_INIT \
    { sizeof(brama_settings_t), 0, 0, 0, 0, 0, 0.0, 0.0, BRAMA_NONE, \
      BRAMA_NONE, 0, 0, BRAMA_NONE, 0, 0, BRAMA_NONE_F64, 0, BRAMA_NONE, 0, \
      BRAMA_NONE, BRAMA_NONE_F64, BRAMA_NONE_F64, BRAMA_NONE, 0.0 }


/* -- Status -------------------------------------------------------------------------- */

/*
 *     brama_status_t status = BRAMA_STATUS_INIT;
 *     if (brama_connection_status(db, &status) == BRAMA_OK && status.state == BRAMA_STATE_OPEN)
 *         printf("%s: open, cause %s\n", status.identifier, brama_cause_name(status.cause));
 */

/**
 * The health of one connection at one moment. Times are Unix ms, or BRAMA_NONE if the event has
 * not happened yet; lengths of time are ms.
 */
typedef struct brama_status_t {
    /** Bytes of this struct; set by brama_status_init. */
    size_t size;
    /** Never NULL. */
    const char *identifier;
    /** NULL: none. */
    const char *scope;
    /** The connection's metadata; NULL if there is none. */
    const brama_pair_t *metadata;
    /** How many pairs metadata has. */
    size_t metadata_count;
    /**
     * The settings in effect, as from brama_connection_settings; not NULL. Their size says which
     * fields are filled in.
     */
    const brama_settings_t *settings;
    /** As of now. Closed while the mode is BRAMA_MODE_DISABLED. */
    brama_state_t state;
    /** Failures in a row, or inside the window if there is one. */
    uint32_t failure_count;
    /** The number of openings since the circuit was last healthy, at most 255. */
    uint32_t trips;
    /** Why the circuit opened last, even if it has closed or was reset since. */
    brama_cause_t cause;
    /**
     * The reason of the last opening, even if the circuit has closed since: that of the failure
     * that opened it, or the one given when it was opened by hand. At most 256 bytes of it. NULL:
     * none.
     */
    const char *reason;
    /** The reason of the last failure that had one, at most 256 bytes of it. NULL: none yet. */
    const char *last_failure_reason;
    /** Successes reported since registration. */
    uint64_t total_successes;
    /** Failures reported since registration. */
    uint64_t total_failures;
    /** Calls rejected since registration. */
    uint64_t total_rejections;
    /**
     * Permits reported as ignored, or as cancelled without being a failure, since registration.
     * Stops at 4294967295.
     */
    uint64_t total_ignored;
    /** Successes / (successes + failures); -1.0 before the first report. */
    double success_rate;
    /**
     * The share of the calls that pass now, in a ramp (ramp_ms); otherwise, and in
     * BRAMA_MODE_DISABLED, BRAMA_NONE_F64. In BRAMA_MODE_SHADOW all calls pass; there it is the
     * share that BRAMA_MODE_NORMAL would let pass.
     */
    double ramp_share;
    /**
     * Time of the last success. It lags by up to a tick of the coarse clock (1 to 10 ms), or by
     * two while calls are frequent.
     */
    uint64_t last_success_time_ms;
    /** Time of the last failure. It may lag as `last_success_time_ms` does. */
    uint64_t last_failure_time_ms;
    /** Time of the last opening, also after a reset. */
    uint64_t opened_at_ms;
    /** Time of the last change of state. */
    uint64_t last_state_change_ms;
    /** Time since the last change of state, or since the registration if there was none. */
    uint64_t time_in_state_ms;
    /**
     * While the circuit is open, how long this opening lasts (BRAMA_NEVER: until it is closed by
     * hand); otherwise how long one would last by the settings, with the present trips.
     */
    uint64_t expiry_ms;
    /**
     * While the circuit is open, how long until probes are admitted (BRAMA_NEVER: not until it is
     * closed by hand); otherwise BRAMA_NONE.
     */
    uint64_t retry_after_ms;
    /**
     * The number of reports that count for the rates: within the window, and since the circuit
     * closed or was reset last. While the circuit is not closed, the number when it opened.
     * BRAMA_NONE if no rate is set, after an opening by hand or by a failed probe, while the mode
     * is BRAMA_MODE_DISABLED, and if the number is not known.
     */
    uint64_t window_calls;
    /** The failures among window_calls; BRAMA_NONE if window_calls is. */
    uint64_t window_failures;
    /** The slow calls among window_calls, failed or not; BRAMA_NONE if window_calls is. */
    uint64_t window_slow;
    /**
     * Calls since registration that passed in BRAMA_MODE_SHADOW and that BRAMA_MODE_NORMAL would
     * have rejected.
     */
    uint64_t would_reject;
    /** Probes that are out now: admitted, not reported, and within their probe_timeout_ms. */
    uint32_t probes_out;
    /** The mode in effect. */
    brama_mode_t mode;
    /**
     * The number of reports that a rate had counted when it opened the circuit last, even if it
     * has closed since. BRAMA_NONE if no rate opened it last, or if the number is not known.
     */
    uint64_t opened_calls;
    /**
     * The number of failures that a rule had counted when it opened the circuit last, even if it
     * has closed since: in a row, inside the window, or among opened_calls, as cause says.
     * BRAMA_NONE after an opening by hand, by a failed probe or by brama_failure_for, or if the
     * number is not known.
     */
    uint64_t opened_failures;
    /** The slow calls among opened_calls, failed or not; BRAMA_NONE if opened_calls is. */
    uint64_t opened_slow;
} brama_status_t;

/**
 * Called by brama_for_each with one status. What status points to is valid until the callback
 * returns. Returning false ends the walk. A host that has no bool returns a byte: 0 is false. Must
 * not throw.
 */
typedef bool (*brama_status_fn)(const brama_status_t *status, void *user_data);

/** Sets the size, and every field to none or zero. */
BRAMA_API void brama_status_init(brama_status_t *status);

/**
 * Fills in the status of a connection. Initialise the struct with brama_status_init. Its strings,
 * metadata and settings belong to the library and are valid until this thread's next call of
 * brama_status or brama_connection_status, or until the thread ends. Never registers a connection.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN;
 * BRAMA_ERR_UNSUPPORTED in a destructor that runs because the thread ends.
 */
BRAMA_API
brama_result_t brama_status(brama_t *manager,
                            const char *identifier,
                            const char *scope,
                            brama_status_t *status);

/** brama_status on a handle. */
BRAMA_API
brama_result_t brama_connection_status(const brama_connection_t *connection,
                                       brama_status_t *status);

/**
 * Calls callback with the status of every connection, ordered by scope and identifier. A snapshot
 * is taken first, so the callback may call anything, even brama_unregister. Each status is
 * consistent with itself; together they are not one instant.
 *
 * scope: only its connections; BRAMA_NO_SCOPE: only those without one; NULL: all. Errors:
 * BRAMA_ERR_INVALID_ARGUMENT. The callback runs on the calling thread.
 */
BRAMA_API
brama_result_t brama_for_each(brama_t *manager,
                              const char *scope,
                              brama_status_fn callback,
                              void *user_data);
/** brama_status_init as an initialiser. */
#define BRAMA_STATUS_INIT \
    { sizeof(brama_status_t), "", NULL, NULL, 0, NULL, BRAMA_STATE_UNKNOWN, 0, 0, 0, \
      NULL, NULL, 0, 0, 0, 0, -1.0, BRAMA_NONE_F64, BRAMA_NONE, BRAMA_NONE, BRAMA_NONE, \
      BRAMA_NONE, 0, 0, BRAMA_NONE, BRAMA_NONE, BRAMA_NONE, BRAMA_NONE, 0, 0, \
      BRAMA_MODE_NORMAL, BRAMA_NONE, BRAMA_NONE, BRAMA_NONE }

/** brama_state_counts_init as an initialiser. */
#define BRAMA_STATE_COUNTS_INIT { sizeof(brama_state_counts_t), 0, 0, 0 }


/* -- All connections, one after the other -------------------------------------------- */

/*
 *     brama_snapshot_t *all;
 *     brama_status_t status = BRAMA_STATUS_INIT;
 *     if (brama_snapshot_new(gate, NULL, &all) == BRAMA_OK) {
 *         while (brama_snapshot_next(all, &status))
 *             show(status.identifier, brama_state_name(status.state));
 *         brama_snapshot_free(all);
 *     }
 */

/** How many connections of a manager are in each state. */
typedef struct brama_state_counts_t {
    /** Bytes of this struct; set by brama_state_counts_init. */
    size_t size;
    /** Healthy. */
    uint64_t closed;
    /** Failing. */
    uint64_t open;
    /** Probing. */
    uint64_t half_open;
} brama_state_counts_t;

/**
 * Makes a snapshot: the status of every connection, ordered by scope and identifier. *out becomes
 * the snapshot, or NULL on error. It is brama_for_each with the loop on the caller's side.
 *
 * scope: only its connections; BRAMA_NO_SCOPE: only those without one; NULL: all. Errors:
 * BRAMA_ERR_INVALID_ARGUMENT.
 */
BRAMA_API
BRAMA_MUST_USE
brama_result_t brama_snapshot_new(brama_t *manager,
                                  const char *scope,
                                  brama_snapshot_t **out);

/**
 * Fills in the next status, and returns whether there was one. Initialise the struct with
 * brama_status_init. What its pointers lead to belongs to the snapshot and is valid until the next
 * call with the snapshot.
 */
BRAMA_API bool brama_snapshot_next(brama_snapshot_t *snapshot, brama_status_t *status);

/** Frees a snapshot and its strings. */
BRAMA_API void brama_snapshot_free(brama_snapshot_t *snapshot);

/** Sets the size, and all else to zero. */
BRAMA_API void brama_state_counts_init(brama_state_counts_t *counts);

/**
 * Counts the connections in each state. Initialise the struct with brama_state_counts_init.
 * Errors: BRAMA_ERR_INVALID_ARGUMENT.
 */
BRAMA_API brama_result_t brama_state_counts(brama_t *manager, brama_state_counts_t *counts);

/* -- The state of all circuits, saved and restored ----------------------------------- */

/*
 *     uint8_t *data;
 *     size_t length, count;
 *     if (brama_save(gate, &data, &length) == BRAMA_OK) {
 *         // Keep it somewhere. In the next process, with its own manager:
 *         brama_restore(gate, data, length, &count);
 *         brama_data_free(data);
 *     }
 */

/**
 * Saves the state of every circuit as data for brama_restore: in this process later, in the next
 * one, or on another machine. *data becomes the data, *length its length in bytes.
 *
 * Of each circuit it has the name, the state, how long an opening still has to run, the trips, the
 * failures in a row, why it opened last, the reason of its last failure, and the totals. Not saved
 * are settings, metadata, windows, rates, the times of reports, and saved circuits that wait for a
 * registration. A circuit in BRAMA_MODE_DISABLED is saved in the state that it will have once it
 * is enabled. A manager that was shut down has no circuits any more: save first.
 *
 * The circuits are read one after the other, so together they are not one instant. No call on a
 * circuit waits for it. On error *data is NULL and *length 0. Errors: BRAMA_ERR_INVALID_ARGUMENT,
 * BRAMA_ERR_OUT_OF_MEMORY.
 */
BRAMA_API
BRAMA_MUST_USE
brama_result_t brama_save(brama_t *manager,
                          uint8_t **data,
                          size_t *length);

/** Frees what brama_save made. */
BRAMA_API void brama_data_free(uint8_t *data);

/**
 * Restores circuits from what brama_save made. The saved circuit of a name that is not registered
 * waits, and the first registration of the name restores it. If count is not NULL, *count becomes
 * the number of circuits that were restored or that wait. All of the data is checked before
 * anything is changed.
 *
 * A restore is a transition by hand: permits that are out are stale (BRAMA_ERR_STALE), and there
 * are the events of brama_open_circuit, brama_close_circuit and brama_half_open_circuit, with the
 * saved cause and reason.
 *
 * An opening lasts for what was left of it at the save, less the time that has passed since by the
 * wall clock; no jitter is added. If nothing is left, its end is due at once. An opening without
 * an end has none again. A half-open circuit has no successes, and no probe is out. Windows and
 * rates are empty; with a window_ms no failure counts. The totals become the saved ones, unless
 * they are higher already. In BRAMA_MODE_DISABLED the restore takes effect when the circuit is
 * enabled, and its events say so (BRAMA_EVENT_DEFERRED).
 *
 * A circuit that has changed its state since the save, by the wall clock, stays as it is and is
 * not counted. A registration is no change of state; another restore is one.
 *
 * Saved circuits that wait take as much memory as in the data. A later restore replaces those of
 * the same names. Errors: BRAMA_ERR_INVALID_ARGUMENT (the data is damaged, cut off, of another
 * version or not from brama_save: brama_last_error_message says what is wrong at which offset),
 * BRAMA_ERR_SHUT_DOWN. Then nothing was changed, and *count is 0.
 */
BRAMA_API
brama_result_t brama_restore(brama_t *manager,
                             const uint8_t *data,
                             size_t length,
                             size_t *count);

/* -- Events -------------------------------------------------------------------------- */

/**
 * In brama_event_t.flags: the event stands for one or more events of its type and connection that
 * found no room. It has the state that held when the event was made, which may be later than the
 * change that its type names. Its reason and metadata may be missing.
 */
#define BRAMA_EVENT_COALESCED 1

/**
 * In brama_event_t.flags: the reason or the metadata is not as the reporter gave it. The library
 * cut it or left it out to keep the bounds that brama_report_t names, or made it valid UTF-8.
 */
#define BRAMA_EVENT_TRUNCATED 2

/**
 * In brama_event_t.flags: the mode is BRAMA_MODE_SHADOW, so the circuit rejects nothing. With this
 * flag, a BRAMA_EVENT_CALL_REJECTED is about a call that passed.
 */
#define BRAMA_EVENT_SHADOW 4

/**
 * In brama_event_t.flags: the circuit was controlled by hand while it was disabled. The change
 * takes effect when the circuit is enabled again. The reason says so, too.
 */
#define BRAMA_EVENT_DEFERRED 8

/** An event: something that happened to one connection. */
typedef struct brama_event_t {
    /** Bytes of this struct that are filled in. */
    size_t size;
    /** What it is about. */
    brama_event_type_t event_type;
    /** The state before; BRAMA_STATE_UNKNOWN for a registration. */
    brama_state_t previous_state;
    /** The state after; BRAMA_STATE_UNKNOWN for a removal. */
    brama_state_t new_state;
    /** Failures in a row, or inside the window, when it happened. */
    uint32_t failure_count;
    /**
     * BRAMA_EVENT_COALESCED, BRAMA_EVENT_TRUNCATED, BRAMA_EVENT_SHADOW and
     * BRAMA_EVENT_DEFERRED, as far as they apply. Other bits may come: ignore them.
     */
    uint32_t flags;
    /**
     * Why the circuit is open, if it is open after the event. BRAMA_CAUSE_NONE if it is not, or if
     * the cause is not known yet.
     */
    brama_cause_t cause;
    /**
     * Orders the events of one connection: of two events, the one with the larger number has the
     * later state. Grows in the order of delivery. No order between connections is promised.
     */
    uint64_t sequence;
    /**
     * The number of the registration, in its manager. A name that is registered again has a larger
     * number.
     */
    uint64_t registration;
    /** When it happened, in Unix ms, to a few ms. */
    uint64_t timestamp_ms;
    /**
     * How long the opening lasts, if the circuit is open after the event. In the events of an
     * expiry (BRAMA_EVENT_EXPIRY, and BRAMA_EVENT_STATE_CHANGE and BRAMA_EVENT_CIRCUIT_HALF_OPENED
     * with it), and of the removal of an open circuit: how long the opening that has ended was to
     * last. BRAMA_NONE in other events, for an opening until it is closed by hand, and if the
     * length is not known, for example after an expiry in an event with BRAMA_EVENT_COALESCED.
     */
    uint64_t expiry_ms;
    /** The connection's identifier, a string; never NULL. */
    const char *connection;
    /** The connection's scope; NULL: none. */
    const char *scope;
    /** The reason that the reporter gave, or the text of a notice; NULL: none. */
    const char *reason;
    /** The metadata of the report; NULL: none. */
    const brama_pair_t *metadata;
    /** How many pairs metadata has. */
    size_t metadata_count;
    /**
     * The reports that counted for the rates when the circuit opened, as in brama_status_t.
     * BRAMA_NONE if the event is not about an opening, after an opening by hand or by a failed
     * probe, if no rate was set, and in an event with BRAMA_EVENT_COALESCED.
     */
    uint64_t window_calls;
    /** The failures among window_calls; BRAMA_NONE if window_calls is. */
    uint64_t window_failures;
    /** The slow calls among window_calls, failed or not; BRAMA_NONE if window_calls is. */
    uint64_t window_slow;
    /**
     * The mode that was in effect. If it is BRAMA_MODE_DISABLED, the states of the event are those
     * that hold once the circuit is enabled again; meanwhile brama_state is BRAMA_STATE_CLOSED.
     */
    brama_mode_t mode;
    /** Zero. */
    uint32_t reserved;
} brama_event_t;

/* -- Subscriptions with a callback --------------------------------------------------- */

/*
 *     static void alarm(const brama_event_t *event, void *user_data) {
 *         fprintf(user_data, "%s is down: %s\n", event->connection,
 *                 event->reason != NULL ? event->reason : "?");
 *     }
 *
 *     static brama_subscription_t *subscribe(brama_t *gate) {
 *         brama_filter_t filter = BRAMA_FILTER_INIT;
 *         brama_subscription_t *subscription = NULL;
 *         filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_CIRCUIT_OPENED);
 *         brama_subscribe(gate, &filter, alarm, stderr, NULL, &subscription);
 *         return subscription; // for brama_unsubscribe
 *     }
 */

/**
 * Returns whether an event is wanted; otherwise as brama_event_fn. A host that has no bool returns
 * a byte: 0 is false.
 */
typedef bool (*brama_predicate_fn)(const brama_event_t *event, void *user_data);

/** Which events a subscriber wants. A field that is not given lets all events pass. */
typedef struct brama_filter_t {
    /** Bytes of this struct; set by brama_filter_init. */
    size_t size;
    /**
     * BRAMA_EVENT_BIT(BRAMA_EVENT_...) of every type that is wanted, combined with |; 0: all
     * types. A BRAMA_EVENT_ constant itself is no bit: BRAMA_EVENT_CIRCUIT_CLOSED is 8, which
     * is the bit of BRAMA_EVENT_FAILURE.
     */
    uint32_t event_types;
    /** Zero; anything else is refused. */
    uint32_t reserved;
    /**
     * A string: only connections with this identifier, in any scope unless one is given. NULL:
     * any.
     */
    const char *connection;
    /**
     * A string: only connections of this scope; BRAMA_NO_SCOPE: only those without one. NULL: any.
     */
    const char *scope;
    /** Only events for which the predicate returns true. NULL: all. */
    brama_predicate_fn predicate;
    /** The user data of the predicate. */
    void *predicate_data;
    /**
     * Called with predicate_data when the subscription has ended, or if it cannot begin:
     * exactly once per subscribe call that accepted this struct. It is not called if the
     * struct was rejected because of its size or because unknown trailing bytes were not
     * zero. It is called immediately if there is no predicate. NULL: none.
     */
    brama_destroy_fn predicate_destroy;
} brama_filter_t;

/** What became of a manager's events, in numbers. */
typedef struct brama_event_counts_t {
    /** Bytes of this struct; set by brama_event_counts_init. */
    size_t size;
    /** Events that a subscriber wanted when they happened. */
    uint64_t published;
    /** Deliveries: an event that three subscribers received counts three times. */
    uint64_t delivered;
    /** Events of droppable types that found no room, and all events that a shutdown left. */
    uint64_t dropped;
    /**
     * Events of the other types that were merged into a later one, or that were left out because
     * the connection was registered and removed meanwhile.
     */
    uint64_t coalesced;
    /** Callbacks of Rust subscribers that panicked. */
    uint64_t panics;
    /**
     * 1 while the background thread runs in this process, otherwise 0: the manager was made
     * without one or was shut down, the system refuses to start one, or this is the child of a
     * fork that has not used the manager yet. Without it, brama_poll and brama_queue_drain deliver
     * events.
     */
    uint32_t background_running;
    /** Zero. */
    uint32_t reserved;
} brama_event_counts_t;

/**
 * Called with one event. What event points to is valid until the callback returns. The
 * introduction (CALLBACKS) says where it runs and what it may do; it may even end its own
 * subscription. While it runs, no other event of the manager is delivered.
 */
typedef void (*brama_event_fn)(const brama_event_t *event, void *user_data);

/**
 * Called with several events at a time. The i-th is at (const char *)events + i * event_size.
 * Otherwise as brama_event_fn.
 */
typedef void (*brama_events_fn)(const brama_event_t *events,
                                size_t event_size,
                                size_t count,
                                void *user_data);

/** Makes a filter that lets everything pass. */
BRAMA_API void brama_filter_init(brama_filter_t *filter);

/** Sets the size, and all else to zero. */
BRAMA_API void brama_event_counts_init(brama_event_counts_t *counts);

/**
 * Calls callback for every event that filter lets pass, until the subscription ends: by
 * brama_unsubscribe, by brama_unsubscribe_matching or by the manager's shutdown. A NULL filter
 * lets everything pass.
 *
 * destroy, if not NULL, is called exactly once with user_data, when the callback will not run any
 * more: after the subscription has ended, by the thread that ended it or that ran the callback. If
 * this function fails, for whatever reason, destroy is called before it returns.
 *
 * If out is not NULL, *out becomes the subscription, or NULL on error. The callback may run before
 * *out is written. If out is NULL, the subscription lasts as long as the manager.
 *
 * Errors: BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN; BRAMA_ERR_UNSUPPORTED if the manager is
 * to have a background thread and the system refuses to start it, so that the callback could never
 * run.
 */
BRAMA_API
brama_result_t brama_subscribe(brama_t *manager,
                               const brama_filter_t *filter,
                               brama_event_fn callback,
                               void *user_data,
                               brama_destroy_fn destroy,
                               brama_subscription_t **out);

/**
 * brama_subscribe with a callback for up to `most` events at a time. A batch is delivered when it
 * has `most` events, or when no more events wait. `most` is 1 to 16777216; any other number is
 * BRAMA_ERR_INVALID_CONFIG.
 */
BRAMA_API
brama_result_t brama_subscribe_batched(brama_t *manager,
                                       const brama_filter_t *filter,
                                       size_t most,
                                       brama_events_fn callback,
                                       void *user_data,
                                       brama_destroy_fn destroy,
                                       brama_subscription_t **out);

/**
 * Ends a subscription and frees it. It waits for a callback under way on another thread. When it
 * has returned, the callback is not running and never will again, and destroy has been called.
 *
 * Called from a callback, predicate or brama_destroy_fn, of this manager or any other, it waits
 * for nothing and returns at once. The guarantee then holds once the callback under way has
 * returned, and the thread that runs it calls destroy. So free user data in destroy, not after
 * this call. The same applies after a brama_shutdown_within whose time was over.
 */
BRAMA_API void brama_unsubscribe(brama_subscription_t *subscription);

/** Frees the pointer to a subscription without ending it: it lasts as long as the manager. */
BRAMA_API void brama_subscription_detach(brama_subscription_t *subscription);

/**
 * Ends every subscription, also of a queue, whose filter falls under a pattern: the filter has the
 * same connection and the same scope, where the pattern gives them, and no type that the pattern
 * does not have. The predicate of the pattern is ignored and not destroyed. A NULL pattern ends
 * all subscriptions. The guarantee is that of brama_unsubscribe. Subscriptions and queues still
 * have to be freed.
 *
 * Errors: BRAMA_ERR_INVALID_ARGUMENT.
 */
BRAMA_API
brama_result_t brama_unsubscribe_matching(brama_t *manager,
                                          const brama_filter_t *pattern);

/**
 * Counts what became of a manager's events, and says whether its background thread runs. The
 * counts are exact while no event is on its way, for example after brama_poll. Initialise the
 * struct with brama_event_counts_init. Errors: BRAMA_ERR_INVALID_ARGUMENT.
 */
BRAMA_API brama_result_t brama_event_counts(brama_t *manager, brama_event_counts_t *counts);
/** brama_filter_init as an initialiser. */
#define BRAMA_FILTER_INIT \
    { sizeof(brama_filter_t), 0, 0, NULL, NULL, NULL, NULL, NULL }

/** brama_event_counts_init as an initialiser. */
#define BRAMA_EVENT_COUNTS_INIT { sizeof(brama_event_counts_t), 0, 0, 0, 0, 0, 0, 0 }


/* -- Queues of events ---------------------------------------------------------------- */

/*
 *     #include <errno.h>
 *     #include <poll.h>
 *
 *     // Shows the events until the queue is closed or its manager is shut down. The manager has a
 *     // background thread. Without one, give poll a time-out and call brama_poll in each round.
 *     static void show_events(brama_queue_t *queue) {
 *         brama_event_t events[64];
 *         struct pollfd ready = {-1, POLLIN, 0};
 *         bool closed = false;
 *         if (brama_queue_fd(queue, &ready.fd) != BRAMA_OK)
 *             return;
 *         while (!closed) {
 *             size_t count;
 *             if (poll(&ready, 1, -1) < 0 && errno != EINTR)
 *                 return;
 *             // Asked before the drain: an event may come between a drain and the end.
 *             closed = brama_queue_is_closed(queue);
 *             do {
 *                 count = 0;
 *                 brama_queue_drain(queue, events, sizeof(brama_event_t), 64, &count);
 *                 for (size_t i = 0; i < count; i++)
 *                     show(events[i].connection, brama_event_type_name(events[i].event_type));
 *             } while (count > 0);
 *         }
 *     }
 *
 *     static void watch(brama_t *gate) {
 *         brama_queue_t *queue;
 *         if (brama_queue_new(gate, NULL, 1024, &queue) != BRAMA_OK)
 *             return;
 *         show_events(queue);
 *         brama_queue_free(queue);
 *     }
 */

/**
 * Makes a queue of every event that filter lets pass: *out becomes the queue, or NULL on error. Up
 * to capacity events wait in order; the introduction (EVENTS) says what happens when the queue is
 * full. A NULL filter lets everything pass.
 *
 * Errors: BRAMA_ERR_INVALID_CONFIG if capacity is not 1 to 16777216, BRAMA_ERR_INVALID_ARGUMENT,
 * BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
BRAMA_MUST_USE
brama_result_t brama_queue_new(brama_t *manager,
                               const brama_filter_t *filter,
                               size_t capacity,
                               brama_queue_t **out);

/**
 * Takes up to capacity events out of the queue, in order, into the array events; *count becomes
 * their number. Returns at once, even if there are none.
 *
 * event_size is sizeof(brama_event_t): the step from one element to the next. The strings of the
 * events belong to the queue and are valid until it is drained again or freed. So only one thread
 * at a time may drain a queue. In a manager without a background thread this also does what
 * brama_poll does.
 *
 * events may be NULL if capacity is 0. Works after brama_queue_close and brama_shutdown. Errors:
 * BRAMA_ERR_INVALID_ARGUMENT.
 */
BRAMA_API
brama_result_t brama_queue_drain(brama_queue_t *queue,
                                 brama_event_t *events,
                                 size_t event_size,
                                 size_t capacity,
                                 size_t *count);

/**
 * Waits until an event can be drained, at most timeout_ms (BRAMA_NEVER: for ever), and returns
 * whether one can; another thread may take it first. Returns false at once if the queue is closed
 * and nothing waits. In a manager without a background thread this also does what brama_poll does.
 * Any number of threads may wait. Inside a callback of the manager nothing arrives meanwhile: do
 * not wait for ever there. In a destructor that runs because a thread ends, it may return false at
 * once.
 */
BRAMA_API bool brama_queue_wait(brama_queue_t *queue, uint64_t timeout_ms);

/**
 * Gives a file descriptor for poll, epoll, libuv or asyncio, in *fd. It is readable while events
 * wait, and for ever once the queue is closed. It belongs to the queue, and brama_queue_free closes
 * it. Do not read from it and do not close it: drain the queue.
 *
 * Without a background thread an event makes it readable only when brama_poll delivers the event,
 * or another queue of the manager does in brama_queue_drain or brama_queue_wait. Call brama_poll
 * from a timer.
 *
 * Errors: BRAMA_ERR_INVALID_ARGUMENT; BRAMA_ERR_LIMIT if too many files are open,
 * BRAMA_ERR_OUT_OF_MEMORY, or BRAMA_ERR_UNSUPPORTED if the system has no such descriptor.
 */
BRAMA_API brama_result_t brama_queue_fd(brama_queue_t *queue, int *fd);

/**
 * Ends the queue's subscription: no more events come, and waiting threads are woken. Events that
 * wait can still be drained. Further calls do nothing. Errors: BRAMA_ERR_INVALID_ARGUMENT.
 */
BRAMA_API brama_result_t brama_queue_close(brama_queue_t *queue);

/**
 * Returns whether no more events will come: the queue was closed, its subscription was ended, or
 * its manager was shut down. Events may still wait. To get all of them, ask this before the last
 * drain: after a true answer no event is added, so a drain that follows and finds none is the
 * last. True for NULL.
 */
BRAMA_API bool brama_queue_is_closed(const brama_queue_t *queue);

/**
 * Closes a queue and frees it, with its descriptor and the strings of its events. No other thread
 * may be using the queue: close it first, and join the threads that wait for it. May be called
 * from a callback, even from one that a brama_queue_drain of this queue runs: that call then gives
 * no events.
 */
BRAMA_API void brama_queue_free(brama_queue_t *queue);

/* -- Many handles in one call -------------------------------------------------------- */

/*
 *     brama_report_item_t items[2] = {BRAMA_REPORT_ITEM_INIT, BRAMA_REPORT_ITEM_INIT};
 *     items[0].connection = db;
 *     items[0].outcome = BRAMA_OUTCOME_SUCCESS;
 *     items[1].connection = search;
 *     items[1].outcome = BRAMA_OUTCOME_FAILURE;
 *     items[1].reason = "HTTP 503";
 *     brama_report_many(items, sizeof(brama_report_item_t), 2);
 */

/** One report of brama_report_many. */
typedef struct brama_report_item_t {
    /** Bytes of this struct; set by brama_report_item_init. */
    size_t size;
    /** Which connection; not NULL. */
    const brama_connection_t *connection;
    /** Why it failed, UTF-8. NULL: not said. Ignored for a success. */
    const char *reason;
    /** Bytes of the reason; BRAMA_TERMINATED (default): it ends with a NUL. 0: it is empty. */
    size_t reason_length;
    /** BRAMA_OUTCOME_SUCCESS or BRAMA_OUTCOME_FAILURE. */
    brama_outcome_t outcome;
    /**
     * Filled in by the call: what brama_connection_success or brama_connection_failure
     * would have returned.
     */
    brama_result_t result;
} brama_report_item_t;

/** Sets every field to "not given". */
BRAMA_API void brama_report_item_init(brama_report_item_t *item);

/**
 * brama_connection_available for count handles: writes count answers into the array answers. A
 * NULL handle yields false, and the call returns BRAMA_ERR_INVALID_ARGUMENT after it has answered
 * for the others. If an array is NULL and count is not 0, nothing is written and
 * BRAMA_ERR_INVALID_ARGUMENT is returned.
 */
BRAMA_API
brama_result_t brama_available_many(const brama_connection_t *const *connections,
                                    size_t count,
                                    bool *answers);

/**
 * Reports for count connections, in order. Every item is tried and gets its own result. Returns
 * BRAMA_OK, or the first result that is not. item_size is sizeof(brama_report_item_t): the step
 * from one item to the next. Initialise each item with brama_report_item_init; one whose size is
 * wrong gets BRAMA_ERR_INVALID_ARGUMENT. If items is NULL and count is not 0, or item_size is too
 * small, nothing is reported and BRAMA_ERR_INVALID_ARGUMENT is returned.
 */
BRAMA_API
brama_result_t brama_report_many(brama_report_item_t *items,
                                 size_t item_size,
                                 size_t count);
/** brama_report_item_init as an initialiser. */
#define BRAMA_REPORT_ITEM_INIT \
    { sizeof(brama_report_item_t), NULL, NULL, BRAMA_TERMINATED, 0, BRAMA_OK }


/* -- Time that a test decides -------------------------------------------------------- */

/*
 *     brama_clock_t *clock = brama_clock_new(1700000000000);
 *     brama_config_t config = BRAMA_CONFIG_INIT;
 *     config.clock = clock;
 *     brama_t *gate = brama_new(&config);
 *     brama_register(gate, "db", NULL, NULL, NULL);
 *     brama_open_circuit(gate, "db", NULL, NULL, 60000);
 *     brama_clock_advance(clock, 60000); // no test has to sleep
 *     if (brama_state(gate, "db", NULL) == BRAMA_STATE_HALF_OPEN)
 *         puts("it probes again");
 *     brama_free(gate);
 *     brama_clock_free(clock);
 */

/**
 * Makes a clock that shows this Unix time, in ms, and stands still. Give it to brama_new in
 * brama_config_t.clock. A time above INT64_MAX is refused: the constants, such as BRAMA_NONE, are
 * there.
 */
BRAMA_API BRAMA_MUST_USE brama_clock_t *brama_clock_new(uint64_t unix_ms);

/** Frees a clock. For managers that use it, time stands still from now on. */
BRAMA_API void brama_clock_free(brama_clock_t *clock);

/**
 * Moves the time on by so many ms; it stops 34 years after the clock's start. What became due
 * takes effect at the next call, on any thread; brama_poll does it now. Errors:
 * BRAMA_ERR_INVALID_ARGUMENT.
 */
BRAMA_API brama_result_t brama_clock_advance(brama_clock_t *clock, uint64_t ms);

/** Returns the time that a clock shows, in Unix ms; BRAMA_NONE for NULL. */
BRAMA_API uint64_t brama_clock_unix_ms(const brama_clock_t *clock);

#ifdef __cplusplus
}
#endif

#endif /* BRAMA_H */
