"""What operators do to the outbox: look, send again, take back, tidy up."""

from collections.abc import Callable
from datetime import timedelta

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from mail.models import Mail, MailQuerySet, State, Suppression
from mail.registry import letters

NOBODYS_FOR = timedelta(days=1)
ROWS_A_BATCH = 1000
# The limits of a day and the rates of a week are counted from the rows.
DAYS_AT_LEAST = 7


def by_state() -> dict[str, int]:
    """How many rows there are in each state that occurs."""
    counted = Mail.objects.values("state").annotate(rows=Count("pk")).order_by("state")
    rows = {row["state"]: row["rows"] for row in counted}
    return {state: rows[state] for state in State.values if state in rows}


def queue() -> dict[str, int]:
    """What waits, by what it waits for."""
    now = timezone.now()
    pending = Mail.objects.filter(state=State.PENDING)
    return pending.aggregate(
        due_now=Count("pk", filter=Q(due__lte=now)),
        being_sent=Count("pk", filter=Mail.in_flight()),
        held_up=Count("pk", filter=Q(held=True, due__gt=now)),
        later=Count("pk", filter=Q(taken=False, held=False, due__gt=now)),
    )


def sent_in_a_day() -> int:
    return Mail.objects.filter(sent_at__gt=timezone.now() - timedelta(hours=24)).count()


def select(letter: str | None, address: str | None) -> MailQuerySet:
    """The rows of a letter, of an address, or of both; of all if neither is given."""
    rows = Mail.objects.to(address) if address else Mail.objects.all()
    return rows.filter(letter=letter) if letter else rows


def unsent(rows: QuerySet[Mail]) -> QuerySet[Mail]:
    """Those that ended without having been sent, and for which it is not too late."""
    now = timezone.now()
    in_time = Q(pk__in=[])
    for letter in letters.values():
        in_time |= Q(letter=letter.name, created_at__gt=now - letter.useful_for)
    return rows.filter(in_time, state__in=[State.FAILED, State.REFUSED, State.CANCELLED])


def retry(rows: QuerySet[Mail]) -> int:
    """Sends them from the start, as if they had never been tried. The next sweep takes them."""
    fresh = {"due": timezone.now(), "attempts": 0, "faults": 0, "error": ""}
    fresh |= {"held": False, "taken": False}
    return unsent(rows).update(state=State.PENDING, **fresh)


def finished(older_than: timedelta) -> QuerySet[Mail]:
    """What is done and old; a day is old for what was asked for an address that is nobody's."""
    now = timezone.now()
    nobodys = Q(state=State.DROPPED, user=None, created_at__lt=now - NOBODYS_FOR)
    done = Mail.objects.exclude(state=State.PENDING)
    return done.filter(Q(created_at__lt=now - older_than) | nobodys)


def expired_suppressions() -> QuerySet[Suppression]:
    """Those that have ended by themselves. One without an end stands until staff clears it."""
    return Suppression.objects.filter(until__lte=timezone.now())


def prune(older_than: timedelta, progress: Callable[[int], None]) -> int:
    """Deletes finished rows in batches, so that nobody waits long for a lock."""
    deleted = 0
    while pks := list(finished(older_than).values_list("pk", flat=True)[:ROWS_A_BATCH]):
        # Asked again: staff may have sent one again since.
        finished(older_than).filter(pk__in=pks).delete()
        deleted += len(pks)
        progress(deleted)
    return deleted
