/* Threads that share one handle. Each has its own last error, and subscribers come and go. */
#include "check.h"
#include <pthread.h>

enum { THREADS = 4, ROUNDS = 2000 };

struct job {
    struct world world;
    brama_connection_t *db;
    int number;
};

static void on_event(const brama_event_t *event, void *user_data) {
    (void)event;
    /* Would be a write to freed memory if this ran after the end of its subscription. */
    ++*(int *)user_data;
}

static void *work(void *argument) {
    struct job *job = argument;
    brama_t *m = job->world.manager;
    CHECK(strcmp(brama_last_error_message(), "") == 0);
    char name[20], expected[80];
    sprintf(name, "thread %d", job->number);
    sprintf(expected, "no connection \"%s\" is registered", name);
    for (int i = 0; i < ROUNDS; i++) {
        brama_permit_t permit;
        OK(brama_connection_acquire(job->db, &permit, NULL));
        OK(brama_permit_success(permit));
        OK(brama_success(m, "db", NULL));
        if (i % 16 == 0) {
            ANSWERS(BRAMA_ERR_NOT_FOUND, brama_success(m, name, NULL));
            CHECK(strcmp(brama_last_error_message(), expected) == 0);
            brama_status_t status = status_of(job->db);
            CHECK(strcmp(status.identifier, "db") == 0);
            brama_connection_t *mine, *again;
            OK(brama_register(m, name, NULL, NULL, &mine));
            again = brama_connection_retain(mine);
            OK(brama_acquire(m, name, NULL, &permit, NULL));
            OK(brama_unregister(m, name, NULL));
            ANSWERS(BRAMA_ERR_NOT_FOUND, brama_permit_success(permit));
            brama_connection_release(mine);
            ANSWERS(BRAMA_ERR_NOT_FOUND, brama_connection_success(again));
            brama_connection_release(again);
        }
        if (i % 100 == 0) {
            int *calls = calloc(1, sizeof *calls);
            CHECK(calls != NULL);
            brama_subscription_t *subscription;
            OK(brama_subscribe(m, NULL, on_event, calls, free, &subscription));
            brama_unsubscribe(subscription);
        }
    }
    return NULL;
}

static void *wait_for_ever(void *queue) {
    while (brama_queue_wait(queue, BRAMA_NEVER)) {
        brama_event_t events[4];
        size_t count;
        OK(brama_queue_drain(queue, events, sizeof *events, 4, &count));
    }
    CHECK(brama_queue_is_closed(queue));
    return NULL;
}

int main(void) {
    struct job jobs[THREADS];
    pthread_t threads[THREADS], waiter;
    struct world world = {NULL, brama_new(NULL)};
    CHECK(world.manager != NULL);
    brama_connection_t *db = made(world, "db", BRAMA_UNLIMITED);
    brama_queue_t *queue;
    OK(brama_queue_new(world.manager, NULL, 64, &queue));
    CHECK(pthread_create(&waiter, NULL, wait_for_ever, queue) == 0);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){world, db, i};
        CHECK(pthread_create(&threads[i], NULL, work, &jobs[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(status_of(db).total_successes == 2 * THREADS * ROUNDS);
    OK(brama_queue_close(queue));
    CHECK(pthread_join(waiter, NULL) == 0);
    brama_queue_free(queue);
    brama_connection_release(db);
    free_world(world);
    return 0;
}
