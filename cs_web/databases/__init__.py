"""The site's databases: Django's own, but for how long anybody waits for them.

A visitor waits three seconds at most; whatever else runs (senders, commands) has more time.
"""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from django.db import connection


@dataclass(frozen=True)
class Patience:
    """All in seconds; None: without an end."""

    connect: int  # libpq knows none under 2
    answer: float | None  # of one statement; the server ends it a little earlier by itself
    lock: float  # SQLite's one write lock


VISITOR = Patience(connect=2, answer=2.5, lock=2.5)
OTHERS = Patience(connect=5, answer=30, lock=20)
ENDLESS = Patience(connect=5, answer=None, lock=20)  # an index of a large table takes minutes

patience: ContextVar[Patience] = ContextVar("patience", default=OTHERS)


# Seconds. After one visitor has waited for the lock in vain, their thread's next ones hardly wait:
# threads are left for the pages that need no lock.
HURRY, HURRY_FOR = 0.25, 30.0
_hurry_until = 0.0


def waited_in_vain() -> None:
    """A visitor did, for the lock of SQLite. The next connection of this thread is in a hurry."""
    global _hurry_until
    _hurry_until = time.monotonic() + HURRY_FOR
    connection.close()


def lock_seconds() -> float:
    in_a_hurry = patience.get() is VISITOR and time.monotonic() < _hurry_until
    return HURRY if in_a_hurry else patience.get().lock


@contextlib.contextmanager
def waiting(how_long: Patience) -> Iterator[None]:
    token = patience.set(how_long)
    try:
        yield
    finally:
        patience.reset(token)
