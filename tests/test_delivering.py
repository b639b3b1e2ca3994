"""Delivering: claim, decide, write, send, mark. Whatever goes wrong, the row says so."""

import smtplib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail as django_mail
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.db import InterfaceError, OperationalError
from django.utils import timezone, translation

from mail import api
from mail.causes import Cause
from mail.models import LEASE, Mail, Priority, State
from mail.queue import delivering, posting
from mail.queue.letters import Decide, Letter, Outcome, Writer, letters
from mail.transport import connection
from tests.conftest import take

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
USEFUL_FOR = timedelta(hours=2)

BUSY = smtplib.SMTPDataError(451, b"greylisted, try again later")
NO_SUCH_BOX = smtplib.SMTPRecipientsRefused({"alice@example.com": (550, b"no such box")})
LOGIN_REFUSED = smtplib.SMTPAuthenticationError(535, b"app password needed")


def decide_note(mail: Mail) -> Writer:
    """Always wanted; its subject is the language that it is written in."""
    return lambda: EmailMultiAlternatives(translation.get_language(), "a note", to=[mail.address])


def broken_note(mail: Mail) -> Writer:
    def write() -> EmailMultiAlternatives:
        raise ZeroDivisionError("of no importance")

    return write


@pytest.fixture
def note(db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Mail]:
    """Posts a note to alice; about what it says, a test decides."""

    def post(decide: Decide = decide_note, **fields: Any) -> Mail:
        monkeypatch.setitem(letters, "note", Letter("note", decide, Priority.NOTICE, USEFUL_FOR))
        return posting.post("note", address="alice@example.com", anew=True, **fields)

    return post


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The mail service answers with this error from now on; None ends that."""
    real = connection.send

    def set_trouble(error: Exception | None) -> None:
        def send(message: Any, still_wanted: Callable[[], bool]) -> bool | None:
            if error is None:
                return real(message, still_wanted)
            raise error

        monkeypatch.setattr(connection, "send", send)

    return set_trouble


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def deliver(mail: Mail) -> Mail:
    done = delivering.deliver(mail.pk)
    assert done is not None, "the row was not ours to send"
    mail.refresh_from_db()
    same = ("state", "cause", "error", "attempts", "crashes", "due", "sent_at")
    assert all(getattr(done, name) == getattr(mail, name) for name in same)
    return mail


# The claim


def test_two_senders_cannot_have_the_same_message(note: Any) -> None:
    mail = note()
    first, second = take(mail.pk), take(mail.pk)
    assert first is not None
    assert first.attempts == 1
    assert second is None


def test_a_message_is_not_sent_before_it_is_due_nor_after_it_is_done(note: Any, clock: Any) -> None:
    mail = note()
    Mail.objects.update(due=NOON + timedelta(seconds=1))
    assert delivering.deliver(mail.pk) is None
    clock.shift(1)
    assert deliver(mail).state == State.SENT
    clock.shift(timedelta(days=1))
    assert delivering.deliver(mail.pk) is None
    assert len(django_mail.outbox) == 1


def test_a_message_that_is_gone_is_nobodys_trouble(note: Any) -> None:
    mail = note()
    Mail.objects.all().delete()
    assert delivering.deliver(mail.pk) is None


def test_the_message_of_a_dead_sender_comes_back_when_its_lease_ends(note: Any, clock: Any) -> None:
    mail = note()
    take(mail.pk)
    clock.shift(LEASE - timedelta(microseconds=1))
    assert delivering.overdue() == []
    clock.shift(timedelta(microseconds=1))
    assert delivering.overdue() == [(mail.pk, Priority.NOTICE)]
    assert deliver(mail).attempts == 2


@pytest.mark.parametrize(
    "finish",
    [
        lambda mail: mail.mark_sent("too late"),
        lambda mail: mail.end(State.FAILED, Cause.REJECTED, "too late"),
        lambda mail: mail.end(State.DROPPED, Cause.NOT_NEEDED, "too late"),
        lambda mail: mail.wait_until(NOON, Cause.TURN, "too late"),
        lambda mail: mail.retry(Cause.BUSY, "too late"),
        lambda mail: mail.snooze(Cause.LOGIN, "too late", timedelta(minutes=1)),
        lambda mail: mail.retry_after_crash(Cause.UNEXPECTED, "too late"),
    ],
    ids=["mark_sent", "fail", "drop", "wait_until", "retry", "snooze", "retry_after_crash"],
)
def test_a_sender_that_slept_past_its_lease_overwrites_nothing(
    note: Any, clock: Any, finish: Callable[[Mail], bool]
) -> None:
    mail = note()
    sleeper = take(mail.pk)
    clock.shift(2 * LEASE)
    other = take(mail.pk)
    assert sleeper is not None
    assert other is not None
    before = Mail.objects.filter(pk=mail.pk).values().get()
    assert finish(sleeper) is False
    assert Mail.objects.filter(pk=mail.pk).values().get() == before
    assert other.mark_sent("0100") is True


# What failures mean for the row


def test_retries_wait_ever_longer_but_never_for_more_than_a_quarter_of_an_hour(
    note: Any, trouble: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mail.models.random.uniform", lambda low, high: (low + high) / 2)
    trouble(BUSY)
    mail, waits = note(), []
    while deliver(mail).state == State.PENDING:
        waits.append((mail.due - timezone.now()).total_seconds())
        clock.move_to(mail.due)
    assert waits[:9] == [10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert mail.attempts == len(waits) + 1
    assert mail.crashes <= 1, "a greylisting server is no crash, however often it answers"


def test_what_failed_together_does_not_return_together(note: Any, trouble: Any, clock: Any) -> None:
    trouble(BUSY)
    waits = [(deliver(note()).due - NOON).total_seconds() for _ in range(50)]
    assert len(set(waits)) > 25
    assert all(7.5 <= wait <= 12.5 for wait in waits)


def test_a_configuration_fault_costs_no_attempt_and_raises_an_alarm(
    note: Any, trouble: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    trouble(LOGIN_REFUSED)
    mail = note()
    for _ in range(10):
        deliver(mail)
        assert (mail.state, mail.attempts, mail.crashes) == (State.PENDING, 0, 0)
        assert timedelta(minutes=1) < mail.due - timezone.now() < timedelta(minutes=2)
        clock.move_to(mail.due)
    assert mail.cause == Cause.LOGIN
    assert mail.error == "the login was refused: 535 app password needed"
    reported = [record for record in caplog.records if record.name == "mail.alarm"]
    assert [record.levelname for record in reported] == ["CRITICAL"], "once an hour is enough"
    trouble(None)
    assert deliver(mail).state == State.SENT
    assert (mail.cause, mail.error) == ("", ""), "a message that has left shows no old complaint"


def test_a_refused_recipient_ends_it_at_once_with_the_servers_words(
    note: Any, trouble: Any
) -> None:
    trouble(NO_SUCH_BOX)
    mail = deliver(note())
    assert (mail.state, mail.cause, mail.attempts) == (State.REFUSED, Cause.NO_MAILBOX, 1)
    assert mail.error == "the recipient was refused: 550 no such box"
    assert delivering.overdue() == []


def test_a_mailbox_that_does_not_exist_is_suppressed_and_what_is_refused_otherwise_is_not(
    note: Any, trouble: Any
) -> None:
    trouble(smtplib.SMTPDataError(550, b"5.7.1 looks like spam"))
    mail = deliver(note())
    assert (mail.state, mail.cause) == (State.FAILED, Cause.REJECTED)
    assert api.suppression_of(mail.address) is None
    trouble(NO_SUCH_BOX)
    deliver(note())
    assert api.suppression_of(mail.address) == api.Suppression.Reason.REFUSED


def test_an_unexpected_error_is_recorded_and_tried_five_times(
    note: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    mail = note(broken_note)
    dues = []
    while deliver(mail).state == State.PENDING:
        assert mail.cause == Cause.UNEXPECTED
        assert mail.error == "ZeroDivisionError: of no importance"
        dues.append(mail.due)
        clock.move_to(mail.due)
    assert (mail.state, mail.attempts, len(dues)) == (State.FAILED, 5, 4)
    assert "Traceback" in caplog.text, "a programmer will want to see where"


def test_a_crash_in_mid_delivery_counts_as_an_unexpected_error(note: Any, clock: Any) -> None:
    """A message that kills its sender must not kill every sender there will ever be."""
    mail = note(broken_note)
    for _ in range(4):
        assert take(mail.pk), "and the process dies"
        clock.shift(2 * LEASE)
    assert deliver(mail).state == State.FAILED


def test_a_transient_fault_in_between_starts_the_count_of_crashes_anew(
    note: Any, trouble: Any, clock: Any
) -> None:
    mail = note()
    for error in [ZeroDivisionError(), BUSY, *[ZeroDivisionError()] * 4]:
        trouble(error)
        assert deliver(mail).state == State.PENDING
        clock.move_to(mail.due)


def test_an_endless_error_fits_into_the_row(note: Any, trouble: Any) -> None:
    trouble(smtplib.SMTPDataError(550, b"no " * 1000))
    assert len(deliver(note()).error) == 500


def test_a_letter_that_nobody_knows_any_more_does_not_stop_the_loop(note: Any) -> None:
    """After a deployment without it, say; the row waits for the deployment that brings it back."""
    mail = note()
    Mail.objects.update(letter="forgotten")
    assert delivering.deliver(mail.pk) is None
    assert delivering.overdue() == []
    mail.refresh_from_db()
    assert (mail.state, mail.attempts) == (State.PENDING, 0)


def test_a_message_is_not_sent_when_it_can_be_of_no_use_any_more(
    note: Any, trouble: Any, clock: Any
) -> None:
    trouble(BUSY)
    mail = deliver(note())
    trouble(None)
    clock.move_to(NOON + USEFUL_FOR + timedelta(seconds=1))
    assert deliver(mail).state == State.FAILED
    assert mail.cause == Cause.TOO_LATE
    assert mail.error.startswith("too late to be of use")
    assert "greylisted" in mail.error, "and the reader learns why it was late"
    assert django_mail.outbox == []


def test_a_message_is_sent_to_the_last_second_of_its_useful_life(note: Any, clock: Any) -> None:
    mail = note()
    clock.shift(USEFUL_FOR)
    assert deliver(mail).state == State.SENT


# What is sent


def test_a_letter_that_is_no_longer_needed_is_dropped(note: Any) -> None:
    mail = deliver(note(lambda mail: None))
    assert (mail.state, mail.cause) == (State.DROPPED, Cause.NOT_NEEDED)
    assert mail.error == "no longer needed"
    assert django_mail.outbox == []


def test_a_letter_that_decides_otherwise_has_its_way(note: Any, clock: Any) -> None:
    wait = Outcome(State.PENDING, Cause.TURN, "not yet", NOON + timedelta(minutes=1))
    end = Outcome(State.REFUSED, Cause.SUPPRESSED, "not there")
    decisions = [wait, end]
    mail = deliver(note(lambda mail: decisions.pop(0)))
    assert (mail.state, mail.cause, mail.error) == (State.PENDING, Cause.TURN, "not yet")
    assert (mail.due, mail.attempts) == (wait.due, 0)
    clock.move_to(mail.due)
    assert deliver(mail).state == State.REFUSED
    assert (mail.cause, mail.error) == (Cause.SUPPRESSED, "not there")
    assert django_mail.outbox == []


@pytest.mark.parametrize(
    "recipients",
    [
        {"to": ["a@example.com", "b@example.com"]},
        {"to": ["a@example.com"], "bcc": ["b@example.com"]},
        {"to": ["a@example.com"], "cc": ["b@example.com"]},
        {"to": []},
    ],
)
def test_a_letter_has_exactly_one_recipient(note: Any, recipients: Any) -> None:
    mail = deliver(note(lambda mail: lambda: EmailMultiAlternatives("s", "b", **recipients)))
    assert "one recipient a message" in mail.error
    assert mail.state == State.PENDING
    assert django_mail.outbox == []


def test_a_repeated_message_carries_the_same_message_id_with_the_name_of_the_site(
    note: Any, clock: Any, settings: Any
) -> None:
    settings.SITE_URL = "https://cs.example.ac.kr:8443"
    mail = note()
    deliver(mail)
    Mail.objects.update(state=State.PENDING, due=NOON)  # a crash between the 250 and our UPDATE
    deliver(mail)
    ids = [sent.message()["Message-ID"] for sent in django_mail.outbox]
    assert ids == [f"<{mail.pk}@cs.example.ac.kr>"] * 2


def test_no_out_of_office_reply_is_asked_for(note: Any) -> None:
    deliver(note())
    [sent] = django_mail.outbox
    assert sent.message()["Auto-Submitted"] == "auto-generated"
    assert sent.message()["X-Auto-Response-Suppress"] == "All"


@pytest.mark.parametrize("language", ["ko", "en", "zh-hant"])
def test_a_letter_is_written_in_its_own_language_whatever_the_thread_speaks(
    note: Any, language: str
) -> None:
    with translation.override("en"):
        deliver(note(language=language))
        assert translation.get_language() == "en"
    assert django_mail.outbox[0].subject == language


class Provider(BaseEmailBackend):
    """Leaves its id as django-ses does."""

    def send_messages(self, email_messages: Any) -> int:
        for message in email_messages:
            message.extra_headers["message_id"] = "0100-ses"
        return len(email_messages)


class Blacklist(BaseEmailBackend):
    """Accepts a message to an address that bounced, and does not send it, as django-ses does."""

    def send_messages(self, email_messages: Any) -> int:
        return 0


def test_the_id_that_bounces_will_name_is_kept(note: Any, settings: Any) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Provider"
    mail = deliver(note())
    assert (mail.state, mail.provider_id) == (State.SENT, "0100-ses")


def test_what_the_service_accepted_but_will_not_send_is_no_success(
    note: Any, settings: Any
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Blacklist"
    mail = deliver(note())
    assert (mail.state, mail.cause) == (State.DROPPED, Cause.SUPPRESSED)
    assert mail.error == "suppressed by the mail service"
    assert mail.sent_at is None


@pytest.mark.parametrize("error", [OperationalError("locked"), InterfaceError("closed")], ids=repr)
def test_what_has_left_is_marked_however_long_the_database_is_away(
    note: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real, failures, closed = Mail.mark_sent, [error] * 1000, []

    def away(mail: Mail, *args: Any) -> bool:
        if failures:
            raise failures.pop()
        return real(mail, *args)

    monkeypatch.setattr(Mail, "mark_sent", away)
    monkeypatch.setattr(delivering, "MARK_EVERY", 0)
    # In the transaction of a test it would close the connection (that of SQLite in memory stays).
    monkeypatch.setattr(delivering, "close_old_connections", lambda: closed.append(True))
    assert deliver(note()).state == State.SENT
    assert len(django_mail.outbox) == 1
    assert len(closed) == 1000, "asking again over a dead connection never helps"


def test_what_has_left_is_not_marked_over_what_another_sender_found(
    note: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, mail = Mail.mark_sent, note()

    def late(ours: Mail, *args: Any) -> bool:
        if Mail.objects.filter(pk=ours.pk, attempts=1).update(attempts=2):  # the lease ended
            raise OperationalError("away")
        return real(ours, *args)

    monkeypatch.setattr(Mail, "mark_sent", late)
    monkeypatch.setattr(delivering, "MARK_EVERY", 0)
    monkeypatch.setattr(delivering, "close_old_connections", lambda: None)
    delivering.deliver(mail.pk)
    mail.refresh_from_db()
    assert (mail.state, mail.attempts) == (State.PENDING, 2)


def test_a_sender_that_slept_hands_nothing_over_that_is_anothers(
    note: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail, real, slept = note(), connection._open, []

    def sleeps() -> Any:
        if not slept:
            slept.append(clock.shift(LEASE + timedelta(seconds=1)))
            assert delivering.deliver(mail.pk), "by the next sender"
        return real()

    monkeypatch.setattr(connection, "_open", sleeps)
    assert delivering.deliver(mail.pk)
    assert len(django_mail.outbox) == 1


def test_what_the_server_has_not_answered_is_tried_again_late_and_seldom(
    note: Any, trouble: Any, clock: Any
) -> None:
    trouble(connection.Unanswered("timed out"))
    mail, waits = note(), []
    for _ in range(4):
        found = deliver(mail)
        waits.append((found.due - timezone.now()) / timedelta(minutes=5))
        clock.move_to(found.due)
    assert all(n * 0.75 <= wait <= n * 1.25 for n, wait in zip([1, 2, 4, 8], waits, strict=True))
