"""Delivering: claim a row, decide, write the message now, send it, mark it. At least once."""

import itertools
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils import timezone, translation

from mail import conf
from mail.causes import Cause, Kind
from mail.models import (
    CRASHES_AT_MOST,
    ERROR_MAX_LENGTH,
    Attempt,
    Budget,
    Draft,
    Mail,
    State,
    Suppression,
)
from mail.queue import limits
from mail.queue.alarms import alarms
from mail.queue.leases import leases
from mail.queue.letters import Letter, Outcome, Writer, letters
from mail.queue.refusals import refusals
from mail.transport import connection, faults

log = logging.getLogger(__name__)

ROWS_A_SWEEP = 200
MARK_EVERY = 0.5  # seconds, while the database is away; see `threads.SWEEP_SEEING`
# A server that accepts no more connections, and has accepted a message so shortly before.
CROWDED_WITHIN = timedelta(seconds=15)
CROWDED_FOR = timedelta(seconds=1)
CLOCKS_DIFFER = timedelta(minutes=1)  # those of two machines


def overdue() -> list[tuple[Any, int]]:
    """The rows a sweep requeues, with their priority: lost hints, dead senders, retries."""
    alarms.wake_a_probe()
    rows = Mail.objects.overdue().filter(letter__in=letters)
    return list(rows.values_list("pk", "priority")[:ROWS_A_SWEEP])


def believe_no_future(certainly: bool) -> None:
    """After the clock was set back: what waits for a time that was set before may go now, and
    decides anew. `certainly`: or only if there are messages that have not been posted yet."""
    now = timezone.now()
    waiting = Mail.objects.filter(state=State.PENDING)
    if certainly or waiting.filter(created_at__gt=now + CLOCKS_DIFFER).exists():
        number = waiting.filter(claimed=False, due__gt=now).update(due=now)
        log.warning("the clock was set back: %s messages that waited are looked at again", number)


def deliver(pk: Any) -> Mail | None:
    """Sends one message, if it is due and no other sender has claimed it.

    Returns the row as it is afterwards, or None if it was not ours to send. Raises only where the
    database cannot be reached; the end of the lease then brings the row back.
    """
    # A letter of another release waits for a process that knows it.
    mail = Mail.objects.due().filter(pk=pk, letter__in=letters).select_related("user").first()
    if mail is None or not mail.claim():
        return None
    with leases.keep(mail):
        _deliver(mail)
    return mail


def _deliver(mail: Mail) -> None:
    try:
        decision = decide(mail)
        if alarms.is_raised() and _waits(decision):
            return alarms.hold(mail)
        if isinstance(decision, Outcome):
            return _apply(mail, decision)
        message = write(mail, decision.write)
        accepted = connection.send(message, mail.holds)
    except Exception as error:  # whatever it is, the loop goes on and the row says so
        return _record(mail, error)
    if accepted is not None:
        _mark(mail, message, accepted)
        limits.warn()


def decide(mail: Mail) -> Writer | Outcome:
    """Who writes the message, or why it does not leave now. Changes nothing."""
    letter: Letter = letters[mail.letter]
    if mail.crashes > CRASHES_AT_MOST:
        why = f"its sender died {CRASHES_AT_MOST} times in a row"
        return Outcome(State.FAILED, Cause.CRASHED, why)
    if timezone.now() > mail.created_at + letter.useful_for:
        why = f"too late to be of use. {mail.error}".strip()
        return Outcome(State.FAILED, Cause.TOO_LATE, why)
    decision = letter.decide(mail) or Outcome(State.DROPPED, Cause.NOT_NEEDED, "no longer needed")
    if not isinstance(decision, Outcome | Writer):
        decision = Writer(decision)
    # Only now it is known whose message it is; one that nobody is to get is a stranger's.
    writer = decision if isinstance(decision, Writer) else decision.writer
    mail.budget = writer.budget if writer else Budget.OPEN
    # The service as a whole comes first: while it sends nothing, all letters wait alike.
    return limits.of_the_budget(mail) or limits.of_the_address(mail, letter) or decision


def _waits(decision: Writer | Outcome) -> bool:
    """While nothing leaves, what would not be sent anyway waits, too: nobody can tell it apart."""
    if alarms.is_raised(Cause.REFUSED_IN_A_ROW):
        return False  # what the server has not refused itself is tried
    if isinstance(decision, Outcome):
        return decision.state != State.FAILED
    return not alarms.take_probe()


def write(mail: Mail, write: Callable[[], EmailMultiAlternatives]) -> EmailMultiAlternatives:
    """The message, with what is the same for every message of ours."""
    with translation.override(mail.language):
        message = write()
    # Of two, the server's answer could be yes for one and no for the other.
    if len(message.recipients()) != 1:
        raise ValueError(f"one recipient a message, not {len(message.recipients())}")
    message.extra_headers |= {
        # The same at every attempt, so that a reader's server recognizes a repetition.
        "Message-ID": f"<{mail.pk}@{conf.site_host()}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    if conf.EMAIL_REPLY_TO and not message.reply_to:
        message.reply_to = [conf.EMAIL_REPLY_TO]
    return message


def _apply(mail: Mail, outcome: Outcome) -> None:
    if outcome.writer:
        write(mail, outcome.writer.write).message().as_bytes()
    if outcome.due:
        mail.wait_until(outcome.due, outcome.cause, outcome.why)
    elif mail.end(outcome.state, outcome.cause, outcome.why):
        _forget_draft(mail)


def _mark(mail: Mail, message: EmailMultiAlternatives, accepted: bool) -> None:
    """After the server's 250 there is no way back: the row is marked, however long the database is
    away, unless it has become another sender's. Only the end of the process ends this."""
    for number in itertools.count():
        try:
            return _mark_once(mail, message, accepted)
        except DatabaseError as error:
            if number == 0:
                log.warning("message %s has left, and cannot be marked yet: %s", mail.pk, error)
        time.sleep(MARK_EVERY)
        close_old_connections()  # asking again over a dead connection never helps
    return None


def _mark_once(mail: Mail, message: EmailMultiAlternatives, accepted: bool) -> None:
    if accepted:
        # django-ses leaves the id that bounces will name among the headers.
        marked = mail.mark_sent(str(message.extra_headers.get("message_id", "")))
        alarms.end()
        refusals.forget()
    else:
        marked = mail.end(State.DROPPED, Cause.SUPPRESSED, "suppressed by the mail service")
    if marked:
        _forget_draft(mail)


def _forget_draft(mail: Mail) -> None:
    """Its text is gone with it. That of a failed one can still be read, fixed and sent again."""
    if letters[mail.letter].drafted and mail.state in (State.SENT, State.DROPPED):
        Draft.objects.filter(pk=mail.pk).delete()


def _record(mail: Mail, error: Exception) -> None:
    """The one place that decides what a failure means for the row."""
    cause, words = faults.explain(error)
    if cause.kind is Kind.TRANSIENT and isinstance(error, connection.CannotConnect):
        if Mail.objects.has_left_within(CROWDED_WITHIN):
            mail.wait_until(timezone.now() + CROWDED_FOR, Cause.CROWDED, words)
            return
        _hold_all(mail, cause, words)
    elif cause.kind is Kind.TRANSIENT:
        mail.retry(cause, words)
    elif cause.kind is Kind.CONFIGURATION:
        _hold_all(mail, cause, words)
    elif cause.kind is Kind.PERMANENT:
        _refuse(mail, cause, words)
    else:
        mail.retry_after_crash(cause, words)
    Attempt.objects.create(mail=mail, number=mail.attempts, what=words[:ERROR_MAX_LENGTH])
    unexpected = error if cause is Cause.UNEXPECTED else None
    level = logging.ERROR if unexpected else logging.WARNING
    log.log(level, "message %s: %s", mail.pk, words, exc_info=unexpected)


def _hold_all(mail: Mail, cause: Cause, words: str) -> None:
    """Nothing leaves until a probe does: this one is the next, if no other comes before."""
    mail.snooze(cause, words, alarms.raise_(cause, words))


def _refuse(mail: Mail, cause: Cause, words: str) -> None:
    """The server will never take it; but where it says so to everybody, it is the server."""
    again = mail.cause == Cause.REFUSED_IN_A_ROW
    if alarms.is_raised(Cause.REFUSED_IN_A_ROW) or (not again and refusals.are_the_servers(mail)):
        return _hold_all(mail, Cause.REFUSED_IN_A_ROW, words)
    no_mailbox = cause is Cause.NO_MAILBOX
    mail.end(State.REFUSED if no_mailbox else State.FAILED, cause, words)
    if no_mailbox:
        Suppression.objects.after(mail, Suppression.Reason.REFUSED)
