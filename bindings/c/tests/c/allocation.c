/* Calls, reports and rejections allocate nothing. The message of an error is made only when the
 * caller asks for it. Counts the calls of the C library's allocator, where a program can replace
 * its functions. */
#include "check.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
static size_t allocations;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

void *malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    allocations++;
    return __libc_realloc(old, size);
}

static void calls(brama_t *m, brama_connection_t *db, brama_connection_t *down) {
    brama_permit_t permit;
    brama_report_item_t item = BRAMA_REPORT_ITEM_INIT;
    item.connection = db;
    item.reason = "timeout";
    item.outcome = BRAMA_OUTCOME_FAILURE;
    bool answer;
    uint64_t wait;
    CHECK(brama_connection_available(db) && brama_available(m, "db", NULL));
    CHECK(brama_connection_state(db) == brama_state(m, "db", NULL));
    OK(brama_connection_success(db));
    OK(brama_success(m, "db", NULL));
    OK(brama_connection_failure(db, "connection refused"));
    OK(brama_failure(m, "db", NULL, "connection refused"));
    OK(brama_connection_acquire(db, &permit, NULL));
    OK(brama_permit_success(permit));
    OK(brama_acquire(m, "db", NULL, &permit, NULL));
    OK(brama_permit_failure(permit, "connection refused"));
    OK(brama_connection_acquire(db, &permit, NULL));
    OK(brama_permit_ignore(permit));
    OK(brama_available_many((const brama_connection_t *const *)&db, 1, &answer));
    OK(brama_report_many(&item, sizeof item, 1));
    ANSWERS(BRAMA_ERR_REJECTED, brama_connection_acquire(down, &permit, &wait));
    ANSWERS(BRAMA_ERR_REJECTED, brama_acquire(m, "down", NULL, &permit, NULL));
}

int main(void) {
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", BRAMA_UNLIMITED);
    brama_connection_t *down = made(world, "down", 1);
    OK(brama_connection_open_circuit(down, "maintenance", BRAMA_NEVER));
    CHECK(allocations > 0);
    calls(world.manager, db, down);
    allocations = 0;
    for (int i = 0; i < 1000; i++)
        calls(world.manager, db, down);
    CHECK(allocations == 0);
    MESSAGE_HAS("held open");
    CHECK(allocations > 0);
    brama_connection_release(db);
    brama_connection_release(down);
    free_world(world);
    return 0;
}
#else
int main(void) {
    return 0;
}
#endif
