"""What may be read in the log and in reports to ADMINS: each record on lines of its own, of a
length to read, and without the token of a link, whoever wrote it and whatever a stranger sent."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from typing import Any

from django.http import HttpRequest
from django.utils.log import AdminEmailHandler
from django.views.debug import SafeExceptionReporterFilter

from cs_web import outage

ROOT = Path(__file__).resolve().parent.parent
LINE_MAX_LENGTH = 2_000
BODY_MAX_LENGTH = 50_000

# What follows a person in /users/activate/<uid64>/… (so also password/reset and notices), however a
# stranger or a mail program has spelled the path; and what looks like a token, wherever it is.
SLASH = "(?:/|%2f)+"
IN_PATH = re.compile(
    rf"((?:activate|reset|notices|address|take-back|deletion){SLASH}(?:(?!%2f)[^/\s])+{SLASH})"
    r"[^/\s?\"']+",
    re.I,
)
TOKEN = re.compile(r"\b[0-9a-z]{1,13}(?:-|%2d)[0-9a-f]{32}\b", re.I)


def plain(text: str, length: int = LINE_MAX_LENGTH) -> str:
    """One line without tokens, in which nothing can pass for another record or for a command of
    the terminal."""
    if len(text) > length:
        text = f"{text[:length]}… ({len(text)} characters)"
    text = TOKEN.sub("[token]", IN_PATH.sub(r"\1[token]", text))
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class OneLine(logging.Formatter):
    """The formatter of every log: of ours, Django's and the server's."""

    def __init__(self, end: str = "") -> None:
        super().__init__("{asctime} {levelname} {name}: {message}", style="{")
        self.end = end

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info and self.end and not outage.lines.shorten(record):
            return ""
        record.asctime = self.formatTime(record)
        record.message = plain(record.getMessage())
        line = self.formatMessage(record)
        # Django hands over that of each refusal too, and a stranger causes as many as they like.
        if record.exc_info and getattr(record, "status_code", 500) >= 500:
            # Its lines are indented, as no record is: an exception's words may be a stranger's.
            lines = self.formatException(record.exc_info).splitlines()
            shown = lines if len(lines) <= 100 else [*lines[:50], "…", *lines[-50:]]
            line += "".join(f"\n    {plain(each)}" for each in shown)
        return line + self.end


class Console(logging.StreamHandler):
    """Its formatter ends the lines, and may so leave one out."""

    terminator = ""


class AdminReports(AdminEmailHandler):
    """Queues error reports to ADMINS, so that a broken page does not wait for a mail server too."""

    def emit(self, record: logging.LogRecord) -> None:
        if outage.outage_of(record):  # reported by another way, for this one asks the database
            return
        self.fault = fault_of(record)  # a handler is locked while it emits
        super().emit(record)

    def send_mail(self, subject: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        from mail import api  # logging is set up before models can be imported

        body = "\n".join(plain(line) for line in message[:BODY_MAX_LENGTH].split("\n"))
        api.report_to_admins(plain(subject), body, self.fault)


def fault_of(record: logging.LogRecord) -> str:
    """What two equal reports have in common: the exception's type and place, never the request."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return plain(f"{record.msg} ({_place(record.pathname, record.lineno)})")
    return f"{type(error).__name__} ({', '.join(_places(error))})"


def _places(error: BaseException) -> Iterator[str]:
    """Where it was raised; and from where of ours, because a library is called from everywhere."""
    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    ours = [(file, line) for file, line in places if _is_ours(file)]
    for file, line in dict.fromkeys([*ours[-1:], *places[-1:]]):
        yield _place(file, line)


def _is_ours(file: str) -> bool:
    return Path(file).is_relative_to(ROOT) and "site-packages" not in file


def _place(file: str, line: int) -> str:
    return f"{'/'.join(Path(file).parts[-3:])}:{line}"


class NoCookies(SafeExceptionReporterFilter):
    """Django shows all cookies in a report but those that are named like a secret."""

    def get_safe_cookies(self, request: HttpRequest) -> dict[str, str]:
        return dict.fromkeys(getattr(request, "COOKIES", {}), self.cleansed_substitute)
