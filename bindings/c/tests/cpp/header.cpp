// brama.h from C++: lambdas as callbacks, a permit as a value, no warnings.
#include "../c/check.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Release {
    void operator()(brama_connection_t *connection) const { brama_connection_release(connection); }
    void operator()(brama_t *manager) const { brama_free(manager); }
    void operator()(brama_clock_t *clock) const { brama_clock_free(clock); }
};

template <typename T> using Owned = std::unique_ptr<T, Release>;

void a_circuit() {
    Owned<brama_clock_t> clock(brama_clock_new(0));
    brama_config_t config;
    brama_config_init(&config);
    config.clock = clock.get();
    config.background = 0;
    config.max_attempts = 1;
    Owned<brama_t> manager(brama_new(&config));
    CHECK(manager != nullptr);

    std::vector<std::string> seen;
    brama_filter_t filter;
    brama_filter_init(&filter);
    filter.event_types =
        BRAMA_EVENT_BIT(BRAMA_EVENT_CIRCUIT_OPENED) | BRAMA_EVENT_BIT(BRAMA_EVENT_CIRCUIT_CLOSED);
    OK(brama_subscribe(
        manager.get(), &filter,
        [](const brama_event_t *event, void *data) {
            static_cast<std::vector<std::string> *>(data)->emplace_back(
                brama_event_type_name(event->event_type));
        },
        &seen, nullptr, nullptr));

    brama_connection_t *raw = nullptr;
    OK(brama_register(manager.get(), "db", nullptr, nullptr, &raw));
    Owned<brama_connection_t> db(raw);
    brama_permit_t permit = {};
    ANSWERS(BRAMA_ERR_INVALID_ARGUMENT, brama_permit_success(permit));
    OK(brama_connection_acquire(db.get(), &permit, nullptr));
    OK(brama_permit_failure(permit, "timeout"));
    std::uint64_t wait = 0;
    ANSWERS(BRAMA_ERR_REJECTED, brama_connection_acquire(db.get(), &permit, &wait));
    CHECK(wait == 60000);
    OK(brama_clock_advance(clock.get(), wait));
    OK(brama_connection_acquire(db.get(), &permit, nullptr));
    std::thread([permit] { OK(brama_permit_success(permit)); }).join();
    OK(brama_poll(manager.get()));
    CHECK((seen == std::vector<std::string>{"circuit_opened", "circuit_closed"}));
}

void the_pass_word_is_an_atomic() {
    Owned<brama_t> manager(brama_new(nullptr));
    brama_connection_t *raw = nullptr;
    OK(brama_register(manager.get(), "db", "scope", nullptr, &raw));
    Owned<brama_connection_t> db(raw);
    static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t), "");
    auto *word = reinterpret_cast<const std::atomic<std::uint32_t> *>(
        brama_connection_pass_word(db.get()));
    CHECK(word->load(std::memory_order_acquire) < BRAMA_PASS_LIMIT);
    OK(brama_connection_open_circuit(db.get(), nullptr, BRAMA_NEVER));
    CHECK(word->load(std::memory_order_acquire) >= BRAMA_PASS_LIMIT);
}

void structs_are_initialised_where_they_are_declared() {
    constexpr brama_options_t options = BRAMA_OPTIONS_INIT;
    static_assert(options.size == sizeof options && options.max_attempts == BRAMA_NOT_GIVEN_U32, "");
    const brama_config_t config = BRAMA_CONFIG_INIT;
    const brama_status_t status = BRAMA_STATUS_INIT;
    const brama_filter_t filter = BRAMA_FILTER_INIT;
    const brama_report_t report = BRAMA_REPORT_INIT;
    const brama_permit_t permit = BRAMA_PERMIT_INIT;
    CHECK(config.clock == nullptr && status.scope == nullptr && filter.predicate == nullptr);
    CHECK(report.reason_length == BRAMA_TERMINATED && permit.opaque[5] == 0);
}

} // namespace

int main() {
    a_circuit();
    the_pass_word_is_an_atomic();
    structs_are_initialised_where_they_are_declared();
}
