"""/healthz: whether the site is well, for whoever watches over it. No secret, and no address."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.core.cache import cache
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_tasks import task_backends

from mail import alarms
from mail.engines import threads
from mail.models import Mail

log = logging.getLogger(__name__)

PATH = "/healthz"
OVERDUE_TOO_LONG = timedelta(minutes=5)
CACHE_KEY, CACHE_SECONDS = "mail.health", 60


@dataclass(frozen=True)
class Finding:
    name: str
    fine: bool
    value: str | int


def answer(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Middleware, and the first: who probes comes by an inner name, without https or a session."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return healthz(request) if request.path_info == PATH else get_response(request)

    return middleware


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 if all is fine, else 503. JSON; plain lines for a browser."""
    findings = list(examine())
    fine = all(finding.fine for finding in findings)
    told = {"status": "ok" if fine else "trouble"} | {one.name: one.value for one in findings}
    code = 200 if fine else 503
    if request.get_preferred_type(["application/json", "text/html", "text/plain"]) in (
        "text/html",
        "text/plain",
    ):
        lines = "".join(f"{name}: {value}\n" for name, value in told.items())
        return HttpResponse(lines, status=code, content_type="text/plain; charset=utf-8")
    return JsonResponse(told, status=code)


def examine() -> Iterator[Finding]:
    try:
        of_database = [Finding("database", True, "ok"), _overdue(), _alarm()]
    except DatabaseError as error:
        log.error("the database does not answer: %s", error)
        of_database = [Finding("database", False, "does not answer")]
    yield from of_database
    yield _cache()
    yield _engine()


def oldest_overdue() -> timedelta | None:
    """For how long the mail that has waited longest could have been sent already."""
    for due in Mail.objects.due().order_by("due").values_list("due", flat=True)[:1]:
        return timezone.now() - due
    return None


def _overdue() -> Finding:
    age = oldest_overdue() or timedelta(0)
    return Finding("oldest_overdue_seconds", age <= OVERDUE_TOO_LONG, int(age.total_seconds()))


def _alarm() -> Finding:
    # Not its words: a mail server's answer may name an address.
    alarm = alarms.current()
    since = f"mail cannot leave, since {alarm.since.isoformat('T', 'seconds')}" if alarm else "none"
    return Finding("alarm", alarm is None, since)


def _cache() -> Finding:
    try:
        cache.set(CACHE_KEY, True, CACHE_SECONDS)
        fine = cache.get(CACHE_KEY) is True
    except Exception as error:  # each kind of cache has errors of its own
        log.error("the cache does not answer: %s", error)
        fine = False
    return Finding("cache", fine, "ok" if fine else "does not answer")


def _engine() -> Finding:
    backend = task_backends["default"]
    if not isinstance(backend, threads.ThreadsBackend):
        return Finding("engine", True, type(backend).__name__)
    alive = [thread.is_alive() for thread in threads._pool.threads]
    if not all(alive):
        return Finding("engine", False, f"{alive.count(False)} of {len(alive)} threads have ended")
    return Finding("engine", True, "running" if alive else "idle")
