"""What operators do with the queue: look, send again, cancel, tidy up."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Case, Count, Exists, OuterRef, Q, QuerySet, When
from django.utils import timezone

from mail import conf
from mail.causes import Cause
from mail.models import (
    HANDED_OVER,
    LISTED,
    NEVER_LONGER,
    TO_NOBODY,
    Attempt,
    Mail,
    MailQuerySet,
    Report,
    State,
    Suppression,
    mailbox_of,
)
from mail.queue.chores import chore, delete_some
from mail.queue.letters import letters

OVERDUE_TOO_LONG = timedelta(minutes=5)
# How long a row is kept that was asked for an address nobody has.
UNKNOWN_ADDRESS_KEPT_FOR = timedelta(days=1)
KEPT_FOR = timedelta(days=30)  # every other row, once it is done
ROWS_A_BATCH = 1000
COUNTED = 10_000  # rows at the most, however many there are
# The limits of a day and the rates of a week are counted from the rows.
DAYS_AT_LEAST = 7


@dataclass(frozen=True)
class Status:
    step: str  # waiting, later, held, left, refused, failed
    at: datetime | None = None  # when it is tried next, if it is tried later


# What other messages, or the owner of the mailbox, keep from leaving looks as if it had left.
LEFT = (State.SENT, State.DELIVERED, State.COMPLAINED, State.DROPPED)
HELD = (Cause.BUDGET, Cause.ALARM)  # nothing leaves; when it does again is not for strangers


def status_of(user: Any, letter: str, address: str) -> Status:
    """How the newest message of a letter to a person at an address is doing, for their own eyes.

    It shows what the mail service does, and nothing of other people.
    """
    mails = Mail.objects.filter(user=user, letter=letter, address=address)
    # Without need: what counts is the message before.
    needless = Q(state=State.CANCELLED) | Q(cause__in=[Cause.NOT_NEEDED, Cause.DUPLICATE])
    mail = mails.exclude(needless).order_by("-created_at").first()
    if mail is None:
        return Status("waiting")
    if mail.state in LEFT or mail.cause == Cause.TURN:
        return Status("left")
    if mail.state != State.PENDING:
        return Status("failed" if mail.state == State.FAILED else "refused")
    if mail.on_hold or mail.cause in HELD:
        return Status("held")
    if not mail.cause or mail.claimed or mail.due <= timezone.now():
        return Status("waiting")
    return Status("later", mail.due)


def by_state() -> dict[str, int]:
    """How many rows there are in each state that occurs; of many, COUNTED and one more."""
    rows = {state: Mail.objects.filter(LISTED, state=state) for state in State.values}
    counts = {state: rows[state][: COUNTED + 1].count() for state in rows}
    return {state: count for state, count in counts.items() if count}


def found_by(text: str, at_most: int) -> set[Any]:
    """The keys of the newest messages to this address or person, or with this id at the service.
    One query a way: of all ways in one, a planner might read every row instead."""
    ways = [Mail.objects.filter(mailbox=mailbox_of(text)), Mail.objects.with_provider_id(text)]
    with contextlib.suppress(ObjectDoesNotExist):
        ways.append(Mail.objects.filter(user=get_user_model().objects.get_by_natural_key(text)))
    newest = [way.order_by("-created_at").values_list("pk", flat=True) for way in ways]
    return {pk for way in newest for pk in way[:at_most]}


def waiting() -> dict[str, int]:
    """What waits, by what it waits for."""
    now = timezone.now()
    pending = Mail.objects.filter(state=State.PENDING)
    return pending.aggregate(
        due_now=Count("pk", filter=Q(due__lte=now)),
        in_flight=Count("pk", filter=Mail.in_flight()),
        later=Count("pk", filter=Q(claimed=False, on_hold=False, due__gt=now)),
        # Last, because the name hides the column's.
        on_hold=Count("pk", filter=Q(on_hold=True, due__gt=now)),
    )


def oldest_overdue() -> timedelta | None:
    """For how long the message that has waited longest could have been sent already."""
    for due in Mail.objects.due().order_by("due").values_list("due", flat=True)[:1]:
        return timezone.now() - due
    return None


def failing() -> int:
    """How many messages of the last hour met an error of our own, and have not left since."""
    recent = Mail.objects.filter(created_at__gt=timezone.now() - timedelta(hours=1))
    unsent = [State.PENDING, State.FAILED]
    return recent.filter(cause__in=[Cause.UNEXPECTED, Cause.CRASHED], state__in=unsent).count()


@dataclass(frozen=True)
class Rates:
    """How the mail of some days fared, to be compared with what Amazon SES tolerates."""

    sent: int
    bounced: int
    complained: int

    # Where SES begins to review an account.
    BOUNCE_REVIEW = 0.05
    COMPLAINT_REVIEW = 0.001
    COUNT_FROM = 100  # messages; of fewer, one typing error makes a rate

    def rate(self, of: int) -> float:
        return of / self.sent if self.sent else 0.0

    @property
    def in_danger(self) -> bool:
        bounces, complaints = self.rate(self.bounced), self.rate(self.complained)
        high = bounces >= self.BOUNCE_REVIEW or complaints >= self.COMPLAINT_REVIEW
        return high and self.sent >= self.COUNT_FROM


def rates(days: int = 7) -> Rates:
    """Of the newest messages of so many days, as many as make a rate: SES does so, too."""
    # An address that the server refused at once counts as a bounce: to the reader's side it is. One
    # that was never tried, because mail had come back before, does not.
    tried = Exists(Attempt.objects.filter(mail=OuterRef("pk")))
    was_refused = Case(When(Q(state=State.REFUSED) & Q(tried), then=True), default=False)
    recent = Mail.objects.filter(created_at__gt=timezone.now() - timedelta(days=days))
    newest = recent.annotate(was_refused=was_refused).order_by("-created_at")[:COUNTED]
    refused = Q(was_refused=True)
    counted = newest.aggregate(
        sent=Count("pk", filter=Q(state__in=HANDED_OVER) | refused),
        bounced=Count("pk", filter=Q(state=State.BOUNCED) | refused),
        complained=Count("pk", filter=Q(state=State.COMPLAINED)),
    )
    return Rates(**counted)


def selected(letter: str | None, to: str | None) -> MailQuerySet:
    rows = Mail.objects.to(to) if to else Mail.objects.all()
    return rows.filter(letter=letter) if letter else rows


def listed(
    state: str | None, letter: str | None, to: str | None, since: datetime | None
) -> QuerySet[Mail]:
    rows = selected(letter, to)
    if state:
        rows = rows.filter(state=state)
    if since:
        rows = rows.filter(created_at__gte=since)
    return newest(rows, to) if state or letter else rows.order_by("-created_at")


def newest(rows: QuerySet[Mail], to: str | None) -> QuerySet[Mail]:
    """Of a state or a letter, the newest first; to one address are few, by an index of its own."""
    return (rows if to else rows.filter(LISTED)).order_by("-created_at")


def error_without_link(mail: Mail) -> str:
    """A server that dislikes a message may quote what it found there, and a link is a key."""
    host = urlsplit(conf.SITE_URL).netloc
    return re.sub(rf"\S*{re.escape(host)}/\S+", "(a link)", mail.error) if host else mail.error


def unsent(rows: QuerySet[Mail]) -> QuerySet[Mail]:
    """Those that ended without having been sent, and for which it is not too late."""
    now = timezone.now()
    in_time = Q(pk__in=[])
    for letter in letters.values():
        in_time |= Q(letter=letter.name, created_at__gt=now - letter.useful_for)
    # What is older than all of these is nothing to look at.
    oldest = now - max(letter.useful_for for letter in letters.values())
    ended = [State.FAILED, State.REFUSED, State.CANCELLED]
    return rows.filter(LISTED, in_time, state__in=ended, created_at__gt=oldest)


def retry(rows: QuerySet[Mail]) -> int:
    """Sends them from the start, as if they had never been tried. The next sweep requeues them."""
    fresh = {"due": timezone.now(), "attempts": 0, "crashes": 0, "cause": "", "error": ""}
    fresh |= {"on_hold": False, "claimed": False}
    return unsent(rows).update(state=State.PENDING, **fresh)


def finished(older_than: timedelta) -> QuerySet[Mail]:
    """What is done and old; for what was asked for an address nobody has, a day is old."""
    now = timezone.now()
    unknown = TO_NOBODY & Q(created_at__lt=now - UNKNOWN_ADDRESS_KEPT_FOR)
    done = Mail.objects.exclude(state=State.PENDING)
    return done.filter(Q(created_at__lt=now - older_than) | unknown)


def expired_suppressions() -> QuerySet[Suppression]:
    """Those that have ended by themselves. One without an end lasts until staff clears it.

    One that would last longer the next time is kept for a while, so that there is a next time.
    """
    once, forgotten = _expired_suppressions()
    return once | forgotten


def _expired_suppressions() -> tuple[QuerySet[Suppression], QuerySet[Suppression]]:
    """Each half by an index: in one, all that is kept for a while would be read as well."""
    now, rows = timezone.now(), Suppression.objects.all()
    return rows.filter(NEVER_LONGER, until__lte=now), rows.filter(until__lte=now - KEPT_FOR)


def prune(older_than: timedelta, progress: Callable[[int], None]) -> int:
    """Deletes finished rows in batches, so that nobody waits long for a lock."""
    deleted = 0
    while batch := _prune_batch(older_than, ROWS_A_BATCH):
        deleted += batch
        progress(deleted)
    Report.objects.filter(last_at__lt=timezone.now() - older_than).delete()
    return deleted


def _prune_batch(older_than: timedelta, at_most: int) -> int:
    # Each half by itself: for both in one, PostgreSQL would rather read all rows.
    done, now = Mail.objects.exclude(state=State.PENDING), timezone.now()
    old = done.filter(created_at__lt=now - older_than)
    to_nobody = done.filter(TO_NOBODY, created_at__lt=now - UNKNOWN_ADDRESS_KEPT_FOR)
    found = [pk for half in (old, to_nobody) for pk in half.values_list("pk", flat=True)[:at_most]]
    pks = list(dict.fromkeys(found))[:at_most]
    # Asked again: staff may have sent one again since.
    finished(older_than).filter(pk__in=pks).delete()
    return len(pks)


@chore
def prune_mail(at_most: int) -> int:
    return _prune_batch(KEPT_FOR, at_most)


@chore
def prune_suppressions(at_most: int) -> int:
    deleted = 0
    for ended in _expired_suppressions():
        deleted += delete_some(ended, at_most - deleted)
    return deleted
