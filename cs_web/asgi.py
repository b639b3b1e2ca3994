"""The ASGI callable that a server loads: `cs_web.asgi:application`."""

import asyncio
import os
from typing import Any

from django.core.asgi import get_asgi_application

from cs_web import servers
from cs_web.senders import Senders

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cs_web.settings")

with servers.loading():
    site = get_asgi_application()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    headers = [
        (name, _plain(value) if name == b"content-type" else value)
        for name, value in scope.get("headers", [])
    ]
    await site({**scope, "headers": headers}, receive, send)


async def _live(receive: Any, send: Any) -> None:
    """The senders of mail start with the server, and finish what is in flight before it ends.

    Not by `atexit`: uvicorn ends by the signal that it was sent.
    """
    from mail import api

    beside = Senders() if servers.senders_are_ours() else None
    await receive()
    api.wake()
    if beside:
        beside.start()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.to_thread(api.stop)
    if beside:
        await asyncio.to_thread(beside.stop)
    await send({"type": "lifespan.shutdown.complete"})


def _plain(value: bytes) -> bytes:
    return servers.plain_content_type(value.decode("latin-1")).encode("latin-1")
