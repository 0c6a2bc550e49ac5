/*
 * Arguments that a host in another language, or a careless program, passes: bools that are
 * neither 0 nor 1, lengths larger than memory, structs that were not initialised, no pointer for a
 * permit.
 */
#include "check.h"

#include <stddef.h>

static int calls;

/* Callbacks of a host whose bools are bytes. */
static unsigned char two_for_a_status(const brama_status_t *status, void *user_data) {
    (void)status;
    (void)user_data;
    calls++;
    return 2;
}

static unsigned char number_for_an_event(const brama_event_t *event, void *user_data) {
    (void)event;
    return *(unsigned char *)user_data;
}

static void any_byte_but_zero_is_true(struct world world) {
    brama_t *m = world.manager;
    OK(brama_register(m, "a", NULL, NULL, NULL));
    OK(brama_register(m, "b", NULL, NULL, NULL));
    brama_status_fn foreign = (brama_status_fn)(void (*)(void))two_for_a_status;
    OK(brama_for_each(m, NULL, foreign, NULL));
    CHECK(calls == 2);

    const unsigned char answers[] = {0, 1, 2, 4, 128, 254, 255};
    for (size_t i = 0; i < sizeof answers; i++) {
        unsigned char answer = answers[i];
        brama_filter_t filter = BRAMA_FILTER_INIT;
        filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_SUCCESS);
        filter.predicate = (brama_predicate_fn)(void (*)(void))number_for_an_event;
        filter.predicate_data = &answer;
        brama_queue_t *queue;
        brama_event_t event;
        size_t count;
        OK(brama_queue_new(m, &filter, 8, &queue));
        OK(brama_success(m, "a", NULL));
        OK(brama_queue_drain(queue, &event, sizeof event, 1, &count));
        CHECK(count == (answer != 0));
        brama_queue_free(queue);
    }
    OK(brama_unregister(m, "a", NULL));
    OK(brama_unregister(m, "b", NULL));
}

#define TOO_LONG(call)                                                                \
    do {                                                                              \
        ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, call);                                    \
        MESSAGE_HAS(blamed);                                                          \
        MESSAGE_HAS("must fit into memory");                                          \
    } while (0)

/* Tries these lengths, one of which is too long, in every function that takes lengths of a name. */
static void names_of_length(brama_t *m, size_t identifier, size_t scope, const char *blamed) {
    brama_connection_t *out;
    brama_permit_t permit;
    uint64_t wait;
    TOO_LONG(brama_register_n(m, "db", identifier, "s", scope, NULL, &out));
    TOO_LONG(brama_get_or_register_n(m, "db", identifier, "s", scope, NULL, &out));
    TOO_LONG(brama_connection_get_n(m, "db", identifier, "s", scope, &out));
    TOO_LONG(brama_success_n(m, "db", identifier, "s", scope));
    TOO_LONG(brama_failure_n(m, "db", identifier, "s", scope, NULL, 0));
    TOO_LONG(brama_acquire_n(m, "db", identifier, "s", scope, &permit, &wait));
    CHECK(wait == BRAMA_NONE);
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_success(m, "nobody", NULL));
    CHECK(!brama_available_n(m, "db", identifier, "s", scope));
    MESSAGE_HAS(blamed);
    MESSAGE_HAS("must fit into memory");
}

static brama_event_t next(brama_queue_t *queue) {
    brama_event_t event;
    size_t count;
    OK(brama_queue_drain(queue, &event, sizeof event, 1, &count));
    CHECK(count == 1);
    return event;
}

static void lengths_that_no_memory_has_are_not_read(struct world world) {
    const size_t lengths[] = {(size_t)PTRDIFF_MAX + 1, SIZE_MAX / 4 * 3, SIZE_MAX - 1};
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", BRAMA_UNLIMITED);
    brama_filter_t filter = BRAMA_FILTER_INIT;
    filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_FAILURE);
    brama_queue_t *queue;
    OK(brama_queue_new(m, &filter, 8, &queue));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t length = lengths[i];
        names_of_length(m, length, 1, "`identifier`");
        names_of_length(m, 2, length, "`scope`");
        /* A reason that is too long for memory is left out. The report counts, and its event says
         * so. */
        brama_permit_t permit;
        brama_report_t report = BRAMA_REPORT_INIT;
        brama_report_item_t item = BRAMA_REPORT_ITEM_INIT;
        report.reason = item.reason = "down";
        report.reason_length = item.reason_length = length;
        item.connection = db;
        item.outcome = BRAMA_OUTCOME_FAILURE;
        OK(brama_failure_n(m, "db", 2, NULL, 0, "down", length));
        OK(brama_connection_failure_n(db, "down", length));
        OK(brama_connection_failure_with(db, &report));
        OK(brama_connection_acquire(db, &permit, NULL));
        OK(brama_permit_failure_n(&permit, "down", length));
        OK(brama_report_many(&item, sizeof item, 1));
        for (int reports = 0; reports < 5; reports++) {
            brama_event_t event = next(queue);
            CHECK(event.reason == NULL && event.flags == BRAMA_EVENT_TRUNCATED);
        }
    }
    CHECK(status_of(db).total_failures == 15);
    brama_queue_free(queue);
    brama_connection_release(db);
    OK(brama_unregister(m, "db", NULL));
}

/* A length of zero means an empty reason, even if the pointer must not be read, as at the end of a
 * slice. */
static void a_length_of_zero_is_an_empty_reason(struct world world) {
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", BRAMA_UNLIMITED);
    brama_filter_t filter = BRAMA_FILTER_INIT;
    filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_FAILURE);
    brama_queue_t *queue;
    OK(brama_queue_new(m, &filter, 8, &queue));
    char *nothing = malloc(1);
    CHECK(nothing != NULL);
    const char *reasons[] = {"down", nothing + 1};
    for (int i = 0; i < 2; i++) {
        brama_report_t report = {.size = sizeof report, .reason = reasons[i]};
        OK(brama_connection_failure_with(db, &report));
        OK(brama_connection_failure_n(db, reasons[i], 0));
        for (int reports = 0; reports < 2; reports++) {
            brama_event_t event = next(queue);
            CHECK(event.reason != NULL && *event.reason == 0 && event.flags == 0);
        }
    }
    free(nothing);
    brama_queue_free(queue);
    brama_connection_release(db);
    OK(brama_unregister(m, "db", NULL));
}

static void the_wait_is_answered_without_a_place_for_a_permit(struct world world) {
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 1);
    for (int is_open = 0; is_open < 2; is_open++) {
        if (is_open)
            OK(brama_connection_open_circuit(db, NULL, BRAMA_NEVER));
        for (int way = 0; way < 3; way++) {
            uint64_t wait = 7;
            if (way == 0)
                ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_connection_acquire(db, NULL, &wait));
            else if (way == 1)
                ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_acquire(m, "db", NULL, NULL, &wait));
            else
                ANSWERS(BRAMA_ERR_INVALID_ARGUMENT,
                        brama_acquire_n(m, "db", 2, NULL, 0, NULL, &wait));
            MESSAGE_HAS("`permit`");
            CHECK(wait == BRAMA_NONE);
        }
    }
    /* No call was admitted, and none was rejected. */
    CHECK(status_of(db).total_rejections == 0);
    brama_connection_release(db);
    OK(brama_unregister(m, "db", NULL));
}

static void a_clock_shows_no_number_that_has_a_meaning(void) {
    const uint64_t refused[] = {BRAMA_NONE, BRAMA_NEVER, BRAMA_NOT_GIVEN_U64, BRAMA_INHERIT_U64,
                                (uint64_t)INT64_MAX + 1};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        CHECK(brama_clock_new(refused[i]) == NULL);
        CHECK(brama_last_error_code() == BRAMA_ERR_INVALID_ARGUMENT);
        MESSAGE_HAS("`unix_ms`");
    }
    brama_clock_t *latest = brama_clock_new(INT64_MAX);
    CHECK(latest != NULL && brama_clock_unix_ms(latest) == INT64_MAX);
    OK(brama_clock_advance(latest, BRAMA_NEVER));
    CHECK(brama_clock_unix_ms(latest) > INT64_MAX && brama_clock_unix_ms(latest) < BRAMA_INHERIT_U64);
    brama_clock_free(latest);
}

int main(void) {
    struct world world = make_world();
    any_byte_but_zero_is_true(world);
    lengths_that_no_memory_has_are_not_read(world);
    a_length_of_zero_is_an_empty_reason(world);
    the_wait_is_answered_without_a_place_for_a_permit(world);
    a_clock_shows_no_number_that_has_a_meaning();
    free_world(world);
    return 0;
}
