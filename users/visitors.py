"""What we know about a visitor: their network, and the claim that their browser made.

`limited` and `visitors_only` decorate views in `users.urls`. Requests are counted by network in
the cache: by each process alone, or by all together with CACHE_URL=redis://…. The limit is
generous, because a whole school may share one address.
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
from django.shortcuts import redirect, render

from users.models import User

log = logging.getLogger(__name__)

WINDOW = 60 * 60  # seconds


View = Callable[..., HttpResponseBase]


def visitors_only(view: View) -> View:
    """Redirects people who are signed in to the start page."""

    @functools.wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return redirect("home") if request.user.is_authenticated else view(request, *args, **kwargs)

    return wrapper


def limited(view: View) -> View:
    """Answers 429 to a network that has sent too many POSTs this hour."""

    @functools.wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "POST" and _count(request) > settings.FORMS_PER_NETWORK_LIMIT:
            return _too_many(request)
        return view(request, *args, **kwargs)

    return wrapper


def _count(request: HttpRequest) -> int:
    """The requests of this network in this hour, with this one. All forms share one counter."""
    key = f"forms:{network(request)}:{int(time.time()) // WINDOW}"
    try:
        cache.add(key, 0, WINDOW)
        return int(cache.incr(key))
    except Exception as error:  # every cache backend has its own exceptions
        # Registration works without the counter; the limits of the queue still apply.
        log.error("forms are not limited, because the cache does not answer: %s", error)
        return 1


def _too_many(request: HttpRequest) -> HttpResponse:
    response = render(request, "429.html", status=429)
    response.headers["Retry-After"] = str(WINDOW - int(time.time()) % WINDOW)
    return response


def network(request: HttpRequest) -> str:
    """The client's network, as our outermost proxy saw it: an IPv4 address, or the /64 of an IPv6
    address, which one household or laboratory shares."""
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    proxies = settings.TRUSTED_PROXIES
    address = request.META.get("REMOTE_ADDR", "")
    # Each proxy appends the address of its peer; anything further left can be forged.
    if proxies and len(hops) >= proxies and hops[-proxies]:
        address = hops[-proxies]
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"  # a server on a Unix socket, without a trusted proxy
    if isinstance(ip, ipaddress.IPv6Address) and not ip.ipv4_mapped:
        return str(ipaddress.ip_network(f"{ip}/64", strict=False))
    return str(getattr(ip, "ipv4_mapped", None) or ip)


# The claim: in the session, and useless once it is activated


CLAIM = "claim"


def remember_claim(request: HttpRequest, claim: User) -> None:
    """This browser has registered, or has given the password of the claim."""
    request.session.cycle_key()  # whoever knew the old session must not see the claim
    request.session[CLAIM] = str(claim.pk)


def forget_claim(request: HttpRequest) -> None:
    request.session.pop(CLAIM, None)


def claim_of(request: HttpRequest, *, include_expired: bool = False) -> User | None:
    """This browser's claim, if it has not expired; an expired one where a new link revives it."""
    pk = request.session.get(CLAIM)
    claim = User.objects.waiting().filter(pk=pk).first() if pk else None
    return claim if claim and (include_expired or not claim.claim_is_expired) else None
