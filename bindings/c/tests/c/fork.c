/* fork(): the child begins with a copy of the parent's managers. From then on the two are
 * independent. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <sys/wait.h>
#include <unistd.h>

static void until_half_open(brama_queue_t *queue) {
    brama_event_t events[8];
    size_t count;
    for (;;) {
        CHECK(brama_queue_wait(queue, 60000));
        OK(brama_queue_drain(queue, events, sizeof *events, 8, &count));
        for (size_t i = 0; i < count; i++)
            if (events[i].event_type == BRAMA_EVENT_CIRCUIT_HALF_OPENED)
                return;
    }
}

static void child(brama_t *m, brama_connection_t *db, brama_queue_t *queue,
                  brama_permit_t permit, brama_permit_t named) {
    CHECK(status_of(db).failure_count == 1);
    OK(brama_permit_success(permit));
    OK(brama_permit_success(named));
    CHECK(status_of(db).total_successes == 2);
    CHECK(brama_available(m, "db", NULL));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_success(m, "child", NULL));
    MESSAGE_HAS("child");
    OK(brama_connection_open_circuit(db, "child", 1));
    until_half_open(queue);
    brama_queue_free(queue);
    brama_connection_release(db);
    brama_free(m);
    OK(brama_register(NULL, "in the default manager", NULL, NULL, NULL));
    OK(brama_shutdown(NULL));
}

int main(void) {
    brama_t *m = brama_new(NULL);
    brama_connection_t *db;
    brama_queue_t *queue;
    brama_permit_t permit, named;
    CHECK(m != NULL);
    OK(brama_register(m, "db", NULL, NULL, &db));
    OK(brama_queue_new(m, NULL, 100, &queue));
    OK(brama_connection_failure(db, NULL));
    OK(brama_connection_acquire(db, &permit, NULL));
    OK(brama_acquire(m, "db", NULL, &named, NULL));

    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        child(m, db, queue, permit, named);
        /* Skips the leak check at exit: the child keeps some of the parent's memory without using
         * it, which a sanitizer would report as a leak. */
        _exit(0);
    }
    int ended;
    CHECK(waitpid(pid, &ended, 0) == pid);
    CHECK(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    CHECK(status_of(db).total_successes == 0);
    CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED);
    OK(brama_permit_success(permit));
    OK(brama_connection_open_circuit(db, "parent", 1));
    until_half_open(queue);
    brama_queue_free(queue);
    brama_connection_release(db);
    brama_free(m);
    return 0;
}
