/* Half-open circuits with a rate of failures, and ramps: which calls are admitted, which reports
 * decide, and which events are delivered. */
#include "check.h"

static brama_connection_t *registered(struct world world, const brama_options_t *options) {
    brama_connection_t *connection = NULL;
    OK(brama_register(world.manager, "db", NULL, options, &connection));
    return connection;
}

#define IS(db, wanted) CHECK(brama_connection_state(db) == BRAMA_STATE_##wanted)

static brama_permit_t admitted(const brama_connection_t *db) {
    brama_permit_t permit;
    OK(brama_connection_acquire(db, &permit, NULL));
    return permit;
}

/* Checks that no call is admitted now. */
static void refused(const brama_connection_t *db) {
    brama_permit_t permit;
    ANSWERS(BRAMA_ERR_REJECTED, brama_connection_acquire(db, &permit, NULL));
}

/* Settings of a sample of four probes. */
static brama_options_t sample(void) {
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.half_open_max_calls = 4;
    options.half_open_failure_rate = 0.5;
    return options;
}

static void a_sample_of_probes_decides_as_soon_as_it_is_certain(void) {
    struct world world = make_world();
    const brama_options_t options = sample();
    brama_connection_t *db = registered(world, &options);
    brama_permit_t probes[4];
    /* 2 of 4 reach the rate. */
    OK(brama_connection_half_open_circuit(db));
    for (int i = 0; i < 4; i++)
        probes[i] = admitted(db);
    refused(db);
    MESSAGE_HAS("all probes of \"db\" are out");
    OK(brama_permit_success(probes[0]));
    OK(brama_permit_failure(probes[1], "down"));
    IS(db, HALF_OPEN);
    refused(db); /* A probe that has reported keeps its place. */
    OK(brama_permit_failure(probes[2], "still down"));
    IS(db, OPEN);
    CHECK(status_of(db).cause == BRAMA_CAUSE_PROBE && status_of(db).trips == 1);
    CHECK(strcmp(status_of(db).reason, "still down") == 0);
    ANSWERS(BRAMA_ERR_STALE, brama_permit_success(probes[3]));

    /* With three successes the rate cannot be reached. */
    OK(brama_connection_half_open_circuit(db));
    OK(brama_permit_failure(admitted(db), "down"));
    for (int i = 0; i < 3; i++) {
        IS(db, HALF_OPEN);
        OK(brama_permit_success(admitted(db)));
    }
    IS(db, CLOSED);
    CHECK(status_of(db).trips == 0);

    /* A probe that is ignored gives its place back, until four have reported. */
    OK(brama_connection_half_open_circuit(db));
    for (int i = 0; i < 20; i++)
        OK(brama_permit_ignore(admitted(db)));
    for (int i = 0; i < 2; i++)
        OK(brama_permit_success(admitted(db)));
    probes[0] = admitted(db), probes[1] = admitted(db);
    refused(db);
    OK(brama_permit_cancelled(probes[0]));
    probes[0] = admitted(db);
    refused(db);
    OK(brama_permit_failure(probes[0], NULL));
    refused(db);
    OK(brama_permit_success(probes[1]));
    IS(db, CLOSED);
    brama_connection_release(db);
    free_world(world);
}

static void a_slow_success_is_a_failure_of_the_sample(void) {
    struct world world = make_world();
    brama_options_t options = sample();
    options.slow_call_duration_ms = 100;
    brama_connection_t *db = registered(world, &options);
    for (int counts = 0; counts < 2; counts++) {
        /* It is a failure only if there is a rate of slow calls. */
        options.slow_call_rate = counts ? 0.9 : BRAMA_NONE_F64;
        OK(brama_connection_configure(db, &options));
        OK(brama_connection_half_open_circuit(db));
        for (int i = 0; i < 2; i++) {
            IS(db, HALF_OPEN);
            brama_permit_t probe = admitted(db);
            OK(brama_clock_advance(world.clock, 100));
            OK(brama_permit_success(probe));
        }
        CHECK(brama_connection_state(db) == (counts ? BRAMA_STATE_OPEN : BRAMA_STATE_HALF_OPEN));
        if (!counts)
            OK(brama_connection_close_circuit(db));
    }
    CHECK(status_of(db).cause == BRAMA_CAUSE_PROBE);
    brama_connection_release(db);
    free_world(world);
}

/* Makes a circuit at the beginning of its ramp. */
static brama_connection_t *ramping(struct world world, uint64_t ramp_ms, double start) {
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.max_attempts = BRAMA_UNLIMITED;
    options.ramp_ms = ramp_ms;
    options.ramp_start = start;
    brama_connection_t *db = registered(world, &options);
    OK(brama_connection_open_circuit(db, "by hand", 1000));
    OK(brama_clock_advance(world.clock, 1000));
    OK(brama_permit_success(admitted(db)));
    IS(db, HALF_OPEN);
    CHECK(status_of(db).ramp_share == start);
    return db;
}

static void a_ramp_admits_a_share_that_grows_and_closes_by_time(void) {
    struct world world = make_world();
    brama_connection_t *db = ramping(world, 10000, 0.2);
    brama_filter_t filter = BRAMA_FILTER_INIT;
    filter.event_types = UINT32_C(0x1fffe) & ~BRAMA_EVENT_BIT(BRAMA_EVENT_CALL_REJECTED);
    brama_queue_t *queue;
    OK(brama_queue_new(world.manager, &filter, 32, &queue));
    CHECK(status_of(db).trips == 1);
    double last = 0.0;
    for (int ms = 0; ms < 10000; ms += 500) {
        const double share = status_of(db).ramp_share, linear = ms / 10000.0;
        CHECK(share - (linear < 0.2 ? 0.2 : linear) < 1e-9 && (linear < 0.2 ? 0.2 : linear) - share < 1e-9);
        CHECK(share >= last);
        last = share;
        int passed = 0;
        for (int call = 0; call < 2000; call++) {
            brama_permit_t permit;
            uint64_t wait = 0;
            if (brama_connection_acquire(db, &permit, &wait) == BRAMA_OK) {
                passed++;
                continue;
            }
            CHECK(brama_last_error_code() == BRAMA_ERR_REJECTED);
            CHECK(wait == (uint64_t)(10000 - ms < 1000 ? 10000 - ms : 1000));
        }
        /* Seven standard deviations of a draw with this share. */
        CHECK(passed > 2000 * share - 157 && passed < 2000 * share + 157);
        OK(brama_clock_advance(world.clock, 500));
    }
    IS(db, CLOSED);
    const brama_status_t status = status_of(db);
    CHECK(status.ramp_share == BRAMA_NONE_F64 && status.trips == 0);
    CHECK(status.cause == BRAMA_CAUSE_MANUAL);

    brama_event_t events[32];
    size_t count = 0;
    int changes = 0, closings = 0;
    OK(brama_queue_drain(queue, events, sizeof *events, 32, &count));
    for (size_t i = 0; i < count; i++) {
        const brama_event_t *event = &events[i];
        CHECK(event->previous_state == BRAMA_STATE_HALF_OPEN && event->new_state == BRAMA_STATE_CLOSED);
        CHECK(event->timestamp_ms == START + 11000); /* The end of the ramp. */
        changes += event->event_type == BRAMA_EVENT_STATE_CHANGE;
        closings += event->event_type == BRAMA_EVENT_CIRCUIT_CLOSED;
    }
    CHECK(changes == 1 && closings == 1);
    brama_queue_free(queue);
    brama_connection_release(db);
    free_world(world);
}

static void a_rejection_of_a_ramp_says_that_the_circuit_is_recovering(void) {
    struct world world = make_world();
    brama_connection_t *db = ramping(world, 10000, 1e-12);
    brama_permit_t named;
    for (int by_name = 0; by_name < 2; by_name++) {
        uint64_t wait = 0;
        ANSWERS(BRAMA_ERR_REJECTED, by_name ? brama_acquire(world.manager, "db", NULL, &named, &wait)
                                            : brama_connection_acquire(db, &named, &wait));
        CHECK(wait == 1000);
        CHECK(strcmp(brama_last_error_message(),
                     "rejected: the circuit of \"db\" is recovering (manual: by hand), retry after 1s") == 0);
        CHECK(brama_last_error_cause() == BRAMA_CAUSE_MANUAL);
    }
    CHECK(status_of(db).total_rejections == 2);
    brama_connection_release(db);
    free_world(world);
}

static void two_failures_in_a_row_end_a_ramp(void) {
    struct world world = make_world();
    brama_connection_t *db = ramping(world, 10000, 1.0);
    for (int i = 0; i < 3; i++) {
        OK(brama_permit_failure(admitted(db), "down"));
        OK(brama_permit_success(admitted(db)));
        OK(brama_permit_ignore(admitted(db)));
    }
    IS(db, HALF_OPEN);
    OK(brama_permit_failure(admitted(db), "down"));
    OK(brama_permit_ignore(admitted(db)));
    OK(brama_connection_failure(db, "down again"));
    IS(db, OPEN);
    brama_status_t status = status_of(db);
    CHECK(status.cause == BRAMA_CAUSE_CONSECUTIVE && status.trips == 2);
    CHECK(status.ramp_share == BRAMA_NONE_F64 && strcmp(status.reason, "down again") == 0);

    /* With max_attempts 1, one failure ends it. */
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.max_attempts = 1;
    OK(brama_connection_configure(db, &options));
    OK(brama_clock_advance(world.clock, 60000));
    OK(brama_permit_success(admitted(db)));
    CHECK(status_of(db).ramp_share == 1.0);
    OK(brama_permit_failure(admitted(db), "down"));
    IS(db, OPEN);
    CHECK(status_of(db).trips == 3);
    brama_connection_release(db);
    free_world(world);
}

static void permits_of_a_ramp_count_in_the_closed_circuit_after_it(void) {
    struct world world = make_world();
    brama_connection_t *db = ramping(world, 1000, 1.0);
    brama_permit_t permits[3];
    for (int i = 0; i < 3; i++)
        permits[i] = admitted(db);
    OK(brama_clock_advance(world.clock, 1000));
    IS(db, CLOSED);
    OK(brama_permit_failure(permits[0], "down"));
    CHECK(status_of(db).failure_count == 1);
    OK(brama_permit_success(permits[1]));
    CHECK(status_of(db).failure_count == 0);
    /* Not in the closed circuit after another opening. */
    OK(brama_connection_open_circuit(db, NULL, 1));
    OK(brama_connection_close_circuit(db));
    ANSWERS(BRAMA_ERR_STALE, brama_permit_failure(permits[2], "down"));
    CHECK(status_of(db).failure_count == 0);
    brama_connection_release(db);
    free_world(world);
}

static void control_by_hand_in_a_ramp(void) {
    struct world world = make_world();
    brama_connection_t *db = ramping(world, 1000, 0.5);
    OK(brama_clock_advance(world.clock, 700));
    const uint64_t since = status_of(db).last_state_change_ms;
    OK(brama_connection_half_open_circuit(db)); /* Does nothing: it is half-open already. */
    CHECK(status_of(db).ramp_share == 0.7 && status_of(db).last_state_change_ms == since);
    OK(brama_connection_close_circuit(db));
    CHECK(status_of(db).ramp_share == BRAMA_NONE_F64);
    IS(db, CLOSED);

    /* A ramp whose setting is removed goes on, and lets all calls pass. */
    OK(brama_connection_half_open_circuit(db));
    OK(brama_permit_success(admitted(db)));
    CHECK(status_of(db).ramp_share == 0.5);
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.ramp_ms = BRAMA_NONE;
    OK(brama_connection_configure(db, &options));
    CHECK(status_of(db).ramp_share == 1.0);
    OK(brama_connection_open_circuit(db, NULL, 1));
    IS(db, OPEN);
    brama_connection_release(db);
    free_world(world);
}

/* Calls ride on a probe, and on a call in a ramp, which is no probe. */
static void a_call_in_a_ramp_can_be_ridden_on(void) {
    struct world world = make_world();
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.ramp_ms = 1000;
    options.ramp_start = 1.0;
    options.half_open_successes = 1;
    brama_connection_t *db = registered(world, &options);
    brama_permit_t closed = admitted(db), earlier[2], permit;
    CHECK(!brama_permit_is_half_open(closed) && !brama_permit_is_probe(closed));
    for (int by_name = 0; by_name < 2; by_name++) {
        OK(brama_connection_half_open_circuit(db));
        for (int ramp = 0; ramp < 2; ramp++) {
            if (by_name)
                OK(brama_acquire(world.manager, "db", NULL, &permit, NULL));
            else
                OK(brama_connection_acquire(db, &permit, NULL));
            CHECK(brama_permit_is_probe(permit) == !ramp && brama_permit_is_half_open(permit));
            CHECK(brama_permit_is_half_open_at(&permit) && brama_permit_covers(permit, db));
            CHECK(!brama_permit_covers(closed, db));
            OK(brama_permit_success(permit));
            earlier[ramp] = permit;
        }
        CHECK(!brama_permit_covers(earlier[0], db)); /* The state of the probe is over. */
        OK(brama_clock_advance(world.clock, 1000));
        CHECK(brama_permit_is_half_open(permit) && !brama_permit_covers(permit, db));
        IS(db, CLOSED);
    }
    /* A permit that has the start of its call uses more of its words. */
    options.slow_call_duration_ms = 100;
    OK(brama_connection_configure(db, &options));
    OK(brama_connection_half_open_circuit(db));
    OK(brama_permit_success(admitted(db)));
    permit = admitted(db);
    CHECK(!brama_permit_is_probe(permit) && brama_permit_is_half_open(permit));
    CHECK(brama_permit_covers_at(&permit, db));
    brama_connection_release(db);
    free_world(world);
}

/* So an interpreter never takes a circuit in a ramp for a closed one. */
static void the_pass_word_of_a_ramp_lets_nothing_pass(void) {
    struct world world = make_world();
    brama_connection_t *db = ramping(world, 1000, 0.5);
    const uint32_t *word = brama_connection_pass_word(db);
    for (int ms = 0; ms < 1000; ms += 100) {
        CHECK(__atomic_load_n(word, __ATOMIC_ACQUIRE) >= BRAMA_PASS_LIMIT);
        OK(brama_clock_advance(world.clock, 100));
    }
    IS(db, CLOSED);
    CHECK(__atomic_load_n(word, __ATOMIC_ACQUIRE) < BRAMA_PASS_LIMIT);
    brama_connection_release(db);
    free_world(world);
}

static void what_is_refused_changes_nothing(void) {
    struct world world = make_world();
    brama_connection_t *db = ramping(world, 1000, 0.5);
    const brama_settings_t before = *status_of(db).settings;
#define REFUSED(text, field, value)                                                   \
    do {                                                                              \
        brama_options_t bad_ = BRAMA_OPTIONS_INIT;                                    \
        brama_config_t worse_ = BRAMA_CONFIG_INIT;                                    \
        bad_.half_open_successes = worse_.half_open_successes = 3;                    \
        bad_.jitter = worse_.jitter = 0.5;                                            \
        bad_.field = worse_.field = (value);                                          \
        ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(db, &bad_));     \
        MESSAGE_HAS("`" #field "` = " text);                                          \
        ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_configure(world.manager, &worse_));   \
        MESSAGE_HAS("`" #field "` = " text);                                          \
    } while (0)
    REFUSED("0: must be above 0.0 and at most 1.0", ramp_start, 0.0);
    REFUSED("1.5: must be above 0.0 and at most 1.0", ramp_start, 1.5);
    REFUSED("NaN: must be above 0.0 and at most 1.0", ramp_start, strtod("nan", NULL));
    REFUSED("BRAMA_NONE_F64: must be above 0.0", ramp_start, BRAMA_NONE_F64);
    REFUSED("0: must be", ramp_ms, 0);
    REFUSED("0: must be above 0.0 and at most 1.0", half_open_failure_rate, 0.0);
    REFUSED("1.5: must be above 0.0 and at most 1.0", half_open_failure_rate, 1.5);
    REFUSED("NaN: must be above 0.0", half_open_failure_rate, strtod("nan", NULL));
    REFUSED("0.5: cannot be given together with `half_open_successes`", half_open_failure_rate, 0.5);
    const brama_settings_t after = *status_of(db).settings;
    CHECK(memcmp(&before, &after, sizeof before) == 0);
    CHECK(status_of(db).ramp_share == 0.5);
    brama_connection_release(db);
    free_world(world);
}

int main(void) {
    a_sample_of_probes_decides_as_soon_as_it_is_certain();
    a_slow_success_is_a_failure_of_the_sample();
    a_ramp_admits_a_share_that_grows_and_closes_by_time();
    a_rejection_of_a_ramp_says_that_the_circuit_is_recovering();
    two_failures_in_a_row_end_a_ramp();
    permits_of_a_ramp_count_in_the_closed_circuit_after_it();
    control_by_hand_in_a_ramp();
    a_call_in_a_ramp_can_be_ridden_on();
    the_pass_word_of_a_ramp_lets_nothing_pass();
    what_is_refused_changes_nothing();
    return 0;
}
