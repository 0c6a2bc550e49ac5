/*
 * The examples of include/brama.h, one for each group of functions. The header's generator copies
 * the code between the two lines of a group, so every example compiles and runs.
 */
#include "check.h"

#include <pthread.h>

static int calls;

static int connect_to_server(void) { return ++calls; }

static int shown;

static void show(const char *name, const char *state) {
    CHECK(name != NULL && state != NULL);
    shown++;
}

static void errors(void) {
    /* Example of errors: */
    if (brama_success(NULL, "no such name", NULL) != BRAMA_OK)
        fprintf(stderr, "%s\n", brama_last_error_message());
    /* End. */
}

static brama_t *managers(void) {
    /* Example of manager: */
    brama_config_t config = BRAMA_CONFIG_INIT;
    config.expiry_ms = 10000; /* for every connection that says nothing else */
    config.background = 0;    /* this program calls brama_poll */
    brama_t *gate = brama_new(&config);
    if (gate == NULL)
        fprintf(stderr, "%s\n", brama_last_error_message());
    /* End. */
    return gate;
}

static void settings(brama_t *gate) {
    /* Example of config: */
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.max_attempts = 9;       /* failures in a row, or */
    options.failure_rate = 0.5;     /* half of at least 20 calls in 10 s */
    options.expiry_ms = 5000;       /* then 5 s open */
    if (brama_register(gate, "search", NULL, &options, NULL) != BRAMA_OK)
        fprintf(stderr, "%s\n", brama_last_error_message());
    options.expiry_ms = BRAMA_INHERIT_U64; /* later: as the manager says */
    brama_configure_connection(gate, "search", NULL, &options);
    /* End. */
}

static void reports(brama_t *gate) {
    /* Example of report: */
    const brama_pair_t metadata[] = {{"host", "db-2"}, {"attempt", "1"}};
    uint32_t failures = 0;
    brama_report_t report = BRAMA_REPORT_INIT;
    report.reason = "HTTP 503";
    report.metadata = metadata;
    report.metadata_count = 2;
    report.failure_count = &failures; /* becomes the number that counts now */
    brama_failure_with(gate, "search", NULL, &report);
    /* End. */
    CHECK(failures == 1);
}

static void by_name(brama_t *gate) {
    /* Example of by_name: */
    brama_register(gate, "db", "billing", NULL, NULL);
    if (brama_available(gate, "db", "billing")) {
        if (connect_to_server() >= 0)
            brama_success(gate, "db", "billing");
        else
            brama_failure(gate, "db", "billing", "no answer");
    }
    /* End. */
    CHECK(calls == 1);
}

static void by_handle(brama_t *gate) {
    /* Example of connection: */
    brama_connection_t *db;
    if (brama_connection_get(gate, "db", "billing", &db) != BRAMA_OK)
        return;
    if (brama_connection_available(db))
        brama_connection_success(db);
    brama_connection_release(db);
    /* End. */
}

static void guarded_call(brama_connection_t *db) {
    /* Example of permit: */
    brama_permit_t permit;
    uint64_t retry_after_ms;
    const brama_result_t result = brama_connection_acquire(db, &permit, &retry_after_ms);
    if (result == BRAMA_ERR_REJECTED && retry_after_ms != BRAMA_NEVER)
        printf("try again in %llu ms\n", (unsigned long long)retry_after_ms);
    else if (result != BRAMA_OK)
        fprintf(stderr, "%s\n", brama_last_error_message());
    else if (connect_to_server() >= 0)
        brama_permit_success(permit);
    else
        brama_permit_failure(permit, "no answer");
    /* End. */
}

static void cancelled_call(brama_connection_t *db) {
    /* Example of permit_report: */
    brama_permit_t permit;
    if (brama_connection_acquire(db, &permit, NULL) != BRAMA_OK)
        return;
    const int answer = connect_to_server();
    if (answer == -1)
        brama_permit_cancelled(permit); /* this program has given the call up */
    else if (answer == -2)
        brama_permit_failure_for(permit, NULL, 30000); /* "Retry-After: 30" */
    else
        brama_permit_success(permit);
    /* End. */
}

static void durations(brama_connection_t *db) {
    brama_report_t report = BRAMA_REPORT_INIT;
    /* Example of durations: */
    const uint64_t duration_ms = 730; /* as the HTTP client has measured it */
    brama_connection_success_in(db, &report, duration_ms);
    /* End. */
}

static void pass_word(brama_connection_t *db) {
    /* Example of pass_word: */
    const uint32_t *word = brama_connection_pass_word(db); /* once */
    brama_permit_t permit;

    const uint32_t pass = __atomic_load_n(word, __ATOMIC_ACQUIRE); /* before each call */
    if (pass < BRAMA_PASS_LIMIT
        && brama_connection_pass_permit(db, pass, &permit) == BRAMA_OK) {
        connect_to_server();
        brama_permit_success_at(&permit);
    }
    /* End. */
}

static void by_hand(brama_t *gate) {
    /* Example of control: */
    brama_open_circuit(gate, "db", "billing", "maintenance", BRAMA_NEVER);
    /* ... and when it is over: */
    brama_reset_circuit(gate, "db", "billing");
    /* End. */
}

static void effective_settings(brama_connection_t *db) {
    /* Example of settings: */
    brama_settings_t settings = BRAMA_SETTINGS_INIT;
    if (brama_connection_settings(db, &settings) == BRAMA_OK)
        printf("opens for %llu ms\n", (unsigned long long)settings.expiry_ms);
    /* End. */
    CHECK(settings.expiry_ms == 10000);
}

static void status(brama_connection_t *db) {
    /* Example of status: */
    brama_status_t status = BRAMA_STATUS_INIT;
    if (brama_connection_status(db, &status) == BRAMA_OK && status.state == BRAMA_STATE_OPEN)
        printf("%s: open, cause %s\n", status.identifier, brama_cause_name(status.cause));
    /* End. */
    CHECK(status.identifier != NULL);
}

static void snapshot(brama_t *gate) {
    /* Example of snapshot: */
    brama_snapshot_t *all;
    brama_status_t status = BRAMA_STATUS_INIT;
    if (brama_snapshot_new(gate, NULL, &all) == BRAMA_OK) {
        while (brama_snapshot_next(all, &status))
            show(status.identifier, brama_state_name(status.state));
        brama_snapshot_free(all);
    }
    /* End. */
}

static void save(brama_t *gate) {
    /* Example of save: */
    uint8_t *data;
    size_t length, count;
    if (brama_save(gate, &data, &length) == BRAMA_OK) {
        /* Keep it somewhere. In the next process, with its own manager: */
        brama_restore(gate, data, length, &count);
        brama_data_free(data);
    }
    /* End. */
}

/* Example of subscribe: */
static void alarm(const brama_event_t *event, void *user_data) {
    fprintf(user_data, "%s is down: %s\n", event->connection,
            event->reason != NULL ? event->reason : "?");
}

static brama_subscription_t *subscribe(brama_t *gate) {
    brama_filter_t filter = BRAMA_FILTER_INIT;
    brama_subscription_t *subscription = NULL;
    filter.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_CIRCUIT_OPENED);
    brama_subscribe(gate, &filter, alarm, stderr, NULL, &subscription);
    return subscription; /* for brama_unsubscribe */
}
/* End. */

/* Example of queue: */
#include <errno.h>
#include <poll.h>

/* Shows the events until the queue is closed or its manager is shut down. The manager has a */
/* background thread. Without one, give poll a time-out and call brama_poll in each round. */
static void show_events(brama_queue_t *queue) {
    brama_event_t events[64];
    struct pollfd ready = {-1, POLLIN, 0};
    bool closed = false;
    if (brama_queue_fd(queue, &ready.fd) != BRAMA_OK)
        return;
    while (!closed) {
        size_t count;
        if (poll(&ready, 1, -1) < 0 && errno != EINTR)
            return;
        /* Asked before the drain: an event may come between a drain and the end. */
        closed = brama_queue_is_closed(queue);
        do {
            count = 0;
            brama_queue_drain(queue, events, sizeof(brama_event_t), 64, &count);
            for (size_t i = 0; i < count; i++)
                show(events[i].connection, brama_event_type_name(events[i].event_type));
        } while (count > 0);
    }
}

static void watch(brama_t *gate) {
    brama_queue_t *queue;
    if (brama_queue_new(gate, NULL, 1024, &queue) != BRAMA_OK)
        return;
    show_events(queue);
    brama_queue_free(queue);
}
/* End. */

static void *watcher(void *gate) {
    watch(gate);
    return NULL;
}

/* A queue without a filter wants every event, so something is published once the queue is there. */
static void wait_for_events(brama_t *gate) {
    brama_event_counts_t counts = BRAMA_EVENT_COUNTS_INIT;
    do {
        OK(brama_reset_all(gate));
        OK(brama_event_counts(gate, &counts));
    } while (counts.published == 0);
}

static void queue(void) {
    brama_t *gate = brama_new(NULL);
    pthread_t thread;
    shown = 0;
    CHECK(gate != NULL);
    OK(brama_register(gate, "db", NULL, NULL, NULL));
    CHECK(pthread_create(&thread, NULL, watcher, gate) == 0);
    wait_for_events(gate);
    OK(brama_shutdown(gate));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(shown > 0);
    brama_free(gate);
}

static void batch(brama_connection_t *db, brama_connection_t *search) {
    /* Example of batch: */
    brama_report_item_t items[2] = {BRAMA_REPORT_ITEM_INIT, BRAMA_REPORT_ITEM_INIT};
    items[0].connection = db;
    items[0].outcome = BRAMA_OUTCOME_SUCCESS;
    items[1].connection = search;
    items[1].outcome = BRAMA_OUTCOME_FAILURE;
    items[1].reason = "HTTP 503";
    brama_report_many(items, sizeof(brama_report_item_t), 2);
    /* End. */
    CHECK(items[0].result == BRAMA_OK && items[1].result == BRAMA_OK);
}

static void test_clock(void) {
    /* Example of clock: */
    brama_clock_t *clock = brama_clock_new(1700000000000);
    brama_config_t config = BRAMA_CONFIG_INIT;
    config.clock = clock;
    brama_t *gate = brama_new(&config);
    brama_register(gate, "db", NULL, NULL, NULL);
    brama_open_circuit(gate, "db", NULL, NULL, 60000);
    brama_clock_advance(clock, 60000); /* no test has to sleep */
    if (brama_state(gate, "db", NULL) == BRAMA_STATE_HALF_OPEN)
        puts("it probes again");
    brama_free(gate);
    brama_clock_free(clock);
    /* End. */
}

int main(void) {
    errors();
    brama_t *gate = managers();
    CHECK(gate != NULL);
    brama_subscription_t *subscription = subscribe(gate);
    CHECK(subscription != NULL);
    settings(gate);
    reports(gate);
    by_name(gate);
    by_handle(gate);
    brama_connection_t *db, *search;
    OK(brama_connection_get(gate, "db", "billing", &db));
    OK(brama_connection_get(gate, "search", NULL, &search));
    guarded_call(db);
    cancelled_call(db);
    durations(db);
    pass_word(db);
    by_hand(gate);
    effective_settings(db);
    status(db);
    snapshot(gate);
    save(gate);
    queue();
    batch(db, search);
    test_clock();
    OK(brama_poll(gate));
    brama_connection_release(db);
    brama_connection_release(search);
    brama_unsubscribe(subscription);
    brama_free(gate);
    return 0;
}
