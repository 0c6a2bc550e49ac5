/*
 * Callbacks and destructors of the host that free the manager or the queue that the library is
 * using, or shut the manager down.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <unistd.h>

struct host {
    brama_t *manager;
    brama_queue_t *queue;
    int calls;
    int destroyed;
};

/* Overwrites memory that was freed, so that a use of it after the free fails. */
static void trample(void) {
    void *taken[2000];
    for (size_t i = 0; i < 2000; i++) {
        size_t size = 16 + i % 100 * 16;
        taken[i] = malloc(size);
        CHECK(taken[i] != NULL);
        memset(taken[i], 0xff, size);
    }
    for (size_t i = 0; i < 2000; i++)
        free(taken[i]);
}

static void frees_the_manager(const brama_event_t *event, void *user_data) {
    struct host *host = user_data;
    (void)event;
    if (host->calls++ == 0) {
        brama_free(host->manager);
        trample();
    }
}

static void frees_the_queue(const brama_event_t *event, void *user_data) {
    struct host *host = user_data;
    (void)event;
    if (host->calls++ == 0) {
        brama_queue_free(host->queue);
        trample();
    }
}

static void shuts_down(const brama_event_t *event, void *user_data) {
    struct host *host = user_data;
    (void)event;
    host->calls++;
    OK(brama_shutdown(host->manager));
}

static void count(void *user_data) {
    __atomic_add_fetch(&((struct host *)user_data)->destroyed, 1, __ATOMIC_ACQ_REL);
}

static void shut_down_at_the_end(void *user_data) {
    struct host *host = user_data;
    OK(brama_shutdown(host->manager));
    count(user_data);
}

static void free_manager_at_the_end(void *user_data) {
    struct host *host = user_data;
    brama_free(host->manager);
    trample();
    count(user_data);
}

static void a_callback_may_free_the_manager_that_is_polled(void) {
    struct world world = make_world();
    struct host host = {.manager = world.manager};
    OK(brama_subscribe(world.manager, NULL, frees_the_manager, &host, count, NULL));
    OK(brama_register(world.manager, "db", NULL, NULL, NULL));
    OK(brama_poll(world.manager));
    CHECK(host.calls == 2 && host.destroyed == 1);
    brama_clock_free(world.clock);
}

static void a_callback_may_free_the_manager_that_is_shut_down(void) {
    struct world world = make_world();
    struct host host = {.manager = world.manager};
    OK(brama_subscribe(world.manager, NULL, frees_the_manager, &host, count, NULL));
    OK(brama_register(world.manager, "db", NULL, NULL, NULL));
    OK(brama_shutdown(world.manager));
    CHECK(host.calls == 2 && host.destroyed == 1);
    brama_clock_free(world.clock);
}

static void a_destructor_may_free_the_manager_that_is_polled(void) {
    struct world world = make_world();
    struct host host = {.manager = world.manager};
    OK(brama_subscribe(world.manager, NULL, shuts_down, &host, free_manager_at_the_end, NULL));
    OK(brama_register(world.manager, "db", NULL, NULL, NULL));
    OK(brama_poll(world.manager));
    CHECK(host.destroyed == 1);
    brama_clock_free(world.clock);
}

static void a_destructor_may_free_the_manager_whose_subscriptions_end(void) {
    struct world world = make_world();
    struct host host = {.manager = world.manager};
    OK(brama_subscribe(world.manager, NULL, shuts_down, &host, free_manager_at_the_end, NULL));
    OK(brama_unsubscribe_matching(world.manager, NULL));
    CHECK(host.destroyed == 1);
    brama_clock_free(world.clock);
}

static void a_callback_may_free_the_queue_that_is_drained(void) {
    for (int wait = 0; wait < 2; wait++) {
        struct world world = make_world();
        struct host host = {.manager = world.manager};
        brama_event_t events[10];
        size_t drained = 99;
        OK(brama_queue_new(world.manager, NULL, 10, &host.queue));
        OK(brama_subscribe(world.manager, NULL, frees_the_queue, &host, NULL, NULL));
        OK(brama_register(world.manager, "db", NULL, NULL, NULL));
        if (wait) {
            brama_queue_wait(host.queue, 0);
        } else {
            OK(brama_queue_drain(host.queue, events, sizeof *events, 10, &drained));
            CHECK(drained == 0);
        }
        CHECK(host.calls == 2);
        free_world(world);
    }
}

/* On the manager's thread, on a thread that ends the subscription, and without a background
 * thread. */
static void a_destructor_may_shut_the_manager_down(void) {
    for (int way = 0; way < 4; way++) {
        struct host host = {0};
        brama_config_t config;
        brama_subscription_t *subscription;
        brama_config_init(&config);
        config.background = way & 1;
        host.manager = brama_new(&config);
        OK(brama_subscribe(host.manager, NULL, shuts_down, &host, shut_down_at_the_end,
                           &subscription));
        if (way & 2)
            OK(brama_shutdown(host.manager));
        brama_unsubscribe(subscription);
        CHECK(host.destroyed == 1);
        ANSWERS(BRAMA_ERR_SHUT_DOWN, brama_register(host.manager, "db", NULL, NULL, NULL));
        brama_free(host.manager);
    }
}

/* If a filter has no predicate, the call destroys the predicate's data before it returns. */
static void the_data_of_a_filter_may_free_the_manager_that_is_subscribed_to(void) {
    for (int way = 0; way < 3; way++) {
        struct host host = {0};
        brama_filter_t filter;
        brama_queue_t *queue = NULL;
        host.manager = brama_new(NULL);
        brama_filter_init(&filter);
        filter.predicate_data = &host;
        filter.predicate_destroy = free_manager_at_the_end;
        brama_result_t result = BRAMA_OK;
        if (way == 0)
            result = brama_subscribe(host.manager, &filter, shuts_down, &host, NULL, NULL);
        else if (way == 1)
            result = brama_subscribe(host.manager, &filter, NULL, NULL, NULL, NULL);
        else
            result = brama_queue_new(host.manager, &filter, 10, &queue);
        CHECK(host.destroyed == 1 && result != BRAMA_OK);
        brama_queue_free(queue);
    }
}

int main(void) {
    /* Ends the program if a call waits for itself. */
    alarm(60);
    a_callback_may_free_the_manager_that_is_polled();
    a_callback_may_free_the_manager_that_is_shut_down();
    a_destructor_may_free_the_manager_that_is_polled();
    a_destructor_may_free_the_manager_whose_subscriptions_end();
    a_callback_may_free_the_queue_that_is_drained();
    a_destructor_may_shut_the_manager_down();
    the_data_of_a_filter_may_free_the_manager_that_is_subscribed_to();
    return 0;
}
