"""Celery as the engine, without a broker: what it is sent, and what if it does not listen."""

import importlib
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from django.core import mail as django_mail
from django.core.exceptions import ValidationError

from cs_web import config
from mail.models import Mail, Priority, State
from mail.queue import chores, engines, posting
from mail.queue.engines import celery
from mail.transport import connection
from tests.conftest import Clock
from tests.servers import wait_for
from users.models import User

app = Celery("tests", broker="memory://")


class Broken:
    """A Celery application whose broker is down."""

    asked = 0

    def send_task(self, *args: Any, **options: Any) -> None:
        self.asked += 1
        raise ConnectionRefusedError("[Errno 111] Connection refused")


class Blocked:
    """And one whose broker takes nothing for now."""

    def __init__(self) -> None:
        self.asked, self.goes_on = False, threading.Event()

    def send_task(self, *args: Any, **options: Any) -> None:
        self.asked = True
        self.goes_on.wait()


broken, blocked = Broken(), Blocked()


@pytest.fixture
def use(settings: Any) -> Iterator[Callable[[str], None]]:
    """Makes an application of this module the engine's."""

    def use(app: str) -> None:
        settings.MAIL_ENGINE, settings.MAIL_CELERY_APP = "celery", f"{__name__}.{app}"
        engines.named.cache_clear()

    yield use
    engines.named.cache_clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(celery, "_breaker", celery.Breaker(10, clock))
    return clock


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    hints_in(celery.QUEUE)
    hints_in(celery.SWEEP_QUEUE)


def hints_in(name: str) -> list[tuple[str, list[str]]]:
    """The tasks that wait in a queue, which is empty afterwards: name and arguments."""
    hints = []
    with app.connection_for_read() as connection, connection.SimpleQueue(name) as queue:
        while len(queue):
            message = queue.get_nowait()
            message.ack()
            arguments, _, _ = message.payload
            hints.append((message.headers["task"], arguments))
    return hints


def post(letter: str, user: User, commit: Any) -> Mail:
    with commit(execute=True):
        mail = posting.post(letter, user=user)
    celery._hints.waiting.join()
    return mail


# What is sent


def test_a_hint_is_a_name_and_a_number_of_a_row(
    bob: User, use: Any, clock: Clock, django_capture_on_commit_callbacks: Any
) -> None:
    use("app")
    mail = post("register", bob, django_capture_on_commit_callbacks)
    [(task, arguments)] = hints_in(celery.QUEUE)
    assert (task, arguments) == ("mail.deliver", [str(mail.pk)])

    app.tasks[task](*arguments)
    assert [letter.to for letter in django_mail.outbox] == [["bob@example.com"]]
    app.tasks[task](*arguments)
    assert len(django_mail.outbox) == 1, "a doubled hint finds the row sent"


def test_what_nobody_waits_for_is_left_to_the_sweep(
    alice: User, use: Any, clock: Clock, django_capture_on_commit_callbacks: Any
) -> None:
    use("app")
    post("password_change", alice, django_capture_on_commit_callbacks)
    assert hints_in(celery.QUEUE) == []


def test_the_sweep_tidies_up_when_nothing_is_due(
    db: None, use: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or with Celery alone nobody would."""
    use("app")
    done: list[int] = []
    monkeypatch.setattr(chores, "chores", [lambda at_most: done.append(at_most) or 0])
    monkeypatch.setattr(celery, "_chores", chores.Round())
    mail = posting.post("password_reset", address="nobody@example.com")
    celery.sweep()
    assert done == [], "mail comes first"
    mail.delete()
    celery.sweep()
    assert done == [chores.AT_MOST]
    celery.sweep()
    assert len(done) == 1, "the next round comes later"


def test_a_sweep_hints_the_urgent_first_and_in_a_queue_of_its_own(alice: User, bob: User) -> None:
    notice = posting.post("password_change", user=alice)
    urgent = posting.post("register", user=bob)
    assert (notice.priority, urgent.priority) == (Priority.NOTICE, Priority.WAITED_FOR)
    assert celery.sweep() == 2
    assert hints_in(celery.QUEUE) == []
    assert hints_in(celery.SWEEP_QUEUE) == [
        ("mail.deliver", [str(urgent.pk)]),
        ("mail.deliver", [str(notice.pk)]),
    ]


def test_whoever_can_write_to_the_broker_can_call_nothing_else() -> None:
    """A hint names a row. No name in it is imported."""
    ours = {name for name in app.tasks if not name.startswith("celery.")}
    assert ours == {"mail.deliver", "mail.sweep"}
    with pytest.raises(ValidationError, match="UUID"):
        celery.deliver("os.getcwd")


def test_an_idle_worker_closes_its_connection_to_the_mail_server(
    bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(celery, "IDLE_FOR", 3600)  # so that none rings by itself
    monkeypatch.setattr(connection, "close", lambda: closed.append(True))
    celery.deliver(str(posting.post("register", user=bob).pk))
    assert not closed
    assert 0 < signal.alarm(0) <= celery.IDLE_FOR
    signal.raise_signal(signal.SIGALRM)
    assert closed


# A broker that is down


def test_a_broker_that_is_down_is_one_line_in_the_log_and_nothing_to_the_visitor(
    bob: User,
    use: Any,
    clock: Clock,
    django_capture_on_commit_callbacks: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    use("broken")
    broken.asked = 0
    mail = post("register", bob, django_capture_on_commit_callbacks)
    assert Mail.objects.get(pk=mail.pk).state == State.PENDING
    [line] = [record for record in caplog.records if record.name == celery.log.name]
    assert "waits for a sweep" in line.getMessage()
    assert line.exc_info is None

    post("register", bob, django_capture_on_commit_callbacks)
    assert broken.asked == 1, "it is left alone for a while"
    clock.now += 10
    post("register", bob, django_capture_on_commit_callbacks)
    assert broken.asked == 2


def test_nobody_waits_for_a_broker_that_is_blocked(
    bob: User, use: Any, clock: Clock, django_capture_on_commit_callbacks: Any
) -> None:
    use("blocked")
    with django_capture_on_commit_callbacks(execute=True):
        posting.post("register", user=bob)
    wait_for(lambda: blocked.asked, "the hint is on its way")
    blocked.goes_on.set()  # only now: the visitor had the answer while it was blocked
    celery._hints.waiting.join()


def test_hints_that_find_no_room_or_no_thread_are_left_to_the_sweep(
    bob: User, use: Any, clock: Clock, caplog: Any, monkeypatch: Any
) -> None:
    hints = celery.Hints()
    hints.waiting = queue.Queue(1)

    def none(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        hints.put(app, "1")
        hints.put(app, "2")
    said = [record.getMessage() for record in caplog.records if record.name == celery.log.name]
    assert len(said) == 2
    assert "can't start new thread" in said[0]
    assert "Full" in said[1]
    monkeypatch.setattr(hints, "send", hints.waiting.get)
    hints.waiting.get()
    hints.put(app, "3")
    wait_for(hints.waiting.empty, "the next one starts the thread")


def test_the_breaker_lets_one_find_out_whether_it_still_fails() -> None:
    clock = Clock()
    breaker = celery.Breaker(10, clock)
    assert breaker.lets_through()
    assert breaker.lets_through()
    breaker.report(worked=False)
    assert not breaker.lets_through()
    clock.now += 10
    assert breaker.lets_through()
    assert not breaker.lets_through(), "while the one has no answer yet, nobody else waits for it"
    clock.now += 5
    breaker.report(worked=False)
    clock.now += 9
    assert not breaker.lets_through(), "counted from the failure, not from the attempt"
    clock.now += 1
    assert breaker.lets_through()
    breaker.report(worked=True)
    assert breaker.lets_through()
    assert breaker.lets_through()


# Configuration

SECRET = "tr0ub4dor"
RIGHT = {
    "SECRET_KEY": "0123456789" * 5,
    "EMAIL_SERVICE": "console",
    "MAIL_ENGINE": "celery",
    "CELERY_BROKER_URL": f"amqp://cs_web:{SECRET}@127.0.0.1:5672/cs_web",
}


def test_celery_needs_a_broker() -> None:
    assert config.load(environment=RIGHT).MAIL_ENGINE == "celery"
    with pytest.raises(config.ConfigurationError, match="CELERY_BROKER_URL: is missing"):
        config.load(environment=RIGHT | {"CELERY_BROKER_URL": ""})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"http://cs_web:{SECRET}@127.0.0.1", "must start with amqp://"),
        (f"amqp://cs_web:{SECRET}/4@127.0.0.1", "does not name a host, or its port"),
        (f"amqp://cs_web:{SECRET}@127.0.0.1:{SECRET}", "does not name a host, or its port"),
        ("redis:///0", "does not name a host"),
        (f"{SECRET}@127.0.0.1", "must start with amqp://"),
    ],
)
def test_a_wrong_broker_is_named_without_its_password(url: str, words: str) -> None:
    with pytest.raises(config.ConfigurationError) as caught:
        config.load(environment=RIGHT | {"CELERY_BROKER_URL": url})
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(config.ConfigurationError, match="MAIL_ENGINE: must be threads, work"):
        config.load(environment=RIGHT | {"MAIL_ENGINE": "rabbitmq"})


def test_a_worker_of_a_site_with_another_engine_ends_in_plain_words() -> None:
    with pytest.raises(SystemExit, match="set MAIL_ENGINE to celery"):
        importlib.import_module("cs_web.celery")
