/*
 * A dependency fails, its circuit opens and rejects calls, and a probe finds that the dependency
 * has recovered.
 *
 * After `make -C bindings/c install PREFIX=$HOME/.local`:
 *
 *     export PKG_CONFIG_PATH=$HOME/.local/lib/pkgconfig
 *     cc bindings/c/example.c $(pkg-config --cflags --libs brama) -Wl,-rpath,$HOME/.local/lib -o example
 */
#include <brama.h>
#include <stdio.h>

static brama_clock_t *clock_of_the_test;

/* The dependency: down for the first ten seconds. */
static int charge(void) {
    return brama_clock_unix_ms(clock_of_the_test) >= 10000;
}

static void on_event(const brama_event_t *event, void *user_data) {
    (void)user_data;
    printf("        %s is %s%s%s\n", event->connection, brama_state_name(event->new_state),
           event->reason ? ": " : "", event->reason ? event->reason : "");
}

int main(void) {
    /* A clock that the program advances, so that it need not wait for an expiry. */
    clock_of_the_test = brama_clock_new(0);

    brama_config_t config = BRAMA_CONFIG_INIT;
    config.clock = clock_of_the_test;
    config.background = 0;
    config.max_attempts = 3;
    config.expiry_ms = 5000;
    brama_t *manager = brama_new(&config);

    brama_connection_t *payments = NULL;
    if (manager == NULL || brama_register(manager, "payment_api", NULL, NULL, &payments) != BRAMA_OK) {
        fprintf(stderr, "%s\n", brama_last_error_message());
        return 1;
    }
    brama_filter_t changes = BRAMA_FILTER_INIT;
    changes.event_types = BRAMA_EVENT_BIT(BRAMA_EVENT_STATE_CHANGE);
    brama_subscribe(manager, &changes, on_event, NULL, NULL, NULL);

    for (int second = 0; second < 16; second++) {
        brama_permit_t permit;
        uint64_t retry_after_ms;
        const brama_result_t result = brama_connection_acquire(payments, &permit, &retry_after_ms);
        if (result != BRAMA_OK) {
            if (result != BRAMA_ERR_REJECTED)
                printf("%3d s   not tried, %s\n", second, brama_last_error_message());
            else if (retry_after_ms == BRAMA_NEVER)
                printf("%3d s   not tried, held open until it is closed by hand\n", second);
            else
                printf("%3d s   not tried, again in %d ms\n", second, (int)retry_after_ms);
        } else if (charge()) {
            printf("%3d s   paid\n", second);
            brama_permit_success(permit);
        } else {
            printf("%3d s   failed\n", second);
            brama_permit_failure(permit, "HTTP 503");
        }
        brama_poll(manager);
        brama_clock_advance(clock_of_the_test, 1000);
    }

    brama_connection_release(payments);
    brama_free(manager);
    brama_clock_free(clock_of_the_test);
    return 0;
}
