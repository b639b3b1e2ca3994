"""The first administrator: made at a prompt, by the same rules as everybody."""

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client

from mail.models import Mail
from tests.conftest import (
    PASSWORD,
    database,
    is_signed_in,
    sign_in,
)
from users.models import Level, State, User


def test_create_superuser_makes_an_active_administrator(browser: Client, db: None) -> None:
    boss = User.objects.create_superuser("Admin", "boss@EXAMPLE.com", PASSWORD)
    assert boss.state == State.ACTIVE
    assert (boss.is_staff, boss.is_superuser, boss.level) == (True, True, Level.DEVELOPER)
    assert (boss.email, boss.name) == ("boss@example.com", "Admin")
    sign_in(browser, "admin")
    assert browser.get("/admin/").status_code == 200
    assert not Mail.objects.exists()


def test_the_command_makes_one(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command(
        "createsuperuser", user_id="boss", email="boss@example.com", interactive=False, verbosity=0
    )
    assert User.objects.get().check_password(PASSWORD)


@pytest.mark.parametrize(
    ("user_id", "email"),
    [
        ("ALICE", "boss@example.com"),
        ("boss", "Alice@Example.com"),
        ("b@d", "boss@example.com"),
        ("boss", "no address"),
        ("", "boss@example.com"),
    ],
)
def test_a_superuser_follows_the_same_rules(alice: User, user_id: str, email: str) -> None:
    before = database()
    with pytest.raises(ValidationError):
        User.objects.create_superuser(user_id, email, PASSWORD)
    assert database() == before


def test_the_command_reports_a_taken_name_in_words(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    with pytest.raises(CommandError, match="taken"):
        call_command("createsuperuser", user_id="alice", email="b@example.com", interactive=False)
    assert User.objects.get() == alice


def test_a_superuser_without_a_password_cannot_sign_in(browser: Client, db: None) -> None:
    User.objects.create_superuser("boss", "boss@example.com")
    for password in ("", "None", "!"):
        sign_in(browser, "boss", password)
        assert not is_signed_in(browser)
