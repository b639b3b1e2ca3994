"""What has happened to an account: its owner sees it, and staff.

Only what somebody did who was in is recorded: wrong passwords are counted by the guard, for every
name alike, and are shown from there. So no stranger fills the list, or learns from the time of an
answer who exists.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from mail import api
from users import guard
from users.models import Event, Tag, User
from users.visitors import NOWHERE, Where

KEPT_FOR = timedelta(days=90)
# Whoever signs in again and again, because they know the password, hides nothing else by it.
OF_A_KIND_A_DAY = 20
SHOWN, FAILURES_SHOWN = 100, 20

# One statement, with its own limit.
RECORD = """
INSERT INTO users_event (person_id, at, tag, device, network, by_id)
SELECT %s, %s, %s, %s, %s, %s
WHERE (SELECT count(*) FROM users_event WHERE person_id = %s AND at > %s AND tag = %s) < %s
"""


def record(person: User, tag: Tag, where: Where = NOWHERE, by: User | None = None) -> None:
    """`by`: of staff; None if it was the person. In the caller's transaction, if there is one."""
    now = timezone.now()
    pk, at = _stored("person", person.pk), _stored("at", now)
    by_pk = _stored("by", by.pk if by else None)
    since = _stored("at", now - timedelta(days=1))
    values = [pk, at, str(tag), where.device, where.network, by_pk]
    with connection.cursor() as cursor:
        cursor.execute(RECORD, [*values, pk, since, str(tag), OF_A_KIND_A_DAY])


def _stored(name: str, value: Any) -> Any:
    field: Any = Event._meta.get_field(name)
    return field.get_db_prep_save(value, connection)


class Entry(NamedTuple):
    """A line of the list."""

    at: datetime
    what: str
    device: str = ""
    network: str = ""
    by: str = ""  # of staff
    times: int = 1


def of(person: User, before: datetime | None = None) -> list[Entry]:
    """The newest first; before that time, without wrong passwords, which are younger than that."""
    columns = ("at", "tag", "device", "network", "by__user_id")
    events = person.events.filter(at__lt=before) if before else person.events.all()
    rows = events.order_by("-at").values_list(*columns)[:SHOWN]
    entries = [
        Entry(at, Tag.label_of(tag), device, network, by or "")
        for at, tag, device, network, by in rows
    ]
    return entries if before else in_order([*entries, *_failures(person)])


def older(person: User, before: datetime | None = None) -> datetime | None:
    """Before when there are more of them."""
    events = person.events.filter(at__lt=before) if before else person.events.all()
    return events.order_by("-at").values_list("at", flat=True)[SHOWN - 1 : SHOWN].first()


def newest(person: User, *tags: Tag) -> Event | None:
    """For a letter about it: rows of mail do not say from where somebody did something."""
    return person.events.filter(tag__in=tags).order_by("-at").first()


def _failures(person: User) -> list[Entry]:
    rows = guard.failures_of(person).exclude(network="")[:FAILURES_SHOWN]
    label = str(Tag.SIGN_IN_FAILED.label)
    return [Entry(row.last_at, label, network=row.network, times=row.times) for row in rows]


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.at, reverse=True)


def prune(now: datetime, at_most: int) -> int:
    return api.delete_some(Event.objects.filter(at__lt=now - KEPT_FOR), at_most)
