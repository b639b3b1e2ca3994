"""Resend: the activation mail again, for whatever address, with one answer."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from mail.models import Suppression
from tests.conftest import (
    PASSWORD,
    activation_link,
    deliver_all,
    link_in,
    open_link,
    page_text,
    registration,
)
from users import accounts
from users.models import User


@pytest.mark.parametrize("state", ["unknown", "waiting", "active", "disabled"])
@pytest.mark.usefixtures("still")
def test_asking_for_the_mail_gets_the_same_answer_for_every_address(
    browser: Client, other_browser: Client, cast: Callable[..., User], state: str
) -> None:
    if state != "unknown":
        cast("bob", state)
    answers = []
    for visitor, email in [(browser, "bob@example.com"), (other_browser, "none@example.com")]:
        response = visitor.post("/users/activate/resend/", {"email": email}, follow=True)
        assert response.redirect_chain == [("/users/activate/resend/sent/", 302)]
        assert "If a registration waits for this address" in response.text
        assert email in response.text
        answers.append(page_text(response).replace(email, "…"))
    assert answers[0] == answers[1]


def test_asking_for_the_mail_of_a_waiting_account_sends_it(browser: Client, bob: User) -> None:
    browser.post("/users/activate/resend/", {"email": "ＢＯＢ@example.com"})
    [letter] = deliver_all()
    assert letter.to == ["bob@example.com"]
    assert browser.get(link_in(letter)).status_code == 302


def test_asking_again_does_not_end_the_link_before(browser: Client, bob: User) -> None:
    """Mails overtake each other; whichever is read works, until one has done its work."""
    first = activation_link(bob)
    browser.post("/users/activate/resend/", {"email": "bob@example.com"})
    deliver_all()
    assert browser.get(first).status_code == 302


def test_a_claim_lives_as_long_as_its_newest_link(
    browser: Client, other_browser: Client, bob: User, clock: Any
) -> None:
    now = timezone.now()
    clock(now + timedelta(hours=20))
    browser.post("/users/activate/resend/", {"email": "bob@example.com"})
    [letter] = deliver_all()

    clock(now + timedelta(hours=43, minutes=59))
    taken = other_browser.post("/users/register/", registration(user_id="bob"))
    assert "This ID is taken." in taken.text
    assert browser.get(link_in(letter), follow=True).status_code == 200

    clock(now + timedelta(hours=44, minutes=1))
    assert other_browser.post("/users/register/", registration(user_id="bob")).status_code == 302
    assert browser.get(link_in(letter)).status_code == 404


def test_a_letter_that_waited_a_day_for_the_mail_server_still_activates_the_account(
    browser: Client, clock: Any
) -> None:
    """Token and claim begin when the letter is written, not when it was asked for."""
    browser.post("/users/register/", registration())
    now = timezone.now()
    clock(now + timedelta(hours=23, minutes=50))
    [letter] = deliver_all()
    clock(now + timedelta(hours=40))
    clean = open_link(browser, link_in(letter))
    assert browser.post(clean).status_code == 302
    assert User.objects.get().is_active


def test_nothing_is_suppressed_that_nobody_declined(browser: Client, activation_page: str) -> None:
    browser.post(activation_page, {"password": PASSWORD})
    assert not Suppression.objects.exists()


def test_mail_that_still_waits_is_dropped_when_the_account_is_open(
    browser: Client,
) -> None:
    """Not even "you already have an account": nobody has tried to register again."""
    browser.post("/users/register/", registration())
    accounts.activate_by_staff(User.objects.get())
    assert deliver_all() == []
