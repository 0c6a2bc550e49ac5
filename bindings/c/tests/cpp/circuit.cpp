// brama.hpp: connections, permits, guarded calls, settings and status.
#include "check.hpp"

#include <memory>
#include <stdexcept>
#include <thread>
#include <type_traits>

namespace {

static_assert(!std::is_copy_constructible_v<brama::Permit> && std::is_nothrow_move_constructible_v<brama::Permit>);
static_assert(!std::is_copy_constructible_v<brama::Brama> && std::is_nothrow_move_constructible_v<brama::Brama>);
static_assert(!std::is_copy_constructible_v<brama::Subscription> && std::is_nothrow_move_assignable_v<brama::Subscription>);
static_assert(!std::is_copy_constructible_v<brama::Queue> && std::is_nothrow_move_assignable_v<brama::Queue>);
static_assert(std::is_copy_constructible_v<brama::Connection> && std::is_nothrow_move_assignable_v<brama::Connection>);

void a_circuit_opens_and_recovers() {
    World world;
    auto& gate = world.gate;
    const auto db = gate.register_connection("db", fragile());
    CHECK(db.identifier() == "db" && !db.scope());
    CHECK(db.available() && db.state() == brama::State::closed);

    db.acquire().failure("HTTP 503");
    CHECK(!db.available() && db.state() == brama::State::open);
    CHECK(!gate.available("db") && gate.state("db") == brama::State::open);
    try {
        static_cast<void>(db.acquire());
        CHECK(false);
    } catch (const brama::Rejected& rejected) {
        CHECK(rejected.code() == brama::Code::rejected);
        CHECK(rejected.retry_after() == std::chrono::minutes(1));
    }
    auto refused = gate.try_acquire("db");
    CHECK(!refused && refused.code() == brama::Code::rejected);
    CHECK(refused.retry_after() == std::chrono::minutes(1));
    CHECK(refused.message().find("retry after 60s") != std::string_view::npos);
    THROWS(Rejected, "retry after 60s", refused.value());

    db.open_circuit("maintenance", brama::never);
    CHECK(db.status().cause == brama::Cause::manual);
    CHECK(!db.try_acquire().retry_after());
    CHECK(db.status().expiry == brama::never && !db.status().retry_after);
    db.open_circuit("a second", std::chrono::seconds(1));
    world.clock.advance(std::chrono::seconds(1));
    CHECK(db.state() == brama::State::half_open && db.available());
    auto probe = db.acquire();
    CHECK(!db.try_acquire());
    probe.success();
    CHECK(!probe && db.state() == brama::State::closed);
    THROWS(InvalidArgument, "permit", probe.success());
}

void a_permit_reports_once_and_never_less() {
    World world;
    const auto db = world.gate.register_connection("db", fragile());

    { auto dropped = db.acquire(); }
    CHECK(db.state() == brama::State::closed);
    CHECK(db.status().total_failures == 0 && db.status().total_successes == 0);

    // A permit that is dropped while half-open gives the probe's place back.
    db.half_open_circuit();
    { auto dropped = db.acquire(); CHECK(!db.try_acquire()); }
    CHECK(db.try_acquire());
    db.reset_circuit();

    // A permit that is moved reports once, from another thread, too.
    auto first = db.acquire();
    auto second = std::move(first);
    CHECK(!first && second);
    first = std::move(second);
    std::thread([permit = std::move(first)]() mutable { permit.success(); }).join();
    CHECK(db.status().total_successes == 1);

    // An assignment to a permit ignores the permit that it held.
    db.half_open_circuit();
    auto probe = db.acquire();
    probe = brama::Permit(brama_permit_t{});
    CHECK(db.try_acquire());
    db.reset_circuit();

    // A permit that an exception destroys is a failure.
    try {
        auto permit = db.acquire();
        throw std::runtime_error("boom");
    } catch (const std::runtime_error&) {
    }
    CHECK(db.state() == brama::State::open);
    db.reset_circuit();

    // A permit acquired and destroyed in a destructor, while an exception is unwinding, is not.
    struct Cleanup {
        const brama::Connection& connection;
        ~Cleanup() { auto permit = connection.try_acquire(); }
    };
    try {
        Cleanup cleanup{db};
        throw 1;
    } catch (int) {
    }
    CHECK(db.state() == brama::State::closed && db.status().total_failures == 1);

    // A permit is released to C.
    OK(brama_permit_success(db.acquire().release()));
}

void a_late_report_is_stale() {
    World world;
    const auto db = world.gate.register_connection("db", fragile());
    auto late = db.acquire();
    auto later = db.acquire();
    db.failure();
    THROWS(Stale, "stale", late.success());
    CHECK(!late);
    CHECK(later.try_failure("late").code() == brama::Code::stale);
    CHECK(db.state() == brama::State::open);
    // A guarded call whose report is stale does not throw.
    db.reset_circuit();
    CHECK(db.call([&] { db.open_circuit(); return 1; }) == 1);
    CHECK(db.state() == brama::State::open);
}

void a_wait_opens_at_once_and_for_so_long() {
    World world;
    auto& gate = world.gate;
    const auto db = gate.register_connection("db", {});
    auto queue = gate.subscribe_queue({brama::EventType::circuit_opened}, 8);
    auto late = db.acquire();
    gate.failure_for("db", "HTTP 429", std::chrono::seconds(30), {{"status", "429"}});
    CHECK(db.state() == brama::State::open && db.status().retry_after == std::chrono::seconds(30));
    const auto opened = queue.pop();
    CHECK(opened && opened->reason == "HTTP 429" && opened->metadata.at("status") == "429");
    // While the circuit is open, or from a stale permit, the failure is in the totals only.
    db.failure_for({}, std::chrono::hours(1));
    CHECK(late.try_failure_for({}, std::chrono::hours(1)).code() == brama::Code::stale && !late);
    CHECK(db.status().retry_after == std::chrono::seconds(30) && db.status().total_failures == 3);

    world.clock.advance(std::chrono::seconds(30));
    auto probe = db.acquire();
    THROWS(InvalidArgument, "`wait` = -1 ms", probe.failure_for({}, Milliseconds(-1)));
    THROWS(InvalidArgument, "BRAMA_NEVER", probe.failure_for({}, brama::never));
    CHECK(probe);  // The permit is still to be reported.
    probe.failure_for("HTTP 503", Milliseconds(7));
    CHECK(!probe && db.status().expiry == Milliseconds(7) && db.status().trips == 2);
    THROWS(InvalidArgument, "permit", probe.failure_for({}, Milliseconds(7)));

    for (const auto wait : {brama::never, brama::none, Milliseconds(brama::inherit), Milliseconds(-1)}) {
        CHECK(db.try_failure_for({}, wait).code() == brama::Code::invalid_argument);
        CHECK(gate.try_failure_for("db", {}, wait).code() == brama::Code::invalid_argument);
    }
    CHECK(db.status().total_failures == 4);
    db.reset_circuit();
    db.failure_for({}, Milliseconds(0));
    CHECK(db.state() == brama::State::closed && db.status().failure_count == 1);
    db.failure_for({}, std::chrono::hours(25));
    CHECK(db.status().expiry == std::chrono::hours(24));
    THROWS(NotFound, "nobody", gate.failure_for("nobody", {}, Milliseconds(1)));
}

void a_reporter_says_how_long_a_call_has_lasted() {
    World world;
    auto& gate = world.gate;
    const auto db = gate.register_connection("db", {});
    auto queue = gate.subscribe_queue({{brama::EventType::success, brama::EventType::failure}}, 8);
    gate.success_in("db", Milliseconds(1), {{"status", "200"}});
    gate.failure_in("db", std::chrono::seconds(30), "HTTP 504", {{"status", "504"}});
    const auto succeeded = queue.pop();
    const auto failed = queue.pop();
    CHECK(succeeded && succeeded->metadata.at("status") == "200");
    CHECK(failed && failed->reason == "HTTP 504" && failed->metadata.at("status") == "504");
    db.success_in(std::chrono::hours(1));
    db.failure_in(Milliseconds(0));
    auto permit = db.acquire();
    for (const auto bad : {brama::never, brama::none, Milliseconds(brama::inherit), Milliseconds(-1)}) {
        CHECK(permit.try_success_in(bad).code() == brama::Code::invalid_argument);
        CHECK(permit.try_failure_in(bad).code() == brama::Code::invalid_argument);
        CHECK(db.try_success_in(bad).code() == brama::Code::invalid_argument);
        CHECK(db.try_failure_in(bad).code() == brama::Code::invalid_argument);
        CHECK(gate.try_success_in("db", bad).code() == brama::Code::invalid_argument);
        CHECK(gate.try_failure_in("db", bad).code() == brama::Code::invalid_argument);
    }
    THROWS(InvalidArgument, "`duration` = -1 ms", permit.success_in(Milliseconds(-1)));
    CHECK(permit);  // The permit is still to be reported.
    permit.success_in(Milliseconds(7));
    auto second = gate.try_acquire("db");
    CHECK(second && second->try_failure_in(Milliseconds(7), "late") && !*second);
    CHECK(!permit && db.status().total_successes == 3 && db.status().total_failures == 3);
    THROWS(InvalidArgument, "permit", permit.failure_in(Milliseconds(7)));
    auto late = db.acquire();
    db.open_circuit();
    THROWS(Stale, "stale", late.success_in(Milliseconds(7)));
    CHECK(!late);
    THROWS(NotFound, "nobody", gate.success_in("nobody", Milliseconds(1)));
    THROWS(NotFound, "nobody", gate.failure_in("nobody", Milliseconds(1)));
}

void every_call_is_measured() {
    World world;
    auto& gate = world.gate;
    brama::Options options;
    options.max_attempts = brama::unlimited;
    options.slow_call_duration = Milliseconds(50);
    options.slow_call_rate = 1.0;
    options.minimum_calls = 1;
    const auto db = gate.register_connection("db", options);
    const auto lasting = [&](long ms) { return [&world, ms] { world.clock.advance(Milliseconds(ms)); }; };
    const auto opens = [&](auto call) {
        call(49);
        CHECK(db.state() == brama::State::closed);
        db.reset_circuit();
        call(50);
        CHECK(db.state() == brama::State::open && db.status().cause == brama::Cause::slow_call_rate);
        db.reset_circuit();
    };
    opens([&](long ms) { db.call(lasting(ms)); });
    opens([&](long ms) { CHECK(db.try_call(lasting(ms))); });
    opens([&](long ms) { gate.call("db", lasting(ms)); });
    opens([&](long ms) { CHECK(gate.try_call("db", lasting(ms))); });
    const auto failing = [&](long ms) { return [&world, ms] { world.clock.advance(Milliseconds(ms)); throw ms; }; };
    const auto thrown = [](auto call) {
        try {
            call();
        } catch (long) {
        }
    };
    opens([&](long ms) { thrown([&] { db.call(failing(ms)); }); });
    opens([&](long ms) { thrown([&] { gate.call("db", failing(ms)); }); });
    opens([&](long ms) { auto permit = db.acquire(); lasting(ms)(); permit.success(); });
    opens([&](long ms) { auto permit = db.acquire(); lasting(ms)(); permit.failure("down"); });
    opens([&](long ms) { auto permit = *gate.try_acquire("db"); lasting(ms)(); permit.success(); });
    // A given duration replaces the measured one.
    opens([&](long ms) { db.success_in(Milliseconds(ms)); });
    opens([&](long ms) { db.failure_in(Milliseconds(ms)); });
    opens([&](long ms) { gate.success_in("db", Milliseconds(ms)); });
    opens([&](long ms) { gate.failure_in("db", Milliseconds(ms)); });
    opens([&](long ms) { auto permit = db.acquire(); lasting(99 - ms)(); permit.success_in(Milliseconds(ms)); });
    opens([&](long ms) { auto permit = db.acquire(); lasting(99 - ms)(); permit.failure_in(Milliseconds(ms)); });
}

void calls_are_guarded() {
    World world;
    auto& gate = world.gate;
    const auto db = gate.register_connection("db", fragile());

    CHECK(db.call([] { return std::make_unique<int>(3); }) != nullptr);
    int place = 0;
    db.call([&]() -> int& { return place; }) = 4;
    CHECK(place == 4);
    db.call([&] { place = 5; });
    CHECK(place == 5);
    struct Fixed {
        int value;
        explicit Fixed(int is) : value(is) {}
        Fixed(Fixed&&) = delete;
    };
    CHECK(db.call([] { return Fixed(6); }).value == 6);
    CHECK(gate.call("db", [] { return 7; }) == 7);
    CHECK(db.status().total_successes == 5);

    auto queue = gate.subscribe_queue({brama::EventType::failure}, 8);
    auto boom = []() -> int { throw std::runtime_error("boom"); };
    try {
        db.call(boom);
        CHECK(false);
    } catch (const std::runtime_error& error) {
        CHECK(std::string(error.what()) == "boom");
    }
    CHECK(db.state() == brama::State::open);
    bool ran = false;
    THROWS(Rejected, "retry after", db.call([&] { ran = true; }));
    CHECK(!ran);
    CHECK(db.try_call([&] { ran = true; }).code() == brama::Code::rejected && !ran);

    db.reset_circuit();
    try {
        gate.call("db", [] { throw 5; });
        CHECK(false);
    } catch (int five) {
        CHECK(five == 5);
    }
    CHECK(db.state() == brama::State::open);

    // An exception whose message is not UTF-8 is a failure all the same.
    db.reset_circuit();
    try {
        db.call([] { throw std::runtime_error(LATIN1); });
    } catch (const std::runtime_error&) {
    }
    CHECK(db.state() == brama::State::open);

    const auto failures = queue.drain();
    CHECK(failures.size() == 3);
    CHECK(failures[0].reason == "boom" && failures[1].reason == "exception");
    CHECK(failures[2].reason == "caf\xef\xbf\xbd" && failures[2].truncated);

    db.reset_circuit();
    auto answer = db.try_call([] { return 8; });
    CHECK(answer && *answer == 8 && answer.value() == 8);
    CHECK(db.try_call([] {}));
    THROWS(NotFound, "nobody", gate.call("nobody", [] { return 1; }));
    CHECK(gate.try_call("nobody", [] { return 1; }).code() == brama::Code::not_found);
}

void a_classifier_decides() {
    World world;
    const auto http = world.gate.register_connection("http", fragile());
    const auto classify = [](int status) {
        if (status >= 500) return brama::Outcome::failure;
        return status >= 400 ? brama::Outcome::ignored : brama::Outcome::success;
    };
    CHECK(http.call_with(classify, [] { return 200; }) == 200);
    CHECK(http.call_with(classify, [] { return 404; }) == 404);
    CHECK(http.status().total_successes == 1 && http.status().total_failures == 0);
    CHECK(world.gate.call_with("http", classify, [] { return 503; }) == 503);
    CHECK(http.state() == brama::State::open);
    CHECK(http.try_call_with(classify, [] { return 200; }).code() == brama::Code::rejected);
    http.reset_circuit();
    CHECK(*world.gate.try_call_with("http", classify, [] { return 200; }) == 200);
    // A classifier with a reason, which only a failure has.
    const auto explains = [](int status) -> brama::Classified {
        if (status == 503) return {brama::Outcome::failure, "HTTP 503, in more words than fit into a string"};
        if (status == 404) return {brama::Outcome::ignored, "not found"};
        return brama::Outcome::success;
    };
    const auto said = [&] { return http.status().last_failure_reason; };
    const auto before = said();
    CHECK(http.call_with(explains, [] { return 404; }) == 404 && said() == before);
    CHECK(http.call_with(explains, [] { return 200; }) == 200 && said() == before);
    CHECK(*world.gate.try_call_with("http", explains, [] { return 503; }) == 503);
    CHECK(said() == "HTTP 503, in more words than fit into a string");
    CHECK(http.status().reason == said());
    http.reset_circuit();
    auto kept = http.call_with([](const std::unique_ptr<int>& value) { return value ? brama::Outcome::success : brama::Outcome::failure; },
                               [] { return std::make_unique<int>(1); });
    CHECK(kept);
    // A classifier that throws: the call is a failure.
    try {
        http.call_with([](int) -> brama::Outcome { throw 1; }, [] { return 200; });
        CHECK(false);
    } catch (int) {
    }
    CHECK(http.state() == brama::State::open);
    // A classifier that returns no value of Outcome: the probe gives its place back.
    http.half_open_circuit();
    http.call_with([](int) { return static_cast<brama::Outcome>(77); }, [] { return 200; });
    CHECK(http.status().probes_out == 0 && http.try_acquire());
}

void settings_and_status() {
    brama::Config config;
    config.max_attempts = 2;
    config.expiry_strategy = brama::ExpiryStrategy::progressive;
    config.inactive_threshold = brama::never;
    World world(config);
    auto& gate = world.gate;
    brama::Options options;
    options.window = std::chrono::seconds(10);
    options.metadata = brama::Metadata{{"team", "billing"}};
    const auto api = gate.register_connection({"api", "billing"}, options);

    world.clock.advance(Milliseconds(5));
    api.success();
    world.clock.advance(Milliseconds(5));
    api.failure("x", {{"attempt", "1"}});
    auto status = gate.status({"api", "billing"});
    CHECK(status.identifier == "api" && status.scope == "billing" && status.state == brama::State::closed);
    CHECK(status.failure_count == 1 && status.total_successes == 1 && status.total_failures == 1);
    CHECK(status.success_rate == 0.5 && !status.opened_at && !status.retry_after && !status.cause);
    CHECK(status.last_success_time == brama::Time(Milliseconds(5)));
    CHECK(status.last_failure_time == world.clock.now());
    CHECK(status.metadata.at("team") == "billing");
    CHECK(status.settings.max_attempts == 2 && status.settings.window == std::chrono::seconds(10));
    CHECK(status.settings.expiry_strategy == brama::ExpiryStrategy::progressive && !status.settings.probe_timeout);

    brama::Options change;
    change.max_attempts = brama::unlimited;
    change.window = brama::none;
    change.metadata = brama::Metadata{};
    api.configure(change);
    status = api.status();
    CHECK(status.settings.max_attempts == brama::unlimited && !status.settings.window && status.metadata.empty());
    brama::Config wider;
    wider.half_open_max_calls = 3;
    gate.configure(wider);
    CHECK(api.status().settings.half_open_max_calls == 3);
    CHECK(gate.status({"api", "billing"}).failure_count == 1);

    THROWS(InvalidConfig, "max_attempts` = 0", gate.register_connection("zero", [] { brama::Options o; o.max_attempts = 0U; return o; }()));
    brama::Options bad;
    bad.expiry = Milliseconds(-5);
    THROWS(InvalidConfig, "`expiry` = -5 ms", api.configure(bad));
    bad = {};
    bad.jitter = 1.5;
    CHECK(gate.try_configure_connection({"api", "billing"}, bad).code() == brama::Code::invalid_config);
    bad = {};
    bad.half_open_successes = BRAMA_NOT_GIVEN_U32;
    THROWS(InvalidConfig, "half_open_successes", api.configure(bad));
    brama::Config impossible;
    impossible.backoff_factor = 0.5;
    THROWS(InvalidConfig, "backoff_factor` = 0.5", brama::Brama(impossible));
    CHECK(brama::Brama::try_make(impossible).code() == brama::Code::invalid_config);
    THROWS(InvalidArgument, "expiry` = -1 ms", api.open_circuit("", Milliseconds(-1)));
    THROWS(InvalidArgument, "`start` = -1 ms", brama::ManualClock(brama::Time(Milliseconds(-1))));
    CHECK(brama::ManualClock::try_make(brama::Time(Milliseconds(3)))->now() == brama::Time(Milliseconds(3)));
    THROWS(InvalidArgument, "`by` = -1 ms", world.clock.advance(Milliseconds(-1)));

    gate.register_connection("db");
    gate.open_circuit("db");
    CHECK(gate.snapshot().size() == 2 && gate.snapshot("billing").size() == 1);
    const auto unscoped = gate.snapshot(brama::no_scope);
    CHECK(unscoped.size() == 1 && unscoped[0].identifier == "db");
    CHECK(gate.state_counts().open == 1 && gate.state_counts().closed == 1);
    gate.reset_all();
    CHECK(gate.state_counts().open == 0 && gate.state_counts().closed == 2);
}

void names_of_all_kinds() {
    World world;
    auto& gate = world.gate;
    const std::string text = "payment_api/billing";
    const std::string_view whole = text;
    const auto api = gate.register_connection({whole.substr(0, 11), whole.substr(12)});
    CHECK(api.identifier() == "payment_api" && api.scope() == "billing");
    CHECK(gate.available({"payment_api", "billing"}) && !gate.available("payment_api"));
    CHECK(gate.available({std::string("payment_api"), std::optional<std::string>("billing")}));
    gate.register_connection(whole.substr(0, 7));
    CHECK(gate.available({std::string_view("payment"), std::nullopt}));
    THROWS(AlreadyRegistered, "\"payment\"", gate.register_connection("payment"));
    gate.get_or_register("payment");
    gate.unregister("payment");
    THROWS(NotFound, "\"payment\"", gate.connection("payment"));
    CHECK(gate.state("payment") == brama::State::unknown && !gate.available("payment"));

    using namespace std::string_literals;
    using namespace std::string_view_literals;
    THROWS(InvalidArgument, "`identifier` = a string with a NUL", gate.register_connection("a\0b"s));
    THROWS(InvalidArgument, "`scope` = a string with a NUL", gate.register_connection({"a", "a\0b"sv}));
    const auto refused = gate.try_register("\0"sv);
    CHECK(refused.code() == brama::Code::invalid_argument && refused.message().find("NUL") != std::string_view::npos);
    THROWS(InvalidArgument, "identifier", gate.register_connection(""));
    THROWS(InvalidArgument, "identifier", gate.register_connection(std::string_view()));
    THROWS(InvalidArgument, "identifier", gate.register_connection(static_cast<const char*>(nullptr)));
    THROWS(InvalidArgument, "identifier", gate.register_connection(LATIN1));

    const std::string longest(1024, 'x');
    gate.register_connection(std::string_view(longest));
    CHECK(gate.available(longest));
    THROWS(InvalidArgument, "1025 bytes", gate.register_connection(std::string_view(longest + "y").substr(0)));
    THROWS(InvalidArgument, "100000 bytes", gate.register_connection(std::string_view(std::string(100000, 'x'))));
}

void text_never_costs_a_report() {
    using namespace std::string_literals;
    using namespace std::string_view_literals;
    World world;
    brama::Options options;
    options.max_attempts = brama::unlimited;
    const auto api = world.gate.register_connection("api", options);
    auto queue = world.gate.subscribe_queue({}, 64);
    const std::string replaced = "a\xef\xbf\xbd" "b", with_nul = "a\0b"s, long_text(5000, 'r');
    // The last text is a part of a longer string.
    const brama::Text texts[] = {"a\xff" "b", "a\0b"sv, with_nul, std::string_view(long_text), "whole of it"sv.substr(0, 5)};
    const std::string kept[] = {replaced, replaced, replaced, long_text.substr(0, 1024), "whole"};
    const brama::Metadata metadata = {{"key", "a\0b"s}, {"k\0"s, ""}, {"latin", LATIN1}, {"long", long_text}};
    for (std::size_t i = 0; i < 5; ++i) {
        const auto& text = texts[i];
        api.failure(text);
        world.gate.failure("api", text);
        api.acquire().failure(text);
        api.open_circuit(text);
        api.reset_circuit();
        world.gate.open_circuit("api", text);
        api.reset_circuit();
        api.failure(text, metadata);
        world.gate.failure("api", text, metadata);
        api.acquire().failure(text, metadata);
        api.success(metadata);
        std::size_t failures = 0, openings = 0;
        for (const auto& event : queue.drain()) {
            failures += event.type == brama::EventType::failure;
            openings += event.type == brama::EventType::circuit_opened;
            if (event.reason) CHECK(event.reason == kept[i] && event.truncated == (i < 4 || !event.metadata.empty()));
            if (event.metadata.empty()) continue;
            CHECK(event.truncated && event.metadata.at("key") == replaced);
            CHECK(event.metadata.count("k\xef\xbf\xbd") == 1 && event.metadata.at("long").size() == 1024);
            CHECK(event.metadata.at("latin") == "caf\xef\xbf\xbd");
        }
        CHECK(failures == 6 && openings == 2);
        CHECK(api.status().total_failures == 6 * (i + 1) && api.status().total_successes == i + 1);
    }
}

void what_is_gone_is_safe() {
    auto world = std::make_unique<World>();
    auto kept = world->gate.register_connection("db");
    auto copy = kept;
    auto moved = std::move(kept);
    CHECK(!kept.available() && kept.state() == brama::State::unknown && kept.identifier().empty());
    CHECK(kept.try_success().code() == brama::Code::invalid_argument);
    kept = copy;
    CHECK(kept.available());
    world->gate.unregister("db");
    CHECK(!copy.available());
    THROWS(NotFound, "db", copy.success());

    auto other = world->gate.register_connection("other");
    brama::Brama gate = std::move(world->gate);
    CHECK(gate.available("other"));
    const auto& husk = world->gate;
    CHECK(!husk.available("other") && husk.state("other") == brama::State::unknown);
    THROWS(InvalidArgument, "moved-from", husk.success("other"));
    THROWS(InvalidArgument, "moved-from", husk.subscribe({}, [](const brama::EventView&) {}));
    THROWS(InvalidArgument, "moved-from", husk.subscribe_queue({}, 1));
    THROWS(InvalidArgument, "moved-from", husk.snapshot());
    husk.poll();
    husk.shutdown();
    CHECK(husk.state_counts().closed == 0);

    gate.shutdown();
    THROWS(ShutDown, "shut down", other.acquire());
    CHECK(!other.available());
    THROWS(ShutDown, "shut down", gate.register_connection("new"));
    gate = brama::Brama();
    CHECK(other.try_acquire().code() == brama::Code::shut_down);
    CHECK(!gate.available("other"));
}

void the_default_manager_is_one() {
    brama::default_manager().register_connection("process");
    CHECK(brama::default_manager().available("process"));
    CHECK(brama_available(nullptr, "process", nullptr));
    CHECK(brama::version() == BRAMA_VERSION_STRING);
    CHECK(brama::to_string(brama::State::half_open) == "half_open");
    CHECK(brama::to_string(brama::EventType::call_rejected) == "call_rejected");
    CHECK(brama::to_string(brama::Cause::retry_after) == "retry_after");
    CHECK(brama::to_string(brama::Cause{77}) == "unknown");
    CHECK(brama::to_string(brama::Mode::shadow) == "shadow");
    CHECK(brama::to_string(brama::Mode{77}) == "unknown");
}

}  // namespace

int main() {
    a_circuit_opens_and_recovers();
    a_permit_reports_once_and_never_less();
    a_late_report_is_stale();
    a_wait_opens_at_once_and_for_so_long();
    a_reporter_says_how_long_a_call_has_lasted();
    every_call_is_measured();
    calls_are_guarded();
    a_classifier_decides();
    settings_and_status();
    names_of_all_kinds();
    text_never_costs_a_report();
    what_is_gone_is_safe();
    the_default_manager_is_one();
}
