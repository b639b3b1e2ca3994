"""Delivering: claim a row, write its letter now, send it, mark it. At least once."""

import logging
from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.utils import timezone, translation

from mail import connections, site
from mail.errors import Fault, explain
from mail.models import Mail
from mail.registry import letters

log = logging.getLogger(__name__)

ROWS_A_SWEEP = 200


def overdue() -> list[Any]:
    """What a sweep gives to the senders: lost hints, dead senders and retries alike."""
    return list(Mail.objects.overdue().values_list("pk", flat=True)[:ROWS_A_SWEEP])


def deliver(pk: Any) -> Mail | None:
    """Sends one mail, if it is still to be sent and nobody else is at it.

    Returns the row as it is afterwards, or None if it was not ours to send. Raises only where the
    database cannot be reached; the end of the lease then brings the row back.
    """
    mail = Mail.objects.claim(pk)
    if mail is None:
        return None
    try:
        _send(mail)
    except Exception as error:  # whatever it is, the loop goes on and the row tells
        _record(mail, error)
    return mail


def _send(mail: Mail) -> None:
    letter = letters[mail.letter]
    if timezone.now() > mail.created_at + letter.useful_for:
        mail.mark_failed(f"too late to be of use. {mail.error}".strip())
        return
    with translation.override(mail.language):
        message = letter.write(mail)
    if message is None:
        mail.mark_dropped("no longer needed")
        return
    _address(mail, message)
    sent = connections.send(message)
    if sent:
        # django-ses leaves the id that bounces will name among the headers.
        mail.mark_sent(str(message.extra_headers.get("message_id", "")))
    else:
        mail.mark_dropped("suppressed by the mail service")


def _address(mail: Mail, message: EmailMultiAlternatives) -> None:
    """What is the same for every mail of ours."""
    if (
        len(message.recipients()) != 1
    ):  # the server's answer could be yes for one and no for another
        raise ValueError(f"one recipient a mail, not {len(message.recipients())}")
    message.extra_headers |= {
        # The same at every attempt, so that a reader's server can tell a repetition.
        "Message-ID": f"<{mail.pk}@{site.host()}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }


def _record(mail: Mail, error: Exception) -> None:
    """The one place that decides what a failure means for the row."""
    fault, words = explain(error)
    if fault is Fault.PASSING:
        mail.retry(words)
    elif fault is Fault.OURS:
        mail.snooze(words)
    elif fault is Fault.LASTING:
        mail.mark_failed(words)
    else:
        mail.retry_after_fault(words)
    level = logging.WARNING if fault in (Fault.PASSING, Fault.LASTING) else logging.ERROR
    log.log(
        level, "mail %s: %s", mail.pk, words, exc_info=error if fault is Fault.UNKNOWN else None
    )
