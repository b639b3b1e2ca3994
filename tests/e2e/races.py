"""Two at once, many times, on the database of DATABASE_URL; prints what became of it as JSON.

A process of its own: threads need a database that several connections can see.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Event, Thread
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from django.contrib.auth import authenticate  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from mail import api  # noqa: E402
from mail.models import Mail, Suppression  # noqa: E402
from tests.servers import PATIENCE, wait_for  # noqa: E402
from users import accounts, guard  # noqa: E402
from users.models import FailedSignIn, Tally, User  # noqa: E402

ROUNDS = 25


def claim(user_id: str, email: str) -> User:
    return accounts.register(
        user_id=user_id, email=email, name="X", password="correct-horse", language="en"
    )


def at_once(*verbs: Callable[[], Any]) -> str:
    """What each did, by name: `ok`, or the kind of its failure."""
    barrier, done = Barrier(len(verbs)), ["ok"] * len(verbs)

    def work(number: int) -> None:
        barrier.wait(PATIENCE)
        try:
            verbs[number]()
        except Exception as error:
            done[number] = type(error).__name__
        finally:
            connection.close()

    threads = [Thread(target=work, args=(number,)) for number in range(len(verbs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return "+".join(sorted(done))


def twins(number: int) -> str:
    """Two claims to one address are activated."""
    one, two = (claim(f"twin-{number}-{letter}", f"twin{number}@example.com") for letter in "ab")
    return at_once(lambda: accounts.activate(one), lambda: accounts.activate(two))


def resend_and_cancel(number: int) -> str:
    one = claim(f"cancelled-{number}", f"cancelled{number}@example.com")
    Mail.objects.all().delete()
    return at_once(lambda: accounts.resend_activation(one), lambda: accounts.cancel(one))


def names(number: int) -> str:
    """Two register the same ID."""
    return at_once(*(lambda: claim(f"name-{number}", "x@example.com") for _ in range(2)))


def suppressions(number: int) -> str:
    address = f"suppressed{number}@example.com"
    done = at_once(*(lambda: api.suppress(address, Suppression.Reason.BOUNCED) for _ in range(2)))
    return f"{done}, {Suppression.objects.filter(address=address).count()} row"


def guesses(number: int) -> str:
    name = f"guessed-{number}"
    wrong = {"username": name, "password": "wrong-horse"}
    done = at_once(*(lambda: authenticate(None, **wrong) for _ in range(2)))
    counted = Tally.objects.get(key=f"name {guard.hashed(name)}").times
    kept = FailedSignIn.objects.filter(name=guard.hashed(name)).values_list("times", flat=True)
    return f"{done}, {counted} counted, {sorted(kept)} kept"


def prune(number: int) -> str:
    """Two claims that expired long ago are deleted, and at that moment their visitor comes back."""
    both = [claim(f"old-{number}-{letter}", "old@example.com") for letter in "ab"]
    low, high = sorted(both, key=lambda claim: claim.pk)
    old = timezone.now() - timedelta(days=9)
    for each in (high, low):  # this is their order in the table now
        User.objects.filter(pk=each.pk).update(claim_expires_at=old, created_at=old)
    held = Event()

    def hold() -> None:
        with transaction.atomic():
            User.objects.select_for_update().get(pk=low.pk)
            held.set()
            wait_for(lambda: waiting() == 2, "both wait for it")

    def register() -> None:
        held.wait()
        again = {"user_id": low.user_id, "email": low.email, "name": "X", "replacing": high.pk}
        accounts.register(password="correct-horse", language="en", **again)

    def prune() -> None:
        held.wait()
        wait_for(lambda: waiting() == 1, "the visitor is the first")
        accounts.prune_claims(timezone.now() - timedelta(days=7), 10)

    done = at_once(hold, register, prune)
    left = User.objects.filter(email=low.email).count()
    User.objects.filter(email=low.email).delete()
    return f"{done}, {left} left"


def moves_away(number: int) -> str:
    """An owner gives an address up, and at that moment a claim to it is activated."""
    owner, other = (
        claim(f"mover-{number}-{letter}", f"mover{number}@example.com") for letter in "ab"
    )
    accounts.activate(owner)
    accounts.request_address(owner, f"moved{number}@example.com")
    done = one_waits_for_the_other(
        lambda: accounts.confirm_address(User.objects.get(pk=owner.pk)),
        lambda: accounts.activate(other),
    )
    return f"{done}, {User.objects.get(pk=other.pk).state} claim"


def taken_back(number: int) -> str:
    """An account is taken back, and at that moment a thief's address confirmed."""
    owner = accounts.activate(claim(f"owner-{number}", f"owner{number}@example.com"))
    accounts.request_address(owner, f"thief{number}@example.com")
    owner, thief = User.objects.get(pk=owner.pk), User.objects.get(pk=owner.pk)
    assert thief.pending_change
    done = one_waits_for_the_other(
        lambda: accounts.take_back(owner), lambda: accounts.confirm_address(thief)
    )
    came_back = User.objects.get(pk=owner.pk).email == owner.email
    return f"{done}, {'the owner has it' if came_back else 'lost'}"


def one_waits_for_the_other(first: Callable[[], Any], second: Callable[[], Any]) -> str:
    held = Event()

    def hold() -> None:
        with transaction.atomic():
            first()
            held.set()
            wait_for(lambda: waiting() == 1, "the other waits for it")

    def wait() -> None:
        held.wait()
        second()

    return at_once(hold, wait)


def waiting() -> int:
    """How many wait for a lock in this database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])


if __name__ == "__main__":
    races = (twins, resend_and_cancel, names, suppressions, guesses, prune, moves_away, taken_back)
    json.dump(
        {race.__name__: Counter(race(number) for number in range(ROUNDS)) for race in races},
        sys.stdout,
    )
