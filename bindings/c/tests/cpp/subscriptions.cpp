// brama.hpp: callbacks, batches, queues, filters, and exceptions that leave their functions.
#include "check.hpp"

#include <atomic>
#include <memory>
#include <poll.h>
#include <stdexcept>
#include <thread>

namespace {

using brama::EventType;
using brama::EventView;

void a_lambda_hears_of_everything() {
    World world;
    std::vector<brama::Event> seen;
    auto subscription = world.gate.subscribe({}, [&](const EventView& event) { seen.push_back(event.copy()); });
    CHECK(subscription);
    const auto api = world.gate.register_connection({"api", "billing"}, fragile());
    world.clock.advance(Milliseconds(7));
    api.failure("HTTP 503", {{"attempt", "3"}, {"host", "a"}});
    world.gate.poll();

    CHECK(seen.size() == 5);
    CHECK(seen[0].type == EventType::registration && seen[0].previous_state == brama::State::unknown);
    const auto& failure = seen[2];
    CHECK(failure.type == EventType::failure && failure.connection == "api" && failure.scope == "billing");
    CHECK(failure.reason == "HTTP 503" && failure.failure_count == 1 && !failure.coalesced);
    CHECK(!failure.truncated);
    CHECK(failure.metadata == (brama::Metadata{{"attempt", "3"}, {"host", "a"}}));
    const auto& opened = seen[4];
    CHECK(opened.type == EventType::circuit_opened && opened.new_state == brama::State::open);
    CHECK(opened.expiry == std::chrono::minutes(1) && opened.timestamp == brama::Time(Milliseconds(7)));
    CHECK(opened.sequence >= failure.sequence && opened.registration == failure.registration);
    CHECK(world.gate.event_counts().delivered == 5);

    subscription.unsubscribe();
    CHECK(!subscription);
    api.success();
    world.gate.poll();
    CHECK(seen.size() == 5);
}

void filters_choose() {
    World world;
    int opened = 0, unscoped = 0, bad = 0;
    const auto first = world.gate.subscribe({{EventType::circuit_opened, EventType::circuit_closed}}, [&](const EventView&) { ++opened; });
    brama::Filter plain;
    plain.scope = brama::no_scope;
    plain.types = EventType::circuit_opened;
    const auto second = world.gate.subscribe(plain, [&](const EventView&) { ++unscoped; });
    brama::Filter custom;
    custom.connection = "api";
    custom.predicate = [](const EventView& event) { return event.metadata("why") == "bad" && !event.metadata("none"); };
    const auto third = world.gate.subscribe(custom, [&](const EventView&) { ++bad; });

    const auto scoped = world.gate.register_connection({"api", "billing"}, fragile());
    const auto free = world.gate.register_connection("api", fragile());
    scoped.failure("x", {{"why", "bad"}});
    free.failure("x", {{"why", "good"}});
    free.reset_circuit();
    free.open_circuit("by hand");
    free.close_circuit();
    world.gate.poll();
    CHECK(opened == 4 && unscoped == 2 && bad >= 1);

    brama::Filter wrong;
    wrong.connection = std::string("a\0b", 3);
    THROWS(InvalidArgument, "filter.connection", world.gate.subscribe(wrong, [](const EventView&) {}));
    wrong.connection = "";
    THROWS(InvalidArgument, "filter.connection", world.gate.subscribe_queue(wrong, 1));
    brama::Filter pattern;
    pattern.scope = brama::no_scope;
    world.gate.unsubscribe_matching(pattern);
    world.gate.unsubscribe_matching();
    free.open_circuit();
    world.gate.poll();
    CHECK(opened == 4 && unscoped == 2);
}

void exceptions_stay_inside() {
    World world;
    int calm = 0;
    std::string told;
    const auto silent = world.gate.subscribe({EventType::success}, [](const EventView&) { throw 1; });
    const auto loud = world.gate.subscribe(
        {EventType::success}, [](const EventView&) { throw std::runtime_error("boom"); },
        [&](std::exception_ptr exception) {
            try {
                std::rethrow_exception(exception);
            } catch (const std::runtime_error& error) {
                told = error.what();
            }
            throw 2;
        });
    const auto last = world.gate.subscribe({EventType::success}, [&](const EventView&) { ++calm; });
    brama::Filter picky;
    picky.predicate = [](const EventView&) -> bool { throw 3; };
    const auto nothing = world.gate.subscribe(picky, [](const EventView&) { CHECK(false); });
    const auto db = world.gate.register_connection("db");
    db.success();
    db.success();
    world.gate.poll();
    CHECK(silent.exceptions() == 2 && loud.exceptions() == 2 && last.exceptions() == 0);
    CHECK(nothing.exceptions() == 4);
    CHECK(told == "boom" && calm == 2);
}

void callbacks_are_destroyed_once() {
    auto token = std::make_shared<int>(0);
    World world;
    auto predicate = brama::Filter();
    predicate.predicate = [token](const EventView&) { return true; };
    auto count = [&] { return token.use_count(); };
    const auto before = count();
    {
        auto subscription = world.gate.subscribe(predicate, [token](const EventView&) {});
        CHECK(count() == before + 2);
        auto moved = std::move(subscription);
        CHECK(moved && !subscription);
        brama::Subscription assigned;
        assigned = std::move(moved);
        CHECK(count() == before + 2);
    }
    CHECK(count() == before);
    world.gate.subscribe({}, [token](const EventView&) {}).detach();
    CHECK(count() == before + 1);
    THROWS(InvalidConfig, "0", world.gate.subscribe_batched(predicate, 0, [token](const brama::EventBatch&) {}));
    THROWS(InvalidConfig, "0", world.gate.subscribe_queue(predicate, 0));
    world.gate.shutdown();
    CHECK(count() == before);
    THROWS(ShutDown, "shut down", world.gate.subscribe(predicate, [token](const EventView&) {}));
    CHECK(count() == before);

    // A callback that cannot be copied can be moved in.
    World other;
    const auto owner = other.gate.subscribe({}, [own = std::make_unique<int>(1)](const EventView&) { ++*own; });
    other.gate.register_connection("db");
    other.gate.poll();
    CHECK(owner.exceptions() == 0);
}

void a_callback_may_end_its_own_subscription() {
    World world;
    brama::Subscription self;
    int calls = 0;
    self = world.gate.subscribe({EventType::success}, [&](const EventView& event) {
        ++calls;
        self.unsubscribe();
        CHECK(world.gate.status("db").total_successes == 2 && event.connection() == "db");
    });
    const auto db = world.gate.register_connection("db");
    db.success();
    db.success();
    world.gate.poll();
    CHECK(calls == 1 && !self);
}

void the_destructor_waits_for_the_callback() {
    brama::Brama gate;
    const auto db = gate.register_connection("db");
    std::atomic<bool> entered{false}, leave{false}, left{false};
    auto subscription = std::make_unique<brama::Subscription>(gate.subscribe({EventType::state_change}, [&](const EventView&) {
        entered = true;
        while (!leave) std::this_thread::yield();
        left = true;
    }));
    db.open_circuit();
    while (!entered) std::this_thread::yield();
    std::atomic<bool> ended{false};
    std::thread ender([&] {
        subscription.reset();
        CHECK(left);
        ended = true;
    });
    CHECK(!ended);
    leave = true;
    ender.join();
    CHECK(ended);
}

void batches() {
    World world;
    std::vector<std::size_t> sizes;
    std::string order;
    const auto subscription = world.gate.subscribe_batched({EventType::failure}, 3, [&](const brama::EventBatch& batch) {
        sizes.push_back(batch.size());
        for (const auto event : batch) order += event.reason().value_or("-");
        CHECK(batch[0].type() == EventType::failure);
    });
    const auto db = world.gate.register_connection("db");
    for (const char* reason : {"a", "b", "c", "d"}) db.failure(reason);
    world.gate.poll();
    CHECK((sizes == std::vector<std::size_t>{3, 1}) && order == "abcd");
}

void queues() {
    World world;
    auto queue = world.gate.subscribe_queue({EventType::failure}, 200);
    CHECK(queue.drain().empty() && !queue.pop() && !queue.wait(Milliseconds(0)));
    const auto db = world.gate.register_connection("db");
    for (int i = 0; i < 150; ++i) db.failure(std::to_string(i));
    CHECK(queue.wait());
    CHECK(queue.pop()->reason == "0");

    std::vector<brama::Event> events;
    CHECK(queue.drain(events, 2) == 2 && events[1].reason == "2");
    try {
        queue.drain_each([](const EventView& event) {
            if (event.reason() == "5") throw std::runtime_error("no more");
        });
        CHECK(false);
    } catch (const std::runtime_error&) {
    }
    std::size_t sum = 0;
    CHECK(queue.drain_each([&](const EventView& event) { sum += event.reason()->size(); }, 4) == 4 && sum == 4);
    CHECK(queue.drain(events) == 140 && events.back().reason == "149" && events.size() == 142);
    /* If no event waits, a full vector is not grown. */
    events.shrink_to_fit();
    const auto* const where = events.data();
    CHECK(queue.drain(events) == 0 && events.capacity() == 142 && events.data() == where);
    std::vector<brama::Event> unused;
    CHECK(queue.drain(unused) == 0 && unused.capacity() == 0);
    db.failure("one more");
    CHECK(queue.drain(events) == 1 && events.size() == 143);

    pollfd waiting{queue.fd(), POLLIN, 0};
    CHECK(poll(&waiting, 1, 0) == 0);
    db.failure();
    world.gate.poll();
    CHECK(poll(&waiting, 1, 10000) == 1);
    auto moved = std::move(queue);
    CHECK(moved.drain().size() == 1);
    CHECK(!queue.wait(Milliseconds(0)) && queue.is_closed() && queue.drain().empty());
    CHECK(queue.try_fd().code() == brama::Code::invalid_argument);

    std::thread waiter([&] { CHECK(!moved.wait()); });
    moved.close();
    waiter.join();
    CHECK(moved.is_closed());
    queue = world.gate.subscribe_queue({}, 1);
    CHECK(!queue.is_closed());

    brama::Filter picky;
    picky.predicate = [](const EventView&) -> bool { throw 1; };
    auto empty = world.gate.subscribe_queue(picky, 8);
    db.success();
    CHECK(empty.drain().empty() && empty.exceptions() == 1);
}

void a_shutdown_within_a_time_says_what_is_left() {
    World world;
    int heard = 0;
    auto subscription = world.gate.subscribe({}, [&](const EventView&) { ++heard; });
    const auto api = world.gate.register_connection("api", fragile());
    api.success();
    CHECK(!world.gate.event_counts().background_running);
    CHECK(world.gate.shutdown_within(Milliseconds(0)) == 3 && heard == 0);
    CHECK(world.gate.shutdown_within(brama::never) == 3);

    brama::Brama running;
    CHECK(running.event_counts().background_running);
    CHECK(running.shutdown_within(std::chrono::minutes(1)) == 0);
    CHECK(!running.event_counts().background_running);
}

void long_text_is_cut_and_other_settings_are_noticed() {
    World world;
    std::vector<brama::Event> seen;
    brama::Filter filter;
    filter.types = {EventType::failure, EventType::notice};
    auto subscription = world.gate.subscribe(filter, [&](const EventView& event) {
        CHECK(event.is_truncated() == (event.type() == EventType::failure));
        seen.push_back(event.copy());
    });
    const auto api = world.gate.register_connection("api", fragile());
    api.failure(std::string(5000, 'x'));
    brama::Options others;
    others.jitter = 0.5;
    world.gate.get_or_register("api", others);
    world.gate.poll();
    CHECK(seen.size() == 2 && seen[0].truncated && seen[0].reason->size() == 1024);
    CHECK(seen[1].type == EventType::notice && !seen[1].truncated);
    CHECK(seen[1].reason->find("jitter") != std::string::npos);
}

}  // namespace

int main() {
    a_lambda_hears_of_everything();
    filters_choose();
    exceptions_stay_inside();
    callbacks_are_destroyed_once();
    a_callback_may_end_its_own_subscription();
    the_destructor_waits_for_the_callback();
    batches();
    queues();
    a_shutdown_within_a_time_says_what_is_left();
    long_text_is_cut_and_other_settings_are_noticed();
}
