"""Delivering: claim a row, write its letter now, send it, mark it. At least once."""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import DatabaseError
from django.utils import timezone, translation

from mail import alarms, connections, limits, site
from mail.errors import Fault, explain
from mail.holding import holding
from mail.models import ERROR_MAX_LENGTH, FAULTS_AT_MOST, Attempt, Mail
from mail.registry import AddressRefused, letters, look_up
from mail.suppression import Reason, suppress

log = logging.getLogger(__name__)

ROWS_A_SWEEP = 200
NOTE_AGAIN_AFTER = (0.2, 1.0, 5.0)  # seconds


def overdue() -> list[tuple[Any, int]]:
    """What a sweep gives to the senders, with its priority: lost hints, dead senders, retries."""
    return list(Mail.objects.overdue().values_list("pk", "priority")[:ROWS_A_SWEEP])


def deliver(pk: Any) -> Mail | None:
    """Sends one mail, if it is still to be sent and nobody else is at it.

    Returns the row as it is afterwards, or None if it was not ours to send. Raises only where the
    database cannot be reached; the end of the lease then brings the row back.
    """
    return next(deliver_batch([pk]), None)


def deliver_batch(pks: Sequence[Any]) -> Iterator[Mail]:
    """The same for several, one after the other; yields each as soon as it is done with.

    What must be known of them is asked once for all. But each is claimed only when its turn comes:
    whoever asks for no more leaves the rest as free as it was.
    """
    mails = Mail.objects.read(pks)
    trouble: Exception | None = None
    alone: set[Any] = set()
    try:
        look_up(mails)
        alone = limits.alone(mails)
    except Exception as error:  # whatever it is, as below
        trouble = error
    for mail in mails:
        if mail.claim():
            with holding(mail):
                if trouble:
                    _record(mail, trouble)
                else:
                    _deliver(mail, mail.pk in alone)
            yield mail


def _deliver(mail: Mail, is_alone: bool) -> None:
    try:
        message = _written(mail, is_alone)
        sent = message is not None and connections.send(message)
    except limits.Over as why:
        mail.mark_dropped(str(why))
    except AddressRefused as why:
        mail.mark_refused(str(why))
    except Exception as error:  # whatever it is, the loop goes on and the row tells
        _record(mail, error)
    else:
        if message is not None:
            _note(mail, message, sent)


def _written(mail: Mail, is_alone: bool) -> EmailMultiAlternatives | None:
    """The letter, ready to leave; None if it does not leave now, and then the row says why."""
    letter = letters[mail.letter]
    if mail.faults > FAULTS_AT_MOST:
        mail.mark_failed(f"its sender died {FAULTS_AT_MOST} times in a row")
        return None
    if timezone.now() > mail.created_at + letter.useful_for:
        mail.mark_failed(f"too late to be of use. {mail.error}".strip())
        return None
    with translation.override(mail.language):
        message = letter.write(mail)
    if message is None:
        mail.mark_dropped("no longer needed")
        return None
    if wait := limits.wait_for_turn(mail, is_alone):
        mail.wait_until(*wait)
        return None
    if until := alarms.hold_until():
        mail.wait_until(until, "waits until the mail service takes mail again", held=True)
        alarms.was_held()
        return None
    prepare(mail, message)
    return message


def _note(mail: Mail, message: EmailMultiAlternatives, sent: bool) -> None:
    """After the server's 250 there is no way back: a database that is busy is asked again."""
    for wait in NOTE_AGAIN_AFTER:
        try:
            return _note_once(mail, message, sent)
        except DatabaseError:
            log.warning("mail %s has left, and cannot be noted yet", mail.pk)
            time.sleep(wait)
    _note_once(mail, message, sent)  # or the end of the lease sends it a second time


def _note_once(mail: Mail, message: EmailMultiAlternatives, sent: bool) -> None:
    if sent:
        # django-ses leaves the id that bounces will name among the headers.
        mail.mark_sent(str(message.extra_headers.get("message_id", "")))
        alarms.mail_left()
    else:
        mail.mark_dropped("suppressed by the mail service")


def prepare(mail: Mail, message: EmailMultiAlternatives) -> None:
    """What is the same for every mail of ours."""
    # Of two, the server's answer could be yes for one and no for the other.
    if len(message.recipients()) != 1:
        raise ValueError(f"one recipient a mail, not {len(message.recipients())}")
    message.extra_headers |= {
        # The same at every attempt, so that a reader's server can tell a repetition.
        "Message-ID": f"<{mail.pk}@{site.host()}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    if settings.EMAIL_REPLY_TO and not message.reply_to:
        message.reply_to = [settings.EMAIL_REPLY_TO]


def _record(mail: Mail, error: Exception) -> None:
    """The one place that decides what a failure means for the row."""
    fault, words = explain(error)
    tried = Attempt(mail=mail, number=mail.attempts, what=words[:ERROR_MAX_LENGTH])
    if fault is Fault.PASSING:
        mail.retry(words)
    elif fault is Fault.OURS:
        mail.snooze(words)
        alarms.raise_alarm(words)
    elif fault is Fault.LASTING:
        mail.mark_failed(words)
    elif fault is Fault.NO_MAILBOX:
        mail.mark_refused(words)
        suppress(mail.address, Reason.REFUSED)
    else:
        mail.retry_after_fault(words)
    tried.save(force_insert=True)
    unforeseen = error if fault is Fault.UNKNOWN else None
    log.log(
        logging.ERROR if unforeseen else logging.WARNING,
        "mail %s: %s",
        mail.pk,
        words,
        exc_info=unforeseen,
    )
