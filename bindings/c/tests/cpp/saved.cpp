// brama.hpp: circuits that are saved and restored.
#include "check.hpp"

#include <utility>

namespace {

std::string opened(World& world) {
    const auto db = world.gate.register_connection("db", fragile());
    db.failure("HTTP 503");
    world.clock.advance(Milliseconds(10000));
    return world.gate.save();
}

void an_opening_goes_on() {
    World old, young;
    const auto data = opened(old);
    young.clock.advance(Milliseconds(30000));
    const auto db = young.gate.register_connection("db");
    auto permit = db.acquire();
    CHECK(young.gate.restore(data) == 1);
    const auto status = db.status();
    CHECK(status.state == brama::State::open && status.retry_after == Milliseconds(30000));
    CHECK(status.reason == "HTTP 503" && status.total_failures == 1);
    CHECK(!permit.try_success());
    young.clock.advance(Milliseconds(1));
    CHECK(young.gate.restore(data) == 0);
}

void an_unknown_name_waits() {
    World old, young;
    CHECK(young.gate.try_restore(opened(old)).value() == 1);
    CHECK(young.gate.state("db") == brama::State::unknown);
    CHECK(young.gate.register_connection("db").state() == brama::State::open);
}

void damage_is_refused() {
    World old, young;
    auto data = opened(old);
    const auto db = young.gate.register_connection("db");
    THROWS(InvalidArgument, "`data`", young.gate.restore(""));
    THROWS(InvalidArgument, "offset 0", young.gate.restore("no save"));
    THROWS(InvalidArgument, "checksum", young.gate.restore(std::string_view(data).substr(0, 50)));
    data[data.size() / 2] = static_cast<char>(data[data.size() / 2] + 1);
    THROWS(InvalidArgument, "checksum", young.gate.restore(data));
    CHECK(!young.gate.try_restore(data));
    CHECK(db.state() == brama::State::closed);
}

void a_manager_that_was_moved_from_says_so() {
    World world;
    const auto moved = std::move(world.gate);
    CHECK(!world.gate.try_save() && !world.gate.try_restore(moved.save()));
}

} // namespace

int main() {
    an_opening_goes_on();
    an_unknown_name_waits();
    damage_is_refused();
    a_manager_that_was_moved_from_says_so();
}
