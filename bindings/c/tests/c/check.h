/*
 * Tools of the programs in this folder: checks that print what they found, and a manager with a
 * clock that stands still.
 */
#ifndef CHECK_H
#define CHECK_H

#include <brama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not so: %s (last error: %s)\n", __FILE__,         \
                    __LINE__, #condition, brama_last_error_message());                \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

/* Checks that a call returns this code. */
#define ANSWERS(code, call)                                                           \
    do {                                                                              \
        brama_result_t answer_ = (call);                                              \
        if (answer_ != (code)) {                                                      \
            fprintf(stderr, "%s:%d: %s is %d, not %s (last error: %s)\n", __FILE__,   \
                    __LINE__, #call, (int)answer_, #code, brama_last_error_message());\
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

#define OK(call) ANSWERS(BRAMA_OK, call)

/* Checks that the message of this thread's last error contains this text. */
#define MESSAGE_HAS(text) CHECK(strstr(brama_last_error_message(), (text)) != NULL)

/* A string that is not UTF-8. */
#define LATIN1 "caf\xe9"

struct world {
    brama_clock_t *clock;
    brama_t *manager;
};

#define START UINT64_C(1000000)

static inline struct world make_world(void) {
    struct world world;
    brama_config_t config;
    brama_config_init(&config);
    world.clock = brama_clock_new(START);
    CHECK(world.clock != NULL);
    config.clock = world.clock;
    config.background = 0;
    world.manager = brama_new(&config);
    CHECK(world.manager != NULL);
    return world;
}

static inline void free_world(struct world world) {
    brama_free(world.manager);
    brama_clock_free(world.clock);
}

/* Registers a connection whose circuit opens after max_attempts failures. */
static inline brama_connection_t *made(struct world world, const char *identifier,
                                       uint32_t max_attempts) {
    brama_options_t options;
    brama_connection_t *connection = NULL;
    brama_options_init(&options);
    options.max_attempts = max_attempts;
    OK(brama_register(world.manager, identifier, NULL, &options, &connection));
    CHECK(connection != NULL);
    return connection;
}

static inline brama_status_t status_of(const brama_connection_t *connection) {
    brama_status_t status;
    brama_status_init(&status);
    OK(brama_connection_status(connection, &status));
    return status;
}

#endif
