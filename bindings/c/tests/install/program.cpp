#include <brama.hpp>
#include <iostream>

int main() {
    const brama::Brama gate;
    const auto db = gate.register_connection("db");
    std::cout << db.call([] { return "works"; }) << '\n';
}
