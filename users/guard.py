"""The guard of every page that asks for the password of an account.

`UserIdOrAddressBackend` asks it about each guess: so `login`, `activate`, `password_change` and the
admin. A guess is counted in the database, which all processes and machines share, before the
password is looked at; a right one is given back. The count is by the name as it was typed, whether
somebody has it or not, so a refusal says nothing about who exists.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import salted_hmac

from mail import api
from users import hashing, identity, visitors
from users.models import FailedSignIn, Tally, User

# Wrong passwords in an hour. The first half is free; then each has to wait twice as long as the
# one before; then none is looked at until the hour is over.
WINDOW = timedelta(hours=1)
PER_NAME = 20
# Of a browser that has signed in to this account before, or of whoever has shown in another way
# that it is theirs (a session, a mailed link). Nobody else can use these up.
PER_DEVICE = PER_PROVEN = 10
LONGEST_WAIT = 60  # seconds

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


@contextmanager
def guess(request: HttpRequest | None, typed: str, *, proven: bool) -> Iterator[Guess]:
    """Counts a guess at the password of this name, and holds a slot for its hashes.

    Raises TooMany, or Busy. The caller sets `right`. `proven`: they have already shown that the
    account is theirs.
    """
    name = plain(typed)
    networks = visitors.networks(request) if request else []
    limits = _limits(request, hashed(name), networks, proven)
    patience = hashing.PATIENCE_OF_THE_PROVEN if proven else hashing.PATIENCE
    this = Guess()
    _check(Tally.objects.filter(key__in=limits), limits)  # a flood of refusals writes nothing
    with hashing.room(patience):
        _count(limits)
        yield this
    if this.right:
        _give_back(limits)
    else:
        _record(name, networks[0] if networks else "unknown")


def _limits(
    request: HttpRequest | None, name: str, networks: list[str], proven: bool
) -> dict[str, int]:
    """What a guess counts against, and how many may be wrong in an hour."""
    if proven:
        return {f"proven {name}": PER_PROVEN}
    device = visitors.device_of(request, name) if request else None
    if device:
        return {f"device {device} {name}": PER_DEVICE}
    each = settings.SIGN_INS_PER_NETWORK_LIMIT
    by_network = {f"network {network}": each * 2**n for n, network in enumerate(networks)}
    return {f"name {name}": PER_NAME} | by_network


def _count(limits: dict[str, int]) -> None:
    now = timezone.now()
    with transaction.atomic():
        new = [Tally(key=key, ends_at=now + WINDOW, free_at=now) for key in sorted(limits)]
        Tally.objects.bulk_create(new, ignore_conflicts=True)
        locked = Tally.objects.select_for_update().filter(key__in=limits).order_by("key")
        tallies = list(locked)
        _check(tallies, limits)
        for tally in tallies:
            if tally.ends_at <= now:
                tally.times, tally.ends_at = 0, now + WINDOW
            tally.times += 1
            tally.free_at = now + timedelta(seconds=_wait(tally.times, limits[tally.key]))
        Tally.objects.bulk_update(tallies, ["times", "ends_at", "free_at"])


def _check(tallies: Iterable[Tally], limits: dict[str, int]) -> None:
    waits = [timedelta(0)]
    for tally in tallies:
        now, limit = timezone.now(), limits[tally.key]
        if tally.ends_at > now and _wait(tally.times, limit):
            waits.append((tally.ends_at if tally.times >= limit else tally.free_at) - now)
    if max(waits) > timedelta(0):
        raise TooMany(math.ceil(max(waits).total_seconds()))


def _wait(times: int, limit: int) -> int:
    """Seconds until the next guess may come."""
    beyond = times - limit // 2
    return min(2 ** min(beyond, 10), LONGEST_WAIT) if beyond > 0 else 0


def _give_back(limits: dict[str, int]) -> None:
    for key in limits:  # one at a time: two rows in one statement could deadlock with `_count`
        Tally.objects.filter(key=key, times__gt=0).update(times=F("times") - 1)


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
    since = timezone.localdate() - KEPT_FOR
    return FailedSignIn.objects.filter(name__in=names_of(user), day__gte=since).order_by(
        "-day", "-times"
    )


def welcome_back(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """From now on no stranger's guesses keep this person out, in this browser."""
    visitors.remember_device(request, response, names_of(user))
