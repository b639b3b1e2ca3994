"""The engine inside the web process: sender threads, and one that sweeps. No server needed.

Started by the first mail or the first request of a process, never at import: see `mail.apps`.
"""

import atexit
import contextlib
import itertools
import logging
import os
import queue
import threading
import time
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import close_old_connections
from django.db import connections as databases
from django_tasks import task_backends
from django_tasks.base import Task
from django_tasks.exceptions import InvalidTaskError

from mail import connections, delivery
from mail.engines.hints import HintsBackend

log = logging.getLogger(__name__)

SWEEP_EVERY = 5.0  # seconds
SWEEP_BEHIND = 0.5  # seconds, while more is overdue than one sweep takes
IDLE_FOR = 20.0  # seconds without work after which a sender closes its connection
STOP_WITHIN = 20.0  # seconds for what is being sent; what is not begun stays a pending row

DELIVER = "mail.tasks.deliver"

# While more waits than there are senders, each takes several at once, which saves the database most
# of its questions; but only as many as leave within a moment, by the pace of the last ones.
AT_ONCE = 20
AT_ONCE_WITHIN = 0.5  # seconds


class ThreadsBackend(HintsBackend):
    """Django Tasks over the pool of this process, whose only task is to deliver."""

    def validate_task(self, task: Task) -> None:
        super().validate_task(task)
        if task.module_path != DELIVER:
            raise InvalidTaskError(
                f"the sender threads run {DELIVER} alone, not {task.module_path}"
            )

    def hint(self, task: Task, args: list[Any], kwargs: dict[str, Any]) -> None:
        [pk] = args
        _pool.put(UUID(pk), -task.priority)


class Pool:
    """Sender threads over one queue of mails, and a sweeper that feeds it with what is overdue."""

    def __init__(self) -> None:
        # (urgency, number of arrival, key): the lowest comes first, in the order of arrival.
        self.jobs: queue.PriorityQueue[tuple[int, int, Any]] = queue.PriorityQueue()
        self.pace = AT_ONCE_WITHIN  # seconds that a mail has taken lately; unknown yet
        self.arrivals = itertools.count()
        self.threads: list[threading.Thread] = []
        self.starting = threading.Lock()
        self.stopping = threading.Event()
        self.behind = False  # whether the last sweep has left some for the next
        self.blind = False  # whether it could not even look

    def put(self, pk: Any, urgency: int = 0) -> None:
        self.queue(pk, urgency)
        self.start()

    def queue(self, pk: Any, urgency: int = 0) -> None:
        self.jobs.put((urgency, next(self.arrivals), pk))

    def start(self) -> None:
        """Starts the threads, once. Daemons: none of them may keep a process from ending."""
        if self.threads or self.stopping.is_set():
            return
        with self.starting:
            if self.threads:
                return
            senders = [
                threading.Thread(target=self.send, name=f"mail-sender-{number}", daemon=True)
                for number in range(settings.MAIL_THREADS)
            ]
            sweeper = threading.Thread(target=self.sweep, name="mail-sweeper", daemon=True)
            for thread in [*senders, sweeper]:
                thread.start()
            self.threads = [*senders, sweeper]

    def send(self) -> None:
        while not self.stopping.is_set():
            self.send_step()
        self.queue(None)  # wakes the next one that is idle
        connections.close()
        databases.close_all()

    def send_step(self) -> bool:
        """Delivers what is next; whether there was any. An idle sender drops its connection."""
        try:
            jobs = self._next()
        except queue.Empty:
            connections.close()
            close_old_connections()
            return False
        try:
            if self.stopping.is_set():
                return False
            self._deliver(dict(jobs))
        except Exception:  # the database is away, say: the rows wait for the sweep
            log.exception("a mail task failed")
            close_old_connections()
        finally:
            for _ in jobs:
                self.jobs.task_done()
        return True

    def _deliver(self, jobs: dict[Any, int]) -> None:
        """Delivers these, and puts back what it does not come to."""
        began = time.monotonic()
        for done, mail in enumerate(delivery.deliver_batch(list(jobs)), start=1):
            del jobs[mail.pk]
            took = time.monotonic() - began
            self.pace = took / done
            if self.stopping.is_set() or took > AT_ONCE_WITHIN:
                break  # what was read of the others is old by now, and another sender may be free
        else:
            return  # what did not come is not to be sent, or somebody else is at it
        for pk, urgency in jobs.items():
            self.queue(pk, urgency)

    def _next(self) -> list[tuple[Any, int]]:
        """Waits for a mail, and takes more with it where many wait: keys, with their urgency.

        After a wait the database connection may be dead, and is looked at.
        """
        try:
            jobs = [self.jobs.get_nowait()]
        except queue.Empty:
            jobs = [self.jobs.get(timeout=IDLE_FOR)]
            close_old_connections()
        fair = 1 + self.jobs.qsize() // max(1, len(self.threads))
        quick = int(AT_ONCE_WITHIN / max(self.pace, 0.001))
        with contextlib.suppress(queue.Empty):
            while len(jobs) < min(fair, quick, AT_ONCE):
                jobs.append(self.jobs.get_nowait())
        return [(pk, urgency) for urgency, _, pk in jobs]

    def sweep(self) -> None:
        while True:
            self.sweep_step()
            if self.stopping.wait(SWEEP_BEHIND if self.behind else SWEEP_EVERY):
                break
        databases.close_all()

    def sweep_step(self) -> int:
        """Feeds the queue once it is empty: what waits in it is known already."""
        if not self.jobs.empty():
            return 0
        close_old_connections()
        self.behind, self.blind = False, True
        try:
            overdue = delivery.overdue()
            self.blind = False
        except Exception:
            log.exception("the sweep for overdue mail failed; it will be tried again")
            return 0
        self.behind = len(overdue) == delivery.ROWS_A_SWEEP
        for pk, priority in overdue:
            self.queue(pk, priority)
        return len(overdue)

    def drain(self, within: float) -> bool:
        """Waits until all that was put is done; whether it was in time."""
        with self.jobs.all_tasks_done:
            return self.jobs.all_tasks_done.wait_for(lambda: not self.jobs.unfinished_tasks, within)

    def stop(self, within: float = STOP_WITHIN) -> None:
        """Lets the senders finish what they are sending, and nothing more."""
        self.stopping.set()
        self.queue(None)  # wakes an idle sender
        deadline = time.monotonic() + within
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))


_pool = Pool()


def _renew_after_fork() -> None:
    """The threads stayed with the parent; their queue and locks are of no use here."""
    global _pool
    _pool = Pool()


def _stop_at_exit() -> None:
    _pool.stop()


os.register_at_fork(after_in_child=_renew_after_fork)
atexit.register(_stop_at_exit)


def drain(within: float = STOP_WITHIN) -> bool:
    """For a command that is about to end: lets the mail that it has posted leave first."""
    return _pool.drain(within)


def wake(**_: Any) -> None:
    """On a request: sees to it that somebody sweeps, if this engine is the one in use."""
    if isinstance(task_backends["default"], ThreadsBackend):
        _pool.start()
