"""A mail server that accepts everything, each message after some milliseconds.

python -m bench.slow_smtp PORT MILLISECONDS [CONNECTIONS]

With CONNECTIONS it greets no more than so many at the same time; the others get a 421.
"""

import asyncio
import sys
from typing import Any

from aiosmtpd.smtp import SMTP


class Slow:
    def __init__(self, milliseconds: int) -> None:
        self.seconds = milliseconds / 1000

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        await asyncio.sleep(self.seconds)
        return "250 accepted"


class Crowded(SMTP):
    most, now = 1_000_000, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.greeted = Crowded.now < Crowded.most
        if self.greeted:
            Crowded.now += 1
            super().connection_made(transport)
        else:
            transport.write(b"421 4.7.0 too many connections\r\n")  # type: ignore[attr-defined]
            transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self.greeted:
            Crowded.now -= 1
            super().connection_lost(error)


async def serve(port: int, milliseconds: int) -> None:
    listening = await asyncio.get_running_loop().create_server(
        lambda: Crowded(Slow(milliseconds)), "127.0.0.1", port
    )
    async with listening:
        await listening.serve_forever()


if __name__ == "__main__":
    Crowded.most = int(sys.argv[3]) if len(sys.argv) > 3 else Crowded.most
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
