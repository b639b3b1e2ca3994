"""Where somebody is signed in: a person sees it and ends it, and so does staff."""

import importlib
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.core import signing
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from tests.conftest import NEW_PASSWORD, PASSWORD, is_signed_in, sign_in
from tests.test_account import CHROME, tags
from users import accounts, sessions
from users.models import Session, Tag, User
from users.visitors import SessionStore

SECURITY = "/users/account/security/"
END, END_ALL = "/users/account/security/end/", "/users/account/security/end/all/"
PHONE = "Mozilla/5.0 (Linux; Android 15) Chrome/142.0 Mobile Safari/537.36"


@pytest.fixture
def laptop(alice: User) -> Client:
    browser = Client(
        REMOTE_ADDR="192.0.2.1", headers={"user-agent": CHROME, "accept-language": "en"}
    )
    sign_in(browser, "alice")
    return browser


@pytest.fixture
def phone(alice: User) -> Client:
    browser = Client(
        REMOTE_ADDR="203.0.113.7", headers={"user-agent": PHONE, "accept-language": "en"}
    )
    sign_in(browser, "alice")
    return browser


@pytest.fixture
def mallory(cast: Any) -> Client:
    cast("mallory")
    browser = Client(headers={"accept-language": "en"})
    sign_in(browser, "mallory")
    return browser


def row_of(browser: Client) -> Session:
    return Session.objects.get(pk=browser.cookies[settings.SESSION_COOKIE_NAME].value)


# The list


def test_a_person_sees_each_device_and_which_is_this(laptop: Client, phone: Client) -> None:
    page = laptop.get(SECURITY).text
    for said in ("Chrome · Windows", "192.0.2.1", "Chrome · Android", "203.0.113.7"):
        assert said in page
    assert page.count("this browser") == 1
    assert str(row_of(phone).public_id) in page
    assert str(row_of(laptop).public_id) not in page, "for this one there is signing out"


def test_no_key_is_ever_shown(laptop: Client, phone: Client) -> None:
    page = laptop.get(SECURITY).text
    assert not [row.pk for row in Session.objects.all() if row.pk in page]


def test_nobody_sees_the_sessions_of_another(laptop: Client, mallory: Client) -> None:
    page = mallory.get(SECURITY).text
    assert "192.0.2.1" not in page
    assert str(row_of(laptop).public_id) not in page


def test_a_session_of_nobody_says_nothing_of_the_browser(browser: Client, bob: User) -> None:
    sign_in(browser, "bob")  # waits: his claim is in the session
    row = row_of(browser)
    assert (row.person, row.device, row.network, row.started_at) == (None, "", "", None)


def test_what_lets_nobody_in_is_not_listed(laptop: Client, phone: Client, alice: User) -> None:
    User.objects.update(session_epoch=1)
    alice.refresh_from_db()
    assert Session.objects.count() == 2
    assert sessions.of(alice) == []


def test_the_first_and_the_last_use_are_known(laptop: Client, clock: Any) -> None:
    row = row_of(laptop)
    began = row.started_at
    assert began
    clock(timezone.now() + timedelta(hours=3))
    laptop.get("/")
    row.refresh_from_db()
    assert (row.started_at, row.last_used_at) == (began, timezone.now())


def test_the_last_use_says_from_where(laptop: Client, clock: Any) -> None:
    """Of a stolen cookie, say."""
    clock(timezone.now() + timedelta(hours=3))
    thief = Client(REMOTE_ADDR="198.51.100.1", headers={"user-agent": PHONE})
    thief.cookies[settings.SESSION_COOKIE_NAME] = row_of(laptop).pk
    thief.get("/")
    row = row_of(laptop)
    assert (row.device, row.network) == ("Chrome · Android", "198.51.100.1")


def test_a_use_is_written_every_five_minutes_at_most(
    laptop: Client, clock: Any, django_assert_num_queries: Any
) -> None:
    laptop.get("/")
    clock(timezone.now() + timedelta(minutes=6))
    with django_assert_num_queries(3):
        laptop.get("/")
    clock(timezone.now() + timedelta(minutes=4))
    with django_assert_num_queries(2):
        laptop.get("/")


def test_a_use_brings_nothing_back(alice: User, laptop: Client, clock: Any) -> None:
    store = SessionStore(row_of(laptop).pk)
    assert store["_auth_user_id"]
    clock(timezone.now() + timedelta(minutes=6))
    accounts.end_sessions(alice)
    store.use(store.where)
    assert not Session.objects.exists()


def test_a_database_that_takes_no_writes_still_shows_a_page(laptop: Client, clock: Any) -> None:
    laptop.get("/")
    clock(timezone.now() + timedelta(minutes=6))

    def refuse(execute: Any, sql: str, *how: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise OperationalError("database is locked")
        return execute(sql, *how)

    with connection.execute_wrapper(refuse):
        page = laptop.get("/")
    assert (page.status_code, page.wsgi_request.user.is_authenticated) == (200, True)


# Ending


def test_one_ends_at_once(laptop: Client, phone: Client, alice: User) -> None:
    page = laptop.post(END, {"session": row_of(phone).public_id}, follow=True)
    assert "That device is signed out." in page.text
    assert not is_signed_in(phone)
    assert is_signed_in(laptop)
    assert tags(alice)[-1] == Tag.SESSION_ENDED


def test_all_others_end(laptop: Client, phone: Client, browser: Client, alice: User) -> None:
    sign_in(browser, "alice")
    page = laptop.post(END_ALL, follow=True)
    assert "All other devices are signed out." in page.text
    assert (is_signed_in(phone), is_signed_in(browser)) == (False, False)
    assert is_signed_in(laptop)
    assert tags(alice)[-1] == Tag.SESSIONS_ENDED


def test_this_one_is_no_other_after_a_proof_either(laptop: Client, alice: User, clock: Any) -> None:
    """Which gives it a new key."""
    before = row_of(laptop)
    clock(timezone.now() + timedelta(minutes=11))
    laptop.post(END_ALL, {"proof": PASSWORD})
    after = row_of(laptop)
    assert (after.public_id, after.pk != before.pk) == (before.public_id, True)
    assert Tag.SESSIONS_ENDED not in tags(alice)


def test_all_end(laptop: Client, phone: Client) -> None:
    page = laptop.post(END_ALL, {"everywhere": "on"}, follow=True)
    assert page.redirect_chain == [("/", 302)]
    assert "You are signed out." in page.text
    assert not is_signed_in(phone)
    assert not is_signed_in(laptop)
    assert not Session.objects.filter(person__isnull=False).exists()


def test_whoever_ended_their_own_by_its_id_is_out(laptop: Client) -> None:
    laptop.post(END, {"session": row_of(laptop).public_id})
    assert not is_signed_in(laptop)


@pytest.mark.parametrize("what", ["another's", "nobody's", "its key", "rubbish", "\ud800", ""])
def test_nobody_ends_what_is_not_theirs(laptop: Client, mallory: Client, what: str) -> None:
    row = row_of(laptop)
    named = {"another's": row.public_id, "nobody's": uuid4(), "its key": row.pk}.get(what, what)
    typed = {} if what == "" else {"session": str(named).encode("utf-8", "surrogatepass")}
    response = mallory.post(END, typed)
    assert response["Location"] == SECURITY
    assert is_signed_in(laptop)
    mallory.post(END_ALL)
    assert is_signed_in(laptop)


def test_a_session_can_be_ended_after_the_list_is_long(alice: User, laptop: Client) -> None:
    for _ in range(sessions.SHOWN + 5):
        sign_in(Client(), "alice")
    page = laptop.get(SECURITY).text
    assert page.count('name="session"') >= sessions.SHOWN - 1
    laptop.post(END_ALL)
    assert Session.objects.count() == 1


def test_a_new_password_leaves_no_other_in_the_list(
    laptop: Client, phone: Client, alice: User
) -> None:
    typed = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    laptop.post("/users/password/change/", typed)
    assert not is_signed_in(phone)
    assert is_signed_in(laptop)
    assert [row.pk for row in Session.objects.all()] == [row_of(laptop).pk]
    alice.refresh_from_db()
    assert [one.is_here for one in sessions.of(alice, row_of(laptop).pk)] == [True]


def test_staff_ends_the_sessions_of_a_person(laptop: Client, alice: User, browser: Client) -> None:
    root = User.objects.create_superuser("root", "root@example.com", PASSWORD, language="en")
    browser.force_login(root)
    page = browser.get(f"/admin/users/user/{alice.pk}/change/").text
    assert "Chrome · Windows 192.0.2.1" in page
    typed = {"action": "end_sessions", "_selected_action": [str(alice.pk)]}
    assert browser.post("/admin/users/user/", typed).status_code == 302
    assert not is_signed_in(laptop)
    assert is_signed_in(browser)
    page = browser.get(f"/admin/users/user/{alice.pk}/change/").text
    assert "by root" in page
    sign_in(laptop, "alice")
    assert "by staff" in laptop.get("/users/account/activity/").text
    assert "root" not in laptop.get("/users/account/activity/").text.split("<main")[1]


# How long


@pytest.mark.parametrize("remember", [True, False])
def test_a_cookie_outlives_the_browser_only_if_they_want_it(
    browser: Client, alice: User, remember: bool
) -> None:
    typed = {"username": "alice", "password": PASSWORD} | ({"remember": "on"} if remember else {})
    browser.post("/users/login/", typed)
    browser.get("/")
    assert bool(browser.cookies[settings.SESSION_COOKIE_NAME]["max-age"]) == remember
    assert row_of(browser).expire_date > timezone.now() + timedelta(days=6)


def test_it_is_ticked_at_first(browser: Client) -> None:
    assert 'name="remember"' in browser.get("/users/login/").text
    assert "checked" in browser.get("/users/login/").text


# From Django's table


def test_nobody_is_signed_out_by_the_update(laptop: Client, alice: User) -> None:
    move = importlib.import_module("users.migrations.0007_sessions").move
    row, later = row_of(laptop), timezone.now() + timedelta(days=1)
    salt = "django.contrib.sessions.SessionStore"
    rows = [
        (row.pk, row.session_data, later),
        ("a" * 32, signing.dumps({"claim": "x"}, salt=salt), later),
        ("b" * 32, row.session_data, timezone.now() - timedelta(days=1)),
        ("c" * 32, "forged", later),
    ]
    Session.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE django_session (session_key varchar(40), session_data text, "
            "expire_date timestamp with time zone)"
        )
        cursor.executemany(
            "INSERT INTO django_session VALUES (%s, %s, %s)",
            [(key, data, connection.ops.adapt_datetimefield_value(end)) for key, data, end in rows],
        )
        move(apps, type("Editor", (), {"connection": connection}))
        cursor.execute("SELECT count(*) FROM django_session")
        assert cursor.fetchone() == (0,)
        cursor.execute("DROP TABLE django_session")
    assert is_signed_in(laptop)
    moved = row_of(laptop)
    assert (moved.person, moved.started_at is not None) == (alice, True)
    assert SessionStore("a" * 32)["claim"] == "x"
    assert Session.objects.count() == 2
