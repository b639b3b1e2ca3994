"""The engine in the web process: it starts late, survives everything, and stops cleanly.

And the one without a web server, which has the same senders.
"""

import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from mail.causes import Cause
from mail.models import Mail, Priority, State
from mail.queue import delivering, posting
from mail.queue.engines import threads, work
from mail.queue.engines.threads import Pool, Threads
from mail.transport import connection
from tests.conftest import take
from tests.elsewhere import SECONDS
from tests.servers import wait_for


@pytest.fixture
def pool(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """Two senders of its own, without a database: its keys are functions, and none is overdue."""
    settings.MAIL_THREADS = 2
    monkeypatch.setattr(delivering, "overdue", list)
    monkeypatch.setattr(delivering, "deliver", lambda job: job())
    found = Pool()
    yield found
    found.stop(SECONDS)
    assert not [thread for thread in found.threads if thread.is_alive()]


@pytest.fixture
def own_connection(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that runs in this thread must not end the transaction of the test as an old one."""
    monkeypatch.setattr(threads, "close_old_connections", lambda: None)


class Gate:
    """A job that says when it has begun, and ends when it may."""

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


def test_nothing_waits_behind_a_slow_message_while_a_sender_is_free(pool: Pool) -> None:
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
    assert 1 + sum(arrived.acquire(blocking=False) for _ in range(9)) == 3, (
        "two senders and a sweeper"
    )


def test_drain_does_not_wait_for_ever(pool: Pool) -> None:
    gate = Gate()
    pool.put(gate)
    assert pool.drain(0.01) is False
    gate.may_end.set()
    assert pool.drain(SECONDS) is True


# The end


def test_stopping_finishes_what_is_in_flight_and_begins_no_other(
    pool: Pool, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAIL_THREADS = 1
    closed = threading.Event()
    monkeypatch.setattr(connection, "close", closed.set)
    in_flight, waiting = Gate(), Gate()
    pool.put(in_flight)
    pool.put(waiting)
    assert in_flight.begun.wait(SECONDS)
    stopper = threading.Thread(target=pool.stop)
    stopper.start()
    assert pool.stopping.wait(SECONDS)
    in_flight.may_end.set()
    stopper.join(SECONDS)
    assert not stopper.is_alive()
    assert in_flight.ended.is_set()
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


def test_a_message_is_left_to_the_next_process_if_the_end_begins_first(
    pool: Pool,
) -> None:
    ran: list[bool] = []
    pool.jobs.put((0, 0, lambda: ran.append(True)))
    pool.stopping.set()
    assert pool.send_step() is False
    assert ran == []


@pytest.mark.parametrize("busy", [True, False])
def test_an_idle_sender_closes_its_connection_and_a_busy_one_keeps_it(
    own_connection: None, pool: Pool, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(threads, "IDLE_FOR", 0.01)
    monkeypatch.setattr(connection, "close", lambda: closed.append(True))
    if busy:
        pool.jobs.put((0, 0, lambda: None))
    assert pool.send_step() is busy
    assert bool(closed) is not busy


def test_a_sweep_feeds_the_senders_with_what_is_overdue(own_connection: None) -> None:
    pool, mails = Pool(), [posting.post("password_reset", address=f"{n}@a.com") for n in range(3)]
    take(mails[0].pk)
    assert pool.sweep_step() == 2
    while not pool.jobs.empty():
        assert pool.send_step()
    assert set(Mail.objects.values_list("state", flat=True)) == {"pending", "dropped"}


def test_a_sweep_adds_nothing_while_the_senders_have_work(own_connection: None) -> None:
    """What waits in the queue is overdue as well, and would be in it twice, and four times, …"""
    pool = Pool()
    posting.post("password_reset", address="a@example.com")
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

    monkeypatch.setattr(delivering, "overdue", away)
    assert pool.sweep_step() == 0
    assert pool.blind
    assert "it will be tried again" in caplog.text
    monkeypatch.setattr(delivering, "overdue", list)
    assert pool.sweep_step() == 0
    assert not pool.blind


def test_the_sweeper_goes_on_sweeping(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    swept = threading.Semaphore(0)
    pool.sweep_every = 0.001
    monkeypatch.setattr(delivering, "overdue", lambda: swept.release() or [])  # type: ignore[func-returns-value]
    pool.start()
    for _ in range(3):
        assert swept.acquire(timeout=SECONDS)


class Waits:
    """In the place of an event that is never set: for how long it was waited for."""

    def __init__(self, at_most: int) -> None:
        self.seconds: list[float] = []
        self.at_most = at_most

    def wait(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) == self.at_most


def test_a_sweep_that_could_not_requeue_all_is_followed_by_the_next_at_once(
    own_connection: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a full one; after one that is not, all is as always."""
    full = [("key", 0)] * delivering.ROWS_A_SWEEP
    found: list[Any] = [full, full, full[1:], full, ConnectionError("no database"), [], []]
    monkeypatch.setattr(threads.databases, "close_all", lambda: None)  # this thread is the test's
    pool = Pool(sweep_every=7.0)
    waits: Any = Waits(len(found))
    pool.stopping = waits

    def overdue() -> Any:
        rows = found.pop(0)
        if isinstance(rows, Exception):
            raise rows
        return rows

    def sweep_step() -> int:
        requeued = step()
        while not pool.jobs.empty():  # the senders are quick
            pool.jobs.get()
        return requeued

    step = pool.sweep_step
    monkeypatch.setattr(pool, "sweep_step", sweep_step)
    monkeypatch.setattr(delivering, "overdue", overdue)
    pool.sweep()
    behind = threads.SWEEP_BEHIND
    # Once the database is back, those whose messages have left come first, to mark them.
    assert waits.seconds == [behind, behind, 7.0, behind, 7.0, threads.SEEING_AGAIN, 7.0]
    assert threads.SEEING_AGAIN > 2 * delivering.MARK_EVERY
    assert threads.SWEEP_BEHIND < 1


def test_a_clock_that_is_set_back_is_noticed(own_connection: None, monkeypatch: Any) -> None:
    noticed: list[bool] = []
    now = 1_000_000.0
    monkeypatch.setattr(
        delivering, "believe_no_future", lambda certainly: noticed.append(certainly)
    )
    monkeypatch.setattr(delivering, "overdue", list)
    monkeypatch.setattr(threads, "time", SimpleNamespace(time=lambda: now, monotonic=lambda: 5.0))
    pool = Pool()
    for now in (1_000_000.0, 1_000_090.0, 1_000_060.0, 996_400.0, 996_400.0):  # noqa: B007
        pool.sweep_step()
    assert noticed == [False, True]


# More senders, and fewer


def job(pool: Pool, **fields: Any) -> Any:
    return lambda: Mail(**{"state": State.SENT, "cause": "", **fields})


def test_senders_become_more_while_messages_wait_up_to_what_the_service_bears(
    pool: Pool, settings: Any
) -> None:
    settings.MAIL_THREADS_AT_MOST = 6
    gates = [Gate() for _ in range(20)]
    for gate in gates:
        pool.put(lambda gate=gate: gate() or Mail(state=State.SENT))
    for number in range(6 - 2):
        assert gates[number].begun.wait(SECONDS)
        gates[number].may_end.set()
    for gate in gates[4:10]:
        assert gate.begun.wait(SECONDS), "six at once"
    assert not gates[10].begun.is_set()
    assert len(pool.threads) == 6 + 1
    for gate in gates:
        gate.may_end.set()
    assert pool.drain(SECONDS)


def test_a_sender_that_the_server_refuses_goes_and_none_comes_for_a_while(
    pool: Pool, settings: Any
) -> None:
    settings.MAIL_THREADS, settings.MAIL_THREADS_AT_MOST = 4, 8
    for _ in range(3):
        pool.put(job(pool, state=State.PENDING, cause=Cause.CROWDED))
    assert pool.drain(SECONDS)
    wait_for(lambda: len(pool.threads) == 2, "a sweeper and one sender")
    for _ in range(50):
        pool.put(job(pool))
    assert pool.drain(SECONDS)
    assert len(pool.threads) == 2
    pool.grow_at = 0.0  # half a minute later
    gate = Gate()
    pool.put(gate)
    for _ in range(50):
        pool.put(job(pool))
    gate.may_end.set()
    assert pool.drain(SECONDS)
    assert len(pool.threads) > 2


def test_the_senders_that_came_for_a_crowd_go_with_it(
    pool: Pool, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "IDLE_FOR", 0.01)
    settings.MAIL_THREADS_AT_MOST = 6
    gate = Gate()
    pool.put(gate)
    for _ in range(50):
        pool.put(job(pool))
    gate.may_end.set()
    assert pool.drain(SECONDS)
    wait_for(lambda: len(pool.threads) == 3, "a sweeper and two senders")
    assert all(thread.is_alive() for thread in pool.threads)


def test_a_machine_without_a_thread_to_spare_still_answers(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", fail)
        for _ in range(100):
            pool.start()
    assert caplog.text.count("mail-sweeper cannot be started") == 1
    pool.start_at = 0.0  # a while later
    pool.start()
    assert len(pool.threads) == 3


# As an engine


def test_a_hint_hands_the_key_over_and_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[Any] = []
    monkeypatch.setattr(threads._pool, "put", lambda *job: put.append(job))
    Threads().hint(Mail(pk=UUID(int=7), priority=Priority.NOTICE))
    assert put == [(UUID(int=7), Priority.NOTICE)]


@pytest.mark.parametrize(("engine", "woken"), [("threads", True), ("work", False)])
def test_a_request_wakes_the_sweeper_only_where_threads_are_the_engine(
    engine: str, woken: bool, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bool] = []
    monkeypatch.setattr(threads._pool, "start", lambda: started.append(True))
    settings.MAIL_ENGINE = engine
    threads.wake(sender=None, environ={})
    assert bool(started) is woken


# Without a web server, until a signal to stop


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM], ids=str)
def test_a_signal_to_stop_ends_the_work_in_peace(
    own_connection: None,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    started: list[Pool] = []

    def start(pool: Pool, *_: Any, **__: Any) -> None:
        started.append(pool)
        signal.pthread_kill(threading.get_ident(), number)  # as if it came in this moment

    def interrupted(*_: Any) -> None:
        raise AssertionError("the signal was not waited for")

    monkeypatch.setattr(Pool, "start", start)
    monkeypatch.setattr(work, "close_old_connections", lambda: None)
    before = signal.signal(number, interrupted)
    try:
        with caplog.at_level("INFO", work.log.name):
            assert work.run(threads=1) == 0
    finally:
        signal.signal(number, before)
    assert started[0].stopping.is_set()
    assert "stopped." in caplog.text
    assert number not in signal.pthread_sigmask(signal.SIG_BLOCK, ()), "as it was before"


@pytest.mark.parametrize(
    ("received", "stops"),
    [
        (
            [
                None,  # the time is over
                SimpleNamespace(si_signo=0),  # CPython 3.11, after SIGSTOP and SIGCONT
                SimpleNamespace(si_signo=-1094795586),
            ],
            False,
        ),
        ([SimpleNamespace(si_signo=signal.SIGTERM)], True),
    ],
    ids=["no-signal", "sigterm"],
)
def test_work_that_was_paused_and_continued_goes_on(
    own_connection: None, monkeypatch: pytest.MonkeyPatch, received: Any, stops: bool
) -> None:
    answers = [*received, SimpleNamespace(si_signo=signal.SIGINT)]
    monkeypatch.setattr(signal, "sigtimedwait", lambda *_: answers.pop(0))
    monkeypatch.setattr(work, "close_old_connections", lambda: None)
    monkeypatch.setattr(Pool, "start", lambda *_, **__: None)
    assert work.run(threads=1) == 0
    assert bool(answers) is stops
