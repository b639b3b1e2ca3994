"""The name of this site, as mail servers and readers see it."""

from urllib.parse import urlsplit

from django.conf import settings


def host() -> str:
    return urlsplit(settings.SITE_URL).hostname or "localhost"


def url(path: str) -> str:
    """An absolute link. From the configuration, never from a request: its Host is a stranger's."""
    return f"{settings.SITE_URL}{path}"
