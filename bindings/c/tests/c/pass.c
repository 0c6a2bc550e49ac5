/* Guarded calls by reading the pass word, and other functions for interpreters. */
#include "check.h"

static uint32_t read_pass(const brama_connection_t *connection) {
    return __atomic_load_n(brama_connection_pass_word(connection), __ATOMIC_ACQUIRE);
}

static brama_result_t succeed(const brama_connection_t *connection, uint32_t pass) {
    brama_permit_t permit;
    OK(brama_connection_pass_permit(connection, pass, &permit));
    return brama_permit_success_at(&permit);
}

/* Whether callers must acquire a permit although the circuit is closed: its calls are measured, or
 * a rate counts its last calls. */
static int is_watched(const brama_connection_t *connection) {
    return read_pass(connection) >= BRAMA_PASS_LIMIT;
}

/* Settings that make a circuit watched, given while it is in use. The next call sees such a
 * setting, and sees that it is taken back. */
static void settings_reach_the_number_at_once(void) {
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 2), *other;
    brama_options_t options = BRAMA_OPTIONS_INIT;
    brama_config_t config = BRAMA_CONFIG_INIT;
    OK(brama_register(world.manager, "other", NULL, NULL, &other));
#define WATCHES(given)                                                                \
    do {                                                                              \
        CHECK(!is_watched(db) && !is_watched(other));                                 \
        OK(brama_connection_configure(db, &options));                                 \
        CHECK(is_watched(db) == (given) && !is_watched(other));                       \
        brama_options_init(&options);                                                 \
        options.slow_call_duration_ms = options.rate_calls = BRAMA_INHERIT_U64;       \
        options.failure_rate = options.slow_call_rate = BRAMA_INHERIT_F64;            \
        options.rate_window_ms = BRAMA_INHERIT_U64;                                   \
        OK(brama_connection_configure(db, &options));                                 \
        CHECK(!is_watched(db));                                                       \
        OK(brama_configure(world.manager, &config));                                  \
        CHECK(is_watched(db) == (given) && is_watched(other) == (given));             \
        brama_config_init(&config);                                                   \
        config.slow_call_duration_ms = config.rate_calls = BRAMA_INHERIT_U64;         \
        config.failure_rate = config.slow_call_rate = BRAMA_INHERIT_F64;              \
        config.rate_window_ms = BRAMA_INHERIT_U64;                                    \
        OK(brama_configure(world.manager, &config));                                  \
        CHECK(!is_watched(db) && !is_watched(other));                                 \
        brama_options_init(&options);                                                 \
        brama_config_init(&config);                                                   \
    } while (0)
    options.slow_call_duration_ms = config.slow_call_duration_ms = 5;
    WATCHES(1);
    options.failure_rate = config.failure_rate = 0.5;
    WATCHES(0);
    options.rate_calls = config.rate_calls = 50;
    WATCHES(0);
    options.rate_calls = config.rate_calls = 50;
    options.failure_rate = config.failure_rate = 0.5;
    WATCHES(1);

    /* The settings that are needed may be given one after the other, on both levels. */
    config.rate_calls = 50;
    OK(brama_configure(world.manager, &config));
    options.failure_rate = 0.5;
    OK(brama_connection_configure(db, &options));
    CHECK(is_watched(db) && !is_watched(other));
    brama_config_init(&config);
    config.failure_rate = 0.5;
    OK(brama_configure(world.manager, &config));
    CHECK(is_watched(other));
    /* A window replaces the last calls: no report needs a place among them any more. */
    brama_config_init(&config);
    config.rate_window_ms = 5000;
    OK(brama_configure(world.manager, &config));
    CHECK(!is_watched(db) && !is_watched(other));
    config.rate_window_ms = BRAMA_INHERIT_U64;
    config.rate_calls = 50;
    OK(brama_configure(world.manager, &config));
    CHECK(is_watched(db) && is_watched(other));
    brama_options_init(&options);
    options.rate_window_ms = 5000;
    OK(brama_connection_configure(db, &options));
    CHECK(!is_watched(db) && is_watched(other));
    brama_connection_release(db);
    brama_connection_release(other);
    free_world(world);
}

int main(void) {
    settings_reach_the_number_at_once();
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 2);
    brama_permit_t permit;

    /* A permit made from the pass word is reported like any other. */
    uint32_t pass = read_pass(db);
    CHECK(pass < BRAMA_PASS_LIMIT);
    OK(brama_connection_pass_permit(db, pass, &permit));
    OK(brama_permit_success_at(&permit));
    OK(brama_permit_success_at(&permit));
    OK(brama_permit_failure(permit, "timeout"));
    CHECK(status_of(db).total_successes == 2 && status_of(db).failure_count == 1);

    /* The pass word does not change with the failure count, and a report clears the count. */
    CHECK(read_pass(db) == pass);
    OK(succeed(db, pass));
    CHECK(status_of(db).failure_count == 0);

    /* A report returns how many failures count now. */
    brama_report_t report;
    uint32_t failures = 99;
    brama_report_init(&report);
    report.failure_count = &failures;
    OK(brama_connection_pass_permit(db, pass, &permit));
    OK(brama_permit_failure_with(permit, &report));
    CHECK(failures == 1);
    OK(brama_failure_with(world.manager, "db", NULL, &report));
    CHECK(failures == 2);
    OK(brama_connection_failure_with(db, &report));
    CHECK(failures == 3);

    /* Open: no call passes, and a pass word that was read before is stale. */
    CHECK(read_pass(db) >= BRAMA_PASS_LIMIT);
    ANSWERS(BRAMA_ERR_STALE, succeed(db, pass));
    failures = 99;
    ANSWERS(BRAMA_ERR_STALE, brama_permit_failure_with(permit, &report));
    CHECK(failures == 99);

    /* The same while half-open and when closed again: a late success closes nothing. */
    OK(brama_clock_advance(world.clock, 60000));
    OK(brama_poll(world.manager));
    CHECK(brama_connection_state(db) == BRAMA_STATE_HALF_OPEN);
    CHECK(read_pass(db) >= BRAMA_PASS_LIMIT);
    ANSWERS(BRAMA_ERR_STALE, succeed(db, pass));
    CHECK(brama_connection_state(db) == BRAMA_STATE_HALF_OPEN);
    OK(brama_connection_success(db));
    CHECK(read_pass(db) < BRAMA_PASS_LIMIT && read_pass(db) != pass);
    ANSWERS(BRAMA_ERR_STALE, succeed(db, pass));

    /* A snapshot has all connections in order. A status is valid until the next call. */
    brama_connection_t *api = made(world, "api", 2);
    brama_snapshot_t *snapshot;
    brama_status_t status;
    brama_status_init(&status);
    OK(brama_snapshot_new(world.manager, NULL, &snapshot));
    OK(brama_unregister(world.manager, "api", NULL));
    CHECK(brama_snapshot_next(snapshot, &status) && strcmp(status.identifier, "api") == 0);
    CHECK(brama_snapshot_next(snapshot, &status) && strcmp(status.identifier, "db") == 0);
    CHECK(status.total_failures == 5);
    CHECK(!brama_snapshot_next(snapshot, &status));
    CHECK(!brama_snapshot_next(snapshot, &status));
    brama_snapshot_free(snapshot);
    OK(brama_snapshot_new(world.manager, "elsewhere", &snapshot));
    CHECK(!brama_snapshot_next(snapshot, &status));
    brama_snapshot_free(snapshot);

    /* Of a removed connection no call passes. */
    CHECK(read_pass(api) >= BRAMA_PASS_LIMIT);
    ANSWERS(BRAMA_ERR_NOT_FOUND, succeed(api, 0));
    pass = read_pass(db);
    OK(brama_shutdown(world.manager));
    CHECK(read_pass(db) >= BRAMA_PASS_LIMIT);
    ANSWERS(BRAMA_ERR_SHUT_DOWN, succeed(db, pass));

    brama_connection_release(db);
    brama_connection_release(api);
    free_world(world);
    return 0;
}
