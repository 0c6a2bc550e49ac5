/*
 * Makes calls of the C ABI of the input's bytes, in any order, with NULLs, wrong sizes, invalid
 * numbers and strings that are no UTF-8. The calls keep to the contract of pointers: no pointer is
 * used after it was freed, and every pointer is NULL or valid. Whatever else a call gets, the
 * library has to return, and never BRAMA_ERR_PANIC.
 *
 * Only bytes of the input advance the clock, and there is no background thread. So one input always
 * does the same. `fuzz/run` builds and runs this program.
 */
#include <brama.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                                            \
    do {                                                                              \
        if (!(condition))                                                             \
            abort();                                                                  \
    } while (0)

enum { MANAGERS = 2, HANDLES = 4, PERMITS = 6, QUEUES = 2, SUBSCRIPTIONS = 2 };

static const uint8_t *at, *end;

static uint8_t byte(void) { return at < end ? *at++ : 0; }

static uint64_t any_number(void) {
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | byte();
    return number;
}

static uint64_t u64(void) {
    static const uint64_t special[] = {
        0, 1, 2, 1000, 60000, BRAMA_NEVER, BRAMA_NONE, BRAMA_NOT_GIVEN_U64, BRAMA_INHERIT_U64,
        UINT64_C(1) << 40, (UINT64_C(1) << 40) - 1, INT64_MAX,
    };
    uint8_t which = byte();
    return which < 12 ? special[which] : which < 240 ? which : any_number();
}

static uint32_t u32(void) {
    static const uint32_t special[] = {
        0, 1, 2, 5, 65535, 65536, 65537, BRAMA_UNLIMITED, BRAMA_NOT_GIVEN_U32, BRAMA_INHERIT_U32,
    };
    uint8_t which = byte();
    /* Bounded, since probes and windows take memory. */
    return which < 10 ? special[which] : which < 240 ? which : (uint32_t)any_number() % 70000;
}

static int32_t i32(void) {
    uint8_t which = byte();
    return which < 8 ? (int32_t)which - 4 : which < 16 ? INT32_MIN + which : (int32_t)any_number();
}

static double f64(void) {
    static const double special[] = {
        0.0, 1.0, 2.0, 0.5, -0.1, BRAMA_NOT_GIVEN_F64, BRAMA_INHERIT_F64, 1e308, -1e-308,
        BRAMA_NONE_F64,
    };
    uint8_t which = byte();
    uint64_t bits;
    double number;
    if (which < 10)
        return special[which];
    bits = any_number();
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* Strings live until the end of the input. */
static char *strings[4096];
static size_t string_count;

static char *keep(const uint8_t *from, size_t length) {
    char *copy = malloc(length + 1);
    REQUIRE(copy != NULL && string_count < sizeof strings / sizeof *strings);
    memcpy(copy, from, length);
    copy[length] = 0;
    return strings[string_count++] = copy;
}

static const char *string(void) {
    static const char *const special[] = {"db", "api", "billing", "", "caf\xe9", "\xf0\x9f", "x y"};
    uint8_t which = byte();
    size_t length, left = (size_t)(end - at);
    if (which == 255 || string_count + 8 > sizeof strings / sizeof *strings)
        return NULL;
    if (which < 128)
        return special[which % 7];
    if (which == 254) { /* too long for a name */
        char *text = keep((const uint8_t *)"", 0);
        strings[string_count - 1] = text = realloc(text, 2000);
        REQUIRE(text != NULL);
        memset(text, byte() | 1, 1999);
        text[1999] = 0;
        return text;
    }
    length = which & 31;
    length = length < left ? length : left;
    at += length;
    return keep(at - length, length);
}

/* A length for a string: the right one, BRAMA_TERMINATED, less, or more than memory has. */
static size_t length_of(const char *text) {
    size_t length = text == NULL ? byte() : strlen(text);
    uint8_t which = byte();
    if (which > 251)
        return which == 255 ? SIZE_MAX - 1 : (size_t)PTRDIFF_MAX + which;
    switch (which % 4) {
    case 0: return BRAMA_TERMINATED;
    case 1: return length / 2;
    case 2: return length + (text != NULL); /* with its NUL */
    default: return length;
    }
}

/* A struct's size, right or wrong. With a wrong one, bytes behind the struct may be read. */
static size_t size_of(size_t right) {
    switch (byte()) {
    case 250: return 0;
    case 251: return right - 1;
    case 252: return right + 8;
    case 253: return SIZE_MAX;
    case 254: return 8;
    default: return right;
    }
}

#define ROOMY(type) union { type it; unsigned char room[sizeof(type) + 64]; }

static brama_t *managers[MANAGERS];
static brama_connection_t *handles[HANDLES];
static brama_permit_t permits[PERMITS];
static int permit_handles[PERMITS], permit_managers[PERMITS]; /* owner's index, plus one */
static brama_queue_t *queues[QUEUES];
static brama_subscription_t *subscriptions[SUBSCRIPTIONS];
static brama_snapshot_t *snapshot;
static brama_clock_t *clock_of_all;

static brama_result_t answered(brama_result_t result) {
    REQUIRE(result <= 0 && result >= BRAMA_ERR_LIMIT && result != BRAMA_ERR_PANIC);
    REQUIRE(*brama_strerror(result) != 0);
    if (result != BRAMA_OK)
        REQUIRE(*brama_last_error_message() != 0);
    return result;
}

#define ANSWER(call) ((void)answered(call))

static brama_pair_t *pairs(size_t *count) {
    static brama_pair_t some[8];
    uint8_t which = byte();
    *count = which % 9;
    if (which > 250) {
        *count = which % 2 ? SIZE_MAX : 3;
        return NULL;
    }
    for (size_t i = 0; i < *count && i < 8; i++)
        some[i].key = string(), some[i].value = string();
    if (*count > 8)
        *count = 8;
    return which % 16 == 15 ? NULL : some;
}

/* Which settings are given: a bit for each. */
static uint32_t any_fields(void) {
    uint32_t fields = 0;
    for (int i = 0; i < 3; i++)
        fields = fields << 8 | byte();
    return fields;
}

/* A value for a setting of each kind. */
#define SOME_attempts u32
#define SOME_calls u32
#define SOME_time u64
#define SOME_optional_time u64
#define SOME_bounded_time u64
#define SOME_count u64
#define SOME_optional_calls u64
#define SOME_factor f64
#define SOME_part f64
#define SOME_optional_rate f64
#define SOME_share f64
#define SOME_strategy i32
#define SOME_flag i32
#define SOME_mode i32

static ROOMY(brama_options_t) options_room;
static ROOMY(brama_config_t) config_room;
static ROOMY(brama_report_t) report_room;
static ROOMY(brama_filter_t) filter_room;
static uint32_t counted;

static brama_options_t *options(void) {
    memset(&options_room, byte() > 250, sizeof options_room);
    brama_options_init(&options_room.it);
    options_room.it.size = size_of(sizeof options_room.it);
    uint32_t fields = any_fields();
#define SETTING(name, field, kind, initial)                                            \
    if (fields & 1) options_room.it.field = SOME_##kind();                            \
    fields >>= 1;
#include "../bindings/c/tests/c/settings_table.h"
#undef SETTING
    if (byte() > 200) options_room.it.initial_state = (int64_t)u64();
    options_room.it.metadata = pairs(&options_room.it.metadata_count);
    return byte() > 200 ? NULL : &options_room.it;
}

static brama_config_t *config(int for_new) {
    memset(&config_room, byte() > 250, sizeof config_room);
    brama_config_init(&config_room.it);
    config_room.it.size = size_of(sizeof config_room.it);
    uint32_t fields = any_fields();
#define SETTING(name, field, kind, initial)                                            \
    if (fields & 1) config_room.it.field = SOME_##kind();                             \
    fields >>= 1;
#include "../bindings/c/tests/c/settings_table.h"
#undef SETTING
    if (byte() % 2) {
        config_room.it.cleanup_interval_ms = u64();
        config_room.it.inactive_threshold_ms = u64();
        config_room.it.auto_register = i32();
        config_room.it.event_capacity = u64() % 4096;
    }
    if (for_new) {
        config_room.it.background = 0;
        config_room.it.clock = clock_of_all;
    } else if (byte() > 240) {
        config_room.it.background = i32();
    }
    return &config_room.it;
}

static brama_report_t *report(void) {
    memset(&report_room, byte() > 250, sizeof report_room);
    brama_report_init(&report_room.it);
    report_room.it.size = size_of(sizeof report_room.it);
    report_room.it.reason = string();
    report_room.it.reason_length = length_of(report_room.it.reason);
    report_room.it.metadata = pairs(&report_room.it.metadata_count);
    report_room.it.failure_count = byte() % 2 ? &counted : NULL;
    return byte() > 200 ? NULL : &report_room.it;
}

/* Callbacks of a host whose bools are any byte. */
static unsigned char wants(const brama_event_t *event, void *data) {
    return (unsigned char)((event->sequence + (data != NULL)) % 4);
}

static unsigned char on_status(const brama_status_t *status, void *manager) {
    uint8_t which = byte();
    REQUIRE(*status->identifier != 0 && status->settings->size == sizeof *status->settings);
    if (which > 240) /* A callback may call anything. */
        brama_unregister(manager, status->identifier, status->scope);
    return which % 8;
}

static void on_event(const brama_event_t *event, void *data) {
    REQUIRE(event->connection != NULL && data == &counted);
    REQUIRE(event->reason == NULL || strlen(event->reason) <= 1024);
}

static void on_events(const brama_event_t *events, size_t size, size_t count, void *data) {
    for (size_t i = 0; i < count; i++)
        on_event((const void *)((const char *)events + i * size), data);
}

static brama_filter_t *filter(void) {
    memset(&filter_room, byte() > 250, sizeof filter_room);
    brama_filter_init(&filter_room.it);
    filter_room.it.size = size_of(sizeof filter_room.it);
    filter_room.it.event_types = (uint32_t)(byte() << 8 | byte());
    filter_room.it.reserved = byte() > 250;
    filter_room.it.connection = byte() % 4 ? NULL : string();
    filter_room.it.scope = byte() % 4 ? NULL : string();
    filter_room.it.predicate = byte() % 4 ? NULL : (brama_predicate_fn)(void (*)(void))wants;
    return byte() > 200 ? NULL : &filter_room.it;
}

static brama_t *manager(int *which) {
    *which = byte() % MANAGERS;
    return managers[*which];
}

static brama_connection_t *handle(int *which) {
    *which = byte() % (HANDLES + 1);
    return *which < HANDLES ? handles[*which] : NULL;
}

static void forget_permits(int of_handle, int of_manager) {
    for (int i = 0; i < PERMITS; i++)
        if ((of_handle && permit_handles[i] == of_handle) ||
            (of_manager && permit_managers[i] == of_manager)) {
            memset(&permits[i], 0, sizeof permits[i]);
            permit_handles[i] = permit_managers[i] = 0;
        }
}

static void put_handle(brama_connection_t *got) {
    int place = byte() % HANDLES;
    forget_permits(place + 1, 0);
    brama_connection_release(handles[place]);
    handles[place] = got;
}

static void new_manager(int which) {
    forget_permits(0, which + 1);
    brama_t *made = brama_new(config(1));
    if (made == NULL) {
        brama_config_t plain = BRAMA_CONFIG_INIT;
        REQUIRE(brama_last_error_code() != BRAMA_OK);
        plain.background = 0;
        plain.clock = clock_of_all;
        made = brama_new(&plain);
        REQUIRE(made != NULL);
    }
    brama_free(managers[which]);
    managers[which] = made;
}

/* Notes the owner of a permit that is about to be written: a handle or a manager, the other 0. */
static void permit_of(brama_permit_t *permit, int of_handle, int of_manager) {
    if (permit == NULL)
        return; /* No permit is written, so no owner changes. */
    memset(permit, 0, sizeof *permit);
    permit_handles[permit - permits] = of_handle;
    permit_managers[permit - permits] = of_manager;
}

/* Checks the wait of an acquisition: 0 if admitted, any if rejected, BRAMA_NONE if it failed. */
static void acquired(brama_result_t result, const uint64_t *wait) {
    (void)answered(result);
    if (wait != NULL && result != BRAMA_ERR_REJECTED)
        REQUIRE(*wait == (result == BRAMA_OK ? 0 : BRAMA_NONE));
}

/* Reports a permit by value in some way, or asks about it. */
static void report_by_value(brama_permit_t permit, const brama_connection_t *on) {
    switch (byte() % 7) {
    case 0: ANSWER(brama_permit_success(permit)); break;
    case 1: ANSWER(brama_permit_failure(permit, string())); break;
    case 2: ANSWER(brama_permit_ignore(permit)); break;
    case 3: ANSWER(brama_permit_cancelled(permit)); break;
    case 4: ANSWER(brama_permit_success_with(permit, report())); break;
    case 5: ANSWER(brama_permit_failure_with(permit, report())); break;
    case 6:
        (void)brama_permit_is_probe(permit);
        (void)brama_permit_is_half_open(permit);
        (void)brama_permit_covers(permit, on);
        break;
    }
}

/* Reports a failure with a wait, in one of its forms. */
static void failure_for(brama_t *on, const brama_connection_t *held, const brama_permit_t *permit) {
    const char *name = string(), *scope = string();
    const brama_report_t *what = report();
    uint64_t wait = u64();
    switch (byte() % 4) {
    case 0: ANSWER(brama_failure_for(on, name, scope, what, wait)); break;
    case 1: ANSWER(brama_connection_failure_for(held, what, wait)); break;
    case 2: ANSWER(brama_permit_failure_for_at(permit, what, wait)); break;
    case 3:
        if (permit != NULL)
            ANSWER(brama_permit_failure_for(*permit, what, wait));
        break;
    }
}

/* Reports a call with a duration, in one of its forms. */
static void lasting(brama_t *on, const brama_connection_t *held, const brama_permit_t *permit) {
    const char *name = string(), *scope = string();
    const brama_report_t *what = report();
    uint64_t duration = u64();
    switch (byte() % 8) {
    case 0: ANSWER(brama_success_in(on, name, scope, what, duration)); break;
    case 1: ANSWER(brama_failure_in(on, name, scope, what, duration)); break;
    case 2: ANSWER(brama_connection_success_in(held, what, duration)); break;
    case 3: ANSWER(brama_connection_failure_in(held, what, duration)); break;
    case 4: ANSWER(brama_permit_success_in_at(permit, what, duration)); break;
    case 5: ANSWER(brama_permit_failure_in_at(permit, what, duration)); break;
    case 6:
        if (permit != NULL)
            ANSWER(brama_permit_success_in(*permit, what, duration));
        break;
    case 7:
        if (permit != NULL)
            ANSWER(brama_permit_failure_in(*permit, what, duration));
        break;
    }
}

/* Controls a circuit by hand, by its name. */
static void control(brama_t *on) {
    const char *name = string(), *scope = string();
    switch (byte() % 4) {
    case 0: ANSWER(brama_open_circuit(on, name, scope, string(), u64())); break;
    case 1: ANSWER(brama_close_circuit(on, name, scope)); break;
    case 2: ANSWER(brama_half_open_circuit(on, name, scope)); break;
    case 3: ANSWER(brama_reset_circuit(on, name, scope)); break;
    }
}

/* Calls functions of numbers and names that need no manager. */
static void words(void) {
    int32_t number = i32();
    brama_clock_t *clock = brama_clock_new(u64());
    REQUIRE(*brama_strerror(number) != 0 && *brama_state_name(number) != 0);
    REQUIRE(*brama_event_type_name(number) != 0 && *brama_cause_name(number) != 0);
    REQUIRE(*brama_version() != 0);
    REQUIRE(brama_abi_version() == BRAMA_ABI_VERSION);
    REQUIRE(brama_clock_unix_ms(clock_of_all) < BRAMA_NONE);
    REQUIRE((brama_clock_unix_ms(clock) == BRAMA_NONE) == (clock == NULL));
    brama_clock_free(clock);
}

/* The data that were saved last. */
static uint8_t *saved;
static size_t saved_length;

/* Writes the right checksum, so that the library reads data that were changed. */
static void seal(uint8_t *data, size_t length) {
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length - 8; i++)
        sum = (sum ^ data[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < 8; i++)
        data[length - 8 + i] = (uint8_t)(sum >> 8 * i);
}

/* Saves; or restores what was saved, damaged or not; or restores bytes that never were saved. */
static void save_or_restore(brama_t *on) {
    uint8_t which = byte();
    size_t count = 0, length = saved_length;
    brama_result_t result;
    if (which % 4 == 0) {
        brama_data_free(saved);
        REQUIRE(answered(brama_save(on, &saved, &saved_length)) == BRAMA_OK);
        REQUIRE(saved != NULL && saved_length >= 32);
    } else if (which % 4 == 1 && saved != NULL) {
        result = answered(brama_restore(on, saved, saved_length, &count));
        REQUIRE(result == BRAMA_OK || result == BRAMA_ERR_SHUT_DOWN);
        REQUIRE(count <= saved_length / 64);
    } else if (which % 4 == 2 && saved != NULL) {
        uint8_t *damaged = malloc(length);
        REQUIRE(damaged != NULL);
        memcpy(damaged, saved, length);
        for (int changes = byte() % 4; changes >= 0; changes--)
            damaged[u64() % (length - 8)] = byte();
        bool changed = memcmp(damaged, saved, length) != 0, cut = byte() % 8 == 0;
        if (cut)
            length -= 1 + byte() % (length - 31);
        if (byte() % 2)
            seal(damaged, length);
        else
            REQUIRE((!changed && !cut) || brama_restore(on, damaged, length, NULL) != BRAMA_OK);
        ANSWER(brama_restore(on, damaged, length, &count));
        REQUIRE(count <= length / 64);
        free(damaged);
    } else {
        length = (size_t)(end - at) < which ? (size_t)(end - at) : which;
        ANSWER(brama_restore(on, at, length, &count));
        REQUIRE(count == 0);
        at += length;
    }
}

static void further_step(uint8_t operation) {
    int m, h, p;
    brama_connection_t *got = NULL, *held, *some[3];
    brama_t *on = manager(&m);
    brama_permit_t *permit;
    const char *name, *scope, *reason;
    size_t length, scope_length;
    uint64_t wait = 7;
    ROOMY(brama_status_t) status;
    ROOMY(brama_settings_t) settings;
    bool answers[3];
    const uint32_t *pass;
    int fd;
    held = handle(&h);
    p = byte() % PERMITS;
    permit = byte() > 250 ? NULL : &permits[p];
    if (operation >= 60) {
        lasting(on, held, permit);
        return;
    }
    if (operation >= 54) { /* Keeps the meaning of the operations below in the corpus. */
        failure_for(on, held, permit);
        return;
    }
    switch (operation % 18) {
    case 0: case 1: case 2: case 3:
        name = string(), scope = string(), length = length_of(name), scope_length = length_of(scope);
        if (operation % 18 == 0) {
            ANSWER(brama_get_or_register_n(on, name, length, scope, scope_length, options(), &got));
            put_handle(got);
        } else if (operation % 18 == 1) {
            ANSWER(brama_connection_get_n(on, name, length, scope, scope_length, byte() > 250 ? NULL : &got));
            put_handle(got);
        } else if (operation % 18 == 2) {
            ANSWER(brama_success_n(on, name, length, scope, scope_length));
        } else {
            permit_of(permit, 0, m + 1);
            acquired(brama_acquire_n(on, name, length, scope, scope_length, permit, &wait), &wait);
        }
        break;
    case 4:
        pass = brama_connection_pass_word(held);
        REQUIRE((pass == NULL) == (held == NULL));
        if (pass == NULL || permit == NULL)
            break;
        permit_of(permit, h + 1, 0);
        REQUIRE((answered(brama_connection_pass_permit(held, *pass, permit)) == BRAMA_OK) == (*pass < BRAMA_PASS_LIMIT));
        break;
    case 5:
        reason = string(), length = length_of(reason);
        ANSWER(brama_permit_failure_n(permit, reason, length));
        break;
    case 6: report_by_value(permits[p], held); break;
    case 7:
        for (int i = 0; i < 3; i++)
            some[i] = handle(&h);
        ANSWER(brama_available_many((const brama_connection_t *const *)some, 3, byte() > 250 ? NULL : answers));
        ANSWER(brama_available_many(NULL, byte() % 2 ? SIZE_MAX : 0, answers));
        break;
    case 8:
        name = string(), scope = string();
        brama_status_init(&status.it);
        status.it.size = size_of(sizeof status.it);
        memset(status.room + sizeof status.it, 0, sizeof status.room - sizeof status.it);
        if (answered(brama_status(on, name, scope, byte() > 250 ? NULL : &status.it)) == BRAMA_OK)
            REQUIRE(strcmp(status.it.identifier, name) == 0 && status.it.settings->expiry_ms > 0);
        break;
    case 9:
        name = string(), scope = string();
        brama_settings_init(&settings.it);
        settings.it.size = size_of(sizeof settings.it);
        ANSWER(brama_settings(on, name, scope, byte() > 250 ? NULL : &settings.it));
        break;
    case 10:
        ANSWER(brama_for_each(on, string(), byte() > 250 ? NULL : (brama_status_fn)(void (*)(void))on_status, on));
        break;
    case 11: ANSWER(brama_configure_connection(on, string(), string(), options())); break;
    case 12: control(on); break;
    case 13: ANSWER(brama_connection_open_circuit_with(held, report(), u64())); break;
    case 14:
        ANSWER(brama_queue_fd(queues[p % QUEUES], byte() > 250 ? NULL : &fd));
        if (byte() % 2)
            ANSWER(brama_queue_close(queues[p % QUEUES]));
        (void)brama_queue_is_closed(queues[p % QUEUES]);
        break;
    case 15:
        brama_subscription_detach(subscriptions[p % SUBSCRIPTIONS]);
        subscriptions[p % SUBSCRIPTIONS] = NULL;
        break;
    case 16:
        got = brama_connection_retain(held);
        REQUIRE(got == held);
        if (got != NULL) {
            REQUIRE(*brama_connection_identifier(got) != 0);
            scope = brama_connection_scope(got);
            REQUIRE(scope == NULL || *scope != 0);
        }
        put_handle(got);
        break;
    case 17: words(); break;
    }
}

static void step(void) {
    int m, h, p = 0;
    brama_t *on;
    brama_connection_t *got = NULL, *held;
    brama_permit_t *permit;
    const char *name, *scope, *reason;
    size_t count = 0, length, scope_length, reason_length;
    uint64_t wait = 0, *waits;
    ROOMY(brama_status_t) status;
    ROOMY(brama_settings_t) settings;
    brama_state_counts_t states = BRAMA_STATE_COUNTS_INIT;
    brama_event_counts_t events_so_far = BRAMA_EVENT_COUNTS_INIT;
    brama_event_t events[8];
    uint8_t operation = byte();
    /* Keeps the meaning of the operations below 192 in the corpus. */
    if (operation >= 192) {
        further_step((uint8_t)(operation - 192));
        return;
    }
    on = manager(&m);
    held = handle(&h);
    p = byte() % PERMITS;
    permit = byte() > 250 ? NULL : &permits[p];
    switch (operation % 48) {
    case 0: new_manager(m); break;
    case 1: case 2:
        name = string(), scope = string();
        ANSWER(brama_register(on, name, scope, options(), byte() % 4 ? &got : NULL));
        put_handle(got);
        break;
    case 3:
        name = string(), scope = string(), length = length_of(name), scope_length = length_of(scope);
        ANSWER(brama_register_n(on, name, length, scope, scope_length, options(), &got));
        put_handle(got);
        break;
    case 4:
        name = string(), scope = string();
        ANSWER(brama_get_or_register(on, name, scope, options(), &got));
        put_handle(got);
        break;
    case 5:
        name = string(), scope = string();
        ANSWER(brama_connection_get(on, name, scope, byte() > 250 ? NULL : &got));
        put_handle(got);
        break;
    case 6: ANSWER(brama_unregister(on, string(), string())); break;
    case 7:
        name = string(), scope = string(), length = length_of(name), scope_length = length_of(scope);
        if (!brama_available_n(on, name, length, scope, scope_length))
            REQUIRE(*brama_last_error_message() != 0);
        break;
    case 8:
        name = string(), scope = string();
        if (!brama_available(on, name, scope))
            REQUIRE(*brama_last_error_message() != 0);
        REQUIRE(*brama_state_name(brama_state(on, name, scope)) != 0);
        break;
    case 9:
        if (!brama_connection_available(held))
            REQUIRE(*brama_last_error_message() != 0);
        (void)brama_connection_state(held);
        break;
    case 10: ANSWER(brama_success(on, string(), string())); break;
    case 11: ANSWER(brama_failure(on, string(), string(), string())); break;
    case 12:
        name = string(), scope = string(), reason = string();
        length = length_of(name), scope_length = length_of(scope), reason_length = length_of(reason);
        ANSWER(brama_failure_n(on, name, length, scope, scope_length, reason, reason_length));
        break;
    case 13: ANSWER(brama_failure_with(on, string(), string(), report())); break;
    case 14: ANSWER(brama_success_with(on, string(), string(), report())); break;
    case 15: case 16: ANSWER(brama_connection_failure(held, string())); break;
    case 17: ANSWER(brama_connection_success(held)); break;
    case 18: ANSWER(brama_connection_failure_with(held, report())); break;
    case 19: ANSWER(brama_connection_success_with(held, report())); break;
    case 20:
        reason = string(), reason_length = length_of(reason);
        ANSWER(brama_connection_failure_n(held, reason, reason_length));
        break;
    case 21: case 22: case 23:
        permit_of(permit, h + 1, 0);
        waits = byte() % 2 ? &wait : NULL;
        acquired(brama_connection_acquire(held, permit, waits), waits);
        break;
    case 24:
        name = string(), scope = string();
        permit_of(permit, 0, m + 1);
        acquired(brama_acquire(on, name, scope, permit, &wait), &wait);
        break;
    case 25: ANSWER(brama_permit_success_at(permit)); break;
    case 26: ANSWER(brama_permit_failure_at(permit, string())); break;
    case 27: ANSWER(brama_permit_ignore_at(permit)); break;
    case 28: ANSWER(brama_permit_cancelled_at(permit)); break;
    case 29: ANSWER(brama_permit_failure_with_at(permit, report())); break;
    case 30: ANSWER(brama_permit_success_with_at(permit, report())); break;
    case 31:
        (void)brama_permit_is_probe_at(permit);
        (void)brama_permit_is_half_open_at(permit);
        (void)brama_permit_covers_at(permit, held);
        break;
    case 32: /* Changes a word that says what the permit reports. */
        permits[p].opaque[1 + byte() % 5] ^= any_number();
        break;
    case 33:
        permit_of(permit, h + 1, 0);
        ANSWER(brama_connection_pass_permit(held, (uint32_t)any_number(), permit));
        break;
    case 34:
        name = string(), scope = string();
        ANSWER(brama_open_circuit_with(on, name, scope, report(), u64()));
        break;
    case 35: ANSWER(brama_connection_open_circuit(held, string(), u64())); break;
    case 36: ANSWER(byte() % 2 ? brama_connection_half_open_circuit(held) : brama_connection_close_circuit(held)); break;
    case 37: ANSWER(byte() % 2 ? brama_connection_reset_circuit(held) : brama_reset_all(on)); break;
    case 38: ANSWER(brama_configure(on, byte() > 250 ? NULL : config(0))); break;
    case 39: ANSWER(brama_connection_configure(held, options())); break;
    case 40:
        memset(&status, 0, sizeof status);
        status.it.size = size_of(sizeof status.it);
        ANSWER(brama_connection_status(held, &status.it));
        memset(&settings, 0, sizeof settings);
        settings.it.size = size_of(sizeof settings.it);
        ANSWER(brama_connection_settings(held, &settings.it));
        ANSWER(brama_state_counts(on, &states));
        ANSWER(brama_event_counts(on, &events_so_far));
        break;
    case 41:
        brama_snapshot_free(snapshot);
        snapshot = NULL;
        ANSWER(brama_snapshot_new(on, string(), &snapshot));
        brama_status_init(&status.it);
        while (snapshot != NULL && byte() % 4 && brama_snapshot_next(snapshot, &status.it))
            REQUIRE(status.it.identifier != NULL && status.it.settings->size == sizeof settings.it);
        break;
    case 42:
        brama_queue_free(queues[p % QUEUES]);
        queues[p % QUEUES] = NULL;
        ANSWER(brama_queue_new(on, filter(), (size_t)u64() % 64, &queues[p % QUEUES]));
        break;
    case 43:
        ANSWER(brama_queue_drain(queues[p % QUEUES], events, byte() > 250 ? 8 : sizeof *events, byte() % 9, &count));
        REQUIRE(count <= 8);
        for (size_t i = 0; i < count; i++)
            on_event(&events[i], &counted);
        (void)brama_queue_wait(queues[p % QUEUES], 0);
        break;
    case 44:
        brama_unsubscribe(subscriptions[p % SUBSCRIPTIONS]);
        subscriptions[p % SUBSCRIPTIONS] = NULL;
        if (byte() % 2)
            ANSWER(brama_subscribe(on, filter(), on_event, &counted, NULL, &subscriptions[p % SUBSCRIPTIONS]));
        else
            ANSWER(brama_subscribe_batched(on, filter(), (size_t)u64(), on_events, &counted, NULL,
                                           &subscriptions[p % SUBSCRIPTIONS]));
        break;
    case 45: {
        ROOMY(brama_report_item_t) items[2];
        memset(items, 0, sizeof items);
        for (int i = 0; i < 2; i++) {
            brama_report_item_init(&items[i].it);
            items[i].it.size = size_of(sizeof items[i].it);
            items[i].it.connection = handle(&h);
            items[i].it.reason = string();
            items[i].it.reason_length = length_of(items[i].it.reason);
            items[i].it.outcome = i32();
        }
        ANSWER(brama_report_many(&items[0].it, byte() > 250 ? byte() % (sizeof *items + 1) : sizeof *items, 2));
        break;
    }
    case 46: {
        uint8_t which = byte();
        if (which > 223) {
            save_or_restore(on);
            break;
        }
        ANSWER(brama_clock_advance(clock_of_all, which % 8 ? byte() * 100u : u64()));
        ANSWER(brama_poll(on));
        break;
    }
    case 47:
        if (byte() % 8 == 0)
            ANSWER(byte() % 2 ? brama_shutdown(on) : brama_shutdown_within(on, u64() % 10, &wait));
        else
            ANSWER(brama_unsubscribe_matching(on, filter()));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    at = data;
    end = data + size;
    clock_of_all = brama_clock_new(byte());
    for (int i = 0; i < MANAGERS; i++)
        new_manager(i);
    while (at < end)
        step();
    for (int i = 0; i < HANDLES; i++) {
        brama_connection_release(handles[i]);
        handles[i] = NULL;
        forget_permits(i + 1, 0);
    }
    for (int i = 0; i < QUEUES; i++)
        brama_queue_free(queues[i]), queues[i] = NULL;
    for (int i = 0; i < SUBSCRIPTIONS; i++)
        brama_unsubscribe(subscriptions[i]), subscriptions[i] = NULL;
    brama_snapshot_free(snapshot);
    snapshot = NULL;
    brama_data_free(saved);
    saved = NULL;
    for (int i = 0; i < MANAGERS; i++) {
        forget_permits(0, i + 1);
        brama_free(managers[i]);
        managers[i] = NULL;
    }
    brama_clock_free(clock_of_all);
    while (string_count > 0)
        free(strings[--string_count]);
    return 0;
}
