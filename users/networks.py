"""How often one network may send the forms that make us write to somebody.

Generous, because a whole school may stand behind one address, and counted in the cache: each
process for itself, or all together with CACHE_URL=redis://….
"""

import functools
import ipaddress
import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

log = logging.getLogger(__name__)

WINDOW = 60 * 60  # seconds


def limited(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Answers 429 to the network whose POSTs are too many for this hour."""

    @functools.wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "POST" and _count(request) > settings.FORMS_PER_NETWORK_LIMIT:
            return _too_many(request)
        return view(request, *args, **kwargs)

    return wrapper


def _count(request: HttpRequest) -> int:
    """How many there were in this hour, with this one. One count for all the forms."""
    key = f"forms:{network(request)}:{int(time.time()) // WINDOW}"
    try:
        cache.add(key, 0, WINDOW)
        return int(cache.incr(key))
    except Exception as error:  # each kind of cache has errors of its own
        # Registrations go on without a count; the limits of the outbox stand all the same.
        log.error("the forms of a network cannot be counted: %s", error)
        return 1


def _too_many(request: HttpRequest) -> HttpResponse:
    response = render(request, "429.html", status=429)
    response.headers["Retry-After"] = str(WINDOW - int(time.time()) % WINDOW)
    return response


def network(request: HttpRequest) -> str:
    """An IPv4 address, or the /64 that one IPv6 household or laboratory has."""
    try:
        ip = ipaddress.ip_address(_address(request))
    except ValueError:
        return "unknown"  # a server on a Unix socket with no proxy that is trusted
    if isinstance(ip, ipaddress.IPv6Address) and not ip.ipv4_mapped:
        return str(ipaddress.ip_network(f"{ip}/64", strict=False))
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def _address(request: HttpRequest) -> str:
    """Who is at the other end, as the outermost of our own proxies saw it."""
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    proxies = settings.TRUSTED_PROXIES
    # Each proxy adds whom it heard from; what stands further left, a stranger wrote.
    if proxies and len(hops) >= proxies and hops[-proxies]:
        return str(hops[-proxies])
    return str(request.META.get("REMOTE_ADDR", ""))
