/* A circuit's life, by handle and by name: it trips, expires, probes and recovers. */
#include "check.h"

static void trips_expires_and_recovers(void) {
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 2);
    brama_permit_t permit;
    uint64_t wait = 7;

    CHECK(brama_connection_available(db));
    OK(brama_connection_acquire(db, &permit, &wait));
    CHECK(wait == 0);
    OK(brama_permit_success(permit));

    OK(brama_connection_failure(db, "timeout"));
    CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED);
    CHECK(status_of(db).failure_count == 1);
    OK(brama_connection_failure(db, NULL));
    CHECK(brama_connection_state(db) == BRAMA_STATE_OPEN);
    CHECK(!brama_connection_available(db));

    ANSWERS(BRAMA_ERR_REJECTED, brama_connection_acquire(db, &permit, &wait));
    CHECK(wait == 60000);
    MESSAGE_HAS("retry after 60s");
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_permit_success(permit));
    MESSAGE_HAS("permit");

    OK(brama_clock_advance(world.clock, 59999));
    CHECK(!brama_connection_available(db));
    OK(brama_clock_advance(world.clock, 1));
    CHECK(brama_connection_available(db));
    CHECK(brama_connection_state(db) == BRAMA_STATE_HALF_OPEN);

    OK(brama_connection_acquire(db, &permit, NULL));
    brama_permit_t second;
    ANSWERS(BRAMA_ERR_REJECTED, brama_connection_acquire(db, &second, &wait));
    /* A hint: the lease of the probe that is out ends in a minute. */
    CHECK(wait == 1000);
    MESSAGE_HAS("all probes are out");
    OK(brama_permit_success(permit));
    CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED);
    ANSWERS(BRAMA_ERR_STALE, brama_permit_success(permit));

    brama_status_t status = status_of(db);
    CHECK(strcmp(status.identifier, "db") == 0 && status.scope == NULL);
    CHECK(status.total_successes == 3 && status.total_failures == 2);
    CHECK(status.total_rejections == 2);
    CHECK(status.success_rate > 0.59 && status.success_rate < 0.61);
    CHECK(status.opened_at_ms == START && status.last_failure_time_ms == START);
    CHECK(status.last_success_time_ms == START + 60000);
    CHECK(status.last_state_change_ms == START + 60000 && status.time_in_state_ms == 0);
    CHECK(status.retry_after_ms == BRAMA_NONE && status.expiry_ms == 60000);
    CHECK(status.trips == 0 && status.failure_count == 0);
    CHECK(status.settings->max_attempts == 2 && status.settings->window_ms == BRAMA_NONE);

    brama_connection_release(db);
    free_world(world);
}

static void by_name_is_the_same(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    OK(brama_register(m, "api", "billing", NULL, NULL));
    ANSWERS(BRAMA_ERR_ALREADY_REGISTERED, brama_register(m, "api", "billing", NULL, NULL));
    MESSAGE_HAS("\"api\" in scope \"billing\"");
    CHECK(brama_available(m, "api", "billing"));
    CHECK(!brama_available(m, "api", NULL));
    CHECK(brama_state(m, "api", NULL) == BRAMA_STATE_UNKNOWN);
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_success(m, "api", NULL));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_failure(m, "api", "other", NULL));

    OK(brama_success(m, "api", "billing"));
    brama_permit_t permit;
    OK(brama_acquire(m, "api", "billing", &permit, NULL));
    OK(brama_permit_failure(permit, "HTTP 503"));
    OK(brama_acquire(m, "api", "billing", &permit, NULL));
    OK(brama_permit_ignore(permit));
    for (int i = 0; i < 4; i++)
        OK(brama_failure(m, "api", "billing", "HTTP 503"));
    CHECK(brama_state(m, "api", "billing") == BRAMA_STATE_OPEN);
    uint64_t wait;
    ANSWERS(BRAMA_ERR_REJECTED, brama_acquire(m, "api", "billing", &permit, &wait));
    CHECK(wait == 60000);

    brama_status_t status;
    brama_status_init(&status);
    OK(brama_status(m, "api", "billing", &status));
    CHECK(strcmp(status.scope, "billing") == 0 && status.failure_count == 5);
    CHECK(status.retry_after_ms == 60000 && status.trips == 1);

    OK(brama_unregister(m, "api", "billing"));
    CHECK(!brama_available(m, "api", "billing"));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_unregister(m, "api", "billing"));
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

    /* A probe that does not report loses its place, and is told if its state is gone. */
    OK(brama_clock_advance(world.clock, 60000));
    OK(brama_connection_acquire(db, &early, NULL));
    OK(brama_clock_advance(world.clock, 60000));
    OK(brama_acquire(m, "db", NULL, &named, NULL));
    OK(brama_permit_failure(named, "still down"));
    CHECK(brama_connection_state(db) == BRAMA_STATE_OPEN);
    ANSWERS(BRAMA_ERR_STALE, brama_permit_failure(named, "twice"));
    ANSWERS(BRAMA_ERR_STALE, brama_permit_success(early));

    /* In the same half-open state it counts, however late it comes. */
    OK(brama_clock_advance(world.clock, 60000));
    OK(brama_connection_acquire(db, &early, NULL));
    OK(brama_clock_advance(world.clock, 60000));
    OK(brama_acquire(m, "db", NULL, &named, NULL));
    OK(brama_permit_success(early));
    CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED);
    ANSWERS(BRAMA_ERR_STALE, brama_permit_success(named));

    /* A name that is registered anew is another connection. */
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
        /* Also when its lease is over: a late report counts. */
        OK(brama_clock_advance(world.clock, 600000));
        CHECK(brama_permit_covers(named, db));
        /* Not in another half-open state. */
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

static void by_hand(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 5);
    brama_permit_t permit;
    uint64_t wait;
    OK(brama_open_circuit(m, "db", NULL, "maintenance", BRAMA_NEVER));
    ANSWERS(BRAMA_ERR_REJECTED, brama_connection_acquire(db, &permit, &wait));
    CHECK(wait == BRAMA_NEVER && BRAMA_NEVER != BRAMA_NONE);
    CHECK(status_of(db).expiry_ms == BRAMA_NEVER && status_of(db).retry_after_ms == BRAMA_NEVER);
    OK(brama_open_circuit(m, "db", NULL, NULL, 5000));
    CHECK(status_of(db).retry_after_ms == 5000 && status_of(db).trips == 1);
    OK(brama_connection_open_circuit(db, NULL, BRAMA_NOT_GIVEN_U64));
    CHECK(status_of(db).retry_after_ms == 60000);
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_open_circuit(m, "db", NULL, NULL, 0));
    MESSAGE_HAS("expiry");
    OK(brama_half_open_circuit(m, "db", NULL));
    CHECK(brama_connection_state(db) == BRAMA_STATE_HALF_OPEN);
    OK(brama_close_circuit(m, "db", NULL));
    CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED);
    OK(brama_connection_open_circuit(db, "again", 1));
    OK(brama_connection_half_open_circuit(db));
    OK(brama_connection_close_circuit(db));
    OK(brama_connection_failure(db, NULL));
    OK(brama_connection_reset_circuit(db));
    CHECK(status_of(db).failure_count == 0 && status_of(db).trips == 0);
    OK(brama_connection_open_circuit_with(db, NULL, 1));
    OK(brama_open_circuit_with(m, "db", NULL, NULL, 1));
    OK(brama_reset_all(m));
    CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED);
    brama_connection_release(db);
    free_world(world);
}

static void settings_on_both_levels(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 3);
    brama_config_t config;
    brama_config_init(&config);
    config.max_attempts = 9;
    config.expiry_ms = 5000;
    config.expiry_strategy = BRAMA_EXPIRY_PROGRESSIVE;
    config.backoff_factor = 3.0;
    OK(brama_configure(m, &config));
    brama_settings_t settings = BRAMA_SETTINGS_INIT, by_name = BRAMA_SETTINGS_INIT;
    OK(brama_connection_settings(db, &settings));
    OK(brama_settings(m, "db", NULL, &by_name));
    CHECK(memcmp(&settings, &by_name, sizeof settings) == 0);
    CHECK(memcmp(&settings, status_of(db).settings, sizeof settings) == 0);
    CHECK(settings.max_attempts == 3 && settings.expiry_ms == 5000);
    CHECK(settings.initial_expiry_ms == 5000 && settings.max_expiry_ms == 50000);
    CHECK(settings.expiry_strategy == BRAMA_EXPIRY_PROGRESSIVE);
    CHECK(settings.backoff_factor == 3.0 && settings.jitter == 0.0);

    brama_pair_t pairs[] = {{"team", "billing"}, {"tier", "1"}};
    brama_options_t options;
    brama_options_init(&options);
    options.metadata = pairs;
    options.metadata_count = 2;
    options.max_attempts = BRAMA_UNLIMITED;
    options.window_ms = 1000;
    OK(brama_configure_connection(m, "db", NULL, &options));
    brama_status_t status = status_of(db);
    CHECK(status.settings->max_attempts == BRAMA_UNLIMITED);
    CHECK(status.settings->window_ms == 1000 && status.settings->expiry_ms == 5000);
    CHECK(status.metadata_count == 2);
    CHECK(strcmp(status.metadata[1].key, "tier") == 0);
    CHECK(strcmp(status.metadata[1].value, "1") == 0);

    brama_options_init(&options);
    options.window_ms = BRAMA_NONE;
    OK(brama_connection_configure(db, &options));
    CHECK(status_of(db).settings->window_ms == BRAMA_NONE);
    CHECK(status_of(db).metadata_count == 2);
    options.metadata = pairs;
    options.metadata_count = 0;
    OK(brama_connection_configure(db, &options));
    CHECK(status_of(db).metadata_count == 0 && status_of(db).metadata == NULL);

    brama_options_init(&options);
    options.jitter = 1.5;
    options.max_attempts = 1;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(db, &options));
    CHECK(strcmp(brama_last_error_message(),
                 "invalid setting `jitter` = 1.5: must be 0.0 to 1.0") == 0);
    CHECK(status_of(db).settings->max_attempts == BRAMA_UNLIMITED);
    brama_connection_release(db);
    free_world(world);
}

static void a_setting_can_be_taken_back(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_config_t config = BRAMA_CONFIG_INIT;
    config.max_attempts = 7;
    config.expiry_ms = 7000;
    config.expiry_strategy = BRAMA_EXPIRY_PROGRESSIVE;
    config.backoff_factor = 7.0;
    config.jitter = 0.5;
    config.window_ms = 777;
    config.probe_timeout_ms = 77;
    config.half_open_max_calls = 7;
    config.half_open_successes = 6;
    config.cancelled_after_ms = 7777;
    OK(brama_configure(m, &config));
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.max_attempts = 3;
    options.expiry_ms = 3000;
    options.initial_expiry_ms = 4000;
    options.max_expiry_ms = 5000;
    options.expiry_strategy = BRAMA_EXPIRY_FIXED;
    options.backoff_factor = 3.0;
    options.jitter = 0.25;
    options.window_ms = BRAMA_NONE;
    options.probe_timeout_ms = BRAMA_NONE;
    options.half_open_max_calls = 3;
    options.half_open_successes = 2;
    options.cancelled_after_ms = BRAMA_NONE;
    OK(brama_register(m, "db", NULL, &options, NULL));
    brama_settings_t own = BRAMA_SETTINGS_INIT, managers = BRAMA_SETTINGS_INIT, after = BRAMA_SETTINGS_INIT;
    OK(brama_settings(m, "db", NULL, &own));
    CHECK(own.max_attempts == 3 && own.window_ms == BRAMA_NONE && own.jitter == 0.25);
    CHECK(own.cancelled_after_ms == BRAMA_NONE && own.probe_timeout_ms == BRAMA_NONE);
    OK(brama_register(m, "plain", NULL, NULL, NULL));
    OK(brama_settings(m, "plain", NULL, &managers));
    CHECK(managers.max_attempts == 7 && managers.cancelled_after_ms == 7777);

    options.max_attempts = options.half_open_max_calls = options.half_open_successes = BRAMA_INHERIT_U32;
    options.expiry_strategy = BRAMA_INHERIT_I32;
    options.expiry_ms = options.initial_expiry_ms = options.max_expiry_ms = BRAMA_INHERIT_U64;
    options.window_ms = options.probe_timeout_ms = options.cancelled_after_ms = BRAMA_INHERIT_U64;
    options.backoff_factor = options.jitter = BRAMA_INHERIT_F64;
    OK(brama_configure_connection(m, "db", NULL, &options));
    OK(brama_settings(m, "db", NULL, &after));
    CHECK(memcmp(&after, &managers, sizeof after) == 0);

    /* A manager's settings become the defaults. */
    brama_config_init(&config);
    config.max_attempts = BRAMA_INHERIT_U32;
    config.window_ms = config.cancelled_after_ms = BRAMA_INHERIT_U64;
    config.cleanup_interval_ms = config.inactive_threshold_ms = BRAMA_INHERIT_U64;
    config.auto_register = BRAMA_INHERIT_I32;
    OK(brama_configure(m, &config));
    OK(brama_settings(m, "db", NULL, &after));
    CHECK(after.max_attempts == 5 && after.window_ms == BRAMA_NONE && after.expiry_ms == 7000);
    CHECK(after.cancelled_after_ms == BRAMA_NONE);
    CHECK(!brama_available(m, "new", NULL));
    config.auto_register = 1;
    OK(brama_configure(m, &config));
    CHECK(brama_available(m, "new", NULL));
    config.auto_register = BRAMA_INHERIT_I32;
    OK(brama_configure(m, &config));
    CHECK(!brama_available(m, "newer", NULL));
    /* A setting alone is checked with what it takes the place of. */
    brama_options_init(&options);
    options.expiry_strategy = BRAMA_EXPIRY_PROGRESSIVE;
    options.initial_expiry_ms = 9000;
    options.max_expiry_ms = 5;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_configure_connection(m, "db", NULL, &options));
    CHECK(strcmp(brama_last_error_message(), "invalid setting `max_expiry_ms` = 5: "
                 "must be at least initial_expiry_ms (9000 ms)") == 0);
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

static void strings_may_have_lengths_instead_of_ends(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    const char *text = "payment_api/billing";
    brama_connection_t *api, *same, *plain;
    OK(brama_register_n(m, text, 11, text + 12, 7, NULL, &api));
    CHECK(strcmp(brama_connection_identifier(api), "payment_api") == 0);
    CHECK(strcmp(brama_connection_scope(api), "billing") == 0);
    OK(brama_get_or_register_n(m, text, 11, text + 12, BRAMA_TERMINATED, NULL, &same));
    OK(brama_get_or_register_n(m, text, 7, NULL, 99, NULL, &plain));
    CHECK(brama_available(m, "payment", NULL) && brama_available_n(m, text, 7, NULL, 0));
    CHECK(!brama_available_n(m, text, 8, NULL, 0));
    MESSAGE_HAS("\"payment_\"");
    OK(brama_success_n(m, text, 11, text + 12, 7));
    brama_queue_t *queue;
    OK(brama_queue_new(m, NULL, 8, &queue));
    OK(brama_failure_n(m, text, 11, text + 12, 7, "down\0and out", 8));
    OK(brama_connection_failure_n(api, "downtown", 4));
    brama_event_t events[2];
    size_t count;
    OK(brama_queue_drain(queue, events, sizeof *events, 2, &count));
    CHECK(count == 2 && strcmp(events[0].reason, "down\xef\xbf\xbd" "and") == 0);
    CHECK(events[0].flags == BRAMA_EVENT_TRUNCATED);
    CHECK(strcmp(events[1].reason, "down") == 0 && events[1].flags == 0);
    brama_permit_t permit;
    uint64_t wait = 7;
    OK(brama_acquire_n(m, text, 11, text + 12, 7, &permit, &wait));
    OK(brama_permit_success_at(&permit));
    CHECK(wait == 0 && status_of(api).total_successes == 2);
    brama_connection_t *got;
    OK(brama_connection_get_n(m, text, 11, text + 12, 7, &got));
    OK(brama_connection_success(got));
    CHECK(status_of(same).total_successes == 3);
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_register_n(m, text, 0, NULL, 0, NULL, NULL));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_register_n(m, "a\0b", 3, NULL, 0, NULL, NULL));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_register_n(m, LATIN1, 4, NULL, 0, NULL, NULL));
    MESSAGE_HAS("must be UTF-8");
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_register_n(m, text, SIZE_MAX / 2 + 1, NULL, 0, NULL, NULL));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_acquire_n(m, text, 11, NULL, 0, &permit, &wait));
    CHECK(wait == BRAMA_NONE);
    brama_queue_free(queue);
    brama_connection_release(got);
    brama_connection_release(plain);
    brama_connection_release(same);
    brama_connection_release(api);
    free_world(world);
}

static void a_question_that_is_answered_no_says_why(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 1);
    for (int by_name = 0; by_name < 2; by_name++) {
#define AVAILABLE (by_name ? brama_available(m, "db", NULL) : brama_connection_available(db))
        ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_success(m, "", NULL));
        OK(brama_connection_open_circuit(db, NULL, 5000));
        CHECK(!AVAILABLE);
        CHECK(strcmp(brama_last_error_message(), "rejected: the circuit is open, retry after 5s") == 0);
        CHECK(brama_last_error_code() == BRAMA_ERR_REJECTED);
        OK(brama_connection_open_circuit(db, NULL, BRAMA_NEVER));
        CHECK(!AVAILABLE);
        MESSAGE_HAS("held open");
        CHECK(status_of(db).total_rejections == 0);
        OK(brama_connection_reset_circuit(db));
        CHECK(AVAILABLE);
    }
    CHECK(!brama_available(m, "nobody", NULL));
    MESSAGE_HAS("no connection \"nobody\"");
    CHECK(brama_last_error_code() == BRAMA_ERR_NOT_FOUND);
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_success(m, "", NULL));
    CHECK(brama_state(m, "nobody", NULL) == BRAMA_STATE_UNKNOWN);
    MESSAGE_HAS("no connection \"nobody\"");
    OK(brama_unregister(m, "db", NULL));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_success(m, "", NULL));
    CHECK(!brama_connection_available(db));
    MESSAGE_HAS("no connection \"db\"");
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_success(m, "", NULL));
    CHECK(brama_connection_state(db) == BRAMA_STATE_UNKNOWN);
    MESSAGE_HAS("no connection \"db\"");
    OK(brama_shutdown(m));
    CHECK(!brama_available(m, "db", NULL));
    MESSAGE_HAS("shut down");
    brama_connection_release(db);
    free_world(world);
}

static bool count_one(const brama_status_t *status, void *user_data) {
    char *seen = user_data;
    strcat(seen, status->scope ? status->scope : "-");
    strcat(seen, "/");
    strcat(seen, status->identifier);
    strcat(seen, " ");
    return strcmp(status->identifier, "stop") != 0;
}

static void all_of_them(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    OK(brama_register(m, "b", NULL, NULL, NULL));
    OK(brama_register(m, "a", "s", NULL, NULL));
    OK(brama_register(m, "a", NULL, NULL, NULL));
    OK(brama_open_circuit(m, "a", "s", NULL, BRAMA_NOT_GIVEN_U64));
    char seen[200] = "";
    OK(brama_for_each(m, NULL, count_one, seen));
    CHECK(strcmp(seen, "-/a -/b s/a ") == 0);
    seen[0] = 0;
    OK(brama_for_each(m, "s", count_one, seen));
    CHECK(strcmp(seen, "s/a ") == 0);
    seen[0] = 0;
    OK(brama_for_each(m, BRAMA_NO_SCOPE, count_one, seen));
    CHECK(strcmp(seen, "-/a -/b ") == 0);
    OK(brama_register(m, "stop", NULL, NULL, NULL));
    seen[0] = 0;
    OK(brama_for_each(m, NULL, count_one, seen));
    CHECK(strcmp(seen, "-/a -/b -/stop ") == 0);
    brama_state_counts_t counts;
    brama_state_counts_init(&counts);
    OK(brama_state_counts(m, &counts));
    CHECK(counts.closed == 3 && counts.open == 1 && counts.half_open == 0);
    free_world(world);
}

static void names_of_numbers(void) {
    CHECK(strcmp(brama_state_name(BRAMA_STATE_HALF_OPEN), "half_open") == 0);
    CHECK(strcmp(brama_state_name(77), "unknown") == 0);
    CHECK(strcmp(brama_event_type_name(BRAMA_EVENT_CALL_REJECTED), "call_rejected") == 0);
    CHECK(strcmp(brama_event_type_name(-1), "unknown") == 0);
    for (int code = BRAMA_OK; code >= BRAMA_ERR_LIMIT; code--) {
        CHECK(strcmp(brama_strerror(code), "unknown result code") != 0);
        for (int other = BRAMA_OK; other > code; other--)
            CHECK(strcmp(brama_strerror(code), brama_strerror(other)) != 0);
    }
    CHECK(strcmp(brama_strerror(1), "unknown result code") == 0);
    CHECK(strcmp(brama_strerror(-99), "unknown result code") == 0);
    CHECK(strcmp(brama_version(), BRAMA_VERSION_STRING) == 0);
    CHECK(brama_abi_version() == BRAMA_ABI_VERSION);
}

static void unknown_names_at_their_first_use(void) {
    brama_config_t config;
    brama_config_init(&config);
    config.auto_register = 1;
    config.background = 0;
    brama_t *m = brama_new(&config);
    CHECK(m != NULL);
    OK(brama_failure(m, "new", NULL, NULL));
    CHECK(brama_state(m, "new", NULL) == BRAMA_STATE_CLOSED);
    CHECK(brama_state(m, "newer", NULL) == BRAMA_STATE_UNKNOWN);
    CHECK(brama_available(m, "newest", NULL));
    brama_connection_t *one, *two;
    OK(brama_connection_get(m, "fresh", NULL, &one));
    OK(brama_get_or_register(m, "fresh", NULL, NULL, &two));
    OK(brama_connection_failure(one, NULL));
    CHECK(status_of(two).failure_count == 1);
    brama_connection_release(one);
    brama_connection_release(two);
    brama_free(m);
}

int main(void) {
    trips_expires_and_recovers();
    by_name_is_the_same();
    late_reports_are_told_so();
    a_permit_says_which_calls_may_ride_on_it();
    many_probes_keep_their_places();
    by_hand();
    settings_on_both_levels();
    a_setting_can_be_taken_back();
    permits_by_pointer_are_the_same();
    strings_may_have_lengths_instead_of_ends();
    a_question_that_is_answered_no_says_why();
    all_of_them();
    names_of_numbers();
    unknown_names_at_their_first_use();
    return 0;
}
