/* Guarded calls by reading one number, and what else an interpreter asks for. */
#include "check.h"

static uint32_t read_pass(const brama_connection_t *connection) {
    return __atomic_load_n(brama_connection_pass_word(connection), __ATOMIC_ACQUIRE);
}

static brama_result_t succeed(const brama_connection_t *connection, uint32_t pass) {
    brama_permit_t permit;
    OK(brama_connection_pass_permit(connection, pass, &permit));
    return brama_permit_success_at(&permit);
}

int main(void) {
    struct world world = make_world();
    brama_connection_t *db = made(world, "db", 2);
    brama_permit_t permit;

    /* A call that passes is reported as with a permit. */
    uint32_t pass = read_pass(db);
    CHECK(pass < BRAMA_PASS_LIMIT);
    OK(brama_connection_pass_permit(db, pass, &permit));
    OK(brama_permit_success_at(&permit));
    OK(brama_permit_success_at(&permit));
    OK(brama_permit_failure(permit, "timeout"));
    CHECK(status_of(db).total_successes == 2 && status_of(db).failure_count == 1);

    /* The count of failures does not show in the number; its report clears it. */
    CHECK(read_pass(db) == pass);
    OK(succeed(db, pass));
    CHECK(status_of(db).failure_count == 0);

    /* Reports tell how many failures count now. */
    brama_report_t report;
    uint32_t failures = 99;
    brama_report_init(&report);
    report.failure_count = &failures;
    OK(brama_connection_pass_permit(db, pass, &permit));
    OK(brama_permit_failure_with(permit, &report));
    CHECK(failures == 1);
    OK(brama_failure_with(world.manager, "db", NULL, &report));
    CHECK(failures == 2);
    OK(brama_connection_failure_with(db, &report));
    CHECK(failures == 3);

    /* Open: nothing passes, and what was read before is stale. */
    CHECK(read_pass(db) >= BRAMA_PASS_LIMIT);
    ANSWERS(BRAMA_ERR_STALE, succeed(db, pass));
    failures = 99;
    ANSWERS(BRAMA_ERR_STALE, brama_permit_failure_with(permit, &report));
    CHECK(failures == 99);

    /* Half-open the same, and closed again too: a late success closes nothing. */
    OK(brama_clock_advance(world.clock, 60000));
    OK(brama_poll(world.manager));
    CHECK(brama_connection_state(db) == BRAMA_STATE_HALF_OPEN);
    CHECK(read_pass(db) >= BRAMA_PASS_LIMIT);
    ANSWERS(BRAMA_ERR_STALE, succeed(db, pass));
    CHECK(brama_connection_state(db) == BRAMA_STATE_HALF_OPEN);
    OK(brama_connection_success(db));
    CHECK(read_pass(db) < BRAMA_PASS_LIMIT && read_pass(db) != pass);
    ANSWERS(BRAMA_ERR_STALE, succeed(db, pass));

    /* All connections, in order; what a status points to lives until the next. */
    brama_connection_t *api = made(world, "api", 2);
    brama_snapshot_t *snapshot;
    brama_status_t status;
    brama_status_init(&status);
    OK(brama_snapshot_new(world.manager, NULL, &snapshot));
    OK(brama_unregister(world.manager, "api", NULL));
    CHECK(brama_snapshot_next(snapshot, &status) && strcmp(status.identifier, "api") == 0);
    CHECK(brama_snapshot_next(snapshot, &status) && strcmp(status.identifier, "db") == 0);
    CHECK(status.total_failures == 5);
    CHECK(!brama_snapshot_next(snapshot, &status));
    CHECK(!brama_snapshot_next(snapshot, &status));
    brama_snapshot_free(snapshot);
    OK(brama_snapshot_new(world.manager, "elsewhere", &snapshot));
    CHECK(!brama_snapshot_next(snapshot, &status));
    brama_snapshot_free(snapshot);

    /* Gone is gone. */
    CHECK(read_pass(api) >= BRAMA_PASS_LIMIT);
    ANSWERS(BRAMA_ERR_NOT_FOUND, succeed(api, 0));
    pass = read_pass(db);
    OK(brama_shutdown(world.manager));
    CHECK(read_pass(db) >= BRAMA_PASS_LIMIT);
    ANSWERS(BRAMA_ERR_SHUT_DOWN, succeed(db, pass));

    brama_connection_release(db);
    brama_connection_release(api);
    free_world(world);
    return 0;
}
