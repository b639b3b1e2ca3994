"""Small promises of docs/security.md that no other story shows."""

import logging
import re
import smtplib
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.core.cache.backends.locmem import LocMemCache
from django.core.mail.backends.locmem import EmailBackend
from django.test import Client
from django.utils import timezone

from cs_web.middleware import POLICY
from mail.models import Mail
from mail.transport.faults import explain
from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    deliver_all,
    open_link,
    registration,
    reset_link,
    sign_in,
)
from users import accounts
from users.models import User

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"`((?:e2e/)?test_\w+\.py)::(test_\w+)`")


def test_every_test_that_the_document_names_exists() -> None:
    named = NAMED.findall((ROOT / "docs/security.md").read_text())
    assert len(named) > 100
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(), f"{file}::{test}"


# Staff


def test_staff_cannot_read_a_hash_through_the_filters_of_the_list(
    browser: Client, alice: User, bob: User
) -> None:
    alice.user_permissions.add(Permission.objects.get(codename="view_user"))
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    browser.force_login(alice)
    for lookup in ("password__startswith=m", "password=x", "password__regex=.", "password__gt=a"):
        assert browser.get(f"/admin/users/user/?{lookup}").status_code == 400


def test_the_reset_that_staff_sends_is_not_used_up_by_strangers(alice: User) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(8):
            accounts.request_reset(alice.email, "en")
            deliver_all()
            clock.shift(timedelta(minutes=2))
        accounts.send_reset(alice)
        assert len(deliver_all()) == 1


def test_rights_that_are_taken_away_are_gone_at_once(browser: Client, db: None) -> None:
    root = User.objects.create_superuser("root", "root@example.com", PASSWORD)
    browser.force_login(root)
    assert browser.get("/admin/").status_code == 200
    User.objects.filter(pk=root.pk).update(is_staff=False)
    assert browser.get("/admin/").status_code == 302


# What a page says


def test_a_refusal_does_not_show_how_the_owner_spells_the_address(
    browser: Client, alice: User, monkeypatch: pytest.MonkeyPatch, clock: Callable[[Any], None]
) -> None:
    browser.post("/users/register/", registration(email="ALICE@EXAMPLE.com"))
    refusal = smtplib.SMTPRecipientsRefused({alice.email: (550, b"5.1.1 <alice@example.com>: no")})

    def send(*_: Any) -> int:
        raise refusal

    monkeypatch.setattr(EmailBackend, "send_messages", send)
    deliver_all()
    clock(timezone.now() + timedelta(seconds=6))
    page = browser.get("/users/register/status/").text
    assert "deliver to this address" in page
    assert "550 5.1.1" not in page
    assert "alice@example.com" not in page
    assert "5.1.1" not in page, "nor what a server says of a mailbox"


def test_a_persons_pages_and_the_answers_to_forms_are_not_stored(
    browser: Client, alice: User
) -> None:
    given_back = browser.post("/users/register/", registration(user_id="no"))
    assert "no-store" in given_back.headers["Cache-Control"]
    sign_in(browser, "alice")
    for path in ("/", "/users/password/change/"):
        assert "no-store" in browser.get(path).headers["Cache-Control"]


def test_every_page_carries_the_policy(browser: Client) -> None:
    for path in ("/", "/users/login/", "/nothing/", "/admin/login/"):
        assert browser.get(path).headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert "frame-ancestors 'none'" in POLICY


def test_cookies_are_for_us_alone(browser: Client, alice: User) -> None:
    browser.get("/users/login/")
    sign_in(browser, "alice")
    browser.post("/users/language/", {"language": "ko"})
    assert set(browser.cookies) == {"csrftoken", "sessionid", "django_language", "device"}
    for cookie in browser.cookies.values():
        assert cookie["httponly"], cookie.key
        assert cookie["samesite"] == "Lax", cookie.key


def test_password_managers_find_their_way(browser: Client) -> None:
    login = browser.get("/users/login/").text
    assert 'autocomplete="username"' in login
    assert 'autocomplete="current-password"' in login
    form = browser.get("/users/register/").text
    assert form.count('autocomplete="new-password"') == 1
    assert 'autocomplete="email"' in form


def test_a_broken_page_says_nothing_of_what_broke(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret-of-the-inside")

    browser.raise_request_exception = False
    monkeypatch.setattr("users.accounts.request_reset", fail)
    page = browser.post("/users/password/reset/", {"email": "a@example.com"})
    assert page.status_code == 500
    assert "secret-of-the-inside" not in page.text
    assert "Traceback" not in page.text


# Sessions


@pytest.fixture
def staff(alice: User) -> User:
    User.objects.filter(pk=alice.pk).update(is_staff=True, is_superuser=True)
    return alice


def hours_until_the_end(browser: Client, every: timedelta, path: str = "/") -> float:
    """How long somebody stays signed in who does something so often."""
    sign_in(browser, "alice")
    with time_machine.travel(timezone.now(), tick=False) as clock:
        passed = timedelta(0)
        while passed < timedelta(days=30):
            clock.shift(every)
            passed += every
            if not browser.get(path).wsgi_request.user.is_authenticated:
                break
    return passed / timedelta(hours=1)


def test_a_session_ends_after_fourteen_days_however_it_is_used(
    browser: Client, alice: User
) -> None:
    assert hours_until_the_end(browser, timedelta(hours=24)) == 14 * 24


def test_a_session_that_is_not_used_ends_after_seven_days(browser: Client, alice: User) -> None:
    assert hours_until_the_end(browser, timedelta(days=6.5)) > 7 * 24
    assert hours_until_the_end(browser, timedelta(days=7)) == 7 * 24


def test_staff_signs_in_every_day_and_after_every_pause(browser: Client, staff: User) -> None:
    assert hours_until_the_end(browser, timedelta(minutes=30), "/admin/") == 12
    assert hours_until_the_end(browser, timedelta(hours=1), "/admin/") == 1


def test_an_action_in_the_admin_does_not_extend_a_session(browser: Client, staff: User) -> None:
    """Each leaves a message, which is saved with the session."""
    sign_in(browser, "alice")
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(23):
            clock.shift(timedelta(minutes=30))
            action = {"action": "send_reset", "_selected_action": [str(staff.pk)]}
            action["proof"] = PASSWORD
            assert browser.post("/admin/users/user/", action).status_code == 302
        clock.shift(timedelta(minutes=31))
        assert "/users/login/" in browser.get("/admin/", follow=True).redirect_chain[-1][0]
        assert "sessionid" not in browser.cookies or not browser.cookies["sessionid"].value


def test_who_becomes_staff_has_the_session_of_staff_at_once(browser: Client, alice: User) -> None:
    sign_in(browser, "alice")
    with time_machine.travel(timezone.now(), tick=False) as clock:
        clock.shift(timedelta(hours=13))
        assert browser.get("/").wsgi_request.user.is_authenticated
        User.objects.filter(pk=alice.pk).update(is_staff=True)
        assert not browser.get("/").wsgi_request.user.is_authenticated


def test_a_new_password_does_not_extend_a_session(browser: Client, alice: User) -> None:
    sign_in(browser, "alice")
    typed = {"new_password": NEW_PASSWORD}
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(3):
            clock.shift(timedelta(days=4))
            assert browser.get("/").wsgi_request.user.is_authenticated
        browser.post("/users/password/change/", {"old_password": PASSWORD, **typed})
        assert browser.get("/").wsgi_request.user.is_authenticated
        clock.shift(timedelta(days=2))
        assert not browser.get("/").wsgi_request.user.is_authenticated


def test_a_session_is_not_written_at_each_request(
    browser: Client, alice: User, django_assert_num_queries: Any
) -> None:
    sign_in(browser, "alice")
    browser.get("/")
    with django_assert_num_queries(2):  # the session, the person
        browser.get("/")


def test_sessions_and_links_survive_a_change_of_the_key(
    browser: Client, other_browser: Client, alice: User, settings: Any
) -> None:
    sign_in(browser, "alice")
    alice.refresh_from_db()
    page = open_link(other_browser, reset_link(alice))
    before = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another" * 10, [before]
    assert browser.get("/").wsgi_request.user.is_authenticated
    assert other_browser.get(page).status_code == 200


# The log


def test_who_came_in_went_and_was_turned_away_is_in_the_log(
    browser: Client, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "users.audit"):
        sign_in(browser, "alice", "wrong password")
        sign_in(browser, "alice")
        browser.post("/users/logout/")
    logged = [record.getMessage() for record in caplog.records if record.name == "users.audit"]
    assert logged == [
        "sign-in refused from 127.0.0.1",
        f"signed in: {alice.pk} from 127.0.0.1",
        f"signed out: {alice.pk}",
    ]


def test_a_servers_answer_of_many_lines_is_one_line_here() -> None:
    reply = b"5.1.1 no\r\n2026-11-20 CRITICAL mail.alarm: forged\x1b[31m"
    _, words = explain(smtplib.SMTPDataError(550, reply))
    assert words.isprintable()
    assert "no 2026-11-20 CRITICAL" in words


# While something is away


def test_registration_goes_on_while_the_cache_is_away(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise ConnectionError("no Redis")

    monkeypatch.setattr(LocMemCache, "add", away)
    assert browser.post("/users/register/", registration()).status_code == 302
    assert Mail.objects.count() == 1


# What is delivered


def test_there_is_nobody_until_somebody_registers(db: None) -> None:
    assert not User.objects.exists()


def test_secrets_and_the_database_are_not_for_git() -> None:
    for name in ("secrets.json", "var/db.sqlite3"):
        ignored = subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False)
        assert ignored.returncode == 0, name
