"""Login: by ID or address; whoever may not come in learns nothing from the answer or its time."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import MD5PasswordHasher
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
    page_text,
    registration,
    sign_in,
)
from users import accounts, texts
from users.models import Session, User

WAITING = "Your account is not activated yet"
FAILED = "The ID or address and the password do not match."

# Coming in


@pytest.mark.parametrize(
    "typed",
    [
        "alice",
        "ALICE",
        "ａｌｉｃｅ",
        " Alice ",
        "alice@example.com",
        "ALICE@EXAMPLE.COM",
        "Alice@Example.com",
        "ａｌｉｃｅ＠ｅｘａｍｐｌｅ.com",
        " alice@example.com ",
    ],
)
def test_alice_signs_in_however_she_writes_herself(
    browser: Client, alice: User, typed: str
) -> None:
    response = sign_in(browser, typed)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert browser.get("/").wsgi_request.user == alice


def test_a_long_address_is_no_obstacle(browser: Client, cast: Callable[..., User]) -> None:
    """Django cuts the field to the length of a user_id."""
    address = f"{'a' * 60}@{'b' * 60}.example.com"
    cast("alice", email=address)
    sign_in(browser, address.upper())
    assert is_signed_in(browser)
    page = Client().get("/users/login/").text
    assert 'maxlength="254"' in page


def test_the_owner_of_an_address_comes_before_the_claims_to_it(
    browser: Client, alice: User, cast: Callable[..., User]
) -> None:
    cast("mallory", "waiting", email=alice.email, password=NEW_PASSWORD)
    cast("trudy", "waiting", email=alice.email)
    sign_in(browser, alice.email)
    assert browser.get("/").wsgi_request.user == alice
    # As if nobody owned the address: the claim must not tell its maker that somebody does.
    stranger = Client(headers={"accept-language": "en"})
    assert WAITING in sign_in(stranger, alice.email, NEW_PASSWORD).text


def test_the_session_is_another_after_signing_in(browser: Client, alice: User) -> None:
    session = browser.session
    session["planted"] = True
    session.save()
    planted = session.session_key
    browser.cookies[settings.SESSION_COOKIE_NAME] = planted
    sign_in(browser, "alice")
    assert browser.cookies[settings.SESSION_COOKIE_NAME].value != planted
    assert not Session.objects.filter(pk=planted).exists()


def test_another_person_in_the_same_browser_gets_nothing_of_the_session(
    browser: Client, alice: User, cast: Callable[..., User]
) -> None:
    cast("mallory")
    sign_in(browser, "alice")
    session = browser.session
    session["secret of alice"] = True
    session.save()
    browser.post("/users/logout/")
    sign_in(browser, "mallory")
    assert "secret of alice" not in browser.session


# Staying out


def failures(cast: Callable[..., User]) -> list[tuple[str, str]]:
    """Every way not to come in, after which the page must read alike."""
    cast("alice")
    cast("bob", "waiting")
    cast("dora", "disabled")
    return [
        ("nobody", PASSWORD),
        ("nobody@example.com", PASSWORD),
        ("no such thing", PASSWORD),
        ("@", PASSWORD),
        ("알리스", PASSWORD),
        ("alice", "wrong-horse"),
        ("alice@example.com", "wrong-horse"),
        ("alice", PASSWORD.upper()),
        ("alice", f"{PASSWORD} "),
        ("bob", "wrong-horse"),
        ("bob@example.com", "wrong-horse"),
        ("dora", PASSWORD),
        ("dora@example.com", PASSWORD),
        ("dora", "wrong-horse"),
    ]


def test_every_failure_reads_alike(cast: Callable[..., User]) -> None:
    pages = {}
    for username, password in failures(cast):
        browser = Client(headers={"accept-language": "en"})
        before = database()
        response = sign_in(browser, username, password)
        assert response.status_code == 200
        assert database() == before
        assert not is_signed_in(browser)
        page = page_text(response).replace(f'value="{username}"', "")
        pages.setdefault((page, tuple(sorted(response.headers))), []).append(username)
    assert len(pages) == 1, pages.values()
    assert FAILED in next(iter(pages))[0]


def test_a_failure_is_reported_in_korean(browser: Client, alice: User) -> None:
    typed = {"username": "alice", "password": "wrong-horse"}
    response = browser.post("/users/login/", typed, headers={"accept-language": "ko"})
    with translation.override("ko"):
        assert str(texts.LOGIN_FAILED) in response.text


@pytest.fixture
def hashings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were hashed, one entry a computation."""
    seen: list[str] = []
    encode = MD5PasswordHasher.encode

    def counted(self: MD5PasswordHasher, password: str, *args: Any) -> str:
        seen.append(password)
        return encode(self, password, *args)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    return seen


def test_every_attempt_costs_one_hash(cast: Callable[..., User], hashings: list[str]) -> None:
    """And four with an address, whatever is found there."""
    successes = [("alice", PASSWORD), ("alice@example.com", PASSWORD), ("bob", PASSWORD)]
    for number in range(6):
        cast(f"crowd{number}", "waiting", email="crowd@example.com")
    crowd = [("crowd@example.com", "wrong-horse"), ("crowd@example.com", PASSWORD)]
    for username, password in [*failures(cast), *successes, *crowd]:
        hashings.clear()
        sign_in(Client(), username, password)
        assert hashings == [password] * (4 if "@" in username else 1), username


def test_an_account_without_a_password_costs_one_hash_and_lets_nobody_in(
    cast: Callable[..., User], hashings: list[str]
) -> None:
    alice = cast("alice")
    alice.set_unusable_password()
    alice.save()
    hashings.clear()
    browser = Client()
    sign_in(browser, "alice", alice.password)
    assert len(hashings) == 1
    assert not is_signed_in(browser)


@pytest.mark.parametrize(("username", "password"), [("", PASSWORD), ("alice", ""), ("", "")])
def test_an_empty_field_is_no_attempt(
    browser: Client, alice: User, hashings: list[str], username: str, password: str
) -> None:
    hashings.clear()
    assert "This field is required." in sign_in(browser, username, password).text
    assert hashings == []


@pytest.mark.parametrize("arguments", [{}, {"username": "alice"}, {"password": PASSWORD}])
def test_half_of_the_credentials_are_nobody(alice: User, arguments: dict[str, str]) -> None:
    assert authenticate(**arguments) is None


def test_a_disabled_person_is_nobody_to_every_other_caller_too(dora: User) -> None:
    """Not only to our form, which would refuse them by itself."""
    assert authenticate(username="dora", password=PASSWORD) is None


# Waiting


def test_a_waiting_person_with_the_right_password_sees_why_and_is_offered_the_message(
    browser: Client, bob: User
) -> None:
    response = sign_in(browser, "bob")
    assert response.status_code == 200
    assert WAITING in response.text
    assert 'action="/users/register/resend/"' in response.text
    assert not is_signed_in(browser)
    assert browser.get("/users/register/success/").status_code == 200

    assert browser.post("/users/register/resend/").status_code == 302
    [letter] = deliver_all()
    page = browser.get(link_in(letter), follow=True)
    assert 'type="password"' not in page.text, "the password has been given already"
    browser.post(page.wsgi_request.path)
    assert is_signed_in(browser)


def test_a_waiting_person_is_found_by_the_address_too(browser: Client, bob: User) -> None:
    assert WAITING in sign_in(browser, "BOB@example.com").text


def test_of_several_claims_to_an_address_the_password_says_which_is_meant(
    browser: Client, bob: User, cast: Callable[..., User]
) -> None:
    for number in range(6):  # a stranger's, to push Bob's out
        cast(f"robert{number}", "waiting", email=bob.email, password=NEW_PASSWORD)
    assert WAITING in sign_in(browser, bob.email).text
    assert browser.session["claim"] == str(bob.pk)


def test_a_browser_that_has_registered_is_not_crowded_out_of_its_claim(
    browser: Client, other_browser: Client, cast: Callable[..., User]
) -> None:
    for number in range(12):
        if number == 6:
            browser.post("/users/register/", registration(email="bob@example.com"))
        cast(f"robert{number}", "waiting", email="bob@example.com", password=NEW_PASSWORD)
    assert FAILED in sign_in(other_browser, "bob@example.com").text
    assert WAITING in sign_in(other_browser, "carol").text, "the ID always works"
    assert WAITING in sign_in(browser, "bob@example.com").text


def test_a_waiting_person_with_a_wrong_password_gets_no_page(browser: Client, bob: User) -> None:
    sign_in(browser, "bob", "wrong-horse")
    assert browser.get("/users/register/success/").status_code == 403
    assert browser.post("/users/register/resend/").status_code == 403


def test_a_waiting_person_whose_link_has_expired_is_offered_the_mail_and_gets_it(
    browser: Client, bob: User, clock: Any
) -> None:
    clock(bob.claim_expires_at)
    assert 'action="/users/register/resend/"' in sign_in(browser, "bob").text
    response = browser.post("/users/register/resend/", follow=True)
    assert response.redirect_chain == [("/users/register/success/", 302)]
    [letter] = deliver_all()
    assert letter.to == ["bob@example.com"]


@pytest.mark.parametrize("state", ["waiting", "disabled"])
def test_a_session_of_somebody_who_is_not_active_never_lives(
    browser: Client, cast: Callable[..., User], state: str
) -> None:
    browser.force_login(cast("bob", state))
    assert not is_signed_in(browser)
    assert browser.get("/users/password/change/")["Location"].startswith("/users/login/")


def test_the_admin_lets_no_waiting_or_disabled_staff_in(cast: Callable[..., User]) -> None:
    for user_id, state in [("bob", "waiting"), ("dora", "disabled"), ("alice", "active")]:
        person = cast(user_id, state)
        User.objects.filter(pk=person.pk).update(is_staff=True)
        browser = Client(headers={"accept-language": "en"})
        door = browser.get("/admin/", follow=True)
        assert door.redirect_chain[-1][0] == "/users/login/?next=/admin/"
        sign_in(browser, user_id)
        assert is_signed_in(browser) == (state == "active")
        assert browser.get("/admin/").status_code == (200 if state == "active" else 302)


def test_a_plain_member_learns_that_the_admin_is_for_staff(browser: Client, alice: User) -> None:
    sign_in(browser, "alice")
    page = browser.get("/admin/", follow=True)
    assert page.status_code == 403
    assert "for staff" in page.text


def test_staff_that_is_in_already_finds_the_admin_behind_an_old_bookmark(
    browser: Client, alice: User
) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    sign_in(browser, "alice")
    assert browser.get("/admin/login/")["Location"] == "/admin/"


def test_the_password_of_staff_is_changed_by_the_same_door(browser: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    sign_in(browser, "alice")
    assert browser.get("/admin/password_change/")["Location"] == "/users/password/change/"
    assert browser.post("/admin/password_change/", {"old_password": PASSWORD}).status_code == 302


# Ending


def test_a_disabled_person_is_out_at_once(browser: Client, alice: User) -> None:
    sign_in(browser, "alice")
    assert is_signed_in(browser)
    accounts.disable(alice)
    assert not is_signed_in(browser)


def test_a_session_from_before_stays_dead_when_the_person_is_let_in_again(
    browser: Client, alice: User
) -> None:
    sign_in(browser, "alice")
    accounts.disable(alice)
    alice.refresh_from_db()
    accounts.activate_by_staff(alice)
    assert not is_signed_in(browser)
    sign_in(browser, "alice")
    assert is_signed_in(browser)


def test_a_deleted_person_is_out_at_once(browser: Client, alice: User) -> None:
    sign_in(browser, "alice")
    alice.delete()
    assert not is_signed_in(browser)


# Whoever is signed in


@pytest.mark.parametrize(
    "path",
    [
        "/users/login/",
        "/users/register/",
        "/users/password/reset/",
        "/users/activate/resend/sent/",
        "/users/activate/resend/",
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_whoever_is_signed_in_goes_home_from_there(
    browser: Client, alice: User, path: str, method: str
) -> None:
    sign_in(browser, "alice")
    before = database()
    response = getattr(browser, method)(path, registration(email="alice@example.com"))
    assert response["Location"] == "/"
    assert database() == before


def test_signing_in_again_does_not_end_an_activation_link_of_somebody_else(
    browser: Client, alice: User, bob: User
) -> None:
    link = activation_link(bob)
    sign_in(browser, "alice")
    assert browser.get(link).status_code == 302


def test_the_last_sign_in_is_noted(browser: Client, alice: User) -> None:
    assert alice.last_login is None
    sign_in(browser, "alice")
    alice.refresh_from_db()
    assert alice.last_login <= timezone.now()
