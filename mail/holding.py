"""What this process has in hand. A lease is short, and renewed for as long as its sender lives.

So a slow mail server has all the time that it takes, and the mail of a process that was killed is
sent by another a minute later.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connections as databases

from mail.models import Mail

log = logging.getLogger(__name__)

# Seconds. A lease is four of them, so that two renewals may fail.
RENEW_EVERY = 15.0


class Hands:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.since: dict[Any, float] = {}
        self.renewer: threading.Thread | None = None

    @contextlib.contextmanager
    def holding(self, mails: Sequence[Mail]) -> Iterator[None]:
        pks = [mail.pk for mail in mails]
        with self.lock:
            self.since |= dict.fromkeys(pks, time.monotonic())
            if pks and self.renewer is None:
                self.renewer = threading.Thread(
                    target=self.renew, name="mail-lease-renewer", daemon=True
                )
                self.renewer.start()
        try:
            yield
        finally:
            with self.lock:
                for pk in pks:
                    self.since.pop(pk, None)

    def renew(self) -> None:
        """Ends when there is nothing in hand; the next mail starts it again."""
        while True:
            time.sleep(RENEW_EVERY)
            with self.lock:
                if not self.since:
                    self.renewer = None
                    break
                long_ago = time.monotonic() - RENEW_EVERY
                pks = [pk for pk, since in self.since.items() if since <= long_ago]
            if pks:
                self.renew_step(pks)
        databases.close_all()

    def renew_step(self, pks: Sequence[Any]) -> None:
        try:
            Mail.objects.renew(pks)
        except Exception:  # the next one comes in time
            log.exception("the leases of %d mails could not be renewed", len(pks))
            databases.close_all()


_hands = Hands()


def holding(mails: Sequence[Mail]) -> contextlib.AbstractContextManager[None]:
    """While the block runs, nobody else gets these mails."""
    return _hands.holding(mails)


def _renew_after_fork() -> None:
    """What is in hand is the parent's, and so is the thread."""
    global _hands
    _hands = Hands()


os.register_at_fork(after_in_child=_renew_after_fork)
