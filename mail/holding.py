"""What this process has in hand. A lease is short, and renewed for as long as its sender lives.

So a slow mail server has all the time that it takes, and the mail of a process that was killed is
sent by another a minute later.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator

from django.conf import settings
from django.db import connections as databases

from mail.models import Mail

log = logging.getLogger(__name__)

# Seconds. Most mails leave at once and need no renewal. A lease is long enough for two that fail.
RENEW_EVERY = 15.0
HELD_FOR_LONG = 5.0


def held_at_most() -> float:
    """Longer than any send, whose every read may take EMAIL_TIMEOUT: after that it hangs."""
    return max(300.0, 25.0 * settings.EMAIL_TIMEOUT)


class Hands:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.since: dict[Mail, float] = {}
        self.renewer: threading.Thread | None = None

    @contextlib.contextmanager
    def holding(self, mail: Mail) -> Iterator[None]:
        try:
            with self.lock:
                self.since[mail] = time.monotonic()
                self.start()
            yield
        finally:
            with self.lock:
                del self.since[mail]

    def start(self) -> None:
        if self.renewer is None or not self.renewer.is_alive():
            renewer = threading.Thread(target=self.renew, name="mail-lease-renewer", daemon=True)
            renewer.start()
            self.renewer = renewer

    def renew(self) -> None:
        """Ends when there is nothing in hand; the next mail starts it again."""
        while True:
            time.sleep(RENEW_EVERY)
            with self.lock:
                if not self.since:
                    self.renewer = None
                    break
                now, most = time.monotonic(), held_at_most()
                mails = [
                    mail
                    for mail, since in self.since.items()
                    if HELD_FOR_LONG <= now - since <= most
                ]
            for mail in mails:
                self.renew_step(mail)
        databases.close_all()

    def renew_step(self, mail: Mail) -> None:
        try:
            mail.renew()
        except Exception:  # the next one comes in time
            log.exception("the lease of mail %s could not be renewed", mail.pk)
            with contextlib.suppress(Exception):
                databases.close_all()


_hands = Hands()


def holding(mail: Mail) -> contextlib.AbstractContextManager[None]:
    """While the block runs, nobody else gets this mail."""
    return _hands.holding(mail)


def _renew_after_fork() -> None:
    """What is in hand is the parent's, and so is the thread."""
    global _hands
    _hands = Hands()


os.register_at_fork(after_in_child=_renew_after_fork)
