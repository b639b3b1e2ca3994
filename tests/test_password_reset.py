"""Password reset: any address may ask, only its owner is answered, and only by mail."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail.models import Mail
from mail.models import State as MailState
from tests.conftest import (
    NEW_PASSWORD,
    deliver_all,
    is_signed_in,
    link_in,
    page_text,
    queries_of,
    sign_in,
    uid,
)
from users import accounts
from users.models import User

CHOSEN = {"new_password": NEW_PASSWORD}


def test_alice_forgets_her_password_and_gets_back_in(browser: Client, alice: User) -> None:
    asked = browser.post("/users/password/reset/", {"email": "Alice@EXAMPLE.com"}, follow=True)
    assert asked.redirect_chain == [("/users/password/reset/sent/", 302)]
    [letter] = deliver_all()
    assert (letter.to, letter.subject) == (["alice@example.com"], "alice, reset your password")

    page = browser.get(link_in(letter), follow=True)
    assert page.redirect_chain == [(f"/users/password/reset/{uid(alice)}/open/", 302)]
    saved = browser.post(page.wsgi_request.path, CHOSEN, follow=True)
    assert saved.redirect_chain == [("/users/password/reset/done/", 302)]
    assert not is_signed_in(browser), "whoever has the mailbox still has to sign in"
    sign_in(browser, "alice", NEW_PASSWORD)
    assert is_signed_in(browser)


# Asking


@pytest.mark.parametrize("state", ["waiting", "active", "disabled"])
@pytest.mark.usefixtures("still")
def test_every_address_gets_the_same_page_after_the_same_work(
    cast: Callable[..., User], state: str
) -> None:
    cast("alice", state)
    pages, queries = [], []
    for email in ("alice@example.com", "nobody@example.com"):
        browser = Client(headers={"accept-language": "en"})
        with CaptureQueriesContext(connection) as captured:
            typed = {"email": email}
            response = browser.post("/users/password/reset/", typed, follow=True)
        pages.append(page_text(response).replace(email, "…"))
        queries.append(queries_of(captured))
    assert pages[0] == pages[1]
    assert queries[0] == queries[1]
    assert not any('FROM "users_user"' in query for query in queries[0]), "only `deliver` looks"
    assert len(queries[0]) > 1, "something was captured"
    assert Mail.objects.count() == 2


@pytest.mark.parametrize(
    ("state", "subject"),
    [
        ("active", "alice, reset your password"),
        ("waiting", "alice, activate your account"),
        ("disabled", None),
        ("unknown", None),
    ],
)
def test_the_letter_depends_on_the_account(
    browser: Client, cast: Callable[..., User], state: str, subject: str | None
) -> None:
    if state != "unknown":
        cast("alice", state)
    browser.post("/users/password/reset/", {"email": "alice@example.com"})
    assert [letter.subject for letter in deliver_all()] == ([subject] if subject else [])
    assert Mail.objects.get().state == (MailState.SENT if subject else MailState.DROPPED)


def test_the_link_goes_to_the_owner_not_to_the_claims(
    browser: Client, alice: User, cast: Callable[..., User]
) -> None:
    cast("mallory", "waiting", email=alice.email)
    browser.post("/users/password/reset/", {"email": alice.email})
    [letter] = deliver_all()
    assert uid(alice) in link_in(letter)
    assert "mallory" not in letter.body


def test_whoever_is_disabled_after_asking_gets_nothing(browser: Client, alice: User) -> None:
    browser.post("/users/password/reset/", {"email": alice.email})
    accounts.disable(alice)
    assert deliver_all() == []


def test_a_letter_too_late_to_be_of_use_is_not_sent(
    browser: Client, alice: User, clock: Any
) -> None:
    browser.post("/users/password/reset/", {"email": alice.email})
    clock(timezone.now() + timedelta(minutes=31))
    assert deliver_all() == []
    assert Mail.objects.get().state == MailState.FAILED


def test_asking_often_before_the_mail_leaves_sends_one(browser: Client, alice: User) -> None:
    for _ in range(5):
        browser.post("/users/password/reset/", {"email": alice.email})
    assert len(deliver_all()) == 1


def test_a_row_holds_no_token_and_no_link(browser: Client, alice: User) -> None:
    browser.post("/users/password/reset/", {"email": alice.email})
    [letter] = deliver_all()
    token = link_in(letter).split("/")[-2]
    row = str(list(Mail.objects.values()))
    assert token not in row
    assert "/users/" not in row


@pytest.mark.parametrize("typed", ["", "alice", "alice@", "аlice@example.com", "alıce@example.com"])
def test_what_is_no_address_is_refused(browser: Client, alice: User, typed: str) -> None:
    response = browser.post("/users/password/reset/", {"email": typed})
    assert response.status_code == 200
    assert 'aria-invalid="true"' in response.text
    assert not Mail.objects.exists()


@pytest.mark.parametrize("typed", ["miKe@example.com", "ｍｉｋｅ@example.com", "MIKE@example.com"])
def test_a_twin_of_an_address_mails_the_stored_one(
    browser: Client, cast: Callable[..., User], typed: str
) -> None:
    """CVE-2019-19844: the first of them has a Kelvin sign."""
    cast("mike")
    browser.post("/users/password/reset/", {"email": typed.replace("K", "\N{KELVIN SIGN}")})
    assert [letter.to for letter in deliver_all()] == [["mike@example.com"]]
