"""What every server needs: gunicorn loads the site by `cs_web.wsgi`, uvicorn by `cs_web.asgi`."""

import re

# The charset, however it is written, and whatever has an encoding of its own (RFC 2231: `name*=`).
ENCODINGS = re.compile(r";(\s*charset|[^;=]*\*)[^;]*", re.IGNORECASE)


def plain_content_type(value: str) -> str:
    """A Content-Type without encodings. The site's forms are UTF-8, whatever a request says: Django
    would believe it, and fail before any middleware where the name is none of a text's encoding
    ("rot13"), or is unknown ("name*=nonsense''x")."""
    return ENCODINGS.sub("", value)
