/* A circuit by handle and by name: it opens, its expiry ends, it admits probes and recovers. */
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
    /* A hint of a second, although the lease of the probe that is out ends in a minute. */
    CHECK(wait == 1000);
    MESSAGE_HAS("all probes of \"db\" are out");
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
    CHECK(status.cause == BRAMA_CAUSE_CONSECUTIVE);

    OK(brama_unregister(m, "api", "billing"));
    CHECK(!brama_available(m, "api", "billing"));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_unregister(m, "api", "billing"));
    free_world(world);
}

static void by_hand(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 5);
    brama_permit_t permit;
    uint64_t wait;
    CHECK(status_of(db).cause == BRAMA_CAUSE_NONE);
    OK(brama_open_circuit(m, "db", NULL, "maintenance", BRAMA_NEVER));
    CHECK(status_of(db).cause == BRAMA_CAUSE_MANUAL);
    ANSWERS(BRAMA_ERR_REJECTED, brama_connection_acquire(db, &permit, &wait));
    CHECK(wait == BRAMA_NEVER && BRAMA_NEVER != BRAMA_NONE);
    CHECK(status_of(db).expiry_ms == BRAMA_NEVER && status_of(db).retry_after_ms == BRAMA_NEVER);
    OK(brama_open_circuit(m, "db", NULL, NULL, 5000));
    CHECK(status_of(db).retry_after_ms == 5000 && status_of(db).trips == 1);
    OK(brama_connection_open_circuit(db, NULL, BRAMA_NOT_GIVEN_U64));
    CHECK(status_of(db).retry_after_ms == 60000);
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_open_circuit(m, "db", NULL, NULL, 0));
    MESSAGE_HAS("`expiry_ms` = 0: must be at least 1");
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_connection_open_circuit(db, NULL, BRAMA_NONE));
    MESSAGE_HAS("`expiry_ms` = BRAMA_NONE: must be");
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_connection_open_circuit(db, NULL, BRAMA_INHERIT_U64));
    MESSAGE_HAS("`expiry_ms` = BRAMA_INHERIT_U64: must be");
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
    CHECK(status_of(db).cause == BRAMA_CAUSE_MANUAL && status_of(db).opened_at_ms != BRAMA_NONE);
    OK(brama_connection_open_circuit_with(db, NULL, 1));
    OK(brama_open_circuit_with(m, "db", NULL, NULL, 1));
    OK(brama_reset_all(m));
    CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED);
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

static void a_rejection_says_why_the_circuit_opened(void) {
    struct world world = make_world(), other = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 1);
    brama_connection_t *others = made(other, "db", 1);
    OK(brama_open_circuit(other.manager, "db", NULL, "another manager's", 7000));
    brama_permit_t permit;
    CHECK(brama_last_error_cause() == BRAMA_CAUSE_NONE && brama_last_error_reason() == NULL);
    OK(brama_connection_failure(db, "connection refused"));
    CHECK(strcmp(status_of(db).reason, "connection refused") == 0);
    CHECK(strcmp(status_of(db).last_failure_reason, "connection refused") == 0);
    for (int by_name = 0; by_name < 2; by_name++) {
#define ACQUIRE (by_name ? brama_acquire(m, "db", NULL, &permit, NULL) : brama_connection_acquire(db, &permit, NULL))
        ANSWERS(BRAMA_ERR_REJECTED, brama_acquire(other.manager, "db", NULL, &permit, NULL));
        ANSWERS(BRAMA_ERR_REJECTED, ACQUIRE);
        CHECK(brama_last_error_cause() == BRAMA_CAUSE_CONSECUTIVE);
        CHECK(strcmp(brama_last_error_reason(), "connection refused") == 0);
        MESSAGE_HAS("of \"db\" is open (consecutive, 1 failure in a row: connection refused), retry after");
        CHECK(strcmp(brama_last_error_reason(), "connection refused") == 0);
        ANSWERS(BRAMA_ERR_REJECTED, brama_acquire(other.manager, "db", NULL, &permit, NULL));
        MESSAGE_HAS("(manual: another manager's), retry after 7s");
        ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_success(m, "", NULL));
        CHECK(brama_last_error_cause() == BRAMA_CAUSE_NONE && brama_last_error_reason() == NULL);
    }
    /* If the connection is removed before the message is read, the message gives no cause. */
    ANSWERS(BRAMA_ERR_REJECTED, brama_connection_acquire(db, &permit, NULL));
    OK(brama_unregister(m, "db", NULL));
    MESSAGE_HAS("rejected: the circuit is open, retry after");
    CHECK(brama_last_error_cause() == BRAMA_CAUSE_NONE && brama_last_error_reason() == NULL);
    brama_connection_release(others);
    brama_connection_release(db);
    free_world(other);
    free_world(world);
}

static void a_question_that_is_answered_no_says_why(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 1);
    for (int by_name = 0; by_name < 2; by_name++) {
#define AVAILABLE (by_name ? brama_available(m, "db", NULL) : brama_connection_available(db))
        ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_success(m, "", NULL));
        OK(brama_connection_open_circuit(db, "migration", 5000));
        CHECK(!AVAILABLE);
        CHECK(strcmp(brama_last_error_message(),
                     "rejected: the circuit of \"db\" is open (manual: migration), retry after 5s") == 0);
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
    static const struct {
        brama_cause_t cause;
        const char *name;
    } causes[] = {
        {BRAMA_CAUSE_NONE, "none"},
        {BRAMA_CAUSE_CONSECUTIVE, "consecutive"},
        {BRAMA_CAUSE_WINDOW, "window"},
        {BRAMA_CAUSE_FAILURE_RATE, "failure_rate"},
        {BRAMA_CAUSE_SLOW_CALL_RATE, "slow_call_rate"},
        {BRAMA_CAUSE_RETRY_AFTER, "retry_after"},
        {BRAMA_CAUSE_PROBE, "probe"},
        {BRAMA_CAUSE_MANUAL, "manual"},
        {8, "unknown"},
        {-1, "unknown"},
    };
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        CHECK(strcmp(brama_cause_name(causes[i].cause), causes[i].name) == 0);
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
    by_hand();
    strings_may_have_lengths_instead_of_ends();
    a_rejection_says_why_the_circuit_opened();
    a_question_that_is_answered_no_says_why();
    all_of_them();
    names_of_numbers();
    unknown_names_at_their_first_use();
    return 0;
}
