"""The guard: guesses at passwords are slowed, then refused, and cost no owner their way in."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail as django_mail
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from mail.models import Mail
from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    activation_link,
    deliver_all,
    is_signed_in,
    link_in,
    open_link,
    page_text,
    queries_of,
    sign_in,
)
from users import guard, visitors
from users.models import FailedSignIn, Tally, User

WRONG = "wrong-horse"
CHANGE = "/users/password/change/"


class Stranger:
    """Guesses without a device of their own, each time from where they are told."""

    def __init__(self, clock: Callable[[Any], None]) -> None:
        self.clock, self.number = clock, 0

    def guess(self, username: str, password: str = WRONG, network: str = "") -> Any:
        network = network or self.somewhere()
        browser = Client(headers={"accept-language": "en"}, REMOTE_ADDR=network)
        return sign_in(browser, username, password)

    def somewhere(self) -> str:
        """As a thousand computers would: the limit of a network is another story."""
        self.number += 1
        return f"10.0.{self.number // 250}.{self.number % 250}"

    def use_up(self, username: str, times: int, network: str = "") -> None:
        """As many wrong passwords as are looked at, each as soon as it is.

        Past the pages, which all ask the guard in this way: the first story shows one.
        """
        for _ in range(times):
            request = RequestFactory().post("/", REMOTE_ADDR=network or self.somewhere())
            began = timezone.now()
            while not self.is_looked_at(request, username):
                assert timezone.now() - began <= timedelta(seconds=guard.LONGEST_WAIT)

    def is_looked_at(self, request: Any, username: str) -> bool:
        try:
            with guard.guess(request, username, proven=False):
                return True
        except guard.TooMany as later:
            self.clock(timezone.now() + timedelta(seconds=later.retry_after))
            return False


@pytest.fixture
def stranger(clock: Callable[[Any], None]) -> Stranger:
    clock(timezone.localtime().replace(hour=12))  # an hour is not cut by midnight
    return Stranger(clock)


# By name


def test_half_of_the_guesses_are_free_then_each_waits_and_then_none_is_looked_at(
    stranger: Stranger, alice: User, clock: Any
) -> None:
    began = timezone.now()
    for _ in range(guard.PER_NAME // 2):
        assert stranger.guess("alice").status_code == 200
    assert stranger.guess("alice").status_code == 200  # the next has to wait
    refused = stranger.guess("alice")
    assert (refused.status_code, refused["Retry-After"]) == (429, "2")
    stranger.use_up("alice", guard.PER_NAME // 2 - 1)
    assert timezone.now() - began > timedelta(minutes=3)
    refused = stranger.guess("alice", PASSWORD)
    assert refused.status_code == 429, "not even the right one"
    rest = began + guard.WINDOW - timezone.now()
    assert abs(int(refused["Retry-After"]) - rest.total_seconds()) <= 1
    clock(began + guard.WINDOW)
    assert stranger.guess("alice", PASSWORD).status_code == 302


def test_a_refusal_reads_and_costs_alike_for_every_name(
    stranger: Stranger, alice: User, bob: User, dora: User
) -> None:
    answers, queries = set(), set()
    for name in ("alice", "bob", "dora", "nobody"):
        for number in range(guard.PER_NAME // 2 + 2):
            with CaptureQueriesContext(
                connection,
            ) as captured:
                response = stranger.guess(name)
            page = page_text(response).replace(f'value="{name}"', "")
            answers.add((number, response.status_code, response.get("Retry-After"), page))
            if number not in (guard.NOTIFY_AFTER - 1, guard.NOTIFY_AFTER):
                queries.add((number, tuple(queries_of(captured))))
    assert len(answers) == guard.PER_NAME // 2 + 2
    assert len(queries) == guard.PER_NAME // 2


def test_in_the_browser_of_another_too(browser: Client, alice: User, cast: Any) -> None:
    """Which names it knows is asked with the same statement."""
    cast("mallory")
    sign_in(browser, "mallory")
    browser.post("/users/logout/")
    del browser.cookies["sessionid"]
    asked = set()
    for name in ("alice", "nobody", "eve"):
        with CaptureQueriesContext(connection) as captured:
            sign_in(browser, name, WRONG)
        asked.add(tuple(queries_of(captured)))
    assert len(asked) == 1


def test_the_letter_to_the_owner_costs_a_name_that_nobody_has_as_much(
    stranger: Stranger, alice: User
) -> None:
    queries = []
    for name in ("alice", "nobody", "alice@example.com", "nobody@example.com"):
        stranger.use_up(name, guard.NOTIFY_AFTER - 1)
        with CaptureQueriesContext(connection) as captured:
            stranger.guess(name)
        queries.append([query for query in queries_of(captured) if "mail_mail" in query])
    assert queries[0] == queries[1] == queries[2] == queries[3] != []


def test_every_spelling_is_the_same_name(stranger: Stranger, alice: User) -> None:
    for spelling in ("alice", "ALICE", " alice", "ａｌｉｃｅ", "Alice"):
        stranger.use_up(spelling, guard.PER_NAME // 5)
    assert stranger.guess("aLICE").status_code == 429


def test_right_passwords_use_up_nothing(stranger: Stranger, alice: User) -> None:
    for _ in range(guard.PER_NAME // 2 + 2):
        assert stranger.guess("alice", PASSWORD).status_code == 302
    assert not Tally.objects.filter(times__gt=0).exists()
    assert not FailedSignIn.objects.exists()


def test_the_limit_of_one_name_is_not_the_limit_of_another(
    stranger: Stranger, alice: User, cast: Callable[..., User]
) -> None:
    cast("carol")
    stranger.use_up("alice", guard.PER_NAME)
    assert stranger.guess("carol", PASSWORD).status_code == 302


# By network


def test_a_network_that_tries_many_names_is_stopped(
    stranger: Stranger, alice: User, settings: Any
) -> None:
    """770 guesses from one address were not slowed."""
    settings.SIGN_INS_PER_NETWORK_LIMIT = 12
    for number in range(12):
        stranger.use_up(f"name{number}", 1, network="203.0.113.7")
    assert stranger.guess("alice", PASSWORD, "203.0.113.7").status_code == 429
    assert stranger.guess("alice", PASSWORD, "203.0.113.8").status_code == 302


@pytest.mark.parametrize(
    ("networks", "elsewhere"),
    [
        (["2001:db8:1:1::{}"], "2001:db8:1:2::1"),
        (["2001:db8:1:{}::1"], "2001:db8:1:1ff::1"),
        (["2001:db8:1:{}00::1"], "2001:db8:2::1"),
    ],
    ids=["/64", "/56", "/48"],
)
def test_a_customer_with_many_addresses_is_one_network(
    stranger: Stranger, alice: User, settings: Any, networks: list[str], elsewhere: str
) -> None:
    settings.SIGN_INS_PER_NETWORK_LIMIT = 4
    [network] = networks
    looked_at = 0
    for number in range(1, 20):
        response = stranger.guess(f"name{number}", network=network.format(number + 10))
        looked_at += response.status_code == 200
        stranger.clock(timezone.now() + timedelta(seconds=guard.LONGEST_WAIT))
    assert looked_at <= 16
    assert stranger.guess("alice", PASSWORD, elsewhere).status_code == 302


@pytest.mark.parametrize(
    ("forwarded", "network"),
    [
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::1]:4711", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("rubbish", "unknown"),
    ],
)
def test_the_port_is_no_part_of_a_network(
    rf: Any, settings: Any, forwarded: str, network: str
) -> None:
    settings.TRUSTED_PROXIES = 1
    assert visitors.network(rf.get("/", headers={"x-forwarded-for": forwarded})) == network


# What no stranger can use up


def test_a_browser_that_has_signed_in_before_comes_in_whatever_strangers_do(
    browser: Client, stranger: Stranger, alice: User, settings: Any
) -> None:
    settings.SIGN_INS_PER_NETWORK_LIMIT = 12
    sign_in(browser, "alice")
    browser.post("/users/logout/")
    for name in ("alice", "alice@example.com"):
        stranger.use_up(name, guard.PER_NAME)
    for number in range(12):
        stranger.use_up(f"name{number}", 1, network="127.0.0.1")
    assert sign_in(Client(), "alice").status_code == 429, "in another browser here"
    for name in ("alice", "ALICE@example.com"):
        assert sign_in(browser, name).status_code == 302
        browser.post("/users/logout/")


def test_that_browser_has_an_allowance_and_not_a_pass(
    browser: Client, stranger: Stranger, alice: User
) -> None:
    sign_in(browser, "alice")
    browser.post("/users/logout/")
    looked_at = 0
    for _ in range(guard.PER_DEVICE + 2):
        looked_at += sign_in(browser, "alice", WRONG).status_code == 200
        stranger.clock(timezone.now() + timedelta(seconds=guard.LONGEST_WAIT))
    assert looked_at == guard.PER_DEVICE
    assert sign_in(Client(), "alice").status_code == 302, "and spends nobody else's"


def test_a_device_is_known_for_its_own_people_only(
    browser: Client, stranger: Stranger, alice: User, cast: Callable[..., User]
) -> None:
    cast("mallory")
    sign_in(browser, "mallory")
    browser.post("/users/logout/")
    stranger.use_up("alice", guard.PER_NAME)
    assert sign_in(browser, "alice").status_code == 429


def test_a_forged_device_is_nobodys(stranger: Stranger, alice: User) -> None:
    stranger.use_up("alice", guard.PER_NAME)
    for cookie in ("x", "", "WyJhIiwiYiJd:1abc:def", "\0", "é"):
        browser = Client()
        browser.cookies["device"] = cookie
        assert sign_in(browser, "alice").status_code == 429


def test_four_people_share_a_browser(browser: Client, cast: Callable[..., User]) -> None:
    people = [cast(f"person{number}") for number in range(5)]
    for person in people:
        sign_in(browser, person.user_id)
        browser.post("/users/logout/")
    request = browser.get("/").wsgi_request
    _, names = visitors.device_of(request)
    known = [names.keys() >= set(guard.names_of(person)) for person in people]
    assert known == [False, True, True, True, True]


def test_a_reset_is_never_blocked_and_leads_back_in(
    browser: Client, stranger: Stranger, alice: User
) -> None:
    for name in ("alice", "alice@example.com"):
        stranger.use_up(name, guard.PER_NAME)
    assert sign_in(browser, "alice").status_code == 429
    assert "/users/password/reset/" in sign_in(browser, "alice").text
    browser.post("/users/password/reset/", {"email": alice.email})
    letter = next(letter for letter in deliver_all() if "reset" in letter.body)
    page = open_link(browser, link_in(letter))
    browser.post(page, {"new_password": NEW_PASSWORD})
    assert sign_in(browser, "alice", NEW_PASSWORD).status_code == 302
    assert is_signed_in(browser)


def test_whoever_activates_is_known_in_that_browser(
    browser: Client, other_browser: Client, stranger: Stranger, bob: User
) -> None:
    """And strangers who guess at the ID do not keep them from activating."""
    stranger.use_up("bob", guard.PER_NAME)
    page = open_link(browser, activation_link(bob))
    assert browser.post(page, {"password": PASSWORD}).status_code == 302
    browser.post("/users/logout/")
    assert sign_in(browser, "bob").status_code == 302
    assert sign_in(other_browser, "bob").status_code == 429


# Every page that asks for a password


def change(old: str) -> dict[str, str]:
    return {"old_password": old, "new_password": NEW_PASSWORD}


def test_the_current_password_is_guessed_at_no_faster(
    browser: Client, stranger: Stranger, alice: User
) -> None:
    """25 wrong current passwords were not slowed."""
    sign_in(browser, "alice")
    statuses = [browser.post(CHANGE, change(WRONG)).status_code for _ in range(9)]
    assert statuses.count(200) == guard.PER_PROVEN // 2 + 1
    stranger.clock(timezone.now() + timedelta(seconds=guard.LONGEST_WAIT))
    assert browser.post(CHANGE, change(PASSWORD)).status_code == 302, "a pause is enough"


def test_strangers_do_not_keep_anybody_from_changing_their_password(
    browser: Client, stranger: Stranger, alice: User
) -> None:
    browser.force_login(alice)  # a session from before devices were known
    stranger.use_up("alice", guard.PER_NAME)
    assert browser.post(CHANGE, change(PASSWORD)).status_code == 302


def test_the_password_of_an_activation_is_guessed_at_no_faster(
    browser: Client, stranger: Stranger, bob: User
) -> None:
    page = open_link(browser, activation_link(bob))
    statuses = [browser.post(page, {"password": WRONG}).status_code for _ in range(9)]
    assert statuses.count(200) == guard.PER_PROVEN // 2 + 1
    assert statuses[-1] == 429


def test_the_admin_is_entered_by_the_same_door(
    browser: Client, stranger: Stranger, alice: User
) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    stranger.use_up("alice", guard.PER_NAME)
    door = browser.get("/admin/", follow=True).redirect_chain[-1][0]
    typed = {"username": "alice", "password": PASSWORD}
    assert browser.post(door, typed).status_code == 429
    assert browser.post("/admin/login/", typed).status_code == 302
    assert not is_signed_in(browser)


# Who hears of it


def test_the_owner_is_told_once_a_day(stranger: Stranger, alice: User) -> None:
    stranger.use_up("alice", guard.NOTIFY_AFTER - 1)
    assert deliver_all() == []
    stranger.use_up("alice", 3)
    stranger.use_up("alice@example.com", guard.NOTIFY_AFTER)
    [letter] = deliver_all()
    assert letter.to == ["alice@example.com"]
    assert letter.subject == "alice, someone is trying to sign in to your account"
    assert "wrong password was entered 22 times" in letter.body
    stranger.clock(timezone.now() + timedelta(hours=25))
    stranger.use_up("alice", guard.NOTIFY_AFTER)
    assert len(deliver_all()) == 1


def test_nobody_else_is_told(stranger: Stranger, bob: User, dora: User) -> None:
    for name in ("bob", "bob@example.com", "dora", "dora@example.com", "nobody", "알리스"):
        stranger.use_up(name, guard.NOTIFY_AFTER)
    assert deliver_all() == []
    assert django_mail.outbox == []


def test_staff_sees_it_beside_the_person(stranger: Stranger, alice: User, admin: Client) -> None:
    stranger.use_up("alice", 2, network="203.0.113.7")
    stranger.use_up("alice@example.com", 1, network="2001:db8::1")
    stranger.use_up("nobody", 1, network="203.0.113.99")
    page = admin.get(f"/admin/users/user/{alice.pk}/change/").text
    assert f"{timezone.localdate():%Y-%m-%d}: 2 × 203.0.113.7" in page
    assert "1 × 2001:db8::/64" in page
    assert "203.0.113.99" not in page


@pytest.fixture
def admin(db: None) -> Client:
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(User.objects.create_superuser("root", "root@example.com", PASSWORD))
    return browser


def test_what_was_typed_is_not_kept(stranger: Stranger, alice: User) -> None:
    """People type passwords into the field for the name."""
    stranger.guess("my-own-secret", "x")
    rows = [*FailedSignIn.objects.values_list(), *Tally.objects.values_list()]
    assert rows
    assert "my-own-secret" not in repr(rows)
    assert not Mail.objects.exists()


def test_the_rows_are_bounded_and_go_by_themselves(
    stranger: Stranger, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "NETWORK_ROWS_A_DAY", 5)
    for number in range(9):
        stranger.use_up(f"name{number}", 1, network="203.0.113.7")
    assert FailedSignIn.objects.filter(network="203.0.113.7").count() == 5
    assert FailedSignIn.objects.filter(network="").count() == 9, "the names are still counted"
    stranger.clock(timezone.now() + guard.KEPT_FOR + timedelta(days=1))
    stranger.use_up("name", 1)
    assert set(FailedSignIn.objects.values_list("day", flat=True)) == {timezone.localdate()}
    assert all(tally.ends_at > timezone.now() for tally in Tally.objects.all())


def test_a_refusal_is_written_in_korean_too(stranger: Stranger, alice: User) -> None:
    stranger.use_up("alice", guard.PER_NAME)
    browser = Client(headers={"accept-language": "ko"})
    page = sign_in(browser, "alice").text
    with translation.override("ko"):
        assert translation.gettext("Too many wrong passwords") in page
    assert "Too many" not in page


# At once


def test_guesses_at_once_are_all_counted(stranger: Stranger, alice: User) -> None:
    """Before any of them is found wrong."""
    with ExitStack() as in_flight:
        for _ in range(guard.PER_NAME // 2 + 1):
            in_flight.enter_context(guard.guess(None, "alice", proven=False)).right = True
        with pytest.raises(guard.TooMany), guard.guess(None, "alice", proven=False):
            pytest.fail("it was looked at")
    assert not Tally.objects.filter(times__gt=0).exists()
