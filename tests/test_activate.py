"""Activate: a link is opened, and nothing happens; its button activates the account."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation

from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    activation_link,
    database,
    deliver_all,
    is_signed_in,
    link_in,
    open_link,
    registration,
    sign_in,
    uid,
)
from users import accounts, texts
from users.models import Session, State, User

ONE_DAY = timedelta(hours=24)
PAGES = ("open", "password", "decline", "renew")

# The browser that registered


def test_the_browser_that_registered_needs_one_button(browser: Client) -> None:
    browser.post("/users/register/", registration())
    clean = open_link(browser, link_in(deliver_all()[0]))
    page = browser.get(clean)
    assert 'type="password"' not in page.text
    assert browser.post(clean, follow=True).redirect_chain == [("/", 302)]
    assert is_signed_in(browser)
    assert User.objects.get().state == State.ACTIVE


def test_the_cookie_of_an_expired_claim_is_not_worth_a_password(
    browser: Client, clock: Any
) -> None:
    browser.post("/users/register/", registration())
    carol = User.objects.get()
    clock(carol.claim_expires_at)
    clean = open_link(browser, activation_link(carol))
    assert 'type="password"' in browser.get(clean).text


def test_the_welcome_is_in_korean_for_a_korean(browser: Client, bob: User) -> None:
    accounts.choose_language(bob, "ko")
    clean = open_link(browser, activation_link(bob))
    response = browser.post(clean, {"password": PASSWORD}, follow=True)
    with translation.override("ko"):
        assert str(texts.ACTIVATED) in response.text


# Any other browser


def test_another_browser_is_asked_for_the_password(browser: Client, activation_page: str) -> None:
    assert 'type="password"' in browser.get(activation_page).text
    response = browser.post(activation_page, {"password": PASSWORD}, follow=True)
    assert response.redirect_chain == [("/", 302)]
    assert response.wsgi_request.user.user_id == "bob"


@pytest.mark.parametrize(
    "password", ["", "wrong-horse", PASSWORD.upper(), f" {PASSWORD}", "x" * 257]
)
def test_a_wrong_password_activates_nothing(
    browser: Client, activation_page: str, password: str
) -> None:
    before = database()
    response = browser.post(activation_page, {"password": password})
    assert response.status_code == 200
    assert 'aria-invalid="true"' in response.text
    assert password not in response.text or not password
    assert database() == before
    assert not is_signed_in(browser)


def test_a_button_without_the_password_field_activates_nothing(
    browser: Client, activation_page: str
) -> None:
    before = database()
    assert browser.post(activation_page).status_code == 200
    assert database() == before


def test_the_claim_of_another_registration_is_not_this_one(browser: Client, bob: User) -> None:
    browser.post("/users/register/", registration())
    clean = open_link(browser, activation_link(bob))
    browser.post(clean)
    bob.refresh_from_db()
    assert bob.is_waiting


def test_a_new_password_shuts_out_whoever_chose_the_old(
    browser: Client, other_browser: Client, bob: User
) -> None:
    open_link(browser, activation_link(bob))
    assert "you can set a new one" in browser.get(f"/users/activate/{uid(bob)}/open/").text
    typed = {"new_password": NEW_PASSWORD}
    response = browser.post(f"/users/activate/{uid(bob)}/password/", typed, follow=True)
    assert response.redirect_chain == [("/", 302)]
    assert is_signed_in(browser)
    sign_in(other_browser, "bob", PASSWORD)
    assert not is_signed_in(other_browser)
    sign_in(other_browser, "bob", NEW_PASSWORD)
    assert is_signed_in(other_browser)


@pytest.mark.parametrize("password", ["", "short1!", "password1", "bob@example.com", "x" * 257])
def test_a_bad_new_password_activates_nothing(
    browser: Client, activation_page: str, bob: User, password: str
) -> None:
    before = database()
    typed = {"new_password": password}
    response = browser.post(f"/users/activate/{uid(bob)}/password/", typed)
    assert response.status_code == 200
    assert 'aria-invalid="true"' in response.text
    assert database() == before


# A link never acts on GET


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_opening_every_page_of_a_link_changes_nothing(
    browser: Client, bob: User, method: str
) -> None:
    link, before = activation_link(bob), database()
    for path in [link, *(f"/users/activate/{uid(bob)}/{page}/" for page in PAGES), link]:
        getattr(browser, method)(path)
    assert database() == before


def test_a_scanner_that_follows_every_address_spends_nothing(
    browser: Client, other_browser: Client, bob: User
) -> None:
    link = activation_link(bob)
    page = other_browser.get(link, follow=True)
    for path in set(page.text.split('"')):
        if path.startswith("/users/"):
            other_browser.get(path)
    assert bob.claim_expires_at == User.objects.get().claim_expires_at
    clean = open_link(browser, link)
    assert browser.post(clean, {"password": PASSWORD}).status_code == 302


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "trace"])
def test_the_address_in_the_mail_takes_no_other_method(
    browser: Client, bob: User, method: str
) -> None:
    link, before = activation_link(bob), database()
    response = getattr(browser, method)(link)
    assert response.status_code in (302, 405)
    assert database() == before


def test_the_token_leaves_the_address_and_the_page(browser: Client, bob: User) -> None:
    link = activation_link(bob)
    token = link.split("/")[-2]
    response = browser.get(link, follow=True)
    assert response.redirect_chain == [(f"/users/activate/{uid(bob)}/open/", 302)]
    assert token not in response.text
    assert token not in str(response.headers)
    assert token not in browser.get(f"/users/activate/{uid(bob)}/password/").text


def test_opening_a_link_leaves_no_row_however_often(browser: Client, bob: User) -> None:
    """2,746 times made 2,746 sessions, each with the token."""
    for _ in range(3):
        link = activation_link(bob)
        Client().get(link, follow=True)
        browser.get(link, follow=True)
    assert not Session.objects.exists()


def test_the_token_is_in_a_cookie_for_the_pages_of_this_link_alone(
    browser: Client, bob: User
) -> None:
    browser.get(activation_link(bob))
    [cookie] = browser.cookies.values()
    assert cookie["path"] == f"/users/activate/{uid(bob)}/"
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert not cookie["max-age"], "it ends with the browser"


def test_the_cookie_of_one_link_opens_no_other(
    browser: Client, bob: User, cast: Callable[..., User]
) -> None:
    """A browser would not even send it."""
    mallory = cast("mallory", "waiting")
    browser.get(activation_link(mallory))
    assert browser.get(f"/users/activate/{uid(bob)}/open/").status_code == 404
    genuine = browser.cookies["link_token"].value
    browser.get(activation_link(bob))
    assert browser.get(f"/users/activate/{uid(bob)}/open/").status_code == 200
    token = activation_link(bob).split("/")[-2]
    for forged in (token, f"{token}:", f"{token}:1:x", f"{genuine}x", genuine, "\0", "é:é:é", ""):
        browser.cookies["link_token"] = forged
        assert browser.get(f"/users/activate/{uid(bob)}/open/").status_code == 404


def test_the_cookie_ends_with_the_link(browser: Client, activation_page: str) -> None:
    browser.post(activation_page, {"password": PASSWORD})
    assert browser.cookies["link_token"].value == ""


def test_the_cookie_ends_by_itself(browser: Client, activation_page: str, clock: Any) -> None:
    clock(timezone.now() + 2 * ONE_DAY + timedelta(seconds=1))
    assert browser.get(activation_page).status_code == 404


def test_the_clean_address_is_worth_nothing_elsewhere(
    other_browser: Client, activation_page: str, bob: User
) -> None:
    for page in PAGES:
        before = database()
        path = f"/users/activate/{uid(bob)}/{page}/"
        assert other_browser.get(path).status_code == 404
        assert other_browser.post(path, {"password": PASSWORD}).status_code == 404
        assert database() == before


def assert_keyed(response: Any) -> None:
    assert "no-store" in response["Cache-Control"]
    # Neither tells another site the path. See `LinkPage` for why it is not "no-referrer".
    assert response["Referrer-Policy"] in ("strict-origin", "same-origin")
    assert response["X-Robots-Tag"] == "noindex"


def test_every_keyed_page_is_never_stored_and_tells_no_other_site_its_address(
    browser: Client, other_browser: Client, bob: User, clock: Any
) -> None:
    link, path = activation_link(bob), f"/users/activate/{uid(bob)}"
    for response in [
        browser.get(link),
        browser.head(link),
        browser.get(f"{path}/open/"),
        browser.get(f"{path}/password/"),
        browser.post(f"{path}/open/", {"password": "wrong"}),
        browser.post(f"{path}/password/"),
        other_browser.get(f"{path}/open/"),
        other_browser.get(f"{path}/forged-token/"),
    ]:
        assert_keyed(response)
    clock(timezone.now() + ONE_DAY + timedelta(minutes=1))
    expired = browser.get(link, follow=True)
    assert expired.status_code == 410
    assert_keyed(expired)
    assert_keyed(browser.post(f"{path}/renew/"))


# Used already


def test_a_spent_link_says_that_it_has_done_its_work(
    browser: Client, other_browser: Client, bob: User
) -> None:
    link = activation_link(bob)
    browser.post(open_link(browser, link), {"password": PASSWORD})
    before = database()
    response = other_browser.get(link, follow=True)
    assert response.status_code == 404
    assert "This link has done its work" in response.text
    assert "Mail verification failed." not in response.text
    assert 'href="/users/login/"' in response.text
    assert database() == before


def test_a_second_click_by_whoever_is_signed_in_goes_home(browser: Client, bob: User) -> None:
    link = activation_link(bob)
    clean = open_link(browser, link)
    browser.post(clean, {"password": PASSWORD})
    before = database()
    assert browser.get(link)["Location"] == "/"
    assert browser.post(clean, {"password": PASSWORD})["Location"] == "/"
    assert database() == before


def test_of_two_browsers_that_press_the_button_the_second_gets_the_plain_page(
    browser: Client, other_browser: Client, bob: User
) -> None:
    link = activation_link(bob)
    first, second = open_link(browser, link), open_link(other_browser, link)
    assert browser.post(first, {"password": PASSWORD}).status_code == 302
    before = database()
    assert other_browser.post(second, {"password": PASSWORD}).status_code == 404
    assert not is_signed_in(other_browser)
    assert database() == before


def test_of_two_who_press_it_in_the_same_moment_one_wins(
    browser: Client, activation_page: str, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is through after our link was checked."""
    activate = accounts.activate

    def too_late(claim: User, *args: Any) -> User:
        activate(User.objects.get(pk=claim.pk))
        return activate(claim, *args)

    monkeypatch.setattr(accounts, "activate", too_late)
    response = browser.post(activation_page, {"password": PASSWORD})
    assert response.status_code == 404
    assert not is_signed_in(browser)


def test_an_address_corrected_in_the_same_moment_is_not_proven(
    browser: Client, activation_page: str, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CVE-2026-32700: the link proved the old address, the account would get the new."""
    activate = accounts.activate

    def after_a_correction(claim: User, *args: Any) -> User:
        accounts.correct_address(User.objects.get(pk=claim.pk), "victim@example.com")
        return activate(claim, *args)

    monkeypatch.setattr(accounts, "activate", after_a_correction)
    assert browser.post(activation_page, {"password": PASSWORD}).status_code == 404
    assert User.objects.get().is_waiting


def test_a_link_dies_when_the_address_is_corrected(
    browser: Client, activation_page: str, bob: User
) -> None:
    link = activation_link(bob)
    accounts.correct_address(bob, "robert@example.com")
    assert browser.get(link).status_code == 404
    assert browser.post(activation_page, {"password": PASSWORD}).status_code == 404
    assert User.objects.get().is_waiting


def test_a_link_survives_a_correction_to_the_same_address(browser: Client, bob: User) -> None:
    link = activation_link(bob)
    accounts.correct_address(bob, "bob@example.com")
    assert browser.get(link).status_code == 302


# The address


def test_activation_closes_the_address_to_every_other_claim(
    browser: Client, bob: User, cast: Callable[..., User]
) -> None:
    rivals = [cast(name, "waiting", email=email) for name, email in RIVALS]
    bystander = cast("bystander", "waiting")
    links = [activation_link(rival) for rival in rivals]
    browser.post(open_link(browser, activation_link(bob)), {"password": PASSWORD})
    assert set(User.objects.waiting()) == {*rivals, bystander}
    assert [Client().get(link).status_code for link in links] == [404, 404]
    for rival in rivals:
        with pytest.raises(accounts.LinkSpent):
            accounts.activate(rival)


RIVALS = [("mallory", "bob@example.com"), ("malory", "BOB@EXAMPLE.COM")]


def test_of_two_claims_to_one_address_the_first_proven_gets_it(
    browser: Client, bob: User, cast: Callable[..., User]
) -> None:
    clean = open_link(browser, activation_link(bob))
    rival = cast("robert", "waiting", email="Bob@example.com")
    User.objects.waiting().filter(pk=rival.pk).update(is_active=True, activated_at=timezone.now())
    before = database()
    assert browser.post(clean, {"password": PASSWORD}).status_code == 404
    assert database() == before
    assert not is_signed_in(browser)


def test_a_new_password_for_an_address_that_was_just_taken_activates_nothing(
    browser: Client, bob: User, cast: Callable[..., User]
) -> None:
    open_link(browser, activation_link(bob))
    rival = cast("robert", "waiting", email="Bob@example.com")
    User.objects.waiting().filter(pk=rival.pk).update(is_active=True, activated_at=timezone.now())
    before = database()
    typed = {"new_password": NEW_PASSWORD}
    assert browser.post(f"/users/activate/{uid(bob)}/password/", typed).status_code == 404
    assert database() == before


# Somebody else


def test_a_link_opened_while_somebody_else_is_signed_in_signs_them_out(
    browser: Client, other_browser: Client, alice: User, bob: User
) -> None:
    sign_in(browser, "alice")
    other_browser.cookies["sessionid"] = browser.cookies["sessionid"].value
    clean = open_link(browser, activation_link(bob))
    assert 'type="password"' in browser.get(clean).text
    response = browser.post(clean, {"password": PASSWORD}, follow=True)
    assert response.wsgi_request.user == bob
    assert not is_signed_in(other_browser), "the session was alice's; it ended"


def test_opening_a_link_leaves_whoever_is_signed_in_alone(
    browser: Client, alice: User, bob: User
) -> None:
    sign_in(browser, "alice")
    assert browser.get(activation_link(bob), follow=True).wsgi_request.user == alice
    browser.post(f"/users/activate/{uid(bob)}/open/", {"password": "wrong"})
    assert is_signed_in(browser)


def test_the_session_is_another_after_activation(browser: Client, activation_page: str) -> None:
    browser.post("/users/register/", registration())
    before = browser.cookies["sessionid"].value
    browser.post(activation_page, {"password": PASSWORD})
    assert browser.cookies["sessionid"].value != before


def test_the_link_of_another_claim_does_not_activate_this_one(
    browser: Client, bob: User, cast: Callable[..., User]
) -> None:
    mallory = cast("mallory", "waiting")
    token = activation_link(mallory).split("/")[-2]
    before = database()
    assert browser.get(f"/users/activate/{uid(bob)}/{token}/").status_code == 404
    open_link(browser, activation_link(mallory))
    swapped = browser.post(f"/users/activate/{uid(bob)}/open/", {"password": PASSWORD})
    assert swapped.status_code == 404
    assert database() == before
