"""The engine on other machines: workers of Celery, with RabbitMQ or Redis in between.

A hint that is lost is given again by the sweep. So a broker that is away costs nobody a mail, and
a visitor next to no time.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import current_app, shared_task
from django.utils.module_loading import import_string
from django_tasks.base import Task

from mail import connections, delivery, tasks
from mail.engines.hints import HintsBackend

log = logging.getLogger(__name__)

PAUSE = 10.0  # seconds without hints after the broker has failed
# A visitor waits: one attempt, and a second for the broker to say that it has the hint. Not for all
# of Celery: without a retry, beat would never leave a connection that is dead.
PUBLISHING = {"retry_policy": {"max_retries": 0}, "confirm_timeout": 1}
IDLE_FOR = 20  # seconds without work after which a worker closes its connection
# What visitors wait for never stands behind what a sweep has found.
QUEUE, SWEEP_QUEUE = "mail", "mail-sweep"


class CeleryBackend(HintsBackend):
    """Django Tasks over the application that OPTIONS names: `{"app": "mysite.celery.app"}`."""

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.app = import_string(self.options["app"])

    def hint(self, task: Task, args: list[Any], kwargs: dict[str, Any]) -> None:
        # Notices and bulk are left to the sweep: it hints them by priority and a few at a time,
        # and ten thousand of them are no queue that somebody's activation has to wait in.
        if task.priority < 0 or not _breaker.lets_through():
            return
        message = [task.module_path, *args]
        try:
            self.app.send_task(run.name, message, kwargs, queue=QUEUE, **PUBLISHING)
        except Exception as error:  # whatever it is, the row is there, and the visitor waits
            _breaker.report(worked=False)
            log.warning("the message broker takes no hints, so mail waits for a sweep: %s", error)
        else:
            _breaker.report(worked=True)


class Breaker:
    """After a failure only one in a while finds out whether it still fails; nobody else waits."""

    def __init__(self, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.pause = pause
        self.clock = clock
        self.next_try: float | None = None

    def lets_through(self) -> bool:
        if self.next_try is None:
            return True
        now = self.clock()
        if now < self.next_try:
            return False
        self.next_try = now + self.pause
        return True

    def report(self, *, worked: bool) -> None:
        self.next_try = None if worked else self.clock() + self.pause


_breaker = Breaker(PAUSE)


@shared_task(name="mail.run")
def run(path: str, *args: Any, **kwargs: Any) -> None:
    """Runs a Django task in a worker."""
    signal.alarm(0)
    try:
        task = import_string(path)
        if not isinstance(task, Task):  # a broker is no place to call any function from
            raise TypeError(f"{path} is no task")
        task.call(*args, **kwargs)
    finally:
        _close_when_idle()


@shared_task(name="mail.sweep")
def sweep() -> int:
    """Hints what is overdue.

    It waits in the same queue as what it has hinted before, and expires there: so while hints are
    waiting none are added, however much is overdue.
    """
    overdue = delivery.overdue()
    with current_app.connection_for_write() as connection:
        for pk, _ in overdue:
            message = [tasks.deliver.module_path, str(pk)]
            run.apply_async(message, queue=SWEEP_QUEUE, connection=connection)
    return len(overdue)


def _close_when_idle() -> None:
    """Lets go of the mail server after a while without work.

    By an alarm, as a worker process has but one thread, which waits for the next hint. (Workers
    with threads, `--pool threads`, keep their connections until the server hangs up.)
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGALRM, lambda *_: connections.close())
        signal.alarm(IDLE_FOR)
