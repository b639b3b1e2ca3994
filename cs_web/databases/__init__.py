"""The site's databases: Django's own, but for how long anybody waits for them.

A visitor waits three seconds at most; whatever else runs (senders, commands) has more time.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass


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


@contextlib.contextmanager
def waiting(how_long: Patience) -> Iterator[None]:
    token = patience.set(how_long)
    try:
        yield
    finally:
        patience.reset(token)
