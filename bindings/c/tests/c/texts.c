/*
 * Text never costs a report: reasons and metadata that are not UTF-8 or too long are made valid or
 * cut. The event says so, and the report counts.
 */
#include "check.h"

#define REPLACED "caf\xef\xbf\xbd"

static brama_connection_t *db;
static brama_queue_t *queue;
static uint64_t failures;

static brama_event_t next(void) {
    brama_event_t event;
    size_t count;
    OK(brama_queue_drain(queue, &event, sizeof event, 1, &count));
    CHECK(count == 1);
    return event;
}

/* Checks that the failure just reported counts, and that its event has this reason. */
static brama_event_t counted(const char *reason, int is_altered) {
    brama_event_t event = next();
    CHECK(event.event_type == BRAMA_EVENT_FAILURE);
    CHECK(reason == NULL ? event.reason == NULL : strcmp(event.reason, reason) == 0);
    CHECK(((event.flags & BRAMA_EVENT_TRUNCATED) != 0) == is_altered);
    CHECK(status_of(db).total_failures == ++failures);
    return event;
}

static void every_report_takes_any_reason(brama_t *m) {
    static char too_long[5000], kept[1025];
    memset(too_long, 'x', sizeof too_long - 1);
    memset(kept, 'x', sizeof kept - 1);
    const char *given[] = {LATIN1, "long enough for sixteen \xf0\x9f", too_long, "valid", NULL};
    const char *shown[] = {REPLACED, "long enough for sixteen \xef\xbf\xbd", kept, "valid", NULL};
    brama_permit_t permit;
    brama_report_t report;
    for (int i = 0; i < 5; i++) {
        int is_altered = i < 3;
        uint32_t now = 0;
        brama_report_init(&report);
        report.reason = given[i];
        OK(brama_failure(m, "db", NULL, given[i]));
        counted(shown[i], is_altered);
        OK(brama_connection_failure(db, given[i]));
        counted(shown[i], is_altered);
        OK(brama_connection_acquire(db, &permit, NULL));
        OK(brama_permit_failure(permit, given[i]));
        counted(shown[i], is_altered);
        OK(brama_acquire(m, "db", NULL, &permit, NULL));
        OK(brama_permit_failure_with(permit, &report));
        counted(shown[i], is_altered);
        OK(brama_failure_with(m, "db", NULL, &report));
        counted(shown[i], is_altered);
        report.failure_count = &now;
        OK(brama_connection_failure_with(db, &report));
        counted(shown[i], is_altered);
        CHECK(now == 6); /* in a row */
        OK(brama_connection_success_with(db, &report));
        CHECK(next().event_type == BRAMA_EVENT_SUCCESS);
        OK(brama_reset_circuit(m, "db", NULL));
        CHECK(next().event_type == BRAMA_EVENT_CIRCUIT_RESET);
        for (int way = 0; way < 4; way++) {
            if (way == 0)
                OK(brama_open_circuit(m, "db", NULL, given[i], 1));
            else if (way == 1)
                OK(brama_open_circuit_with(m, "db", NULL, &report, 1));
            else if (way == 2)
                OK(brama_connection_open_circuit(db, given[i], 1));
            else
                OK(brama_connection_open_circuit_with(db, &report, 1));
            CHECK(next().event_type == BRAMA_EVENT_STATE_CHANGE);
            brama_event_t event = next();
            CHECK(event.event_type == BRAMA_EVENT_CIRCUIT_OPENED);
            CHECK(shown[i] == NULL ? event.reason == NULL : strcmp(event.reason, shown[i]) == 0);
            OK(brama_reset_circuit(m, "db", NULL));
            next(), next();
        }
    }
}

static void metadata_is_made_valid_or_left_out(void) {
    static char longest[1026];
    memset(longest, 'k', sizeof longest - 1);
    brama_report_t report;
    brama_report_init(&report);
    brama_pair_t pairs[] = {
        {LATIN1, LATIN1}, {NULL, "no key"}, {"no value", NULL}, {longest, "key too long"}, {"a", "1"},
    };
    report.metadata = pairs;
    report.metadata_count = 5;
    OK(brama_connection_failure_with(db, &report));
    brama_event_t event = counted(NULL, 1);
    CHECK(event.metadata_count == 2);
    CHECK(strcmp(event.metadata[0].key, "a") == 0 && strcmp(event.metadata[0].value, "1") == 0);
    CHECK(strcmp(event.metadata[1].key, REPLACED) == 0);
    CHECK(strcmp(event.metadata[1].value, REPLACED) == 0);

    report.metadata = pairs + 4;
    report.metadata_count = 1;
    OK(brama_connection_failure_with(db, &report));
    CHECK(counted(NULL, 0).metadata_count == 1);
    /* A count that no array can have, and no array. */
    report.metadata_count = SIZE_MAX;
    OK(brama_connection_failure_with(db, &report));
    CHECK(counted(NULL, 1).metadata_count == 0);
    report.metadata = NULL;
    report.metadata_count = 1;
    report.reason = "kept";
    OK(brama_connection_failure_with(db, &report));
    CHECK(counted("kept", 1).metadata_count == 0);
}

int main(void) {
    struct world world = make_world();
    brama_filter_t filter;
    db = made(world, "db", BRAMA_UNLIMITED);
    brama_filter_init(&filter);
    OK(brama_queue_new(world.manager, &filter, 100, &queue));
    every_report_takes_any_reason(world.manager);
    metadata_is_made_valid_or_left_out();
    brama_queue_free(queue);
    brama_connection_release(db);
    free_world(world);
    return 0;
}
