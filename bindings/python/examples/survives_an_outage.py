"""A web service that survives the outage of what it depends on.

    python survives_an_outage.py

Two servers of the standard library run here: a price service, which hangs for a while, and a
shop that asks it for prices with `urllib`. The first requests during the outage time out. Then
the circuit opens, and the shop answers at once with the last known price, so its customers do
not wait for a timeout. After the outage a probe succeeds, and the shop has fresh prices again.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import brama

TIMEOUT = 0.15  # Seconds that a customer waits for a price service that hangs.

price_service_hangs = threading.Event()
last_known = "no price yet"


class Quiet(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class PriceService(Quiet):
    def do_GET(self) -> None:
        if price_service_hangs.is_set():
            time.sleep(2 * TIMEOUT)
        answer(self, "9.99")


class Shop(Quiet):
    def do_GET(self) -> None:
        try:
            answer(self, price())
        except OSError:
            answer(self, f"{last_known} (the price service does not answer)")


def answer(handler: BaseHTTPRequestHandler, text: str) -> None:
    try:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(text.encode())
    except OSError:
        pass  # The client has stopped waiting.


def instead() -> str:
    return f"{last_known} (from memory)"


# Three timeouts in a row open the circuit, for 400 ms.
@brama.circuit("prices", max_attempts=3, expiry=400, include=OSError, fallback=instead)
def price() -> str:
    global last_known
    with urllib.request.urlopen(url(prices), timeout=TIMEOUT) as response:
        last_known = str(response.read(), "utf-8")
    return last_known


def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}/"


def serve(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def buy() -> None:
    """Asks the shop for a price, as a customer does."""
    start = time.perf_counter()
    with urllib.request.urlopen(url(shop), timeout=5) as response:
        text = response.read().decode()
    took = (time.perf_counter() - start) * 1000
    print(f"  {took:4.0f} ms  {text}\n", end="")


def tell(event: brama.Event) -> None:
    print(f"  -- {event.connection}: {event.previous_state} -> {event.new_state}\n", end="")


prices, shop = serve(PriceService), serve(Shop)


def main() -> None:
    brama.subscribe(tell, events="state_change")
    print("All is well:")
    buy()
    print("The price service hangs:")
    price_service_hangs.set()
    for _ in range(6):
        buy()
        time.sleep(0.02)
    print("It is back, and found out by a probe:")
    price_service_hangs.clear()
    time.sleep(0.5)
    buy()
    buy()
    status = brama.status("prices")
    print(f"{status.total_failures} timeouts, {status.total_rejections} calls were spared one")


if __name__ == "__main__":
    main()
