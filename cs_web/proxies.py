"""A proxy in front of the site that TRUSTED_PROXIES does not count: reported once, by the log and
/healthz. Without it nothing breaks, but all visitors are one network and share one limit."""

import ipaddress
import logging

from django.conf import settings
from django.http import HttpRequest

log = logging.getLogger(__name__)

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_FORWARDED")


class Watch:
    """What this process has seen."""

    def __init__(self) -> None:
        self.trouble = ""

    def look(self, request: HttpRequest) -> None:
        expected, hops = settings.TRUSTED_PROXIES, _hops(request)
        believed = 0 < expected <= hops
        if self.trouble or believed or not _is_near(request.META.get("REMOTE_ADDR", "")):
            return
        self.trouble = f"a proxy names {hops} in X-Forwarded-For, and TRUSTED_PROXIES is {expected}"
        log.warning("%s: visitors may be counted as one (docs/operations.md)", self.trouble)


def _hops(request: HttpRequest) -> int:
    header = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return len(header.split(",")) if header.strip() else 0


def _is_near(address: str) -> bool:
    """Whether it may be a proxy of ours: anybody may send such a header from far away."""
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return True  # a Unix socket


watch = Watch()
