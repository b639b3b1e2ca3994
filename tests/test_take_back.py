""" "This wasn't me": whatever a thief of the account has done, its mailbox gets it back, alone."""

import contextlib
import os
import random
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core import signing
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail.models import Mail
from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    database,
    deliver_all,
    fresh,
    is_signed_in,
    link_in,
    open_link,
    reset_link,
    sign_in,
)
from users import accounts, guard, letters, tokens, visitors
from users.models import UNDO_FOR, AddressChange, User

HERS, THEIRS, THEIR_OTHER = "alice@example.com", "mallory@example.org", "mallory@example.net"
THEIR_PASSWORD = "staple-battery-mallory"
DAY = timedelta(days=1)


def take_back_link(person: User) -> str:
    """What a letter to this person's present mailbox holds."""
    return urlsplit(letters._link("users:take_back", person, tokens.take_back)).path


class Thief:
    """Mallory, in a browser of hers that is signed in as Alice, with whatever reaches her mail."""

    def __init__(self, alice: User) -> None:
        self.alice, self.password = alice, PASSWORD
        self.browser = Client(headers={"accept-language": "en"}, REMOTE_ADDR="198.51.100.7")
        self.letters: list[Any] = []
        self.to_alice: list[Any] = []
        sign_in(self.browser, "alice")
        assert is_signed_in(self.browser)

    def deliver(self) -> None:
        for letter in deliver_all():
            mine = letter.to[0] in (THEIRS, THEIR_OTHER)
            (self.letters if mine else self.to_alice).append(letter)

    def links(self) -> list[str]:
        found = re.compile(r"http://127\.0\.0\.1:8000(/users/\S+/\S+/\S+/)")
        return [link for letter in self.letters for link in found.findall(str(letter.body))]

    def changes_the_password(self) -> None:
        accounts.choose_password(fresh(self.alice), THEIR_PASSWORD)
        self.password = THEIR_PASSWORD
        sign_in(self.browser, "alice", THEIR_PASSWORD)
        self.deliver()

    def changes_the_address(self, new: str = THEIRS) -> None:
        accounts.request_address(fresh(self.alice), new)
        self.deliver()
        page = open_link(self.browser, link_in(self.letters[-1]))
        assert self.browser.post(page, {"password": self.password}).status_code == 302
        self.deliver()
        assert fresh(self.alice).email == new

    def asks_for_another_address(self) -> None:
        accounts.request_address(fresh(self.alice), THEIR_OTHER)
        self.deliver()

    def asks_for_deletion(self) -> None:
        accounts.request_deletion(fresh(self.alice))
        self.deliver()

    def resets_by_their_mailbox(self) -> None:
        """Which is the account's now."""
        Client().post("/users/password/reset/", {"email": THEIRS})
        self.deliver()
        page = open_link(self.browser, link_in(self.letters[-1]))
        self.browser.post(page, {"new_password": THEIR_PASSWORD})
        self.password = THEIR_PASSWORD
        sign_in(self.browser, "alice", THEIR_PASSWORD)
        # And a link for later.
        Client().post("/users/password/reset/", {"email": THEIRS})
        self.deliver()

    def takes_it_back_by_their_mailbox(self) -> None:
        """The same link works for them, too, and for nothing but their own mailbox."""
        link = take_back_link(fresh(self.alice))
        self.browser.post(open_link(self.browser, link))
        self.deliver()
        page = open_link(self.browser, link_in(self.letters[-1]))
        self.browser.post(page, {"new_password": THEIR_PASSWORD})
        self.password = THEIR_PASSWORD

    def has_nothing(self) -> None:
        before = {name: getattr(fresh(self.alice), name) for name in KEPT}
        assert not is_signed_in(self.browser)
        for password in {PASSWORD, THEIR_PASSWORD}:
            for name in ("alice", before["email"]):
                sign_in(self.browser, name, password)
        for link in self.links():
            page = self.browser.get(link, follow=True)
            where = page.redirect_chain[-1][0] if page.redirect_chain else link
            for typed in (self.password, PASSWORD):
                self.browser.post(where, {"password": typed, "new_password": THEIR_PASSWORD})
        assert not is_signed_in(self.browser)
        assert before == {name: getattr(fresh(self.alice), name) for name in KEPT}
        request = self.browser.get("/").wsgi_request
        assert guard.names_known(request).isdisjoint(guard.names_of(self.alice))


# What counts of an account.
KEPT = ("email", "password", "session_epoch", "secured_at", "deletion_asked_at")

TAKEOVERS: dict[str, list[Callable[[Thief], None]]] = {
    "password known, session stolen": [],
    "password changed": [Thief.changes_the_password],
    "address changed": [Thief.changes_the_address],
    "address changed twice": [
        Thief.changes_the_address,
        lambda thief: thief.changes_the_address(THEIR_OTHER),
    ],
    "address asked for": [Thief.asks_for_another_address],
    "password, then address": [Thief.changes_the_password, Thief.changes_the_address],
    "address, then password": [Thief.changes_the_address, Thief.changes_the_password],
    "deletion asked for": [Thief.asks_for_deletion],
    "address, then deletion": [Thief.changes_the_address, Thief.asks_for_deletion],
    "reset by the new mailbox": [Thief.changes_the_address, Thief.resets_by_their_mailbox],
    "taken back by the new mailbox": [
        Thief.changes_the_address,
        Thief.takes_it_back_by_their_mailbox,
    ],
    "all of it": [
        Thief.changes_the_password,
        Thief.changes_the_address,
        Thief.resets_by_their_mailbox,
        lambda thief: thief.changes_the_address(THEIR_OTHER),
        Thief.takes_it_back_by_their_mailbox,
        Thief.asks_for_deletion,
    ],
}


# Of those that end in a letter to her: by that one, too.
LAST = ["password changed", "address changed", "address changed twice", "all of it"]


@pytest.mark.parametrize(
    ("takeover", "by"),
    [
        *((one, "the letter before") for one in TAKEOVERS),
        *((one, "the last letter") for one in LAST),
    ],
)
def test_the_owner_gets_it_back_and_the_thief_has_nothing(
    alice: User, browser: Client, takeover: str, by: str
) -> None:
    letter_of_a_new_device = take_back_link(alice)
    thief = Thief(alice)
    for act in TAKEOVERS[takeover]:
        act(thief)
    link = letter_of_a_new_device
    if by == "the last letter":
        link = link_in(thief.to_alice[-1])
    page = open_link(browser, link)
    assert "Take my account back" in browser.get(page).text
    response = browser.post(page, follow=True)
    assert "Your account is safe" in response.text
    assert HERS in response.text
    found = fresh(alice)
    assert (found.email, found.deletion_asked_at) == (HERS, None)
    assert not AddressChange.objects.pending().exists()
    [letter] = deliver_all()
    assert letter.to == [HERS]
    thief.has_nothing()
    # The owner comes in by their mailbox alone, and stays.
    page = open_link(browser, link_in(letter))
    browser.post(page, {"new_password": NEW_PASSWORD})
    sign_in(browser, "alice", NEW_PASSWORD)
    for old in (link, *thief.links()):
        assert press(Client(), old) == 404
    assert is_signed_in(browser)


def test_the_letters_after_a_change_of_address_go_to_both_mailboxes(alice: User) -> None:
    """A thief who is quicker than the mail does not get the notice of their own change."""
    thief = Thief(alice)
    accounts.choose_password(fresh(alice), THEIR_PASSWORD)
    thief.password = THEIR_PASSWORD
    sign_in(thief.browser, "alice", THEIR_PASSWORD)
    Mail.objects.filter(letter="password_change").update(due=timezone.now() + DAY)
    thief.changes_the_address()
    Mail.objects.filter(letter="password_change").update(due=timezone.now())
    [letter] = deliver_all()
    assert letter.to == [HERS]
    assert "/users/take-back/" in str(letter.body)


# In any order, at any time


def again(thief: Thief) -> None:
    sign_in(thief.browser, "alice", thief.password)


def moves(thief: Thief) -> None:
    here = fresh(thief.alice).email
    accounts.request_address(fresh(thief.alice), THEIRS if here != THEIRS else THEIR_OTHER)
    thief.deliver()
    accounts.confirm_address(fresh(thief.alice))


def resets(thief: Thief) -> None:
    """By the mailbox of now, if it is theirs."""
    if fresh(thief.alice).email != HERS:
        accounts.choose_password(fresh(thief.alice), THEIR_PASSWORD, by_mailbox=True)
        thief.password = THEIR_PASSWORD


def takes_back(thief: Thief) -> None:
    if fresh(thief.alice).email != HERS:
        accounts.take_back(fresh(thief.alice))
        resets(thief)


def keeps(thief: Thief) -> None:
    accounts.keep(fresh(thief.alice))


ACTS: list[Callable[[Thief], None]] = [
    again, moves, moves, resets, takes_back, keeps, Thief.changes_the_password,
    Thief.asks_for_another_address, Thief.asks_for_deletion,
]  # fmt: skip
HOURS = (0, 0, 1, 20, 60)
TAKE_BACK = re.compile(r"http://127\.0\.0\.1:8000(/users/take-back/\S+)")


@pytest.mark.parametrize("seed", range(int(os.environ.get("TAKEOVERS", "5"))))
def test_at_any_moment_of_any_takeover(alice: User, browser: Client, clock: Any, seed: int) -> None:
    dice, now = random.Random(seed), timezone.now()
    clock(now)
    thief, links = Thief(alice), [(now, take_back_link(alice))]
    for _ in range(dice.randint(1, 8)):
        with contextlib.suppress(accounts.LinkSpent):
            dice.choice(ACTS)(thief)
        now += timedelta(hours=dice.choice(HOURS))
        clock(now)
        thief.deliver()
        bodies = [str(letter.body) for letter in thief.to_alice]
        links += [(now, link) for body in bodies for link in TAKE_BACK.findall(body)]
        thief.to_alice.clear()
    hers = next((one for one in fresh(alice).selves() if one.email == HERS), None)
    lives = tokens.TAKE_BACK_FOR if hers and hers.left_at is None else UNDO_FOR
    sent_at, link = dice.choice(links)
    if hers is None or now - sent_at > lives:
        assert press(browser, link) == 404
        return
    assert press(browser, link) == 302
    assert fresh(alice).email == HERS
    assert [letter.to for letter in deliver_all()] == [[HERS]]
    thief.has_nothing()


# Pressed twice, late, or after the owner has come back


def press(browser: Client, link: str) -> int:
    page = browser.get(link, follow=True)
    where = page.redirect_chain[-1][0] if page.redirect_chain else link
    return int(browser.post(where).status_code)


def test_opening_it_changes_nothing(alice: User, browser: Client) -> None:
    before = database()
    page = open_link(browser, take_back_link(alice))
    assert browser.get(page).status_code == 200
    assert browser.head(page).status_code == 200
    assert database() == before


def test_pressed_twice_it_says_so_and_offers_the_reset(alice: User, browser: Client) -> None:
    link = take_back_link(alice)
    assert press(browser, link) == 302
    accounts.choose_password(fresh(alice), NEW_PASSWORD)
    before = database()
    page = browser.get(link)
    assert page.status_code == 404
    assert "This link can no longer be used" in page.text
    assert "/users/password/reset/" in page.text
    assert press(browser, link) == 404
    assert database() == before


def test_of_two_who_press_it_in_the_same_moment_one_wins(alice: User) -> None:
    one, other = fresh(alice), fresh(alice)
    accounts.take_back(one)
    with pytest.raises(accounts.LinkSpent):
        accounts.take_back(other)
    assert Mail.objects.filter(letter="take_back").count() == 1


def test_after_a_reset_by_the_mailbox_an_older_one_throws_nobody_out(
    alice: User, browser: Client, other_browser: Client
) -> None:
    older = take_back_link(alice)
    browser.post(open_link(browser, reset_link(alice)), {"new_password": NEW_PASSWORD})
    sign_in(browser, "alice", NEW_PASSWORD)
    assert press(other_browser, older) == 404
    assert is_signed_in(browser)


def test_a_change_of_the_password_alone_kills_no_link(alice: User, browser: Client) -> None:
    """Whoever knows the old one can do that."""
    link = take_back_link(alice)
    accounts.choose_password(alice, THEIR_PASSWORD)
    assert press(browser, link) == 302


def test_it_works_for_three_days(alice: User, browser: Client, clock: Any) -> None:
    link, now = take_back_link(alice), timezone.now()
    clock(now + timedelta(hours=71, minutes=59))
    assert browser.get(link, follow=True).status_code == 200
    clock(now + timedelta(hours=72, minutes=1))
    assert browser.get(link, follow=True).status_code == 404
    assert press(Client(), link) == 404


def test_of_a_change_of_address_for_seven(alice: User, browser: Client, clock: Any) -> None:
    thief = Thief(alice)
    thief.changes_the_address()
    link, now = link_in(thief.to_alice[-1]), timezone.now()
    clock(now + UNDO_FOR - timedelta(minutes=1))
    assert browser.get(link, follow=True).status_code == 200
    clock(now + UNDO_FOR + timedelta(minutes=1))
    assert press(browser, link) == 404
    assert fresh(alice).email == THEIRS


def test_of_two_changes_the_first_is_undone_with_the_second(
    alice: User, browser: Client, clock: Any
) -> None:
    now = timezone.now()
    thief = Thief(alice)
    thief.changes_the_address()
    first = link_in(thief.to_alice[-1])
    clock(now + 3 * DAY)
    sign_in(thief.browser, "alice")
    thief.changes_the_address(THEIR_OTHER)
    clock(now + 6 * DAY)
    assert press(browser, first) == 302
    assert fresh(alice).email == HERS
    assert not AddressChange.objects.undoable().exists()


def test_who_comes_back_by_hand_has_undone_it_too(alice: User, browser: Client) -> None:
    """Else the thief's mailbox would have an undo of its own, later than hers."""
    thief = Thief(alice)
    thief.changes_the_address()
    accounts.request_address(fresh(alice), HERS)
    accounts.confirm_address(fresh(alice))
    assert fresh(alice).email == HERS
    thief.deliver()
    assert not AddressChange.objects.undoable().exists()
    assert not [letter for letter in thief.letters if "take-back" in str(letter.body)]
    theirs = fresh(alice)
    theirs.email = THEIRS
    assert press(thief.browser, take_back_link(theirs)) == 404


def test_links_from_before_still_work_for_who_came_back(alice: User, browser: Client) -> None:
    link = take_back_link(alice)
    thief = Thief(alice)
    thief.changes_the_address()
    accounts.request_address(fresh(alice), HERS)
    accounts.confirm_address(fresh(alice))
    assert press(browser, link) == 302


@pytest.mark.parametrize("state", ["waiting", "disabled"])
def test_it_opens_for_an_active_account_alone(
    cast: Callable[..., User], browser: Client, state: str
) -> None:
    eve = cast("eve", state)
    before = database()
    assert press(browser, take_back_link(eve)) == 404
    assert database() == before


def test_the_link_of_another_person_or_purpose_opens_nothing(
    alice: User, cast: Callable[..., User], browser: Client
) -> None:
    eve = cast("eve")
    his, hers = take_back_link(eve), take_back_link(alice)
    mixed = hers.replace(hers.split("/")[3], his.split("/")[3])
    reset = hers.replace("take-back", "password/reset")
    for link in (mixed, reset):
        assert browser.get(link, follow=True).status_code == 404


def test_who_is_signed_in_as_another_stays(
    alice: User, cast: Callable[..., User], browser: Client
) -> None:
    cast("eve")
    sign_in(browser, "eve")
    assert press(browser, take_back_link(alice)) == 302
    assert is_signed_in(browser)


def test_a_browser_that_was_known_is_known_no_more(alice: User, browser: Client) -> None:
    sign_in(browser, "alice")
    request = browser.get("/").wsgi_request
    assert guard.names_known(request).issuperset(guard.names_of(alice))
    accounts.take_back(fresh(alice))
    assert guard.names_known(request).isdisjoint(guard.names_of(alice))
    # Not even when somebody else signs in there, which writes the cookie anew.
    response = browser.get("/users/login/")
    visitors.remember_device(request, response, ["another"])
    browser.cookies["device"] = response.cookies["device"].value
    request = browser.get("/").wsgi_request
    assert guard.names_known(request).isdisjoint(guard.names_of(alice))


def test_so_is_one_with_a_cookie_of_an_older_revision(alice: User, browser: Client) -> None:
    """Whose names have no time."""
    cookie = signing.dumps(["a-device", *guard.names_of(alice)], salt=visitors.DEVICE_SALT)
    browser.cookies["device"] = cookie
    request = browser.get("/").wsgi_request
    assert guard.names_known(request).issuperset(guard.names_of(alice))
    accounts.take_back(fresh(alice))
    assert guard.names_known(request).isdisjoint(guard.names_of(alice))


def test_the_page_asks_the_database_little(alice: User, browser: Client) -> None:
    page = open_link(browser, take_back_link(alice))
    with CaptureQueriesContext(connection) as captured:
        assert browser.get(page).status_code == 200
    assert len(captured) <= 8
