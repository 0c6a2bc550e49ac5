/* The rules by which a circuit opens: which rule opens it, and what status and events say of it. */
#include "check.h"

/* Registers a circuit with these settings. */
static brama_connection_t *registered(struct world world, const brama_options_t *options) {
    brama_connection_t *connection = NULL;
    OK(brama_register(world.manager, "db", NULL, options, &connection));
    return connection;
}

static void succeed(const brama_connection_t *db, int times) {
    while (times-- > 0)
        OK(brama_connection_success(db));
}

static void fail(const brama_connection_t *db, int times) {
    while (times-- > 0)
        OK(brama_connection_failure(db, NULL));
}

/* Checks the numbers that count for the rates. */
#define COUNTS(db, calls, failures, slow)                                             \
    do {                                                                              \
        brama_status_t found_ = status_of(db);                                        \
        CHECK(found_.window_calls == (calls) && found_.window_failures == (failures)); \
        CHECK(found_.window_slow == (slow));                                          \
    } while (0)

#define CLOSED(db) CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED)

#define OPEN_BY(db, why)                                                              \
    CHECK(brama_connection_state(db) == BRAMA_STATE_OPEN && status_of(db).cause == (why))

static void counts_of_failures(void) {
    struct world world = make_world();
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.max_attempts = 2;
    brama_connection_t *db = registered(world, &options);
    fail(db, 1);
    succeed(db, 1);
    fail(db, 1);
    CLOSED(db);
    fail(db, 1);
    OPEN_BY(db, BRAMA_CAUSE_CONSECUTIVE);
    COUNTS(db, BRAMA_NONE, BRAMA_NONE, BRAMA_NONE); /* Without a rate. */

    /* Within a window, which a success clears. */
    OK(brama_connection_reset_circuit(db));
    options.window_ms = 1000;
    OK(brama_connection_configure(db, &options));
    fail(db, 1);
    OK(brama_clock_advance(world.clock, 1000));
    fail(db, 1);
    succeed(db, 1);
    fail(db, 1);
    CLOSED(db);
    fail(db, 1);
    OPEN_BY(db, BRAMA_CAUSE_WINDOW);

    /* Or does not clear, if that is set. */
    OK(brama_connection_reset_circuit(db));
    options.success_clears_window = 0;
    OK(brama_connection_configure(db, &options));
    fail(db, 1);
    succeed(db, 9);
    CLOSED(db);
    fail(db, 1);
    OPEN_BY(db, BRAMA_CAUSE_WINDOW);
    brama_connection_release(db);
    free_world(world);
}

static void a_share_of_failures(void) {
    struct world world = make_world();
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.failure_rate = 0.5;
    options.minimum_calls = 10;
    brama_connection_t *db = registered(world, &options);
    CHECK(status_of(db).settings->max_attempts == BRAMA_UNLIMITED);
    COUNTS(db, 0, 0, 0);
    fail(db, 9);
    CLOSED(db); /* Fewer than the minimum. */
    COUNTS(db, 9, 9, 0);
    succeed(db, 10);
    CLOSED(db); /* A success opens nothing. */
    fail(db, 1);
    OPEN_BY(db, BRAMA_CAUSE_FAILURE_RATE);
    COUNTS(db, 20, 10, 0);
    fail(db, 3); /* While it is open: in the totals only. */
    COUNTS(db, 20, 10, 0);
    CHECK(status_of(db).total_failures == 13);

    /* Reports from before the circuit closed do not count. */
    OK(brama_clock_advance(world.clock, 60000));
    brama_permit_t probe;
    OK(brama_connection_acquire(db, &probe, NULL));
    COUNTS(db, 20, 10, 0);
    OK(brama_permit_failure(probe, NULL)); /* No rate opens it again. */
    OPEN_BY(db, BRAMA_CAUSE_PROBE);
    COUNTS(db, BRAMA_NONE, BRAMA_NONE, BRAMA_NONE);
    OK(brama_clock_advance(world.clock, 60000));
    OK(brama_connection_acquire(db, &probe, NULL));
    OK(brama_permit_success(probe));
    COUNTS(db, 0, 0, 0);
    fail(db, 9);
    OK(brama_connection_reset_circuit(db));
    fail(db, 9);
    CLOSED(db);
    COUNTS(db, 9, 9, 0);

    /* Nor do reports older than the window. */
    OK(brama_clock_advance(world.clock, 10000));
    COUNTS(db, 0, 0, 0);
    fail(db, 9);
    CLOSED(db);
    fail(db, 1);
    OPEN_BY(db, BRAMA_CAUSE_FAILURE_RATE);
    COUNTS(db, 10, 10, 0);
    brama_connection_release(db);
    free_world(world);
}

static void a_share_of_slow_calls(void) {
    struct world world = make_world();
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.slow_call_duration_ms = 100;
    options.slow_call_rate = 0.5;
    options.minimum_calls = 4;
    brama_connection_t *db = registered(world, &options);
    OK(brama_connection_success_in(db, NULL, 99));
    succeed(db, 1); /* Its duration is not known. */
    OK(brama_connection_failure_in(db, NULL, 100));
    CLOSED(db);
    COUNTS(db, 3, 1, 1);
    OK(brama_connection_success_in(db, NULL, 100));
    OPEN_BY(db, BRAMA_CAUSE_SLOW_CALL_RATE);
    COUNTS(db, 4, 1, 2);
    CHECK(status_of(db).failure_count == 0); /* A slow success clears the failure count. */

    /* A permit measures its call. */
    OK(brama_connection_reset_circuit(db));
    for (int call = 0; call < 4; call++) {
        brama_permit_t permit;
        CLOSED(db);
        OK(brama_connection_acquire(db, &permit, NULL));
        OK(brama_clock_advance(world.clock, call % 2 ? 100 : 99));
        OK(brama_permit_success(permit));
    }
    OPEN_BY(db, BRAMA_CAUSE_SLOW_CALL_RATE);
    COUNTS(db, 4, 0, 2);

    /* A rate of slow calls does not replace the rule of failures in a row. */
    OK(brama_connection_reset_circuit(db));
    options.minimum_calls = 100;
    OK(brama_connection_configure(db, &options));
    fail(db, 5);
    OPEN_BY(db, BRAMA_CAUSE_CONSECUTIVE);
    COUNTS(db, 5, 5, 0);
    brama_connection_release(db);
    free_world(world);
}

static void a_share_of_the_last_calls(void) {
    struct world world = make_world();
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.failure_rate = 0.5;
    options.rate_calls = 10;
    brama_connection_t *db = registered(world, &options);
    CHECK(status_of(db).settings->minimum_calls == 10);
    fail(db, 4);
    succeed(db, 6);
    OK(brama_clock_advance(world.clock, 86400000)); /* However old they are. */
    COUNTS(db, 10, 4, 0);
    succeed(db, 1);
    COUNTS(db, 10, 3, 0); /* The eleventh is out. */
    fail(db, 1);
    COUNTS(db, 10, 3, 0); /* One in, one out. */
    fail(db, 3);
    CLOSED(db);
    COUNTS(db, 10, 4, 0);
    fail(db, 1);
    OPEN_BY(db, BRAMA_CAUSE_FAILURE_RATE);
    COUNTS(db, 10, 5, 0);
    brama_connection_release(db);
    free_world(world);
}

static void a_rejection_says_what_the_rule_had_counted_and_the_status_keeps_it(void) {
    struct world world = make_world();
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.max_attempts = 3;
    options.failure_rate = 0.5;
    options.minimum_calls = 4;
    brama_connection_t *db = registered(world, &options);
#define OPENED(calls, failures, slow)                                                          \
    do {                                                                                       \
        brama_status_t found_ = status_of(db);                                                 \
        CHECK(found_.opened_calls == (calls) && found_.opened_failures == (failures));         \
        CHECK(found_.opened_slow == (slow));                                                   \
    } while (0)
    OPENED(BRAMA_NONE, BRAMA_NONE, BRAMA_NONE);
    fail(db, 3);
    CHECK(!brama_connection_available(db));
    MESSAGE_HAS("(consecutive, 3 failures in a row), retry after 60s");
    OK(brama_connection_reset_circuit(db));
    OPENED(BRAMA_NONE, 3, BRAMA_NONE);
    succeed(db, 2);
    fail(db, 1);
    OK(brama_connection_failure(db, "timeout"));
    CHECK(!brama_connection_available(db));
    MESSAGE_HAS("(failure_rate, 2 of 4 calls failed: timeout), retry after 60s");
    OK(brama_connection_close_circuit(db));
    succeed(db, 9);
    OPENED(4, 2, 0);
    OK(brama_connection_open_circuit(db, NULL, 5));
    OPENED(BRAMA_NONE, BRAMA_NONE, BRAMA_NONE);
    brama_connection_release(db);
    free_world(world);
}

static void an_event_of_an_opening_tells_what_counted(void) {
    struct world world = make_world();
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.failure_rate = 0.25;
    options.minimum_calls = 8;
    options.slow_call_duration_ms = 100;
    brama_connection_t *db = registered(world, &options);
    brama_queue_t *queue;
    OK(brama_queue_new(world.manager, NULL, 32, &queue));
    succeed(db, 5);
    OK(brama_connection_success_in(db, NULL, 250));
    fail(db, 2);
    OK(brama_connection_reset_circuit(db));
    brama_event_t events[32];
    size_t count = 0, openings = 0;
    OK(brama_queue_drain(queue, events, sizeof *events, 32, &count));
    for (size_t i = 0; i < count; i++) {
        const brama_event_t *event = &events[i];
        int is_open = event->new_state == BRAMA_STATE_OPEN;
        CHECK(event->window_calls == (is_open ? 8 : BRAMA_NONE));
        CHECK(event->window_failures == (is_open ? 2 : BRAMA_NONE));
        CHECK(event->window_slow == (is_open ? 1 : BRAMA_NONE));
        if (event->event_type == BRAMA_EVENT_CIRCUIT_OPENED) {
            CHECK(event->cause == BRAMA_CAUSE_FAILURE_RATE);
            openings++;
        }
    }
    CHECK(openings == 1);
    brama_queue_free(queue);
    brama_connection_release(db);
    free_world(world);
}

/* A call as an interpreter guards it: by the pass word, if that lets the call pass. */
static int guarded(struct world world, const brama_connection_t *db, uint64_t length_ms) {
    const uint32_t pass = __atomic_load_n(brama_connection_pass_word(db), __ATOMIC_ACQUIRE);
    brama_permit_t permit;
    if (pass < BRAMA_PASS_LIMIT)
        OK(brama_connection_pass_permit(db, pass, &permit));
    else if (brama_connection_acquire(db, &permit, NULL) != BRAMA_OK)
        return 0;
    OK(brama_clock_advance(world.clock, length_ms));
    OK(brama_permit_success_at(&permit));
    return 1;
}

/* Rules are given and taken back while calls go on. */
static void the_next_call_follows_a_rule_that_is_new(void) {
    for (int for_all = 0; for_all < 2; for_all++) {
        struct world world = make_world();
        brama_connection_t *db = registered(world, NULL);
        brama_options_t options = BRAMA_OPTIONS_INIT;
        brama_config_t config = BRAMA_CONFIG_INIT;
#define GIVE()                                                                        \
    OK(for_all ? brama_configure(world.manager, &config) : brama_connection_configure(db, &options))

        CHECK(guarded(world, db, 500) && guarded(world, db, 500));
        options.slow_call_duration_ms = config.slow_call_duration_ms = 100;
        options.slow_call_rate = config.slow_call_rate = 1.0;
        options.minimum_calls = config.minimum_calls = 3;
        GIVE();
        COUNTS(db, 0, 0, 0);
        CHECK(guarded(world, db, 500) && guarded(world, db, 500));
        CLOSED(db);
        COUNTS(db, 2, 0, 2);
        CHECK(guarded(world, db, 500) && !guarded(world, db, 500));
        OPEN_BY(db, BRAMA_CAUSE_SLOW_CALL_RATE);

        /* The rule is taken back: slow calls do not open the circuit. */
        OK(brama_connection_reset_circuit(db));
        options.slow_call_duration_ms = config.slow_call_duration_ms = BRAMA_INHERIT_U64;
        options.slow_call_rate = config.slow_call_rate = BRAMA_INHERIT_F64;
        GIVE();
        for (int call = 0; call < 10; call++)
            CHECK(guarded(world, db, 500));
        COUNTS(db, BRAMA_NONE, BRAMA_NONE, BRAMA_NONE);

        /* A rate of the last calls: reports count from the next one on. */
        options.failure_rate = config.failure_rate = 0.2;
        options.rate_calls = config.rate_calls = 10;
        options.minimum_calls = config.minimum_calls = 10;
        GIVE();
        for (int call = 0; call < 9; call++)
            CHECK(guarded(world, db, 0));
        COUNTS(db, 9, 0, 0);
        fail(db, 1);
        CLOSED(db);
        COUNTS(db, 10, 1, 0);
        fail(db, 1);
        OPEN_BY(db, BRAMA_CAUSE_FAILURE_RATE);
        COUNTS(db, 10, 2, 0);
        CHECK(!guarded(world, db, 0));

        /* A rate in time: reports by the pass word count from the next one on, too. */
        OK(brama_connection_reset_circuit(db));
        options.rate_calls = config.rate_calls = BRAMA_INHERIT_U64;
        options.rate_window_ms = config.rate_window_ms = 5000;
        GIVE();
        for (int call = 0; call < 9; call++)
            CHECK(guarded(world, db, 0));
        COUNTS(db, 9, 0, 0);
        fail(db, 2);
        CLOSED(db); /* 2 of 11. */
        fail(db, 1);
        OPEN_BY(db, BRAMA_CAUSE_FAILURE_RATE);
        COUNTS(db, 12, 3, 0);
        brama_connection_release(db);
        free_world(world);
    }
}

/* A refused call changes no setting and none of the numbers that count for the rates. */
static void a_call_that_is_refused_leaves_what_counts(void) {
    struct world world = make_world();
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.failure_rate = 0.5;
    options.minimum_calls = 10;
    brama_connection_t *db = registered(world, &options);
    succeed(db, 4);
    fail(db, 5);
    const brama_settings_t before = *status_of(db).settings;
#define REFUSED(text, field, value)                                                   \
    do {                                                                              \
        brama_options_t bad_ = BRAMA_OPTIONS_INIT;                                    \
        brama_config_t worse_ = BRAMA_CONFIG_INIT;                                    \
        bad_.rate_window_ms = worse_.rate_window_ms = 2000;                           \
        bad_.jitter = worse_.jitter = 0.5;                                            \
        bad_.field = worse_.field = (value);                                          \
        ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(db, &bad_));     \
        MESSAGE_HAS("`" #field "` = " text);                                          \
        ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_configure(world.manager, &worse_));   \
        MESSAGE_HAS("`" #field "` = " text);                                          \
    } while (0)
    REFUSED("0: must be above 0.0", failure_rate, 0.0);
    REFUSED("1.5: must be above 0.0", slow_call_rate, 1.5);
    REFUSED("NaN: must be above 0.0", failure_rate, strtod("nan", NULL));
    REFUSED("NaN: must be above 0.0", slow_call_rate, strtod("nan", NULL));
    REFUSED("999: must be 1000 to 3600000 ms", rate_window_ms, 999);
    REFUSED("3600001: must be 1000 to 3600000 ms", rate_window_ms, 3600001);
    REFUSED("50: cannot be given together with `rate_window_ms`", rate_calls, 50);
    REFUSED("9: must be 10 to 100000", rate_calls, 9);
    REFUSED("0: must be at least 1", minimum_calls, 0);
    REFUSED("0: must be", slow_call_duration_ms, 0);
    brama_options_t above = BRAMA_OPTIONS_INIT;
    above.rate_calls = 50;
    above.minimum_calls = 51;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(db, &above));
    MESSAGE_HAS("`minimum_calls` = 51: must be at most `rate_calls` (50)");
    /* The difference of an end that lies before its start. */
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_connection_failure_in(db, NULL, (uint64_t)-5));
    MESSAGE_HAS("`duration_ms` = ");
    CHECK(memcmp(&before, status_of(db).settings, sizeof before) == 0);
    COUNTS(db, 9, 5, 0);
    fail(db, 1);
    OPEN_BY(db, BRAMA_CAUSE_FAILURE_RATE);
    COUNTS(db, 10, 6, 0);
    brama_connection_release(db);
    free_world(world);
}

int main(void) {
    counts_of_failures();
    a_share_of_failures();
    a_share_of_slow_calls();
    a_share_of_the_last_calls();
    a_rejection_says_what_the_rule_had_counted_and_the_status_keeps_it();
    an_event_of_an_opening_tells_what_counted();
    the_next_call_follows_a_rule_that_is_new();
    a_call_that_is_refused_leaves_what_counts();
    return 0;
}
