"""A database that is away, locked, full or read-only is one thing, whatever asked it.

Visitors get a page that says so, at once; the log a line a minute, without a traceback; ADMINS one
message in six hours, which needs no database. What the database has refused is no outage: a
statement that is wrong, a table that is missing, a deadlock.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.core import mail
from django.http import HttpRequest, HttpResponse, HttpResponseServerError
from django.template.loader import render_to_string
from django.utils.cache import add_never_cache_headers

from cs_web import databases

log = logging.getLogger(__name__)

RETRY_AFTER = 30  # seconds, for a browser or a proxy that asks again by itself
A_LINE_EVERY = 60.0  # seconds
REPORT_EVERY = 6 * 60 * 60.0  # seconds, as other faults are reported

# In the words of SQLite: its primary result codes.
SQLITE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
# And of PostgreSQL: classes of SQLSTATE (connection, resources, intervention, system), and single
# ones: a server that is read-only, a lock that was not to be had.
POSTGRESQL = ("08", "53", "57", "58", "25006", "55P03")
WITHOUT_CODE = {"OperationalError", "InterfaceError"}  # the driver's own, about a dead connection


def outage_in(error: BaseException | None) -> BaseException | None:
    """What the driver of the database said, if that is why this was raised."""
    while error is not None:
        code, state = getattr(error, "sqlite_errorcode", None), getattr(error, "sqlstate", None)
        if code is not None:
            return error if code & 0xFF in SQLITE else None
        if state is not None:
            return error if state.startswith(POSTGRESQL) else None
        names = {kind.__name__ for kind in type(error).__mro__}
        if error.__cause__ is None and names & WITHOUT_CODE:
            return error
        error = error.__cause__
    return None


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: called where an exception is handled, in a view or in a middleware."""
    error = sys.exc_info()[1]
    outage = outage_in(error)
    if outage is None:
        return HttpResponseServerError(page_of_a_fault())
    if getattr(outage, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
        databases.waited_in_vain()
    log.error("a visitor got no answer: %s", request.path, exc_info=error)
    # Without the request: who asks is in the database.
    page = HttpResponse(
        render_to_string("503_database.html"), status=HTTPStatus.SERVICE_UNAVAILABLE
    )
    page.headers["Retry-After"] = str(RETRY_AFTER)
    add_never_cache_headers(page)
    page._has_been_logged = True  # type: ignore[attr-defined]  # by Django, with a traceback
    return page


PLAIN = """<!doctype html>
<html lang="ko">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>오류가 발생했습니다</title>
<p>오류가 발생했습니다. 잠시 후 다시 시도해 주세요. <a href="/">첫 페이지</a></p>
<p lang="en">Something went wrong. Please try again in a few minutes. <a href="/">Start page</a></p>
<p lang="zh-hant">發生錯誤，請稍後再試。<a href="/">首頁</a></p>
"""


def page_of_a_fault() -> str:
    try:
        return render_to_string("500.html")  # without the request, which may be at fault
    except Exception:  # whatever has failed may be what this page needs, too
        log.exception("the page of a fault cannot be shown, and a plain one was")
        return PLAIN


class Lines:
    """What the log says of it, whoever fails: senders, chores, pages. A line a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.lock = threading.Lock()
        self.next_line = self.next_report = 0.0
        self.left_out = 0

    def shorten(self, record: logging.LogRecord) -> bool:
        """Whether it is to be written; it has lost its traceback then."""
        error = outage_of(record)
        if error is None:
            return True
        with self.lock:
            now = self.clock()
            if now < self.next_line:
                self.left_out += 1
                return False
            left_out, self.left_out, self.next_line = self.left_out, 0, now + A_LINE_EVERY
            report = now >= self.next_report
            if report:
                self.next_report = now + REPORT_EVERY
        words = " ".join(str(error).split())
        more = f"; and {left_out} times since the last line" if left_out else ""
        record.msg = f"the database is in trouble: {words} ({record.getMessage()}{more})"
        record.args, record.exc_info, record.exc_text = (), None, None
        if report and settings.ADMINS and not settings.DEBUG:
            with contextlib.suppress(RuntimeError):  # no thread to be had
                threading.Thread(target=report_to_admins, args=[words], daemon=True).start()
        return True


lines = Lines()


def outage_of(record: logging.LogRecord) -> BaseException | None:
    """Kept in the record, because the line for the log loses the exception."""
    if not hasattr(record, "outage"):
        record.outage = outage_in(record.exc_info[1]) if record.exc_info else None
    return record.outage  # type: ignore[attr-defined, no-any-return]


def report_to_admins(words: str) -> None:
    """Straight to the mail server: the queue is in the database."""
    if not _is_first():
        return
    subject = f"{settings.EMAIL_SUBJECT_PREFIX}The database is in trouble"
    body = f"{settings.SITE_URL} cannot use its database, and answers 503:\n\n{words}\n"
    try:
        for _, address in settings.ADMINS:
            mail.EmailMessage(subject, body, to=[address]).send()
    except Exception as error:  # whatever it is, the line in the log is there
        log.error("the outage could not be reported to ADMINS: %s", error)


def _is_first() -> bool:
    """Of all processes of this machine. By the time of an empty file, which needs no room."""
    place = settings.VAR_DIR
    with contextlib.suppress(OSError):  # read-only, say: each process sends one
        folder = os.open(place, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            reported = place / "outage.reported"
            if reported.exists() and time.time() - reported.stat().st_mtime < REPORT_EVERY:
                return False
            reported.touch()
        finally:
            os.close(folder)
    return True
