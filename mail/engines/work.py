"""Senders without a web server, on the database alone: `manage.py mail work`."""

import logging
import signal
import threading
import time
from datetime import datetime
from typing import Any

from django.db import DatabaseError, close_old_connections
from django.utils import timezone
from django_tasks.base import Task

from mail.engines.hints import HintsBackend
from mail.engines.threads import Pool
from mail.models import Mail

log = logging.getLogger(__name__)

STOP = {signal.SIGTERM, signal.SIGINT}
LOOK_EVERY = 1.0  # seconds; nobody hints here, so a mail waits for half of it
LOOK_AGAIN = 0.05  # seconds, while there is work
TELL_EVERY = 10.0  # seconds


class WorkBackend(HintsBackend):
    """Django Tasks where others send: they look for rows by themselves, and need no hint."""

    def hint(self, task: Task, args: list[Any], kwargs: dict[str, Any]) -> None:
        pass


def run(threads: int, once: bool = False) -> int:
    """Sends whatever is due until SIGTERM or Ctrl-C; with `once`, until nothing is due any more.

    What is being sent then is finished first. Returns the exit code: with `once`, 1 if the database
    could not tell what is due.
    """
    # Not by handlers: one may run in the middle of anything, also while a lock is held.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    try:
        pool = _start(threads)
        progress = Progress(timezone.now())
        log.info("%d senders are at work until Ctrl-C or SIGTERM", threads)
        while True:
            idle = not pool.jobs.unfinished_tasks
            found = pool.sweep_step()
            progress.tell_now_and_then()
            if once and (pool.blind or (idle and not found)):
                break
            if signal.sigtimedwait(STOP, LOOK_EVERY if pool.jobs.empty() else LOOK_AGAIN):
                log.info("stopping, as soon as what is being sent is sent")
                break
        pool.stop()
        if any(thread.is_alive() for thread in pool.threads):
            log.warning("a send takes too long to wait for; that mail goes out again later")
        log.info("stopped. %s", progress)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
    return 1 if once and pool.blind else 0


def _start(threads: int) -> Pool:
    """A pool whose sweeper is the main thread."""
    pool = Pool()
    pool.threads = [
        threading.Thread(target=pool.send, name=f"mail-sender-{number}", daemon=True)
        for number in range(threads)
    ]
    for thread in pool.threads:
        thread.start()
    return pool


class Progress:
    """What has become of the mail since the start, whoever sent it."""

    def __init__(self, start: datetime) -> None:
        self.start = start
        self.due = 0
        self.told = str(self)
        self.told_at = time.monotonic()

    def tell_now_and_then(self) -> None:
        if time.monotonic() - self.told_at > TELL_EVERY:
            self.told_at = time.monotonic()
            if (words := str(self)) != self.told or self.due:
                log.info(words)
                self.told = words

    def __str__(self) -> str:
        close_old_connections()
        try:
            self.due = Mail.objects.due().count()
            sent = Mail.objects.filter(sent_at__gte=self.start).count()
        except DatabaseError as error:
            return f"the database does not answer: {error}"
        return f"{sent} mails sent since the start, {self.due} are due"
