"""Three states against every link and every form; and the database, which keeps them by itself."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from mail.models import Suppression
from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    activation_link,
    database,
    deliver_all,
    is_signed_in,
    registration,
    reset_link,
    sign_in,
)
from users import accounts
from users.models import Level, State, User

STATES = ("waiting", "active", "disabled")
NOTHING: list[str] = []

# Every kind of link, made for the person as they are: the strongest that a thief could have.


@pytest.mark.parametrize(
    ("state", "link", "status"),
    [
        ("waiting", activation_link, 200),
        ("waiting", reset_link, 404),
        ("active", activation_link, 404),
        ("active", reset_link, 200),
        ("disabled", activation_link, 404),
        ("disabled", reset_link, 404),
    ],
)
def test_a_link_opens_for_the_state_that_it_is_for(
    browser: Client, cast: Callable[..., User], state: str, link: Any, status: int
) -> None:
    person = cast("eve", state)
    before = database()
    assert browser.get(link(person), follow=True).status_code == status
    assert database() == before


@pytest.mark.parametrize("link", [activation_link, reset_link])
def test_no_link_from_before_brings_a_disabled_account_back(
    browser: Client, cast: Callable[..., User], link: Any
) -> None:
    """django-registration 5.2.1 let it in; `is_active` in the hash even makes a token fit again."""
    person = cast("dora", "waiting")
    links = [link(person)]
    person = accounts.activate(person)
    links.append(link(person))
    accounts.disable(person)
    person.refresh_from_db()
    links.append(link(person))
    before = database()
    typed = {"password": PASSWORD, "new_password": NEW_PASSWORD}
    for path in links:
        visitor = Client()
        assert visitor.get(path, follow=True).status_code == 404
        assert visitor.post(path, typed, follow=True).status_code == 404
    assert database() == before


@pytest.mark.parametrize("link", [activation_link, reset_link])
def test_a_link_from_before_stays_dead_when_staff_lets_the_person_in_again(
    browser: Client, dora: User, link: Any
) -> None:
    path = link(dora)
    accounts.activate_by_staff(dora)
    dora.refresh_from_db()
    assert dora.state == State.ACTIVE
    if link is activation_link:
        assert browser.get(path).status_code == 404
        return
    accounts.disable(dora)
    accounts.activate_by_staff(User.objects.get())
    assert browser.get(path).status_code == 404


# Every form


@pytest.mark.parametrize(
    ("state", "signed_in", "words"),
    [
        ("waiting", False, "Your account is not activated yet"),
        ("active", True, "Hello, Eve"),
        ("disabled", False, "do not match"),
    ],
)
def test_login(
    browser: Client, cast: Callable[..., User], state: str, signed_in: bool, words: str
) -> None:
    cast("eve", state)
    typed = {"username": "eve", "password": PASSWORD}
    assert words in browser.post("/users/login/", typed, follow=True).text
    assert is_signed_in(browser) == signed_in


CONFIRM, TAKEN = "activate your account", "you already have an account"


@pytest.mark.parametrize(
    ("form", "state", "subjects"),
    [
        ("/users/password/reset/", "waiting", [f"eve, {CONFIRM}"]),
        ("/users/password/reset/", "active", ["eve, reset your password"]),
        ("/users/password/reset/", "disabled", NOTHING),
        ("/users/password/reset/", "unknown", NOTHING),
        ("/users/activate/resend/", "waiting", [f"eve, {CONFIRM}"]),
        ("/users/activate/resend/", "active", [f"eve, {TAKEN}"]),
        ("/users/activate/resend/", "disabled", [f"eve, {TAKEN}"]),
        ("/users/activate/resend/", "unknown", NOTHING),
        ("/users/register/", "waiting", [f"carol, {CONFIRM}"]),
        ("/users/register/", "active", [f"eve, {TAKEN}"]),
        ("/users/register/", "disabled", [f"eve, {TAKEN}"]),
        ("/users/register/", "unknown", [f"carol, {CONFIRM}"]),
    ],
)
def test_the_letter_that_a_form_leads_to(
    browser: Client, cast: Callable[..., User], form: str, state: str, subjects: list[str]
) -> None:
    eve = cast("eve", state) if state != "unknown" else None
    assert browser.post(form, registration(email="eve@example.com")).status_code == 302
    letters = deliver_all()
    assert [letter.subject for letter in letters] == subjects
    assert all(letter.to == ["eve@example.com"] for letter in letters)
    if state == "disabled":
        assert not any("/users/" in f"{letter.body}{letter.alternatives}" for letter in letters)
    if eve:
        eve.refresh_from_db()
        assert eve.state == state


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        ("waiting", ["address"]),
        ("waiting", ["resend"]),
        ("waiting", ["cancel"]),
        ("active", ["address", "resend", "cancel"]),
        ("disabled", ["address", "resend", "cancel"]),
    ],
)
def test_the_page_of_a_registration_acts_only_while_it_waits(
    browser: Client, cast: Callable[..., User], state: str, actions: list[str]
) -> None:
    """The browser has the claim in its session; meanwhile the account has moved on."""
    eve = cast("eve", "waiting")
    sign_in(browser, "eve")
    if state != "waiting":
        accounts.activate(eve)
    if state == "disabled":
        accounts.disable(eve)
    before = database()
    for action in actions:
        response = browser.post(f"/users/register/{action}/", {"email": "new@example.com"})
        assert response.status_code == 302, action  # to the page that says what has become of it
    assert (database() == before) == (state != "waiting")


@pytest.mark.parametrize("state", STATES)
def test_password_change(browser: Client, cast: Callable[..., User], state: str) -> None:
    eve = cast("eve", state)
    browser.force_login(eve)
    before = database()
    typed = {"old_password": PASSWORD}
    typed |= {"new_password": NEW_PASSWORD}
    response = browser.post("/users/password/change/", typed)
    assert response["Location"].startswith("/users/login/") == (state != "active")
    assert (database() == before) == (state != "active")


# The door, used on the wrong state


def changes(verb: Callable[[User], Any], person: User) -> bool:
    """Whether a verb of `accounts` did something."""
    before = database()
    try:
        verb(person)
    except accounts.LinkSpent:
        assert database() == before, "all or nothing"
    return database() != before


def correct(person: User) -> None:
    accounts.correct_address(person, "new@example.com")


def choose(person: User) -> None:
    accounts.activate(person, NEW_PASSWORD)


def move(person: User) -> None:
    accounts.request_address(person, "new@example.com")


def reset(person: User) -> None:
    accounts.choose_password(person, NEW_PASSWORD)


def change(person: User) -> None:
    accounts.choose_password(person, NEW_PASSWORD)


@pytest.mark.parametrize(
    ("verb", "works_for"),
    [
        (accounts.activate, {"waiting"}),
        (choose, {"waiting"}),
        (accounts.resend_activation, {"waiting"}),
        (correct, {"waiting"}),
        (accounts.cancel, {"waiting"}),
        (reset, {"active"}),
        (change, {"active"}),
        (move, {"active"}),
        (accounts.take_back, {"active"}),
        (accounts.request_deletion, {"active"}),
        (accounts.confirm_address, set()),
        (accounts.keep, set()),
        (accounts.activate_by_staff, {"waiting", "disabled"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("state", STATES)
def test_a_verb_works_for_its_states_and_touches_no_other(
    cast: Callable[..., User], verb: Any, works_for: set[str], state: str
) -> None:
    assert changes(verb, cast("eve", state)) == (state in works_for)


@pytest.mark.parametrize(
    "verb",
    [
        accounts.activate,
        choose,
        correct,
        reset,
        change,
        move,
        accounts.take_back,
        accounts.request_deletion,
    ],
)
def test_the_state_is_read_from_the_database_and_not_from_the_callers_copy(
    cast: Callable[..., User], verb: Any
) -> None:
    stale = cast("eve", "waiting" if verb in (accounts.activate, choose, correct) else "active")
    fresh = User.objects.get(pk=stale.pk)
    if fresh.is_waiting:
        fresh = accounts.activate(fresh)
    accounts.disable(fresh)
    assert not changes(verb, stale)


def test_disabling_a_waiting_account_cancels_it(bob: User) -> None:
    assert accounts.disable(bob) == State.WAITING
    assert not User.objects.exists()


def test_disabling_an_active_account_keeps_all_but_its_use(alice: User) -> None:
    assert accounts.disable(alice) == State.ACTIVE
    found = User.objects.get()
    assert found.state == State.DISABLED
    assert (found.email, found.activated_at) == (alice.email, alice.activated_at)


def test_disabling_twice_does_no_harm(dora: User) -> None:
    assert accounts.disable(dora) == State.DISABLED
    assert User.objects.get().state == State.DISABLED


def test_declining_never_touches_an_account(alice: User, dora: User) -> None:
    for person in (alice, dora):
        with pytest.raises(accounts.LinkSpent):
            accounts.decline(person)
    assert {person.state for person in User.objects.all()} == {State.ACTIVE, State.DISABLED}
    assert not Suppression.objects.exists()


def test_activation_by_staff_closes_the_address_to_other_claims_too(
    bob: User, cast: Callable[..., User]
) -> None:
    mallory = cast("mallory", "waiting", email=bob.email)
    accounts.activate_by_staff(bob)
    with pytest.raises(accounts.LinkSpent):
        accounts.activate_by_staff(mallory)
    assert User.objects.owner_of(bob.email) == bob


def test_a_change_and_its_message_are_written_together_or_not_at_all(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the disk is full")

    before = database()
    monkeypatch.setattr("mail.api.post", broken)
    monkeypatch.setattr("mail.api.suppress", broken)
    for attempt in (
        lambda: accounts.register(
            user_id="carol", email="c@example.com", name="C", password=PASSWORD, language="en"
        ),
        lambda: accounts.resend_activation(bob),
        lambda: correct(bob),
        lambda: accounts.decline(bob),
        lambda: reset(alice),
        lambda: move(alice),
        lambda: accounts.take_back(alice),
        lambda: accounts.request_deletion(alice),
    ):
        with pytest.raises(RuntimeError), transaction.atomic():
            attempt()
    assert database() == before


# The database

IMPOSSIBLE: list[tuple[str, dict[str, Any]]] = [
    ("user_active_means_activated", {"is_active": True, "activated_at": None}),
    ("user_level_known", {"level": "9"}),
    ("user_level_known", {"level": ""}),
]


@pytest.mark.parametrize(("name", "fields"), IMPOSSIBLE)
def test_the_database_refuses_an_impossible_person(
    bob: User, name: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        User.objects.filter(pk=bob.pk).update(**fields)


@pytest.mark.parametrize("user_id", ["eve", "EVE", "eVe"])
def test_the_database_refuses_a_twin_user_id(
    cast: Callable[..., User], bob: User, user_id: str
) -> None:
    cast("eve")
    with pytest.raises(IntegrityError, match="user_id"), transaction.atomic():
        User.objects.filter(pk=bob.pk).update(user_id=user_id)


@pytest.mark.parametrize("state", ["active", "disabled"])
@pytest.mark.parametrize("email", ["eve@example.com", "EVE@EXAMPLE.COM"])
def test_the_database_refuses_a_twin_address_among_activated_accounts(
    cast: Callable[..., User], alice: User, dora: User, state: str, email: str
) -> None:
    cast("eve", state)
    for person in (alice, dora):
        with pytest.raises(IntegrityError, match="user_address_unique"), transaction.atomic():
            User.objects.filter(pk=person.pk).update(email=email)


def test_the_database_lets_claims_share_an_address(bob: User, cast: Callable[..., User]) -> None:
    cast("robert", "waiting", email="BOB@example.com")
    assert User.objects.at_address("bob@EXAMPLE.com").count() == 2


def test_a_level_of_the_register_is_a_member(bob: User) -> None:
    assert bob.level == Level.MEMBER


# Claims in time


def test_only_a_waiting_claim_expires(cast: Callable[..., User], clock: Any) -> None:
    people = [cast(f"{state}-one", state) for state in STATES]
    clock(timezone.now() + timedelta(days=2))
    assert [person.claim_is_expired for person in people] == [True, False, False]
