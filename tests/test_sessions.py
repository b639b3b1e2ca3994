"""Our store of sessions: Django's, with fewer statements and the same promises."""

import pytest
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.test import Client

from tests.conftest import is_signed_in, sign_in
from users.models import Session, User
from users.visitors import SessionStore

pytestmark = pytest.mark.django_db


def key_of(browser: Client) -> str:
    return browser.cookies[settings.SESSION_COOKIE_NAME].value


def test_a_sign_in_gives_the_session_another_key_and_ends_the_old_one(
    browser: Client, bob: User, alice: User
) -> None:
    sign_in(browser, "bob")  # waits: his claim is in the session
    before = key_of(browser)
    assert Session.objects.get().pk == before
    sign_in(browser, "alice")
    after = key_of(browser)
    assert Session.objects.get().pk == after != before
    browser.cookies[settings.SESSION_COOKIE_NAME] = before
    assert not is_signed_in(browser)


def test_a_sign_in_over_a_session_that_has_just_ended_begins_a_new_one(db: None) -> None:
    old = SessionStore()
    old["claim"] = "x"
    old.save()
    session = SessionStore(old.session_key)
    session.cycle_key()
    old.delete()
    session.save()
    assert Session.objects.get().pk == session.session_key
    assert SessionStore(session.session_key)["claim"] == "x"


def test_what_was_ended_elsewhere_does_not_come_back(db: None) -> None:
    session = SessionStore()
    session["a"] = 1
    session.save()
    other = SessionStore(session.session_key)
    other.flush()
    session["a"] = 2
    with pytest.raises(UpdateError):
        session.save()
    assert not Session.objects.exists()


def test_a_session_that_is_ended_before_its_new_key_is_written_is_gone(db: None) -> None:
    session = SessionStore()
    session["a"] = 1
    session.save()
    session.cycle_key()
    session.cycle_key()
    session.flush()
    assert not Session.objects.exists()
    session["b"] = 2
    session.save()
    assert dict(SessionStore(session.session_key).items()) == {"b": 2}


def test_a_key_that_is_nobodys_gets_a_new_one(db: None) -> None:
    """Whoever chose the key does not know the session."""
    session = SessionStore("a" * 32)
    session["a"] = 1
    session.save()
    assert Session.objects.get().pk == session.session_key != "a" * 32
