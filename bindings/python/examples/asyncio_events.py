"""Guarded requests with `asyncio`, and a task that prints the changes of their circuit.

    python asyncio_events.py

The event loop wakes the task when an event waits, without a thread and without a timer.
"""

from __future__ import annotations

import asyncio

import brama

broken = False


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A service that closes the connection without an answer while it is broken."""
    await reader.readline()
    if not broken:
        writer.write(b"pong\n")
        await writer.drain()
    writer.close()


# A cancelled request says nothing about the service; a missing answer is a failure.
@brama.circuit("echo", max_attempts=2, expiry=200)
async def ping(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"ping\n")
        line = await asyncio.wait_for(reader.readline(), 1)
    finally:
        writer.close()
    if not line:
        raise ConnectionError("no answer")
    return line.decode().strip()


async def ask(port: int) -> None:
    try:
        print(f"  {await ping(port)}")
    except brama.CircuitOpen as rejected:
        print(f"  not asked; again in {rejected.retry_after} ms")
    except OSError as error:
        print(f"  failed: {error}")


async def watch(events: brama.EventStream) -> None:
    async for event in events:
        print(f"  -- {event.connection}: {event.previous_state} -> {event.new_state}")


async def main() -> None:
    global broken
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    events = brama.events("state_change")
    watcher = asyncio.create_task(watch(events))
    for broken in (False, True, False):
        print("The service is broken:" if broken else "The service is fine:")
        for _ in range(4):
            await ask(port)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.25)
    await ask(port)
    await asyncio.sleep(0.01)
    events.unsubscribe()
    await watcher
    server.close()
    print(f"At the end it is {brama.state('echo')}.")


if __name__ == "__main__":
    asyncio.run(main())
