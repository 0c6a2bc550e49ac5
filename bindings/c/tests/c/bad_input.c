/*
 * Invalid input: for every function each pointer NULL in turn, strings that are not names or not
 * UTF-8, numbers that are no valid values. Each is refused with a message that names the argument,
 * and changes nothing.
 */
#include "check.h"

static void on_event(const brama_event_t *event, void *user_data) {
    (void)event;
    (void)user_data;
}

static void on_events(const brama_event_t *events, size_t size, size_t count, void *user_data) {
    (void)events;
    (void)size;
    (void)count;
    (void)user_data;
}

static bool on_status(const brama_status_t *status, void *user_data) {
    (void)status;
    ++*(int *)user_data;
    return true;
}

/* Checks that a call is refused because of this argument. */
#define REFUSED(argument, call)                                                       \
    do {                                                                              \
        ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, call);                                    \
        MESSAGE_HAS("`" argument "`");                                                \
    } while (0)

static void null_pointers(brama_t *m, brama_connection_t *db, brama_clock_t *clock) {
    brama_permit_t permit;
    brama_connection_t *out;
    brama_subscription_t *subscription;
    brama_queue_t *queue;
    brama_options_t options;
    brama_status_t status;
    brama_settings_t settings = BRAMA_SETTINGS_INIT;
    brama_event_t event;
    size_t count;
    int fd, calls = 0;
    bool answer;

    brama_options_init(NULL);
    brama_config_init(NULL);
    brama_report_init(NULL);
    brama_status_init(NULL);
    brama_state_counts_init(NULL);
    brama_filter_init(NULL);
    brama_event_counts_init(NULL);
    brama_settings_init(NULL);
    brama_report_item_init(NULL);
    brama_options_init(&options);
    brama_status_init(&status);

    REFUSED("config", brama_configure(m, NULL));
    REFUSED("identifier", brama_configure_connection(m, NULL, NULL, &options));
    REFUSED("options", brama_configure_connection(m, "db", NULL, NULL));
    REFUSED("connection", brama_connection_configure(NULL, &options));
    REFUSED("options", brama_connection_configure(db, NULL));

    REFUSED("identifier", brama_register(m, NULL, NULL, &options, NULL));
    out = db;
    REFUSED("identifier", brama_register(m, NULL, "scope", NULL, &out));
    CHECK(out == NULL);
    REFUSED("identifier", brama_get_or_register(m, NULL, NULL, &options, &out));
    OK(brama_get_or_register(m, "db", NULL, NULL, NULL));
    REFUSED("identifier", brama_unregister(m, NULL, NULL));
    REFUSED("identifier", brama_connection_get(m, NULL, NULL, &out));
    REFUSED("out", brama_connection_get(m, "db", NULL, NULL));

    CHECK(!brama_available(m, NULL, NULL));
    MESSAGE_HAS("`identifier`");
    CHECK(brama_state(m, NULL, NULL) == BRAMA_STATE_UNKNOWN);
    REFUSED("identifier", brama_success(m, NULL, NULL));
    REFUSED("identifier", brama_success_with(m, NULL, NULL, NULL));
    OK(brama_success_with(m, "db", NULL, NULL));
    REFUSED("identifier", brama_failure(m, NULL, NULL, NULL));
    OK(brama_failure(m, "db", NULL, NULL));
    REFUSED("identifier", brama_failure_with(m, NULL, NULL, NULL));
    OK(brama_failure_with(m, "db", NULL, NULL));
    REFUSED("identifier", brama_failure_for(m, NULL, NULL, NULL, 0));
    OK(brama_failure_for(m, "db", NULL, NULL, 0));
    REFUSED("identifier", brama_success_in(m, NULL, NULL, NULL, 0));
    OK(brama_success_in(m, "db", NULL, NULL, 0));
    REFUSED("identifier", brama_failure_in(m, NULL, NULL, NULL, 0));
    OK(brama_failure_in(m, "db", NULL, NULL, 0));
    REFUSED("identifier", brama_acquire(m, NULL, NULL, &permit, NULL));
    REFUSED("permit", brama_permit_success(permit));
    REFUSED("permit", brama_acquire(m, "db", NULL, NULL, NULL));

    CHECK(brama_connection_retain(NULL) == NULL);
    brama_connection_release(NULL);
    CHECK(brama_connection_identifier(NULL) == NULL);
    CHECK(brama_connection_scope(NULL) == NULL);
    MESSAGE_HAS("`connection`");
    CHECK(!brama_connection_available(NULL));
    CHECK(brama_connection_state(NULL) == BRAMA_STATE_UNKNOWN);
    REFUSED("connection", brama_connection_success(NULL));
    REFUSED("connection", brama_connection_success_with(NULL, NULL));
    OK(brama_connection_success_with(db, NULL));
    REFUSED("connection", brama_connection_failure(NULL, "x"));
    OK(brama_connection_failure(db, NULL));
    REFUSED("connection", brama_connection_failure_with(NULL, NULL));
    OK(brama_connection_failure_with(db, NULL));
    REFUSED("connection", brama_connection_failure_for(NULL, NULL, 0));
    OK(brama_connection_failure_for(db, NULL, 0));
    REFUSED("connection", brama_connection_success_in(NULL, NULL, 0));
    OK(brama_connection_success_in(db, NULL, 0));
    REFUSED("connection", brama_connection_failure_in(NULL, NULL, 0));
    OK(brama_connection_failure_in(db, NULL, 0));
    REFUSED("connection", brama_connection_acquire(NULL, &permit, NULL));
    REFUSED("permit", brama_connection_acquire(db, NULL, NULL));
    memset(&permit, 0, sizeof permit);
    CHECK(!brama_permit_is_probe(permit) && !brama_permit_covers(permit, db));
    CHECK(!brama_permit_is_half_open(permit));
    MESSAGE_HAS("`permit`");
    CHECK(!brama_permit_covers(permit, NULL));
    MESSAGE_HAS("`connection`");
    CHECK(brama_connection_pass_word(NULL) == NULL);
    REFUSED("permit", brama_permit_success_at(NULL));
    REFUSED("permit", brama_permit_success_with_at(NULL, NULL));
    REFUSED("permit", brama_permit_failure_at(NULL, NULL));
    REFUSED("permit", brama_permit_failure_n(NULL, NULL, 0));
    REFUSED("permit", brama_permit_failure_with_at(NULL, NULL));
    REFUSED("permit", brama_permit_failure_for_at(NULL, NULL, 0));
    REFUSED("permit", brama_permit_failure_for(permit, NULL, 0));
    REFUSED("permit", brama_permit_success_in_at(NULL, NULL, 0));
    REFUSED("permit", brama_permit_success_in(permit, NULL, 0));
    REFUSED("permit", brama_permit_failure_in_at(NULL, NULL, 0));
    REFUSED("permit", brama_permit_failure_in(permit, NULL, 0));
    REFUSED("permit", brama_permit_ignore_at(NULL));
    REFUSED("permit", brama_permit_cancelled_at(NULL));
    REFUSED("permit", brama_permit_cancelled(permit));
    CHECK(!brama_permit_is_probe_at(NULL) && !brama_permit_covers_at(NULL, db));
    CHECK(!brama_permit_is_half_open_at(NULL));
    REFUSED("connection", brama_connection_failure_n(NULL, NULL, 0));
    REFUSED("connection", brama_connection_settings(NULL, &settings));
    REFUSED("settings", brama_connection_settings(db, NULL));
    REFUSED("identifier", brama_settings(m, NULL, NULL, &settings));
    REFUSED("settings", brama_settings(m, "db", NULL, NULL));
    REFUSED("identifier", brama_register_n(m, NULL, 3, NULL, 0, &options, &out));
    REFUSED("identifier", brama_get_or_register_n(m, NULL, 3, NULL, 0, &options, &out));
    REFUSED("identifier", brama_connection_get_n(m, NULL, 3, NULL, 0, &out));
    REFUSED("out", brama_connection_get_n(m, "db", 2, NULL, 0, NULL));
    REFUSED("identifier", brama_success_n(m, NULL, 3, NULL, 0));
    REFUSED("identifier", brama_failure_n(m, NULL, 3, NULL, 0, NULL, 0));
    REFUSED("identifier", brama_acquire_n(m, NULL, 3, NULL, 0, &permit, NULL));
    REFUSED("permit", brama_acquire_n(m, "db", 2, NULL, 0, NULL, NULL));
    CHECK(!brama_available_n(m, NULL, 3, NULL, 0));
    MESSAGE_HAS("`identifier`");
    REFUSED("pass", brama_connection_pass_permit(db, BRAMA_PASS_LIMIT, &permit));
    REFUSED("permit", brama_permit_success_at(&permit));
    REFUSED("permit", brama_connection_pass_permit(db, 0, NULL));
    REFUSED("connection", brama_connection_pass_permit(NULL, 0, &permit));
    REFUSED("pass", brama_connection_pass_permit(db, UINT32_MAX, &permit));
    CHECK(permit.opaque[0] == 0 && permit.opaque[1] == 0);

    OK(brama_connection_acquire(db, &permit, NULL));
    OK(brama_permit_failure(permit, NULL));
    OK(brama_connection_reset_circuit(db));
    OK(brama_connection_acquire(db, &permit, NULL));
    OK(brama_permit_failure_with(permit, NULL));
    OK(brama_permit_success_with(permit, NULL));
    OK(brama_permit_ignore(permit));

    REFUSED("identifier", brama_open_circuit(m, NULL, NULL, NULL, 1));
    REFUSED("identifier", brama_open_circuit_with(m, NULL, NULL, NULL, 1));
    REFUSED("identifier", brama_close_circuit(m, NULL, NULL));
    REFUSED("identifier", brama_half_open_circuit(m, NULL, NULL));
    REFUSED("identifier", brama_reset_circuit(m, NULL, NULL));
    REFUSED("connection", brama_connection_open_circuit(NULL, NULL, 1));
    REFUSED("connection", brama_connection_open_circuit_with(NULL, NULL, 1));
    REFUSED("connection", brama_connection_close_circuit(NULL));
    REFUSED("connection", brama_connection_half_open_circuit(NULL));
    REFUSED("connection", brama_connection_reset_circuit(NULL));

    REFUSED("identifier", brama_status(m, NULL, NULL, &status));
    REFUSED("status", brama_status(m, "db", NULL, NULL));
    REFUSED("connection", brama_connection_status(NULL, &status));
    REFUSED("status", brama_connection_status(db, NULL));
    REFUSED("callback", brama_for_each(m, NULL, NULL, &calls));
    OK(brama_for_each(m, NULL, on_status, &calls));
    CHECK(calls == 1);
    REFUSED("counts", brama_state_counts(m, NULL));
    brama_snapshot_t *snapshot = NULL;
    REFUSED("out", brama_snapshot_new(m, NULL, NULL));
    OK(brama_snapshot_new(m, NULL, &snapshot));
    CHECK(!brama_snapshot_next(NULL, &status));
    CHECK(!brama_snapshot_next(snapshot, NULL));
    MESSAGE_HAS("status");
    CHECK(brama_snapshot_next(snapshot, &status) && !brama_snapshot_next(snapshot, &status));
    brama_snapshot_free(snapshot);
    brama_snapshot_free(NULL);

    uint8_t *data = NULL;
    size_t length = 0;
    count = 9;
    REFUSED("data", brama_save(m, NULL, &length));
    REFUSED("length", brama_save(m, &data, NULL));
    OK(brama_save(m, &data, &length));
    REFUSED("data", brama_restore(m, NULL, length, &count));
    REFUSED("data", brama_restore(m, data, length - 1, &count));
    REFUSED("data", brama_restore(m, data, SIZE_MAX, NULL));
    CHECK(count == 0);
    OK(brama_restore(m, data, length, NULL));
    brama_data_free(data);
    brama_data_free(NULL);

    REFUSED("callback", brama_subscribe(m, NULL, NULL, NULL, NULL, &subscription));
    CHECK(subscription == NULL);
    REFUSED("callback", brama_subscribe_batched(m, NULL, 1, NULL, NULL, NULL, &subscription));
    OK(brama_subscribe(m, NULL, on_event, NULL, NULL, NULL));
    OK(brama_subscribe_batched(m, NULL, 1, on_events, NULL, NULL, NULL));
    brama_unsubscribe(NULL);
    brama_subscription_detach(NULL);
    OK(brama_unsubscribe_matching(m, NULL));
    REFUSED("counts", brama_event_counts(m, NULL));

    REFUSED("out", brama_queue_new(m, NULL, 10, NULL));
    OK(brama_queue_new(m, NULL, 10, &queue));
    count = 7;
    REFUSED("queue", brama_queue_drain(NULL, &event, sizeof event, 1, &count));
    CHECK(count == 0);
    REFUSED("events", brama_queue_drain(queue, NULL, sizeof event, 1, &count));
    REFUSED("count", brama_queue_drain(queue, &event, sizeof event, 1, NULL));
    CHECK(!brama_queue_wait(NULL, BRAMA_NEVER));
    REFUSED("queue", brama_queue_fd(NULL, &fd));
    REFUSED("fd", brama_queue_fd(queue, NULL));
    REFUSED("queue", brama_queue_close(NULL));
    CHECK(brama_queue_is_closed(NULL));
    brama_queue_free(NULL);
    brama_queue_free(queue);

    REFUSED("connections", brama_available_many(NULL, 1, &answer));
    REFUSED("items", brama_report_many(NULL, sizeof(brama_report_item_t), 1));

    REFUSED("clock", brama_clock_advance(NULL, 1));
    CHECK(brama_clock_unix_ms(NULL) == BRAMA_NONE);
    CHECK(brama_clock_unix_ms(clock) == START);
    brama_clock_free(NULL);

    brama_t *defaults = brama_new(NULL);
    CHECK(defaults != NULL && brama_default() != NULL);
    brama_free(defaults);
    brama_free(NULL);
    OK(brama_poll(NULL));
    OK(brama_reset_all(NULL));

    CHECK(brama_last_error_code() == BRAMA_OK || brama_last_error_code() < 0);
    CHECK(brama_strerror(12345) != NULL && brama_last_error_message() != NULL);
    CHECK(brama_state_name(12345) != NULL && brama_event_type_name(12345) != NULL);
    CHECK(brama_cause_name(12345) != NULL && brama_mode_name(12345) != NULL);
    CHECK(brama_last_error_cause() == BRAMA_CAUSE_NONE);
    CHECK(brama_last_error_reason() == NULL);
    CHECK(brama_version() != NULL && brama_abi_version() == BRAMA_ABI_VERSION);
    /* The default manager, last. */
    OK(brama_shutdown_within(NULL, 1000, NULL));
    OK(brama_shutdown(NULL));
    ANSWERS(BRAMA_ERR_SHUT_DOWN, brama_register(NULL, "late", NULL, NULL, NULL));
}

/* Tries a name in every function that takes one; `blamed` is its invalid part. */
static void names(brama_t *m, const char *identifier, const char *scope, const char *blamed) {
    brama_permit_t permit;
    brama_options_t options;
    brama_status_t status;
    brama_connection_t *out;
    char argument[20];
    brama_options_init(&options);
    brama_status_init(&status);
    sprintf(argument, "`%s`", blamed);
#define BAD(call)                                                                     \
    do {                                                                              \
        ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, call);                                    \
        MESSAGE_HAS(argument);                                                        \
    } while (0)
    BAD(brama_register(m, identifier, scope, NULL, NULL));
    BAD(brama_get_or_register(m, identifier, scope, NULL, NULL));
    BAD(brama_unregister(m, identifier, scope));
    BAD(brama_connection_get(m, identifier, scope, &out));
    BAD(brama_success(m, identifier, scope));
    BAD(brama_success_with(m, identifier, scope, NULL));
    BAD(brama_failure(m, identifier, scope, NULL));
    BAD(brama_failure_with(m, identifier, scope, NULL));
    BAD(brama_failure_for(m, identifier, scope, NULL, 1));
    BAD(brama_success_in(m, identifier, scope, NULL, 1));
    BAD(brama_failure_in(m, identifier, scope, NULL, 1));
    BAD(brama_acquire(m, identifier, scope, &permit, NULL));
    BAD(brama_status(m, identifier, scope, &status));
    BAD(brama_open_circuit(m, identifier, scope, NULL, 1));
    BAD(brama_open_circuit_with(m, identifier, scope, NULL, 1));
    BAD(brama_close_circuit(m, identifier, scope));
    BAD(brama_half_open_circuit(m, identifier, scope));
    BAD(brama_reset_circuit(m, identifier, scope));
    BAD(brama_configure_connection(m, identifier, scope, &options));
    /* Functions that return no code leave a message, too. */
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_success(m, "nobody", NULL));
    CHECK(!brama_available(m, identifier, scope));
    MESSAGE_HAS(argument);
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_success(m, "nobody", NULL));
    CHECK(brama_state(m, identifier, scope) == BRAMA_STATE_UNKNOWN);
    MESSAGE_HAS(argument);
}

static void strings(brama_t *m, brama_connection_t *db) {
    char longest[1025], too_long[1026];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = 0;
    const char *bad[] = {"", too_long, LATIN1, "\xff", "long enough for sixteen \xf0\x9f"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        names(m, bad[i], NULL, "identifier");
        names(m, "db", bad[i], "scope");
    }
    OK(brama_register(m, longest, longest, NULL, NULL));
    CHECK(brama_available(m, longest, longest));
    OK(brama_unregister(m, longest, longest));
    OK(brama_register(m, "zażółć gęślą jaźń", "日本", NULL, NULL));
    OK(brama_unregister(m, "zażółć gęślą jaźń", "日本"));

    brama_filter_t filter;
    brama_options_t options;
    brama_pair_t pair = {"key", NULL};
    brama_options_init(&options);
    options.metadata_count = 3;
    REFUSED("metadata", brama_connection_configure(db, &options));
    options.metadata = &pair;
    options.metadata_count = 1;
    REFUSED("metadata value", brama_connection_configure(db, &options));
    pair.value = LATIN1;
    REFUSED("metadata value", brama_connection_configure(db, &options));
    pair.key = NULL;
    REFUSED("metadata key", brama_connection_configure(db, &options));
    options.metadata_count = SIZE_MAX;
    REFUSED("metadata", brama_connection_configure(db, &options));

    int calls = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        brama_filter_init(&filter);
        filter.connection = bad[i];
        REFUSED("filter.connection", brama_subscribe(m, &filter, on_event, NULL, NULL, NULL));
        REFUSED("filter.connection", brama_unsubscribe_matching(m, &filter));
        if (*bad[i] == 0)
            continue; /* BRAMA_NO_SCOPE */
        filter.connection = NULL;
        filter.scope = bad[i];
        REFUSED("filter.scope", brama_subscribe(m, &filter, on_event, NULL, NULL, NULL));
        REFUSED("scope", brama_for_each(m, bad[i], on_status, &calls));
        brama_snapshot_t *snapshot = (brama_snapshot_t *)&calls;
        REFUSED("scope", brama_snapshot_new(m, bad[i], &snapshot));
        CHECK(snapshot == NULL);
    }
    CHECK(calls == 0);
}

static void numbers(brama_t *m, brama_connection_t *db) {
    brama_options_t options;
    brama_config_t config;
    brama_filter_t filter;
#define WRONG(field, value, message)                                                  \
    do {                                                                              \
        brama_options_init(&options);                                                 \
        options.field = (value);                                                      \
        ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(db, &options));  \
        MESSAGE_HAS("`" #field "` = " message);                                       \
        ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_register(m, "new", NULL, &options, NULL)); \
        brama_config_init(&config);                                                   \
        config.field = (value);                                                       \
        ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_configure(m, &config));               \
        CHECK(brama_new(&config) == NULL);                                            \
        MESSAGE_HAS("`" #field "` = " message);                                       \
    } while (0);

/* Invalid values for a setting of each kind: out of range, and constants without a meaning for
 * it. */
#define WRONG_attempts(field)                                                         \
    WRONG(field, 0, "0: must be at least 1")                                          \
    WRONG(field, (uint32_t)BRAMA_NONE, "BRAMA_NONE: must be at least 1, or BRAMA_UNLIMITED")
#define WRONG_calls(field)                                                            \
    WRONG(field, 0, "0: must be 1 to 65535")                                          \
    WRONG(field, 65536, "65536: must be 1 to 65535")                                  \
    WRONG(field, BRAMA_UNLIMITED, "BRAMA_UNLIMITED: must be 1 to 65535")              \
    WRONG(field, (uint32_t)BRAMA_NONE, "BRAMA_NONE: must be 1 to 65535")
#define WRONG_lengths(field)                                                          \
    WRONG(field, 0, "0: must be at least 1")                                          \
    WRONG(field, BRAMA_NEVER, "BRAMA_NEVER: must be a number of ms")                  \
    WRONG(field, BRAMA_NOT_GIVEN_U32, "BRAMA_NOT_GIVEN_U32: must be a number of ms")  \
    WRONG(field, BRAMA_INHERIT_U32, "BRAMA_INHERIT_U32: must be a number of ms")      \
    WRONG(field, (uint64_t)-5000, "18446744073709546616: must be a number of ms up to INT64_MAX") \
    WRONG(field, (uint64_t)INT64_MAX + 1, "9223372036854775808: must be a number of ms")
#define WRONG_time(field)                                                             \
    WRONG_lengths(field)                                                              \
    WRONG(field, BRAMA_NONE, "BRAMA_NONE: must be a number of ms")
#define WRONG_optional_time(field)                                                    \
    WRONG_lengths(field)                                                              \
    WRONG(field, BRAMA_NEVER, "BRAMA_NEVER: must be a number of ms up to INT64_MAX, or BRAMA_NONE")
#define WRONG_bounded_time(field)                                                     \
    WRONG(field, 0, "0: must be 1000 to 3600000 ms")                                  \
    WRONG(field, 999, "999: must be 1000 to 3600000 ms")                              \
    WRONG(field, 3600001, "3600001: must be 1000 to 3600000 ms")                      \
    WRONG(field, (uint64_t)-5, "18446744073709551611: must be 1000 to 3600000 ms")    \
    WRONG(field, BRAMA_NEVER, "BRAMA_NEVER: must be 1000 to 3600000 ms")              \
    WRONG(field, BRAMA_NONE, "BRAMA_NONE: must be 1000 to 3600000 ms")                \
    WRONG(field, BRAMA_INHERIT_U32, "BRAMA_INHERIT_U32: must be 1000 to 3600000 ms")
#define WRONG_count(field)                                                            \
    WRONG(field, 0, "0: must be at least 1")                                          \
    WRONG(field, UINT64_C(1) << 32, "4294967296: must be 1 to 4294967295")            \
    WRONG(field, (uint64_t)-5, "18446744073709551611: must be 1 to 4294967295")       \
    WRONG(field, BRAMA_NEVER, "BRAMA_NEVER: must be 1 to 4294967295")                 \
    WRONG(field, BRAMA_NONE, "BRAMA_NONE: must be 1 to 4294967295")                   \
    WRONG(field, BRAMA_NOT_GIVEN_U32, "BRAMA_NOT_GIVEN_U32: must be 1 to 4294967295")
#define WRONG_optional_calls(field)                                                   \
    WRONG(field, 0, "0: must be 10 to 100000")                                        \
    WRONG(field, 9, "9: must be 10 to 100000")                                        \
    WRONG(field, 100001, "100001: must be 10 to 100000")                              \
    WRONG(field, (UINT64_C(1) << 32) + 50, "4294967346: must be 10 to 100000, or BRAMA_NONE") \
    WRONG(field, (uint64_t)-5, "18446744073709551611: must be 10 to 100000, or BRAMA_NONE") \
    WRONG(field, BRAMA_NEVER, "BRAMA_NEVER: must be 10 to 100000, or BRAMA_NONE")     \
    WRONG(field, BRAMA_NOT_GIVEN_U32, "BRAMA_NOT_GIVEN_U32: must be 10 to 100000")
#define WRONG_doubles(field)                                                          \
    WRONG(field, -0.1, "-0.1: must be ")                                              \
    WRONG(field, strtod("nan", NULL), "NaN: must be ")                                \
    WRONG(field, strtod("inf", NULL), "inf: must be ")                                \
    WRONG(field, (double)BRAMA_NEVER, "a constant for uint64_t: must be ")            \
    WRONG(field, (double)BRAMA_NONE, "a constant for uint64_t: must be ")             \
    WRONG(field, (double)BRAMA_UNLIMITED, "BRAMA_UNLIMITED: must be ")                \
    WRONG(field, (double)BRAMA_NOT_GIVEN_U32, "BRAMA_NOT_GIVEN_U32: must be ")        \
    WRONG(field, (double)BRAMA_INHERIT_U32, "BRAMA_INHERIT_U32: must be ")
#define WRONG_factor(field)                                                           \
    WRONG_doubles(field)                                                              \
    WRONG(field, 0.99, "0.99: must be finite and at least 1.0")                       \
    WRONG(field, BRAMA_NONE_F64, "BRAMA_NONE_F64: must be finite and at least 1.0")
#define WRONG_part(field)                                                             \
    WRONG_doubles(field)                                                              \
    WRONG(field, 1.1, "1.1: must be 0.0 to 1.0")                                      \
    WRONG(field, BRAMA_NONE_F64, "BRAMA_NONE_F64: must be 0.0 to 1.0")
#define WRONG_optional_rate(field)                                                    \
    WRONG_doubles(field)                                                              \
    WRONG(field, 0.0, "0: must be above 0.0 and at most 1.0")                         \
    WRONG(field, 1.1, "1.1: must be above 0.0 and at most 1.0")                       \
    WRONG(field, 50.0, "50: must be above 0.0 and at most 1.0")                       \
    WRONG(field, (double)BRAMA_NONE, "a constant for uint64_t: must be above 0.0 and at most 1.0, or BRAMA_NONE_F64")
#define WRONG_share(field)                                                            \
    WRONG_doubles(field)                                                              \
    WRONG(field, 0.0, "0: must be above 0.0 and at most 1.0")                         \
    WRONG(field, 1.1, "1.1: must be above 0.0 and at most 1.0")                       \
    WRONG(field, BRAMA_NONE_F64, "BRAMA_NONE_F64: must be above 0.0 and at most 1.0")
#define WRONG_strategy(field)                                                         \
    WRONG(field, 2, "2: must be BRAMA_EXPIRY_FIXED or BRAMA_EXPIRY_PROGRESSIVE")      \
    WRONG(field, -5, "-5: must be BRAMA_EXPIRY_FIXED")                                \
    WRONG(field, (int32_t)BRAMA_NEVER, "BRAMA_NEVER (-1): must be BRAMA_EXPIRY_FIXED") \
    WRONG(field, -4, "BRAMA_NONE (-4): must be BRAMA_EXPIRY_FIXED")
#define WRONG_flag(field)                                                           \
    WRONG(field, 2, "2: must be 0 or 1")                                              \
    WRONG(field, -1, "BRAMA_NEVER (-1): must be 0 or 1")                              \
    WRONG(field, -4, "BRAMA_NONE (-4): must be 0 or 1")
#define WRONG_mode(field)                                                           \
    WRONG(field, 3, "3: must be BRAMA_MODE_NORMAL")                                   \
    WRONG(field, -5, "-5: must be BRAMA_MODE_NORMAL")                                 \
    WRONG(field, -1, "BRAMA_NEVER (-1): must be BRAMA_MODE_NORMAL")                   \
    WRONG(field, -4, "BRAMA_NONE (-4): must be BRAMA_MODE_NORMAL")
#define SETTING(name, field, kind, initial) WRONG_##kind(field)
#include "settings_table.h"

#define CONFIG(field, value, blamed)                                                  \
    do {                                                                              \
        brama_config_init(&config);                                                   \
        config.field = (value);                                                       \
        CHECK(brama_new(&config) == NULL);                                            \
        MESSAGE_HAS("`" blamed);                                                      \
        ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_configure(m, &config));               \
        MESSAGE_HAS("`" blamed);                                                      \
    } while (0)
    CONFIG(cleanup_interval_ms, 0, "cleanup_interval_ms` = 0: must be at least 1");
    CONFIG(cleanup_interval_ms, BRAMA_NEVER, "cleanup_interval_ms` = BRAMA_NEVER: must be");
    CONFIG(inactive_threshold_ms, 0, "inactive_threshold_ms` = 0: must be at least 1");
    CONFIG(inactive_threshold_ms, BRAMA_NONE, "inactive_threshold_ms` = BRAMA_NONE: must be");
    CONFIG(cleanup_interval_ms, BRAMA_INHERIT_U32, "cleanup_interval_ms` = BRAMA_INHERIT_U32: must be");
    CONFIG(inactive_threshold_ms, BRAMA_NOT_GIVEN_U32, "inactive_threshold_ms` = BRAMA_NOT_GIVEN_U32: must be");
    CONFIG(cleanup_interval_ms, (uint64_t)-5, "cleanup_interval_ms` = 18446744073709551611: must be");
    CONFIG(inactive_threshold_ms, (uint64_t)-5,
           "inactive_threshold_ms` = 18446744073709551611: must be a number of ms up to INT64_MAX, or BRAMA_NEVER");
    CONFIG(auto_register, 2, "auto_register` = 2: must be 0 or 1");
    CONFIG(auto_register, -1, "auto_register` = BRAMA_NEVER (-1): must be 0 or 1");
    CONFIG(background, 2, "background");
    CONFIG(background, -7, "background");
#define NEW_ONLY(field, value, blamed)                                                \
    do {                                                                              \
        brama_config_init(&config);                                                   \
        config.field = (value);                                                       \
        CHECK(brama_new(&config) == NULL);                                            \
        MESSAGE_HAS("`" blamed);                                                      \
    } while (0)
    NEW_ONLY(background, -1, "background` = BRAMA_NEVER (-1): must be 0 or 1");
    NEW_ONLY(background, BRAMA_INHERIT_I32, "background` = BRAMA_INHERIT_I32: has nothing to inherit, must be 0 or 1");
    NEW_ONLY(event_capacity, BRAMA_INHERIT_U64, "event_capacity` = BRAMA_INHERIT_U64: has nothing");
    NEW_ONLY(event_capacity, BRAMA_NONE, "event_capacity` = BRAMA_NONE: must be 1 to 16777216");
    NEW_ONLY(event_capacity, BRAMA_NEVER, "event_capacity` = BRAMA_NEVER: must be 1 to 16777216");
    NEW_ONLY(event_capacity, BRAMA_NOT_GIVEN_U32, "event_capacity` = BRAMA_NOT_GIVEN_U32: must be 1");
    CONFIG(event_capacity, 0, "event_capacity");
    CONFIG(event_capacity, 16777217, "event_capacity");
    CONFIG(event_capacity, UINT64_MAX, "event_capacity");
    brama_config_init(&config);
    config.background = 1;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_configure(m, &config));
    MESSAGE_HAS("brama_new");

    const uint64_t no_length[] = {0, (uint64_t)-5, (uint64_t)INT64_MAX + 1, BRAMA_NONE,
                                  BRAMA_INHERIT_U64, BRAMA_NOT_GIVEN_U32};
    for (size_t i = 0; i < sizeof no_length / sizeof *no_length; i++) {
        REFUSED("expiry_ms", brama_open_circuit(m, "db", NULL, NULL, no_length[i]));
        REFUSED("expiry_ms", brama_open_circuit_with(m, "db", NULL, NULL, no_length[i]));
        REFUSED("expiry_ms", brama_connection_open_circuit(db, NULL, no_length[i]));
        REFUSED("expiry_ms", brama_connection_open_circuit_with(db, NULL, no_length[i]));
    }
    REFUSED("expiry_ms", brama_connection_open_circuit(db, NULL, (uint64_t)-5));
    MESSAGE_HAS("`expiry_ms` = 18446744073709551611: must be a number of ms up to INT64_MAX, "
                "BRAMA_NEVER or BRAMA_NOT_GIVEN_U64");
    CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED);
    OK(brama_connection_open_circuit(db, NULL, INT64_MAX));
    OK(brama_connection_reset_circuit(db));

    /* A type, BRAMA_EVENT_STATE_CHANGE, in place of its bit. */
    brama_filter_init(&filter);
    filter.event_types = 1;
    REFUSED("filter.event_types", brama_unsubscribe_matching(m, &filter));
    MESSAGE_HAS("`filter.event_types` = 0x1: use BRAMA_EVENT_BIT(BRAMA_EVENT_...)");
    for (int bit = 0; bit < 32; bit++) {
        brama_filter_init(&filter);
        filter.event_types = UINT32_C(1) << bit;
        brama_result_t answer = brama_unsubscribe_matching(m, &filter);
        CHECK((answer == BRAMA_OK) == (bit >= 1 && bit <= BRAMA_EVENT_NOTICE));
    }
    brama_queue_t *queue;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_queue_new(m, NULL, SIZE_MAX, &queue));
    ANSWERS(BRAMA_ERR_INVALID_CONFIG,
            brama_subscribe_batched(m, NULL, SIZE_MAX, on_events, NULL, NULL, NULL));
}

int main(void) {
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 50);
    strings(world.manager, db);
    numbers(world.manager, db);
    brama_status_t status = status_of(db);
    CHECK(status.total_successes == 0 && status.total_failures == 0);
    CHECK(status.state == BRAMA_STATE_CLOSED && status.settings->max_attempts == 50);
    CHECK(status.metadata_count == 0);
    CHECK(brama_state(world.manager, "new", NULL) == BRAMA_STATE_UNKNOWN);
    null_pointers(world.manager, db, world.clock);
    brama_connection_release(db);
    free_world(world);
    return 0;
}
