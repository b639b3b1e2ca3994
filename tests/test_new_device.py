"""New device: a person is told of a sign-in with a browser that was not used for their account."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.test import Client
from django.utils import timezone

from mail.models import Mail
from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    activation_link,
    deliver_all,
    open_link,
    registration,
    reset_link,
    sign_in,
    uid,
)
from tests.test_account import CHROME
from tests.test_account import tags as tags_of
from users import guard, letters
from users.models import Tag, User

SUBJECT = "alice, a new device signed in to your account"


@pytest.fixture
def known(browser: Client, alice: User) -> Client:
    """The browser in which Alice has signed in for the first time."""
    sign_in(browser, "alice")
    browser.post("/users/logout/")
    assert not deliver_all()
    return browser


def stranger(network: str = "203.0.113.7") -> Client:
    headers = {"user-agent": CHROME, "accept-language": "en"}
    return Client(REMOTE_ADDR=network, headers=headers)


def test_a_sign_in_with_a_new_browser_is_told_with_when_and_from_where(
    known: Client, alice: User
) -> None:
    sign_in(stranger(), "alice")
    [letter] = deliver_all()
    assert (letter.to, letter.subject) == ([alice.email], SUBJECT)
    for said in ("Chrome · Windows", "203.0.113.7", "KST", "/users/"):
        assert said in letter.body
        assert said in letter.alternatives[0][0]
    assert "Mozilla" not in letter.body
    assert tags_of(alice)[-2:] == [Tag.SIGNED_IN, Tag.NEW_BROWSER]


@pytest.mark.parametrize("language", ["ko", "zh-hant"])
def test_in_the_language_of_the_account(known: Client, alice: User, language: str) -> None:
    User.objects.update(language=language)
    sign_in(stranger(), "alice")
    [letter] = deliver_all()
    assert letter.subject != SUBJECT
    assert "203.0.113.7" in letter.body


def test_a_browser_that_is_known_is_no_news(known: Client) -> None:
    for name in ("alice", "alice@example.com"):
        sign_in(known, name)
        known.post("/users/logout/")
    assert not deliver_all()


def test_the_first_sign_in_after_registering_is_no_news(alice: User) -> None:
    sign_in(stranger(), "alice")
    assert not deliver_all()


def test_the_browser_that_has_registered_is_no_news(browser: Client, other_browser: Client) -> None:
    """The link was opened on the phone, and the password given there."""
    browser.get("/users/register/")
    browser.post("/users/register/", registration())
    page = open_link(other_browser, activation_link(User.objects.get()))
    other_browser.post(page, {"password": PASSWORD})
    deliver_all()
    sign_in(browser, "carol")
    assert not deliver_all()
    sign_in(stranger(), "carol")
    assert len(deliver_all()) == 1


def test_the_browser_of_whoever_registered_in_her_name_is_news(
    browser: Client, other_browser: Client
) -> None:
    """She took the account over by a password of her own, and they have learnt it since."""
    browser.get("/users/register/")
    browser.post("/users/register/", registration())
    open_link(other_browser, activation_link(carol := User.objects.get()))
    page = f"/users/activate/{uid(carol)}/password/"
    assert other_browser.post(page, {"new_password": NEW_PASSWORD}).status_code == 302
    deliver_all()
    sign_in(browser, "carol", NEW_PASSWORD)
    assert [letter.to for letter in deliver_all()] == [["carol@example.com"]]


def test_a_browser_in_which_another_person_signed_in_is_new(known: Client, cast: Any) -> None:
    cast("mallory")
    browser = Client()
    sign_in(browser, "mallory")
    browser.post("/users/logout/")
    sign_in(browser, "alice")
    assert [letter.to for letter in deliver_all()] == [["alice@example.com"]]


def test_a_browser_is_known_to_a_person_and_not_to_an_address(known: Client, cast: Any) -> None:
    """Which may have gone to somebody else."""
    User.objects.filter(user_id="alice").update(email="alice@new.example.com")
    mallory = cast("mallory", email="alice@example.com")
    sign_in(known, "alice@new.example.com")
    known.post("/users/logout/")
    assert not deliver_all()
    User.objects.filter(pk=mallory.pk).update(last_login=timezone.now())
    sign_in(known, "alice@example.com")
    assert [letter.subject for letter in deliver_all()] == [SUBJECT.replace("alice", "mallory")]


def test_a_browser_that_was_forgotten_is_new_again(known: Client, alice: User) -> None:
    """And that counts at once, for a request that is used again, too."""
    request = known.get("/").wsgi_request
    for is_known in (True, False):
        person = authenticate(request, username="alice", password=PASSWORD)
        assert isinstance(person, User)
        assert guard.is_known(request, person) is is_known
        guard.forget_devices(alice)


def test_whoever_has_reset_their_password_there_is_no_news(known: Client, alice: User) -> None:
    alice.refresh_from_db()
    browser = stranger()
    page = open_link(browser, reset_link(alice))
    browser.post(page, {"new_password": NEW_PASSWORD})
    deliver_all()
    sign_in(browser, "alice", NEW_PASSWORD)
    assert not deliver_all()


def test_wrong_passwords_are_no_sign_in(known: Client) -> None:
    sign_in(stranger(), "alice", "wrong-horse")
    assert not deliver_all()


def test_who_knows_the_password_cannot_fill_the_mailbox(
    known: Client, alice: User, clock: Any
) -> None:
    started, told = timezone.now(), 0
    for number in range(40):
        sign_in(stranger(f"203.0.113.{number}"), "alice")
        sign_in(stranger(f"203.0.113.{number}"), "alice")
        clock(started + timedelta(minutes=30 * (number + 1)))
        told += len(deliver_all())
    assert told == letters.NEW_DEVICES_A_DAY
    assert Mail.objects.filter(letter="new_device", state="pending").count() <= 1
    clock(started + timedelta(hours=48))
    sign_in(stranger(), "alice")
    assert len(deliver_all()) == 1, "another day is another matter"


def test_a_disabled_person_is_told_nothing(known: Client, alice: User) -> None:
    sign_in(stranger(), "alice")
    User.objects.update(is_active=False)
    assert not deliver_all()


# The letter about a password


@pytest.mark.parametrize("way", ["change", "reset"])
def test_it_says_from_where_the_password_was_changed(alice: User, way: str) -> None:
    browser = stranger()
    if way == "change":
        sign_in(browser, "alice")
        typed = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
        browser.post("/users/password/change/", typed)
    else:
        browser.post(open_link(browser, reset_link(alice)), {"new_password": NEW_PASSWORD})
    [letter] = deliver_all()
    assert letter.subject == "alice, your password was changed"
    for said in ("Chrome · Windows", "203.0.113.7", "KST"):
        assert said in letter.body
        assert said in letter.alternatives[0][0]
    tag = {"change": Tag.PASSWORD_CHANGED, "reset": Tag.PASSWORD_RESET}[way]
    assert tag in tags_of(alice)


def test_without_a_place_it_says_none(alice: User) -> None:
    from users import accounts

    accounts.choose_password(alice, NEW_PASSWORD)
    alice.events.all().delete()
    [letter] = deliver_all()
    assert "Device" not in letter.body
    assert "\n\n\n" not in letter.body
