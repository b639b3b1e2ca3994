"""The WSGI callable that a server loads: `cs_web.wsgi:application`."""

import os
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

from cs_web import servers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cs_web.settings")

with servers.loading():
    site = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    environ["CONTENT_TYPE"] = servers.plain_content_type(environ.get("CONTENT_TYPE", ""))
    return site(environ, start_response)
