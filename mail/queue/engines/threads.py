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
from mail.causes import Cause
from mail.models import Mail, State
from mail.queue import delivering, engines
from mail.queue.chores import Round
from mail.transport import connection

log = logging.getLogger(__name__)

SWEEP_EVERY = 5.0  # seconds
SWEEP_BEHIND = 0.05  # seconds, while more is overdue than one sweep requeues
SEEING_AGAIN = 2.0  # seconds; whoever has sent a message marks it first (`delivering.MARK_EVERY`)
IDLE_FOR = 20.0  # seconds without work after which a sender closes its connection
# Seconds without more senders after the server has refused one; twice as many if it does so again.
GROW_AGAIN_AFTER, GROW_AGAIN_AT_LAST = 5.0, 60.0
REFUSED_FOR = 1.0  # second, until the last sender asks for a connection again
START_AGAIN_AFTER = 10.0  # seconds, where the machine had no thread for us
CLOCK_WAS_SET = 60.0  # seconds; a smaller step back is none that anybody would notice
STOP_WITHIN = 20.0  # seconds for what is in flight; what has not begun stays a pending row


class Threads(engines.Engine):
    def hint(self, mail: Mail) -> None:
        _pool.put(mail.pk, mail.priority)

    def trouble(self) -> str:
        ended = sum(not thread.is_alive() for thread in _pool.threads)
        return f"{ended} of {len(_pool.threads)} threads have ended" if ended else ""


class Pool:
    """Sender threads over one queue of keys, and a sweeper that requeues what is overdue.

    With each message that leaves while others wait there is one sender more, up to what the service
    bears. Whoever it refuses goes, and its message leaves over the connections of the others.
    """

    def __init__(self, sweep_every: float = SWEEP_EVERY) -> None:
        self.sweep_every = sweep_every
        # (priority, number of arrival, key): the lowest comes first, in the order of arrival.
        self.jobs: queue.PriorityQueue[tuple[int, int, Any]] = queue.PriorityQueue()
        self.arrivals = itertools.count()
        self.threads: list[threading.Thread] = []
        self.changing = threading.Lock()  # the threads
        self.least = self.limit = self.most = 0  # of them, with the sweeper
        self.grow_at, self.grow_wait = 0.0, GROW_AGAIN_AFTER
        self.start_at = 0.0
        self.stopping = threading.Event()
        self.behind = False  # whether the last sweep has left some for the next
        self.blind = False  # whether it could not even look
        self.offset: float | None = None  # of the clock, from one that nobody sets

    def put(self, pk: Any, priority: int = 0) -> None:
        self.jobs.put((priority, next(self.arrivals), pk))
        if not self.threads:
            self.start()

    def start(self, senders: int = 0, *, sweeper: bool = True) -> None:
        """Starts the threads, once. Daemons: none of them may keep a process from ending."""
        if self.threads or self.stopping.is_set() or time.monotonic() < self.start_at:
            return
        with self.changing:
            if self.threads:
                return
            self.start_at = time.monotonic() + START_AGAIN_AFTER
            senders = senders or conf.MAIL_THREADS
            self.least = senders + sweeper
            self.limit = self.most = max(senders, conf.threads_at_most()) + sweeper
            work = [("mail-sweeper", self.sweep)] if sweeper else []
            work += [(f"mail-sender-{number}", self.send) for number in range(senders)]
            threads = [threading.Thread(target=do, name=name, daemon=True) for name, do in work]
            self.threads = [thread for thread in threads if _has_started(thread)]

    def send(self) -> None:
        while not self.stopping.is_set():
            had_work = self.send_step()
            if self._leaves(self.limit if had_work else self.least):
                break
        else:
            self.jobs.put((0, next(self.arrivals), None))  # wakes the next one that is idle
        connection.close()
        databases.close_all()

    def _leaves(self, most: int) -> bool:
        """Whether this sender is one too many; those that have a connection stay."""
        with self.changing:
            if len(self.threads) <= most or connection.is_open() or self.stopping.is_set():
                return False
            self.threads.remove(threading.current_thread())
            return True

    def _adapt(self, mail: Mail) -> None:
        """One sender more with each success, while messages wait; one fewer with each refusal."""
        now = time.monotonic()
        refused = mail.cause in (Cause.CROWDED, Cause.TIMED_OUT)
        with self.changing:
            if refused:
                # The sweeper and one sender stay.
                self.limit = max(2, min(self.limit, len(self.threads)) - 1)
                if now >= self.grow_at:  # several at once are one refusal
                    self.grow_at = now + self.grow_wait
                    self.grow_wait = min(2 * self.grow_wait, GROW_AGAIN_AT_LAST)
            elif mail.state == State.SENT and not self.jobs.empty() and now >= self.grow_at:
                self.limit = self.most
                if now >= self.grow_at + self.grow_wait:
                    self.grow_wait = GROW_AGAIN_AFTER
                if len(self.threads) < self.limit and not self.stopping.is_set():
                    name = f"mail-sender-{next(self.arrivals)}"
                    thread = threading.Thread(target=self.send, name=name, daemon=True)
                    self.threads += [thread] if _has_started(thread) else []
        if refused and len(self.threads) <= 2:
            self.stopping.wait(REFUSED_FOR)

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
            if mail := delivering.deliver(pk):
                self._adapt(mail)
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
        was_blind, self.behind, self.blind = self.blind, False, True
        try:
            self._look_at_the_clock()
            overdue = delivering.overdue()
            if was_blind:
                self.stopping.wait(SEEING_AGAIN)
                overdue = delivering.overdue()
            self.blind = False
        except Exception:
            log.exception("the sweep for overdue mail failed; it will be tried again")
            return 0
        self.behind = len(overdue) == delivering.ROWS_A_SWEEP
        for pk, priority in overdue:
            self.jobs.put((priority, next(self.arrivals), pk))
        return len(overdue)

    def _look_at_the_clock(self) -> None:
        """Nothing waits for an hour to come again, if the clock is set back by one."""
        before, self.offset = self.offset, time.time() - time.monotonic()
        if before is None or self.offset < before - CLOCK_WAS_SET:
            delivering.believe_no_future(certainly=before is not None)

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


def _has_started(thread: threading.Thread) -> bool:
    """Where the machine has no thread left, visitors get their pages all the same; mail waits."""
    try:
        thread.start()
    except RuntimeError as error:
        log.error("%s cannot be started: %s", thread.name, error)
        return False
    return True


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


def stop() -> None:
    """For a server that ends without `atexit`."""
    _pool.stop()


def wake(**_: Any) -> None:
    """On a request: sees to it that somebody sweeps, if this engine is the one in use."""
    if isinstance(engines.named(conf.MAIL_ENGINE), Threads):
        _pool.start()
