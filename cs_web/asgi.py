"""The ASGI callable that a server loads: `cs_web.asgi:application`."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

from cs_web import servers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cs_web.settings")

with servers.loading():
    site = get_asgi_application()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    headers = [
        (name, _plain(value) if name == b"content-type" else value)
        for name, value in scope.get("headers", [])
    ]
    await site({**scope, "headers": headers}, receive, send)


def _plain(value: bytes) -> bytes:
    return servers.plain_content_type(value.decode("latin-1")).encode("latin-1")
