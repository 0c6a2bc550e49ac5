// Tools of the programs in this folder, beyond check.h: a check of exceptions, and a manager with a
// clock that stands still.
#ifndef CHECK_HPP
#define CHECK_HPP

#include "../c/check.h"

#include <brama.hpp>

/// Checks that an expression throws this error, with a message that contains this text.
#define THROWS(type, text, expression)                                                     \
    do {                                                                                   \
        bool thrown_ = false;                                                              \
        try {                                                                              \
            static_cast<void>(expression);                                                 \
        } catch (const brama::type& error_) {                                              \
            thrown_ = true;                                                                \
            const brama::Error& base_ = error_;                                            \
            static_cast<void>(base_.code());                                               \
            if (std::string(error_.what()).find(text) == std::string::npos) {              \
                fprintf(stderr, "%s:%d: %s says \"%s\"\n", __FILE__, __LINE__,             \
                        #expression, error_.what());                                       \
                exit(1);                                                                   \
            }                                                                              \
        }                                                                                  \
        if (!thrown_) {                                                                    \
            fprintf(stderr, "%s:%d: %s does not throw %s\n", __FILE__, __LINE__,           \
                    #expression, #type);                                                   \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

using brama::Milliseconds;

/// A manager without a background thread, and the clock that it uses.
struct World {
    brama::ManualClock clock;
    brama::Brama gate;

    explicit World(brama::Config config = {}) : gate(with_clock(config)) {}

    brama::Config with_clock(brama::Config config) const {
        config.clock = &clock;
        config.background = false;
        return config;
    }
};

/// Settings of a circuit that opens at the first failure.
inline brama::Options fragile() {
    brama::Options options;
    options.max_attempts = 1;
    return options;
}

#endif
