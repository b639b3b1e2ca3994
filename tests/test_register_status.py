"""Visitors see how their message is doing: the same for a taken address as for a free one."""

import smtplib
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.mail.backends.locmem import EmailBackend
from django.test import Client
from django.utils import timezone

from mail.causes import Cause
from mail.models import Mail, State, Suppression
from tests.conftest import deliver_all, registration, take
from users.models import User

STATUS = "/users/register/status/"


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def send(*_: Any) -> int:
        raise error

    monkeypatch.setattr(EmailBackend, "send_messages", send)


@pytest.fixture
def registered(browser: Client) -> Client:
    browser.post("/users/register/", registration())
    return browser


def test_waiting_then_handed_over_with_the_time(registered: Client) -> None:
    assert "The mail is being sent." in registered.get(STATUS).text
    with time_machine.travel("2026-11-20T05:03:12Z", tick=False):
        Mail.objects.update(due=timezone.now(), created_at=timezone.now())
        deliver_all()
        assert "Handed to the mail server at 14:03:12." in registered.get(STATUS).text
    assert "Handed to the mail server" in registered.get("/users/register/success/").text


def test_a_refusal_shows_the_reason_and_opens_the_field(
    registered: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = {"carol@example.com": (550, b"5.1.1 no such user")}
    with monkeypatch.context() as patch:
        refuse(patch, smtplib.SMTPRecipientsRefused(refusal))
        deliver_all()
    page = registered.get("/users/register/success/").text
    assert "This address takes no mail." in page
    assert "550 5.1.1 no such user" in page
    assert '<details class="aside" id="correct" open>' in page
    assert Suppression.objects.get().address == "carol@example.com"

    registered.post("/users/register/address/", {"email": "carol.b@example.com"})
    assert "The mail is being sent." in registered.get(STATUS).text
    assert [letter.to for letter in deliver_all()] == [["carol.b@example.com"]]


def test_a_full_mailbox_is_no_wrong_address(
    registered: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, smtplib.SMTPRecipientsRefused({"x": (552, b"5.2.2 mailbox full")}))
    deliver_all()
    assert Mail.objects.get().state == State.FAILED
    assert not Suppression.objects.exists()
    assert "could not be sent" in registered.get(STATUS).text


def test_an_address_that_was_refused_before_says_so_at_once(
    browser: Client, registered: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        refuse(patch, smtplib.SMTPRecipientsRefused({"x": (550, b"5.1.1 no such user")}))
        deliver_all()
    registered.post("/users/register/cancel/")
    browser.post("/users/register/", registration(user_id="carol2"))
    assert deliver_all() == []
    page = browser.get(STATUS).text
    assert "Mail to this address has come back before" in page
    assert "The mail server said" not in page


def test_a_server_that_is_away_shows_when_it_is_tried_next(
    registered: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, ConnectionRefusedError())
    deliver_all()
    due = timezone.localtime(Mail.objects.get().due)
    assert f"The next try is at {due:%H:%M:%S}." in registered.get(STATUS).text
    tomorrow = due + timedelta(days=1)
    Mail.objects.update(due=tomorrow)
    assert f"The next try is at {tomorrow:%Y-%m-%d %H:%M}." in registered.get(STATUS).text


def test_a_second_mail_within_a_minute_says_when_it_leaves(registered: Client) -> None:
    deliver_all()
    registered.post("/users/register/resend/")
    deliver_all()
    due = timezone.localtime(Mail.objects.get(state=State.PENDING).due)
    assert f"the next mail leaves at {due:%H:%M:%S}." in registered.get(STATUS).text


def test_a_taken_address_reads_exactly_like_a_free_one(
    browser: Client, other_browser: Client, alice: User
) -> None:
    browser.post("/users/register/", registration(user_id="carol1", email="free@example.com"))
    other_browser.post("/users/register/", registration(user_id="carol2", email=alice.email))
    assert browser.get(STATUS).text == other_browser.get(STATUS).text
    with time_machine.travel(timezone.now(), tick=False):
        assert len(deliver_all()) == 2
    assert browser.get(STATUS).text == other_browser.get(STATUS).text
    assert "Handed to the mail server" in browser.get(STATUS).text


def test_nobody_else_sees_it_and_it_changes_nothing(
    registered: Client, other_browser: Client
) -> None:
    registered.post("/users/register/cancel/")
    for reader in (other_browser, registered):
        page = reader.get(STATUS).text
        assert "This registration is finished." in page
        assert "carol@example.com" not in page
    assert registered.post(STATUS).status_code == 405
    assert "no-store" in registered.get(STATUS).headers["Cache-Control"]


def test_a_budget_that_is_used_up_is_no_wait_of_a_minute(registered: Client) -> None:
    tomorrow = timezone.now() + timedelta(hours=20)
    Mail.objects.update(due=tomorrow, cause=Cause.BUDGET, error="the day's budget is used up")
    page = registered.get(STATUS).text
    assert "Not two within a minute" not in page
    assert "The next try is at" in page


def test_while_a_retry_is_being_sent_it_is_being_sent(registered: Client) -> None:
    Mail.objects.update(cause=Cause.DISCONNECTED, error="the server hung up", attempts=1)
    assert take(Mail.objects.get().pk)
    assert "The mail is being sent." in registered.get(STATUS).text
