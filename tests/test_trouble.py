"""A server that is away, crowded, or refuses everybody: one state of the service, and not of mails.

What a person's own mailbox answers is in test_delivering.py, what our own fault is in
test_alarms.py.
"""

import logging
import smtplib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail as django_mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

from mail import send_mail
from mail.causes import Cause
from mail.models import Mail, State, Suppression
from mail.queue import delivering
from mail.queue.alarms import alarms
from mail.queue.refusals import IN_A_ROW
from tests.conftest import deliver_all
from users import accounts
from users.models import User

CLOSED = smtplib.SMTPConnectError(421, b"too many connections")
NO_SUCH_USER = (550, b"5.1.1 no such user")


class Server:
    """Takes no connections while it is `closed`, and refuses whom it does not know."""

    def __init__(self) -> None:
        self.closed: Exception | None = None
        self.knows: Callable[[str], bool] = lambda address: True
        self.asked = 0

    def open(self, backend: EmailBackend) -> None:
        self.asked += 1
        if self.closed:
            raise self.closed

    def send(self, backend: EmailBackend, messages: list[Any]) -> int:
        [address] = messages[0].to
        if not self.knows(address):
            raise smtplib.SMTPRecipientsRefused({address: NO_SUCH_USER})
        django_mail.outbox.extend(messages)
        return len(messages)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, db: None) -> Server:
    server = Server()
    monkeypatch.setattr(EmailBackend, "open", lambda *args: server.open(*args))
    monkeypatch.setattr(EmailBackend, "send_messages", lambda *args: server.send(*args))
    return server


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


def post(number: int, first: int = 0) -> None:
    send_mail("Hello", [f"{n}@example.com" for n in range(first, first + number)], "text")


def pending() -> list[Mail]:
    return list(Mail.objects.filter(state=State.PENDING))


# Away


def test_a_server_that_is_away_is_asked_by_one_message_and_the_others_wait(
    server: Server, clock: Any
) -> None:
    server.closed = CLOSED
    post(5)
    deliver_all()
    assert server.asked == 1
    clock.shift(timedelta(seconds=16))
    deliver_all()
    assert server.asked == 2
    assert {mail.attempts for mail in pending()} == {0}, "nobody's message is to blame"


@pytest.mark.parametrize(("away", "within"), [(3, 4), (60, 16), (360, 92), (1800, 92)])
def test_its_first_success_wakes_the_rest_soon(
    server: Server, clock: Any, away: int, within: int
) -> None:
    server.closed = CLOSED
    post(5)
    end = timezone.now() + timedelta(seconds=away)
    while timezone.now() < end:
        deliver_all()
        clock.shift(timedelta(seconds=max(1, away / 60)))
    server.closed = None
    back = timezone.now()
    while pending():
        deliver_all()
        clock.shift(timedelta(seconds=1))
    assert timezone.now() - back < timedelta(seconds=within)


def test_operators_hear_of_it_after_ten_minutes_and_not_before(
    server: Server, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server.closed = ConnectionRefusedError("Connection refused")
    post(1)
    with caplog.at_level(logging.CRITICAL, "mail.alarm"):
        for _ in range(9 * 6):
            deliver_all()
            clock.shift(timedelta(seconds=10))
        assert alarms.current() is None
        assert not caplog.records
        for _ in range(3 * 6):
            deliver_all()
            clock.shift(timedelta(seconds=10))
    alarm = alarms.current()
    assert alarm
    assert alarm.cause == Cause.CONNECTION_REFUSED
    assert len(caplog.records) == 1


def test_the_probe_comes_also_if_whoever_was_to_try_has_been_killed(
    server: Server, clock: Any
) -> None:
    server.closed = CLOSED
    post(5)
    deliver_all()
    later = timezone.now() + timedelta(minutes=15)
    Mail.objects.update(cause=Cause.ALARM, due=later)  # they came a second too early, say
    server.closed = None
    clock.shift(timedelta(seconds=11))
    deliver_all()
    deliver_all()
    assert not pending()


# Crowded


def test_who_gets_no_connection_beside_others_tries_again_at_once_and_holds_nobody_up(
    server: Server, clock: Any
) -> None:
    post(1)
    deliver_all()
    delivering.connection.close()  # another process has sent it, and keeps its connection
    server.closed = CLOSED
    post(2, first=1)
    deliver_all()
    assert {(mail.cause, mail.on_hold) for mail in pending()} == {(Cause.CROWDED, False)}
    assert {mail.attempts for mail in pending()} == {0}
    assert not alarms.is_raised()
    server.closed = None
    clock.shift(timedelta(seconds=1))
    assert len(deliver_all()) == 2


# Everybody is refused


def test_refusals_of_everybody_hold_the_mail_and_suppress_nobody(
    server: Server, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A relay whose directory is away for half a minute."""
    server.knows = lambda address: False
    for number in range(11):
        post(1, first=number)
        deliver_all()
        clock.shift(timedelta(seconds=1))
    assert len(pending()) == 11
    assert not Suppression.objects.exists()
    server.knows = lambda address: True
    clock.shift(timedelta(minutes=2))
    deliver_all()
    assert Mail.objects.filter(state=State.SENT).count() == 11
    assert not alarms.is_raised()


def test_a_mailbox_that_is_refused_again_after_a_success_is_the_one_at_fault(
    server: Server, clock: Any
) -> None:
    server.knows = lambda address: address == "real@example.com"
    post(IN_A_ROW)
    deliver_all()
    assert len(pending()) == IN_A_ROW
    send_mail("Hello", ["real@example.com"], "text")
    assert len(deliver_all()) == 1
    deliver_all()
    assert Mail.objects.filter(state=State.REFUSED).count() == IN_A_ROW
    assert not alarms.is_raised()


def test_strangers_wrong_addresses_delay_no_owner(server: Server, clock: Any, alice: User) -> None:
    server.knows = lambda address: address == alice.email
    post(3 * IN_A_ROW)
    deliver_all()
    accounts.request_reset(alice.email, "en")
    [letter] = deliver_all()
    assert letter.to == [alice.email]


def test_three_wrong_addresses_are_three_wrong_addresses(server: Server, clock: Any) -> None:
    server.knows = lambda address: False
    post(IN_A_ROW - 1)
    deliver_all()
    assert Mail.objects.filter(state=State.REFUSED).count() == IN_A_ROW - 1


# The clock


def test_after_the_clock_was_set_back_nothing_waits_for_a_time_to_come_again(
    server: Server, clock: Any
) -> None:
    post(2)
    clock.shift(timedelta(hours=-1))
    assert deliver_all() == []
    delivering.believe_no_future(certainly=False)
    assert len(deliver_all()) == 2


def test_a_clock_that_is_right_hurries_nobody(server: Server, clock: Any) -> None:
    server.closed = CLOSED
    post(2)
    deliver_all()
    before = set(Mail.objects.values_list("due", flat=True))
    delivering.believe_no_future(certainly=False)
    assert set(Mail.objects.values_list("due", flat=True)) == before


def test_what_has_left_in_a_future_drops_nothing_that_is_asked_for_now(
    server: Server, clock: Any, alice: User
) -> None:
    accounts.request_reset(alice.email, "en")
    assert len(deliver_all()) == 1
    clock.shift(timedelta(hours=-1))
    accounts.request_reset(alice.email, "en")
    assert len(deliver_all()) == 1
