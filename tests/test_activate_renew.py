"""Renew: a link that is too old offers a new one; a forged one nothing."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation
from django.utils.formats import date_format

from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    activation_link,
    database,
    deliver_all,
    link_in,
    open_link,
    registration,
    uid,
)
from users import visitors
from users.models import State, User

ONE_DAY = timedelta(hours=24)


def test_a_link_works_for_a_day(browser: Client, bob: User, clock: Any) -> None:
    now = timezone.now()
    clock(now)
    link = activation_link(bob)
    clock(now + ONE_DAY - timedelta(seconds=2))
    assert browser.get(link, follow=True).status_code == 200
    clock(now + ONE_DAY + timedelta(seconds=2))
    assert browser.get(link, follow=True).status_code == 410


def test_an_expired_link_offers_a_new_one_in_one_click(
    browser: Client, bob: User, clock: Any
) -> None:
    link = activation_link(bob)
    clock(timezone.now() + 3 * ONE_DAY)
    before = database()
    page = browser.get(link, follow=True)
    assert "This link has expired" in page.text
    assert f'action="/users/activate/{uid(bob)}/renew/"' in page.text
    assert database() == before

    response = browser.post(f"/users/activate/{uid(bob)}/renew/", follow=True)
    assert response.redirect_chain == [("/users/activate/resend/sent/", 302)]
    assert "bob@example.com" in response.text
    [letter] = deliver_all()
    assert letter.to == ["bob@example.com"]
    clean = open_link(browser, link_in(letter))
    browser.post(clean, {"password": PASSWORD})
    assert User.objects.get().state == State.ACTIVE


def test_the_browser_that_registered_renews_and_is_back_on_its_page(
    browser: Client, clock: Any
) -> None:
    browser.post("/users/register/", registration())
    [letter] = deliver_all()
    clock(timezone.now() + ONE_DAY + timedelta(minutes=1))
    page = browser.get(link_in(letter), follow=True)
    assert page.status_code == 410
    renewed = browser.post(f"/users/activate/{uid(User.objects.get())}/renew/", follow=True)
    assert renewed.redirect_chain == [("/users/register/success/", 302)]
    assert "Sending the activation e-mail" in renewed.text


def test_the_page_then_names_the_time_of_this_asking(browser: Client, clock: Any) -> None:
    """Not that of the registration, a day ago; and the mail is no second one of its minute."""
    browser.post("/users/register/", registration())
    [letter] = deliver_all()
    renewed_at = timezone.now() + 2 * ONE_DAY
    clock(renewed_at)
    browser.get(link_in(letter), follow=True)
    browser.post(f"/users/activate/{uid(User.objects.get())}/renew/")
    deliver_all()
    clock(renewed_at + timedelta(seconds=10))
    status = browser.get("/users/register/status/").text
    with translation.override("en"):
        assert f"at {date_format(timezone.localtime(renewed_at), 'TIME_FORMAT')} to" in status


def test_another_browser_that_renews_gets_no_session(
    browser: Client, bob: User, clock: Any
) -> None:
    link = activation_link(bob)
    clock(timezone.now() + 3 * ONE_DAY)
    browser.get(link, follow=True)
    browser.post(f"/users/activate/{uid(bob)}/renew/")
    assert visitors.ASKED not in browser.session


@pytest.mark.parametrize("page", ["open", "password", "decline"])
def test_an_expired_key_opens_nothing_but_the_offer(
    browser: Client, activation_page: str, bob: User, clock: Any, page: str
) -> None:
    """The page was open before midnight, the button is pressed the day after."""
    clock(timezone.now() + ONE_DAY + timedelta(minutes=1))
    before = database()
    typed = {"password": PASSWORD, "new_password": NEW_PASSWORD}
    response = browser.post(f"/users/activate/{uid(bob)}/{page}/", typed)
    assert response.status_code == 410
    assert database() == before


def test_an_expired_and_forged_link_gets_the_plain_page_and_renews_nothing(
    browser: Client, bob: User, clock: Any
) -> None:
    stamp, _, digest = activation_link(bob).split("/")[-2].partition("-")
    clock(timezone.now() + 2 * ONE_DAY)
    before = database()
    forged = f"{stamp}-{digest[::-1]}"
    assert browser.get(f"/users/activate/{uid(bob)}/{forged}/", follow=True).status_code == 404
    assert browser.post(f"/users/activate/{uid(bob)}/renew/").status_code == 404
    assert database() == before


def test_a_link_made_younger_by_its_reader_is_forged(
    browser: Client, bob: User, clock: Any
) -> None:
    digest = activation_link(bob).split("/")[-2].partition("-")[2]
    clock(timezone.now() + 2 * ONE_DAY)
    stamp = activation_link(bob).split("/")[-2].partition("-")[0]
    link = f"/users/activate/{uid(bob)}/{stamp}-{digest}/"
    assert browser.get(link, follow=True).status_code == 404


def test_an_expired_link_whose_claim_is_gone_gets_the_plain_page(
    browser: Client, bob: User, clock: Any
) -> None:
    link = activation_link(bob)
    clock(timezone.now() + 2 * ONE_DAY)
    browser.post("/users/register/", registration(user_id="bob"))
    assert browser.get(link, follow=True).status_code == 404
