"""A wire with a round trip: a TCP proxy that delays every byte by half of it, each way.

Bytes are delayed, not queued one after another: what is written at once arrives at once.

    python -m bench.wire LISTEN_PORT SERVER_PORT ROUND_TRIP_MS
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

HOST = "127.0.0.1"
CHUNK = 65536
Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Reads as fast as bytes come, and writes each of them `delay` later, in their order."""
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        data = b"-"
        while data:
            due, data = await on_the_way.get()
            await asyncio.sleep(due - loop.time())
            if data:
                writer.write(data)
        writer.close()

    arriving = asyncio.create_task(arrive())
    data = b"-"
    while data:
        try:
            data = await reader.read(CHUNK)
        except ConnectionError:
            data = b""
        on_the_way.put_nowait((loop.time() + delay, data))
    await arriving


def proxy(server_port: int, round_trip: float) -> Accept:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The handshake of TCP itself: the proxy answers it at once, a far server would not.
        await asyncio.sleep(round_trip)
        there, back = await asyncio.open_connection(HOST, server_port)
        half = round_trip / 2
        await asyncio.gather(carry(reader, back, half), carry(there, writer, half))

    return accept


async def serve(port: int, server_port: int, round_trip: float) -> None:
    server = await asyncio.start_server(proxy(server_port, round_trip), HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    port, server_port, round_trip_ms = map(int, sys.argv[1:])
    asyncio.run(serve(port, server_port, round_trip_ms / 1000))
