"""Password change: by whoever is signed in and knows the current one; everybody else is out."""

import unicodedata
from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    database,
    deliver_all,
    is_signed_in,
    link_in,
    reset_link,
    sign_in,
)
from users import accounts, texts
from users.models import User

CHANGE = "/users/password/change/"


def typed(**changes: str) -> dict[str, str]:
    fields = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    return fields | changes


def test_alice_changes_her_password_and_stays_signed_in(hers: Client) -> None:
    response = hers.post(CHANGE, typed(), follow=True)
    assert response.redirect_chain == [("/", 302)]
    assert "Your password was changed." in response.text
    assert is_signed_in(hers)
    assert User.objects.get().check_password(NEW_PASSWORD)


def test_a_korean_reads_it_in_korean(hers: Client, alice: User) -> None:
    accounts.choose_language(alice, "ko")
    response = hers.post(CHANGE, typed(), follow=True)
    with translation.override("ko"):
        assert str(texts.PASSWORD_CHANGED) in response.text


def test_other_browsers_are_signed_out(hers: Client, other_browser: Client) -> None:
    sign_in(other_browser, "alice")
    hers.post(CHANGE, typed())
    assert not is_signed_in(other_browser)
    assert is_signed_in(hers)


def test_the_session_is_another_afterwards(hers: Client, other_browser: Client) -> None:
    """Whoever stole the cookie is out as well."""
    other_browser.cookies["sessionid"] = hers.cookies["sessionid"].value
    assert is_signed_in(other_browser)
    hers.post(CHANGE, typed())
    assert not is_signed_in(other_browser)


def test_the_owner_is_notified_by_mail(hers: Client) -> None:
    hers.post(CHANGE, typed())
    [letter] = deliver_all()
    assert letter.to == ["alice@example.com"]
    assert letter.subject == "alice, your password was changed"
    assert NEW_PASSWORD not in f"{letter.body}{letter.alternatives[0][0]}"


def test_a_reset_link_dies_with_the_old_password(
    hers: Client, other_browser: Client, alice: User
) -> None:
    alice.refresh_from_db()
    link = reset_link(alice)
    assert other_browser.get(link).status_code == 302
    hers.post(CHANGE, typed())
    assert other_browser.get(link).status_code == 404


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"old_password": ""}, "required"),
        ({"old_password": "wrong-horse"}, "not the password"),
        ({"old_password": PASSWORD.upper()}, "not the password"),
        ({"old_password": "x" * 257}, "at most 256 characters"),
        ({"old_password": "nul\0nul\0"}, "Null characters"),
        ({"new_password": ""}, "required"),
        ({"new_password": "short1!"}, "too short"),
        ({"new_password": "password1"}, "too common"),
        ({"new_password": "alice2026"}, "too similar"),
        ({"new_password": "csweb-2026"}, "name of this site"),
        ({"new_password": "x" * 257}, "at most 256 characters"),
        ({"new_password": "x" * 100_000}, "at most 256"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_changes(
    hers: Client, changes: dict[str, str], complaint: str
) -> None:
    before = database()
    response = hers.post(CHANGE, typed(**changes))
    assert response.status_code == 200
    assert complaint in response.text
    assert database() == before
    assert is_signed_in(hers)


def test_no_field_repeats_a_password(hers: Client) -> None:
    response = hers.post(CHANGE, typed(old_password="another-password"))
    assert not any(text in response.text for text in (PASSWORD, NEW_PASSWORD, "another-password"))


def test_a_password_of_64_characters_is_fine(hers: Client) -> None:
    long = "long-" * 13
    assert hers.post(CHANGE, typed(new_password=long)).status_code == 302


def test_the_current_password_may_be_written_in_pieces(hers: Client, alice: User) -> None:
    alice.refresh_from_db()
    accounts.choose_password(alice, unicodedata.normalize("NFC", "대한민국만세삼창"))
    sign_in(hers, "alice", "대한민국만세삼창")
    pieces = unicodedata.normalize("NFD", "대한민국만세삼창")
    assert hers.post(CHANGE, typed(old_password=pieces)).status_code == 302


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_visitor_is_asked_to_sign_in(browser: Client, alice: User, method: str) -> None:
    before = database()
    response = getattr(browser, method)(CHANGE, typed())
    assert response["Location"].startswith("/users/login/?next=/users/password/change/")
    assert database() == before


def test_nobody_changes_the_password_of_another(hers: Client, cast: Any) -> None:
    mallory_hash = cast("mallory").password
    hers.post(CHANGE, typed(user="mallory", user_id="mallory"))
    assert User.objects.get(user_id="mallory").password == mallory_hash


@pytest.mark.parametrize("change", ["disabled", "changed"])
def test_whoever_is_disabled_or_changed_in_the_same_moment_changes_nothing(
    hers: Client, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    choose_password = accounts.choose_password

    def too_late(user: User, password: str, *how: Any) -> User:
        same = User.objects.get(pk=user.pk)
        if change == "disabled":
            accounts.disable(same)
        else:
            choose_password(same, "the-other-password")
        return choose_password(user, password, *how)

    monkeypatch.setattr(accounts, "choose_password", too_late)
    assert hers.post(CHANGE, typed())["Location"] == "/users/login/"
    assert not User.objects.get().check_password(NEW_PASSWORD)
    assert not is_signed_in(hers)


def test_the_well_known_address_leads_there(browser: Client) -> None:
    assert browser.get("/.well-known/change-password")["Location"] == CHANGE


def test_whoever_forgot_the_current_one_gets_a_link(hers: Client, alice: User) -> None:
    assert 'action="/users/password/change/forgot/"' in hers.get(CHANGE).text
    response = hers.post("/users/password/change/forgot/", follow=True)
    assert response.redirect_chain == [("/users/password/reset/sent/", 302)]
    assert alice.email in response.text
    [letter] = deliver_all()
    assert "/users/password/reset/" in link_in(letter)
    refused = Client().post("/users/password/change/forgot/")
    assert refused["Location"].startswith("/users/login/")
