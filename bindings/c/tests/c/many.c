/* Many handles in one call. */
#include "check.h"

int main(void) {
    struct world world = make_world();
    brama_connection_t *one = made(world, "one", 1), *two = made(world, "two", 1),
                       *gone = made(world, "gone", 1);
    OK(brama_unregister(world.manager, "gone", NULL));

    const size_t size = sizeof(brama_report_item_t), any = BRAMA_TERMINATED;
    brama_report_item_t items[] = {
        {size, one, NULL, any, BRAMA_OUTCOME_SUCCESS, 99},
        {size, two, "timeout", any, BRAMA_OUTCOME_FAILURE, 99},
        {size, gone, NULL, any, BRAMA_OUTCOME_SUCCESS, 99},
        {size, NULL, NULL, any, BRAMA_OUTCOME_SUCCESS, 99},
        {size, one, NULL, any, 3, 99},
        {size, one, LATIN1, any, BRAMA_OUTCOME_SUCCESS, 99},
        {size - 1, one, NULL, any, BRAMA_OUTCOME_SUCCESS, 99},
        {size, two, LATIN1, 3, BRAMA_OUTCOME_FAILURE, 99},
        /* Larger than its place in the array: the library does not read beyond the array. */
        {size + 8, one, NULL, any, BRAMA_OUTCOME_SUCCESS, 99},
    };
    size_t count = sizeof items / sizeof *items;
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_report_many(items, sizeof *items, count));
    CHECK(items[0].result == BRAMA_OK && items[1].result == BRAMA_OK);
    CHECK(items[2].result == BRAMA_ERR_NOT_FOUND);
    CHECK(items[3].result == BRAMA_ERR_INVALID_ARGUMENT);
    CHECK(items[4].result == BRAMA_ERR_INVALID_ARGUMENT);
    CHECK(items[5].result == BRAMA_OK);
    CHECK(items[6].result == BRAMA_ERR_INVALID_ARGUMENT);
    CHECK(items[7].result == BRAMA_OK && status_of(two).total_failures == 2);
    CHECK(items[8].result == BRAMA_ERR_INVALID_ARGUMENT);
    CHECK(status_of(one).total_successes == 2 && status_of(one).total_failures == 0);
    CHECK(brama_connection_state(two) == BRAMA_STATE_OPEN);
    OK(brama_report_many(items, sizeof *items, 1));
    OK(brama_report_many(NULL, sizeof *items, 0));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_report_many(NULL, sizeof *items, 1));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_report_many(items, 8, 1));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_report_many(items, sizeof *items, SIZE_MAX / 2));

    const brama_connection_t *handles[] = {one, two, gone, NULL, one};
    bool answers[6] = {false, true, true, true, false, true};
    OK(brama_available_many(handles, 3, answers));
    CHECK(answers[0] && !answers[1] && !answers[2] && answers[3] && !answers[4]);
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_available_many(handles, 5, answers));
    MESSAGE_HAS("NULL at 3");
    CHECK(!answers[3] && answers[4] && answers[5]);
    OK(brama_available_many(NULL, 0, NULL));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_available_many(NULL, 1, answers));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_available_many(handles, 1, NULL));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT,
            brama_available_many(handles, SIZE_MAX / 2, answers));

    brama_connection_release(one);
    brama_connection_release(two);
    brama_connection_release(gone);
    free_world(world);
    return 0;
}
