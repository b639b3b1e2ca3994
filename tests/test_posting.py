"""Posting: the row lives and dies with the change that it reports; a hint is only a hint."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import transaction
from django.test import Client
from django.utils import timezone

from mail import api
from mail.causes import Cause
from mail.models import Draft, Mail, State, Suppression
from mail.queue import engines, posting
from tests.conftest import PASSWORD, deliver_all, link_in, registration, take
from users.models import User


class Change(Exception):
    """Something goes wrong in the caller's transaction."""


class Listener(engines.Engine):
    def __init__(self) -> None:
        self.hinted: list[Any] = []  # the rows' keys

    def hint(self, mail: Mail) -> None:
        self.hinted.append(mail.pk)


class Down(engines.Engine):
    def hint(self, mail: Mail) -> None:
        raise ConnectionError("the broker is away")


@pytest.fixture
def hints(settings: Any) -> list[Any]:
    """The rows of which the engine was hinted, by their keys."""
    settings.MAIL_ENGINE = f"{__name__}.Listener"
    listener: Any = engines.named(settings.MAIL_ENGINE)
    listener.hinted.clear()
    return listener.hinted


# The caller's transaction


@pytest.mark.django_db
def test_a_change_that_is_rolled_back_leaves_no_message_and_no_hint(
    hints: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    with (
        django_capture_on_commit_callbacks(execute=True),
        suppress(Change),
        transaction.atomic(),
    ):
        posting.post("password_reset", address="alice@example.com")
        raise Change
    assert not Mail.objects.exists()
    assert hints == []


@pytest.mark.django_db
def test_the_engine_gets_its_hint_only_at_the_commit(
    hints: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        mail = posting.post("password_reset", address="alice@example.com")
        assert hints == []
    assert hints == [mail.pk]


@pytest.mark.django_db(transaction=True)
def test_a_broken_engine_costs_no_registration(
    client: Client, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The row is committed and the sweep finds it, so the visitor need not hear of it."""
    settings.MAIL_ENGINE = f"{__name__}.Down"
    response = client.post("/users/register/", registration())
    assert response.status_code == 302
    assert User.objects.get().is_waiting
    assert Mail.objects.overdue().count() == 1
    assert "the broker is away" in caplog.text


@pytest.mark.django_db
def test_an_unknown_letter_is_refused_when_it_is_posted_not_when_it_is_sent() -> None:
    with pytest.raises(LookupError, match=r"'pasword_reset'.*password_reset"):
        posting.post("pasword_reset", address="alice@example.com")
    assert not Mail.objects.exists()


# Duplicates


def test_a_letter_that_still_waits_serves_for_the_next_one_too(
    bob: User, hints: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        first, second = posting.post("register", user=bob), posting.post("register", user=bob)
    assert first.pk == second.pk
    assert hints == [first.pk] * 2, "a doubled hint is harmless, a missing one costs time"


@pytest.mark.django_db
def test_a_letter_that_is_being_sent_does_not_serve_for_the_next_one() -> None:
    """Its text may be written already, and so without what has changed since."""
    first = posting.post("password_reset", address="alice@example.com")
    take(first.pk)
    assert posting.post("password_reset", address="alice@example.com").pk != first.pk


@pytest.mark.django_db
@pytest.mark.parametrize(
    "end",
    [
        lambda claimed: claimed.mark_sent(),
        lambda claimed: claimed.end(State.FAILED, Cause.REJECTED, "spam"),
        lambda claimed: claimed.end(State.DROPPED, Cause.NOT_NEEDED, "no longer needed"),
        lambda claimed: claimed.retry(Cause.BUSY, "greylisted"),
    ],
    ids=["sent", "failed", "dropped", "retried"],
)
def test_a_letter_that_was_tried_does_not_serve_for_the_next_one(
    end: Callable[[Mail], bool],
) -> None:
    first = posting.post("password_reset", address="alice@example.com")
    claimed = take(first.pk)
    assert claimed is not None
    assert end(claimed)
    assert posting.post("password_reset", address="alice@example.com").pk != first.pk


@pytest.mark.django_db
def test_a_letter_on_hold_is_tried_at_once_for_whoever_asks_again() -> None:
    first = posting.post("password_reset", address="alice@example.com")
    claimed = take(first.pk)
    assert claimed is not None
    claimed.snooze(Cause.LOGIN, "the login was refused", timedelta(minutes=1))
    assert not Mail.objects.overdue().exists()
    assert posting.post("password_reset", address="alice@example.com").pk == first.pk
    assert Mail.objects.overdue().get().pk == first.pk


def test_letters_that_differ_in_anything_are_two(bob: User) -> None:
    posts: list[dict[str, Any]] = [
        {"letter": "password_reset", "address": "bob@example.com"},
        {"letter": "password_reset", "address": "carol@example.com"},
        {"letter": "activate_resend", "address": "bob@example.com"},
        {"letter": "register", "user": bob},
        {"letter": "register", "user": bob, "address": "robert@example.com"},
    ]
    assert len({posting.post(**post).pk for post in posts}) == len(posts)


@pytest.mark.django_db
def test_letters_that_are_asked_for_anew_are_never_taken_for_one() -> None:
    first, second = (
        posting.post("password_reset", address="a@example.com", anew=True) for _ in range(2)
    )
    assert first.pk != second.pk


# What is in a row


def test_a_row_never_holds_a_body_a_token_or_a_link(browser: Client) -> None:
    """Whoever reads the queue, the admin or a backup of it can activate no account with that."""
    browser.post("/users/register/", registration())
    secrets = [PASSWORD, "http", "/users/"]
    for address in ("carol@example.com", "nobody@example.com"):
        browser.post("/users/password/reset/", {"email": address})
        Client().post("/users/activate/resend/", {"email": address})
    letters = deliver_all()
    assert len(letters) == 3
    for letter in letters:
        uidb64, token = link_in(letter).rstrip("/").split("/")[-2:]
        secrets += [uidb64, token, str(letter.subject)]
        secrets += [line for line in str(letter.body).splitlines() if len(line) > 20]
    rows = list(Mail.objects.values())
    assert len(rows) == 5
    for row in rows:
        for column, value in row.items():
            assert not [secret for secret in secrets if secret in str(value)], column
    assert not Draft.objects.exists()


def test_a_letter_speaks_the_language_asked_for_or_the_persons_or_the_sites(
    bob: User, settings: Any
) -> None:
    settings.LANGUAGE_CODE = "zh-hant"
    assert posting.post("register", user=bob, language="ko").language == "ko"
    assert posting.post("activate_resend", user=bob).language == "en"
    assert posting.post("password_reset", address="x@example.com").language == "zh-hant"


@pytest.mark.django_db
def test_a_message_outlives_the_person_it_went_to(bob: User) -> None:
    mail = posting.post("register", user=bob)
    bob.delete()
    mail.refresh_from_db()
    assert mail.user is None


# Suppression


@pytest.mark.django_db
def test_a_suppression_without_end_lasts_for_ever_for_its_address_only() -> None:
    api.suppress("Bob@example.com", Suppression.Reason.BOUNCED)
    with time_machine.travel(timezone.now() + timedelta(days=3650)):
        assert api.suppression_of("bob@EXAMPLE.com")
    assert api.suppression_of("bobby@example.com") is None


@pytest.mark.django_db
def test_a_suppression_with_an_end_ends() -> None:
    with time_machine.travel("2026-03-01 12:00+00:00", tick=False) as clock:
        api.suppress("b@example.com", Suppression.Reason.DECLINED, for_=timedelta(days=30))
        clock.shift(timedelta(days=30, seconds=-1))
        assert api.suppression_of("b@example.com")
        clock.shift(timedelta(seconds=1))
        assert api.suppression_of("b@example.com") is None


@pytest.mark.django_db
def test_a_second_suppression_takes_the_place_of_the_first() -> None:
    api.suppress("b@example.com", Suppression.Reason.DECLINED, for_=timedelta(days=1))
    api.suppress("B@example.com", Suppression.Reason.BOUNCED)
    assert Suppression.objects.get().reason == "bounced"
    assert Suppression.objects.get().until is None


@pytest.mark.django_db
def test_a_log_of_a_suppression_does_not_name_the_address(caplog: pytest.LogCaptureFixture) -> None:
    address = f"{uuid4().hex}@example.com"
    with caplog.at_level("INFO"):
        api.suppress(address, Suppression.Reason.BOUNCED)
    assert "bounced" in caplog.text
    assert not re.search(address, caplog.text)
