/*
 * A program that runs with a library older or newer than its header. With GROWN, every struct of
 * the header that can grow has a last field `grown`. With the argument "grown", the structs of
 * the library have that field. The program must not see a difference, with one exception: an
 * older library refuses a new field that is set.
 */
#include "../check.h"

static int knows_all;

#ifdef GROWN
#define SET(s, value) ((s).grown = (value))
#define GROWS(s, value) CHECK((s).grown == (value))
#else
#define SET(s, value) ((void)0)
#define GROWS(s, value) ((void)0)
#endif

/* Checks a call with the new field set: a library that does not know the field refuses it. */
#define UNKNOWN(s, call)                                                               \
    do {                                                                               \
        brama_result_t answer_;                                                        \
        SET(s, 5);                                                                     \
        answer_ = (call);                                                              \
        SET(s, 0);                                                                     \
        if (answer_ != BRAMA_OK) {                                                     \
            CHECK(answer_ == BRAMA_ERR_INVALID_ARGUMENT && !knows_all);                \
            MESSAGE_HAS("must be zero");                                               \
        }                                                                              \
        KNOWN(answer_ == BRAMA_OK);                                                    \
    } while (0)

#ifdef GROWN
#define KNOWN(accepted) CHECK((accepted) == knows_all)
#else
#define KNOWN(accepted) CHECK(accepted)
#endif

/* Checks a call that fills in a struct, and that it does not write behind the struct. */
#define FILLED(type, macro, call, known)                                               \
    do {                                                                               \
        struct {                                                                       \
            type it;                                                                   \
            unsigned char behind[64];                                                  \
        } s = {macro, {0}};                                                            \
        memset(s.behind, 7, sizeof s.behind);                                          \
        SET(s.it, 77);                                                                 \
        type *to = &s.it;                                                              \
        OK(call);                                                                      \
        CHECK(s.it.size == sizeof(type) && (known));                                   \
        GROWS(s.it, knows_all ? 0 : 77);                                               \
        for (size_t i = 0; i < sizeof s.behind; i++)                                   \
            CHECK(s.behind[i] == 7);                                                   \
    } while (0)

static int seen;

static void on_events(const brama_event_t *events, size_t size, size_t count, void *data) {
    (void)data;
    for (size_t i = 0; i < count; i++) {
        const brama_event_t *event = (const void *)((const char *)events + i * size);
        CHECK(strcmp(event->connection, "db") == 0 && event->metadata_count <= 1);
        seen++;
    }
}

static bool on_status(const brama_status_t *status, void *data) {
    (void)data;
    CHECK(strcmp(status->identifier, "db") == 0 && status->settings->max_attempts == 9);
    return true;
}

int main(int count, char **arguments) {
    knows_all = count > 1 && strcmp(arguments[1], "grown") == 0;
    brama_clock_t *clock = brama_clock_new(START);
    brama_config_t config = BRAMA_CONFIG_INIT;
    config.background = 0;
    config.clock = clock;
    config.max_attempts = 7;
    brama_t *m = brama_new(&config);
    CHECK(m != NULL);
    brama_config_init(&config);
    config.expiry_ms = 5000;
    UNKNOWN(config, brama_configure(m, &config));
    OK(brama_configure(m, &config));

    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.max_attempts = 9;
    brama_connection_t *db;
    OK(brama_register(m, "db", NULL, &options, &db));
    brama_options_init(&options);
    UNKNOWN(options, brama_connection_configure(db, &options));

    brama_filter_t filter = BRAMA_FILTER_INIT;
    filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_FAILURE) | BRAMA_EVENT_BIT(BRAMA_EVENT_SUCCESS);
    brama_queue_t *queue;
    OK(brama_queue_new(m, &filter, 16, &queue));
    OK(brama_subscribe_batched(m, &filter, 16, on_events, NULL, NULL, NULL));
    brama_filter_t pattern = BRAMA_FILTER_INIT;
    pattern.connection = "nobody";
    UNKNOWN(pattern, brama_unsubscribe_matching(m, &pattern));

    brama_pair_t pair = {"attempt", "1"};
    brama_report_t report = BRAMA_REPORT_INIT;
    report.reason = "down and out";
    report.reason_length = 4;
    report.metadata = &pair;
    report.metadata_count = 1;
    UNKNOWN(report, brama_connection_success_with(db, &report));
    OK(brama_connection_failure_with(db, &report));
    brama_report_item_t items[2] = {BRAMA_REPORT_ITEM_INIT, BRAMA_REPORT_ITEM_INIT};
    items[0].connection = items[1].connection = db;
    items[0].outcome = items[1].outcome = BRAMA_OUTCOME_SUCCESS;
    OK(brama_report_many(items, sizeof *items, 2));
    CHECK(items[1].result == BRAMA_OK);

    brama_event_t events[8];
    size_t drained, failures = 0;
    OK(brama_queue_drain(queue, events, sizeof *events, 8, &drained));
    for (size_t i = 0; i < drained; i++)
        if (events[i].event_type == BRAMA_EVENT_FAILURE) {
            failures++;
            CHECK(strcmp(events[i].reason, "down") == 0 && events[i].metadata_count == 1);
            CHECK(events[i].size <= sizeof *events);
        }
    CHECK(failures == 1 && (size_t)seen == drained && drained >= 3);

    FILLED(brama_status_t, BRAMA_STATUS_INIT, brama_connection_status(db, to),
           to->total_failures == 1 && to->settings->expiry_ms == 5000);
    FILLED(brama_settings_t, BRAMA_SETTINGS_INIT, brama_connection_settings(db, to),
           to->max_attempts == 9);
    FILLED(brama_state_counts_t, BRAMA_STATE_COUNTS_INIT, brama_state_counts(m, to),
           to->closed == 1);
    FILLED(brama_event_counts_t, BRAMA_EVENT_COUNTS_INIT, brama_event_counts(m, to),
           to->published >= 3);
    OK(brama_for_each(m, NULL, on_status, NULL));

    brama_queue_free(queue);
    brama_connection_release(db);
    brama_free(m);
    brama_clock_free(clock);
    return 0;
}
