#include "../check.hpp"

brama::Connection registered_elsewhere(const brama::Brama& gate) {
    brama::default_manager().register_connection("shared");
    return gate.register_connection("db", fragile());
}
