"""The engine inside the web process: sender threads, and one that sweeps. No server needed.

Started by the first mail or the first request of a process, never at import: see `mail.apps`.
"""

import atexit
import itertools
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.db import close_old_connections
from django.db import connections as databases
from django_tasks import task_backends
from django_tasks.base import Task

from mail import connections, delivery
from mail.engines.hints import HintsBackend

log = logging.getLogger(__name__)

SWEEP_EVERY = 5.0  # seconds
SWEEP_BEHIND = 0.5  # seconds, while more is overdue than one sweep takes
IDLE_FOR = 20.0  # seconds without work after which a sender closes its connection
STOP_WITHIN = 20.0  # seconds for what is being sent; what is not begun stays a pending row

Job = Callable[[], Any]


class ThreadsBackend(HintsBackend):
    """Django Tasks over the pool of this process."""

    def hint(self, task: Task, args: list[Any], kwargs: dict[str, Any]) -> None:
        _pool.put(lambda: task.call(*args, **kwargs), -task.priority)


class Pool:
    """Sender threads over one queue, and a sweeper that feeds it with what is overdue."""

    def __init__(self) -> None:
        # (urgency, number of arrival, job): the lowest comes first, in the order of arrival.
        self.jobs: queue.PriorityQueue[tuple[int, int, Job | None]] = queue.PriorityQueue()
        self.arrivals = itertools.count()
        self.threads: list[threading.Thread] = []
        self.starting = threading.Lock()
        self.stopping = threading.Event()
        self.behind = False  # whether the last sweep has left some for the next

    def put(self, job: Job, urgency: int = 0) -> None:
        self.queue(job, urgency)
        self.start()

    def queue(self, job: Job | None, urgency: int = 0) -> None:
        self.jobs.put((urgency, next(self.arrivals), job))

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
        connections.close()
        databases.close_all()

    def send_step(self) -> bool:
        """Runs one job; whether there was one. An idle sender lets go of its connection."""
        try:
            job = self._next()
        except queue.Empty:
            connections.close()
            close_old_connections()
            return False
        try:
            if job is None or self.stopping.is_set():
                return False
            job()
        except Exception:  # the database is away, say: the row waits for the sweep
            log.exception("a mail task failed")
            close_old_connections()
        finally:
            self.jobs.task_done()
        return True

    def _next(self) -> Job | None:
        """Waits for a job. After a wait the database connection may be dead, and is looked at."""
        try:
            return self.jobs.get_nowait()[2]
        except queue.Empty:
            job = self.jobs.get(timeout=IDLE_FOR)[2]
            close_old_connections()
            return job

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
        self.behind = False
        try:
            overdue = delivery.overdue()
        except Exception:
            log.exception("the sweep for overdue mail failed; it will be tried again")
            return 0
        self.behind = len(overdue) == delivery.ROWS_A_SWEEP
        for pk, priority in overdue:
            self.queue(partial(delivery.deliver, pk), priority)
        return len(overdue)

    def drain(self, within: float) -> bool:
        """Waits until all that was put is done; whether it was in time."""
        with self.jobs.all_tasks_done:
            return self.jobs.all_tasks_done.wait_for(lambda: not self.jobs.unfinished_tasks, within)

    def stop(self, within: float = STOP_WITHIN) -> None:
        """Lets the senders finish what they are sending, and nothing more."""
        self.stopping.set()
        for _ in self.threads:
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
