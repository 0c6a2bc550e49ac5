/* Permits: which calls they cover, functions by value and by pointer, and late reports. */
#include "check.h"

static void a_permit_says_which_calls_may_ride_on_it(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 1), *other = made(world, "other", 1), *same;
    OK(brama_connection_get(m, "db", NULL, &same));
    brama_t *another = brama_new(NULL);
    brama_connection_t *namesake;
    OK(brama_register(another, "db", NULL, NULL, &namesake));
    OK(brama_half_open_circuit(another, "db", NULL));
    brama_permit_t held, named;
    OK(brama_connection_acquire(db, &held, NULL));
    CHECK(!brama_permit_is_probe(held) && !brama_permit_covers(held, db));
    OK(brama_connection_half_open_circuit(other));
    for (int by_name = 0; by_name < 2; by_name++) {
        OK(brama_connection_half_open_circuit(db));
        if (by_name)
            OK(brama_acquire(m, "db", NULL, &named, NULL));
        else
            OK(brama_connection_acquire(db, &named, NULL));
        CHECK(brama_permit_is_probe(named));
        CHECK(brama_permit_covers(named, db) && brama_permit_covers(named, same));
        CHECK(!brama_permit_covers(named, other) && !brama_permit_covers(named, namesake));
        CHECK(!brama_permit_covers(held, db));
        /* Even when the probe's lease is over, since its late report counts. */
        OK(brama_clock_advance(world.clock, 600000));
        CHECK(brama_permit_covers(named, db));
        /* But not in a later half-open state. */
        OK(brama_connection_open_circuit(db, NULL, 1));
        CHECK(brama_permit_is_probe(named) && !brama_permit_covers(named, db));
        OK(brama_clock_advance(world.clock, 1));
        CHECK(brama_connection_state(db) == BRAMA_STATE_HALF_OPEN);
        CHECK(!brama_permit_covers(named, db));
        OK(brama_connection_close_circuit(db));
        CHECK(!brama_permit_covers(named, db));
    }
    OK(brama_unregister(m, "db", NULL));
    CHECK(!brama_permit_covers(named, db));
    brama_connection_release(namesake);
    brama_free(another);
    brama_connection_release(same);
    brama_connection_release(other);
    brama_connection_release(db);
    free_world(world);
}

static void many_probes_keep_their_places(void) {
    enum { PROBES = 40 };
    struct world world = make_world();
    brama_options_t options;
    brama_options_init(&options);
    options.half_open_max_calls = PROBES;
    options.half_open_successes = PROBES;
    options.probe_timeout_ms = UINT64_C(100000000000);
    brama_connection_t *db;
    OK(brama_register(world.manager, "db", NULL, &options, &db));
    OK(brama_connection_half_open_circuit(db));
    brama_permit_t permits[PROBES], more;
    for (int i = 0; i < PROBES; i++) {
        if (i % 2)
            OK(brama_acquire(world.manager, "db", NULL, &permits[i], NULL));
        else
            OK(brama_connection_acquire(db, &permits[i], NULL));
        OK(brama_clock_advance(world.clock, 9999999));
    }
    ANSWERS(BRAMA_ERR_REJECTED, brama_connection_acquire(db, &more, NULL));
    OK(brama_permit_ignore(permits[17]));
    OK(brama_connection_acquire(db, &permits[17], NULL));
    for (int i = PROBES - 1; i >= 0; i--) {
        CHECK(brama_connection_state(db) == BRAMA_STATE_HALF_OPEN);
        OK(brama_permit_success(permits[i]));
    }
    CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED);
    brama_connection_release(db);
    free_world(world);
}

static void permits_by_pointer_are_the_same(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.max_attempts = BRAMA_UNLIMITED;
    options.cancelled_after_ms = 500;
    brama_connection_t *db;
    OK(brama_register(m, "db", NULL, &options, &db));
    brama_report_t report = BRAMA_REPORT_INIT;
    uint32_t now = 0;
    report.failure_count = &now;
    for (int way = 0; way < 4; way++) {
        int is_probe = way >= 2;
        brama_permit_t permit;
#define PERMIT                                                                        \
    do {                                                                              \
        OK(brama_connection_reset_circuit(db));                                       \
        if (is_probe)                                                                 \
            OK(brama_connection_half_open_circuit(db));                               \
        memset(&permit, 0xee, sizeof permit);                                         \
        if (way % 2)                                                                  \
            OK(brama_acquire(m, "db", NULL, &permit, NULL));                          \
        else                                                                          \
            OK(brama_connection_acquire(db, &permit, NULL));                          \
        CHECK(brama_permit_is_probe_at(&permit) == is_probe);                         \
        CHECK(brama_permit_covers_at(&permit, db) == is_probe);                       \
    } while (0)
        brama_status_t before = status_of(db);
        PERMIT;
        OK(brama_permit_success_at(&permit));
        PERMIT;
        OK(brama_permit_success_with_at(&permit, NULL));
        PERMIT;
        OK(brama_permit_failure_at(&permit, "down"));
        PERMIT;
        OK(brama_permit_failure_n(&permit, "down and out", 4));
        PERMIT;
        OK(brama_permit_failure_with_at(&permit, &report));
        CHECK(now == 1);
        PERMIT;
        OK(brama_permit_ignore_at(&permit));
        PERMIT;
        OK(brama_permit_cancelled_at(&permit));
        PERMIT;
        OK(brama_permit_cancelled(permit));
        PERMIT;
        OK(brama_clock_advance(world.clock, 499));
        OK(brama_permit_cancelled_at(&permit));
        PERMIT;
        OK(brama_clock_advance(world.clock, 500));
        OK(brama_permit_ignore_at(&permit));
        PERMIT;
        OK(brama_clock_advance(world.clock, 500));
        OK(brama_permit_cancelled_at(&permit));
        brama_status_t after = status_of(db);
        CHECK(after.total_successes - before.total_successes == 2);
        CHECK(after.total_failures - before.total_failures == 4);
        CHECK(after.total_ignored - before.total_ignored == 5);
        CHECK((after.state == BRAMA_STATE_OPEN) == is_probe);
    }
    brama_connection_release(db);
    free_world(world);
}

static void late_reports_are_told_so(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 1);
    brama_permit_t early, named;
    OK(brama_connection_acquire(db, &early, NULL));
    OK(brama_acquire(m, "db", NULL, &named, NULL));
    OK(brama_connection_failure(db, "down"));
    ANSWERS(BRAMA_ERR_STALE, brama_permit_success(early));
    ANSWERS(BRAMA_ERR_STALE, brama_permit_success(named));
    CHECK(brama_connection_state(db) == BRAMA_STATE_OPEN);
    CHECK(status_of(db).total_successes == 2);

    /* A probe that does not report in time loses its place. Its report is stale when the half-open
     * state is over. */
    OK(brama_clock_advance(world.clock, 60000));
    OK(brama_connection_acquire(db, &early, NULL));
    OK(brama_clock_advance(world.clock, 60000));
    OK(brama_acquire(m, "db", NULL, &named, NULL));
    OK(brama_permit_failure(named, "still down"));
    CHECK(brama_connection_state(db) == BRAMA_STATE_OPEN);
    ANSWERS(BRAMA_ERR_STALE, brama_permit_failure(named, "twice"));
    ANSWERS(BRAMA_ERR_STALE, brama_permit_success(early));

    /* In the same half-open state a late report counts. */
    OK(brama_clock_advance(world.clock, 60000));
    OK(brama_connection_acquire(db, &early, NULL));
    OK(brama_clock_advance(world.clock, 60000));
    OK(brama_acquire(m, "db", NULL, &named, NULL));
    OK(brama_permit_success(early));
    CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED);
    ANSWERS(BRAMA_ERR_STALE, brama_permit_success(named));

    /* A name that is registered again is another connection. */
    OK(brama_reset_circuit(m, "db", NULL));
    OK(brama_acquire(m, "db", NULL, &named, NULL));
    OK(brama_connection_acquire(db, &early, NULL));
    OK(brama_unregister(m, "db", NULL));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_permit_success(named));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_permit_success(early));
    OK(brama_register(m, "db", NULL, NULL, NULL));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_permit_failure(named, NULL));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_permit_ignore(named));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_connection_success(db));
    CHECK(!brama_connection_available(db));
    CHECK(brama_connection_state(db) == BRAMA_STATE_UNKNOWN);
    brama_connection_release(db);
    free_world(world);
}

int main(void) {
    a_permit_says_which_calls_may_ride_on_it();
    many_probes_keep_their_places();
    permits_by_pointer_are_the_same();
    late_reports_are_told_so();
    return 0;
}
