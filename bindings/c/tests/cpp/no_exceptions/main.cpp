// brama.hpp with -fno-exceptions, through the try_ forms.
#include "../../c/check.h"

#include <brama.hpp>

int main() {
    auto made = brama::Brama::try_make();
    CHECK(made);
    auto& gate = *made;
    brama::Options options;
    options.max_attempts = 1;
    auto db = gate.try_register("db", options);
    CHECK(db && !gate.try_register("db"));
    auto queue = gate.try_subscribe_queue({brama::EventType::circuit_opened}, 8);
    int calls = 0;
    {
        auto subscription = gate.try_subscribe({brama::EventType::success}, [&](const brama::EventView&) { ++calls; });
        CHECK(subscription);
        CHECK(*db->try_call([] { return 1; }) == 1);
        { auto ignored = db->try_acquire(); }
        gate.shutdown();
    }
    CHECK(calls == 1 && queue->drain().empty());

    auto again = brama::Brama::try_make();
    auto api = again->try_register("api", options);
    auto events = again->try_subscribe_queue({brama::EventType::circuit_opened}, 8);
    auto permit = api->try_acquire();
    CHECK(permit && permit->try_failure("HTTP 503"));
    CHECK(events->wait() && events->pop()->reason == "HTTP 503");
    const auto refused = api->try_call([] { return 1; });
    CHECK(!refused && refused.code() == brama::Code::rejected && refused.retry_after() > brama::Milliseconds(0));
    CHECK(again->try_snapshot()->size() == 1 && api->try_status()->state == brama::State::open);
}
