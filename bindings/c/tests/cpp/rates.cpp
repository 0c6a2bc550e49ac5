// brama.hpp: the rules by which a circuit opens, and what status and events say of it.
#include "check.hpp"

#include <cmath>
#include <stdexcept>

namespace {

using brama::Cause;
using brama::State;
using Calls = std::optional<std::uint64_t>;

void succeed(const brama::Connection& db, int times) {
    while (times-- > 0) db.success();
}

void fail(const brama::Connection& db, int times) {
    while (times-- > 0) db.failure("HTTP 503");
}

/// Whether a status or an event has these numbers for the rates.
template <class Told> bool counts(const Told& told, Calls calls, Calls failures, Calls slow) {
    return told.window_calls == calls && told.window_failures == failures && told.window_slow == slow;
}

bool is_closed(const brama::Connection& db) { return db.state() == State::closed; }

bool is_open_by(const brama::Connection& db, Cause cause) {
    const auto status = db.status();
    return status.state == State::open && status.cause == cause;
}

void counts_of_failures() {
    World world;
    brama::Options options;
    options.max_attempts = 2;
    const auto db = world.gate.register_connection("db", options);
    fail(db, 1);
    succeed(db, 1);
    fail(db, 1);
    CHECK(is_closed(db));
    fail(db, 1);
    CHECK(is_open_by(db, Cause::consecutive));
    CHECK(counts(db.status(), {}, {}, {}));  // without a rate

    db.reset_circuit();
    options.window = Milliseconds(1000);
    db.configure(options);
    fail(db, 1);
    world.clock.advance(Milliseconds(1000));
    fail(db, 1);
    succeed(db, 1);
    fail(db, 1);
    CHECK(is_closed(db));
    fail(db, 1);
    CHECK(is_open_by(db, Cause::window));

    db.reset_circuit();
    options.success_clears_window = false;
    db.configure(options);
    fail(db, 1);
    succeed(db, 9);
    CHECK(is_closed(db));
    fail(db, 1);
    CHECK(is_open_by(db, Cause::window));
}

void a_share_of_failures() {
    World world;
    brama::Options options;
    options.failure_rate = 0.5;
    options.minimum_calls = 10;
    const auto db = world.gate.register_connection("db", options);
    CHECK(counts(db.status(), 0, 0, 0));
    fail(db, 9);
    succeed(db, 10);
    CHECK(is_closed(db) && counts(db.status(), 19, 9, 0));  // a success opens nothing
    CHECK(db.call([] { return 1; }) == 1);
    try {
        db.call([] { throw std::runtime_error("HTTP 503"); });
    } catch (const std::runtime_error&) {
    }
    CHECK(is_closed(db) && counts(db.status(), 21, 10, 0));
    fail(db, 1);
    CHECK(is_open_by(db, Cause::failure_rate) && counts(db.status(), 22, 11, 0));

    // Reports from before the circuit closed do not count, nor do reports older than the window.
    world.clock.advance(std::chrono::minutes(1));
    db.acquire().failure("HTTP 503");
    CHECK(is_open_by(db, Cause::probe) && counts(db.status(), {}, {}, {}));  // no rate opened it again
    world.clock.advance(std::chrono::minutes(1));
    db.acquire().success();
    CHECK(is_closed(db) && counts(db.status(), 0, 0, 0));
    fail(db, 9);
    world.clock.advance(std::chrono::seconds(10));
    fail(db, 9);
    CHECK(is_closed(db) && counts(db.status(), 9, 9, 0));
}

void a_share_of_slow_calls() {
    World world;
    brama::Options options;
    options.slow_call_duration = Milliseconds(100);
    options.slow_call_rate = 0.5;
    options.minimum_calls = 4;
    const auto db = world.gate.register_connection("db", options);
    db.success_in(Milliseconds(99));
    db.success();
    db.failure_in(Milliseconds(100), "timeout");
    CHECK(is_closed(db) && counts(db.status(), 3, 1, 1));
    db.success_in(Milliseconds(100));
    CHECK(is_open_by(db, Cause::slow_call_rate) && counts(db.status(), 4, 1, 2));

    // A guarded call is measured. The call that opens the circuit has succeeded.
    db.reset_circuit();
    const auto lasting = [&](int length) {
        return db.call([&] {
            world.clock.advance(Milliseconds(length));
            return length;
        });
    };
    CHECK(lasting(99) == 99 && lasting(100) == 100 && lasting(0) == 0 && is_closed(db));
    CHECK(lasting(300) == 300);
    CHECK(is_open_by(db, Cause::slow_call_rate) && counts(db.status(), 4, 0, 2));
}

void a_share_of_the_last_calls() {
    World world;
    brama::Options options;
    options.failure_rate = 0.5;
    options.rate_calls = 10;
    const auto db = world.gate.register_connection("db", options);
    fail(db, 4);
    succeed(db, 6);
    world.clock.advance(std::chrono::hours(24));  // however old they are
    CHECK(counts(db.status(), 10, 4, 0));
    succeed(db, 1);
    CHECK(counts(db.status(), 10, 3, 0));
    fail(db, 4);
    CHECK(is_closed(db) && counts(db.status(), 10, 4, 0));
    fail(db, 1);
    CHECK(is_open_by(db, Cause::failure_rate) && counts(db.status(), 10, 5, 0));
}

void a_rejection_says_what_the_rule_had_counted_and_the_status_keeps_it() {
    World world;
    brama::Options options;
    options.max_attempts = 3;
    options.failure_rate = 0.5;
    options.minimum_calls = 4;
    const auto db = world.gate.register_connection("db", options);
    const auto has_opened = [&](Calls calls, Calls failures, Calls slow) {
        const auto told = db.status();
        return told.opened_calls == calls && told.opened_failures == failures && told.opened_slow == slow;
    };
    const auto says = [&](const char* words) {
        try {
            db.call([] {});
        } catch (const brama::Rejected& rejected) {
            return std::string(rejected.what()).find(words) != std::string::npos;
        }
        return false;
    };
    CHECK(has_opened({}, {}, {}));
    fail(db, 3);
    CHECK(says("(consecutive, 3 failures in a row: HTTP 503), retry after 60s"));
    db.reset_circuit();
    CHECK(has_opened({}, 3, {}));
    succeed(db, 2);
    fail(db, 2);
    CHECK(says("(failure_rate, 2 of 4 calls failed: HTTP 503), retry after 60s"));
    db.close_circuit();
    succeed(db, 9);
    CHECK(has_opened(4, 2, 0));
    db.open_circuit();
    CHECK(has_opened({}, {}, {}));
}

void an_event_of_an_opening_tells_what_counted() {
    World world;
    brama::Options options;
    options.failure_rate = 0.25;
    options.minimum_calls = 8;
    options.slow_call_duration = Milliseconds(100);
    const auto db = world.gate.register_connection("db", options);
    int openings = 0;
    const auto heard = world.gate.subscribe({}, [&](const brama::EventView& event) {
        const bool is_open = event.new_state() == State::open;
        CHECK(event.window_calls() == (is_open ? Calls(8) : Calls()));
        CHECK(event.window_failures() == (is_open ? Calls(2) : Calls()));
        CHECK(event.window_slow() == (is_open ? Calls(1) : Calls()));
        if (event.type() != brama::EventType::circuit_opened) return;
        CHECK(event.cause() == Cause::failure_rate);
        CHECK(counts(event.copy(), 8, 2, 1));
        ++openings;
    });
    succeed(db, 5);
    db.success_in(Milliseconds(250));
    fail(db, 2);
    db.reset_circuit();
    world.gate.poll();
    CHECK(openings == 1);
}

void the_next_call_follows_a_rule_that_is_new() {
    World world;
    const auto db = world.gate.register_connection("db");
    const auto lasting = [&](int length) {
        db.call([&] { world.clock.advance(Milliseconds(length)); });
    };
    lasting(500);
    brama::Options options;
    options.slow_call_duration = Milliseconds(100);
    options.slow_call_rate = 1.0;
    options.minimum_calls = 2;
    db.configure(options);
    lasting(500);
    CHECK(is_closed(db) && counts(db.status(), 1, 0, 1));
    lasting(500);
    CHECK(is_open_by(db, Cause::slow_call_rate));

    db.reset_circuit();
    brama::Config config;
    config.failure_rate = 0.5;
    config.rate_calls = 10;
    world.gate.configure(config);
    succeed(db, 1);
    fail(db, 1);
    CHECK(is_open_by(db, Cause::failure_rate) && counts(db.status(), 2, 1, 0));
}

void a_call_that_is_refused_leaves_what_counts() {
    World world;
    brama::Options options;
    options.failure_rate = 0.5;
    options.minimum_calls = 10;
    const auto db = world.gate.register_connection("db", options);
    fail(db, 9);
    const auto refused = [&](const char* text, auto set) {
        brama::Options bad;
        bad.rate_window = Milliseconds(2000);
        bad.jitter = 0.5;
        set(bad);
        THROWS(InvalidConfig, text, db.configure(bad));
    };
    refused("failure_rate` = 0: must be above 0.0", [](auto& bad) { bad.failure_rate = 0.0; });
    refused("failure_rate` = NaN: must be above 0.0", [](auto& bad) { bad.failure_rate = std::nan(""); });
    refused("slow_call_rate` = 1.5: must be above 0.0", [](auto& bad) { bad.slow_call_rate = 1.5; });
    refused("rate_window_ms` = 999: must be 1000 to 3600000 ms", [](auto& bad) { bad.rate_window = Milliseconds(999); });
    refused("rate_calls` = 50: cannot be given together", [](auto& bad) { bad.rate_calls = 50; });
    refused("minimum_calls` = 0: must be at least 1", [](auto& bad) { bad.minimum_calls = 0; });
    refused("slow_call_duration` = -1 ms", [](auto& bad) { bad.slow_call_duration = Milliseconds(-1); });
    brama::Options above;
    above.rate_calls = 50;
    above.minimum_calls = 51;
    THROWS(InvalidConfig, "minimum_calls` = 51: must be at most `rate_calls` (50)", db.configure(above));
    THROWS(InvalidArgument, "duration", db.success_in(Milliseconds(-1)));
    CHECK(db.status().settings.rate_window == Milliseconds(10000) && db.status().settings.jitter == 0);
    CHECK(is_closed(db) && counts(db.status(), 9, 9, 0));
    fail(db, 1);
    CHECK(is_open_by(db, Cause::failure_rate) && counts(db.status(), 10, 10, 0));
}

} // namespace

int main() {
    counts_of_failures();
    a_share_of_failures();
    a_share_of_slow_calls();
    a_share_of_the_last_calls();
    a_rejection_says_what_the_rule_had_counted_and_the_status_keeps_it();
    an_event_of_an_opening_tells_what_counted();
    the_next_call_follows_a_rule_that_is_new();
    a_call_that_is_refused_leaves_what_counts();
}
