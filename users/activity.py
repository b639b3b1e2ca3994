"""What has happened to an account: its owner sees it, and staff.

Only what somebody did who was in is recorded: wrong passwords are counted by the guard, for every
name alike, and are shown from there. So no stranger fills the list, or learns from the time of an
answer who exists.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from mail import api
from users import guard
from users.models import Event, Tag, User, rows_of, stored
from users.visitors import NOWHERE, Where

KEPT_FOR = timedelta(days=90)
# Whoever signs in again and again, because they know the password, hides nothing else by it.
OF_A_KIND_A_DAY = 20
SHOWN = 15  # on a page
EVER = datetime.max.replace(tzinfo=UTC)

# One statement, with its own limit.
RECORD = """
INSERT INTO users_event (person_id, at, tag, device, network, by_id)
SELECT %s, %s, %s, %s, %s, %s
WHERE (SELECT count(*) FROM users_event WHERE person_id = %s AND at > %s AND tag = %s) < %s
"""
# Another for a page of events and wrong passwords.
PAGE = """SELECT * FROM (
    SELECT event.id, at, tag, device, network, COALESCE(staff.user_id, '') AS by_name, 1 AS times
    FROM users_event event LEFT JOIN users_user staff ON staff.id = by_id
    WHERE person_id = %s AND at < %s ORDER BY at DESC LIMIT %s
) events UNION ALL SELECT * FROM (
    SELECT 0, last_at, %s, '', network, '', times FROM users_failedsignin
    WHERE name IN (%s, %s) AND day >= %s AND network > '' AND last_at < %s
    ORDER BY last_at DESC LIMIT %s
) failures ORDER BY at DESC LIMIT %s
"""


def record(person: User, tag: Tag, where: Where = NOWHERE, by: User | None = None) -> None:
    """`by`: of staff; None if it was the person. In the caller's transaction, if there is one."""
    now = timezone.now()
    made = [person.pk, now, str(tag), where.device, where.network, by.pk if by else None]
    counted = [person.pk, now - timedelta(days=1), str(tag), OF_A_KIND_A_DAY]
    with connection.cursor() as cursor:
        cursor.execute(RECORD, [stored(value) for value in [*made, *counted]])


class Entry(NamedTuple):
    """A line of the list."""

    at: datetime
    what: str
    device: str = ""
    network: str = ""
    by: str = ""  # of staff
    times: int = 1

    @property
    def place(self) -> str:
        return " · ".join(filter(None, (self.device, self.network)))


def of(person: User, at_most: int, before: datetime = EVER) -> tuple[list[Entry], datetime | None]:
    """The newest first, and before when there are more; wrong passwords, too."""
    limit, names = at_most + 1, guard.names_of(person)
    failed = [str(Tag.SIGN_IN_FAILED), *names, guard.kept_since(), before, limit]
    rows: list[Any] = rows_of(Event, PAGE, person.pk, before, limit, *failed, limit)
    entries = [
        Entry(row.at, row.what, row.device, row.network, row.by_name, row.times)
        for row in rows[:at_most]
    ]
    return entries, entries[-1].at if len(rows) > at_most else None


def newest(person: User, *tags: Tag) -> Event | None:
    """For a letter about it: rows of mail do not say from where somebody did something."""
    return person.events.filter(tag__in=tags).order_by("-at").first()


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.at, reverse=True)


def prune(now: datetime, at_most: int) -> int:
    return api.delete_some(Event.objects.filter(at__lt=now - KEPT_FOR), at_most)
