/* Circuits that are disabled or only a shadow, and the state in which a circuit begins. */
#include "check.h"

static void turn(brama_connection_t *db, brama_mode_t mode) {
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.mode = mode;
    OK(brama_connection_configure(db, &options));
}

static void fail(brama_connection_t *db, int times) {
    while (times-- > 0) OK(brama_connection_failure(db, "down"));
}

static brama_queue_t *queue_of(brama_t *m) {
    brama_queue_t *queue;
    OK(brama_queue_new(m, NULL, 64, &queue));
    return queue;
}

/* The next event; its strings are valid until the next call. */
static brama_event_t next(brama_queue_t *queue) {
    brama_event_t event;
    size_t events = 0;
    OK(brama_queue_drain(queue, &event, sizeof event, 1, &events));
    CHECK(events == 1);
    return event;
}

/* Permits by name and from a handle, each reported by value and by pointer. */
enum { WAYS = 4 };

static void reports(brama_t *m, brama_connection_t *db, int way, int outcome) {
    brama_permit_t permit;
    if (way < 2)
        OK(brama_acquire(m, "db", NULL, &permit, NULL));
    else
        OK(brama_connection_acquire(db, &permit, NULL));
    CHECK(!brama_permit_is_probe_at(&permit));
    switch (outcome) {
    case 0: OK(way % 2 ? brama_permit_success_at(&permit) : brama_permit_success(permit)); break;
    case 1:
        OK(way % 2 ? brama_permit_failure_at(&permit, "late")
                   : brama_permit_failure(permit, "late"));
        break;
    default: OK(way % 2 ? brama_permit_ignore_at(&permit) : brama_permit_ignore(permit));
    }
}

static void a_circuit_that_rejects_nothing_counts_in_totals_only(brama_mode_t mode) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 5);
    fail(db, 5);
    turn(db, mode);
    brama_status_t before = status_of(db);
    bool is_shadow = mode == BRAMA_MODE_SHADOW;
    CHECK(before.mode == mode && before.settings->mode == mode && before.would_reject == 0);
    CHECK(before.state == (is_shadow ? BRAMA_STATE_OPEN : BRAMA_STATE_CLOSED));
    CHECK(brama_state(m, "db", NULL) == before.state);
    CHECK(brama_connection_state(db) == before.state);
    CHECK((before.retry_after_ms == BRAMA_NONE) == !is_shadow);
    CHECK(brama_available(m, "db", NULL) && brama_connection_available(db));
    for (int way = 0; way < WAYS; way++)
        for (int outcome = 0; outcome < 3; outcome++) reports(m, db, way, outcome);
    brama_status_t after = status_of(db);
    CHECK(after.total_successes == 4 && after.total_failures == 9 && after.total_ignored == 4);
    CHECK(after.total_rejections == 0 && after.would_reject == (is_shadow ? 12 : 0));
    CHECK(after.failure_count == 5 && after.trips == 1 && after.state == before.state);
    OK(brama_clock_advance(world.clock, 60000));
    brama_poll(m);
    CHECK(brama_connection_state(db) == (is_shadow ? BRAMA_STATE_HALF_OPEN : BRAMA_STATE_CLOSED));
    turn(db, BRAMA_MODE_NORMAL);
    CHECK(status_of(db).trips == (is_shadow ? 1 : 0));
    CHECK(status_of(db).failure_count == (is_shadow ? 5 : 0));
    brama_connection_release(db);
    free_world(world);
}

static void a_probe_frees_its_place_in_a_disabled_circuit(void) {
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 5);
    OK(brama_connection_half_open_circuit(db));
    brama_permit_t probe;
    OK(brama_connection_acquire(db, &probe, NULL));
    CHECK(brama_permit_is_probe_at(&probe) && status_of(db).probes_out == 1);
    turn(db, BRAMA_MODE_DISABLED);
    OK(brama_permit_failure(probe, NULL));
    CHECK(status_of(db).probes_out == 0);
    brama_connection_release(db);
    free_world(world);
}

static void a_hand_takes_effect_later(void) {
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 5);
    turn(db, BRAMA_MODE_DISABLED);
    brama_queue_t *queue = queue_of(world.manager);
    OK(brama_connection_open_circuit(db, "maintenance", BRAMA_NEVER));
    CHECK(brama_connection_available(db));
    CHECK(next(queue).event_type == BRAMA_EVENT_STATE_CHANGE);
    brama_event_t event = next(queue);
    CHECK(event.event_type == BRAMA_EVENT_CIRCUIT_OPENED && event.mode == BRAMA_MODE_DISABLED);
    CHECK(event.flags == BRAMA_EVENT_DEFERRED);
    CHECK(strcmp(event.reason,
                 "maintenance; takes effect when the circuit is enabled again") == 0);
    turn(db, BRAMA_MODE_NORMAL);
    CHECK(brama_connection_state(db) == BRAMA_STATE_OPEN && !brama_connection_available(db));
    event = next(queue);
    CHECK(event.event_type == BRAMA_EVENT_NOTICE && event.mode == BRAMA_MODE_NORMAL);
    CHECK(strcmp(event.reason, "the mode is normal") == 0 && event.flags == 0);
    CHECK(strcmp(status_of(db).reason, "maintenance") == 0);
    brama_queue_free(queue);
    brama_connection_release(db);
    free_world(world);
}

static void events_of_a_shadow_say_so(void) {
    struct world world = make_world();
    brama_config_t config = BRAMA_CONFIG_INIT;
    config.mode = BRAMA_MODE_SHADOW;
    OK(brama_configure(world.manager, &config));
    brama_queue_t *queue = queue_of(world.manager);
    brama_connection_t *db = made(world, "db", 1);
    fail(db, 1);
    reports(world.manager, db, 0, 0);
    int rejected = 0;
    for (int events = 7; events > 0; events--) {
        brama_event_t event = next(queue);
        CHECK(event.mode == BRAMA_MODE_SHADOW && event.flags == BRAMA_EVENT_SHADOW);
        rejected += event.event_type == BRAMA_EVENT_CALL_REJECTED;
    }
    CHECK(rejected == 1);
    config.mode = BRAMA_INHERIT_I32;
    OK(brama_configure(world.manager, &config));
    brama_permit_t permit;
    ANSWERS(BRAMA_ERR_REJECTED, brama_connection_acquire(db, &permit, NULL));
    CHECK(next(queue).flags == 0);
    brama_queue_free(queue);
    brama_connection_release(db);
    free_world(world);
}

static void unknown_modes_are_refused(void) {
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 5);
    brama_options_t options = BRAMA_OPTIONS_INIT;
    brama_config_t config = BRAMA_CONFIG_INIT;
    int32_t unknown[] = {3, -1, -4, INT32_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        options.mode = config.mode = unknown[i];
        ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(db, &options));
        MESSAGE_HAS("`mode` = ");
        MESSAGE_HAS("must be BRAMA_MODE_NORMAL, BRAMA_MODE_DISABLED or BRAMA_MODE_SHADOW");
        ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_configure(world.manager, &config));
        ANSWERS(BRAMA_ERR_INVALID_CONFIG,
                brama_register(world.manager, "new", NULL, &options, NULL));
    }
    CHECK(strcmp(brama_mode_name(BRAMA_MODE_SHADOW), "shadow") == 0);
    CHECK(strcmp(brama_mode_name(BRAMA_MODE_DISABLED), "disabled") == 0);
    CHECK(strcmp(brama_mode_name(BRAMA_MODE_NORMAL), "normal") == 0);
    CHECK(strcmp(brama_mode_name(7), "unknown") == 0);
    brama_connection_release(db);
    free_world(world);
}

static void a_circuit_may_begin_open(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_options_t options = BRAMA_OPTIONS_INIT;
    brama_connection_t *held, *timed, *closed;
    options.initial_state = -1;
    OK(brama_register(m, "held", NULL, &options, &held));
    options.initial_state = 50;
    OK(brama_register(m, "timed", NULL, &options, &timed));
    options.initial_state = 0;
    OK(brama_register(m, "closed", NULL, &options, &closed));
    brama_status_t status = status_of(held);
    CHECK(status.state == BRAMA_STATE_OPEN && status.cause == BRAMA_CAUSE_MANUAL);
    CHECK(status.trips == 0 && status.expiry_ms == BRAMA_NEVER);
    CHECK(status_of(timed).retry_after_ms == 50 && status_of(timed).trips == 0);
    CHECK(brama_connection_state(closed) == BRAMA_STATE_CLOSED);
    OK(brama_clock_advance(world.clock, 50));
    CHECK(brama_connection_available(timed) && !brama_connection_available(held));

    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(timed, &options));
    MESSAGE_HAS("`initial_state`");
    MESSAGE_HAS("given at registration only");
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_configure_connection(m, "timed", NULL, &options));
    brama_connection_t *found;
    options.initial_state = -1;
    OK(brama_get_or_register(m, "closed", NULL, &options, &found));
    CHECK(brama_connection_state(found) == BRAMA_STATE_CLOSED);
    int64_t unknown[] = {-3, -4, -5, INT64_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        options.initial_state = unknown[i];
        ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_register(m, "new", NULL, &options, NULL));
        MESSAGE_HAS("`initial_state` = -");
        MESSAGE_HAS("must be 0, a number of ms, or BRAMA_NEVER");
    }
    options.initial_state = INT64_MAX;
    OK(brama_register(m, "new", NULL, &options, NULL));
    CHECK(brama_state(m, "new", NULL) == BRAMA_STATE_OPEN);
    brama_connection_release(found);
    brama_connection_release(held);
    brama_connection_release(timed);
    brama_connection_release(closed);
    free_world(world);
}

int main(void) {
    a_circuit_that_rejects_nothing_counts_in_totals_only(BRAMA_MODE_DISABLED);
    a_circuit_that_rejects_nothing_counts_in_totals_only(BRAMA_MODE_SHADOW);
    a_probe_frees_its_place_in_a_disabled_circuit();
    a_hand_takes_effect_later();
    events_of_a_shadow_say_so();
    unknown_modes_are_refused();
    a_circuit_may_begin_open();
    return 0;
}
