"""The guard of every page that asks for the password of an account.

`UserIdOrAddressBackend` asks it about each guess: so `login`, `activate`, `password_change` and the
admin. A guess is counted in the database, which all processes and machines share, before the
password is looked at; a right one is given back. The count is by the name as it was typed, whether
somebody has it or not, so a refusal says nothing about who exists.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from mail import api
from users import hashing, identity, visitors
from users.models import FailedSignIn, Tally, User, stored

# Wrong passwords in an hour. The first half is free; then each has to wait twice as long as the
# one before; then none is looked at until the hour is over.
WINDOW = timedelta(hours=1)
PER_NAME = 20
# Of a browser that has signed in to this account before, or of whoever has shown in another way
# that it is theirs (a session, a mailed link). Nobody else can use these up.
PER_DEVICE = PER_PROVEN = 10
LONGEST_WAIT = 60  # seconds
WAITS = (2, 4, 8, 16, 32, LONGEST_WAIT)  # after each beyond the half
# Who need not wait is free since before now: of two at once, the second may have looked at the
# clock first.
FREE_SINCE = timedelta(seconds=10)

NOTIFY_AFTER = 10  # wrong passwords for a name in a day: its owner gets a letter
KEPT_FOR = timedelta(days=7)
NETWORK_ROWS_A_DAY = 100  # of `FailedSignIn`, with the network; each costs a network a guess
PRUNED_AT_ONCE = 20  # rows; a guess adds fewer


class TooMany(visitors.Later):
    """This guess is not looked at, whatever it is. Nothing has been counted."""

    status, template = 429, "users/login_later.html"


def plain(typed: str) -> str:
    """The name that is meant, however it was typed; empty if nobody can have it."""
    find = identity.find_address if "@" in typed else identity.find_user_id
    return find(typed).lower()


def hashed(name: str) -> str:
    return salted_hmac("users.guard.name", name, algorithm="sha256").hexdigest()[:32]


def names_of(user: User) -> list[str]:
    """Hashed: what they can sign in with."""
    return [hashed(user.user_id.lower()), hashed(user.email.lower())]


class Guess:
    right = False

    def __init__(self, known: set[str]) -> None:
        self.known = known  # `names_known` of its browser

    def is_known(self, user: User) -> bool:
        """Whether they have signed in with this browser before."""
        return hashed(user.user_id.lower()) in self.known


@contextmanager
def guess(request: HttpRequest | None, typed: str, *, proven: bool) -> Iterator[Guess]:
    """Counts a guess at the password of this name, and holds a slot for its hashes.

    Raises TooMany, or Busy. The caller sets `right`. `proven`: they have already shown that the
    account is theirs.
    """
    name = plain(typed)
    networks = visitors.networks(request) if request else []
    # A flood of refusals writes nothing.
    limits, known = _ask(request, hashed(name), networks, proven)
    patience = hashing.PATIENCE_OF_THE_PROVEN if proven else hashing.PATIENCE
    this = Guess(known)
    with hashing.room(patience):
        _count(limits)
        yield this
    if this.right:
        _give_back(limits)
    else:
        _record(name, networks[0] if networks else "unknown")


def names_known(request: HttpRequest) -> set[str]:
    """Who has signed in with this browser (`hashed`), unless it has been forgotten since."""
    _, names = visitors.device_of(request)
    return _remembered(names, Tally.objects.in_bulk([_forgotten(name) for name in names]))


def _remembered(names: dict[str, datetime], tallies: dict[str, Tally]) -> set[str]:
    """Of those who signed in at these times."""
    forgotten = {name: tallies.get(_forgotten(name)) for name in names}
    return {name for name, row in forgotten.items() if row is None or row.free_at < names[name]}


def _forgotten(name: str) -> str:
    """The key of when the browsers of this person were."""
    return f"devices {name}"


def asker(request: HttpRequest, address: str) -> str:
    """`visitors.asker`; but nobody's, where the owner of this address has signed in before."""
    known = hashed(plain(address)) in names_known(request)
    return "" if known else visitors.asker(request)


def forget_devices(user: User) -> None:
    """No browser is known any more to whoever has these names, until they sign in with it again."""
    now = timezone.now()
    ends_at = now + timedelta(seconds=visitors.DEVICE_MAX_AGE)  # until the last cookie has ended
    for name in names_of(user):
        Tally.objects.update_or_create(
            key=_forgotten(name), defaults={"free_at": now, "ends_at": ends_at}
        )


def _ask(
    request: HttpRequest | None, name: str, networks: list[str], proven: bool
) -> tuple[dict[str, int], set[str]]:
    """What a guess counts against, and how many may be wrong in an hour; and whom this browser
    knows. By one statement, whoever it is. Raises TooMany."""
    device, names = visitors.device_of(request) if request and not proven else ("", {})
    own = {f"proven {name}": PER_PROVEN} if proven else {f"device {device} {name}": PER_DEVICE}
    each = settings.SIGN_INS_PER_NETWORK_LIMIT
    by_network = {f"network {network}": each * 2**n for n, network in enumerate(networks)}
    anybodys = {f"name {name}": PER_NAME} | by_network
    tallies = Tally.objects.in_bulk([*own, *anybodys, *map(_forgotten, names)])
    known = _remembered(names, tallies)
    limits = own if proven or name in known else anybodys
    _check(limits, tallies)
    return limits, known


# Of a hundred guesses at once each gets a count of its own: one statement counts, unless a row says
# to wait, and then that row is not returned. Both lock the rows in the order of their keys, so that
# two guesses cannot deadlock.
COUNT = """
INSERT INTO users_tally ("key", times, ends_at, free_at) VALUES {rows}
ON CONFLICT ("key") DO UPDATE SET
times = CASE WHEN users_tally.ends_at <= excluded.free_at THEN 1 ELSE users_tally.times + 1 END,
ends_at = CASE WHEN users_tally.ends_at <= excluded.free_at THEN excluded.ends_at
    ELSE users_tally.ends_at END,
free_at = CASE WHEN users_tally.ends_at <= excluded.free_at THEN excluded.free_at {waits}
    ELSE excluded.free_at END
WHERE users_tally.ends_at <= excluded.free_at OR users_tally.free_at <= %s
RETURNING "key"
"""
GIVE_BACK = """
INSERT INTO users_tally ("key", times, ends_at, free_at) VALUES {rows}
ON CONFLICT ("key") DO UPDATE SET times = users_tally.times - 1, free_at = excluded.free_at
WHERE users_tally.times > 0
"""


def _count(limits: dict[str, int]) -> None:
    now, waits, values = timezone.now(), "", []
    for key, limit in limits.items():
        half = limit // 2
        waits += ' WHEN users_tally."key" = %s AND users_tally.times >= %s THEN users_tally.ends_at'
        values += [key, limit - 1]
        for times in range(half + len(WAITS) - 1, half - 1, -1):
            waits += ' WHEN users_tally."key" = %s AND users_tally.times >= %s THEN %s'
            values += [key, times, stored(now + timedelta(seconds=WAITS[times - half]))]
    values.append(stored(now))
    counted = _write(COUNT, limits, 1, now, values, waits=waits)
    if len(counted) < len(limits):  # others were faster
        _give_back([key for (key,) in counted])
        _check(limits, Tally.objects.in_bulk(list(limits)))
        raise TooMany(1)


def _check(limits: dict[str, int], tallies: dict[str, Tally]) -> None:
    now = timezone.now()
    counted = [tallies[key] for key in limits if key in tallies]
    waiting = [tally for tally in counted if tally.ends_at > now]
    wait = max((tally.free_at - now for tally in waiting), default=timedelta(0))
    if wait > timedelta(0):
        raise TooMany(math.ceil(wait.total_seconds()))


def _give_back(keys: Iterable[str]) -> None:
    """As if they had not been counted. Whoever was had not to wait, so nobody has to."""
    _write(GIVE_BACK, keys, 0, timezone.now())


def _write(
    sql: str, keys: Iterable[str], times: int, now: datetime, more: Sequence[Any] = (), **parts: str
) -> list[Any]:
    """The rows that it returns. Values: those of new rows, and then `more`."""
    ordered = sorted(keys)
    free = stored(now - FREE_SINCE)
    new = [(key, times, stored(now + WINDOW), free) for key in ordered]
    if not new:
        return []
    rows = ", ".join(["(%s, %s, %s, %s)"] * len(new))
    with connection.cursor() as cursor:
        cursor.execute(sql.format(rows=rows, **parts), [*chain(*new), *more])
        return cursor.fetchall() if cursor.description else []


def _record(name: str, network: str) -> None:
    """For the person and for staff: the same work whether somebody has the name or not."""
    now, day = timezone.now(), timezone.localdate()
    with transaction.atomic():
        if _add(hashed(name), "", day, now) == NOTIFY_AFTER and name:
            api.post("login_failures", address=name)
        if FailedSignIn.objects.filter(network=network, day=day).count() < NETWORK_ROWS_A_DAY:
            _add(hashed(name), network, day, now)
    prune(now)


def _add(name: str, network: str, day: Any, now: datetime) -> int:
    rows = FailedSignIn.objects.select_for_update()
    row, is_new = rows.get_or_create(name=name, network=network, day=day)
    if not is_new:
        row.times, row.last_at = row.times + 1, now
        row.save(update_fields=["times", "last_at"])
    return row.times


def prune(now: datetime) -> None:
    """Deletes some of what is over: here, because not every site has a cron."""
    over = Tally.objects.filter(ends_at__lt=now - WINDOW)
    for key in list(over.values_list("pk", flat=True)[:PRUNED_AT_ONCE]):
        over.filter(pk=key).delete()  # one at a time, for the same reason as in `_give_back`
    old = FailedSignIn.objects.filter(day__lt=timezone.localdate(now - KEPT_FOR))
    for pk in list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE]):
        old.filter(pk=pk).delete()


def failures_of(user: User) -> Any:
    """The failed sign-ins of a week, the newest day first."""
    rows = FailedSignIn.objects.filter(name__in=names_of(user), day__gte=kept_since())
    return rows.order_by("-day", "-times")


def kept_since() -> date:
    return timezone.localdate() - KEPT_FOR


def is_known(request: HttpRequest, user: User) -> bool:
    """Whether they, who have just given their password here, have signed in with this browser
    before, or it has registered them."""
    form = visitors.form_key(request)
    has_registered = bool(form) and constant_time_compare(user.made_by, form)
    return has_registered or user.is_known_here


def welcome_back(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """From now on no stranger's guesses keep this person out, in this browser."""
    visitors.remember_device(request, response, names_of(user))
