"""The engine in the web process: it starts late, survives everything, and stops cleanly."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django_tasks import TaskResultStatus, task
from django_tasks.exceptions import InvalidTaskError

from mail import connections, delivery, outbox, tasks
from mail.engines import threads
from mail.engines.threads import Pool, ThreadsBackend
from mail.models import Mail, Priority
from tests.conftest import take
from tests.elsewhere import DEVELOPMENT, Site

SECONDS = 10


@pytest.fixture
def pool(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """Two senders of its own, without a database: its mails are functions, and none is overdue."""
    settings.MAIL_THREADS = 2
    monkeypatch.setattr(delivery, "overdue", list)
    monkeypatch.setattr(delivery, "deliver_batch", run_all)
    found = Pool()
    yield found
    found.stop(SECONDS)
    assert not [thread for thread in found.threads if thread.is_alive()]


def run_all(jobs: list[Any]) -> Iterator[Any]:
    for job in jobs:
        job()
        yield SimpleNamespace(pk=job)


@pytest.fixture
def own_connection(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that runs in this thread must not end the transaction of the test as an old one."""
    monkeypatch.setattr(threads, "close_old_connections", lambda: None)


class Gate:
    """A job that says when it has begun, and ends when it is told to."""

    def __init__(self) -> None:
        self.begun, self.may_end, self.ended = (threading.Event() for _ in range(3))

    def __call__(self) -> None:
        self.begun.set()
        assert self.may_end.wait(SECONDS)
        self.ended.set()


# Jobs


def test_jobs_run_in_the_threads_of_the_pool(pool: Pool) -> None:
    ran: list[str] = []
    for _ in range(10):
        pool.put(lambda: ran.append(threading.current_thread().name))
    assert pool.drain(SECONDS)
    assert len(ran) == 10
    assert set(ran) <= {"mail-sender-0", "mail-sender-1"}


def test_nothing_waits_behind_a_slow_mail_while_a_sender_is_free(pool: Pool) -> None:
    slow, quick = Gate(), threading.Event()
    pool.put(slow)
    pool.put(quick.set)
    assert quick.wait(SECONDS)
    slow.may_end.set()


def test_a_job_that_raises_ends_no_sender(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ZeroDivisionError("the database is away")

    done = threading.Event()
    for _ in range(10):
        pool.put(fail)
        assert pool.drain(SECONDS)
    pool.put(done.set)
    assert done.wait(SECONDS)
    assert caplog.text.count("ZeroDivisionError: the database is away") == 10


def test_threads_keep_no_process_from_ending(pool: Pool) -> None:
    pool.start()
    names = sorted(thread.name for thread in pool.threads)
    assert names == ["mail-sender-0", "mail-sender-1", "mail-sweeper"]
    assert all(thread.daemon for thread in pool.threads)


def test_two_requests_at_once_start_the_threads_once(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, may_go = threading.Semaphore(0), threading.Event()

    def make(**options: Any) -> threading.Thread:
        arrived.release()
        assert may_go.wait(SECONDS)
        return threading.Thread(**options)

    monkeypatch.setattr(threads, "threading", SimpleNamespace(Thread=make))
    starters = [threading.Thread(target=pool.start) for _ in range(2)]
    for thread in starters:
        thread.start()
    assert arrived.acquire(timeout=SECONDS)
    assert not arrived.acquire(timeout=0.1), "the second one waits for the first"
    may_go.set()
    for thread in starters:
        thread.join(SECONDS)
    assert sum(arrived.acquire(blocking=False) for _ in range(9)) == 2, "three were made, one told"


def test_drain_does_not_wait_for_ever(pool: Pool) -> None:
    gate = Gate()
    pool.put(gate)
    assert pool.drain(0.01) is False
    gate.may_end.set()
    assert pool.drain(SECONDS) is True


# The end


def test_stopping_finishes_the_mail_in_hand_and_begins_no_other(
    pool: Pool, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAIL_THREADS = 1
    closed = threading.Event()
    monkeypatch.setattr(connections, "close", closed.set)
    in_hand, waiting = Gate(), Gate()
    pool.put(in_hand)
    pool.put(waiting)
    assert in_hand.begun.wait(SECONDS)
    stopper = threading.Thread(target=pool.stop)
    stopper.start()
    assert pool.stopping.wait(SECONDS)
    in_hand.may_end.set()
    stopper.join(SECONDS)
    assert not stopper.is_alive()
    assert in_hand.ended.is_set()
    assert not waiting.begun.is_set()
    assert closed.is_set(), "the connection was ended politely"


def test_idle_senders_stop_at_once(pool: Pool) -> None:
    pool.start()
    pool.stop(SECONDS)
    assert not [thread for thread in pool.threads if thread.is_alive()]


def test_a_server_that_never_answers_does_not_hold_up_the_end(pool: Pool) -> None:
    gate = Gate()
    pool.put(gate)
    assert gate.begun.wait(SECONDS)
    pool.stop(within=0.01)
    assert [thread for thread in pool.threads if thread.is_alive()], "it hangs, and we do not"
    gate.may_end.set()


def test_a_pool_that_was_stopped_does_not_start_again(pool: Pool) -> None:
    pool.stop()
    pool.put(lambda: None)
    assert pool.threads == []


# Steps


def test_a_mail_that_is_taken_while_the_end_begins_is_left_to_the_next_process(pool: Pool) -> None:
    ran: list[bool] = []
    pool.queue(lambda: ran.append(True))
    pool.stopping.set()
    assert pool.send_step() is False
    assert ran == []


@pytest.mark.parametrize("busy", [True, False])
def test_an_idle_sender_lets_go_of_its_connection_and_a_busy_one_keeps_it(
    own_connection: None, pool: Pool, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(threads, "IDLE_FOR", 0.01)
    monkeypatch.setattr(connections, "close", lambda: closed.append(True))
    if busy:
        pool.queue(lambda: None)
    assert pool.send_step() is busy
    assert bool(closed) is not busy


def test_a_sweep_feeds_the_senders_with_what_is_overdue(own_connection: None) -> None:
    pool, mails = Pool(), [outbox.post("password_reset", address=f"{n}@a.com") for n in range(3)]
    take(mails[0].pk)
    assert pool.sweep_step() == 2
    while not pool.jobs.empty():
        assert pool.send_step()
    assert set(Mail.objects.values_list("state", flat=True)) == {"pending", "dropped"}


def test_a_sweep_adds_nothing_while_the_senders_have_work(own_connection: None) -> None:
    """What waits in the queue is overdue as well, and would be in it twice, and four times, …"""
    pool = Pool()
    outbox.post("password_reset", address="a@example.com")
    assert pool.sweep_step() == 1
    assert pool.sweep_step() == 0
    assert pool.jobs.qsize() == 1


def test_a_sweep_survives_a_database_that_is_away(
    own_connection: None,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def away() -> None:
        raise ConnectionError("no database")

    monkeypatch.setattr(delivery, "overdue", away)
    assert pool.sweep_step() == 0
    assert "it will be tried again" in caplog.text


def test_the_sweeper_goes_on_sweeping(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    swept = threading.Semaphore(0)
    monkeypatch.setattr(threads, "SWEEP_EVERY", 0.001)
    monkeypatch.setattr(delivery, "overdue", lambda: swept.release() or [])  # type: ignore[func-returns-value]
    pool.start()
    for _ in range(3):
        assert swept.acquire(timeout=SECONDS)


# As a backend of Django Tasks


def test_enqueue_hands_the_task_over_and_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[Any] = []
    monkeypatch.setattr(threads._pool, "put", lambda *mail: put.append(mail))
    result = ThreadsBackend("default", {}).enqueue(
        tasks.deliver.using(priority=-Priority.BULK), [str(UUID(int=7))], {}
    )
    assert result.status == TaskResultStatus.READY
    assert (result.args, result.kwargs) == ([str(UUID(int=7))], {})
    assert put == [(UUID(int=7), Priority.BULK)]


def test_the_threads_refuse_a_task_that_they_would_not_run() -> None:
    with pytest.raises(InvalidTaskError, match=r"run mail\.tasks\.deliver alone, not .*other_task"):
        ThreadsBackend("default", {}).enqueue(other_task, ["the-key"], {})


@task()
def other_task(pk: str) -> None: ...


@pytest.mark.parametrize("engine", [True, False])
def test_a_request_wakes_the_sweeper_only_where_threads_are_the_engine(
    engine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bool] = []
    monkeypatch.setattr(threads._pool, "start", lambda: started.append(True))
    if engine:
        backend = ThreadsBackend("default", {})
        monkeypatch.setattr(threads, "task_backends", {"default": backend})
    threads.wake(sender=None, environ={})
    assert bool(started) is engine


# Processes


def test_no_thread_exists_before_the_first_request(tmp_path: Path) -> None:
    """A server that loads the site and then forks would deadlock its workers in SQLite."""
    site = Site(tmp_path, MAIL_THREADS="2", **DEVELOPMENT).migrate()
    assert site.story(LATE).splitlines() == [
        "imported: MainThread",
        "requested: MainThread mail-sender-0 mail-sender-1 mail-sweeper",
    ]


LATE = """
import threading

def tell(when):
    print(f"{when}:", *sorted(thread.name for thread in threading.enumerate()))

import cs_web.wsgi
from django.test import Client
tell("imported")
assert Client(headers={"host": "127.0.0.1"}).get("/users/login/").status_code == 200
tell("requested")
"""


def test_a_forked_process_starts_threads_of_its_own(tmp_path: Path) -> None:
    assert Site(tmp_path, **DEVELOPMENT).migrate().story(FORK).splitlines() == [
        "child begins with 0",
        "child ran its job",
        "child went with 0",
        "parent still works",
    ]


FORK = """
django.setup()
import os, sys, threading
from mail import delivery
from mail.engines import threads

delivery.overdue = list  # what SQLite's own locks do in a fork is not the pool's doing

def run_all(jobs):
    for job in jobs:
        job()
    return iter(())

delivery.deliver_batch = run_all

def works():
    done = threading.Event()
    threads._pool.put(done.set)
    return done.wait(10)

assert works()
with threads._pool.jobs.mutex:  # the worst moment: a lock is held that nobody will ever release
    child = os.fork()
if not child:
    print("child begins with", len(threads._pool.threads))
    print("child ran its job" if works() else "child hangs")
    sys.stdout.flush()
    threads._pool.stop()
    os._exit(0)
print("child went with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print("parent still works" if works() else "parent hangs")
"""


def test_a_process_ends_at_once_and_leaves_its_mail_to_the_next(tmp_path: Path) -> None:
    """Neither lost nor waited for: what was not begun is a row that the next process sweeps."""
    site = Site(tmp_path, **DEVELOPMENT).migrate()
    assert site.story(LEAVE) == "posted\n"
    assert site.story(TAKE_UP) == "sent\n"


LEAVE = """
django.setup()
from mail import send_mail, tasks
tasks.hint = lambda pk: None  # lost, with the process
assert send_mail("s", ["alice@example.com"], "b") == 1
print("posted")
"""

TAKE_UP = """
django.setup()
from mail.engines import threads
from mail.models import Mail, Priority
assert threads._pool.sweep_step() == 1
threads._pool.start()
assert threads.drain(10)
print(Mail.objects.get().state)
"""
