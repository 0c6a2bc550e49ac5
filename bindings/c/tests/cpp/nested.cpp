// brama.hpp: guarded calls inside guarded calls of the same circuit, rejections of other circuits,
// and calls that end without being a failure of the dependency.
#include "check.hpp"

#include <exception>
#include <pthread.h>
#include <semaphore.h>
#include <stdexcept>
#include <thread>
#include <unistd.h>

/// Checks that an expression throws an exception of this type.
#define THROWN(type, expression)                                                           \
    do {                                                                                   \
        bool thrown_ = false;                                                              \
        try {                                                                              \
            static_cast<void>(expression);                                                 \
        } catch (const type&) {                                                            \
            thrown_ = true;                                                                \
        }                                                                                  \
        CHECK(thrown_);                                                                    \
    } while (0)

namespace {

using brama::Outcome;
using brama::State;

const brama::Options fragile_for_a_second = [] {
    brama::Options options = fragile();
    options.expiry = Milliseconds(1000);
    return options;
}();

/// A circuit that is half-open now.
brama::Connection half_open(const World& world, const char* name, const brama::Options& options = fragile_for_a_second) {
    auto connection = world.gate.register_connection(name, options);
    connection.half_open_circuit();
    return connection;
}

int down() { throw std::runtime_error("down"); }

void a_call_inside_a_probe_of_the_same_circuit_lets_it_recover() {
    World world;
    const auto cache = world.gate.register_connection("cache", fragile_for_a_second);
    bool is_up = false;
    const auto inner = [&] { return cache.call([&] { return is_up ? 1 : down(); }); };
    const auto outer = [&] { return cache.call(inner); };
    THROWN(std::runtime_error, outer());
    CHECK(cache.status().total_failures == 2);  // not half-open: each call reports
    world.clock.advance(Milliseconds(1000));
    THROWN(std::runtime_error, outer());
    CHECK(cache.state() == State::open && cache.status().total_failures == 3);  // one for both
    is_up = true;
    world.clock.advance(Milliseconds(1000));
    CHECK(outer() == 1);
    CHECK(cache.state() == State::closed && cache.status().total_successes == 1);
}

void calls_by_name_and_by_handle_ride_on_each_other_as_deep_as_they_go() {
    World world;
    const auto& gate = world.gate;
    brama::Options options = fragile_for_a_second;
    options.half_open_successes = 3;
    const auto db = half_open(world, "db", options);
    const auto other_handle = gate.connection("db");
    const auto depth = [&] {
        return gate.call("db", [&] {
            return other_handle.call([&] {
                // A permit does not ride, so it is rejected.
                CHECK(db.try_acquire().code() == brama::Code::rejected);
                return *gate.try_call("db", [&] { return db.call([] { return 7; }); });
            });
        });
    };
    CHECK(depth() == 7 && db.status().total_successes == 1);
    CHECK(db.call(depth) == 7 && db.status().total_successes == 2);
    CHECK(db.state() == State::half_open);
    const auto rejected = db.status().total_rejections;
    // Two calls ride on the same call, one after the other.
    db.call([&] { db.call([] {}); db.call([] {}); });
    CHECK(db.status().total_rejections == rejected && db.state() == State::closed);
}

void one_call_at_a_time_rides_and_only_where_the_outer_one_is_at_work() {
    World world;
    const auto db = half_open(world, "db");
    const auto other = half_open(world, "other");
    db.call([&] {
        // A call of another circuit is a probe of its own.
        other.call([&] {
            CHECK(db.try_call([] { return 1; }));
            CHECK(other.try_call([] { return 1; }));
        });
        CHECK(other.state() == State::closed);
        // A call on another thread does not ride.
        std::thread([&] { CHECK(db.try_call([] {}).code() == brama::Code::rejected); }).join();
        // Nor does a call when the half-open state is over, or in a later one.
        db.open_circuit();
        CHECK(db.try_call([] {}).code() == brama::Code::rejected);
        db.half_open_circuit();
        db.call([&] { CHECK(!db.try_acquire()); });
    });
    CHECK(db.state() == State::closed);
}

void an_outer_call_that_has_nothing_to_report_reports_the_failure_of_an_inner_one() {
    World world;
    const auto db = half_open(world, "db");
    const auto ignored = [](int) { return Outcome::ignored; };
    CHECK(db.call_with(ignored, [&] { return db.call([] { return 3; }); }) == 3);
    CHECK(db.state() == State::half_open && db.status().total_ignored == 1);
    db.call_with(ignored, [&] {
        THROWN(std::runtime_error, db.call(down));
        return 1;
    });
    CHECK(db.state() == State::open);
    // Not the failure of a call inside an inner call that succeeded.
    db.half_open_circuit();
    db.call_with(ignored, [&] {
        db.call([&] { THROWN(std::runtime_error, db.call(down)); });
        return 1;
    });
    CHECK(db.state() == State::half_open);
    db.open_circuit();
    // The outer call's own outcome goes before it.
    db.half_open_circuit();
    db.call([&] { THROWN(std::runtime_error, db.call(down)); });
    CHECK(db.state() == State::closed);
    // A rider that is ignored passes the failure on.
    db.half_open_circuit();
    db.call_with(ignored, [&] {
        return db.call_with(ignored, [&] {
            THROWN(std::runtime_error, db.call(down));
            return 1;
        });
    });
    CHECK(db.state() == State::open);
}

void a_rejection_that_leaves_a_call_is_no_failure_of_its_dependency() {
    World world;
    const auto db = world.gate.register_connection("db", fragile());
    const auto cache = world.gate.register_connection("cache", fragile());
    db.open_circuit("down", brama::never);
    const auto ask = [&] { return db.call([] { return 1; }); };
    THROWN(brama::Rejected, cache.call(ask));
    THROWN(std::runtime_error, cache.call([&] {
        try {
            return ask();
        } catch (const brama::Rejected&) {
            std::throw_with_nested(std::runtime_error("no cache without a database"));
        }
    }));
    // As a Result, even of several levels.
    CHECK(!cache.call([&] { return db.try_call([] { return 1; }); }));
    CHECK(!*cache.try_call([&] { return db.try_call([] {}); }));
    CHECK(cache.state() == State::closed && cache.status().total_failures == 0);
    CHECK(cache.status().total_successes == 0 && cache.status().total_ignored == 4);
    // A classifier may decide otherwise. Other errors are failures, thrown or returned.
    CHECK(!cache.call_with([](const auto&) { return Outcome::success; }, [&] { return db.try_call([] {}); }));
    CHECK(cache.status().total_successes == 1);
    CHECK(cache.call([&] { return brama::Result<int>(1); }) && cache.status().total_successes == 2);
    CHECK(!cache.call([&] { return world.gate.try_connection("nobody"); }));
    CHECK(cache.state() == State::open && cache.status().total_failures == 1);
    cache.reset_circuit();
    THROWN(std::runtime_error, cache.call([]() -> int { std::throw_with_nested(std::runtime_error("nothing within")); }));
    CHECK(cache.state() == State::open);
}

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __asan_handle_no_return();
#else
void __asan_handle_no_return() {}
#endif

/// Runs `work` on a thread that is cancelled inside of it. The sanitizer does not see that the
/// cancellation leaves the stack frames of that thread, and would later report them as poisoned.
template <class F> void cancelled(F work) {
    struct Both {
        F work;
        sem_t inside;
    } both{std::move(work), {}};
    sem_init(&both.inside, 0, 0);
    pthread_t thread;
    const auto start = [](void* given) -> void* {
        auto& at_work = *static_cast<Both*>(given);
        at_work.work([&] {
            sem_post(&at_work.inside);
            __asan_handle_no_return();
            for (;;) pause();
        });
        sem_post(&at_work.inside);
        return nullptr;
    };
    CHECK(pthread_create(&thread, nullptr, start, &both) == 0);
    while (sem_wait(&both.inside) != 0) {
    }
    CHECK(pthread_cancel(thread) == 0);
    void* answer = nullptr;
    CHECK(pthread_join(thread, &answer) == 0 && answer == PTHREAD_CANCELED);
    sem_destroy(&both.inside);
}

void a_thread_that_is_cancelled_inside_a_call_is_no_failure() {
    World world;
    const auto db = world.gate.register_connection("db", fragile());
    cancelled([&](auto wait) { db.call(wait); });
    cancelled([&](auto wait) { db.try_call([&] { wait(); return 1; }); });
    cancelled([&](auto wait) { world.gate.call("db", wait); });
    cancelled([&](auto wait) {
        const auto permit = db.acquire();
        wait();
    });
    const auto status = db.status();
    CHECK(status.state == State::closed && status.total_failures == 0);
    CHECK(status.total_successes == 0 && status.total_ignored == 4);
    // A cancelled probe frees its place, even if a call that rides on it is cancelled. The list of
    // calls belongs to its thread, so this thread's is empty.
    db.half_open_circuit();
    cancelled([&](auto wait) { db.call([&] { db.call(wait); }); });
    CHECK(db.state() == State::half_open);
    db.call([] {});
    CHECK(db.state() == State::closed);
}

void a_cancelled_call_that_lasted_long_is_a_failure_if_that_is_set() {
    World world;
    auto options = fragile();
    options.cancelled_after = Milliseconds(500);
    const auto db = world.gate.register_connection("db", options);
    const auto lasting = [&](long ms) {
        auto permit = db.acquire();
        world.clock.advance(Milliseconds(ms));
        return permit;
    };
    { auto dropped = lasting(499); }
    lasting(1).cancelled();
    lasting(500).ignore();
    CHECK(db.state() == State::closed && db.status().total_ignored == 3);
    lasting(500).cancelled();
    CHECK(db.state() == State::open);
    db.reset_circuit();
    { auto dropped = lasting(500); }
    CHECK(db.state() == State::open);
    db.reset_circuit();
    cancelled([&](auto wait) { db.call([&] { world.clock.advance(Milliseconds(499)); wait(); }); });
    CHECK(db.state() == State::closed);
    cancelled([&](auto wait) { db.call([&] { world.clock.advance(Milliseconds(500)); wait(); }); });
    CHECK(db.state() == State::open);
    // By name, and as a probe.
    db.half_open_circuit();
    auto probe = *world.gate.try_acquire("db");
    world.clock.advance(Milliseconds(500));
    CHECK(probe.is_probe() && probe.try_cancelled() && db.state() == State::open);
    // With the setting taken back, a long cancelled call is ignored again.
    db.reset_circuit();
    options = {};
    options.cancelled_after = brama::inherit;
    options.max_attempts = brama::inherit;
    db.configure(options);
    CHECK(!db.status().settings.cancelled_after && db.status().settings.max_attempts == 5);
    lasting(500).cancelled();
    CHECK(db.state() == State::closed && db.status().total_ignored == 5);
}

void a_permit_of_an_unwinding_that_began_before_it_is_ignored() {
    World world;
    const auto db = world.gate.register_connection("db", fragile());
    struct Cleanup {
        const brama::Connection& connection;
        ~Cleanup() {
            auto first = connection.acquire();
            auto moved = std::move(first);
            auto assigned = brama::Permit(brama_permit_t{});
            assigned = std::move(moved);
            CHECK(assigned);
        }
    };
    try {
        const Cleanup cleanup{db};
        throw 1;
    } catch (int) {
    }
    CHECK(db.state() == State::closed && db.status().total_ignored == 1);
    // A permit that is moved keeps the number of exceptions from its acquisition.
    struct Mover {
        brama::Permit& permit;
        bool assigns;
        ~Mover() {
            auto moved = std::move(permit);
            if (!assigns) return;
            auto other = brama::Permit(brama_permit_t{});
            other = std::move(moved);
        }
    };
    for (const bool assigns : {false, true}) {
        auto permit = db.acquire();
        try {
            const Mover mover{permit, assigns};
            throw 1;
        } catch (int) {
        }
        CHECK(db.state() == State::open);
        db.reset_circuit();
    }
    struct Taker {
        const brama::Connection& connection;
        std::optional<brama::Permit>& into;
        ~Taker() { into.emplace(connection.acquire()); }
    };
    for (const bool assigns : {false, true}) {
        std::optional<brama::Permit> taken;
        try {
            const Taker taker{db, taken};
            throw 1;
        } catch (int) {
        }
        auto other = brama::Permit(brama_permit_t{});
        if (assigns) other = std::move(*taken);
        try {
            const auto moved = std::move(assigns ? other : *taken);
            throw 1;
        } catch (int) {
        }
        CHECK(db.state() == State::closed);
    }
}

void a_permit_says_whether_it_is_a_probe() {
    World world;
    const auto db = world.gate.register_connection("db", fragile());
    CHECK(!db.acquire().is_probe());
    db.half_open_circuit();
    auto probe = db.acquire();
    CHECK(probe.is_probe());
    probe.success();
    CHECK(!probe.is_probe());
}

}  // namespace

int main() {
    a_call_inside_a_probe_of_the_same_circuit_lets_it_recover();
    calls_by_name_and_by_handle_ride_on_each_other_as_deep_as_they_go();
    one_call_at_a_time_rides_and_only_where_the_outer_one_is_at_work();
    an_outer_call_that_has_nothing_to_report_reports_the_failure_of_an_inner_one();
    a_rejection_that_leaves_a_call_is_no_failure_of_its_dependency();
    a_thread_that_is_cancelled_inside_a_call_is_no_failure();
    a_cancelled_call_that_lasted_long_is_a_failure_if_that_is_set();
    a_permit_of_an_unwinding_that_began_before_it_is_ignored();
    a_permit_says_whether_it_is_a_probe();
    return 0;
}
