// brama.hpp: circuits that are disabled or only a shadow, and the state in which a circuit begins.
#include "check.hpp"

#include <stdexcept>
#include <vector>

namespace {

using brama::Mode;
using brama::State;

void turn(const brama::Connection& db, Mode mode) {
    brama::Options options;
    options.mode = mode;
    db.configure(options);
}

void fail(const brama::Connection& db, int times) {
    while (times-- > 0) db.failure("down");
}

void a_disabled_circuit_does_nothing() {
    World world;
    const auto db = world.gate.register_connection("db");
    fail(db, 5);
    turn(db, Mode::disabled);
    CHECK(db.state() == State::closed && db.available());
    CHECK(db.status().mode == Mode::disabled && db.status().settings.mode == Mode::disabled);
    db.acquire().failure("late");
    {
        const auto dropped = db.acquire();
        CHECK(!dropped.is_probe());
    }
    CHECK(db.call([] { return 7; }) == 7);
    const auto status = db.status();
    CHECK(status.total_failures == 6 && status.total_ignored == 1 && status.total_successes == 1);
    CHECK(status.failure_count == 5 && status.total_rejections == 0 && !status.retry_after);
    turn(db, Mode::normal);
    CHECK(db.status().failure_count == 0 && db.status().trips == 0);
}

void a_shadow_rejects_nothing() {
    World world;
    brama::Config config;
    config.mode = Mode::shadow;
    world.gate.configure(config);
    const auto db = world.gate.register_connection("db");
    fail(db, 5);
    CHECK(db.state() == State::open && db.available());
    db.acquire().success();
    bool has_thrown = false;
    try {
        db.call([]() -> int { throw std::runtime_error("down"); });
    } catch (const std::runtime_error&) {
        has_thrown = true;
    }
    CHECK(has_thrown);
    auto status = db.status();
    CHECK(status.would_reject == 2 && status.total_rejections == 0 && status.probes_out == 0);
    CHECK(status.total_failures == 6 && status.failure_count == 5);
    world.clock.advance(Milliseconds(60000));
    const auto probe = db.acquire();
    CHECK(probe.is_probe() && db.status().probes_out == 1);

    brama::Options options;
    options.mode = brama::inherit;
    db.configure(options);
    CHECK(db.status().mode == Mode::shadow);
}

void events_say_the_mode_and_what_is_deferred() {
    World world;
    const auto db = world.gate.register_connection("db");
    auto queue = world.gate.subscribe_queue({}, 64);
    turn(db, Mode::shadow);
    turn(db, Mode::disabled);
    db.open_circuit("maintenance");
    std::vector<brama::Event> events;
    queue.drain_each([&](const brama::EventView& event) {
        CHECK(event.is_shadow() == (event.mode() == Mode::shadow));
        CHECK(event.copy().deferred == event.is_deferred());
        events.push_back(event.copy());
    });
    CHECK(events.size() == 4);
    CHECK(events[0].mode == Mode::shadow && events[1].mode == Mode::disabled);
    CHECK(events[3].deferred && !events[1].deferred);
    CHECK(events[3].reason == "maintenance; takes effect when the circuit is enabled again");
    turn(db, Mode::normal);
    CHECK(db.state() == State::open);
}

void a_circuit_may_begin_open() {
    World world;
    brama::Options options;
    options.initial_state = brama::never;
    const auto held = world.gate.register_connection("held", options);
    options.initial_state = Milliseconds(50);
    const auto timed = world.gate.register_connection("timed", options);
    options.initial_state = Milliseconds(0);
    CHECK(world.gate.register_connection("closed", options).state() == State::closed);
    CHECK(held.state() == State::open && held.status().cause == brama::Cause::manual);
    CHECK(timed.status().retry_after == Milliseconds(50) && timed.status().trips == 0);
    world.clock.advance(Milliseconds(50));
    CHECK(timed.state() == State::half_open && held.state() == State::open);
    THROWS(InvalidConfig, "initial_state", timed.configure(options));
    options.initial_state = Milliseconds(-1);
    THROWS(InvalidConfig, "initial_state", world.gate.register_connection("new", options));
    options.initial_state = brama::inherit;
    THROWS(InvalidConfig, "initial_state", world.gate.register_connection("new", options));
}

}  // namespace

int main() {
    a_disabled_circuit_does_nothing();
    a_shadow_rejects_nothing();
    events_say_the_mode_and_what_is_deferred();
    a_circuit_may_begin_open();
    return 0;
}
