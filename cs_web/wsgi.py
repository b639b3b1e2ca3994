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
    """The site. Its forms are UTF-8, whatever a request says: Django would believe it, and fail
    before any middleware where the name is none of a text's encoding ("rot13")."""
    environ["CONTENT_TYPE"] = CHARSET.sub("", environ.get("CONTENT_TYPE", ""))
    return site(environ, start_response)
