// brama.hpp: every setting, as the table of the library has it.
#include "check.hpp"

#include <type_traits>

namespace {

/// What a kind is in C++, a value that is no setting's default, and how it is shown.
template <class Given, class Shown = Given> struct Kind {
    using Option = std::optional<Given>;
    using Effective = Shown;
};
struct attempts : Kind<std::uint32_t> { static constexpr std::uint32_t other = 7; };
struct calls : attempts {};
struct time : Kind<Milliseconds> { static constexpr Milliseconds other{70000}; };
struct optional_time : Kind<Milliseconds, std::optional<Milliseconds>> { static constexpr Milliseconds other{70000}; };
struct factor : Kind<double> { static constexpr double other = 7; };
struct part : Kind<double> { static constexpr double other = 0.5; };
struct strategy : Kind<brama::ExpiryStrategy> { static constexpr auto other = brama::ExpiryStrategy::progressive; };
struct flag : Kind<brama::Flag, bool> { static constexpr bool other = false; };

#define SETTING(name, field, kind, initial)                                            \
    static_assert(std::is_same_v<decltype(brama::Options::name), kind::Option>, #name); \
    static_assert(std::is_same_v<decltype(brama::Config::name), kind::Option>, #name);  \
    static_assert(std::is_same_v<decltype(brama::Settings::name), kind::Effective>, #name);
#include "../c/settings_table.h"
#undef SETTING

void every_setting_is_given_shown_and_taken_back() {
    World world;
    const auto db = world.gate.register_connection("db");
    const auto defaults = db.status().settings;
#define SETTING(name, field, kind, initial)                                            \
    {                                                                                  \
        brama::Options options;                                                        \
        options.name = kind::other;                                                    \
        db.configure(options);                                                         \
        CHECK(db.status().settings.name == kind::other);                               \
        options.name = brama::inherit;                                                 \
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

/// `put` refuses by itself what C means by "not given"; the rest C refuses.
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
}

} // namespace

int main() {
    every_setting_is_given_shown_and_taken_back();
    what_means_nothing_for_a_setting_is_refused();
}
