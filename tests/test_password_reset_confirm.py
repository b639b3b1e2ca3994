"""The link for a new password: once, for half an hour, for one person and one purpose."""

import unicodedata
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext

from mail.models import Mail
from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    activation_link,
    database,
    deliver_all,
    is_signed_in,
    link_in,
    open_link,
    reset_link,
    sign_in,
    uid,
)
from users import accounts
from users.models import User

HALF_AN_HOUR = timedelta(minutes=30)
CHOSEN = {"new_password": NEW_PASSWORD}

# The link


def test_opening_it_changes_nothing(browser: Client, alice: User) -> None:
    link, before = reset_link(alice), database()
    for method in ("get", "head", "options"):
        getattr(browser, method)(link)
        getattr(browser, method)(f"/users/password/reset/{uid(alice)}/open/")
        getattr(browser, method)(f"/users/password/reset/{uid(alice)}/renew/")
    assert database() == before


def test_its_token_leaves_the_address_and_the_page(browser: Client, alice: User) -> None:
    link = reset_link(alice)
    page = browser.get(link, follow=True)
    assert link.split("/")[-2] not in page.text + str(page.headers)
    assert "no-store" in page["Cache-Control"]
    # Neither tells another site the path. See `LinkPage` for why it is not "no-referrer".
    assert page["Referrer-Policy"] in ("strict-origin", "same-origin")


def test_the_page_is_open_only_to_the_browser_with_the_link(
    other_browser: Client, reset_page: str
) -> None:
    before = database()
    assert other_browser.get(reset_page).status_code == 404
    assert other_browser.post(reset_page, CHOSEN).status_code == 404
    assert database() == before


def test_it_works_once(browser: Client, other_browser: Client, alice: User) -> None:
    link = reset_link(alice)
    clean, second = open_link(browser, link), open_link(other_browser, link)
    browser.post(clean, CHOSEN)
    before = database()
    assert browser.post(clean, CHOSEN).status_code == 404
    assert other_browser.post(second, CHOSEN).status_code == 404
    assert Client().get(link).status_code == 404
    assert database() == before


def test_of_two_uses_in_the_same_moment_one_wins(
    browser: Client, reset_page: str, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is through after our link was checked."""
    choose_password = accounts.choose_password

    def too_late(user: User, password: str, *where: Any, **how: Any) -> User:
        choose_password(User.objects.get(pk=user.pk), "the-other-password")
        return choose_password(user, password, *where, **how)

    monkeypatch.setattr(accounts, "choose_password", too_late)
    assert browser.post(reset_page, CHOSEN).status_code == 404
    assert User.objects.get().check_password("the-other-password")


def use(person: User) -> None:
    browser = Client()
    sign_in(browser, person.user_id)
    assert is_signed_in(browser)


def disable_and_enable(person: User) -> None:
    accounts.disable(person)
    accounts.activate_by_staff(User.objects.get(pk=person.pk))


@pytest.mark.parametrize(
    "event",
    [
        lambda person: accounts.choose_password(person, NEW_PASSWORD),
        lambda person: accounts.choose_password(person, PASSWORD),
        accounts.disable,
        disable_and_enable,
    ],
    ids=["change", "reset to the same", "disable", "disable and enable"],
)
def test_it_dies_with_the_state_that_it_was_made_for(
    browser: Client, other_browser: Client, alice: User, event: Callable[[User], Any]
) -> None:
    link = reset_link(alice)
    clean = open_link(browser, link)
    event(alice)
    before = database()
    assert other_browser.get(link).status_code == 404, "not opened yet"
    assert browser.get(clean).status_code == 404, "opened already"
    assert browser.post(clean, CHOSEN).status_code == 404
    assert database() == before


def test_whoever_knows_the_old_password_cannot_end_it_by_signing_in(
    browser: Client, other_browser: Client, alice: User
) -> None:
    link = reset_link(alice)
    clean = open_link(browser, link)
    sign_in(other_browser, "alice")
    assert is_signed_in(other_browser)
    assert browser.post(clean, CHOSEN).status_code == 302
    assert not is_signed_in(other_browser)


def test_it_works_for_half_an_hour(browser: Client, alice: User, clock: Any) -> None:
    now = timezone.now()
    clock(now)
    link = reset_link(alice)
    clock(now + HALF_AN_HOUR - timedelta(seconds=2))
    assert browser.get(link, follow=True).status_code == 200
    clock(now + HALF_AN_HOUR + timedelta(seconds=2))
    assert browser.get(link, follow=True).status_code == 410


def test_an_expired_link_offers_a_new_one_in_one_click(
    browser: Client, reset_page: str, alice: User, clock: Any
) -> None:
    clock(timezone.now() + HALF_AN_HOUR + timedelta(minutes=1))
    before = database()
    page = browser.post(reset_page, CHOSEN)
    assert page.status_code == 410
    assert f'action="/users/password/reset/{uid(alice)}/renew/"' in page.text
    assert database() == before

    renewed = browser.post(f"/users/password/reset/{uid(alice)}/renew/")
    assert renewed["Location"] == "/users/password/reset/sent/"
    [letter] = deliver_all()
    assert letter.to == ["alice@example.com"]
    saved = browser.post(open_link(browser, link_in(letter)), CHOSEN)
    assert saved["Location"] == "/users/password/reset/done/"


def test_an_expired_and_spent_link_offers_nothing(
    browser: Client, reset_page: str, alice: User, clock: Any
) -> None:
    accounts.choose_password(alice, NEW_PASSWORD)
    clock(timezone.now() + HALF_AN_HOUR + timedelta(minutes=1))
    before = database()
    assert browser.get(reset_page).status_code == 404
    assert browser.post(f"/users/password/reset/{uid(alice)}/renew/").status_code == 404
    assert database() == before


def test_a_stranger_renews_nothing(browser: Client, alice: User) -> None:
    assert browser.post(f"/users/password/reset/{uid(alice)}/renew/").status_code == 404
    assert not Mail.objects.exists()


# Attacks


@pytest.mark.parametrize("state", ["waiting", "active", "disabled"])
def test_a_link_is_good_for_one_purpose(
    browser: Client, cast: Callable[..., User], state: str
) -> None:
    person = cast("alice", state)
    for made_for, used_for in [
        (activation_link(person), "/users/password/reset/"),
        (reset_link(person), "/users/activate/"),
    ]:
        token = made_for.split("/")[-2]
        before = database()
        assert browser.get(f"{used_for}{uid(person)}/{token}/").status_code == 404
        assert browser.post(f"{used_for}{uid(person)}/open/", CHOSEN).status_code == 404
        assert database() == before


def test_an_opened_activation_link_opens_no_reset_page(
    browser: Client, cast: Callable[..., User]
) -> None:
    """The key in the session is kept by purpose, too."""
    person = cast("bob", "waiting")
    open_link(browser, activation_link(person))
    accounts.activate(person)
    assert browser.get(f"/users/password/reset/{uid(person)}/open/").status_code == 404


def test_the_link_of_another_person_resets_nobody(
    browser: Client, alice: User, cast: Callable[..., User]
) -> None:
    mallory = cast("mallory")
    token = reset_link(mallory).split("/")[-2]
    before = database()
    assert browser.get(f"/users/password/reset/{uid(alice)}/{token}/").status_code == 404
    open_link(browser, reset_link(mallory))
    swapped = f"/users/password/reset/{uid(alice)}/open/"
    assert browser.get(swapped).status_code == 404
    assert browser.post(swapped, CHOSEN).status_code == 404
    assert database() == before


@pytest.mark.parametrize("token", ["alice", "open", "YWxpY2U", "set-password", "alice@example.com"])
def test_a_name_in_the_place_of_a_token_resets_nobody(
    browser: Client, alice: User, token: str
) -> None:
    """The first version of a well-known tutorial: whoever wrote a name in the link was believed."""
    named = [uid(alice), "alice", urlsafe_base64_encode(force_bytes("alice")), str(alice.pk)]
    before = database()
    for name in named:
        path = f"/users/password/reset/{name}/{token}/"
        assert browser.get(path, follow=True).status_code == 404
        assert browser.post(path, CHOSEN, follow=True).status_code == 404
    assert database() == before


def test_the_link_never_names_the_host_of_the_request(browser: Client, alice: User) -> None:
    forged = {"host": "127.0.0.1", "x-forwarded-host": "evil.example"}
    browser.post("/users/password/reset/", {"email": alice.email}, headers=forged)
    [letter] = deliver_all()
    for part in (str(letter.body), str(letter.alternatives[0][0])):
        assert "evil.example" not in part
        assert "http://127.0.0.1:8000/users/password/reset/" in part


# The new password


@pytest.mark.parametrize(
    ("password", "complaint"),
    [
        ("short1!", "too short"),
        ("password1", "too common"),
        ("alice2026", "too similar to the ID"),
        ("alice@example.com", "too similar"),
        ("cs_web2026", "too close to the name of this site"),
        ("Computer Science 1", "too close to the name of this site"),
        ("x" * 257, "at most 256 characters"),
        ("eight\0chars", "Null characters are not allowed"),
    ],
)
def test_a_weak_password_is_refused(
    browser: Client, reset_page: str, password: str, complaint: str
) -> None:
    before = database()
    typed = {"new_password": password}
    response = browser.post(reset_page, typed)
    assert response.status_code == 200
    assert complaint in response.text
    assert database() == before


@pytest.mark.parametrize(
    "password",
    [
        "z" * 64,
        "xy" * 128,
        "한국어로 된 긴 암호 문장",
        "🐴🔋📎🐴🔋📎🐴🔋",
        "  spaces around  ",
        "ﬁne-ligature-ﬀ",
    ],
)
def test_a_long_or_unusual_password_is_taken_as_typed(
    browser: Client, reset_page: str, alice: User, password: str
) -> None:
    typed = {"new_password": password}
    assert browser.post(reset_page, typed).status_code == 302
    sign_in(browser, "alice", password.strip() + "x")
    assert not is_signed_in(browser)
    sign_in(browser, "alice", password)
    assert is_signed_in(browser)


def test_the_last_character_of_a_long_password_counts(
    browser: Client, reset_page: str, alice: User
) -> None:
    password = "ab" * 128
    browser.post(reset_page, {"new_password": password})
    sign_in(browser, "alice", password[:-1] + "c")
    assert not is_signed_in(browser)


def test_two_ways_to_write_the_same_character_are_one(
    browser: Client, reset_page: str, alice: User
) -> None:
    """A Mac sends 한 in pieces, Windows whole."""
    pieces, whole = (unicode_form("대한민국만세삼창", form) for form in ("NFD", "NFC"))
    assert pieces != whole
    browser.post(reset_page, {"new_password": pieces})
    for typed in (whole, pieces):
        visitor = Client()
        sign_in(visitor, "alice", typed)
        assert is_signed_in(visitor)


def test_a_password_is_as_long_as_it_looks(browser: Client, reset_page: str) -> None:
    """Four syllables in pieces are twelve characters, and still only four to guess."""
    pieces = unicode_form("강산꽃별", "NFD")
    assert len(pieces) >= 8
    before = database()
    response = browser.post(reset_page, {"new_password": pieces})
    assert "too short" in response.text
    assert database() == before


def unicode_form(text: str, form: Any) -> str:
    return unicodedata.normalize(form, text)


# Afterwards


def test_every_session_ends_and_the_owner_is_notified(
    browser: Client, other_browser: Client, alice: User
) -> None:
    sign_in(other_browser, "alice")
    alice.refresh_from_db()
    browser.post(open_link(browser, reset_link(alice)), CHOSEN)
    assert not is_signed_in(other_browser)
    [letter] = deliver_all()
    assert (letter.to, letter.subject) == (
        ["alice@example.com"],
        "alice, your password was changed",
    )
    assert "http://127.0.0.1:8000/users/take-back/" in letter.body


def test_the_old_password_is_dead(browser: Client, reset_page: str, alice: User) -> None:
    browser.post(reset_page, CHOSEN)
    sign_in(browser, "alice", PASSWORD)
    assert not is_signed_in(browser)


def test_staff_can_start_it_and_only_the_mailbox_ends_it(browser: Client, alice: User) -> None:
    accounts.send_reset(alice)
    [letter] = deliver_all()
    assert letter.to == ["alice@example.com"]
    assert browser.get(link_in(letter), follow=True).status_code == 200


def test_the_answer_is_in_korean_for_a_korean(browser: Client) -> None:
    typed, korean = {"email": "nobody@example.com"}, {"accept-language": "ko"}
    page = browser.post("/users/password/reset/", typed, headers=korean, follow=True)
    with translation.override("ko"):
        said = gettext(
            "If this address has an account, we send it a link to choose a new password."
        )
    assert said in page.text
