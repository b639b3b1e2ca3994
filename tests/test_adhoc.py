"""An operator's own message: queued from a shell in one line, and refused in plain words."""

import logging
import smtplib
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail as django_mail
from django.core.mail import BadHeaderError
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from cs_web.logs import BODY_MAX_LENGTH
from mail import send_mail
from mail.causes import Cause
from mail.desk import adhoc
from mail.models import Draft, Mail, Report, State
from mail.queue import delivering, posting
from mail.transport import connection
from tests.conftest import PASSWORD, deliver_all, registration
from users import accounts

# The happy path


@pytest.mark.django_db
def test_each_recipient_gets_a_message_of_their_own_and_the_count_is_returned() -> None:
    assert send_mail("Holiday", ["a@example.com", "Bob <b@example.com>"], "Closed on Monday.") == 2
    assert Mail.objects.filter(letter="adhoc", state=State.PENDING).count() == 2
    assert django_mail.outbox == [], "the caller does not wait for a mail server"
    letters = deliver_all()
    assert sorted(letter.to for letter in letters) == [["Bob <b@example.com>"], ["a@example.com"]]
    assert {letter.subject for letter in letters} == {"Holiday"}
    assert {letter.body for letter in letters} == {"Closed on Monday."}
    assert {letter.from_email for letter in letters} == {"컴퓨터공학부 <noreply@127.0.0.1>"}


@pytest.mark.django_db
def test_two_equal_messages_to_one_person_are_two_messages() -> None:
    assert send_mail("s", ["a@example.com", "a@example.com"], "b") == 2
    assert send_mail("s", ["a@example.com"], "b") == 1
    assert len(deliver_all()) == 3


@pytest.mark.django_db
def test_html_goes_beside_the_text_and_a_sender_of_ones_own_is_kept() -> None:
    send_mail("s", ["a@example.com"], "text", "Dean <dean@example.com>", html="<p>html</p>")
    [letter] = deliver_all()
    assert letter.from_email == "Dean <dean@example.com>"
    assert letter.body == "text"
    [part] = letter.alternatives
    assert tuple(part) == ("<p>html</p>", "text/html")


# What is kept


@pytest.mark.django_db
def test_a_body_is_kept_only_until_the_message_is_sent() -> None:
    send_mail("s", ["a@example.com"], "confidential")
    assert Draft.objects.get().body == "confidential"
    deliver_all()
    assert Mail.objects.get().state == State.SENT
    assert not Draft.objects.exists()


@pytest.mark.django_db
def test_a_body_that_will_never_be_sent_is_not_kept_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "send", lambda *_: False)  # accepted, and not sent
    send_mail("s", ["a@example.com", "b@example.com"], "confidential")
    first, second = Mail.objects.order_by("pk")
    delivering.deliver(first.pk)
    first.refresh_from_db()
    assert (first.state, first.cause) == (State.DROPPED, Cause.SUPPRESSED)
    assert Draft.objects.get().mail == second, "and the other one's is still there"


@pytest.mark.django_db
def test_a_body_of_one_that_failed_is_kept_to_be_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> bool:
        raise smtplib.SMTPDataError(550, b"spam")

    monkeypatch.setattr(connection, "send", refuse)
    send_mail("s", ["a@example.com"], "confidential")
    deliver_all()
    assert Mail.objects.get().state == State.FAILED
    assert Draft.objects.get().body == "confidential"


@pytest.mark.django_db
def test_a_body_that_was_too_late_is_kept_to_be_sent_again() -> None:
    send_mail("s", ["a@example.com"], "confidential")
    Mail.objects.update(created_at=timezone.now() - timedelta(days=4))
    deliver_all()
    mail = Mail.objects.get()
    assert (mail.state, mail.cause) == (State.FAILED, Cause.TOO_LATE)
    assert Draft.objects.get().body == "confidential"


@pytest.mark.django_db
def test_a_body_is_kept_while_the_message_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(message: Any) -> bool:
        raise ConnectionRefusedError

    monkeypatch.setattr(connection, "send", away)
    send_mail("s", ["a@example.com"], "confidential")
    deliver_all()
    assert Mail.objects.get().state == State.PENDING
    assert Draft.objects.get().body == "confidential"


@pytest.mark.django_db
def test_a_message_without_its_draft_is_dropped() -> None:
    send_mail("s", ["a@example.com"], "b")
    Draft.objects.all().delete()
    mail = delivering.deliver(Mail.objects.get().pk)
    assert mail is not None
    assert (mail.state, mail.cause) == (State.DROPPED, Cause.NOT_NEEDED)


# Bad calls

BAD_CALLS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"recipient_list": "a@example.com"}, TypeError, r'is a list, such as \["name@example.com"\]'),
    ({"recipient_list": []}, ValueError, "there is nobody to write to"),
    ({"recipient_list": ["nobody"]}, ValueError, "'nobody' is not an e-mail address"),
    ({"recipient_list": [""]}, ValueError, "'' is not an e-mail address"),
    ({"recipient_list": ["a@example.com", "b@"]}, ValueError, "'b@' is not an e-mail address"),
    ({"recipient_list": ["a@example.com, b@example.com"]}, ValueError, "is not an e-mail address"),
    (
        {"recipient_list": ["a@example.com\nBcc: b@example.com"]},
        ValueError,
        "is not an e-mail address",
    ),
    ({"recipient_list": ["A\r\nBcc: b@c.com <a@b.com>"]}, ValueError, "is not an e-mail address"),
    ({"subject": "Hello\nBcc: b@example.com"}, BadHeaderError, "the subject has a line break"),
    ({"subject": "Hello\rBcc: b@example.com"}, BadHeaderError, "the subject has a line break"),
    ({"from_email": "a@example.com\nBcc: b@example.com"}, ValueError, "is not an e-mail address"),
    ({"from_email": "the dean"}, ValueError, "'the dean' is not an e-mail address"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("wrong", "error", "words"), BAD_CALLS)
def test_a_bad_call_raises_in_plain_words_and_sends_nothing(
    wrong: dict[str, Any], error: type[Exception], words: str
) -> None:
    call = {"subject": "s", "recipient_list": ["a@example.com"], "body": "b", **wrong}
    with pytest.raises(error, match=words):
        send_mail(**call)
    assert not Mail.objects.exists()
    assert send_mail(**call, fail_silently=True) == 0
    assert not Mail.objects.exists()
    assert not Draft.objects.exists()


@pytest.mark.django_db
def test_when_one_message_cannot_be_queued_none_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the operator, who repeats the call, would write twice to the first ones."""
    real = posting.post

    def post(letter: str, *, address: str, **fields: Any) -> Mail:
        if address == "b@example.com":
            raise DatabaseError("the disk is full")
        return real(letter, address=address, **fields)

    monkeypatch.setattr(adhoc, "post", post)
    with pytest.raises(DatabaseError):
        send_mail("s", ["a@example.com", "b@example.com"], "b")
    assert not Mail.objects.exists()


# Errors go to ADMINS


@pytest.fixture
def broken_site(monkeypatch: pytest.MonkeyPatch, settings: Any, browser: Client) -> Client:
    def fail(**fields: Any) -> None:
        raise ZeroDivisionError("x" * 300)

    monkeypatch.setattr(accounts, "register", fail)
    settings.ADMINS = [("Kim", "kim@example.com"), ("Lee", "lee@example.com")]
    browser.raise_request_exception = False
    return browser


def test_a_broken_page_is_reported_to_every_admin_through_the_queue(broken_site: Client) -> None:
    assert broken_site.post("/users/register/", registration()).status_code == 500
    assert django_mail.outbox == [], "the visitor does not wait for a mail server too"
    letters = deliver_all()
    assert sorted(letter.to for letter in letters) == [["kim@example.com"], ["lee@example.com"]]
    assert letters[0].subject.startswith("[cs_web] ERROR")
    assert "/users/register/" in letters[0].subject
    assert "ZeroDivisionError" in str(letters[0].body)


def test_the_report_of_a_broken_page_holds_nobodys_password(broken_site: Client) -> None:
    broken_site.post("/users/register/", registration())
    for letter in deliver_all():
        assert PASSWORD not in str(letter.body)


def test_a_long_address_of_a_broken_page_fits_into_the_draft(broken_site: Client) -> None:
    """PostgreSQL would refuse it, and the report would be lost."""
    logging.getLogger("django.request").error("Internal Server Error: /%s", "x" * 500)
    limit = Draft._meta.get_field("subject").max_length
    assert [len(draft.subject) for draft in Draft.objects.all()] == [limit, limit]


def test_equal_errors_are_one_report_and_counted(broken_site: Client) -> None:
    """Wherever and with whatever they were caused: a stranger chooses both."""
    for number in range(5):
        typed = registration(user_id=f"carol{number}")
        assert broken_site.post(f"/users/register/?{number}", typed).status_code == 500
    assert len(deliver_all()) == 2, "one to each admin"
    report = Report.objects.get()
    assert report.times == 5
    assert "ZeroDivisionError" in report.fault
    assert "test_adhoc.py" in report.fault


def test_many_errors_of_one_kind_hide_no_other(
    broken_site: Client, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Once six reports had left, those of the rest of the day were dropped."""
    settings.EMAIL_PER_ADDRESS_LIMIT = 2

    def fail(*_: Any) -> None:
        raise KeyError("another fault")

    monkeypatch.setattr(accounts, "request_reset", fail)
    with time_machine.travel(timezone.now(), tick=False):
        for _ in range(10):
            broken_site.post("/users/register/", registration())
        deliver_all()
        for words in ("the disk is full", "the cache is away"):
            logging.getLogger("django.request").error(words)
        broken_site.post("/users/password/reset/", {"email": "a@example.com"})
        bodies = [str(letter.body) for letter in deliver_all()]
    for words in ("the disk is full", "the cache is away", "another fault"):
        assert len([body for body in bodies if words in body]) == 2
    assert not Draft.objects.exists()


def test_an_error_that_goes_on_is_reported_again_with_its_count(broken_site: Client) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(4):
            for _ in range(3):
                broken_site.post("/users/register/", registration())
            deliver_all()
            clock.shift(timedelta(hours=3, seconds=1))
    assert len(django_mail.outbox) == 2 * 2
    assert "This has happened 7 times since" in str(django_mail.outbox[-1].body)
    assert "This has happened" not in str(django_mail.outbox[0].body)


def test_a_report_that_cannot_be_queued_breaks_nothing_more(
    broken_site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adhoc, "post", lambda *_, **__: 1 / 0)
    assert broken_site.post("/users/register/", registration()).status_code == 500
    assert not Report.objects.exists(), "the next one is reported"


def test_a_report_is_never_longer_than_a_message_should_be(broken_site: Client) -> None:
    logging.getLogger("django.request").error("x" * 1_000_000)
    assert all(100 < len(draft.body) <= BODY_MAX_LENGTH for draft in Draft.objects.all())
    assert Draft.objects.count() == 2


def test_a_report_holds_no_cookie(broken_site: Client) -> None:
    """A session's key, or the token of an opened link, is as good as a password."""
    broken_site.cookies["sessionid"] = "k" * 32
    broken_site.cookies["anything"] = "of-a-visitor"
    broken_site.post("/users/register/", registration())
    for draft in Draft.objects.all():
        assert "sessionid" in draft.body
        assert "kkkkkkkk" not in draft.body
        assert "of-a-visitor" not in draft.body


def test_without_admins_a_broken_page_posts_nothing(broken_site: Client, settings: Any) -> None:
    settings.ADMINS = []
    assert broken_site.post("/users/register/", registration()).status_code == 500
    assert not Mail.objects.exists()


def test_the_report_of_a_broken_link_does_not_hold_the_link(
    broken_site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("users.views.pages.LinkPage.bad_link", None)
    path = "/users/activate/MTIz/cabcde-0123456789abcdef/"
    assert broken_site.get(path).status_code == 500
    [letter, _] = deliver_all()
    assert "/users/activate/MTIz/" in str(letter.body), "enough to see what was wrong"
    assert "cabcde-0123456789abcdef" not in f"{letter.subject}{letter.body}"
