"""Trying the mail service now and in the foreground, for an operator who watches.

Nothing here touches the database: it works before the first `migrate`, and no budget counts it.
"""

import contextlib
import smtplib
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from django.core.mail import get_connection

from mail import conf
from mail.models import Mail
from mail.queue import delivering
from mail.queue.letters import samples

T = TypeVar("T")


def describe() -> dict[str, str]:
    """By whom and how mail leaves, as it is configured. No password and no key."""
    about = {"service": str(conf.EMAIL_SERVICE)}
    if conf.EMAIL_SERVICE == "ses":
        key = conf.AWS_ACCESS_KEY_ID
        about["server"] = server()
        about["region"] = conf.AWS_SES_REGION_NAME
        about["login"] = f"access key …{key[-4:]}" if key else "this machine's own (IAM role)"
    elif not server():
        about["server"] = "none: mail leaves this machine nowhere"
    else:
        starttls = "STARTTLS" if settings.EMAIL_USE_TLS else "none"
        about["server"] = server()
        about["TLS"] = "from the start (SSL)" if settings.EMAIL_USE_SSL else starttls
        about["login"] = settings.EMAIL_HOST_USER or "none"
    about["sender"] = settings.DEFAULT_FROM_EMAIL
    if conf.EMAIL_REPLY_TO:
        about["reply to"] = conf.EMAIL_REPLY_TO
    return about


def server() -> str:
    """Where a connection goes; "" if mail leaves this machine nowhere."""
    if conf.EMAIL_SERVICE == "ses":
        return str(conf.AWS_SES_REGION_ENDPOINT_URL)
    service = conf.SERVICES.get(conf.EMAIL_SERVICE or "")
    is_real = service is None or service.is_real
    return f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}" if is_real else ""


def where_to_look() -> str:
    """For what was just sent."""
    if conf.EMAIL_SERVICE == "file":
        page = f", and {conf.absolute_url('/mailbox/')} shows it" if settings.DEBUG else ""
        return f"It has not left this machine: it is a file in {conf.MAILBOX_DIR}{page}."
    if not server():
        return "It has not left this machine: it is printed above."
    return "Accepted by the mail service. Look into the mailbox, and its spam folder."


def sample_names() -> list[str]:
    """An operator's own comes last: it proves least."""
    return sorted(samples, key=lambda name: name == "adhoc")


class Trial:
    """One connection to the mail service; each step says how many seconds it took."""

    def __init__(self) -> None:
        self.backend: Any = get_connection()
        self.doing = "connecting"
        self.replies: list[tuple[int, bytes]] = []

    def connect(self) -> float:
        """Connection, TLS and login. For SES only the client: it meets the server when it sends."""
        _, seconds = _timed(self.backend.open)
        smtp = getattr(self.backend, "connection", None)
        if isinstance(smtp, smtplib.SMTP):
            # The reply to a message often holds its number there; smtplib keeps that to itself.
            hear = smtp.getreply
            smtp.getreply = lambda: self.replies.append(hear()) or self.replies[-1]  # type: ignore
        self.doing = "connected" if server() and conf.EMAIL_SERVICE != "ses" else "ready"
        return seconds

    def send(self, sample: str, language: str, address: str) -> tuple[float, str]:
        """Sends a letter about nobody as the queue sends it; what the server said to that."""
        self.doing = f"{sample} ({language})"
        mail = Mail(pk=uuid.uuid4(), language=language)
        message = delivering.write(mail, lambda: samples[sample](language))
        message.to = [address]
        sent, seconds = _timed(lambda: self.backend.send_messages([message]))
        if not sent:
            return seconds, "not sent: the service has this address on its suppression list"
        if "message_id" in message.extra_headers:
            return seconds, f"accepted as {message.extra_headers['message_id']}"
        if self.replies:
            code, text = self.replies[-1]
            return seconds, f"{code} {text.decode('utf-8', 'replace')}"
        return seconds, "accepted"

    def account(self) -> str:
        """What Amazon says about the account, which also proves the keys; "" for other services."""
        if conf.EMAIL_SERVICE != "ses":
            return ""
        from mail.transport import ses  # only where SES is used is botocore imported

        return ses.account(self.backend.connection)

    def close(self) -> None:
        with contextlib.suppress(Exception):  # after a failure there may be nobody to say QUIT to
            self.backend.close()


def _timed(do: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = do()
    return result, time.perf_counter() - start
