"""/healthz: the health of the site. Strangers get a word, monitors the details.

Not only because details are nobody's business: whoever sees that mail stopped leaving at this
moment has learnt that the letter they have just caused was one, so that somebody has the address.
"""

import ipaddress
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.cache import cache
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cs_web.proxies import watch
from mail import api

log = logging.getLogger(__name__)

CACHE_KEY, CACHE_SECONDS = "health", 60
WRITE_EVERY = 5.0  # seconds, in each process
# What a stranger's word depends on: whether the site can answer at all.
SEEN_BY_ALL = ("database", "cache")
# A request that has passed a proxy is not from this machine, whatever its address says.
ADDED_BY_PROXIES = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP")


@dataclass(frozen=True)
class Finding:
    name: str
    fine: bool
    value: str | int


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 if all is fine, else 503. JSON; plain lines for a browser."""
    details = is_monitor(request)
    findings = list(examine(writing=details))
    fine = all(one.fine for one in findings if details or one.name in SEEN_BY_ALL)
    report: dict[str, str | int] = {"status": "ok" if fine else "trouble"}
    report |= {one.name: one.value for one in findings if details}
    code = 200 if fine else 503
    json, *plain = ["application/json", "text/html", "text/plain"]
    if request.get_preferred_type([json, *plain]) in plain:
        lines = "".join(f"{name}: {value}\n" for name, value in report.items())
        return HttpResponse(lines, status=code, content_type="text/plain; charset=utf-8")
    return JsonResponse(report, status=code)


def is_monitor(request: HttpRequest) -> bool:
    """Whether they know the token, or ask from this machine itself."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if settings.HEALTH_TOKEN and constant_time_compare(token, settings.HEALTH_TOKEN):
        return True
    if any(name in request.headers for name in ADDED_BY_PROXIES):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:  # a server on a Unix socket
        return False


def examine(*, writing: bool) -> Iterator[Finding]:
    try:
        from_database = [
            Finding("database", True, "ok"),
            _overdue(),
            _alarm(),
            _engine(),
        ]
        from_database += [*_failing(), *_budget()]
        if writing and not probe.writes():
            from_database[0] = Finding("database", False, "takes no writes")
    except DatabaseError as error:
        log.error("the database does not answer", exc_info=error)
        from_database = [Finding("database", False, "does not answer")]
    yield from from_database
    yield _cache()
    if watch.trouble:  # no reason for a 503: what shows it came with a request
        yield Finding("proxies", True, watch.trouble)


class Probe:
    """A disk that is full, and a database that is read-only, still answer every question."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.next_at = 0.0
        self.worked = True

    def writes(self) -> bool:
        """What the last try has shown, which is not long ago: however often anybody asks."""
        now = self.clock()
        if now >= self.next_at:
            self.next_at = now + WRITE_EVERY
            try:
                api.write_probe()
                self.worked = True
            except DatabaseError as error:
                log.error("the database takes no writes", exc_info=error)
                self.worked = False
        return self.worked


probe = Probe()


def _engine() -> Finding:
    engine = api.engine_named(settings.MAIL_ENGINE)
    trouble = engine.trouble()
    return Finding("engine", not trouble, trouble or type(engine).__name__.lower())


def _overdue() -> Finding:
    age = api.oldest_overdue() or timedelta(0)
    fine = age <= api.OVERDUE_TOO_LONG
    return Finding("oldest_overdue_seconds", fine, int(age.total_seconds()))


def _alarm() -> Finding:
    # Without the error: a mail server's reply may contain an address.
    alarm = api.current_alarm()
    since = f"mail cannot leave, since {alarm.since.isoformat('T', 'seconds')}" if alarm else "none"
    return Finding("alarm", alarm is None, since)


def _failing() -> Iterator[Finding]:
    if number := api.failing():
        yield Finding("failing", False, number)


def _budget() -> Iterator[Finding]:
    # Without figures, which would tell who watches them whether a message has left.
    if any(part.nearly_used_up for part in api.budget_parts()):
        yield Finding("budget", False, "nearly used up")


def _cache() -> Finding:
    try:
        cache.set(CACHE_KEY, True, CACHE_SECONDS)
        fine = cache.get(CACHE_KEY) is True
    except Exception as error:  # every cache backend has its own exceptions
        log.error("the cache does not answer: %s", error)
        fine = False
    return Finding("cache", fine, "ok" if fine else "does not answer")
