"""The engine on other machines: workers of Celery, with RabbitMQ or Redis in between.

The sweep repeats a hint that is lost. So a broker that is away costs nobody a message, and a
visitor no time.
"""

import logging
import os
import queue
import signal
import threading
from typing import Any

from celery import current_app, shared_task
from django.utils.module_loading import import_string

from mail import conf
from mail.breaker import Breaker
from mail.models import Mail, Priority
from mail.queue import delivering, engines
from mail.queue.chores import Round
from mail.transport import connection

log = logging.getLogger(__name__)

PAUSE = 10.0  # seconds without hints after the broker has failed
HINTS_AT_MOST = 1000  # that wait in a process; the sweep finds what these leave out
# One attempt, and a second for the broker to say that it has the hint. Not for all of Celery:
# without a retry, beat would never leave a connection that is dead.
PUBLISHING = {"retry_policy": {"max_retries": 0}, "confirm_timeout": 1}
IDLE_FOR = 20  # seconds without work after which a worker closes its connection
# What visitors wait for is never queued behind what a sweep has found.
QUEUE, SWEEP_QUEUE = "mail", "mail-sweep"


_breaker = Breaker(PAUSE)
_chores = Round()  # of this worker process


class Hints:
    """On their way to the broker by a thread: no visitor waits for one that is blocked."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.waiting: queue.Queue[tuple[Any, str]] = queue.Queue(HINTS_AT_MOST)
        self.starting = threading.Lock()
        self.thread: threading.Thread | None = None

    def put(self, app: Any, pk: str) -> None:
        try:
            self.waiting.put_nowait((app, pk))
            with self.starting:
                if self.thread is None or not self.thread.is_alive():
                    thread = threading.Thread(target=self.send, name="mail-hints", daemon=True)
                    thread.start()
                    self.thread = thread
        except (queue.Full, RuntimeError) as error:  # or no thread is to be had
            log.warning("a hint is left to the sweep: %r", error)

    def send(self) -> None:
        while True:
            app, pk = self.waiting.get()
            try:
                if _breaker.lets_through():
                    self.send_step(app, pk)
            finally:
                self.waiting.task_done()

    def send_step(self, app: Any, pk: str) -> None:
        try:
            app.send_task(deliver.name, [pk], queue=QUEUE, **PUBLISHING)
        except Exception as error:  # whatever it is, the row is there
            _breaker.report(worked=False)
            log.warning("the message broker takes no hints, so mail waits for a sweep: %s", error)
        else:
            _breaker.report(worked=True)


_hints = Hints()
# The thread stayed with the parent.
os.register_at_fork(after_in_child=_hints.begin)


class Celery(engines.Engine):
    """Over the application that MAIL_CELERY_APP names."""

    def __init__(self) -> None:
        self.app = import_string(conf.MAIL_CELERY_APP)

    def hint(self, mail: Mail) -> None:
        # Notices are left to the sweep: it hints them a few at a time, and ten thousand of them are
        # no queue that somebody's activation has to wait in.
        if mail.priority <= Priority.WAITED_FOR:
            _hints.put(self.app, str(mail.pk))


@shared_task(name="mail.deliver")
def deliver(pk: str) -> None:
    signal.alarm(0)
    try:
        delivering.deliver(pk)
    finally:
        _close_when_idle()


@shared_task(name="mail.sweep")
def sweep() -> int:
    """Hints what is overdue; if nothing is, tidies up.

    It waits in the same queue as what it has hinted before, and expires there: so while hints are
    waiting none are added, however much is overdue.
    """
    overdue = delivering.overdue()
    with current_app.connection_for_write() as broker:
        for pk, _ in overdue:
            deliver.apply_async([str(pk)], queue=SWEEP_QUEUE, connection=broker)
    if not overdue:
        _chores.step()
    return len(overdue)


def _close_when_idle() -> None:
    """Closes the connection to the mail server after a while without work.

    By an alarm, as a worker process has but one thread, which waits. (Workers with `--pool threads`
    keep their connections until the server hangs up.)
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGALRM, lambda *_: connection.close())
        signal.alarm(IDLE_FOR)
