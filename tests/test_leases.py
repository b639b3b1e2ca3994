"""A lease is short, and renewed while its sender lives: a slow message is not a lost one."""

import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from mail.causes import Cause
from mail.models import LEASE, Mail
from mail.queue import delivering, leases, posting
from mail.queue.leases import Leases
from mail.queue.letters import letters
from tests.conftest import take
from tests.elsewhere import SECONDS


@pytest.fixture
def claimed(db: None) -> Mail:
    mail = take(posting.post("note", address="a@example.com", anew=True).pk)
    assert mail
    return mail


@pytest.fixture(autouse=True)
def _note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(letters, "note", letters["register"])


@pytest.fixture
def ours() -> Leases:
    """What a process of its own has in flight."""
    return Leases()


def in_flight(ours: Leases) -> list[Mail]:
    return [mail for mail, _ in ours.kept.values()]


def test_a_lease_outlives_two_renewals_that_fail() -> None:
    """Wherever it began: one tick comes too early for it, and the next two fail."""
    last = leases.RENEW_FROM + 3 * leases.RENEW_EVERY
    assert timedelta(seconds=last) < LEASE


def test_a_renewed_message_is_nobody_elses_and_its_sender_can_finish_it(
    claimed: Mail, clock: Callable[..., None]
) -> None:
    for _ in range(10):
        clock(timezone.now() + LEASE - timedelta(seconds=1))
        assert claimed.renew()
        assert take(claimed.pk) is None
        assert delivering.overdue() == []
    assert claimed.mark_sent()


@pytest.mark.parametrize("end", [Mail.mark_sent, lambda mail: mail.retry(Cause.BUSY, "busy")])
def test_what_is_done_is_not_renewed(claimed: Mail, end: Callable[[Mail], bool]) -> None:
    assert end(claimed)
    due = Mail.objects.get().due
    assert not claimed.renew()
    assert Mail.objects.get().due == due


def test_the_next_ones_claim_is_not_renewed(claimed: Mail, clock: Callable[..., None]) -> None:
    """If that one dies, its message would be kept by somebody who sends something else."""
    clock(timezone.now() + 2 * LEASE)
    assert take(claimed.pk)
    due = Mail.objects.get().due
    assert not claimed.renew()
    assert Mail.objects.get().due == due


@pytest.mark.parametrize(("seconds", "renewed"), [(1, False), (6, True), (299, True), (901, False)])
def test_what_leaves_at_once_and_what_hangs_is_not_renewed(
    ours: Leases, claimed: Mail, monkeypatch: pytest.MonkeyPatch, seconds: float, renewed: bool
) -> None:
    steps: list[Any] = []
    turns = iter([None])

    def wait(_: float) -> None:
        if next(turns, "over") == "over":
            ours.kept.clear()  # the message has left

    clock = SimpleNamespace(sleep=wait, monotonic=lambda: 1000.0)
    monkeypatch.setattr(leases, "time", clock)
    monkeypatch.setattr(leases.databases, "close_all", lambda: None)  # this thread is the test's
    monkeypatch.setattr(ours, "renew_step", steps.append)
    ours.renewer = threading.current_thread()
    ours.kept[id(claimed)] = (claimed, 1000.0 - seconds)
    ours.renew()
    assert steps == ([claimed] if renewed else [])
    assert ours.renewer is None, "nothing is in flight, and nobody wakes for it"


@pytest.mark.parametrize("timeout", [1, 10, 120])
def test_what_is_in_flight_is_renewed_for_longer_than_the_slowest_send(
    settings: Any, timeout: int
) -> None:
    """Greeting, EHLO, STARTTLS, EHLO, AUTH in three steps, MAIL, RCPT, DATA, body; then again."""
    settings.EMAIL_TIMEOUT = timeout
    assert leases.renew_until() >= 2 * 11 * timeout


def test_one_renewer_is_enough(ours: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = threading.Semaphore(0), threading.Event()

    def renew() -> None:
        begun.release()
        may_end.wait(SECONDS)

    monkeypatch.setattr(ours, "renew", renew)
    first, second = Mail(letter="note"), Mail(letter="note")
    with ours.keep(first), ours.keep(second):
        assert begun.acquire(timeout=SECONDS)
        assert not begun.acquire(blocking=False)
        assert ours.renewer
        assert ours.renewer.daemon
        assert in_flight(ours) == [first, second]
        may_end.set()
        ours.renewer.join(SECONDS)
        with ours.keep(Mail(letter="note")):
            assert begun.acquire(timeout=SECONDS), "one that has ended is replaced"
    assert not ours.kept


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_a_row_that_two_senders_here_have_claimed_is_kept_until_both_are_done(
    ours: Leases, monkeypatch: pytest.MonkeyPatch, first_to_end: int
) -> None:
    """One slept past its lease, and the next one has the row. Neither ends the other's lease."""
    monkeypatch.setattr(ours, "renew", lambda: None)
    slept = Mail(letter="note")
    claims = [slept, Mail(letter="note", pk=slept.pk)]
    keeping = [ours.keep(claim) for claim in claims]
    for one in keeping:
        one.__enter__()
    keeping.pop(first_to_end).__exit__(None, None, None)
    [left] = in_flight(ours)
    assert left is claims[1 - first_to_end]
    keeping.pop().__exit__(None, None, None)
    assert not ours.kept


def test_a_machine_without_a_thread_to_spare_can_try_again(
    ours: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError), ours.keep(Mail(letter="note")):
            raise AssertionError("not reached")
    assert (ours.kept, ours.renewer) == ({}, None)


def test_what_failed_is_not_kept(ours: Leases) -> None:
    """The database is away, say: the row comes back with the end of its lease."""
    with pytest.raises(OperationalError), ours.keep(Mail(letter="note")):
        raise OperationalError("gone")
    assert not ours.kept


def test_a_renewal_that_fails_ends_nothing(
    ours: Leases, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any) -> bool:
        raise OperationalError("the database is away")

    monkeypatch.setattr(Mail, "renew", away)
    monkeypatch.setattr(leases.databases, "close_all", away)
    ours.renew_step(Mail(letter="note"))
    assert "could not be renewed" in caplog.text
