// brama.hpp: half-open circuits with a rate of failures, ramps, and calls that ride in a ramp.
#include "check.hpp"

#include <cmath>
#include <stdexcept>

namespace {

using brama::Cause;
using brama::Code;
using brama::Outcome;
using brama::State;

int down() { throw std::runtime_error("down"); }

/// Checks that a call throws the exception of its function.
template <class Call> void fails(Call&& call) {
    bool has_thrown = false;
    try {
        call();
    } catch (const std::runtime_error&) {
        has_thrown = true;
    }
    CHECK(has_thrown);
}

void a_sample_of_probes_decides_as_soon_as_it_is_certain() {
    World world;
    brama::Options options;
    options.half_open_max_calls = 4;
    options.half_open_failure_rate = 0.5;
    const auto db = world.gate.register_connection("db", options);
    db.half_open_circuit();
    CHECK(db.call([] { return 1; }) == 1);
    fails([&] { db.call(down); });
    CHECK(db.state() == State::half_open);
    {
        auto third = db.acquire();
        auto fourth = db.acquire();
        THROWS(Rejected, "all probes of \"db\" are out", db.acquire());
        fourth.ignore();  // gives its place back
        fourth = db.acquire();
        CHECK(!db.try_acquire());
        third.failure("HTTP 503");
        CHECK(db.state() == State::open && db.status().cause == Cause::probe && db.status().trips == 1);
        CHECK(fourth.try_success().code() == Code::stale);
    }
    db.half_open_circuit();
    fails([&] { db.call(down); });
    for (int call = 0; call < 3; call++) {
        CHECK(db.state() == State::half_open);
        db.call([] {});
    }
    CHECK(db.state() == State::closed);

    // A slow success is a failure if there is a rate of slow calls.
    options.slow_call_duration = Milliseconds(100);
    options.slow_call_rate = 0.9;
    db.configure(options);
    db.half_open_circuit();
    for (int call = 0; call < 2; call++) {
        CHECK(db.state() == State::half_open);
        db.call([&] { world.clock.advance(Milliseconds(100)); });
    }
    CHECK(db.state() == State::open && db.status().cause == Cause::probe);
}

/// Makes a circuit at the beginning of a ramp of 10 s.
brama::Connection ramping(const World& world, double start) {
    brama::Options options;
    options.max_attempts = brama::unlimited;
    options.expiry = Milliseconds(1000);
    options.ramp = std::chrono::seconds(10);
    options.ramp_start = start;
    auto db = world.gate.register_connection("db", options);
    db.half_open_circuit();
    CHECK(!db.status().ramp_share);
    db.call([] {});
    CHECK(db.state() == State::half_open && db.status().ramp_share == start);
    return db;
}

void a_ramp_admits_a_growing_share_and_closes_by_time() {
    World world;
    const auto db = ramping(world, 0.25);
    auto queue = world.gate.subscribe_queue({{brama::EventType::state_change, brama::EventType::circuit_closed}}, 8);
    for (int second = 0; second < 10; second++) {
        CHECK(std::abs(*db.status().ramp_share - std::max(0.25, second / 10.0)) < 1e-9);
        world.clock.advance(std::chrono::seconds(1));
    }
    const auto status = db.status();
    CHECK(status.state == State::closed && !status.ramp_share && status.trips == 0);
    int events = 0;
    while (const auto event = queue.pop()) {
        CHECK(event->previous_state == State::half_open && event->new_state == State::closed);
        events++;
    }
    CHECK(events == 2);
}

void a_rejection_of_a_ramp_says_that_the_circuit_is_recovering() {
    World world;
    const auto db = ramping(world, 1e-12);
    THROWS(Rejected, "the circuit of \"db\" is recovering, retry after 1s", db.acquire());
    const auto refused = db.try_call([] { return 1; });
    CHECK(refused.code() == Code::rejected && refused.retry_after() == Milliseconds(1000));
    CHECK(refused.message() == "rejected: the circuit is open or recovering, or all probes are out, retry after 1s");
    world.clock.advance(Milliseconds(9999));
    CHECK(db.status().ramp_share == 0.9999);
    brama::Options options;
    options.ramp = Milliseconds(1);  // The end of the ramp stays, so the share is now small.
    options.ramp_start = 1e-12;
    db.configure(options);
    THROWS(Rejected, "is recovering, retry after 1ms", db.acquire());
}

void two_failures_in_a_row_end_a_ramp() {
    World world;
    const auto db = ramping(world, 1.0);
    for (int call = 0; call < 3; call++) {
        fails([&] { db.call(down); });
        db.call([] {});
    }
    CHECK(db.state() == State::half_open);
    fails([&] { db.call(down); });
    fails([&] { db.call(down); });
    const auto status = db.status();
    CHECK(status.state == State::open && status.cause == Cause::consecutive && !status.ramp_share);
    CHECK(status.trips == 1 && status.reason == "down");
}

void permits_of_a_ramp_count_in_the_closed_circuit_after_it() {
    World world;
    const auto db = ramping(world, 1.0);
    auto permit = db.acquire();
    world.clock.advance(std::chrono::seconds(10));
    CHECK(db.state() == State::closed);
    permit.failure("late");
    CHECK(db.status().failure_count == 1);
}

/// Makes the share of the ramp so small that no call is admitted, except one that rides.
void narrow(const brama::Connection& db) {
    brama::Options options;
    options.ramp_start = 1e-12;
    db.configure(options);
}

void a_call_in_a_ramp_is_ridden_on_and_is_no_probe() {
    World world;
    const auto& gate = world.gate;
    const auto db = ramping(world, 1.0);
    {
        auto permit = db.acquire();
        CHECK(!permit.is_probe() && permit.is_half_open());
        permit.ignore();
        CHECK(!permit.is_half_open());
    }
    const auto before = db.status();
    CHECK(db.call([&] {
        narrow(db);
        CHECK(!db.try_acquire());  // A permit does not ride.
        return *gate.try_call("db", [&] { return db.call([] { return 7; }); });
    }) == 7);
    auto after = db.status();
    CHECK(after.total_successes == before.total_successes + 1);
    CHECK(after.total_rejections == before.total_rejections + 1);
    // By name, too. The outer call is ignored, so it reports the failure of the inner call.
    brama::Options wide;
    wide.ramp_start = 1.0;
    db.configure(wide);
    const auto ignored = [](int) { return Outcome::ignored; };
    gate.call_with("db", ignored, [&] {
        narrow(db);
        fails([&] { db.call(down); });
        return 1;
    });
    CHECK(db.status().total_failures == 1 && db.state() == State::half_open);
    // A call does not ride when the ramp is over: each of the two reports.
    db.configure(wide);
    db.call([&] {
        world.clock.advance(std::chrono::seconds(10));
        CHECK(db.state() == State::closed);
        db.call([] {});
    });
    after = db.status();
    CHECK(after.total_successes == before.total_successes + 3);
    db.half_open_circuit();
    const auto probe = db.acquire();
    CHECK(probe.is_probe() && probe.is_half_open());
}

void what_is_refused_changes_nothing() {
    World world;
    const auto db = ramping(world, 0.5);
    const auto refused = [&](const char* text, auto give) {
        brama::Options options;
        options.half_open_successes = 3;
        give(options);
        THROWS(InvalidConfig, text, db.configure(options));
        brama::Config config;
        config.half_open_successes = 3;
        give(config);
        THROWS(InvalidConfig, text, world.gate.configure(config));
    };
    refused("ramp_start` = 0: must be above 0.0 and at most 1.0", [](auto& bad) { bad.ramp_start = 0.0; });
    refused("ramp_start` = 1.5: must be above 0.0", [](auto& bad) { bad.ramp_start = 1.5; });
    refused("ramp_start` = NaN: must be above 0.0", [](auto& bad) { bad.ramp_start = std::nan(""); });
    refused("ramp_start` = BRAMA_NONE_F64: must be above 0.0", [](auto& bad) { bad.ramp_start = brama::no_rate; });
    refused("ramp` = -1 ms: must not be negative", [](auto& bad) { bad.ramp = Milliseconds(-1); });
    refused("ramp_ms` = 0: must be", [](auto& bad) { bad.ramp = Milliseconds(0); });
    refused("half_open_failure_rate` = 1.5: must be above 0.0", [](auto& bad) { bad.half_open_failure_rate = 1.5; });
    refused("half_open_failure_rate` = NaN: must be", [](auto& bad) { bad.half_open_failure_rate = std::nan(""); });
    refused("half_open_failure_rate` = 0.5: cannot be given together with `half_open_successes`",
            [](auto& bad) { bad.half_open_failure_rate = 0.5; });
    const auto settings = db.status().settings;
    CHECK(settings.half_open_successes == 1 && settings.ramp_start == 0.5 && !settings.half_open_failure_rate);
    CHECK(settings.ramp == Milliseconds(10000));
}

}  // namespace

int main() {
    a_sample_of_probes_decides_as_soon_as_it_is_certain();
    a_ramp_admits_a_growing_share_and_closes_by_time();
    a_rejection_of_a_ramp_says_that_the_circuit_is_recovering();
    two_failures_in_a_row_end_a_ramp();
    permits_of_a_ramp_count_in_the_closed_circuit_after_it();
    a_call_in_a_ramp_is_ridden_on_and_is_no_probe();
    what_is_refused_changes_nothing();
}
