// brama.hpp: every setting of the library's table.
#include "check.hpp"

#include <cmath>
#include <string_view>
#include <type_traits>

namespace {

/// The types of a kind of setting in C++, as given and as shown. The structs below add a value
/// that is no setting's default.
template <class Given, class Shown = Given> struct Kind {
    using Option = std::optional<Given>;
    using Effective = Shown;
};
struct attempts : Kind<std::uint32_t> { static constexpr std::uint32_t other = 7; };
struct calls : attempts {};
struct time : Kind<Milliseconds> { static constexpr Milliseconds other{70000}; };
struct optional_time : Kind<Milliseconds, std::optional<Milliseconds>> { static constexpr Milliseconds other{70000}; };
struct bounded_time : time {};
struct count : Kind<std::uint64_t> { static constexpr std::uint64_t other = 7; };
struct optional_calls : Kind<std::uint64_t, std::optional<std::uint64_t>> { static constexpr std::uint64_t other = 700; };
struct optional_rate : Kind<double, std::optional<double>> { static constexpr double other = 0.5; };
struct share : Kind<double> { static constexpr double other = 0.5; };
struct factor : Kind<double> { static constexpr double other = 7; };
struct part : Kind<double> { static constexpr double other = 0.5; };
struct strategy : Kind<brama::ExpiryStrategy> { static constexpr auto other = brama::ExpiryStrategy::progressive; };
struct mode : Kind<brama::Mode> { static constexpr auto other = brama::Mode::shadow; };
struct flag : Kind<brama::Flag, bool> { static constexpr bool other = false; };

#define SETTING(name, field, kind, initial)                                            \
    static_assert(std::is_same_v<decltype(brama::Options::name), kind::Option>, #name); \
    static_assert(std::is_same_v<decltype(brama::Config::name), kind::Option>, #name);  \
    static_assert(std::is_same_v<decltype(brama::Settings::name), kind::Effective>, #name);
#include "../c/settings_table.h"
#undef SETTING

/// A setting of slow_call_rate needs a slow_call_duration.
void with_what_it_needs(brama::Options& options, std::string_view name, Milliseconds duration) {
    if (name == "slow_call_rate") options.slow_call_duration = duration;
}

void every_setting_is_given_shown_and_taken_back() {
    World world;
    const auto db = world.gate.register_connection("db");
    const auto defaults = db.status().settings;
#define SETTING(name, field, kind, initial)                                            \
    {                                                                                  \
        brama::Options options;                                                        \
        options.name = kind::other;                                                    \
        with_what_it_needs(options, #name, Milliseconds(1000));                        \
        db.configure(options);                                                         \
        CHECK(db.status().settings.name == kind::other);                               \
        options.name = brama::inherit;                                                 \
        with_what_it_needs(options, #name, brama::inherit);                            \
        db.configure(options);                                                         \
        CHECK(db.status().settings.name == defaults.name && defaults.name != kind::other); \
        brama::Config config;                                                          \
        config.name = kind::other;                                                     \
        world.gate.configure(config);                                                  \
        CHECK(db.status().settings.name == kind::other);                               \
        config.name = brama::inherit;                                                  \
        world.gate.configure(config);                                                  \
        CHECK(db.status().settings.name == defaults.name);                             \
    }
#include "../c/settings_table.h"
#undef SETTING
}

/// `put` refuses the numbers that mean "not given" in C. C refuses all others.
void what_means_nothing_for_a_setting_is_refused() {
    World world;
    brama::Options options;
    options.max_attempts = static_cast<std::uint32_t>(BRAMA_NONE);
    THROWS(InvalidConfig, "max_attempts` = BRAMA_NONE", world.gate.register_connection("db", options));
    options = {};
    options.half_open_max_calls = brama::unlimited;
    THROWS(InvalidConfig, "half_open_max_calls` = BRAMA_UNLIMITED", world.gate.register_connection("db", options));
    options = {};
    options.max_attempts = BRAMA_NOT_GIVEN_U32;
    THROWS(InvalidConfig, "max_attempts", world.gate.register_connection("db", options));
    options = {};
    options.expiry = Milliseconds(static_cast<Milliseconds::rep>(BRAMA_NONE));
    THROWS(InvalidConfig, "expiry` = -4 ms", world.gate.register_connection("db", options));
    options = {};
    options.failure_rate = std::nan("");
    THROWS(InvalidConfig, "failure_rate` = NaN: must be above 0.0 and at most 1.0", world.gate.register_connection("db", options));
    options.failure_rate = BRAMA_NOT_GIVEN_F64;
    THROWS(InvalidConfig, "failure_rate", world.gate.register_connection("db", options));
    options = {};
    options.rate_calls = static_cast<std::uint64_t>(-5);
    THROWS(InvalidConfig, "rate_calls` = 18446744073709551611: must be 10 to 100000", world.gate.register_connection("db", options));
    options.rate_calls = BRAMA_NOT_GIVEN_U64;
    THROWS(InvalidConfig, "rate_calls", world.gate.register_connection("db", options));
    options = {};
    options.rate_window = Milliseconds(-1);
    THROWS(InvalidConfig, "rate_window` = -1 ms: must not be negative", world.gate.register_connection("db", options));
    options.rate_window = brama::none;
    THROWS(InvalidConfig, "rate_window_ms` = BRAMA_NONE: must be 1000 to 3600000 ms", world.gate.register_connection("db", options));
    options = {};
    options.minimum_calls = brama::no_calls;
    THROWS(InvalidConfig, "minimum_calls` = BRAMA_NONE", world.gate.register_connection("db", options));
}

/// The constants that overrule a manager's rates.
void rates_that_are_not_there() {
    World world;
    brama::Config config;
    config.failure_rate = 0.5;
    config.slow_call_rate = 0.25;
    config.rate_calls = 100;
    config.slow_call_duration = Milliseconds(50);
    world.gate.configure(config);
    const auto db = world.gate.register_connection("db");
    const auto managers = db.status().settings;
    CHECK(managers.failure_rate == 0.5 && managers.slow_call_rate == 0.25);
    CHECK(managers.rate_calls == 100u && managers.slow_call_duration == Milliseconds(50));
    CHECK(managers.max_attempts == brama::unlimited);
    brama::Options options;
    options.failure_rate = options.slow_call_rate = brama::no_rate;
    options.rate_calls = brama::no_calls;
    options.slow_call_duration = brama::none;
    db.configure(options);
    const auto own = db.status().settings;
    CHECK(!own.failure_rate && !own.slow_call_rate && !own.rate_calls && !own.slow_call_duration);
    CHECK(own.max_attempts == 5 && own.minimum_calls == 20 && own.rate_window == Milliseconds(10000));
    options = {};
    options.rate_calls = 50;
    options.rate_window = Milliseconds(2000);
    THROWS(InvalidConfig, "rate_calls` = 50: cannot be given together", db.configure(options));
    static_assert(static_cast<int>(brama::Cause::failure_rate) == 3 && static_cast<int>(brama::Cause::slow_call_rate) == 4);
}

} // namespace

int main() {
    every_setting_is_given_shown_and_taken_back();
    what_means_nothing_for_a_setting_is_refused();
    rates_that_are_not_there();
}
