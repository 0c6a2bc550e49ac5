// brama.hpp in two translation units of one program.
#include "../check.hpp"

brama::Connection registered_elsewhere(const brama::Brama& gate);

int main() {
    brama::Brama gate;
    const auto db = registered_elsewhere(gate);
    CHECK(db.call([] { return 1; }) == 1 && gate.status("db").total_successes == 1);
    CHECK(brama::default_manager().available("shared"));
}
