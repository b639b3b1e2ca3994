"""Posting: the row lives and dies with the change it tells of; a hint is only a hint."""

import re
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import transaction
from django.test import Client
from django.utils import timezone
from django_tasks import task_backends

from mail import outbox, suppression, tasks
from mail.models import Draft, Mail, Suppression
from mail.suppression import Reason
from tests.conftest import PASSWORD, deliver_all, link_in, registration, take
from users.models import User


class Change(Exception):
    """Something goes wrong in the caller's transaction."""


@pytest.fixture
def hints() -> Any:
    """What the engine of the tests has been told, as the rows' keys."""
    dummy: Any = task_backends["default"]
    dummy.clear()
    yield lambda: [result.args[0] for result in dummy.results]
    dummy.clear()


# The caller's transaction


@pytest.mark.django_db
def test_a_change_that_is_rolled_back_leaves_no_mail_and_no_hint(
    hints: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with (
        django_capture_on_commit_callbacks(execute=True),
        suppress(Change),
        transaction.atomic(),
    ):
        outbox.post("password_reset", address="alice@example.com")
        raise Change
    assert not Mail.objects.exists()
    assert hints() == []


@pytest.mark.django_db
def test_the_engine_hears_of_a_mail_only_at_the_commit(
    hints: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        mail = outbox.post("password_reset", address="alice@example.com")
        assert hints() == []
    assert hints() == [str(mail.pk)]


@pytest.mark.django_db(transaction=True)
def test_a_broken_engine_costs_no_registration(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The row is committed and the sweep finds it, so the visitor need not hear of it."""

    def down(pk: Any) -> None:
        raise ConnectionError("the broker is away")

    monkeypatch.setattr(tasks, "hint", down)
    response = client.post("/users/register/", registration())
    assert response.status_code == 302
    assert User.objects.get().is_waiting
    assert Mail.objects.overdue().count() == 1
    assert "the broker is away" in caplog.text


@pytest.mark.django_db
def test_an_unknown_letter_is_refused_when_it_is_posted_not_when_it_is_sent() -> None:
    with pytest.raises(LookupError, match=r"'pasword_reset'.*password_reset"):
        outbox.post("pasword_reset", address="alice@example.com")
    assert not Mail.objects.exists()


# Duplicates


def test_a_letter_that_still_waits_serves_for_the_next_one_too(
    bob: User, hints: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        first, second = outbox.post("register", user=bob), outbox.post("register", user=bob)
    assert first.pk == second.pk
    assert hints() == [str(first.pk)] * 2, "a doubled hint is harmless, a missing one costs time"


@pytest.mark.django_db
def test_a_letter_that_is_being_sent_does_not_serve_for_the_next_one() -> None:
    """Its text may be written already, and so without what has changed since."""
    first = outbox.post("password_reset", address="alice@example.com")
    take(first.pk)
    assert outbox.post("password_reset", address="alice@example.com").pk != first.pk


@pytest.mark.django_db
@pytest.mark.parametrize("end", ["mark_sent", "mark_failed", "mark_dropped", "retry"])
def test_a_letter_that_was_tried_does_not_serve_for_the_next_one(end: str) -> None:
    first = outbox.post("password_reset", address="alice@example.com")
    claimed = take(first.pk)
    assert claimed is not None
    assert getattr(claimed, end)("x")
    assert outbox.post("password_reset", address="alice@example.com").pk != first.pk


@pytest.mark.django_db
def test_a_letter_held_back_by_a_fault_of_ours_is_tried_at_once_for_whoever_asks_again() -> None:
    first = outbox.post("password_reset", address="alice@example.com")
    claimed = take(first.pk)
    assert claimed is not None
    claimed.snooze("the login was refused")
    assert not Mail.objects.overdue().exists()
    assert outbox.post("password_reset", address="alice@example.com").pk == first.pk
    assert Mail.objects.overdue().get().pk == first.pk


def test_letters_that_differ_in_anything_are_two(bob: User) -> None:
    posts: list[dict[str, Any]] = [
        {"letter": "password_reset", "address": "bob@example.com"},
        {"letter": "password_reset", "address": "carol@example.com"},
        {"letter": "activate_resend", "address": "bob@example.com"},
        {"letter": "register", "user": bob},
        {"letter": "register", "user": bob, "address": "robert@example.com"},
    ]
    assert len({outbox.post(**post).pk for post in posts}) == len(posts)


@pytest.mark.django_db
def test_letters_with_arguments_of_their_own_are_never_taken_for_one() -> None:
    pks = {outbox.post("adhoc", address="a@example.com", args={}).pk for _ in range(2)}
    assert len(pks) == 2


# What is in a row


def test_a_row_never_holds_a_body_a_token_or_a_link(browser: Client) -> None:
    """Whoever reads the outbox, the admin or a backup of it opens no account with that."""
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
    assert outbox.post("register", user=bob, language="ko").language == "ko"
    assert outbox.post("activate_resend", user=bob).language == "en"
    assert outbox.post("password_reset", address="x@example.com").language == "zh-hant"


@pytest.mark.django_db
def test_a_mail_outlives_the_person_it_went_to(bob: User) -> None:
    mail = outbox.post("register", user=bob)
    bob.delete()
    mail.refresh_from_db()
    assert mail.user is None


# Suppression


@pytest.mark.django_db
def test_a_suppression_without_end_holds_for_ever_for_its_address_only() -> None:
    suppression.suppress("Bob@example.com", Reason.BOUNCED)
    with time_machine.travel(timezone.now() + timedelta(days=3650)):
        assert suppression.reason_for("bob@EXAMPLE.com")
    assert suppression.reason_for("bobby@example.com") is None


@pytest.mark.django_db
def test_a_suppression_with_an_end_ends() -> None:
    with time_machine.travel("2026-03-01 12:00+00:00", tick=False) as clock:
        suppression.suppress("b@example.com", Reason.DECLINED, for_=timedelta(days=30))
        clock.shift(timedelta(days=30, seconds=-1))
        assert suppression.reason_for("b@example.com")
        clock.shift(timedelta(seconds=1))
        assert suppression.reason_for("b@example.com") is None


@pytest.mark.django_db
def test_a_second_suppression_takes_the_place_of_the_first() -> None:
    suppression.suppress("b@example.com", Reason.DECLINED, for_=timedelta(days=1))
    suppression.suppress("B@example.com", Reason.BOUNCED)
    assert Suppression.objects.get().reason == "bounced"
    assert Suppression.objects.get().until is None


@pytest.mark.django_db
def test_a_log_of_a_suppression_does_not_name_the_address(caplog: pytest.LogCaptureFixture) -> None:
    address = f"{uuid4().hex}@example.com"
    with caplog.at_level("INFO"):
        suppression.suppress(address, Reason.BOUNCED)
    assert "bounced" in caplog.text
    assert not re.search(address, caplog.text)
