/* The state of all circuits, saved and restored. */
#include "check.h"

struct saved {
    uint8_t *data;
    size_t length;
};

static struct saved save(struct world world) {
    struct saved saved = {NULL, 0};
    OK(brama_save(world.manager, &saved.data, &saved.length));
    CHECK(saved.data != NULL && saved.length >= 32);
    return saved;
}

static size_t restore(struct world world, struct saved saved) {
    size_t count = 99;
    OK(brama_restore(world.manager, saved.data, saved.length, &count));
    return count;
}

static void an_opening_goes_on_in_another_manager(void) {
    struct world old = make_world(), young = make_world();
    brama_connection_t *db = made(old, "db", 1);
    OK(brama_connection_failure(db, "HTTP 503"));
    OK(brama_clock_advance(old.clock, 10000));
    struct saved saved = save(old);
    OK(brama_clock_advance(young.clock, 30000));

    brama_connection_t *here = made(young, "db", 5);
    brama_permit_t permit;
    OK(brama_connection_acquire(here, &permit, NULL));
    brama_filter_t filter = BRAMA_FILTER_INIT;
    brama_queue_t *queue;
    OK(brama_queue_new(young.manager, &filter, 8, &queue));
    CHECK(restore(young, saved) == 1);
    brama_status_t status = status_of(here);
    CHECK(status.state == BRAMA_STATE_OPEN && status.trips == 1);
    CHECK(status.retry_after_ms == 30000 && status.expiry_ms == 60000);
    CHECK(status.failure_count == 1 && status.total_failures == 1);
    CHECK(status.cause == BRAMA_CAUSE_CONSECUTIVE && strcmp(status.reason, "HTTP 503") == 0);
    ANSWERS(BRAMA_ERR_STALE, brama_permit_success(permit));

    OK(brama_poll(young.manager));
    brama_event_t events[8];
    size_t count = 0;
    OK(brama_queue_drain(queue, events, sizeof *events, 8, &count));
    CHECK(count >= 2 && events[0].event_type == BRAMA_EVENT_STATE_CHANGE);
    CHECK(events[1].event_type == BRAMA_EVENT_CIRCUIT_OPENED);
    CHECK(strcmp(events[1].reason, "HTTP 503") == 0 && events[1].expiry_ms == 60000);

    OK(brama_clock_advance(young.clock, 30000));
    CHECK(brama_connection_state(here) == BRAMA_STATE_HALF_OPEN);
    CHECK(restore(young, saved) == 0); /* The circuit has changed since the first restore. */
    CHECK(brama_connection_state(here) == BRAMA_STATE_HALF_OPEN);
    brama_queue_free(queue);
    brama_data_free(saved.data);
    brama_connection_release(db);
    brama_connection_release(here);
    free_world(old);
    free_world(young);
}

static void an_unknown_name_waits_for_its_registration(void) {
    struct world old = make_world(), young = make_world();
    brama_connection_release(made(old, "db", 5));
    OK(brama_open_circuit(old.manager, "db", NULL, "maintenance", BRAMA_NEVER));
    struct saved saved = save(old);
    CHECK(restore(young, saved) == 1);
    brama_data_free(saved.data); /* The restore has kept no reference to it. */
    CHECK(brama_state(young.manager, "db", NULL) == BRAMA_STATE_UNKNOWN);
    brama_connection_t *db = made(young, "db", 5);
    brama_status_t status = status_of(db);
    CHECK(status.state == BRAMA_STATE_OPEN && status.retry_after_ms == BRAMA_NEVER);
    brama_connection_release(db);
    OK(brama_unregister(young.manager, "db", NULL));
    db = made(young, "db", 5);
    CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED);
    brama_connection_release(db);
    free_world(old);
    free_world(young);
}

static void damage_is_refused_whole(void) {
    struct world old = make_world(), young = make_world();
    brama_connection_release(made(old, "a", 5));
    brama_connection_release(made(old, "b", 5));
    OK(brama_open_circuit(old.manager, "a", NULL, NULL, 1000));
    struct saved saved = save(old);
    brama_connection_t *a = made(young, "a", 5);
    for (size_t i = 0; i < saved.length; i++) {
        size_t count = 99;
        ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_restore(young.manager, saved.data, i, &count));
        MESSAGE_HAS("`data`");
        MESSAGE_HAS("at offset");
        CHECK(count == 0);
        saved.data[i] ^= 0x10;
        ANSWERS(BRAMA_ERR_INVALID_ARGUMENT,
                brama_restore(young.manager, saved.data, saved.length, &count));
        saved.data[i] ^= 0x10;
    }
    CHECK(brama_connection_state(a) == BRAMA_STATE_CLOSED);
    CHECK(restore(young, saved) == 2);
    CHECK(brama_connection_state(a) == BRAMA_STATE_OPEN);
    OK(brama_shutdown(young.manager));
    ANSWERS(BRAMA_ERR_SHUT_DOWN, brama_restore(young.manager, saved.data, saved.length, NULL));
    brama_data_free(saved.data);
    brama_connection_release(a);
    free_world(old);
    free_world(young);
}

int main(void) {
    an_opening_goes_on_in_another_manager();
    an_unknown_name_waits_for_its_registration();
    damage_is_refused_whole();
    return 0;
}
