"""A claim is short, and renewed while its sender lives: a slow mail is not a lost one."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from mail import delivery, holding, outbox
from mail.models import LEASE, Mail, State
from tests.conftest import take
from tests.elsewhere import DEVELOPMENT, Site

SECONDS = 10


@pytest.fixture
def held(db: None) -> Mail:
    mail = take(outbox.post("note", address="a@example.com", args={}).pk)
    assert mail
    return mail


@pytest.fixture(autouse=True)
def _note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(outbox.letters, "note", outbox.letters["register"])


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> holding.Hands:
    found = holding.Hands()
    monkeypatch.setattr(holding, "_hands", found)
    return found


def test_a_lease_outlives_two_renewals_that_fail() -> None:
    """Wherever it began: a tick comes before it is held for long, and the next two fail."""
    last = holding.HELD_FOR_LONG + 3 * holding.RENEW_EVERY
    assert timedelta(seconds=last) < LEASE


def test_a_renewed_mail_is_nobody_elses_and_its_sender_can_finish_it(
    held: Mail, clock: Callable[..., None]
) -> None:
    for _ in range(10):
        clock(timezone.now() + LEASE - timedelta(seconds=1))
        assert held.renew()
        assert take(held.pk) is None
        assert delivery.overdue() == []
    assert held.mark_sent()


@pytest.mark.parametrize("end", [Mail.mark_sent, lambda mail: mail.retry("busy")])
def test_what_is_done_is_not_renewed(held: Mail, end: Callable[[Mail], bool]) -> None:
    assert end(held)
    due = Mail.objects.get().due
    assert not held.renew()
    assert Mail.objects.get().due == due


def test_the_next_ones_claim_is_not_renewed(held: Mail, clock: Callable[..., None]) -> None:
    """If that one dies, its mail would be kept by somebody who sends something else."""
    clock(timezone.now() + 2 * LEASE)
    assert take(held.pk)
    due = Mail.objects.get().due
    assert not held.renew()
    assert Mail.objects.get().due == due


@pytest.mark.parametrize(("seconds", "renewed"), [(1, False), (6, True), (299, True), (301, False)])
def test_what_leaves_at_once_and_what_hangs_is_not_renewed(
    hands: holding.Hands, held: Mail, monkeypatch: pytest.MonkeyPatch, seconds: float, renewed: bool
) -> None:
    steps: list[Any] = []
    turns = iter([None])

    def wait(seconds: float) -> None:
        if next(turns, "over") == "over":
            hands.since.clear()  # the mail has left

    monkeypatch.setattr(holding.time, "sleep", wait)
    monkeypatch.setattr(hands, "renew_step", steps.append)
    hands.renewer = threading.current_thread()
    hands.since[held] = holding.time.monotonic() - seconds
    hands.renew()
    assert steps == ([held] if renewed else [])
    assert hands.renewer is None, "nothing is in hand, and nobody wakes for it"


@pytest.mark.parametrize("timeout", [1, 10, 120])
def test_what_is_held_is_renewed_for_longer_than_the_slowest_send(
    settings: Any, timeout: int
) -> None:
    """Greeting, EHLO, STARTTLS, EHLO, AUTH in three steps, MAIL, RCPT, DATA, body; then again."""
    settings.EMAIL_TIMEOUT = timeout
    assert holding.held_at_most() >= 2 * 11 * timeout


def test_one_renewer_is_enough(hands: holding.Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = threading.Semaphore(0), threading.Event()

    def renew() -> None:
        begun.release()
        may_end.wait(SECONDS)

    monkeypatch.setattr(hands, "renew", renew)
    first, second = Mail(letter="note"), Mail(letter="note")
    with holding.holding(first), holding.holding(second):
        assert begun.acquire(timeout=SECONDS)
        assert not begun.acquire(blocking=False)
        assert hands.renewer
        assert hands.renewer.daemon
        assert set(hands.since) == {first, second}
        may_end.set()
        hands.renewer.join(SECONDS)
        with holding.holding(Mail(letter="note")):
            assert begun.acquire(timeout=SECONDS), "one that has ended is replaced"
    assert not hands.since


def test_a_machine_without_a_thread_to_spare_can_try_again(
    hands: holding.Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError), holding.holding(Mail(letter="note")):
            raise AssertionError("not reached")
    assert (hands.since, hands.renewer) == ({}, None)


def test_what_failed_is_let_go_of(hands: holding.Hands) -> None:
    """The database is away, say: the row comes back with the end of its lease."""
    with pytest.raises(OperationalError), holding.holding(Mail(letter="note")):
        raise OperationalError("gone")
    assert not hands.since


def test_a_renewal_that_fails_ends_nothing(
    hands: holding.Hands, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any) -> bool:
        raise OperationalError("the database is away")

    monkeypatch.setattr(Mail, "renew", away)
    monkeypatch.setattr(holding.databases, "close_all", away)
    hands.renew_step(Mail(letter="note"))
    assert "could not be renewed" in caplog.text


def test_a_mail_that_takes_longer_than_a_lease_is_sent_once(tmp_path: Path) -> None:
    """Real threads and a real file: one sends slowly, the other would like to have it."""
    site = Site(tmp_path, **DEVELOPMENT).migrate()
    assert site.story(SLOW) == f"{State.SENT} 1 times\n"


SLOW = """
django.setup()
import threading, time
from datetime import timedelta
from mail import connections, delivery, holding, models, tasks, send_mail
from mail.models import Mail

tasks.hint = lambda mail: None
models.LEASE = timedelta(seconds=1)
holding.RENEW_EVERY = holding.HELD_FOR_LONG = 0.1
times, done = [], threading.Event()

def send_slowly(message):
    times.append(1)
    time.sleep(2.5)
    return True

def send():
    delivery.deliver(mail.pk)
    done.set()

connections.send = send_slowly
send_mail("s", ["a@example.com"], "b")
mail = Mail.objects.get()
threading.Thread(target=send).start()
while not done.wait(0.05):
    if times:
        delivery.deliver(mail.pk)
print(Mail.objects.get().state, len(times), "times")
"""
