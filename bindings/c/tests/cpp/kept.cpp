// brama.hpp: a Result keeps its message, a queue keeps events for which there is no memory, and a
// status from an older library is read no further than its size.
#include "check.hpp"

#include <cstddef>
#include <new>

namespace {

/// The size of the largest allocation that succeeds.
std::size_t largest = static_cast<std::size_t>(-1);

}  // namespace

// Not inlined: if gcc inlines only one of the two, it warns that new and free do not match.
[[gnu::noinline]] void* operator new(std::size_t size) {
    void* memory = size > largest ? nullptr : std::malloc(size);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

/// Fails once more, with another message.
void fail_otherwise(const brama::Brama& gate) {
    CHECK(gate.try_connection("nobody").code() == brama::Code::not_found);
    CHECK(gate.try_register(std::string("a\0b", 3)).code() == brama::Code::invalid_argument);
}

void a_result_keeps_its_message() {
    World world;
    auto& gate = world.gate;
    const auto missing = gate.try_success("somebody");
    const std::string said = missing.message();
    CHECK(said.find("\"somebody\"") != std::string::npos);
    const auto refused = gate.try_register(std::string("a\0b", 3));
    const auto negative = gate.try_open_circuit("x", {}, Milliseconds(-5));
    fail_otherwise(gate);
    CHECK(missing.message() == said);
    CHECK(refused.message().find("`identifier` = a string with a NUL") != std::string::npos);
    CHECK(negative.message().find("`expiry` = -5 ms") != std::string::npos);
    THROWS(NotFound, "somebody", missing.value());
    THROWS(InvalidArgument, "-5 ms", negative.value());
    const brama::Result<void> copied = missing;
    CHECK(copied.message() == said);
    CHECK(gate.try_register("db").message().empty());
}

void a_rejection_keeps_its_message() {
    World world;
    auto& gate = world.gate;
    const auto db = gate.register_connection("db", fragile());
    const char* const waits[] = {"60s", "1.5s", "60.005s", "250ms"};
    const int lengths[] = {60000, 1500, 60005, 250};
    for (int i = 0; i < 4; ++i) {
        db.open_circuit({}, Milliseconds(lengths[i]));
        const auto rejected = db.try_acquire();
        const auto named = gate.try_call("db", [] { return 1; });
        db.open_circuit({}, Milliseconds(1));
        CHECK(!db.available());
        fail_otherwise(gate);
        const std::string ending = std::string("retry after ") + waits[i];
        for (const std::string& said : {rejected.message(), named.message()})
            CHECK(said.size() > ending.size() && said.substr(said.size() - ending.size()) == ending);
        CHECK(rejected.retry_after() == Milliseconds(lengths[i]));
        THROWS(Rejected, waits[i], rejected.value());
    }
    db.open_circuit({}, brama::never);
    const auto held = db.try_acquire();
    fail_otherwise(gate);
    CHECK(held.message() == "rejected: the circuit is held open until it is closed by hand");
    // An exception that is thrown at once names the connection and says why the circuit opened.
    db.open_circuit({}, Milliseconds(1000));
    THROWS(Rejected, "the circuit of \"db\" is open (manual), retry after 1s", db.call([] {}));
    THROWS(Rejected, "the circuit of \"db\" is open (manual), retry after 1s", gate.acquire("db"));
    db.open_circuit("migration", Milliseconds(1000));
    try {
        (void)db.acquire();
        CHECK(false);
    } catch (const brama::Rejected& rejected) {
        CHECK(rejected.cause() == brama::Cause::manual);
        CHECK(std::string(rejected.reason()) == "migration");
    }
    CHECK(db.status().reason == "migration" && !db.status().last_failure_reason);
    db.half_open_circuit();
    const auto probe = db.acquire();
    THROWS(Rejected, "all probes of \"db\" are out", db.acquire());
    THROWS(Rejected, "all probes of \"db\" are out", gate.call("db", [] {}));
}

void an_empty_permit_says_what_it_is() {
    World world;
    const auto db = world.gate.register_connection("db", fragile());
    auto permit = db.acquire();
    permit.success();
    const std::string said = "`permit` = an empty Permit: already reported, released or moved";
    const brama::Result<void> answers[] = {
        permit.try_success(),        permit.try_success({{"a", "b"}}),
        permit.try_failure(),        permit.try_failure("x", {{"a", "b"}}),
        permit.try_ignore(),         permit.try_cancelled(),
        permit.try_failure_for("x", Milliseconds(1)), permit.try_success_in(Milliseconds(1)),
        permit.try_failure_in(Milliseconds(1))};
    for (const auto& answer : answers) {
        CHECK(answer.code() == brama::Code::invalid_argument);
        CHECK(answer.message().find(said) != std::string::npos);
    }
}

void a_failure_by_a_result_has_its_reason() {
    World world;
    const auto db = world.gate.register_connection("db", fragile());
    auto queue = world.gate.subscribe_queue({brama::EventType::failure}, 8);
    db.try_call([&] {
        const auto answer = world.gate.try_success("dependency");
        fail_otherwise(world.gate);
        return answer;
    });
    CHECK(queue.pop()->reason->find("dependency") != std::string::npos);
}

void a_queue_keeps_what_its_vector_has_no_memory_for() {
    World world;
    brama::Options options;
    options.max_attempts = brama::unlimited;
    const auto db = world.gate.register_connection("db", options);
    auto queue = world.gate.subscribe_queue({brama::EventType::failure}, 200);
    for (int i = 0; i < 150; ++i) db.failure(std::to_string(i));
    std::vector<brama::Event> events;
    // Memory for no event, for a few, and for most of them.
    constexpr std::size_t rooms[] = {0, 10, 100};
    for (const std::size_t most : rooms) {
        largest = most * sizeof(brama::Event);
        try {
            queue.drain(events);
            CHECK(false);
        } catch (const std::bad_alloc&) {
        }
        largest = static_cast<std::size_t>(-1);
        CHECK(events.size() <= most);
    }
    CHECK(events.size() >= 50);
    queue.drain(events);
    CHECK(events.size() == 150);
    for (std::size_t i = 0; i < events.size(); ++i) CHECK(events[i].reason == std::to_string(i));
}

void a_status_of_an_older_library_is_read_no_further() {
    World world;
    const auto db = world.gate.register_connection("db", fragile());
    db.failure("down");
    brama_status_t whole = status_of(db.native());
    // Blocks of exactly the older sizes, so that the sanitizer finds a read beyond them.
    const std::size_t known = offsetof(brama_status_t, trips), of_settings = offsetof(brama_settings_t, window_ms);
    auto* settings = static_cast<brama_settings_t*>(std::malloc(of_settings));
    std::memcpy(static_cast<void*>(settings), whole.settings, of_settings);
    settings->size = of_settings;
    whole.size = known;
    whole.settings = settings;
    auto* older = static_cast<brama_status_t*>(std::malloc(known));
    std::memcpy(static_cast<void*>(older), &whole, known);
    const auto status = brama::Status::from(*older);
    CHECK(status.identifier == "db" && status.state == brama::State::open && status.failure_count == 1);
    CHECK(status.trips == 0 && status.total_failures == 0 && !status.success_rate && !status.opened_at);
    CHECK(status.settings.max_attempts == 1 && !status.settings.window && status.settings.half_open_max_calls == 0);
    std::free(older);
    std::free(settings);
}

}  // namespace

int main() {
    a_result_keeps_its_message();
    a_rejection_keeps_its_message();
    an_empty_permit_says_what_it_is();
    a_failure_by_a_result_has_its_reason();
    a_queue_keeps_what_its_vector_has_no_memory_for();
    a_status_of_an_older_library_is_read_no_further();
}
