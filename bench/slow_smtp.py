"""A mail server that accepts everything, each message after some milliseconds.

python -m bench.slow_smtp PORT MILLISECONDS
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


async def serve(port: int, milliseconds: int) -> None:
    listening = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Slow(milliseconds)), "127.0.0.1", port
    )
    async with listening:
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
