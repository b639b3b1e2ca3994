"""One connection to the mail service a thread, kept open while there is work."""

import contextlib
import smtplib
import threading
from collections.abc import Callable
from typing import Any

from django.core.mail import EmailMessage, get_connection

_local = threading.local()

# Answers about one message. The connection is as good as before, unless the code is 421.
ABOUT_THE_MESSAGE = (
    smtplib.SMTPRecipientsRefused,
    smtplib.SMTPSenderRefused,
    smtplib.SMTPDataError,
)
SERVICE_CLOSING = 421


class CannotConnect(Exception):
    """No connection could be opened, so that it is about the server, and never about a message."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


class Unanswered(smtplib.SMTPServerDisconnected):
    """The server had the whole message, and did not say whether it accepted it."""


def send(message: EmailMessage, still_wanted: Callable[[], bool] = lambda: True) -> bool | None:
    """Sends one message; if the server has dropped a kept connection meanwhile, over a new one.

    False: the service accepted it but will not deliver it (django-ses has the address on its list).
    None: while the connection was opened, the message has become somebody else's to send.
    """
    kept = getattr(_local, "backend", None)
    backend = kept or _open()
    try:
        return bool(backend.send_messages([message])) if still_wanted() else None
    except Exception as error:
        dropped = isinstance(error, (smtplib.SMTPServerDisconnected, ConnectionError))
        dropped = dropped or _code(error) == SERVICE_CLOSING
        if dropped or not isinstance(error, ABOUT_THE_MESSAGE):
            close()  # Django would keep the dead connection and fail with it for ever
        if not (kept and dropped) or isinstance(error, Unanswered):
            raise
    return send(message, still_wanted)


def _open() -> Any:
    backend = _local.backend = get_connection()
    try:
        backend.open()
    except Exception as error:
        close()  # a refused login leaves an open connection
        raise CannotConnect(error) from error
    return backend


def close() -> None:
    """Closes this thread's connection, if there is one."""
    backend, _local.backend = getattr(_local, "backend", None), None
    if backend is not None:
        with contextlib.suppress(Exception):  # it may be dead, which is why it is closed
            backend.close()


def is_open() -> bool:
    """Whether this thread has a connection."""
    return getattr(_local, "backend", None) is not None


def _code(error: Exception) -> int:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return next(iter(error.recipients.values()))[0]
    return getattr(error, "smtp_code", 0)
