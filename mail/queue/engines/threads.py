"""The engine inside the web process: sender threads, and one that sweeps. No server needed.

Started by the first message or the first request of a process, never at import: a thread that
exists before a server forks its workers is lost in them, and may hold a lock for ever.
"""

import atexit
import itertools
import logging
import os
import queue
import threading
import time
from typing import Any

from django.db import close_old_connections
from django.db import connections as databases

from mail import conf
from mail.models import Mail
from mail.queue import delivering, engines
from mail.queue.chores import Round
from mail.transport import connection

log = logging.getLogger(__name__)

SWEEP_EVERY = 5.0  # seconds
SWEEP_BEHIND = 0.05  # seconds, while more is overdue than one sweep requeues
IDLE_FOR = 20.0  # seconds without work after which a sender closes its connection
STOP_WITHIN = 20.0  # seconds for what is in flight; what has not begun stays a pending row


class Threads(engines.Engine):
    def hint(self, mail: Mail) -> None:
        _pool.put(mail.pk, mail.priority)

    def trouble(self) -> str:
        ended = sum(not thread.is_alive() for thread in _pool.threads)
        return f"{ended} of {len(_pool.threads)} threads have ended" if ended else ""


class Pool:
    """Sender threads over one queue of keys, and a sweeper that requeues what is overdue."""

    def __init__(self, sweep_every: float = SWEEP_EVERY) -> None:
        self.sweep_every = sweep_every
        # (priority, number of arrival, key): the lowest comes first, in the order of arrival.
        self.jobs: queue.PriorityQueue[tuple[int, int, Any]] = queue.PriorityQueue()
        self.arrivals = itertools.count()
        self.threads: list[threading.Thread] = []
        self.starting = threading.Lock()
        self.stopping = threading.Event()
        self.behind = False  # whether the last sweep has left some for the next
        self.blind = False  # whether it could not even look

    def put(self, pk: Any, priority: int = 0) -> None:
        self.jobs.put((priority, next(self.arrivals), pk))
        if not self.threads:
            self.start()

    def start(self, senders: int = 0, *, sweeper: bool = True) -> None:
        """Starts the threads, once. Daemons: none of them may keep a process from ending."""
        if self.threads or self.stopping.is_set():
            return
        with self.starting:
            if self.threads:
                return
            numbers = range(senders or conf.MAIL_THREADS)
            work = [(f"mail-sender-{number}", self.send) for number in numbers]
            work += [("mail-sweeper", self.sweep)] if sweeper else []
            threads = [threading.Thread(target=do, name=name, daemon=True) for name, do in work]
            for thread in threads:
                thread.start()
            self.threads = threads

    def send(self) -> None:
        while not self.stopping.is_set():
            self.send_step()
        self.jobs.put((0, next(self.arrivals), None))  # wakes the next one that is idle
        connection.close()
        databases.close_all()

    def send_step(self) -> bool:
        """Delivers what is next; whether there was any. An idle sender closes its connection."""
        idle = self.jobs.empty()
        try:
            pk = self.jobs.get(timeout=IDLE_FOR)[2]
        except queue.Empty:
            connection.close()
            close_old_connections()
            return False
        try:
            if idle:  # after a wait the database connection may be dead
                close_old_connections()
            if self.stopping.is_set():
                return False
            delivering.deliver(pk)
        except Exception:  # the database is away, say: the row waits for the sweep
            log.exception("a message could not be delivered")
            close_old_connections()
        finally:
            self.jobs.task_done()
        return True

    def sweep(self) -> None:
        chores = Round()
        while True:
            if not self.sweep_step() and not self.blind:
                chores.step()
            if self.stopping.wait(SWEEP_BEHIND if self.behind else self.sweep_every):
                break
        databases.close_all()

    def sweep_step(self) -> int:
        """Requeues what is overdue, once the queue is empty: what waits in it is known already."""
        if not self.jobs.empty():
            return 0
        close_old_connections()
        self.behind, self.blind = False, True
        try:
            overdue = delivering.overdue()
            self.blind = False
        except Exception:
            log.exception("the sweep for overdue mail failed; it will be tried again")
            return 0
        self.behind = len(overdue) == delivering.ROWS_A_SWEEP
        for pk, priority in overdue:
            self.jobs.put((priority, next(self.arrivals), pk))
        return len(overdue)

    def drain(self, within: float) -> bool:
        """Waits until all that was put is done; whether it was in time."""
        with self.jobs.all_tasks_done:
            return self.jobs.all_tasks_done.wait_for(lambda: not self.jobs.unfinished_tasks, within)

    def stop(self, within: float = STOP_WITHIN) -> None:
        """Lets the senders finish what is in flight, and begin nothing more."""
        self.stopping.set()
        self.jobs.put((0, next(self.arrivals), None))  # wakes an idle sender
        deadline = time.monotonic() + within
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))


_pool = Pool()


def _renew_after_fork() -> None:
    """The threads stayed with the parent; their queue and locks are of no use here."""
    global _pool
    _pool = Pool()


os.register_at_fork(after_in_child=_renew_after_fork)
atexit.register(lambda: _pool.stop())


def drain(within: float = STOP_WITHIN) -> bool:
    """For a command that is about to end: lets the mail that it has posted leave first."""
    return _pool.drain(within)


def wake(**_: Any) -> None:
    """On a request: sees to it that somebody sweeps, if this engine is the one in use."""
    if isinstance(engines.named(conf.MAIL_ENGINE), Threads):
        _pool.start()
