"""A fault of ours: everything waits, an operator is told by another way, and nothing is lost."""

import logging
import smtplib
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail as django_mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

from mail import alarms, delivery, send_mail
from mail.models import Mail, State
from tests.conftest import deliver_all, take

REFUSED = smtplib.SMTPAuthenticationError(535, b"5.7.8 bad password")


class Server:
    """Refuses logins while it is `closed`, and counts them."""

    closed = True
    asked = 0

    def send(self, backend: EmailBackend, messages: list[Any]) -> int:
        self.asked += 1
        if self.closed:
            raise REFUSED
        django_mail.outbox.extend(messages)
        return len(messages)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, db: None) -> Server:
    server = Server()
    monkeypatch.setattr(EmailBackend, "send_messages", lambda *args: server.send(*args))
    send_mail("Hello", [f"{number}@example.com" for number in range(3)], "text")
    return server


@pytest.fixture(autouse=True)
def _no_alarm_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "_stands", False)
    monkeypatch.setattr(alarms, "_looked_at", float("-inf"))


def test_one_mail_a_minute_tries_and_the_others_wait(server: Server) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        deliver_all()
        assert server.asked == 1, "a login that is refused too often locks the account"
        assert Mail.objects.filter(state=State.PENDING, held=True, attempts=0).count() == 3
        clock.shift(timedelta(minutes=2))
        deliver_all()
        assert server.asked == 2


def test_when_it_is_mended_everything_goes_at_once(server: Server) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        deliver_all()
        server.closed = False
        clock.shift(timedelta(minutes=2))
        assert delivery.deliver(Mail.objects.overdue()[0].pk)
        assert alarms.current() is None
        assert Mail.objects.overdue().count() == 2, "no longer held up"
        deliver_all()
        assert Mail.objects.filter(state=State.SENT).count() == 3


def test_a_mail_that_is_held_up_just_as_the_alarm_ends_is_let_go_too(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver_all()
    held_until = alarms.hold_until

    def ends_meanwhile() -> Any:
        until = held_until()
        alarms.mail_left()  # another sender's mail has left
        monkeypatch.setattr(alarms, "hold_until", held_until)
        return until

    with time_machine.travel(timezone.now() + timedelta(seconds=1), tick=False):
        Mail.objects.update(due=timezone.now())
        monkeypatch.setattr(alarms, "hold_until", ends_meanwhile)
        delivery.deliver(Mail.objects.overdue()[0].pk)
        assert Mail.objects.overdue().count() == 3


def test_operators_are_told_once_an_hour(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.CRITICAL, "mail.alarm"),
        time_machine.travel(timezone.now(), tick=False) as clock,
    ):
        for _ in range(50):
            deliver_all()
            clock.shift(timedelta(minutes=2))
    assert len(caplog.records) == 2
    assert "535 5.7.8 bad password" in caplog.text
    alarm = alarms.current()
    assert alarm
    assert "the login was refused" in alarm.words


def test_an_alarm_that_comes_and_goes_is_told_once_an_hour_too(
    db: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL, "mail.alarm"):
        for _ in range(5):
            alarms.raise_alarm("throttled")
            alarms.mail_left()
    assert len(caplog.records) == 1
    assert alarms.current() is None


def test_another_process_learns_of_an_alarm_and_its_mail_ends_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms.raise_alarm("the login was refused")
    monkeypatch.setattr(alarms, "_stands", False)  # what another process has in mind,
    monkeypatch.setattr(alarms, "_looked_at", float("-inf"))  # and must look at again
    assert alarms.hold_until() is not None
    alarms.mail_left()
    assert alarms.current() is None


def test_the_probe_is_not_spent_on_mail_for_nobody(server: Server) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        deliver_all()
        server.closed = False
        clock.shift(timedelta(minutes=2))
        nobodys = Mail.objects.create(
            letter="password_reset", address="nobody@example.com", language="en"
        )
        delivery.deliver(nobodys.pk)
        assert len(deliver_all() + deliver_all()) == 3


def test_an_alarm_fades_when_nobody_confirms_it(server: Server) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        deliver_all()
        assert alarms.current()
        clock.shift(timedelta(hours=2))
        assert alarms.current() is None


def test_each_try_stands_in_the_timeline(server: Server) -> None:
    deliver_all()
    tried = Mail.objects.get(timeline__isnull=False)
    assert tried.timeline.get().what == "the login was refused: 535 5.7.8 bad password"


def test_a_mail_whose_sender_dies_each_time_ends(bob: Any) -> None:
    mail = Mail.objects.create(letter="register", user=bob, address=bob.email, language="en")
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(5):
            assert take(mail.pk), "claimed, and then the process is killed"
            clock.shift(timedelta(hours=1))
        delivery.deliver(mail.pk)
    mail.refresh_from_db()
    assert mail.state == State.FAILED
    assert "died 5 times" in mail.error
