/* Structs that begin with their size: from older and newer callers, and with a wrong size. */
#include "check.h"

/* Tries one kind of struct in a call, with wrong sizes and with a larger size whose tail is zero.
 * Compares the initialiser macro with the _init function, byte by byte. */
#define TRY(type, init, kind, call)                                                   \
    do {                                                                              \
        struct {                                                                      \
            type known;                                                               \
            unsigned char tail[16];                                                   \
        } s;                                                                          \
        type *given = &s.known;                                                       \
        memset(&s, 0, sizeof s);                                                      \
        init(given);                                                                  \
        CHECK(given->size == sizeof(type));                                           \
        static const type by_macro = BRAMA_##kind##_INIT;                             \
        /* The two empty strings of a status need not have one address. */            \
        size_t from = !strcmp(#kind, "STATUS") ? offsetof(brama_status_t, scope) : 0; \
        CHECK(!memcmp((const char *)given + from, (const char *)&by_macro + from,     \
                      sizeof(type) - from));                                          \
        OK(call);                                                                     \
        size_t wrong[] = {0, 1, sizeof(size_t), sizeof(type) - 1, 4097, SIZE_MAX};    \
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {                   \
            given->size = wrong[i];                                                   \
            ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, call);                                \
            MESSAGE_HAS(#type);                                                       \
            MESSAGE_HAS(#init);                                                       \
        }                                                                             \
        given->size = sizeof s;                                                       \
        OK(call);                                                                     \
        init(NULL);                                                                   \
    } while (0)

/* TRY for a struct that the library reads: it refuses a tail that is not zero. */
#define TRY_INPUT(type, init, kind, call)                                             \
    do {                                                                              \
        TRY(type, init, kind, call);                                                  \
        struct {                                                                      \
            type known;                                                               \
            unsigned char tail[16];                                                   \
        } s;                                                                          \
        type *given = &s.known;                                                       \
        memset(&s, 0, sizeof s);                                                      \
        init(given);                                                                  \
        given->size = sizeof s;                                                       \
        s.tail[15] = 1;                                                               \
        ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, call);                                    \
        MESSAGE_HAS("must be zero");                                                  \
    } while (0)

static void on_event(const brama_event_t *event, void *user_data) {
    (void)event;
    (void)user_data;
}

int main(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 5);
    brama_permit_t permit;

    TRY_INPUT(brama_options_t, brama_options_init, OPTIONS, brama_connection_configure(db, given));
    TRY_INPUT(brama_options_t, brama_options_init, OPTIONS,
              brama_get_or_register(m, "db", NULL, given, NULL));
    TRY_INPUT(brama_config_t, brama_config_init, CONFIG, brama_configure(m, given));
    TRY_INPUT(brama_report_t, brama_report_init, REPORT, brama_connection_failure_with(db, given));
    TRY_INPUT(brama_filter_t, brama_filter_init, FILTER,
              brama_subscribe(m, given, on_event, NULL, NULL, NULL));
    TRY_INPUT(brama_filter_t, brama_filter_init, FILTER, brama_unsubscribe_matching(m, given));
    TRY(brama_status_t, brama_status_init, STATUS, brama_connection_status(db, given));
    TRY(brama_state_counts_t, brama_state_counts_init, STATE_COUNTS, brama_state_counts(m, given));
    TRY(brama_event_counts_t, brama_event_counts_init, EVENT_COUNTS,
        brama_event_counts(m, given));
    TRY(brama_settings_t, brama_settings_init, SETTINGS,
        brama_connection_settings(db, given));
    TRY_INPUT(brama_report_item_t, brama_report_item_init, REPORT_ITEM,
              (given->connection = db, given->outcome = BRAMA_OUTCOME_SUCCESS,
               brama_report_many(given, sizeof s, 1)));

    /* Fields that only the caller knows are not written. */
    struct {
        brama_status_t known;
        unsigned char tail[16];
    } status;
    memset(&status, 7, sizeof status);
    brama_status_init(&status.known);
    status.known.size = sizeof status;
    OK(brama_connection_status(db, &status.known));
    CHECK(status.tail[0] == 7 && status.tail[15] == 7 && status.known.size == sizeof status);

    brama_filter_t filter;
    brama_filter_init(&filter);
    filter.reserved = 1;
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_subscribe(m, &filter, on_event, NULL, NULL, NULL));
    MESSAGE_HAS("reserved");

    /* A permit of zeroes, and permits with wrong words behind the first. */
    memset(&permit, 0, sizeof permit);
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_permit_success(permit));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_permit_success_with(permit, NULL));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_permit_failure(permit, NULL));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_permit_failure_with(permit, NULL));
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_permit_ignore(permit));
    OK(brama_connection_acquire(db, &permit, NULL));
    memset(permit.opaque + 1, 0xff, sizeof permit - sizeof *permit.opaque);
    ANSWERS(BRAMA_ERR_STALE, brama_permit_success(permit));
    OK(brama_acquire(m, "db", NULL, &permit, NULL));
    permit.opaque[1] = UINT64_C(1) << 63;
    ANSWERS(BRAMA_ERR_STALE, brama_permit_success(permit));
    permit.opaque[3] ^= UINT64_MAX;
    ANSWERS(BRAMA_ERR_NOT_FOUND, brama_permit_failure(permit, NULL));
    CHECK(brama_connection_state(db) == BRAMA_STATE_CLOSED);

    brama_connection_release(db);
    free_world(world);
    return 0;
}
