/* Settings of managers and connections, given and taken back. */
#include "check.h"

static void settings_on_both_levels(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_connection_t *db = made(world, "db", 3);
    brama_config_t config;
    brama_config_init(&config);
    config.max_attempts = 9;
    config.expiry_ms = 5000;
    config.expiry_strategy = BRAMA_EXPIRY_PROGRESSIVE;
    config.backoff_factor = 3.0;
    OK(brama_configure(m, &config));
    brama_settings_t settings = BRAMA_SETTINGS_INIT, by_name = BRAMA_SETTINGS_INIT;
    OK(brama_connection_settings(db, &settings));
    OK(brama_settings(m, "db", NULL, &by_name));
    CHECK(memcmp(&settings, &by_name, sizeof settings) == 0);
    CHECK(memcmp(&settings, status_of(db).settings, sizeof settings) == 0);
    CHECK(settings.max_attempts == 3 && settings.expiry_ms == 5000);
    CHECK(settings.initial_expiry_ms == 5000 && settings.max_expiry_ms == 50000);
    CHECK(settings.expiry_strategy == BRAMA_EXPIRY_PROGRESSIVE);
    CHECK(settings.backoff_factor == 3.0 && settings.jitter == 0.0);

    brama_pair_t pairs[] = {{"team", "billing"}, {"tier", "1"}};
    brama_options_t options;
    brama_options_init(&options);
    options.metadata = pairs;
    options.metadata_count = 2;
    options.max_attempts = BRAMA_UNLIMITED;
    options.window_ms = 1000;
    OK(brama_configure_connection(m, "db", NULL, &options));
    brama_status_t status = status_of(db);
    CHECK(status.settings->max_attempts == BRAMA_UNLIMITED);
    CHECK(status.settings->window_ms == 1000 && status.settings->expiry_ms == 5000);
    CHECK(status.metadata_count == 2);
    CHECK(strcmp(status.metadata[1].key, "tier") == 0);
    CHECK(strcmp(status.metadata[1].value, "1") == 0);

    brama_options_init(&options);
    options.window_ms = BRAMA_NONE;
    OK(brama_connection_configure(db, &options));
    CHECK(status_of(db).settings->window_ms == BRAMA_NONE);
    CHECK(status_of(db).metadata_count == 2);
    options.metadata = pairs;
    options.metadata_count = 0;
    OK(brama_connection_configure(db, &options));
    CHECK(status_of(db).metadata_count == 0 && status_of(db).metadata == NULL);

    brama_options_init(&options);
    options.jitter = 1.5;
    options.max_attempts = 1;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(db, &options));
    CHECK(strcmp(brama_last_error_message(),
                 "invalid setting `jitter` = 1.5: must be 0.0 to 1.0") == 0);
    CHECK(status_of(db).settings->max_attempts == BRAMA_UNLIMITED);
    brama_connection_release(db);
    free_world(world);
}

static void a_setting_can_be_taken_back(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_config_t config = BRAMA_CONFIG_INIT;
    config.max_attempts = 7;
    config.expiry_ms = 7000;
    config.expiry_strategy = BRAMA_EXPIRY_PROGRESSIVE;
    config.backoff_factor = 7.0;
    config.jitter = 0.5;
    config.window_ms = 777;
    config.probe_timeout_ms = 77;
    config.half_open_max_calls = 7;
    config.half_open_successes = 6;
    config.cancelled_after_ms = 7777;
    OK(brama_configure(m, &config));
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.max_attempts = 3;
    options.expiry_ms = 3000;
    options.initial_expiry_ms = 4000;
    options.max_expiry_ms = 5000;
    options.expiry_strategy = BRAMA_EXPIRY_FIXED;
    options.backoff_factor = 3.0;
    options.jitter = 0.25;
    options.window_ms = BRAMA_NONE;
    options.probe_timeout_ms = BRAMA_NONE;
    options.half_open_max_calls = 3;
    options.half_open_successes = 2;
    options.cancelled_after_ms = BRAMA_NONE;
    OK(brama_register(m, "db", NULL, &options, NULL));
    brama_settings_t own = BRAMA_SETTINGS_INIT, managers = BRAMA_SETTINGS_INIT, after = BRAMA_SETTINGS_INIT;
    OK(brama_settings(m, "db", NULL, &own));
    CHECK(own.max_attempts == 3 && own.window_ms == BRAMA_NONE && own.jitter == 0.25);
    CHECK(own.cancelled_after_ms == BRAMA_NONE && own.probe_timeout_ms == BRAMA_NONE);
    OK(brama_register(m, "plain", NULL, NULL, NULL));
    OK(brama_settings(m, "plain", NULL, &managers));
    CHECK(managers.max_attempts == 7 && managers.cancelled_after_ms == 7777);

    options.max_attempts = options.half_open_max_calls = options.half_open_successes = BRAMA_INHERIT_U32;
    options.expiry_strategy = BRAMA_INHERIT_I32;
    options.expiry_ms = options.initial_expiry_ms = options.max_expiry_ms = BRAMA_INHERIT_U64;
    options.window_ms = options.probe_timeout_ms = options.cancelled_after_ms = BRAMA_INHERIT_U64;
    options.backoff_factor = options.jitter = BRAMA_INHERIT_F64;
    OK(brama_configure_connection(m, "db", NULL, &options));
    OK(brama_settings(m, "db", NULL, &after));
    CHECK(memcmp(&after, &managers, sizeof after) == 0);

    /* A manager's settings become the defaults. */
    brama_config_init(&config);
    config.max_attempts = BRAMA_INHERIT_U32;
    config.window_ms = config.cancelled_after_ms = BRAMA_INHERIT_U64;
    config.cleanup_interval_ms = config.inactive_threshold_ms = BRAMA_INHERIT_U64;
    config.auto_register = BRAMA_INHERIT_I32;
    OK(brama_configure(m, &config));
    OK(brama_settings(m, "db", NULL, &after));
    CHECK(after.max_attempts == 5 && after.window_ms == BRAMA_NONE && after.expiry_ms == 7000);
    CHECK(after.cancelled_after_ms == BRAMA_NONE);
    CHECK(!brama_available(m, "new", NULL));
    config.auto_register = 1;
    OK(brama_configure(m, &config));
    CHECK(brama_available(m, "new", NULL));
    config.auto_register = BRAMA_INHERIT_I32;
    OK(brama_configure(m, &config));
    CHECK(!brama_available(m, "newer", NULL));
    /* Settings are checked as they are in effect together: max_expiry_ms with initial_expiry_ms. */
    brama_options_init(&options);
    options.expiry_strategy = BRAMA_EXPIRY_PROGRESSIVE;
    options.initial_expiry_ms = 9000;
    options.max_expiry_ms = 5;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_configure_connection(m, "db", NULL, &options));
    CHECK(strcmp(brama_last_error_message(), "invalid setting `max_expiry_ms` = 5: "
                 "must be at least initial_expiry_ms (9000 ms)") == 0);
    free_world(world);
}

/* For each kind of setting: a value that is no default, and the constant that takes it back. */
#define OTHER_attempts 7
#define OTHER_calls 7
#define OTHER_time 70000
#define OTHER_optional_time 70000
#define OTHER_bounded_time 70000
#define OTHER_count 7
#define OTHER_optional_calls 700
#define OTHER_optional_rate 0.5
#define OTHER_share 0.5
#define OTHER_factor 7.0
#define OTHER_part 0.5
#define OTHER_strategy BRAMA_EXPIRY_PROGRESSIVE
#define OTHER_mode BRAMA_MODE_SHADOW
#define OTHER_flag 0
#define BACK_attempts BRAMA_INHERIT_U32
#define BACK_calls BRAMA_INHERIT_U32
#define BACK_time BRAMA_INHERIT_U64
#define BACK_optional_time BRAMA_INHERIT_U64
#define BACK_bounded_time BRAMA_INHERIT_U64
#define BACK_count BRAMA_INHERIT_U64
#define BACK_optional_calls BRAMA_INHERIT_U64
#define BACK_optional_rate BRAMA_INHERIT_F64
#define BACK_share BRAMA_INHERIT_F64
#define BACK_factor BRAMA_INHERIT_F64
#define BACK_part BRAMA_INHERIT_F64
#define BACK_strategy BRAMA_INHERIT_I32
#define BACK_mode BRAMA_INHERIT_I32
#define BACK_flag BRAMA_INHERIT_I32

/* A setting of slow_call_rate needs a slow_call_duration_ms. */
static void with_what_it_needs(brama_options_t *options, const char *name, uint64_t duration_ms) {
    if (strcmp(name, "slow_call_rate") == 0)
        options->slow_call_duration_ms = duration_ms;
}

static void every_setting_is_given_shown_and_taken_back(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    OK(brama_register(m, "db", NULL, NULL, NULL));
    brama_settings_t defaults = BRAMA_SETTINGS_INIT, found = BRAMA_SETTINGS_INIT;
    OK(brama_settings(m, "db", NULL, &defaults));
#define SETTING(name, field, kind, initial)                                           \
    {                                                                                 \
        CHECK(defaults.field == (initial));                                           \
        brama_options_t options = BRAMA_OPTIONS_INIT;                                 \
        options.field = OTHER_##kind;                                                 \
        with_what_it_needs(&options, #name, 1000);                                    \
        OK(brama_configure_connection(m, "db", NULL, &options));                      \
        OK(brama_settings(m, "db", NULL, &found));                                    \
        CHECK(found.field == OTHER_##kind);                                           \
        options.field = BACK_##kind;                                                  \
        with_what_it_needs(&options, #name, BRAMA_INHERIT_U64);                       \
        OK(brama_configure_connection(m, "db", NULL, &options));                      \
        OK(brama_settings(m, "db", NULL, &found));                                    \
        CHECK(memcmp(&found, &defaults, sizeof found) == 0);                          \
        brama_config_t config = BRAMA_CONFIG_INIT;                                    \
        config.field = OTHER_##kind;                                                  \
        OK(brama_configure(m, &config));                                              \
        OK(brama_settings(m, "db", NULL, &found));                                    \
        CHECK(found.field == OTHER_##kind);                                           \
        config.field = BACK_##kind;                                                   \
        OK(brama_configure(m, &config));                                              \
        OK(brama_settings(m, "db", NULL, &found));                                    \
        CHECK(memcmp(&found, &defaults, sizeof found) == 0);                          \
    }
#include "settings_table.h"
    free_world(world);
}

/* A compiler cuts a constant of 64 bits to the field's width, and extends a signed one. */
static void a_constant_means_the_same_at_every_width(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.max_attempts = 3;
    options.expiry_ms = 5;
    options.expiry_strategy = BRAMA_EXPIRY_PROGRESSIVE;
    OK(brama_register(m, "db", NULL, &options, NULL));
    brama_settings_t before = BRAMA_SETTINGS_INIT, after = BRAMA_SETTINGS_INIT;
    OK(brama_settings(m, "db", NULL, &before));
    options.max_attempts = (uint32_t)BRAMA_NOT_GIVEN_U64;
    options.expiry_strategy = (int32_t)BRAMA_NOT_GIVEN_U64;
    options.expiry_ms = (uint64_t)BRAMA_NOT_GIVEN_I32;
    options.half_open_max_calls = (uint32_t)BRAMA_NOT_GIVEN_I32;
    OK(brama_configure_connection(m, "db", NULL, &options));
    OK(brama_settings(m, "db", NULL, &after));
    CHECK(memcmp(&before, &after, sizeof before) == 0);
    options.max_attempts = (uint32_t)BRAMA_INHERIT_U64;
    options.expiry_strategy = (int32_t)BRAMA_INHERIT_U64;
    options.expiry_ms = (uint64_t)BRAMA_INHERIT_I32;
    OK(brama_configure_connection(m, "db", NULL, &options));
    OK(brama_settings(m, "db", NULL, &after));
    CHECK(after.max_attempts == 5 && after.expiry_ms == 60000);
    CHECK(after.expiry_strategy == BRAMA_EXPIRY_FIXED);
    options.max_attempts = (uint32_t)BRAMA_NEVER;
    OK(brama_configure_connection(m, "db", NULL, &options));
    OK(brama_settings(m, "db", NULL, &after));
    CHECK(after.max_attempts == BRAMA_UNLIMITED);
    free_world(world);
}

static void the_settings_of_rates_beside_each_other(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_config_t config = BRAMA_CONFIG_INIT;
    config.failure_rate = 0.5;
    config.rate_calls = 10;
    OK(brama_configure(m, &config));
    brama_connection_t *db;
    OK(brama_register(m, "db", NULL, NULL, &db));
    brama_settings_t before = *status_of(db).settings;
    CHECK(before.failure_rate == 0.5 && before.rate_calls == 10 && before.minimum_calls == 10);
    CHECK(before.max_attempts == BRAMA_UNLIMITED && before.slow_call_rate == BRAMA_NONE_F64);

    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.rate_window_ms = 2000;
    options.rate_calls = 100;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(db, &options));
    CHECK(strcmp(brama_last_error_message(), "invalid setting `rate_calls` = 100: "
                 "cannot be given together with `rate_window_ms`") == 0);
    brama_options_init(&options);
    options.rate_calls = 30;
    options.minimum_calls = 31;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(db, &options));
    CHECK(strcmp(brama_last_error_message(), "invalid setting `minimum_calls` = 31: "
                 "must be at most `rate_calls` (30)") == 0);
    brama_options_init(&options);
    options.slow_call_rate = 0.5;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(db, &options));
    CHECK(strcmp(brama_last_error_message(), "invalid setting `slow_call_rate` = 0.5: "
                 "needs a `slow_call_duration_ms` in effect") == 0);
    CHECK(memcmp(&before, status_of(db).settings, sizeof before) == 0);

    /* BRAMA_NONE and BRAMA_NONE_F64 overrule the manager. */
    brama_options_init(&options);
    options.failure_rate = BRAMA_NONE_F64;
    options.rate_calls = BRAMA_NONE;
    OK(brama_connection_configure(db, &options));
    brama_settings_t found = *status_of(db).settings;
    CHECK(found.failure_rate == BRAMA_NONE_F64 && found.rate_calls == BRAMA_NONE);
    CHECK(found.rate_window_ms == 10000 && found.minimum_calls == 20 && found.max_attempts == 5);
    brama_connection_release(db);
    free_world(world);
}

/* half_open_successes and half_open_failure_rate exclude each other. The connection's setting of
 * one of them goes before the manager's setting of the other. */
static void the_settings_of_probes_beside_each_other(void) {
    struct world world = make_world();
    brama_t *m = world.manager;
    brama_config_t config = BRAMA_CONFIG_INIT;
    config.half_open_failure_rate = 0.5;
    OK(brama_configure(m, &config));
    brama_connection_t *db;
    OK(brama_register(m, "db", NULL, NULL, &db));
    brama_settings_t before = *status_of(db).settings;
    CHECK(before.half_open_failure_rate == 0.5 && before.half_open_successes == 1);
    brama_options_t options = BRAMA_OPTIONS_INIT;
    options.half_open_failure_rate = 0.25;
    options.half_open_successes = 2;
    options.ramp_ms = 1000;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_connection_configure(db, &options));
    CHECK(strcmp(brama_last_error_message(), "invalid setting `half_open_failure_rate` = 0.25: "
                 "cannot be given together with `half_open_successes`") == 0);
    config.half_open_successes = 2;
    ANSWERS(BRAMA_ERR_INVALID_CONFIG, brama_configure(m, &config));
    CHECK(brama_new(&config) == NULL);
    CHECK(memcmp(&before, status_of(db).settings, sizeof before) == 0);
    options.half_open_failure_rate = BRAMA_NOT_GIVEN_F64;
    OK(brama_connection_configure(db, &options));
    brama_settings_t found = *status_of(db).settings;
    CHECK(found.half_open_failure_rate == BRAMA_NONE_F64 && found.half_open_successes == 2);
    CHECK(found.ramp_ms == 1000 && found.ramp_start == 0.1);
    /* BRAMA_NONE_F64 overrules the manager, and may be given together with successes. */
    options.half_open_failure_rate = BRAMA_NONE_F64;
    options.half_open_successes = 3;
    options.ramp_ms = BRAMA_NONE;
    OK(brama_connection_configure(db, &options));
    found = *status_of(db).settings;
    CHECK(found.half_open_failure_rate == BRAMA_NONE_F64 && found.half_open_successes == 3);
    CHECK(found.ramp_ms == BRAMA_NONE);
    brama_connection_release(db);
    free_world(world);
}

int main(void) {
    settings_on_both_levels();
    every_setting_is_given_shown_and_taken_back();
    a_constant_means_the_same_at_every_width();
    a_setting_can_be_taken_back();
    the_settings_of_rates_beside_each_other();
    the_settings_of_probes_beside_each_other();
    return 0;
}
