"""The WSGI callable that a server loads: `cs_web.wsgi:application`."""

import os
import re
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cs_web.settings")

CHARSET = re.compile(r";\s*charset=[^;]*", re.IGNORECASE)

site = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The site, without the charset that a request declares: its forms are UTF-8. Django would use
    it, and fail before any middleware if it is not a text encoding ("rot13")."""
    environ["CONTENT_TYPE"] = CHARSET.sub("", environ.get("CONTENT_TYPE", ""))
    return site(environ, start_response)
