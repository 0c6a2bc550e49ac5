/* Durations of calls: given by the reporter, and measured by a permit. */
#include "check.h"

/* Reports by name, on a handle, and on a permit of each kind, by value and by pointer. */
enum { WAYS = 6 };

static void acquire(brama_t *m, const brama_connection_t *db, int way, brama_permit_t *permit) {
    if (way % 2)
        OK(brama_acquire(m, "db", NULL, permit, NULL));
    else
        OK(brama_connection_acquire(db, permit, NULL));
}

static brama_result_t succeed(brama_t *m, const brama_connection_t *db, int way,
                              const brama_report_t *report, uint64_t duration_ms) {
    brama_permit_t permit = BRAMA_PERMIT_INIT;
    switch (way) {
    case 0: return brama_success_in(m, "db", NULL, report, duration_ms);
    case 1: return brama_connection_success_in(db, report, duration_ms);
    }
    acquire(m, db, way, &permit);
    return way < 4 ? brama_permit_success_in_at(&permit, report, duration_ms)
                   : brama_permit_success_in(permit, report, duration_ms);
}

static brama_result_t fail(brama_t *m, const brama_connection_t *db, int way,
                           const brama_report_t *report, uint64_t duration_ms) {
    brama_permit_t permit = BRAMA_PERMIT_INIT;
    switch (way) {
    case 0: return brama_failure_in(m, "db", NULL, report, duration_ms);
    case 1: return brama_connection_failure_in(db, report, duration_ms);
    }
    acquire(m, db, way, &permit);
    return way < 4 ? brama_permit_failure_in_at(&permit, report, duration_ms)
                   : brama_permit_failure_in(permit, report, duration_ms);
}

static void a_report_with_a_duration_is_one_without_it_besides(void) {
    for (int way = 0; way < WAYS; way++) {
        struct world world = make_world();
        brama_connection_t *db = made(world, "db", 3);
        brama_filter_t filter = BRAMA_FILTER_INIT;
        filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_FAILURE) | BRAMA_EVENT_BIT(BRAMA_EVENT_SUCCESS);
        brama_queue_t *queue;
        OK(brama_queue_new(world.manager, &filter, 8, &queue));
        brama_pair_t pair = {"status", "504"};
        uint32_t count = 0;
        brama_report_t report = BRAMA_REPORT_INIT;
        report.reason = "HTTP 504";
        report.metadata = &pair;
        report.metadata_count = 1;
        report.failure_count = &count;
        OK(fail(world.manager, db, way, &report, 30000));
        OK(fail(world.manager, db, way, NULL, 0));
        OK(fail(world.manager, db, way, &report, INT64_MAX));
        CHECK(count == 3 && status_of(db).state == BRAMA_STATE_OPEN);
        OK(brama_connection_reset_circuit(db));
        OK(fail(world.manager, db, way, NULL, 1));
        OK(succeed(world.manager, db, way, &report, 2));
        CHECK(status_of(db).failure_count == 0 && status_of(db).total_successes == 1);
        brama_event_t events[8];
        size_t got = 0;
        OK(brama_queue_drain(queue, events, sizeof *events, 8, &got));
        CHECK(got == 5 && events[4].event_type == BRAMA_EVENT_SUCCESS);
        CHECK(strcmp(events[0].reason, "HTTP 504") == 0 && events[1].reason == NULL);
        CHECK(events[4].metadata_count == 1 && strcmp(events[4].metadata[0].value, "504") == 0);
        brama_queue_free(queue);
        brama_connection_release(db);
        free_world(world);
    }
}

static void what_is_no_duration_is_refused_by_its_name(void) {
    static const struct {
        uint64_t value;
        const char *name;
    } bad[] = {
        {BRAMA_NEVER, "`duration_ms` = BRAMA_NEVER: must be a number of ms"},
        {BRAMA_NONE, "`duration_ms` = BRAMA_NONE: must be"},
        {BRAMA_NOT_GIVEN_U64, "`duration_ms` = BRAMA_NOT_GIVEN_U64: must be"},
        {BRAMA_INHERIT_U64, "`duration_ms` = BRAMA_INHERIT_U64: must be"},
        {BRAMA_NOT_GIVEN_U32, "`duration_ms` = BRAMA_NOT_GIVEN_U32: must be"},
        {BRAMA_INHERIT_U32, "`duration_ms` = BRAMA_INHERIT_U32: must be"},
        /* The difference of an end that lies before its start. */
        {(uint64_t)-5, "`duration_ms` = 18446744073709551611: must be a number of ms up to INT64_MAX"},
        {(uint64_t)INT64_MAX + 1, "`duration_ms` = 9223372036854775808: must be"},
    };
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int way = 0; way < WAYS; way++) {
            ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, succeed(world.manager, db, way, NULL, bad[i].value));
            MESSAGE_HAS(bad[i].name);
            ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, fail(world.manager, db, way, NULL, bad[i].value));
            MESSAGE_HAS(bad[i].name);
        }
    /* Nothing was reported. A permit is still to be reported. */
    CHECK(status_of(db).total_failures == 0 && status_of(db).total_successes == 0);
    OK(brama_connection_half_open_circuit(db));
    brama_permit_t permit;
    OK(brama_connection_acquire(db, &permit, NULL));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_permit_success_in(permit, NULL, BRAMA_NEVER));
    OK(brama_permit_success_in(permit, NULL, 3));
    CHECK(status_of(db).state == BRAMA_STATE_CLOSED);
    brama_connection_release(db);
    free_world(world);
}

static uint32_t read_pass(const brama_connection_t *connection) {
    return __atomic_load_n(brama_connection_pass_word(connection), __ATOMIC_ACQUIRE);
}

static void configure(struct world world, const brama_connection_t *db, int on_manager,
                      uint64_t cancelled_after_ms, uint64_t slow_call_duration_ms) {
    brama_config_t config = BRAMA_CONFIG_INIT;
    brama_options_t options = BRAMA_OPTIONS_INIT;
    config.cancelled_after_ms = options.cancelled_after_ms = cancelled_after_ms;
    config.slow_call_duration_ms = options.slow_call_duration_ms = slow_call_duration_ms;
    if (on_manager)
        OK(brama_configure(world.manager, &config));
    else
        OK(brama_connection_configure(db, &options));
}

/* While calls are measured, the pass word lets no call pass without a permit. */
static void the_next_call_is_measured_once_a_setting_asks_for_it(void) {
    for (int way = 0; way < 2 * WAYS; way++) {
        int on_manager = way % 2, is_slow = way / 2 % 2;
        struct world world = make_world();
        brama_connection_t *db = made(world, "db", BRAMA_UNLIMITED);
        brama_permit_t permit;
        uint32_t pass = read_pass(db);
        CHECK(pass < BRAMA_PASS_LIMIT);
        if (is_slow)
            configure(world, db, on_manager, BRAMA_NOT_GIVEN_U64, 50);
        else
            configure(world, db, on_manager, 60000, BRAMA_NOT_GIVEN_U64);
        CHECK(read_pass(db) >= BRAMA_PASS_LIMIT && brama_connection_available(db));
        ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_connection_pass_permit(db, read_pass(db), &permit));
        acquire(world.manager, db, way / 4, &permit);
        OK(brama_clock_advance(world.clock, 500));
        /* The measured duration is compared with the setting at the time of the report. */
        configure(world, db, on_manager, 500, BRAMA_NOT_GIVEN_U64);
        OK(brama_permit_cancelled(permit));
        CHECK(status_of(db).total_failures == 1);

        configure(world, db, on_manager, BRAMA_NONE, BRAMA_NONE);
        CHECK(read_pass(db) == pass);
        acquire(world.manager, db, way / 4, &permit);
        OK(brama_clock_advance(world.clock, 500));
        configure(world, db, on_manager, 500, BRAMA_NOT_GIVEN_U64);
        OK(brama_permit_cancelled(permit));
        CHECK(status_of(db).total_failures == 1);
        brama_connection_release(db);
        free_world(world);
    }
}

/* Registers a circuit that one call of 50 ms opens. */
static brama_connection_t *fragile(struct world world) {
    brama_options_t options = BRAMA_OPTIONS_INIT;
    brama_connection_t *connection;
    options.max_attempts = BRAMA_UNLIMITED;
    options.slow_call_duration_ms = 50;
    options.slow_call_rate = 1.0;
    options.minimum_calls = 1;
    OK(brama_register(world.manager, "db", NULL, &options, &connection));
    return connection;
}

static void a_duration_that_is_given_is_compared_with_the_setting(void) {
    for (int way = 0; way < 2 * WAYS; way++) {
        struct world world = make_world();
        brama_connection_t *db = fragile(world);
        brama_result_t (*report)(brama_t *, const brama_connection_t *, int, const brama_report_t *,
                                 uint64_t) = way % 2 ? succeed : fail;
        OK(report(world.manager, db, way / 2, NULL, 49));
        CHECK(status_of(db).state == BRAMA_STATE_CLOSED);
        OK(brama_connection_reset_circuit(db));
        OK(report(world.manager, db, way / 2, NULL, 50));
        CHECK(status_of(db).state == BRAMA_STATE_OPEN);
        CHECK(status_of(db).cause == BRAMA_CAUSE_SLOW_CALL_RATE);
        brama_connection_release(db);
        free_world(world);
    }
}

/* Reports on a permit; `how` is the number of the function. */
static brama_result_t report_on(brama_permit_t permit, int how) {
    brama_report_t report = BRAMA_REPORT_INIT;
    switch (how) {
    case 0: return brama_permit_success(permit);
    case 1: return brama_permit_success_at(&permit);
    case 2: return brama_permit_success_with(permit, &report);
    case 3: return brama_permit_failure(permit, "down");
    case 4: return brama_permit_failure_at(&permit, NULL);
    case 5: return brama_permit_failure_with(permit, &report);
    case 6: return brama_permit_failure_for(permit, &report, 0);
    default: return brama_permit_success_in(permit, NULL, 49); /* Replaces what was measured. */
    }
}

static void a_permit_measures_its_call(void) {
    for (int how = 0; how < 8; how++)
        for (int way = 0; way < 2; way++) {
            struct world world = make_world();
            brama_connection_t *db = fragile(world);
            brama_permit_t permit;
            acquire(world.manager, db, way, &permit);
            OK(brama_clock_advance(world.clock, 49));
            OK(report_on(permit, how));
            CHECK(status_of(db).state == BRAMA_STATE_CLOSED);
            OK(brama_connection_reset_circuit(db));
            acquire(world.manager, db, way, &permit);
            OK(brama_clock_advance(world.clock, 50));
            OK(report_on(permit, how));
            CHECK((status_of(db).state == BRAMA_STATE_OPEN) == (how < 7));
            brama_connection_release(db);
            free_world(world);
        }
}

int main(void) {
    a_duration_that_is_given_is_compared_with_the_setting();
    a_permit_measures_its_call();
    a_report_with_a_duration_is_one_without_it_besides();
    what_is_no_duration_is_refused_by_its_name();
    the_next_call_is_measured_once_a_setting_asks_for_it();
    return 0;
}
