/*
 * Produces every result code that the header documents. The limits of the system and the shutdown
 * come last. (BRAMA_ERR_PANIC is a defect of the library: a test in the library's source produces
 * it.)
 */
#define _XOPEN_SOURCE 700
#include "../check.h"

#include <pthread.h>
#include <sys/resource.h>

static struct world world;

static void ask_at_the_end(void *result) {
    brama_status_t status = BRAMA_STATUS_INIT;
    *(brama_result_t *)result = brama_status(world.manager, "db", NULL, &status);
}

static void *leave_a_destructor(void *key_and_result) {
    void **both = (void **)key_and_result;
    brama_status_t status = BRAMA_STATUS_INIT;
    OK(brama_status(world.manager, "db", NULL, &status));
    CHECK(pthread_setspecific(*(pthread_key_t *)both[0], both[1]) == 0);
    return NULL;
}

/* The result of a call that a destructor makes when a thread ends. The library's thread-local
 * storage is gone by then. */
static brama_result_t at_the_end_of_a_thread(void) {
    pthread_key_t key;
    pthread_t thread;
    brama_result_t result = BRAMA_OK;
    void *both[2];
    both[0] = &key;
    both[1] = &result;
    CHECK(pthread_key_create(&key, ask_at_the_end) == 0);
    CHECK(pthread_create(&thread, NULL, leave_a_destructor, both) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return result;
}

static struct rlimit limited(int resource, rlim_t most) {
    struct rlimit before, now;
    CHECK(getrlimit(resource, &before) == 0);
    now = before;
    now.rlim_cur = most;
    CHECK(setrlimit(resource, &now) == 0);
    return before;
}

int main(void) {
    brama_permit_t permit;
    brama_options_t options = BRAMA_OPTIONS_INIT;
    brama_config_t config = BRAMA_CONFIG_INIT;
    brama_queue_t *queue;
    struct rlimit before;
    int fd = -7;
    world = make_world();
    brama_connection_t *db = made(world, "db", 1);
    OK(brama_queue_new(world.manager, NULL, 8, &queue));

    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_success(world.manager, "", NULL));
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_success(world.manager, "nobody", NULL));
    ANSWERS(BRAMA_ERR_ALREADY_REGISTERED, brama_register(world.manager, "db", NULL, NULL, NULL));
    OK(brama_connection_acquire(db, &permit, NULL));
    OK(brama_connection_open_circuit(db, NULL, BRAMA_NEVER));
    brama_permit_t refused;
    ANSWERS(BRAMA_ERR_REJECTED, brama_connection_acquire(db, &refused, NULL));
    ANSWERS(BRAMA_ERR_STALE, brama_permit_success(permit));
    options.jitter = 2.0;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(db, &options));
    CHECK(at_the_end_of_a_thread() == BRAMA_ERR_UNSUPPORTED);

    before = limited(RLIMIT_NOFILE, 0);
    ANSWERS(BRAMA_ERR_LIMIT, brama_queue_fd(queue, &fd));
    CHECK(fd == -7 && brama_last_error_code() == BRAMA_ERR_LIMIT);
    MESSAGE_HAS("operating system error: ");
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    OK(brama_queue_fd(queue, &fd));

    before = limited(RLIMIT_AS, (rlim_t)1 << 30);
    config.event_capacity = 16777216;
    config.background = 0;
    CHECK(brama_new(&config) == NULL);
    CHECK(brama_last_error_code() == BRAMA_ERR_OUT_OF_MEMORY);
    MESSAGE_HAS("`event_capacity`");
    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    config.event_capacity = 1024;
    brama_t *another = brama_new(&config);
    CHECK(another != NULL);
    brama_free(another);

    OK(brama_shutdown(world.manager));
    ANSWERS(BRAMA_ERR_SHUT_DOWN, brama_success(world.manager, "db", NULL));
    brama_queue_free(queue);
    brama_connection_release(db);
    free_world(world);
    return 0;
}
