"""The account of whoever is signed in: four pages, and what happened to it."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.conftest import database, sign_in
from users import accounts, activity, chores, devices
from users.models import Event, Tag, User

# The session and the person; and what the page lists.
STATEMENTS = {"": 2, "security/": 3, "activity/": 3, "data/": 2}
PAGES = [f"/users/account/{page}" for page in STATEMENTS]
OTHERS = {"/": 2, "/users/account/address/": 3, "/users/account/deletion/": 2,
          "/users/password/change/": 2}  # fmt: skip
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)


@pytest.fixture
def hers(browser: Client, alice: User) -> Client:
    """The browser in which Alice is signed in."""
    sign_in(browser, "alice")
    browser.get("/")  # shows what the sign-in had to say
    return browser


def tags(person: User) -> list[str]:
    return list(person.events.order_by("at").values_list("tag", flat=True))


@pytest.mark.parametrize("path", PAGES)
def test_a_page_leads_to_the_others_and_is_for_whoever_is_signed_in(
    hers: Client, other_browser: Client, path: str
) -> None:
    page = hers.get(path)
    assert page.status_code == 200
    assert all(f'href="{other}"' in page.text for other in PAGES)
    assert f'href="{path}" aria-current="page"' in page.text
    assert other_browser.get(path)["Location"] == f"/users/login/?next={path}"


@pytest.mark.parametrize(
    ("path", "number"), [*zip(PAGES, STATEMENTS.values(), strict=True), *OTHERS.items()]
)
def test_a_page_asks_the_database_so_often(hers: Client, path: str, number: int) -> None:
    """However much there is to show."""
    person = User.objects.get()
    for _ in range(3):
        sign_in(Client(), "alice")
        sign_in(Client(), "alice", "wrong-horse")
        activity.record(person, Tag.PROFILE_CHANGED, by=person)
        accounts.request_address(person, "alice@example.org")
    with CaptureQueriesContext(connection) as asked:
        assert hers.get(path).status_code == 200
    assert len(asked) == number, [query["sql"] for query in asked]


@pytest.mark.parametrize("path", ["/", "/terms/"])
def test_every_page_leads_to_the_account(hers: Client, path: str) -> None:
    assert 'href="/users/account/"' in hers.get(path).text


# The profile


def test_alice_changes_her_name_and_language(hers: Client, alice: User) -> None:
    response = hers.post(PAGES[0], {"name": "앨리스", "language": "ko"}, follow=True)
    assert "프로필을 저장했습니다." in response.text
    alice.refresh_from_db()
    assert (alice.name, alice.language) == ("앨리스", "ko")
    assert tags(alice)[-1] == Tag.PROFILE_CHANGED


@pytest.mark.parametrize(
    "typed", [{}, {"name": "", "language": "en"}, {"name": "A\u202eB", "language": "en"},
              {"name": "Alice", "language": "fr"}],
)  # fmt: skip
def test_what_is_wrong_changes_nothing(hers: Client, typed: dict[str, str]) -> None:
    before = database()
    assert hers.post(PAGES[0], typed).status_code == 200
    assert database() == before


def test_nothing_else_of_a_person_can_be_changed_there(hers: Client, alice: User) -> None:
    typed = {
        "name": "A",
        "language": "en",
        "email": "m@example.com",
        "is_staff": "on",
        "level": "0",
    }
    hers.post(PAGES[0], typed)
    now = User.objects.get()
    assert (now.email, now.is_staff, now.level) == (alice.email, False, alice.level)


# The activity


def test_a_person_sees_what_happened_and_from_where(browser: Client, alice: User) -> None:
    Client(REMOTE_ADDR="203.0.113.9").post(
        "/users/login/", {"username": "alice", "password": "wrong-horse"}
    )
    mine = Client(headers={"user-agent": CHROME, "accept-language": "en"}, REMOTE_ADDR="192.0.2.1")
    sign_in(mine, "alice")
    page = mine.get("/users/account/activity/").text
    for said in ("Signed in", "Chrome · Windows", "192.0.2.1", "Wrong password", "203.0.113.9"):
        assert said in page
    assert "wrong-horse" not in page
    assert "Mozilla" not in page


def test_nobody_sees_what_happened_to_another(hers: Client, cast: Any) -> None:
    activity.record(cast("mallory"), Tag.EXPORTED)
    assert "Data exported" not in hers.get("/users/account/activity/").text


def test_a_stranger_adds_nothing(alice: User, bob: User, browser: Client) -> None:
    for name in ("alice", "alice@example.com", "bob", "nobody"):
        sign_in(browser, name, "wrong-horse")
    sign_in(browser, "bob")
    assert not Event.objects.exists()


def test_who_is_in_cannot_push_the_rest_out_of_the_list(alice: User, cast: Any) -> None:
    activity.record(alice, Tag.ADDRESS_CHANGED)
    for _ in range(activity.OF_A_KIND_A_DAY + 5):
        activity.record(alice, Tag.SIGNED_IN)
    activity.record(alice, Tag.PASSWORD_CHANGED)
    assert len(tags(alice)) == activity.OF_A_KIND_A_DAY + 2
    assert {Tag.ADDRESS_CHANGED, Tag.PASSWORD_CHANGED} < set(tags(alice))
    mallory = cast("mallory")
    activity.record(mallory, Tag.SIGNED_IN)
    assert tags(mallory) == [Tag.SIGNED_IN]


def test_the_list_goes_on_before_its_end(
    hers: Client, alice: User, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    monkeypatch.setattr(activity, "SHOWN", 3)
    for number, tag in enumerate([Tag.EXPORTED, *[Tag.PROFILE_CHANGED] * 4]):
        clock(timezone.now() + timedelta(seconds=number + 1))
        activity.record(alice, tag)
    page = hers.get("/users/account/activity/").text
    assert page.count("Profile changed") == 3
    [link] = re.findall(r'href="(\?before=[\d.]+)"', page)
    page = hers.get(f"/users/account/activity/{link}").text
    assert (page.count("Profile changed"), page.count("Data exported")) == (1, 1)
    assert "Signed in" in page
    assert "Nothing yet." in hers.get("/users/account/activity/?before=0").text


def test_a_wrong_password_is_on_the_page_of_its_time(
    hers: Client, alice: User, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    """And not on the first, after things that happened before it."""
    monkeypatch.setattr(activity, "SHOWN", 2)
    for day in range(4):
        clock(timezone.now() + timedelta(days=1))
        sign_in(Client(REMOTE_ADDR=f"203.0.113.{day}"), "alice", "wrong-horse")
        activity.record(alice, Tag.EXPORTED)
    seen, link = [], ""
    for _ in range(5):
        page = hers.get(f"/users/account/activity/{link}").text
        seen.append(re.findall(r"203\.0\.113\.\d|Data exported|Signed in", page))
        link = "".join(re.findall(r'href="(\?before=[\d.]+)"', page))
    days = [["Data exported", f"203.0.113.{day}"] for day in (3, 2, 1, 0)]
    assert seen == [*days, ["Signed in"]]


@pytest.mark.parametrize("before", ["x", "nan", "inf", "1e400", "-1e20", "\ud800", "9" * 400, ""])
def test_rubbish_is_the_first_page(hers: Client, before: str) -> None:
    typed = {"before": before.encode("utf-8", "surrogatepass")}
    assert "Signed in" in hers.get("/users/account/activity/", typed).text


def test_the_next_day_has_room_again(alice: User, clock: Any) -> None:
    for _ in range(activity.OF_A_KIND_A_DAY):
        activity.record(alice, Tag.SIGNED_IN)
    clock(timezone.now() + timedelta(days=1, seconds=1))
    activity.record(alice, Tag.SIGNED_IN)
    assert len(tags(alice)) == activity.OF_A_KIND_A_DAY + 1


def test_events_go_by_themselves(alice: User, clock: Any) -> None:
    activity.record(alice, Tag.SIGNED_IN)
    clock(timezone.now() + activity.KEPT_FOR)
    activity.record(alice, Tag.SIGNED_OUT)
    clock(timezone.now() + timedelta(seconds=1))
    assert chores.prune_events(10) == 1
    assert tags(alice) == [Tag.SIGNED_OUT]


def test_who_of_staff_did_something_may_leave(alice: User, cast: Any) -> None:
    steve = cast("steve")
    activity.record(alice, Tag.DISABLED, by=steve)
    assert activity.of(alice, 1)[0][0].by == "steve"
    steve.delete()
    assert tags(alice) == [Tag.DISABLED]


@pytest.mark.parametrize(
    ("user_agent", "label"),
    [
        (CHROME, "Chrome · Windows"),
        (f"{CHROME} Edg/142.0", "Edge · Windows"),
        (f"{CHROME} Whale/4.3", "Whale · Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Firefox/145.0", "Firefox · Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18 Mobile Safari/604.1",
         "Safari · iPhone"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/142.0 Mobile Safari/537.36 KAKAOTALK",
         "KakaoTalk · Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18 Safari/605", "Safari · macOS"),
        ("curl/8.5 (Linux)", "Linux"),
        ("<script>alert(1)</script>", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_device_has_a_name_of_ours(user_agent: str, label: str) -> None:
    assert devices.label(user_agent) == label
