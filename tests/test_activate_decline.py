"""Decline: “I did not register” ends the claim, and the mail about it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from mail.models import State as MailState
from mail.models import Suppression
from tests.conftest import (
    PASSWORD,
    deliver_all,
    link_in,
    registration,
    uid,
)
from users import accounts
from users.models import User


def test_who_did_not_register_ends_it_and_hears_nothing_more(
    browser: Client, activation_page: str, bob: User
) -> None:
    assert "I did not register" in browser.get(activation_page).text
    response = browser.post(f"/users/activate/{uid(bob)}/decline/", follow=True)
    assert response.redirect_chain == [("/", 302)]
    assert "we will not write to you about it" in response.text
    assert not User.objects.exists()

    for email in ("bob@example.com", "BOB@Example.com"):
        Client().post("/users/register/", registration(user_id="mallory", email=email))
        Client().post("/users/activate/resend/", {"email": email})
        Client().post("/users/password/reset/", {"email": email})
    assert deliver_all() == []


def test_registration_mail_to_a_declined_address_is_dropped_not_failed(
    browser: Client, activation_page: str, bob: User
) -> None:
    browser.post(f"/users/activate/{uid(bob)}/decline/")
    mallory = accounts.register(
        user_id="mallory", email=bob.email, name="M", password=PASSWORD, language="en"
    )
    assert deliver_all() == []
    assert mallory.mails.get().state == MailState.DROPPED


def test_declining_registrations_never_stops_the_mail_of_an_account(
    browser: Client, activation_page: str, bob: User, cast: Callable[..., User]
) -> None:
    """The address had declined, and then an account was activation_page with it: by staff, say."""
    browser.post(f"/users/activate/{uid(bob)}/decline/")
    cast("rightful", "active", email="bob@example.com")
    Client().post("/users/password/reset/", {"email": "bob@example.com"})
    [letter] = deliver_all()
    assert "/users/password/reset/" in link_in(letter)


def test_the_silence_after_declining_ends(
    browser: Client, activation_page: str, bob: User, clock: Any
) -> None:
    browser.post(f"/users/activate/{uid(bob)}/decline/")
    clock(timezone.now() + timedelta(days=31))
    browser.post("/users/register/", registration(email="bob@example.com"))
    assert len(deliver_all()) == 1


def test_declining_leaves_other_claims_and_accounts_alone(
    browser: Client, activation_page: str, bob: User, alice: User, cast: Callable[..., User]
) -> None:
    other = cast("robert", "waiting", email=bob.email)
    browser.post(f"/users/activate/{uid(bob)}/decline/")
    assert set(User.objects.all()) == {alice, other}


def test_declining_twice_gets_the_plain_page(
    browser: Client, activation_page: str, bob: User
) -> None:
    browser.post(f"/users/activate/{uid(bob)}/decline/")
    assert browser.post(f"/users/activate/{uid(bob)}/decline/").status_code == 404


def test_declining_while_somebody_activates_says_nothing_that_is_not_so(
    browser: Client, activation_page: str, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "Cancelled", over an account that is active, and whose letters are then suppressed."""
    decline = accounts.decline

    def too_late(claim: User) -> None:
        accounts.activate(User.objects.get(pk=claim.pk))
        decline(claim)

    monkeypatch.setattr(accounts, "decline", too_late)
    assert browser.post(f"/users/activate/{uid(bob)}/decline/").status_code == 404
    assert User.objects.get().is_active
    assert not Suppression.objects.exists()
    assert "we will not write to you" not in browser.get("/").text
