"""/healthz: the health of the site, for monitoring. It shows no secrets and no addresses."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core.cache import cache
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from cs_web.proxies import watch
from mail import api

log = logging.getLogger(__name__)

CACHE_KEY, CACHE_SECONDS = "health", 60


@dataclass(frozen=True)
class Finding:
    name: str
    fine: bool
    value: str | int


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 if all is fine, else 503. JSON; plain lines for a browser."""
    findings = list(examine())
    fine = all(finding.fine for finding in findings)
    report = {"status": "ok" if fine else "trouble"} | {one.name: one.value for one in findings}
    code = 200 if fine else 503
    json, *plain = ["application/json", "text/html", "text/plain"]
    if request.get_preferred_type([json, *plain]) in plain:
        lines = "".join(f"{name}: {value}\n" for name, value in report.items())
        return HttpResponse(lines, status=code, content_type="text/plain; charset=utf-8")
    return JsonResponse(report, status=code)


def examine() -> Iterator[Finding]:
    try:
        from_database = [Finding("database", True, "ok"), _overdue(), _alarm()]
    except DatabaseError as error:
        log.error("the database does not answer: %s", error)
        from_database = [Finding("database", False, "does not answer")]
    yield from from_database
    yield _cache()
    engine = api.engine_named(settings.MAIL_ENGINE)
    trouble = engine.trouble()
    yield Finding("engine", not trouble, trouble or type(engine).__name__.lower())
    if watch.trouble:  # no reason for a 503: what shows it came with a request
        yield Finding("proxies", True, watch.trouble)


def _overdue() -> Finding:
    age = api.oldest_overdue() or timedelta(0)
    fine = age <= api.OVERDUE_TOO_LONG
    return Finding("oldest_overdue_seconds", fine, int(age.total_seconds()))


def _alarm() -> Finding:
    # Without the error: a mail server's reply may contain an address.
    alarm = api.current_alarm()
    since = f"mail cannot leave, since {alarm.since.isoformat('T', 'seconds')}" if alarm else "none"
    return Finding("alarm", alarm is None, since)


def _cache() -> Finding:
    try:
        cache.set(CACHE_KEY, True, CACHE_SECONDS)
        fine = cache.get(CACHE_KEY) is True
    except Exception as error:  # every cache backend has its own exceptions
        log.error("the cache does not answer: %s", error)
        fine = False
    return Finding("cache", fine, "ok" if fine else "does not answer")
