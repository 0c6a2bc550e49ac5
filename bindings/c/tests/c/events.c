/* Events: callbacks with their filters and destructors, and queues. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <poll.h>

/* The record of a subscriber's events and of the ends of its data. */
struct log {
    char text[4000];
    int calls;
    int destroyed;
    brama_t *manager;
    brama_subscription_t *subscription;
    brama_queue_t *queue;
};

static void note(struct log *log, const brama_event_t *event) {
    log->calls++;
    strcat(log->text, event->connection);
    strcat(log->text, ":");
    strcat(log->text, brama_event_type_name(event->event_type));
    strcat(log->text, " ");
}

static void on_event(const brama_event_t *event, void *user_data) {
    note(user_data, event);
}

static void on_events(const brama_event_t *events, size_t event_size, size_t count,
                      void *user_data) {
    struct log *log = user_data;
    for (size_t i = 0; i < count; i++)
        note(log, (const brama_event_t *)(const void *)((const char *)events + i * event_size));
    strcat(log->text, "| ");
}

static void destroy(void *user_data) {
    ((struct log *)user_data)->destroyed++;
}

static void every_field_arrives(const brama_event_t *event, void *user_data) {
    CHECK(event->size == sizeof *event);
    CHECK(event->timestamp_ms == START + 250);
    CHECK(strcmp(event->connection, "db") == 0 && strcmp(event->scope, "s") == 0);
    CHECK(strcmp(event->reason, "a reason that is too long to be kept inside the event") == 0);
    CHECK(event->metadata_count == 2);
    CHECK(strcmp(event->metadata[0].key, "host") == 0);
    CHECK(strcmp(event->metadata[0].value, "db-3") == 0);
    CHECK(strcmp(event->metadata[1].key, "port") == 0);
    CHECK(event->failure_count == 1 && event->flags == 0);
    CHECK(event->cause == BRAMA_CAUSE_CONSECUTIVE);
    CHECK(event->sequence > 0 && event->registration > 0);
    if (event->event_type == BRAMA_EVENT_STATE_CHANGE) {
        CHECK(event->previous_state == BRAMA_STATE_CLOSED);
        CHECK(event->new_state == BRAMA_STATE_OPEN && event->expiry_ms == 60000);
    }
    ((struct log *)user_data)->calls++;
}

static void fields(void) {
    struct world world = make_world();
    struct log log = {0};
    brama_options_t options;
    brama_options_init(&options);
    options.max_attempts = 1;
    OK(brama_register(world.manager, "db", "s", &options, NULL));
    OK(brama_clock_advance(world.clock, 250));
    OK(brama_subscribe(world.manager, NULL, every_field_arrives, &log, NULL, NULL));
    brama_pair_t pairs[] = {{"port", "5432"}, {"host", "db-3"}};
    brama_report_t report;
    brama_report_init(&report);
    report.reason = "a reason that is too long to be kept inside the event";
    report.metadata = pairs;
    report.metadata_count = 2;
    OK(brama_failure_with(world.manager, "db", "s", &report));
    OK(brama_poll(world.manager));
    CHECK(log.calls == 3);
    free_world(world);
}

static void in_order_and_filtered(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    struct log all = {0}, changes = {0}, scoped = {0}, plain = {0}, batches = {0};
    brama_subscription_t *subscription, *batched;
    brama_filter_t filter;

    OK(brama_subscribe(m, NULL, on_event, &all, destroy, &subscription));
    OK(brama_subscribe_batched(m, NULL, 4, on_events, &batches, destroy, &batched));
    brama_filter_init(&filter);
    filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_STATE_CHANGE);
    filter.connection = "db";
    OK(brama_subscribe(m, &filter, on_event, &changes, destroy, NULL));
    brama_filter_init(&filter);
    filter.scope = "s";
    OK(brama_subscribe(m, &filter, on_event, &scoped, destroy, NULL));
    filter.scope = BRAMA_NO_SCOPE;
    filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_SUCCESS) | BRAMA_EVENT_BIT(BRAMA_EVENT_REGISTRATION);
    OK(brama_subscribe(m, &filter, on_event, &plain, destroy, NULL));

    brama_connection_t *db = made(world, "db", 1);
    OK(brama_register(m, "x", "s", NULL, NULL));
    OK(brama_connection_success_with(db, NULL));
    OK(brama_connection_failure_with(db, NULL));
    OK(brama_poll(m));
    const char *expected = "db:registration db:connection_registered x:registration "
                           "x:connection_registered db:success db:failure db:state_change "
                           "db:circuit_opened ";
    CHECK(strcmp(all.text, expected) == 0);
    CHECK(strcmp(changes.text, "db:state_change ") == 0);
    CHECK(strcmp(scoped.text, "x:registration x:connection_registered ") == 0);
    CHECK(strcmp(plain.text, "db:registration db:success ") == 0);
    CHECK(strcmp(batches.text,
                 "db:registration db:connection_registered x:registration "
                 "x:connection_registered | db:success db:failure db:state_change "
                 "db:circuit_opened | ") == 0);

    brama_event_counts_t counts;
    brama_event_counts_init(&counts);
    OK(brama_event_counts(m, &counts));
    CHECK(counts.published == 8 && counts.delivered == 21 && counts.dropped == 0);

    /* Subscriptions end one by one, by a pattern, and with the manager. */
    brama_unsubscribe(subscription);
    CHECK(all.destroyed == 1);
    brama_filter_init(&filter);
    filter.connection = "db";
    OK(brama_unsubscribe_matching(m, &filter));
    CHECK(changes.destroyed == 1 && scoped.destroyed == 0 && batches.destroyed == 0);
    OK(brama_connection_reset_circuit(db));
    OK(brama_poll(m));
    CHECK(strcmp(all.text, expected) == 0 && changes.calls == 1);
    CHECK(batches.calls == 10);
    OK(brama_unsubscribe_matching(m, NULL));
    CHECK(scoped.destroyed == 1 && plain.destroyed == 1 && batches.destroyed == 1);
    brama_unsubscribe(batched);
    CHECK(batches.destroyed == 1);
    brama_unsubscribe(NULL);
    brama_subscription_detach(NULL);

    struct log last = {0};
    OK(brama_subscribe(m, NULL, on_event, &last, destroy, &subscription));
    brama_subscription_detach(subscription);
    OK(brama_connection_success(db));
    CHECK(last.destroyed == 0);
    brama_connection_release(db);
    free_world(world);
    CHECK(last.destroyed == 1 && strcmp(last.text, "db:success ") == 0);
}

static bool only_failures_of_two(const brama_event_t *event, void *user_data) {
    ((struct log *)user_data)->calls++;
    return event->failure_count >= 2;
}

static void predicates(void) {
    struct world world = make_world();
    struct log asked = {0}, seen = {0};
    brama_connection_t *db = made(world, "db", 5);
    brama_filter_t filter;
    brama_subscription_t *subscription;
    brama_filter_init(&filter);
    filter.predicate = only_failures_of_two;
    filter.predicate_data = &asked;
    filter.predicate_destroy = destroy;
    OK(brama_subscribe(world.manager, &filter, on_event, &seen, destroy, &subscription));
    for (int i = 0; i < 3; i++)
        OK(brama_connection_failure(db, NULL));
    OK(brama_poll(world.manager));
    CHECK(asked.calls == 3 && seen.calls == 2 && asked.destroyed == 0);
    brama_unsubscribe(subscription);
    CHECK(asked.destroyed == 1 && seen.destroyed == 1);

    brama_queue_t *queue;
    OK(brama_queue_new(world.manager, &filter, 10, &queue));
    OK(brama_connection_success(db));
    CHECK(!brama_queue_wait(queue, 0));
    CHECK(asked.calls == 4);
    brama_queue_free(queue);
    CHECK(asked.destroyed == 2);
    brama_connection_release(db);
    free_world(world);
}

static void destructors_run_on_failure_too(void) {
    struct world world = make_world();
    struct log data = {0}, predicate = {0};
    brama_filter_t filter;
    brama_subscription_t *subscription = (brama_subscription_t *)(void *)&data;
    brama_queue_t *queue;

    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT,
            brama_subscribe(world.manager, NULL, NULL, &data, destroy, &subscription));
    CHECK(data.destroyed == 1 && subscription == NULL);
    brama_filter_init(&filter);
    filter.predicate = only_failures_of_two;
    filter.predicate_data = &predicate;
    filter.predicate_destroy = destroy;
    filter.event_types = 1;
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT,
            brama_subscribe(world.manager, &filter, on_event, &data, destroy, NULL));
    CHECK(data.destroyed == 2 && predicate.destroyed == 1);
    MESSAGE_HAS("event_types");
    filter.event_types = 0;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG,
            brama_subscribe_batched(world.manager, &filter, 0, on_events, &data, destroy, NULL));
    CHECK(data.destroyed == 3 && predicate.destroyed == 2);
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_queue_new(world.manager, &filter, 0, &queue));
    CHECK(queue == NULL && predicate.destroyed == 3);
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_queue_new(world.manager, &filter, 10, NULL));
    CHECK(predicate.destroyed == 4);
    OK(brama_shutdown(world.manager));
    ANSWERS(BRAMA_ERR_SHUT_DOWN,
            brama_subscribe(world.manager, &filter, on_event, &data, destroy, NULL));
    CHECK(data.destroyed == 4 && predicate.destroyed == 5);
    ANSWERS(BRAMA_ERR_SHUT_DOWN, brama_queue_new(world.manager, &filter, 10, &queue));
    CHECK(predicate.destroyed == 6);
    /* A struct of a wrong size is not read, so its destructor is not called. */
    filter.size = 8;
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT,
            brama_subscribe(world.manager, &filter, on_event, &data, destroy, NULL));
    CHECK(data.destroyed == 5 && predicate.destroyed == 6);
    free_world(world);
}

/* A callback that calls many functions of the library. */
static void calls_back(const brama_event_t *event, void *user_data) {
    struct log *log = user_data;
    brama_t *m = log->manager;
    brama_status_t status;
    brama_permit_t permit;
    brama_connection_t *connection;
    log->calls++;
    brama_status_init(&status);
    OK(brama_status(m, event->connection, NULL, &status));
    CHECK(strcmp(status.identifier, event->connection) == 0);
    OK(brama_acquire(m, event->connection, NULL, &permit, NULL));
    OK(brama_permit_success(permit));
    OK(brama_get_or_register(m, "made inside", NULL, NULL, &connection));
    OK(brama_connection_open_circuit(connection, "inside", 10));
    brama_connection_release(connection);
    OK(brama_poll(m));
    OK(brama_reset_all(m));
    if (log->calls == 2) {
        brama_unsubscribe(log->subscription);
        CHECK(log->destroyed == 0);
    }
}

static void callbacks_may_call_anything(void) {
    struct world world = make_world();
    struct log log = {0};
    brama_connection_t *db = made(world, "db", 5);
    brama_filter_t filter;
    log.manager = world.manager;
    brama_filter_init(&filter);
    filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_FAILURE);
    OK(brama_subscribe(world.manager, &filter, calls_back, &log, destroy, &log.subscription));
    for (int i = 0; i < 5; i++) {
        OK(brama_connection_failure(db, NULL));
        OK(brama_poll(world.manager));
    }
    CHECK(log.calls == 2 && log.destroyed == 1);
    brama_connection_release(db);
    free_world(world);
}

static void frees_the_manager(const brama_event_t *event, void *user_data) {
    struct log *log = user_data;
    (void)event;
    log->calls++;
    brama_free(log->manager);
}

static void a_callback_may_free_its_manager(void) {
    struct world world = make_world();
    struct log log = {0};
    brama_connection_t *db = made(world, "db", 1);
    brama_queue_t *queue;
    log.manager = world.manager;
    OK(brama_subscribe(world.manager, NULL, frees_the_manager, &log, destroy, NULL));
    OK(brama_queue_new(world.manager, NULL, 10, &queue));
    OK(brama_connection_success(db));
    /* The queue keeps the engine alive while this call polls. */
    CHECK(brama_queue_wait(queue, 0));
    CHECK(log.calls == 1);
    ANSWERS(BRAMA_ERR_SHUT_DOWN, brama_connection_success(db));
    brama_queue_free(queue);
    brama_connection_release(db);
    brama_clock_free(world.clock);
    CHECK(log.destroyed == 1);
}

static bool readable(int fd) {
    struct pollfd wanted = {.fd = fd, .events = POLLIN, .revents = 0};
    CHECK(poll(&wanted, 1, 0) >= 0);
    return wanted.revents & POLLIN;
}

static void queues(void) {
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 100);
    brama_queue_t *queue;
    brama_event_t events[8];
    size_t count = 77;
    int fd = -1;
    OK(brama_queue_new(world.manager, NULL, 100, &queue));
    OK(brama_queue_fd(queue, &fd));
    CHECK(fd >= 0 && !readable(fd));
    OK(brama_queue_drain(queue, events, sizeof *events, 8, &count));
    CHECK(count == 0 && !brama_queue_wait(queue, 0) && !brama_queue_is_closed(queue));
    for (int i = 0; i < 10; i++) {
        char reason[20];
        sprintf(reason, "number %d", i);
        OK(brama_connection_failure(db, reason));
    }
    OK(brama_poll(world.manager));
    CHECK(readable(fd) && brama_queue_wait(queue, BRAMA_NEVER));
    OK(brama_queue_drain(queue, events, sizeof *events, 8, &count));
    CHECK(count == 8);
    for (int i = 0; i < 8; i++) {
        char reason[20];
        sprintf(reason, "number %d", i);
        CHECK(strcmp(events[i].reason, reason) == 0);
        CHECK(strcmp(events[i].connection, "db") == 0 && events[i].scope == NULL);
        CHECK(events[i].size == sizeof *events);
        CHECK(i == 0 || events[i].sequence > events[i - 1].sequence);
    }
    OK(brama_queue_drain(queue, NULL, sizeof *events, 0, &count));
    CHECK(count == 0 && readable(fd));

    /* A host with a larger event struct gets the known fields, at the step of its own size. */
    struct larger {
        brama_event_t known;
        uint64_t unknown[2];
    } large[2];
    memset(large, 7, sizeof large);
    OK(brama_queue_drain(queue, &large[0].known, sizeof *large, 2, &count));
    CHECK(count == 2 && !readable(fd));
    CHECK(strcmp(large[1].known.reason, "number 9") == 0);
    CHECK(large[1].known.size == sizeof(brama_event_t));
    CHECK(large[1].unknown[0] == UINT64_C(0x0707070707070707));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT,
            brama_queue_drain(queue, events, sizeof *events - 8, 8, &count));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT,
            brama_queue_drain(queue, events, sizeof *events + 1, 8, &count));
    MESSAGE_HAS("event_size");

    OK(brama_connection_success(db));
    OK(brama_poll(world.manager));
    OK(brama_queue_close(queue));
    OK(brama_queue_close(queue));
    OK(brama_connection_success(db));
    CHECK(brama_queue_is_closed(queue) && readable(fd));
    OK(brama_queue_drain(queue, events, sizeof *events, 8, &count));
    CHECK(count == 1 && events[0].event_type == BRAMA_EVENT_SUCCESS);
    CHECK(readable(fd) && !brama_queue_wait(queue, BRAMA_NEVER));
    brama_queue_free(queue);
    brama_queue_free(NULL);
    brama_connection_release(db);
    free_world(world);
}

static void full_queues_tell_less_and_say_so(void) {
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 100);
    brama_queue_t *queue;
    brama_event_t events[20];
    size_t count;
    brama_filter_t filter;
    brama_filter_init(&filter);
    filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_CIRCUIT_RESET);
    OK(brama_queue_new(world.manager, &filter, 2, &queue));
    for (int i = 0; i < 10; i++)
        OK(brama_connection_reset_circuit(db));
    OK(brama_queue_drain(queue, events, sizeof *events, 20, &count));
    CHECK(count == 3);
    CHECK(events[1].flags == 0 && events[2].flags == BRAMA_EVENT_COALESCED);
    brama_event_counts_t counts;
    brama_event_counts_init(&counts);
    OK(brama_event_counts(world.manager, &counts));
    CHECK(counts.published == 10 && counts.delivered == 3 && counts.coalesced == 7);
    brama_queue_free(queue);
    brama_connection_release(db);
    free_world(world);
}

static void long_text_is_cut_and_says_so(void) {
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 100);
    brama_queue_t *queue;
    brama_event_t events[2];
    size_t count;
    static char page[100000];
    memset(page, 'x', sizeof page - 1);
    brama_pair_t pairs[] = {{"page", page}, {"short", "kept"}};
    brama_report_t report;
    brama_report_init(&report);
    report.metadata = pairs;
    report.metadata_count = 2;
    OK(brama_queue_new(world.manager, NULL, 10, &queue));
    OK(brama_connection_failure(db, page));
    OK(brama_connection_failure_with(db, &report));
    OK(brama_queue_drain(queue, events, sizeof *events, 2, &count));
    CHECK(count == 2);
    CHECK(events[0].flags == BRAMA_EVENT_TRUNCATED && events[1].flags == BRAMA_EVENT_TRUNCATED);
    CHECK(strlen(events[0].reason) == 1024 && events[0].failure_count == 1);
    CHECK(events[1].metadata_count == 2 && strlen(events[1].metadata[0].value) == 1024);
    CHECK(strcmp(events[1].metadata[1].value, "kept") == 0);
    brama_queue_free(queue);
    brama_connection_release(db);
    free_world(world);
}

static void other_settings_are_noticed(void) {
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 3);
    brama_queue_t *queue;
    brama_event_t event;
    size_t count;
    brama_filter_t filter;
    brama_options_t options;
    brama_filter_init(&filter);
    filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_NOTICE);
    OK(brama_queue_new(world.manager, &filter, 10, &queue));
    brama_options_init(&options);
    options.max_attempts = 3;
    OK(brama_get_or_register(world.manager, "db", NULL, &options, NULL));
    options.max_attempts = 4;
    OK(brama_get_or_register(world.manager, "db", NULL, &options, NULL));
    OK(brama_get_or_register(world.manager, "db", NULL, &options, NULL));
    OK(brama_queue_drain(queue, &event, sizeof event, 1, &count));
    CHECK(count == 1 && event.event_type == BRAMA_EVENT_NOTICE);
    CHECK(strstr(event.reason, "max_attempts") != NULL);
    CHECK(strcmp(brama_event_type_name(BRAMA_EVENT_NOTICE), "notice") == 0);
    OK(brama_queue_drain(queue, &event, sizeof event, 1, &count));
    CHECK(count == 0);
    brama_queue_free(queue);
    brama_connection_release(db);
    free_world(world);
}

static void a_shutdown_says_what_is_left(void) {
    struct world world = make_world();
    struct log log = {0};
    uint64_t left = 7;
    brama_event_counts_t counts;
    brama_connection_t *db = made(world, "db", 100);
    OK(brama_subscribe(world.manager, NULL, on_event, &log, destroy, NULL));
    OK(brama_connection_success(db));
    OK(brama_shutdown_within(world.manager, 0, &left));
    CHECK(left == 1 && log.calls == 0 && log.destroyed == 1);
    ANSWERS(BRAMA_ERR_SHUT_DOWN, brama_connection_success(db));
    OK(brama_shutdown_within(world.manager, BRAMA_NEVER, NULL));
    brama_connection_release(db);
    free_world(world);

    brama_t *m = brama_new(NULL);
    brama_event_counts_init(&counts);
    CHECK(counts.size == sizeof counts);
    OK(brama_event_counts(m, &counts));
    CHECK(counts.background_running == 1 && counts.reserved == 0);
    OK(brama_shutdown_within(m, 60000, &left));
    CHECK(left == 0);
    OK(brama_event_counts(m, &counts));
    CHECK(counts.background_running == 0);
    brama_free(m);
}

int main(void) {
    fields();
    in_order_and_filtered();
    predicates();
    destructors_run_on_failure_too();
    callbacks_may_call_anything();
    a_callback_may_free_its_manager();
    queues();
    full_queues_tell_less_and_say_so();
    long_text_is_cut_and_says_so();
    other_settings_are_noticed();
    a_shutdown_says_what_is_left();
    return 0;
}
