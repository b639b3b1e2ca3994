"""The leases of what this process sends: short, and renewed for as long as its sender lives.

So a slow mail server has all the time that it needs, and the messages of a process that was killed
are sent by another a minute later.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator

from django.db import connections as databases

from mail import conf
from mail.models import Mail

log = logging.getLogger(__name__)

# Seconds. Most messages leave at once and need no renewal. A lease outlives two renewals that fail.
RENEW_EVERY = 15.0
RENEW_FROM = 5.0


def renew_until() -> float:
    """Longer than any send, each of whose steps may take EMAIL_TIMEOUT: after that it hangs."""
    return float(conf.EMAIL_ACCEPT_TIMEOUT) + max(300.0, 25.0 * (conf.EMAIL_TIMEOUT or 0))


class Leases:
    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.lock = threading.Lock()
        self.kept: dict[int, tuple[Mail, float]] = {}  # and since when
        self.renewer: threading.Thread | None = None

    @contextlib.contextmanager
    def keep(self, mail: Mail) -> Iterator[None]:
        """While the block runs, no other sender gets this message."""
        # By the object: one row may be claimed twice here, by a sender that slept and by the next.
        key = id(mail)
        try:
            with self.lock:
                self.kept[key] = (mail, time.monotonic())
                if self.renewer is None or not self.renewer.is_alive():
                    name = "mail-lease-renewer"
                    renewer = threading.Thread(target=self.renew, name=name, daemon=True)
                    renewer.start()
                    self.renewer = renewer
            yield
        finally:
            with self.lock:
                self.kept.pop(key, None)

    def renew(self) -> None:
        """Ends when there is nothing to renew; the next message starts it again."""
        while True:
            time.sleep(RENEW_EVERY)
            with self.lock:
                if not self.kept:
                    self.renewer = None
                    break
                now, most = time.monotonic(), renew_until()
                mails = [m for m, since in self.kept.values() if RENEW_FROM <= now - since <= most]
            for mail in mails:
                self.renew_step(mail)
        databases.close_all()

    def renew_step(self, mail: Mail) -> None:
        try:
            mail.renew()
        except Exception:  # the next renewal comes in time
            log.exception("the lease of message %s could not be renewed", mail.pk)
            with contextlib.suppress(Exception):
                databases.close_all()


leases = Leases()
# What was claimed is the parent's, and so is the thread.
os.register_at_fork(after_in_child=leases.begin)
