"""Trying the mail service now and in the foreground, for an operator who watches.

Nothing here touches the database: it works before the first `migrate`, and no budget counts it.
"""

import contextlib
import smtplib
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from django.conf import settings
from django.core.mail import get_connection

from mail import delivery, registry
from mail.models import Mail

T = TypeVar("T")

MAY_NOT_ASK = {"AccessDenied", "AccessDeniedException"}


def describe() -> dict[str, str]:
    """By whom and how mail leaves, as it is configured. No password and no key."""
    about = {"service": str(settings.EMAIL_SERVICE)}
    if settings.EMAIL_SERVICE == "ses":
        key = settings.AWS_SES_ACCESS_KEY_ID
        about["server"] = settings.AWS_SES_REGION_ENDPOINT_URL
        about["region"] = settings.AWS_SES_REGION_NAME
        about["login"] = f"access key …{key[-4:]}" if key else "this machine's own (IAM role)"
    elif settings.EMAIL_SERVICE in ("console", "file"):
        about["server"] = "none: mail leaves this machine nowhere"
    else:
        about["server"] = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
        about["TLS"] = (
            "from the start (SSL)"
            if settings.EMAIL_USE_SSL
            else ("STARTTLS" if settings.EMAIL_USE_TLS else "none")
        )
        about["login"] = settings.EMAIL_HOST_USER or "none"
    about["sender"] = settings.DEFAULT_FROM_EMAIL
    if settings.EMAIL_REPLY_TO:
        about["reply to"] = settings.EMAIL_REPLY_TO
    return about


class Trial:
    """One connection to the mail service; each step says how many seconds it took."""

    def __init__(self) -> None:
        self.backend: Any = get_connection()
        self.replies: list[tuple[int, bytes]] = []

    def connect(self) -> float:
        """Connection, TLS and login. For SES only the client: it meets the server when it sends."""
        _, seconds = _timed(self.backend.open)
        connection = getattr(self.backend, "connection", None)
        if isinstance(connection, smtplib.SMTP):
            self._listen(connection)
        return seconds

    def send(self, sample: str, language: str, address: str) -> tuple[float, str]:
        """Sends a letter about nobody as the outbox sends it; what the server said to that."""
        message = registry.sample(sample, language)
        message.to = [address]
        delivery.prepare(Mail(pk=uuid.uuid4()), message)
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
        if settings.EMAIL_SERVICE != "ses":
            return ""
        try:
            account = self.backend.connection.get_account()
        except ClientError as error:
            if error.response["Error"]["Code"] not in MAY_NOT_ASK:
                raise
            return "the keys are known; allow ses:GetAccount to see sandbox and quota here"
        quota = account["SendQuota"]
        where = "production" if account["ProductionAccessEnabled"] else "sandbox"
        paused = "" if account["SendingEnabled"] else "; Amazon has PAUSED sending"
        used, most = int(quota["SentLast24Hours"]), int(quota["Max24HourSend"])
        return f"{where}, {used} of {most} mails in 24 hours{paused}"

    def close(self) -> None:
        with contextlib.suppress(Exception):  # after a failure there may be nobody to say QUIT to
            self.backend.close()

    def _listen(self, smtp: smtplib.SMTP) -> None:
        """The reply to a mail often holds its number there; smtplib keeps that to itself."""
        hear = smtp.getreply

        def getreply() -> tuple[int, bytes]:
            self.replies.append(hear())
            return self.replies[-1]

        smtp.getreply = getreply  # type: ignore[method-assign]


def _timed(do: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = do()
    return result, time.perf_counter() - start
