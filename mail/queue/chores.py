"""Chores: what the senders tidy up now and then, so that a site needs no cron.

A chore deletes one batch of what is too old, and says how many that were. One batch a sweep, so
that neither mail nor a visitor waits for it.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

log = logging.getLogger(__name__)

EVERY = 10 * 60.0  # seconds; several processes that do the same do no harm
AT_MOST = 200  # rows a batch

Chore = Callable[[int], int]  # at most so many; how many there were

chores: list[Chore] = []


def chore(do: Chore) -> Chore:
    """Registers a function that deletes at most so many rows, and returns how many."""
    chores.append(do)
    return do


def delete_some(rows: QuerySet[Any], at_most: int) -> int:
    """What a chore does to rows on which nothing hangs that must be asked first."""
    pks = list(rows.values_list("pk", flat=True)[:at_most])
    rows.filter(pk__in=pks).delete()
    return len(pks)


class Round:
    """All chores, one batch a step; the next round begins a while after the last has ended."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.left: list[Chore] = []
        self.next_at = clock()

    def step(self) -> None:
        if not self.left:
            if self.clock() < self.next_at:
                return
            self.left, self.next_at = list(chores), self.clock() + EVERY
        do = self.left[0] if self.left else None
        try:
            if do and do(AT_MOST) == AT_MOST:
                return  # there may be more of them
        except Exception:  # the database is away, say: the next round comes
            log.exception("a chore has failed: %s", getattr(do, "__name__", do))
        self.left = self.left[1:]
