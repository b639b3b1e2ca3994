"""A configuration fault: all mail waits, operators are notified, and nothing is lost."""

import logging
import smtplib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail as django_mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

from mail import send_mail
from mail.causes import Cause
from mail.models import Alarm, Mail, State
from mail.queue import delivering
from mail.queue.alarms import Alarms, alarms
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


class Clock:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def process(db: None, clock: Clock) -> Callable[[], Alarms]:
    """What one more process knows; all look at one clock."""
    return lambda: Alarms(clock)


def test_one_message_a_minute_tries_and_the_others_wait(server: Server) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        deliver_all()
        assert server.asked == 1, "a login that is refused too often locks the account"
        assert Mail.objects.filter(state=State.PENDING, on_hold=True, attempts=0).count() == 3
        clock.shift(timedelta(minutes=2))
        deliver_all()
        assert server.asked == 2


def test_when_it_is_fixed_everything_goes_at_once(server: Server) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        deliver_all()
        server.closed = False
        clock.shift(timedelta(minutes=2))
        assert delivering.deliver(Mail.objects.overdue()[0].pk)
        assert alarms.current() is None
        assert Mail.objects.overdue().count() == 2, "no longer on hold"
        deliver_all()
        assert Mail.objects.filter(state=State.SENT).count() == 3


def test_a_message_that_is_put_on_hold_just_as_the_alarm_ends_is_released_too(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_probe = alarms.take_probe

    def ends_meanwhile() -> bool:
        free = take_probe()
        alarms.end()  # another sender's message has left
        return free

    with time_machine.travel(timezone.now(), tick=False) as clock:
        deliver_all()
        clock.shift(1)
        Mail.objects.update(due=timezone.now())
        monkeypatch.setattr(alarms, "take_probe", ends_meanwhile)
        delivering.deliver(Mail.objects.overdue()[0].pk)
        assert server.asked == 1, "the probe of this minute was taken"
        assert Mail.objects.overdue().count() == 3


def test_operators_are_notified_once_an_hour(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.CRITICAL, "mail.alarm"),
        time_machine.travel(timezone.now(), tick=False) as clock,
    ):
        for _ in range(10):
            deliver_all()
            clock.shift(timedelta(minutes=10))
    assert len(caplog.records) == 2
    assert "535 5.7.8 bad password" in caplog.text
    alarm = alarms.current()
    assert alarm
    assert alarm.cause == Cause.LOGIN
    assert "the login was refused" in alarm.error


def test_an_alarm_that_comes_and_goes_is_reported_once_an_hour_too(
    process: Callable[[], Alarms], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    alarms = process()
    with caplog.at_level(logging.CRITICAL, "mail.alarm"):
        for _ in range(5):
            alarms.raise_(Cause.THROTTLED, "throttled")
            alarms.end()
            clock.now += timedelta(minutes=11)
        assert len(caplog.records) == 1
        assert alarms.current() is None
        clock.now += timedelta(minutes=5)
        alarms.raise_(Cause.THROTTLED, "throttled")
    assert len(caplog.records) == 2


def test_an_alarm_that_has_ended_begins_anew(process: Callable[[], Alarms], clock: Clock) -> None:
    alarms = process()
    alarms.raise_(Cause.THROTTLED, "throttled")
    alarms.raise_(Cause.THROTTLED, "throttled")
    alarms.end()
    clock.now += timedelta(minutes=11)
    alarms.raise_(Cause.LOGIN, "the login was refused")
    alarm = Alarm.objects.get()
    assert (alarm.since, alarm.last_at, alarm.times) == (clock.now, clock.now, 1)
    assert (alarm.cause, alarm.error) == (Cause.LOGIN, "the login was refused")


def test_another_process_learns_of_an_alarm_and_its_message_ends_it(
    process: Callable[[], Alarms], clock: Clock
) -> None:
    first, second = process(), process()
    assert not second.is_raised()
    first.raise_(Cause.LOGIN, "the login was refused")
    assert not second.is_raised(), "it asks the database but now and then"
    clock.now += timedelta(seconds=11)
    assert second.is_raised()
    assert not second.take_probe()
    second.end()
    assert second.current() is None
    assert first.take_probe(), "it has ended: everybody may"


def test_a_clock_that_is_set_back_hides_no_alarm(
    process: Callable[[], Alarms], clock: Clock
) -> None:
    first, second = process(), process()
    assert not second.is_raised()
    clock.now -= timedelta(days=1)
    first.raise_(Cause.LOGIN, "the login was refused")
    assert second.is_raised()


# The probe


def test_of_the_senders_that_ask_in_one_minute_one_gets_the_probe(
    process: Callable[[], Alarms], clock: Clock
) -> None:
    first, second = process(), process()
    first.raise_(Cause.LOGIN, "the login was refused")
    assert not second.take_probe(), "the first minute belongs to what has raised it"
    for _ in range(2):
        clock.now += timedelta(minutes=1)
        assert second.take_probe()
        assert not second.take_probe()
        assert not first.take_probe()
        clock.now += timedelta(seconds=59)
        assert not first.take_probe()
        clock.now -= timedelta(seconds=59)


def test_the_probe_is_not_spent_on_a_message_for_nobody(server: Server) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        deliver_all()
        server.closed = False
        clock.shift(timedelta(minutes=2))
        nobodys = Mail.objects.create(
            letter="password_reset", address="nobody@example.com", language="en"
        )
        delivering.deliver(nobodys.pk)
        assert len(deliver_all() + deliver_all()) == 3


def test_an_alarm_fades_when_nobody_confirms_it(server: Server) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        deliver_all()
        assert alarms.current()
        clock.shift(timedelta(hours=2))
        assert alarms.current() is None


def test_each_try_is_in_the_timeline(server: Server) -> None:
    deliver_all()
    tried = Mail.objects.get(timeline__isnull=False)
    assert tried.timeline.get().what == "the login was refused: 535 5.7.8 bad password"


def test_a_message_whose_sender_dies_each_time_ends(bob: Any) -> None:
    mail = Mail.objects.create(letter="register", user=bob, address=bob.email, language="en")
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(5):
            assert take(mail.pk), "claimed, and then the process is killed"
            clock.shift(timedelta(hours=1))
        delivering.deliver(mail.pk)
    mail.refresh_from_db()
    assert (mail.state, mail.cause) == (State.FAILED, Cause.CRASHED)
    assert "died 5 times" in mail.error
