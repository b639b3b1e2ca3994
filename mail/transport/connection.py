"""One connection to the mail service a thread, kept open while there is work."""

import contextlib
import smtplib
import threading

from django.core.mail import EmailMessage, get_connection

_local = threading.local()

# Answers about one message. The connection is as good as before, unless the code is 421.
ABOUT_THE_MESSAGE = (
    smtplib.SMTPRecipientsRefused,
    smtplib.SMTPSenderRefused,
    smtplib.SMTPDataError,
)
SERVICE_CLOSING = 421


def send(message: EmailMessage) -> bool:
    """Sends one message; if the server has dropped a kept connection meanwhile, over a new one.

    False: the service accepted it but will not deliver it (django-ses has the address on its list).
    """
    kept = getattr(_local, "backend", None)
    backend = kept or get_connection()
    try:
        if not kept:
            _local.backend = backend  # first: a refused login leaves an open connection to close
            backend.open()
        return bool(backend.send_messages([message]))
    except Exception as error:
        dropped = isinstance(error, (smtplib.SMTPServerDisconnected, ConnectionError))
        dropped = dropped or _code(error) == SERVICE_CLOSING
        if dropped or not isinstance(error, ABOUT_THE_MESSAGE):
            close()  # Django would keep the dead connection and fail with it for ever
        if not (kept and dropped):
            raise
    return send(message)


def close() -> None:
    """Closes this thread's connection, if there is one."""
    backend, _local.backend = getattr(_local, "backend", None), None
    if backend is not None:
        with contextlib.suppress(Exception):  # it may be dead, which is why it is closed
            backend.close()


def _code(error: Exception) -> int:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return next(iter(error.recipients.values()))[0]
    return getattr(error, "smtp_code", 0)
