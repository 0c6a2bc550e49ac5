/* Lifetimes of handles, of managers that were shut down or freed, and of the default manager. */
#include "check.h"

static void handles_are_counted(void) {
    struct world world = make_world();
    brama_connection_t *one = made(world, "db", 2), *same, *other;
    same = brama_connection_retain(one);
    CHECK(same == one);
    OK(brama_connection_get(world.manager, "db", NULL, &other));
    const char *identifier = brama_connection_identifier(one);
    brama_connection_release(one);
    OK(brama_connection_success(same));
    CHECK(strcmp(identifier, "db") == 0);
    CHECK(brama_connection_scope(same) == NULL);
    brama_connection_release(same);
    OK(brama_connection_success(other));
    CHECK(status_of(other).total_successes == 2);
    brama_connection_release(other);
    brama_connection_release(NULL);
    CHECK(brama_connection_retain(NULL) == NULL);
    OK(brama_get_or_register(world.manager, "x", "scope", NULL, &other));
    CHECK(strcmp(brama_connection_scope(other), "scope") == 0);
    brama_connection_release(other);
    free_world(world);
}

static void after_a_shutdown_everything_says_so(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 2), *out;
    brama_permit_t permit, named, none;
    brama_queue_t *queue;
    brama_status_t status;
    brama_options_t options;
    brama_config_t config;
    OK(brama_connection_acquire(db, &permit, NULL));
    OK(brama_acquire(m, "db", NULL, &named, NULL));
    OK(brama_queue_new(m, NULL, 10, &queue));
    OK(brama_connection_failure(db, "last words"));
    OK(brama_shutdown(m));
    OK(brama_shutdown(m));
    brama_status_init(&status);
    brama_options_init(&options);
    brama_config_init(&config);

#define DOWN(call) ANSWERS(BRAMA_ERR_SHUT_DOWN, call)
    DOWN(brama_register(m, "new", NULL, NULL, NULL));
    DOWN(brama_get_or_register(m, "db", NULL, NULL, NULL));
    DOWN(brama_unregister(m, "db", NULL));
    out = db;
    DOWN(brama_connection_get(m, "db", NULL, &out));
    CHECK(out == NULL);
    DOWN(brama_success(m, "db", NULL));
    DOWN(brama_failure(m, "db", NULL, NULL));
    DOWN(brama_acquire(m, "db", NULL, &none, NULL));
    DOWN(brama_status(m, "db", NULL, &status));
    DOWN(brama_open_circuit(m, "db", NULL, NULL, 1));
    DOWN(brama_close_circuit(m, "db", NULL));
    DOWN(brama_half_open_circuit(m, "db", NULL));
    DOWN(brama_reset_circuit(m, "db", NULL));
    DOWN(brama_configure(m, &config));
    DOWN(brama_configure_connection(m, "db", NULL, &options));
    DOWN(brama_permit_success(permit));
    DOWN(brama_permit_failure(named, NULL));
    DOWN(brama_connection_success(db));
    DOWN(brama_connection_failure(db, NULL));
    DOWN(brama_connection_acquire(db, &none, NULL));
    DOWN(brama_connection_status(db, &status));
    DOWN(brama_connection_configure(db, &options));
    DOWN(brama_connection_open_circuit(db, NULL, 1));
    MESSAGE_HAS("shut down");
    CHECK(!brama_available(m, "db", NULL));
    CHECK(!brama_connection_available(db));
    CHECK(brama_state(m, "db", NULL) == BRAMA_STATE_UNKNOWN);
    OK(brama_poll(m));
    OK(brama_reset_all(m));

    /* Events that waited can still be drained. */
    brama_event_t events[10];
    size_t count;
    CHECK(brama_queue_is_closed(queue));
    CHECK(brama_queue_wait(queue, 0));
    OK(brama_queue_drain(queue, events, sizeof *events, 10, &count));
    CHECK(count == 1 && strcmp(events[0].reason, "last words") == 0);
    CHECK(!brama_queue_wait(queue, BRAMA_NEVER));

    brama_free(m);
    DOWN(brama_connection_success(db));
    DOWN(brama_permit_ignore(permit));
    CHECK(strcmp(brama_connection_identifier(db), "db") == 0);
    CHECK(brama_queue_is_closed(queue));
    brama_queue_free(queue);
    brama_connection_release(db);
    brama_clock_free(world.clock);
}

static void managers_do_not_know_each_other(void) {
    struct world one = make_world(), two = make_world();
    brama_connection_t *db = made(one, "db", 1);
    OK(brama_connection_failure(db, NULL));
    CHECK(brama_state(two.manager, "db", NULL) == BRAMA_STATE_UNKNOWN);
    CHECK(brama_state(NULL, "db", NULL) == BRAMA_STATE_UNKNOWN);
    brama_connection_release(db);
    free_world(one);
    free_world(two);
}

static void null_is_the_default_manager(void) {
    brama_permit_t permit;
    OK(brama_register(NULL, "shared", NULL, NULL, NULL));
    CHECK(brama_available(brama_default(), "shared", NULL));
    OK(brama_acquire(NULL, "shared", NULL, &permit, NULL));
    OK(brama_permit_failure(permit, NULL));
    OK(brama_acquire(brama_default(), "shared", NULL, &permit, NULL));
    OK(brama_permit_success(permit));
    brama_free(brama_default());
    brama_free(NULL);
    OK(brama_success(NULL, "shared", NULL));
    CHECK(brama_default() != NULL && brama_default() == brama_default());
}

static void a_manager_with_a_thread(void) {
    brama_t *m = brama_new(NULL);
    brama_connection_t *db;
    brama_queue_t *queue;
    CHECK(m != NULL);
    OK(brama_register(m, "db", NULL, NULL, &db));
    OK(brama_queue_new(m, NULL, 100, &queue));
    OK(brama_connection_open_circuit(db, "now", 1));
    brama_event_t events[10];
    size_t count, opened = 0, half = 0;
    while (!half) {
        CHECK(brama_queue_wait(queue, 60000));
        OK(brama_queue_drain(queue, events, sizeof *events, 10, &count));
        for (size_t i = 0; i < count; i++) {
            opened += events[i].event_type == BRAMA_EVENT_CIRCUIT_OPENED;
            half += events[i].event_type == BRAMA_EVENT_CIRCUIT_HALF_OPENED;
        }
    }
    CHECK(opened == 1);
    brama_free(m);
    brama_queue_free(queue);
    brama_connection_release(db);
}

int main(void) {
    CHECK(strcmp(brama_last_error_message(), "") == 0);
    handles_are_counted();
    after_a_shutdown_everything_says_so();
    managers_do_not_know_each_other();
    null_is_the_default_manager();
    a_manager_with_a_thread();
    return 0;
}
