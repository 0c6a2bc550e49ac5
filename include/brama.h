/*
 * brama.h: a circuit breaker, from C and C++.
 *
 * brama ("gate") keeps track of the health of a program's connections to what it depends on, and
 * stops calls to what is failing.
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
 * Build with `cc program.c -lbrama`.
 *
 * STATES. A connection is closed from its registration: calls pass. A rule that fires opens it:
 * calls are rejected. When its expiry is over it is half-open: a limited number of calls, the
 * probes, test the dependency. Enough successes close it, one failure opens it again. Time is part
 * of the state: every function sees the state as of now, on any thread.
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
 *     last calls      the same shares of exactly the last rate_calls reports
 *     Retry-After     brama_failure_for: the dependency asked to be left alone
 *
 * Below minimum_calls no rate opens a circuit. A failure_rate replaces the default max_attempts,
 * so give max_attempts, too. To begin with:
 *
 *     options.max_attempts = 9;         // failures in a row, or
 *     options.failure_rate = 0.5;       // half of at least 20 calls within 10 s;
 *     options.expiry_ms = 5000;         // then 5 s open,
 *     options.half_open_max_calls = 2;  // then two probes,
 *     options.half_open_successes = 2;  // of which both have to succeed,
 *     options.ramp_ms = 2000;           // then 2 s with a growing share of the calls
 *
 * src/docs/rules.md in the source has settings for five kinds of dependency, what rates count
 * exactly, and what they cost.
 *
 * RECOVERY. half_open_max_calls probes may be out at once, and half_open_successes of them close
 * the circuit. With half_open_failure_rate as many probes are admitted in all, and their share of
 * failures decides. With ramp_ms the circuit then stays half-open for that long and admits a share
 * of the calls that grows from ramp_start (0.1) to 1. Two failures in a row, or a rate, open it
 * again. src/docs/recovery.md in the source says this in full.
 *
 * TWO WAYS. Guarded calls: acquire a permit, call, report on the permit. Or ask (brama_available),
 * call, report (brama_success, brama_failure): simpler to add to existing code, but a half-open
 * circuit then admits every caller that asks. Both ways exist by name, and by handle. A handle
 * costs no look-up: keep one for a hot path.
 *
 * NAMES. A connection has an identifier, and optionally a scope: ("payment_api", NULL) and
 * ("payment_api", "billing") are different connections. Each is 1 to 1024 bytes of UTF-8. Strings
 * that go in end with a NUL; functions whose name ends in _n take lengths instead. The library
 * copies what it keeps. All strings that come out end with a NUL, and their function says how long
 * they are valid.
 *
 * TEXT NEVER COSTS A REPORT. The library makes a reason, or metadata of a report, valid UTF-8 and
 * cuts it if it is too long. The report counts, and its event has BRAMA_EVENT_TRUNCATED.
 *
 * POINTERS. A NULL manager is the default manager, and a NULL scope means that the connection has
 * none. No other pointer may be NULL unless its function says what NULL means. Otherwise a
 * function that returns a code returns BRAMA_ERR_INVALID_ARGUMENT, a bool is false, a pointer is
 * NULL, and nothing was done. Functions that end in _init, _free, _release or _detach ignore NULL,
 * and so does brama_unsubscribe.
 *
 * ERRORS. A function that can fail returns brama_result_t: BRAMA_OK, which is 0, or a negative
 * code. One that returns a pointer returns NULL. After a failure, brama_last_error_message() says
 * what was wrong, and brama_last_error_code() is its code, on this thread. The same holds after a
 * question of brama_available or brama_state (by name, by handle or with lengths) that was
 * answered false or BRAMA_STATE_UNKNOWN. A call that fails changes nothing, unless it says so.
 *
 * OWNERSHIP. What a function makes is given back once; everything else is the caller's own memory.
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
 * Handles are counted, hence _release; everything else has one owner, hence _free. Handles,
 * subscriptions and queues may outlive their manager.
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
 * TIME. Lengths of time are in milliseconds, in uint64_t named ..._ms. Times are Unix
 * milliseconds, made of the monotonic clock: a wall-clock jump opens and closes nothing. An
 * opening that would last longer than 34 years lasts until it is closed by hand.
 *
 * THREADS. Every function may be called from any thread at any time, with two exceptions. A
 * function that gives an owned thing back (OWNERSHIP) must be the last use of its pointer. Only
 * one thread at a time may drain a given queue, or take from a given snapshot.
 *
 * Calls, reports and questions never wait and take no lock. They allocate only if there is a
 * subscriber and the reason is longer than 38 bytes or there is metadata. These functions may wait
 * for a callback that is running on another thread: brama_poll (and brama_queue_drain and
 * brama_queue_wait where no background thread runs), brama_shutdown, brama_free,
 * brama_unsubscribe, brama_unsubscribe_matching, brama_queue_close, brama_queue_free, and until
 * its time is over brama_shutdown_within. Do not hold a lock meanwhile that a callback takes.
 * Called from a callback they wait for nothing.
 *
 * A manager's background thread is called "brama-driver" and blocks all signals. If the system
 * starts none, brama_subscribe returns BRAMA_ERR_UNSUPPORTED,
 * brama_event_counts_t.background_running is 0, and everything else works as in a manager without
 * a background thread.
 *
 * SIGNAL HANDLERS. A handler may read a pass word (brama_connection_pass_word, obtained before).
 * It must call no function of this library: an expiry that it finds may be reported, which can
 * start a thread; the first use by a thread allocates; a report that interrupts another may lose a
 * count.
 *
 * CANCELLED THREADS. Do not cancel a thread (pthread_cancel) while it is inside a function of this
 * library: disable cancellation, or cancel where you wait for the dependency. Such a thread
 * reports brama_permit_cancelled.
 *
 * INTERPRETERS. Callbacks come on a foreign thread. An interpreter with a lock or with per-thread
 * state (Python, Ruby, Perl, R, Node) must not run its code there: it deadlocks or dies. Use a
 * queue and drain it on one of the interpreter's threads (brama_queue_fd wakes event loops),
 * brama_snapshot_new in place of brama_for_each where a callback is awkward, permits by pointer
 * (the functions that end in _at), and brama_connection_pass_word.
 *
 * CALLBACKS run on the manager's own thread, on one that calls brama_poll, or on one that calls
 * another of the functions that may wait (THREADS); never on a thread that reports. They may call
 * anything in this library, and none of their calls waits for another callback, of this manager or
 * any other. They must return: no longjmp and no C++ exception may leave them. On the manager's
 * thread all signals are blocked, also in what a callback starts there; a fault in a callback ends
 * the process without a handler.
 *
 * EVENTS. success, failure, probe and call_rejected may be dropped under overload, and every drop
 * is counted. All other types are delivered at least once to every subscriber that they match.
 * Where there is no room, the events of one type and connection arrive late, merged into the
 * latest of them (BRAMA_EVENT_COALESCED), and a connection that came and went meanwhile leaves
 * none. A subscriber that hears of a registration hears of the removal, afterwards. In a queue
 * that wants removals, nothing of that connection comes later. The capacities and the number of
 * connections bound the memory, since reasons and metadata are bounded, too (brama_report_t).
 *
 * THE END OF THE PROCESS. exit() and a return from main deliver nothing: the background thread
 * runs on until the system ends it, also while atexit functions and destructors of static objects
 * run. So a program calls brama_shutdown_within(manager, timeout_ms, &left), with NULL for the
 * default manager, before it returns from main or calls exit, if it wants its last events or if
 * its callbacks use what such functions destroy. The call may be registered with atexit: functions
 * that were registered later, and destructors of static objects that were made later, have then
 * run already.
 *
 * FORK. In the child of a fork() everything works on with the state that it had: managers,
 * handles, permits, subscriptions, queues. The background thread restarts by itself. Events that
 * were waiting are the parent's. The descriptor of a queue keeps its number and is the child's
 * own, to be registered again with an event loop.
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
 * The version of the library that is loaded, such as "0.1.0"; that of the header is
 * BRAMA_VERSION_STRING. Never NULL, valid for ever.
 */
BRAMA_API const char *brama_version(void);

/**
 * The version of the binary interface of the library that is loaded; a program works with it
 * if this equals the header's BRAMA_ABI_VERSION. It is major * 1000, before version 1.0 +
 * minor.
 */
BRAMA_API uint32_t brama_abi_version(void);

/* -- Results and errors -------------------------------------------------------------- */

/*
 *     if (brama_success(NULL, "no such name", NULL) != BRAMA_OK)
 *         fprintf(stderr, "%s\n", brama_last_error_message());
 */

/** What a function answers: BRAMA_OK, or one of the negative BRAMA_ERR_ values. */
typedef int32_t brama_result_t;

/** Done. */
#define BRAMA_OK 0
/** An argument is NULL, not UTF-8, or out of its range. Nothing was done. */
#define BRAMA_ERR_INVALID_ARGUMENT (-1)
/** No connection of this name is registered, or not any more. */
#define BRAMA_ERR_NOT_FOUND (-2)
/** A connection of this name is registered already, and was left as it is. */
#define BRAMA_ERR_ALREADY_REGISTERED (-3)
/** The circuit does not admit the call. */
#define BRAMA_ERR_REJECTED (-4)

/**
 * The state that the permit was given in is gone: the report was counted in the
 * totals and changed nothing else.
 */
#define BRAMA_ERR_STALE (-5)

/** A setting is out of its range. Nothing was changed. */
#define BRAMA_ERR_INVALID_CONFIG (-6)
/** The manager was shut down. */
#define BRAMA_ERR_SHUT_DOWN (-7)
/** A defect of the library. It is contained: other calls still work. */
#define BRAMA_ERR_PANIC (-8)
/** The operating system does not support, or refuses, what this function needs. */
#define BRAMA_ERR_UNSUPPORTED (-9)

/**
 * There is no memory for what the caller gave the size of, or the system has none. Where
 * the process runs out of memory otherwise, it is aborted.
 */
#define BRAMA_ERR_OUT_OF_MEMORY (-10)

/** A limit of the process or the system is reached: of open files, say. */
#define BRAMA_ERR_LIMIT (-11)

/**
 * What a result code means in general, in English: a short sentence without details, even for
 * numbers that are no code. Never NULL, valid for ever.
 */
BRAMA_API const char *brama_strerror(brama_result_t result);

/**
 * The code of this thread's last call that failed, for functions that return a pointer or a
 * bool: one of the BRAMA_ERR_ values, or BRAMA_OK if none has failed. Calls that succeed leave
 * it as it is. Each thread has its own.
 */
BRAMA_API brama_result_t brama_last_error_code(void);

/**
 * What went wrong in this thread's last call that failed, with the argument, its
 * value and what is allowed, such as
 *
 *   invalid setting `jitter` = 1.5: must be 0.0 to 1.0
 *
 * Of a rejection it says the connection's name, up to 40 bytes of it, and the cause of the
 * opening, what its rule had counted and its reason, as they are when this is asked:
 *
 *   rejected: the circuit of "db" is open (failure_rate, 12 of 20 calls failed: timeout),
 *   retry after 5s
 *
 * Never NULL; "" if no call of this thread has failed. Calls that succeed leave it
 * as it is. Valid until the next call of this thread that fails, or its end. Each
 * thread has its own.
 */
BRAMA_API const char *brama_last_error_message(void);

/* -- States, types of events, numbers with a meaning --------------------------------- */

/*
 * NUMBERS WITH A MEANING. In whole numbers -1 is BRAMA_NEVER and BRAMA_UNLIMITED, -2 what was
 * not given, -3 what is inherited, -4 BRAMA_NONE, at each width: a constant that is cut to the
 * width of a field keeps its meaning. A setting refuses those that mean nothing for it. In a
 * double they have no value in common: there BRAMA_NOT_GIVEN_F64, BRAMA_INHERIT_F64 and
 * BRAMA_NONE_F64 have them, and a setting refuses the constants for whole numbers.
 *
 * A constant of 32 bits loses its meaning in a field of type uint64_t: C makes another number of
 * it. There BRAMA_NOT_GIVEN_U32 and BRAMA_INHERIT_U32 are refused, so 4294967294 and 4294967293
 * ms cannot be given. BRAMA_UNLIMITED is the exception: it is 4294967295 ms there.
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
 * In a setting of type uint32_t: takes it back. A connection follows its manager again, a
 * manager the default.
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
/** No value: a time before its first occurrence, a window that is not there. */
#define BRAMA_NONE UINT64_C(0xfffffffffffffffc)

/** No value, in a field of type double: a rate that is not there. */
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
/** A connection was registered. */
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
/** A connection was registered. */
#define BRAMA_EVENT_CONNECTION_REGISTERED 10
/** A connection was unregistered. */
#define BRAMA_EVENT_CONNECTION_UNREGISTERED 11
/** The circuit admits probes. */
#define BRAMA_EVENT_CIRCUIT_HALF_OPENED 12
/** A connection is gone, unregistered or cleaned up. */
#define BRAMA_EVENT_CONNECTION_REMOVED 13
/** A call was not admitted. May be dropped under overload. */
#define BRAMA_EVENT_CALL_REJECTED 14
/** A probe was admitted. May be dropped under overload. */
#define BRAMA_EVENT_PROBE 15

/**
 * Something that the user of the connection should know and that is no change of its
 * state: the event's reason says it.
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
 * It does nothing. Every call passes. Reports change the totals only, and are never stale.
 * Nothing opens, closes or expires, and the state is closed. Control by hand takes effect when the
 * mode returns. Leaving this mode resets the circuit, unless a hand holds it: an opening by hand
 * stays, and so does a half-open state that a hand made meanwhile.
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
/** As many failures in a row as max_attempts. */
#define BRAMA_CAUSE_CONSECUTIVE 1
/** As many failures within the window. */
#define BRAMA_CAUSE_WINDOW 2
/** As large a share of failures as failure_rate. */
#define BRAMA_CAUSE_FAILURE_RATE 3
/** As large a share of slow calls as slow_call_rate. */
#define BRAMA_CAUSE_SLOW_CALL_RATE 4
/** The dependency asked to be left alone: brama_failure_for. */
#define BRAMA_CAUSE_RETRY_AFTER 5
/** A probe failed. */
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

/** What became of a call: one of the BRAMA_OUTCOME_ values. */
typedef int32_t brama_outcome_t;

/** The dependency is fine. */
#define BRAMA_OUTCOME_SUCCESS 1
/** The dependency failed. */
#define BRAMA_OUTCOME_FAILURE 2

/**
 * Called once with the user data that was given beside it, when the library needs
 * that no more. May call anything in this library, must not throw.
 */
typedef void (*brama_destroy_fn)(void *user_data);

/**
 * Two user-supplied strings, NUL-terminated UTF-8. Of several with one key, the last counts.
 * Pairs come in arrays, so this struct never grows.
 */
typedef struct brama_pair_t {
    /** Not NULL. */
    const char *key;
    /** Not NULL. */
    const char *value;
} brama_pair_t;

/**
 * "unknown", "closed", "open" or "half_open"; also "unknown" for other numbers. Never NULL,
 * valid for ever.
 */
BRAMA_API const char *brama_state_name(brama_state_t state);

/**
 * The name of an event type, such as "state_change"; "unknown" for other numbers. Never NULL,
 * valid for ever.
 */
BRAMA_API const char *brama_event_type_name(brama_event_type_t event_type);

/** "normal", "disabled" or "shadow"; "unknown" for other numbers. Never NULL, valid for ever. */
BRAMA_API const char *brama_mode_name(brama_mode_t mode);

/**
 * The name of a cause, such as "window"; "none" for BRAMA_CAUSE_NONE, "unknown" for other
 * numbers. Never NULL, valid for ever.
 */
BRAMA_API const char *brama_cause_name(brama_cause_t cause);

/**
 * Why the circuit opened whose rejection was this thread's last call that failed:
 * BRAMA_CAUSE_NONE if that was no rejection, or if the cause is not known. Each thread has its
 * own.
 */
BRAMA_API brama_cause_t brama_last_error_cause(void);

/**
 * The reason of that opening: the text of the failure that opened the circuit, or of the hand that
 * did, at most 256 bytes of it. NULL if there is none. Valid until the next call of this thread
 * that fails, or its end. Each thread has its own.
 */
BRAMA_API const char *brama_last_error_reason(void);

/* -- Opaque types -------------------------------------------------------------------- */

/**
 * A clock that moves only when advanced, for tests without sleeping. Made by
 * brama_clock_new, freed by brama_clock_free. May be used by any number of threads
 * at once.
 */
typedef struct brama_clock_t brama_clock_t;

/**
 * A handle of a connection: resolved once, no look-up after. What one keeps for a
 * hot path. May be used by any number of threads at once, after the connection was
 * unregistered or cleaned up (BRAMA_ERR_NOT_FOUND) and after its manager was shut
 * down or freed (BRAMA_ERR_SHUT_DOWN). Counted: what brama_register,
 * brama_get_or_register, brama_connection_get and brama_connection_retain give is
 * given back by one brama_connection_release each.
 */
typedef struct brama_connection_t brama_connection_t;

/**
 * A subscription whose events wait until they are drained. Made by brama_queue_new,
 * freed by brama_queue_free. May be used by several threads at once, but one thread
 * at a time drains it and reads what it drained.
 */
typedef struct brama_queue_t brama_queue_t;

/**
 * The status of every connection at one time, taken out one after the other. Made by
 * brama_snapshot_new, freed by brama_snapshot_free. Used by one thread at a time.
 */
typedef struct brama_snapshot_t brama_snapshot_t;

/**
 * A subscription with a callback, ended and freed by brama_unsubscribe. May be made
 * and ended on any thread.
 */
typedef struct brama_subscription_t brama_subscription_t;

/**
 * A manager: registers connections, decides which calls may pass, keeps the books.
 * Wherever one is asked for, NULL is the process-wide default manager. May be used
 * by any number of threads at once. Made by brama_new, freed by brama_free.
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
 * Settings of one connection. What is not given follows the manager's setting, even when
 * that changes later. A setting that was given is taken back with BRAMA_INHERIT_U32,
 * BRAMA_INHERIT_U64, BRAMA_INHERIT_I32 or BRAMA_INHERIT_F64.
 */
typedef struct brama_options_t {
    /** Bytes of this struct; set by brama_options_init. */
    size_t size;
    /**
     * Failures that open the circuit: in a row, or within the window if there is
     * one. At least 1, with a window at most 65536; or BRAMA_UNLIMITED. Default 5.
     * With a failure_rate and no window the default is BRAMA_UNLIMITED.
     */
    uint32_t max_attempts;
    /** BRAMA_EXPIRY_FIXED (default) or BRAMA_EXPIRY_PROGRESSIVE. */
    brama_expiry_strategy_t expiry_strategy;
    /** How long an opening lasts. At least 1. Default 60000. */
    uint64_t expiry_ms;
    /** The first expiry of the progressive strategy. At least 1. Default: expiry_ms. */
    uint64_t initial_expiry_ms;
    /**
     * The longest expiry of the progressive strategy. At least the initial one.
     * Default: ten times that.
     */
    uint64_t max_expiry_ms;
    /** The factor of the progressive strategy. Finite, at least 1.0. Default 2.0. */
    double backoff_factor;
    /**
     * Prolongs every automatic expiry by a random part of up to so many times
     * itself. 0.0 to 1.0. Default 0.0.
     */
    double jitter;
    /**
     * Failures count if they happened less than this long ago. At least 1;
     * BRAMA_NONE (default): failures in a row count, however old.
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
     * old as the window; only a recovery and a reset clear them.
     * Then each success after the first failure looks at the circuit's settings until a recovery:
     * some tens of ns. Without a window a success always clears them.
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
     * The time over which the rates count reports. 1000 to 3600000. It takes the place of a
     * rate_calls that was given before or is the manager's; one call cannot give both.
     * Default 10000.
     */
    uint64_t rate_window_ms;
    /**
     * How many of the last reports the rates count, in place of those within rate_window_ms.
     * 10 to 100000. It takes the place of a rate_window_ms that was given before or is the
     * manager's; one call cannot give both. BRAMA_NONE (default): the rates count in time,
     * whatever the manager's setting says.
     */
    uint64_t rate_calls;
    /**
     * How many reports a rate needs before it opens the circuit: with fewer in its window a rate
     * never does. At least 1, and with rate_calls at most as many: one level cannot contradict
     * itself, and an inherited or default minimum is lowered. Default 20.
     */
    uint64_t minimum_calls;
    /** A call that lasts at least so long is slow. At least 1; BRAMA_NONE (default): no call is. */
    uint64_t slow_call_duration_ms;
    /**
     * The share of slow calls among the reports that opens the circuit, once there are
     * minimum_calls; a slow failure counts as slow, too. Above 0.0, at most 1.0; BRAMA_NONE_F64
     * (default): the share does not count. A connection's needs a slow_call_duration_ms in
     * effect; a manager's waits for one of a connection.
     */
    double slow_call_rate;
    /**
     * The share of failures among half_open_max_calls probes that opens a half-open circuit
     * again; a smaller one closes it. It is decided as soon as it is certain, and so many probes
     * are admitted in all. A slow success counts as a failure where slow_call_rate is set. It
     * takes the place of a half_open_successes that was given before or is the manager's; one call
     * cannot give both. Above 0.0, at most 1.0; BRAMA_NONE_F64 (default): one failure opens it,
     * half_open_successes close it.
     */
    double half_open_failure_rate;
    /**
     * For how long a circuit whose probes have succeeded stays half-open and admits a growing
     * share of the calls, until it closes. Two failures in a row open it again, and so does a
     * rate. At least 1, rounded up to 2; BRAMA_NONE (default): it closes at once.
     */
    uint64_t ramp_ms;
    /**
     * The share of the calls that a ramp admits at its start. Above 0.0, at most 1.0.
     * Default 0.1.
     */
    double ramp_start;
    /**
     * The state in which the circuit begins: 0 (default), closed; above 0, open for so many ms;
     * -1, which is BRAMA_NEVER, open until it is closed or reset by hand. Its cause is
     * BRAMA_CAUSE_MANUAL then. For a registration only: refused where an existing connection is
     * configured, and without effect where one is found.
     */
    int64_t initial_state;
    /**
     * The connection's metadata as a whole, replacing what was there. NULL: not
     * given. Copied by the call.
     */
    const brama_pair_t *metadata;
    /** How many pairs metadata has. */
    size_t metadata_count;
} brama_options_t;

/**
 * Settings of a manager. What is not given has its default, or stays as it is in
 * brama_configure. BRAMA_INHERIT_U32 and its kin stand for the default.
 */
typedef struct brama_config_t {
    /** Bytes of this struct; set by brama_config_init. */
    size_t size;
    /**
     * Default for connections that do not set their own. It and the fields that follow have
     * the meaning and limits given in brama_options_t, where that has them.
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
    /** How often unused connections are looked for. At least 1. Default 10000. */
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
     * 1 (default): a thread of the manager's does what is due while no call comes. 0:
     * call brama_poll now and then. Only for brama_new.
     */
    int32_t background;
    /**
     * How many happenings can wait to be delivered as events, each in some 128 bytes that
     * are taken at once. 1 to 16777216. Default 1024. Only for brama_new.
     */
    uint64_t event_capacity;
    /**
     * Tells the time instead of the machine's clock, if not NULL. May be freed after
     * brama_new. Only for brama_new.
     */
    const brama_clock_t *clock;
} brama_config_t;

/** Sets every field to "not given". */
BRAMA_API void brama_options_init(brama_options_t *options);

/** Sets every field to "not given". */
BRAMA_API void brama_config_init(brama_config_t *config);

/**
 * Changes the manager's settings that are given, all at once; the others stay. Its
 * connections follow where they have no setting of their own. Counts, deadlines and
 * permits survive.
 *
 * Errors: BRAMA_ERR_INVALID_CONFIG (nothing was changed), BRAMA_ERR_INVALID_ARGUMENT,
 * BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API brama_result_t brama_configure(brama_t *manager, const brama_config_t *config);

/**
 * Changes the settings of one connection that are given, all at once; the others
 * stay. Counts, deadlines and permits survive.
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
 * Makes a manager. NULL for the defaults. The caller frees it with brama_free. NULL on error:
 * brama_last_error_message names the field, or says that there is no memory for
 * event_capacity. That the system starts no background thread is no error here:
 * brama_event_counts says so.
 */
BRAMA_API BRAMA_MUST_USE brama_t *brama_new(const brama_config_t *config);

/**
 * The process-wide manager, made with the default settings on first use. It is what NULL
 * stands for. Never freed: brama_free leaves it as it is. Never NULL.
 */
BRAMA_API brama_t *brama_default(void);

/**
 * Shuts a manager down, see brama_shutdown, and frees it. Handles, subscriptions and
 * queues stay valid until they are released; permits by name do not. NULL is fine:
 * nothing happens, as for the default manager. No other thread may be using the
 * pointer. It waits as long as the callbacks take: call brama_shutdown_within first where
 * that may be too long. May be called from a callback: callbacks for events already
 * queued still run afterwards, and must not use the pointer.
 */
BRAMA_API void brama_free(brama_t *manager);

/**
 * Shuts a manager down: all connections are removed, any later operation on them returns
 * BRAMA_ERR_SHUT_DOWN, the events that wait are delivered, all subscriptions end, and its
 * thread is joined. Further calls do nothing. NULL: the default manager, for the rest of the
 * process.
 *
 * It waits as long as the callbacks take; brama_shutdown_within does not. Called from a
 * callback, predicate or brama_destroy_fn, of this manager or any other, it waits for
 * nothing and returns at once; the rest is done by the background thread, or by the
 * thread that runs the callback, when that has returned.
 */
BRAMA_API brama_result_t brama_shutdown(brama_t *manager);

/**
 * Shuts a manager down as brama_shutdown does, within timeout_ms (BRAMA_NEVER: however
 * long that takes). If left is not NULL, *left becomes the number of events that were
 * not delivered: 0 if all were.
 *
 * When the time is over, what waits is not delivered any more, and a callback under way
 * is left alone: it may still be running when this returns, and its destroy function is
 * called by its thread afterwards. Later calls of brama_shutdown, brama_free and
 * brama_unsubscribe do not wait for it. An event is left if it was not offered to every
 * subscriber, or its last callback has not returned; events in batches that were not
 * handed over count once for each batch.
 *
 * Without a background thread the callbacks run on the calling thread, and the time is looked
 * at between two of them. Called from a callback it returns at once, as brama_shutdown does,
 * and *left is how many happenings wait. NULL: the default manager, for the rest of the
 * process.
 */
BRAMA_API
brama_result_t brama_shutdown_within(brama_t *manager,
                                     uint64_t timeout_ms,
                                     uint64_t *left);

/**
 * Does what is due: expiries, cleanup, delivery of events. Needed without a background thread,
 * harmless with one. Runs callbacks on the calling thread. Inside a callback it does nothing.
 * NULL: the default manager. Never fails.
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
 * What a report says beyond its outcome, for the `_with` functions. It goes into the
 * events; everything is copied by the call.
 *
 * Text never costs a report. What is too long is cut at a character's boundary, and the
 * event has BRAMA_EVENT_TRUNCATED: a reason, and each value of the metadata, at 1 KiB. Of
 * the metadata at most 64 pairs and 8 KiB are kept, keys and values together: pairs are
 * taken in the order of their keys, and one that does not fit any more, or has a key of
 * more than 1 KiB, is left out. What is no UTF-8 becomes U+FFFD. A pair without key or
 * value is left out, and so is all metadata if the array is NULL or larger than memory. So is a
 * reason whose length is more than PTRDIFF_MAX.
 */
typedef struct brama_report_t {
    /** Bytes of this struct; set by brama_report_init. */
    size_t size;
    /** Why, UTF-8. NULL: not said. Up to 38 bytes are kept without allocating. */
    const char *reason;
    /** Strings of the caller's. NULL: none. */
    const brama_pair_t *metadata;
    /** How many pairs metadata has. */
    size_t metadata_count;
    /**
     * If not NULL, and a failure was counted, gets how many failures count now: in a
     * row, or inside the window if there is one.
     */
    uint32_t *failure_count;
    /**
     * Bytes of the reason, which may contain anything; BRAMA_TERMINATED (default): it ends
     * with a NUL. 0: the reason is empty. A designated initialiser that leaves this field out
     * makes it 0: begin with BRAMA_REPORT_INIT instead.
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
 * identifier and scope are 1 to 1024 bytes of UTF-8; a NULL scope is none, which is not the
 * same as any scope. NULL options: the manager's settings in everything. If out is not NULL,
 * it gets a handle, to be released by the caller, or NULL on error.
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
 * brama_register with strings that need no NUL at their end: identifier_length and
 * scope_length are their bytes. BRAMA_TERMINATED instead: the string ends with a NUL. Other
 * lengths above PTRDIFF_MAX are BRAMA_ERR_INVALID_ARGUMENT. The length of a NULL scope does not
 * matter. For hosts whose strings have lengths.
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
 * brama_register, or a handle of the existing connection, whose settings stay as they
 * are. As brama_register, without BRAMA_ERR_ALREADY_REGISTERED. If options give other
 * settings than the connection has, a BRAMA_EVENT_NOTICE says so: once for each
 * connection, when there is a subscriber.
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
 * Removes a connection. Its handles answer BRAMA_ERR_NOT_FOUND from now on, and are
 * released as ever.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
brama_result_t brama_unregister(brama_t *manager,
                                const char *identifier,
                                const char *scope);

/**
 * Gives a handle of a registered connection into *out, to be released by the caller;
 * NULL on error. With the manager's auto_register an unknown name is registered.
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
 * Whether a call would be admitted now: true if the circuit is closed or half-open. A pure
 * question: it takes no permit. If it is false, brama_last_error_message says why: the circuit
 * is open, no connection of this name is registered, the manager was shut down, or an argument
 * is invalid.
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
 * The state as of now. BRAMA_STATE_UNKNOWN if no connection of this name is registered, the
 * manager was shut down, or an argument is invalid: brama_last_error_message says which.
 * Registers nothing.
 */
BRAMA_API brama_state_t brama_state(brama_t *manager, const char *identifier, const char *scope);

/**
 * Reports a success without a permit (ask, call, report). While half-open it counts
 * like a probe's.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API brama_result_t brama_success(brama_t *manager, const char *identifier, const char *scope);

/** brama_success with more to tell; a NULL report tells nothing more. */
BRAMA_API
brama_result_t brama_success_with(brama_t *manager,
                                  const char *identifier,
                                  const char *scope,
                                  const brama_report_t *report);

/**
 * Reports a failure without a permit; brama_failure_with tells how many count now. While
 * half-open it counts like a probe's. The reason goes into the events; NULL: none.
 * It never costs the report: see brama_report_t.
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

/** brama_failure with more to tell; a NULL report tells nothing more. */
BRAMA_API
brama_result_t brama_failure_with(brama_t *manager,
                                  const char *identifier,
                                  const char *scope,
                                  const brama_report_t *report);

/**
 * Reports a failure with which the dependency has said how long it wants to be left alone, as
 * HTTP does with Retry-After. A closed or half-open circuit opens at once for wait_ms, prolonged
 * by the jitter, whatever its rules say. While it is open already, the wait changes nothing: the
 * failure is in the totals, is the last failure, and has its event, but failure_count is not
 * raised. A NULL report tells nothing more.
 *
 * wait_ms is at most 24 h (86400000), before jitter; a longer one is cut. 0 is none: the failure
 * is an ordinary one, as by brama_failure_with. Refused with BRAMA_ERR_INVALID_ARGUMENT, and
 * nothing is reported: a number above INT64_MAX, as a difference below zero is, and
 * BRAMA_NOT_GIVEN_U32 and BRAMA_INHERIT_U32.
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

/**
 * One more reference to a handle, to be released once more. Returns the same pointer; NULL for
 * NULL.
 */
BRAMA_API brama_connection_t *brama_connection_retain(const brama_connection_t *connection);

/**
 * Gives a reference to a handle back; with the last one the handle is freed. The connection
 * stays registered. NULL is fine.
 */
BRAMA_API void brama_connection_release(brama_connection_t *connection);

/** The connection's identifier: valid as long as the handle is held. NULL for NULL. */
BRAMA_API const char *brama_connection_identifier(const brama_connection_t *connection);

/**
 * The connection's scope: valid as long as the handle is held; NULL if it has none, and for
 * NULL.
 */
BRAMA_API const char *brama_connection_scope(const brama_connection_t *connection);

/** brama_available on a handle. False for NULL. */
BRAMA_API BRAMA_MUST_USE bool brama_connection_available(const brama_connection_t *connection);

/** brama_state on a handle. NULL: BRAMA_STATE_UNKNOWN. */
BRAMA_API brama_state_t brama_connection_state(const brama_connection_t *connection);

/**
 * brama_success on a handle. NULL: BRAMA_ERR_INVALID_ARGUMENT. Errors: BRAMA_ERR_NOT_FOUND,
 * BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API brama_result_t brama_connection_success(const brama_connection_t *connection);

/** brama_success_with on a handle. */
BRAMA_API
brama_result_t brama_connection_success_with(const brama_connection_t *connection,
                                             const brama_report_t *report);

/** brama_failure on a handle. Errors: also BRAMA_ERR_NOT_FOUND, BRAMA_ERR_SHUT_DOWN. */
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
 *     if (brama_connection_acquire(db, &permit, &retry_after_ms) != BRAMA_OK)
 *         printf("try again in %llu ms\n", (unsigned long long)retry_after_ms);
 *     else if (connect_to_server() >= 0)
 *         brama_permit_success(permit);
 *     else
 *         brama_permit_failure(permit, "no answer");
 */

/**
 * An admission, to be reported once, on any thread. A plain value: it may be copied
 * and needs no free, and one that is never reported is forgotten (a probe's place is
 * free again after probe_timeout_ms). A permit from a handle is reported while the
 * handle is held, one by name while its manager is not freed. A permit of zeroes
 * (BRAMA_PERMIT_INIT) is refused.
 */
typedef struct brama_permit_t {
    /** Opaque; do not read or write. */
    uint64_t opaque[6];
} brama_permit_t;

/**
 * Asks for admission, and gives a permit into *permit: if the circuit is closed, or half-open
 * with a probe's place free. A ramp (ramp_ms) admits a share of the calls, drawn by lot.
 *
 * BRAMA_ERR_REJECTED: do not call; the rejection is counted, and *permit is zero. If
 * retry_after_ms is not NULL, it gets a time. Of an open circuit it is a promise: who waits so
 * long is admitted unless other callers take the probes. Of a half-open one, whose probes are all
 * out or which is in a ramp, it is a hint, 1 to 1000. It is BRAMA_NEVER if the circuit is held
 * open until it is closed by hand. It gets 0 if the call is admitted, and BRAMA_NONE with any
 * other error.
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
 * Whether the call is a probe: the circuit is half-open, and the call tests the dependency. A
 * client may shorten its time-out then. False for a call that a ramp admitted, which is not a
 * test, and for a permit of zeroes.
 */
BRAMA_API bool brama_permit_is_probe(brama_permit_t permit);

/** brama_permit_is_probe with the permit by pointer. False for NULL. */
BRAMA_API bool brama_permit_is_probe_at(const brama_permit_t *permit);

/**
 * Whether a half-open circuit gave the permit: a probe's, or that of a call in a ramp. Only on
 * such a call another one may ride (brama_permit_covers), so a host that remembers which calls
 * are under way need remember no others. False for a permit of zeroes.
 */
BRAMA_API bool brama_permit_is_half_open(brama_permit_t permit);

/** brama_permit_is_half_open with the permit by pointer. False for NULL. */
BRAMA_API bool brama_permit_is_half_open_at(const brama_permit_t *permit);

/**
 * Whether a guarded call of a connection may ride on the call that this permit was given
 * to. Ask it for a call that is made inside the other one, and not of a permit that was reported.
 * True while the circuit is half-open and the permit is that of a probe of the same circuit, in
 * the same half-open state, or in a ramp that of a call of the same ramp.
 *
 * A call that rides needs no permit and reports nothing: the outer call reports for both.
 * Without that a probe whose work makes a call of its own circuit would be rejected by it,
 * and the circuit would never close. In a ramp a call that was admitted could fail because a
 * call inside of it is not. One call at a time rides on a permit, and a call that
 * rides can be ridden on. If the outer call has nothing to report itself and the inner one
 * failed, it reports a failure. brama.hpp does all this.
 *
 * False for a NULL connection and for a permit of zeroes (then brama_last_error_message
 * tells).
 */
BRAMA_API
bool brama_permit_covers(brama_permit_t permit,
                         const brama_connection_t *connection);

/** brama_permit_covers with the permit by pointer. False for NULL. */
BRAMA_API
bool brama_permit_covers_at(const brama_permit_t *permit,
                            const brama_connection_t *connection);
/** A permit of zeroes as an initialiser. */
#define BRAMA_PERMIT_INIT { { 0, 0, 0, 0, 0, 0 } }


/* -- What became of a guarded call --------------------------------------------------- */

/*
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
 * BRAMA_ERR_STALE: the state that the permit was given in is gone, or it is a probe's that has
 * reported before; the report is counted in the totals and changes nothing else. A probe that
 * reports after its time, in the same half-open state, counts. A probe's second report is
 * recognised as long as no more than 4 other probes had its place since; after that it counts
 * as one that comes after its time. A permit of a closed circuit that reports twice counts
 * twice. BRAMA_ERR_NOT_FOUND: the connection is not registered any more. Also
 * BRAMA_ERR_INVALID_ARGUMENT for a permit of zeroes, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API brama_result_t brama_permit_success(brama_permit_t permit);

/**
 * brama_permit_success with the permit by pointer, for hosts that cannot pass a struct, or
 * for which that is expensive. NULL: BRAMA_ERR_INVALID_ARGUMENT. The permit stays as it is.
 */
BRAMA_API brama_result_t brama_permit_success_at(const brama_permit_t *permit);

/** brama_permit_success with more to tell; a NULL report tells nothing more. */
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

/** brama_permit_failure with more to tell; a NULL report tells nothing more. */
BRAMA_API
brama_result_t brama_permit_failure_with(brama_permit_t permit,
                                         const brama_report_t *report);

/** brama_permit_failure_with with the permit by pointer; see brama_permit_success_at. */
BRAMA_API
brama_result_t brama_permit_failure_with_at(const brama_permit_t *permit,
                                            const brama_report_t *report);

/**
 * Reports that the admitted call failed, and that the dependency has said how long it wants to
 * be left alone; report and wait_ms as in brama_failure_for. If the permit is stale the wait
 * changes nothing, as while the circuit is open. Errors as brama_permit_success, and
 * BRAMA_ERR_INVALID_ARGUMENT for wait_ms: the permit is still to be reported then.
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
 * Gives the permit back, neither success nor failure: what happened says nothing about the
 * dependency. It is counted as ignored. Errors as brama_permit_success.
 */
BRAMA_API brama_result_t brama_permit_ignore(brama_permit_t permit);

/** brama_permit_ignore with the permit by pointer; see brama_permit_success_at. */
BRAMA_API brama_result_t brama_permit_ignore_at(const brama_permit_t *permit);

/**
 * Reports that the caller has given the call up, at a time-out of its own, say. That is
 * ignored as by brama_permit_ignore, since a cancelled caller is no failing dependency; or, if
 * cancelled_after_ms is set and the call has lasted at least so long, it is a failure. Errors
 * as brama_permit_success.
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
 * Reports a success of a call that has lasted duration_ms, as its reporter knows; otherwise as
 * brama_success_with. Where slow_call_duration_ms is set, the call is slow if duration_ms is at
 * least as long. A NULL report tells nothing more.
 *
 * Refused with BRAMA_ERR_INVALID_ARGUMENT, and nothing is reported: a number above INT64_MAX, as
 * a difference below zero is, and BRAMA_NOT_GIVEN_U32 and BRAMA_INHERIT_U32.
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
 * Reports a failure of a call that has lasted duration_ms; otherwise as brama_failure_with. A
 * slow failure counts as a failure and as a slow call. duration_ms and errors as in
 * brama_success_in.
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
 * Reports that the admitted call succeeded, and that it has lasted duration_ms, in place of
 * what was measured. report and duration_ms as in brama_success_in. Errors as
 * brama_permit_success, and BRAMA_ERR_INVALID_ARGUMENT for duration_ms: the permit is still to
 * be reported then.
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
 * Reports that the admitted call failed, and that it has lasted duration_ms, in place of what
 * was measured. report and duration_ms as in brama_failure_in, errors as in
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

/** A number read by way of brama_connection_pass_word that is smaller lets calls pass. */
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
 *     brama_connection_acquire: it admits, or tells why not
 *
 * What was read is as good as a permit: it is worth nothing once the state it was
 * read in is gone. It need not be reported. It counts as activity of the connection
 * when it is reported, not when it is read.
 *
 * A number below the limit also says that the circuit is closed; one that is not says that
 * brama_connection_available has to be asked. All else about the number may change its
 * meaning. Never write to it. Valid as long as the handle is held, also after the connection
 * was unregistered (then it lets nothing pass). NULL for NULL.
 */
BRAMA_API const uint32_t *brama_connection_pass_word(const brama_connection_t *connection);

/**
 * Makes a permit of a number that lets calls pass, into *permit: the one that
 * brama_connection_acquire would have given when the number was read. It serves every
 * call that was let pass by that number, and is reported once for each of them: keep it
 * and compare numbers, and a guarded call is one read and brama_permit_success_at.
 *
 * Errors: BRAMA_ERR_INVALID_ARGUMENT, even if the number lets nothing pass; *permit is then
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
 * expiry_ms is how long it stays open this time, at least 1; BRAMA_NOT_GIVEN_U64: as
 * its settings say, backoff and jitter included; BRAMA_NEVER: until it is closed or
 * reset. The reason goes into the events; NULL: none.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
brama_result_t brama_open_circuit(brama_t *manager,
                                  const char *identifier,
                                  const char *scope,
                                  const char *reason,
                                  uint64_t expiry_ms);

/** brama_open_circuit with more to tell; a NULL report tells nothing more. */
BRAMA_API
brama_result_t brama_open_circuit_with(brama_t *manager,
                                       const char *identifier,
                                       const char *scope,
                                       const brama_report_t *report,
                                       uint64_t expiry_ms);

/**
 * Closes a circuit. Its count of failures stays: one more may open it again.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
brama_result_t brama_close_circuit(brama_t *manager,
                                   const char *identifier,
                                   const char *scope);

/**
 * Lets probes through now; does nothing while half-open. Arguments and errors as
 * brama_close_circuit.
 */
BRAMA_API
brama_result_t brama_half_open_circuit(brama_t *manager,
                                       const char *identifier,
                                       const char *scope);

/**
 * Closes a circuit and forgets its count, its window and its openings. The totals stay, and
 * the times and the cause of the last opening. Arguments and errors as brama_close_circuit.
 */
BRAMA_API
brama_result_t brama_reset_circuit(brama_t *manager,
                                   const char *identifier,
                                   const char *scope);

/** Resets every circuit of a manager. NULL: the default one. Never fails. */
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
 * Fills in the settings that are in effect for a connection; registers nothing. The struct
 * has been through brama_settings_init.
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
 * The health of one connection at one moment. Times are Unix ms, BRAMA_NONE if there
 * was none yet; lengths of time are ms.
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
     * The settings in effect, as brama_connection_settings tells them; not NULL. Their size
     * says which fields are filled in.
     */
    const brama_settings_t *settings;
    /** As of now. Closed while the mode is BRAMA_MODE_DISABLED. */
    brama_state_t state;
    /** Failures in a row, or inside the window if there is one. */
    uint32_t failure_count;
    /** Openings since the circuit was last healthy, at most 255. */
    uint32_t trips;
    /** Why the circuit opened last, also after it has closed or was reset. */
    brama_cause_t cause;
    /**
     * The reason of the failure that opened the circuit last, or of the hand that did, also
     * after it has closed: at most 256 bytes of it. NULL if there was none.
     */
    const char *reason;
    /** The reason of the last failure that had one: at most 256 bytes of it. NULL before that. */
    const char *last_failure_reason;
    /** Successes reported since registration. */
    uint64_t total_successes;
    /** Failures reported since registration. */
    uint64_t total_failures;
    /** Calls rejected since registration. */
    uint64_t total_rejections;
    /**
     * Permits given back without a success or a failure since registration: calls that
     * were cancelled or ignored. Stops at 4294967295.
     */
    uint64_t total_ignored;
    /** Successes / (successes + failures); negative before the first report. */
    double success_rate;
    /**
     * The share of the calls that pass now, in a ramp (ramp_ms); otherwise BRAMA_NONE_F64. In
     * BRAMA_MODE_SHADOW all calls pass, and BRAMA_MODE_NORMAL would let this share pass.
     * BRAMA_NONE_F64 in BRAMA_MODE_DISABLED.
     */
    double ramp_share;
    /**
     * Time of the last success. A tick of the coarse clock (1 to 10 ms) behind, or two while
     * calls are frequent.
     */
    uint64_t last_success_time_ms;
    /** Time of the last failure. */
    uint64_t last_failure_time_ms;
    /** Time of the last opening, also after a reset. */
    uint64_t opened_at_ms;
    /** Time of the last change of state. */
    uint64_t last_state_change_ms;
    /** Since the last change of state; since registration before the first. */
    uint64_t time_in_state_ms;
    /**
     * While open, how long this opening lasts (BRAMA_NEVER: until closed by hand);
     * otherwise what the settings say for the present number of trips.
     */
    uint64_t expiry_ms;
    /**
     * While open, how long until probes are admitted (BRAMA_NEVER: never by itself);
     * BRAMA_NONE if it is not open.
     */
    uint64_t retry_after_ms;
    /**
     * Reports that count for the rates: within the window, and since the circuit closed or was
     * reset last. While it is not closed, those that counted when it opened. BRAMA_NONE if no
     * rate is set, after an opening by hand or by a failed probe, while the mode is
     * BRAMA_MODE_DISABLED, and if the number is not known.
     */
    uint64_t window_calls;
    /** The failures among window_calls; BRAMA_NONE if window_calls is. */
    uint64_t window_failures;
    /** The slow calls among window_calls, failed or not; BRAMA_NONE if window_calls is. */
    uint64_t window_slow;
    /**
     * Calls that passed in BRAMA_MODE_SHADOW since registration, and that BRAMA_MODE_NORMAL would
     * have rejected.
     */
    uint64_t would_reject;
    /** Probes that are out now: admitted, not reported, and with a lease that has not ended. */
    uint32_t probes_out;
    /** The mode in effect. */
    brama_mode_t mode;
    /**
     * The calls that had been counted when a rate opened the circuit last, also after it has
     * closed. BRAMA_NONE if no rate did, or if the number is not known.
     */
    uint64_t opened_calls;
    /**
     * The failures that had been counted when a rule opened the circuit last, also after it has
     * closed: in a row, inside the window, or among opened_calls, as cause says. BRAMA_NONE
     * after an opening by hand, by a probe or by request, or if the number is not known.
     */
    uint64_t opened_failures;
    /** The slow calls among opened_calls, failed or not; BRAMA_NONE if opened_calls is. */
    uint64_t opened_slow;
} brama_status_t;

/**
 * Called by brama_for_each. What status points to is valid until it returns. Returning
 * false ends the walk. A host that has no bool returns a byte: 0 is false. Must not throw.
 */
typedef bool (*brama_status_fn)(const brama_status_t *status, void *user_data);

/** Makes a status that knows nothing. */
BRAMA_API void brama_status_init(brama_status_t *status);

/**
 * Fills in everything that is known of a connection; registers nothing. The struct has
 * been through brama_status_init. Its strings, metadata and settings belong to the library and
 * are valid until this thread's next call of brama_status or brama_connection_status,
 * or its end.
 *
 * Errors: BRAMA_ERR_NOT_FOUND, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN, and
 * BRAMA_ERR_UNSUPPORTED in a destructor that runs because the thread ends; the struct is then
 * as it was.
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
 * Calls back with the status of every connection, ordered by scope and identifier. A
 * snapshot is taken first, so the callback may call anything, also brama_unregister.
 * Each status is consistent with itself; together they are not one instant.
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
 * Takes the status of every connection, ordered by scope and identifier, into *out, to
 * be freed by the caller with brama_snapshot_free; NULL on error. As brama_for_each,
 * with the loop on the caller's side.
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
 * Fills in the next status, and says whether there was one. The struct has been through
 * brama_status_init. Its strings and metadata belong to the snapshot and are valid
 * until the next call with it. False also for NULL. One thread at a time.
 */
BRAMA_API bool brama_snapshot_next(brama_snapshot_t *snapshot, brama_status_t *status);

/** Frees a snapshot and its strings. NULL is fine. No other thread may be using it. */
BRAMA_API void brama_snapshot_free(brama_snapshot_t *snapshot);

/** Sets the size, and all else to zero. */
BRAMA_API void brama_state_counts_init(brama_state_counts_t *counts);

/**
 * Counts the connections in each state. The struct has been through brama_state_counts_init.
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
 * Makes data of the state of every circuit, for brama_restore: in this process later, in the
 * next one, or on another machine. *data becomes the data, *length its length in bytes. The
 * caller gives it back with brama_data_free.
 *
 * Of each circuit: its name, its state, how long an opening has still to run, its trips, its
 * failures in a row, why it opened last, the reason of its last failure, and its totals. Not
 * saved are settings, metadata, windows, rates, the times of reports, and what waits for a
 * registration. A circuit in BRAMA_MODE_DISABLED is saved as what it will be when its mode returns.
 * A manager that was shut down has no circuits any more: save first.
 *
 * The circuits are read one after the other, so together they are not one instant. No caller
 * of a circuit waits for it. On error *data is NULL and *length 0. Errors:
 * BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_OUT_OF_MEMORY.
 */
BRAMA_API
BRAMA_MUST_USE
brama_result_t brama_save(brama_t *manager,
                          uint8_t **data,
                          size_t *length);

/**
 * Frees what brama_save made, once. NULL is fine: nothing happens. No other thread may be using
 * it.
 */
BRAMA_API void brama_data_free(uint8_t *data);

/**
 * Restores circuits from what brama_save made. If count is not NULL, *count becomes the number
 * of circuits that were restored, and of those that wait because no connection of their name
 * is registered: each of these is restored by the first registration of its name. All of the
 * data is checked before anything is changed.
 *
 * A restore is a transition by hand: permits that are out are stale (BRAMA_ERR_STALE), and
 * subscribers hear of it as of brama_open_circuit, brama_close_circuit and
 * brama_half_open_circuit, with the saved cause and reason.
 *
 * What is left of an opening is what was left when it was saved, less the time that has passed
 * since by the wall clock; no jitter is added. An opening whose time is over is due at once, one
 * without an end has none. A half-open circuit has no successes, and no probe is out. Windows
 * and rates are empty; with a window_ms no failure counts. The totals become the saved ones,
 * unless they are higher already. A circuit that has changed its state after it was saved, by
 * the wall clock, is left alone and not counted. A registration is no change; another restore
 * is one. In BRAMA_MODE_DISABLED the restore takes effect when the mode returns, and its events
 * say so (BRAMA_EVENT_DEFERRED).
 *
 * What waits takes as much memory as it does in the data; a later restore replaces what waits
 * for the same names. data is not kept. Errors: BRAMA_ERR_INVALID_ARGUMENT (damaged, cut off,
 * of another version or no such data: brama_last_error_message says what is wrong at which
 * offset), BRAMA_ERR_SHUT_DOWN. Then nothing was changed, and *count is 0.
 */
BRAMA_API
brama_result_t brama_restore(brama_t *manager,
                             const uint8_t *data,
                             size_t length,
                             size_t *count);

/* -- Events -------------------------------------------------------------------------- */

/**
 * In brama_event_t.flags: the event stands for one or more of its type and connection
 * that found no room. It tells the state that held when it was made, which may be
 * later than the change it is named after; its reason and metadata may be missing.
 */
#define BRAMA_EVENT_COALESCED 1

/**
 * In brama_event_t.flags: the reason or the metadata is not as the reporter gave it. It
 * was cut or left out to keep the bounds that brama_report_t names, or made valid text.
 */
#define BRAMA_EVENT_TRUNCATED 2

/**
 * In brama_event_t.flags: the mode is BRAMA_MODE_SHADOW, so the circuit rejects nothing. A
 * BRAMA_EVENT_CALL_REJECTED tells of a call that passed then.
 */
#define BRAMA_EVENT_SHADOW 4

/**
 * In brama_event_t.flags: a hand did this while the circuit was disabled, and it takes effect
 * when the circuit is enabled again. The reason says so, too.
 */
#define BRAMA_EVENT_DEFERRED 8

/** One thing that happened to one connection. */
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
     * Why the circuit is open, if it is after the event. BRAMA_CAUSE_NONE also while it is open and
     * the cause is not known yet.
     */
    brama_cause_t cause;
    /**
     * Orders the events of one connection: of two, the one with the larger number
     * tells the later state. Grows in the order of delivery. No order between
     * connections is promised.
     */
    uint64_t sequence;
    /**
     * Numbers the registrations of a manager: a name that is registered again has a
     * larger number.
     */
    uint64_t registration;
    /** When it happened, in Unix ms, to a few ms. */
    uint64_t timestamp_ms;
    /**
     * How long the opening lasts; BRAMA_NONE if the circuit is not open, or stays open
     * until it is closed by hand.
     */
    uint64_t expiry_ms;
    /** The connection's identifier; never NULL. */
    const char *connection;
    /** The connection's scope; NULL: none. */
    const char *scope;
    /** Why, as the reporter said, or what a notice says; NULL: nothing. */
    const char *reason;
    /** What came with the report; NULL if nothing did. */
    const brama_pair_t *metadata;
    /** How many pairs metadata has. */
    size_t metadata_count;
    /**
     * The reports that counted for the rates when the circuit opened, as in brama_status_t.
     * BRAMA_NONE if the event tells of no opening, if no rate was set, of an opening by hand or by
     * a failed probe, and in an event with BRAMA_EVENT_COALESCED.
     */
    uint64_t window_calls;
    /** The failures among window_calls; BRAMA_NONE if window_calls is. */
    uint64_t window_failures;
    /** The slow calls among window_calls, failed or not; BRAMA_NONE if window_calls is. */
    uint64_t window_slow;
    /**
     * The mode that was in effect. While it is BRAMA_MODE_DISABLED, the states of events are
     * those to which the mode returns, and a question is answered with BRAMA_STATE_CLOSED.
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
 * Whether an event is wanted; otherwise as brama_event_fn. A host that has no bool returns a byte:
 * 0 is false.
 */
typedef bool (*brama_predicate_fn)(const brama_event_t *event, void *user_data);

/** Which events a subscriber wants. What is not given is not filtered. */
typedef struct brama_filter_t {
    /** Bytes of this struct; set by brama_filter_init. */
    size_t size;
    /** BRAMA_EVENT_BIT(type) of every type that is wanted; 0: all types. */
    uint32_t event_types;
    /** Zero; anything else is refused. */
    uint32_t reserved;
    /**
     * Only connections with this identifier, in any scope unless one is given. NULL:
     * any. Copied by the call.
     */
    const char *connection;
    /**
     * Only connections of this scope; BRAMA_NO_SCOPE: only those without one. NULL:
     * any. Copied by the call.
     */
    const char *scope;
    /** Only events that it wants. NULL: all. */
    brama_predicate_fn predicate;
    /** For the predicate. */
    void *predicate_data;
    /**
     * Called with predicate_data when the subscription has ended, or if it cannot begin:
     * exactly once per subscribe call that accepted this struct. It is not called if the
     * struct was rejected because of its size or because unknown trailing bytes were not
     * zero. Called immediately if there is no predicate. NULL: nothing is to be done.
     */
    brama_destroy_fn predicate_destroy;
} brama_filter_t;

/** How many events of a manager went which way. */
typedef struct brama_event_counts_t {
    /** Bytes of this struct; set by brama_event_counts_init. */
    size_t size;
    /** Events that a subscriber wanted when they happened. */
    uint64_t published;
    /** Deliveries: an event that three subscribers got counts three times. */
    uint64_t delivered;
    /** Events that may be dropped and found no room, and all that a shutdown left. */
    uint64_t dropped;
    /**
     * Events of the other types that were merged into a later one, or that no subscriber
     * needs because the connection came and went.
     */
    uint64_t coalesced;
    /** Callbacks of Rust subscribers that panicked. */
    uint64_t panics;
    /**
     * 1 while the background thread runs in this process, otherwise 0: the manager was
     * made without, or was shut down, or the system has no thread to give, or this is
     * the child of a fork that has not used it yet. Events are then delivered by
     * brama_poll and by draining a queue.
     */
    uint32_t background_running;
    /** Zero. */
    uint32_t reserved;
} brama_event_counts_t;

/**
 * Called with one event. All that it points to is valid until the callback returns.
 * Runs on the manager's thread, or on one that polls; may call anything in this
 * library, also end its own subscription. While it runs, no other event of the manager
 * is delivered. Must not throw.
 */
typedef void (*brama_event_fn)(const brama_event_t *event, void *user_data);

/**
 * Called with several events at a time, the i-th at (const char *)events + i *
 * event_size; otherwise as brama_event_fn.
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
 * Calls callback for every event that filter lets pass, until the subscription ends:
 * by brama_unsubscribe, brama_unsubscribe_matching or the manager's shutdown.
 *
 * destroy, if not NULL, is called exactly once with user_data when the callback will
 * not run any more: when the subscription has ended, on the thread that ended it or
 * that ran the callback; or before this function returns if it fails, for whatever
 * reason.
 *
 * If out is not NULL, it gets the subscription, which the caller ends and frees with
 * brama_unsubscribe, or NULL on error. The callback may run before *out is written. If out is
 * NULL, the subscription lasts as long as the manager. A NULL filter lets everything pass.
 *
 * Errors: BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN; BRAMA_ERR_UNSUPPORTED if the
 * callback could never run, because the manager is to have a background thread and the system
 * starts none.
 */
BRAMA_API
brama_result_t brama_subscribe(brama_t *manager,
                               const brama_filter_t *filter,
                               brama_event_fn callback,
                               void *user_data,
                               brama_destroy_fn destroy,
                               brama_subscription_t **out);

/**
 * brama_subscribe with a callback for up to `most` events at a time: as many as there
 * are when all that waited has been delivered. `most` is 1 to 16777216, or
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
 * Ends a subscription and frees it. When this has returned, the callback is not
 * running and never will again, and destroy has been called: it waits for a callback
 * under way on another thread.
 *
 * Called from a callback, predicate or brama_destroy_fn, of this manager or any other, it
 * waits for nothing and returns at once. The guarantee holds once the callback under way has
 * returned, and destroy is called by the thread that runs it. So free user data in destroy,
 * not after this call. The same is so when the time of a brama_shutdown_within was over. NULL
 * is fine. Call it once.
 */
BRAMA_API void brama_unsubscribe(brama_subscription_t *subscription);

/**
 * Frees a subscription without ending it: it lasts as long as the manager. NULL is fine. Call
 * it once.
 */
BRAMA_API void brama_subscription_detach(brama_subscription_t *subscription);

/**
 * Ends every subscription, of queues too, that falls under a pattern: it agrees with
 * each part that the pattern gives, and wants no type beyond the pattern's. Its
 * predicate is not looked at, nor destroyed. A NULL pattern is that of all
 * subscriptions. The promise is that of brama_unsubscribe; subscriptions and queues
 * are still to be freed.
 *
 * Errors: BRAMA_ERR_INVALID_ARGUMENT.
 */
BRAMA_API
brama_result_t brama_unsubscribe_matching(brama_t *manager,
                                          const brama_filter_t *pattern);

/**
 * Counts what became of a manager's events, and says whether its thread runs. Exact when
 * nothing is on its way, after brama_poll, say. The struct has been through
 * brama_event_counts_init. Errors: BRAMA_ERR_INVALID_ARGUMENT.
 */
BRAMA_API brama_result_t brama_event_counts(brama_t *manager, brama_event_counts_t *counts);
/** brama_filter_init as an initialiser. */
#define BRAMA_FILTER_INIT \
    { sizeof(brama_filter_t), 0, 0, NULL, NULL, NULL, NULL, NULL }

/** brama_event_counts_init as an initialiser. */
#define BRAMA_EVENT_COUNTS_INIT { sizeof(brama_event_counts_t), 0, 0, 0, 0, 0, 0, 0 }


/* -- Queues of events ---------------------------------------------------------------- */

/*
 *     brama_queue_t *queue;
 *     if (brama_queue_new(gate, NULL, 1024, &queue) != BRAMA_OK)
 *         return;
 *     brama_reset_all(gate);
 *     brama_event_t events[64];
 *     size_t count = 0;
 *     brama_queue_drain(queue, events, sizeof(brama_event_t), 64, &count);
 *     for (size_t i = 0; i < count; i++)
 *         show(events[i].connection, brama_event_type_name(events[i].event_type));
 *     brama_queue_free(queue);
 */

/**
 * Makes a queue of every event that filter lets pass, into *out, to be freed by the
 * caller with brama_queue_free; NULL on error. Up to capacity events wait in order;
 * the introduction says what happens when it is full.
 *
 * A NULL filter lets everything pass. Errors: BRAMA_ERR_INVALID_CONFIG if capacity is not 1 to
 * 16777216, BRAMA_ERR_INVALID_ARGUMENT, BRAMA_ERR_SHUT_DOWN.
 */
BRAMA_API
BRAMA_MUST_USE
brama_result_t brama_queue_new(brama_t *manager,
                               const brama_filter_t *filter,
                               size_t capacity,
                               brama_queue_t **out);

/**
 * Takes up to capacity events out of the queue, in order, into an array, and says in
 * *count how many. Returns at once, also with none.
 *
 * event_size is sizeof(brama_event_t): the step from one element to the next. The
 * strings of the events belong to the queue and are valid until it is drained again or
 * freed, so one thread at a time drains a queue. In a manager without a background
 * thread this also does what brama_poll does.
 *
 * No pointer may be NULL, except events if capacity is 0. Errors:
 * BRAMA_ERR_INVALID_ARGUMENT. Works after brama_queue_close and brama_shutdown.
 */
BRAMA_API
brama_result_t brama_queue_drain(brama_queue_t *queue,
                                 brama_event_t *events,
                                 size_t event_size,
                                 size_t capacity,
                                 size_t *count);

/**
 * Waits until an event can be drained, at most timeout_ms (BRAMA_NEVER: for ever), and
 * says whether one can; another thread may take it first. False also, at once, when
 * the queue is closed and nothing waits, and for NULL. In a manager without a
 * background thread this also does what brama_poll does. Inside a callback of the manager
 * nothing arrives meanwhile: do not wait for ever there. Any number of threads, except
 * in destructors that run because a thread ends: there it may answer false at once.
 */
BRAMA_API bool brama_queue_wait(brama_queue_t *queue, uint64_t timeout_ms);

/**
 * Gives into *fd a file descriptor that is readable while events wait, and for ever
 * once the queue is closed: for epoll, libuv, asyncio. It belongs to the queue and is
 * closed with it: do not read from it, do not close it, drain the queue instead.
 *
 * Errors: BRAMA_ERR_INVALID_ARGUMENT; BRAMA_ERR_LIMIT if too many files are open,
 * BRAMA_ERR_OUT_OF_MEMORY, or BRAMA_ERR_UNSUPPORTED if the system has no such descriptor.
 */
BRAMA_API brama_result_t brama_queue_fd(brama_queue_t *queue, int *fd);

/**
 * Ends the queue's subscription: nothing more comes, and waiting threads are woken. What waits
 * can still be drained. Further calls do nothing. NULL: BRAMA_ERR_INVALID_ARGUMENT.
 */
BRAMA_API brama_result_t brama_queue_close(brama_queue_t *queue);

/**
 * Whether nothing more will come: the queue was closed, its subscription ended, or its manager
 * shut down. Events may still wait. True for NULL.
 */
BRAMA_API bool brama_queue_is_closed(const brama_queue_t *queue);

/**
 * Closes a queue and frees it, with its descriptor and the strings of its events. NULL
 * is fine. No other thread may be using the queue: close it first, and join who waits.
 * May be called inside a callback, also one that runs because the queue is drained:
 * that call then gives no events.
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
    /** Why it failed, UTF-8. NULL: not said. Not looked at for a success. */
    const char *reason;
    /** Bytes of the reason; BRAMA_TERMINATED (default): it ends with a NUL. 0: it is empty. */
    size_t reason_length;
    /** BRAMA_OUTCOME_SUCCESS or BRAMA_OUTCOME_FAILURE. */
    brama_outcome_t outcome;
    /**
     * Filled in by the call: what brama_connection_success or brama_connection_failure
     * would have answered.
     */
    brama_result_t result;
} brama_report_item_t;

/** Makes an item that reports nothing yet. */
BRAMA_API void brama_report_item_init(brama_report_item_t *item);

/**
 * brama_connection_available for count handles: the answers go into an array of as many. A
 * NULL handle yields false, and the call returns BRAMA_ERR_INVALID_ARGUMENT after answering
 * the others. If an array is NULL and count is not 0, nothing is written and
 * BRAMA_ERR_INVALID_ARGUMENT is returned.
 */
BRAMA_API
brama_result_t brama_available_many(const brama_connection_t *const *connections,
                                    size_t count,
                                    bool *answers);

/**
 * Reports for count connections, in order; each item gets its own result. Every item is tried;
 * the answer is BRAMA_OK, or the first result that is not. item_size is
 * sizeof(brama_report_item_t): the step from one item to the next. Each item has been through
 * brama_report_item_init; one whose size is wrong gets BRAMA_ERR_INVALID_ARGUMENT. If items is
 * NULL and count is not 0, or item_size is too small, nothing is done:
 * BRAMA_ERR_INVALID_ARGUMENT.
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
 * brama_config_t.clock. The caller frees it with brama_clock_free. NULL on error, such as a
 * time above INT64_MAX, where BRAMA_NONE and its kin are.
 */
BRAMA_API BRAMA_MUST_USE brama_clock_t *brama_clock_new(uint64_t unix_ms);

/**
 * Frees a clock. Managers that use it keep the time that it shows. NULL is fine. No
 * other thread may be using the pointer.
 */
BRAMA_API void brama_clock_free(brama_clock_t *clock);

/**
 * Moves the time on by so many ms. It stops 34 years after its start. What became due takes
 * effect at the next call, on any thread; brama_poll does it now. NULL:
 * BRAMA_ERR_INVALID_ARGUMENT.
 */
BRAMA_API brama_result_t brama_clock_advance(brama_clock_t *clock, uint64_t ms);

/** The time that a clock shows, in Unix ms; BRAMA_NONE for NULL. */
BRAMA_API uint64_t brama_clock_unix_ms(const brama_clock_t *clock);

#ifdef __cplusplus
}
#endif

#endif /* BRAMA_H */
