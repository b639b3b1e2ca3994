"""Where a person is signed in. How a session is stored: `users.visitors`; when it ends:
`cs_web.sessions`."""

from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth import HASH_SESSION_KEY
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from users import visitors
from users.models import Session, User, rows_of

SHOWN = 50  # of one person
LIVING = """SELECT * FROM users_session WHERE person_id = %s AND expire_date > %s
ORDER BY last_used_at DESC LIMIT %s
"""


def begin(request: HttpRequest) -> None:
    """Somebody has just signed in."""
    session: Any = request.session
    session.where, session.started_at = visitors.where(request), timezone.now()


def remember(request: HttpRequest, *, longer: bool) -> None:
    """`longer` than until the browser is closed."""
    if longer:
        request.session.pop(visitors.FLEETING, None)
    else:
        request.session[visitors.FLEETING] = True


class Living(NamedTuple):
    """A session, for the list of its owner: never its key."""

    id: Any
    device: str
    network: str
    started_at: datetime | None
    last_used_at: datetime
    is_here: bool


def of(person: User, key: str | None = None) -> list[Living]:
    """Those that still let somebody in, the last used first. `key`: of this browser's."""
    hashes = [person.get_session_auth_hash(), *person.get_session_auth_fallback_hash()]
    living = []
    for row in rows_of(Session, LIVING, person.pk, timezone.now(), SHOWN):
        stored = row.get_decoded().get(HASH_SESSION_KEY, "")
        # It is dead if the password has changed since, or the account was disabled meanwhile.
        if any(constant_time_compare(stored, one) for one in hashes):
            times = (row.started_at, row.last_used_at)
            living.append(Living(row.public_id, row.device, row.network, *times, row.pk == key))
    return living
