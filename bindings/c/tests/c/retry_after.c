/* Failures for which the dependency says how long it wants to be left alone. */
#include "check.h"

enum { DAY_MS = 86400000 };

static brama_report_t report_of(const char *reason, uint32_t *count) {
    brama_report_t report = BRAMA_REPORT_INIT;
    report.reason = reason;
    report.failure_count = count;
    return report;
}

/* Reports by name, on a handle, and on a permit of each kind, by value and by pointer. */
enum { WAYS = 6 };

static brama_result_t tell(brama_t *m, const brama_connection_t *db, int way,
                           const brama_report_t *report, uint64_t wait_ms) {
    brama_permit_t permit = BRAMA_PERMIT_INIT;
    switch (way) {
    case 0: return brama_failure_for(m, "db", NULL, report, wait_ms);
    case 1: return brama_connection_failure_for(db, report, wait_ms);
    }
    if (way < 4)
        OK(brama_acquire(m, "db", NULL, &permit, NULL));
    else
        OK(brama_connection_acquire(db, &permit, NULL));
    return way % 2 ? brama_permit_failure_for_at(&permit, report, wait_ms)
                   : brama_permit_failure_for(permit, report, wait_ms);
}

static void a_wait_opens_at_once_and_for_so_long(void) {
    for (int way = 0; way < WAYS; way++) {
        struct world world = make_world();
        brama_connection_t *db = made(world, "db", BRAMA_UNLIMITED);
        brama_filter_t filter = BRAMA_FILTER_INIT;
        filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_CIRCUIT_OPENED);
        brama_queue_t *queue;
        OK(brama_queue_new(world.manager, &filter, 8, &queue));
        brama_pair_t pair = {"status", "429"};
        uint32_t count = 0;
        brama_report_t report = report_of("HTTP 429", &count);
        report.metadata = &pair;
        report.metadata_count = 1;
        OK(tell(world.manager, db, way, &report, 1500));
        brama_status_t status = status_of(db);
        CHECK(count == 1 && status.state == BRAMA_STATE_OPEN && status.trips == 1);
        CHECK(status.expiry_ms == 1500 && status.retry_after_ms == 1500);
        OK(brama_clock_advance(world.clock, 1499));
        CHECK(!brama_connection_available(db));
        OK(brama_clock_advance(world.clock, 1));
        CHECK(brama_connection_state(db) == BRAMA_STATE_HALF_OPEN);

        brama_event_t event;
        size_t events = 0;
        OK(brama_queue_drain(queue, &event, sizeof event, 1, &events));
        CHECK(events == 1 && strcmp(event.reason, "HTTP 429") == 0 && event.expiry_ms == 1500);
        CHECK(event.metadata_count == 1 && strcmp(event.metadata[0].value, "429") == 0);

        /* From half-open, too, on a probe's permit or without a permit. */
        OK(tell(world.manager, db, way, NULL, 7));
        status = status_of(db);
        CHECK(status.state == BRAMA_STATE_OPEN && status.trips == 2 && status.expiry_ms == 7);
        brama_queue_free(queue);
        brama_connection_release(db);
        free_world(world);
    }
}

static void while_open_or_late_it_is_in_the_totals_only(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 5);
    brama_permit_t held, named;
    OK(brama_connection_acquire(db, &held, NULL));
    OK(brama_acquire(m, "db", NULL, &named, NULL));
    OK(brama_connection_failure_for(db, NULL, 100));
    OK(brama_clock_advance(world.clock, 40));
    uint32_t count = 9;
    brama_report_t report = report_of("HTTP 503", &count);
    brama_filter_t filter = BRAMA_FILTER_INIT;
    filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_FAILURE);
    brama_queue_t *queue;
    OK(brama_queue_new(m, &filter, 8, &queue));
    uint64_t first = status_of(db).last_failure_time_ms;
    OK(brama_failure_for(m, "db", NULL, &report, 60000));
    CHECK(count == 1);
    CHECK(status_of(db).last_failure_time_ms == first + 40);
    CHECK(brama_queue_wait(queue, 0));
    brama_queue_free(queue);
    OK(brama_connection_failure_for(db, NULL, 60000));
    count = 9;
    ANSWERS(BRAMA_ERR_STALE, brama_permit_failure_for(held, &report, 60000));
    ANSWERS(BRAMA_ERR_STALE, brama_permit_failure_for_at(&named, &report, 60000));
    CHECK(count == 9); /* It was not counted. */
    brama_status_t status = status_of(db);
    CHECK(status.retry_after_ms == 60 && status.trips == 1);
    CHECK(status.failure_count == 1 && status.total_failures == 5);
    OK(brama_unregister(m, "db", NULL));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_failure_for(m, "db", NULL, NULL, 1));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_connection_failure_for(db, NULL, 1));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_permit_failure_for(held, NULL, 1));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_permit_failure_for(named, NULL, 1));
    brama_connection_release(db);
    free_world(world);
}

static void no_wait_is_an_ordinary_failure_and_a_long_one_is_a_day(void) {
    for (int way = 0; way < WAYS; way++) {
        struct world world = make_world();
        brama_connection_t *db = made(world, "db", 5);
        uint32_t count = 0;
        brama_report_t report = report_of(NULL, &count);
        OK(tell(world.manager, db, way, &report, 0));
        CHECK(count == 1 && brama_connection_state(db) == BRAMA_STATE_CLOSED);
        OK(tell(world.manager, db, way, &report, DAY_MS + 1));
        CHECK(count == 2 && status_of(db).expiry_ms == DAY_MS);
        OK(brama_connection_reset_circuit(db));
        OK(tell(world.manager, db, way, &report, INT64_MAX));
        CHECK(status_of(db).expiry_ms == DAY_MS);
        brama_connection_release(db);
        free_world(world);
    }
}

static void what_is_no_wait_is_refused_by_its_name(void) {
    static const struct {
        uint64_t value;
        const char *name;
    } bad[] = {
        {BRAMA_NEVER, "`wait_ms` = BRAMA_NEVER: must be a number of ms"},
        {BRAMA_NONE, "`wait_ms` = BRAMA_NONE: must be"},
        {BRAMA_NOT_GIVEN_U64, "`wait_ms` = BRAMA_NOT_GIVEN_U64: must be"},
        {BRAMA_INHERIT_U64, "`wait_ms` = BRAMA_INHERIT_U64: must be"},
        {BRAMA_NOT_GIVEN_U32, "`wait_ms` = BRAMA_NOT_GIVEN_U32: must be"},
        {BRAMA_INHERIT_U32, "`wait_ms` = BRAMA_INHERIT_U32: must be"},
        /* The difference of a date that lies in the past. */
        {(uint64_t)-5, "`wait_ms` = 18446744073709551611: must be a number of ms up to INT64_MAX"},
        {(uint64_t)INT64_MAX + 1, "`wait_ms` = 9223372036854775808: must be"},
    };
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int way = 0; way < WAYS; way++) {
            ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, tell(world.manager, db, way, NULL, bad[i].value));
            MESSAGE_HAS(bad[i].name);
        }
    /* Nothing was reported. A permit is still to be reported. */
    brama_permit_t permit;
    CHECK(status_of(db).total_failures == 0 && status_of(db).state == BRAMA_STATE_CLOSED);
    OK(brama_connection_half_open_circuit(db));
    OK(brama_connection_acquire(db, &permit, NULL));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_permit_failure_for(permit, NULL, BRAMA_NEVER));
    OK(brama_permit_failure_for(permit, NULL, 3));
    CHECK(status_of(db).expiry_ms == 3);
    brama_connection_release(db);
    free_world(world);
}

int main(void) {
    a_wait_opens_at_once_and_for_so_long();
    while_open_or_late_it_is_in_the_totals_only();
    no_wait_is_an_ordinary_failure_and_a_long_one_is_a_day();
    what_is_no_wait_is_refused_by_its_name();
    return 0;
}
