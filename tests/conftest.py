"""The cast and the stage. Alice is active, Bob is waiting, Dora is disabled, Mallory attacks."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail as django_mail
from django.core.mail import EmailMultiAlternatives
from django.test import Client

from mail import connections, delivery
from mail.models import Mail
from users import accounts
from users.models import User

PASSWORD = "correct-horse-battery"  # everybody's, so that no story has to say it
NEW_PASSWORD = "staple-horse-correct"
LINK = re.compile(r"http://127\.0\.0\.1:8000(/users/\S+)")


@pytest.fixture(autouse=True)
def _no_kept_connection() -> Any:
    """A kept connection must not carry one test's mail service into the next."""
    yield
    connections.close()


@pytest.fixture
def cast(db: None) -> Callable[..., User]:
    """Makes a person by the door that every person comes through."""

    def make(user_id: str, state: str = "active", **fields: Any) -> User:
        fields = {
            "email": f"{user_id}@example.com",
            "name": user_id.capitalize(),
            "password": PASSWORD,
            "language": "en",
            **fields,
        }
        person = accounts.register(user_id=user_id, **fields)
        Mail.objects.filter(user=person).delete()
        if state in ("active", "disabled"):
            person = accounts.activate(person)
        if state == "disabled":
            accounts.disable(person)
            person.refresh_from_db()
        return person

    return make


@pytest.fixture
def alice(cast: Callable[..., User]) -> User:
    return cast("alice")


@pytest.fixture
def bob(cast: Callable[..., User]) -> User:
    return cast("bob", "waiting")


@pytest.fixture
def dora(cast: Callable[..., User]) -> User:
    return cast("dora", "disabled")


@pytest.fixture
def browser(db: None) -> Client:
    """A visitor who reads English."""
    return Client(headers={"accept-language": "en"})


@pytest.fixture
def other_browser(db: None) -> Client:
    return Client(headers={"accept-language": "en"})


def deliver_all() -> list[EmailMultiAlternatives]:
    """One step of the senders: whatever is due goes out. The letters of this step."""
    before = len(django_mail.outbox)
    for pk in delivery.overdue():
        delivery.deliver(pk)
    return django_mail.outbox[before:]  # type: ignore[return-value]


def link_in(letter: EmailMultiAlternatives) -> str:
    """The path of the first link in the text part."""
    found = LINK.search(str(letter.body))
    assert found, f"no link in {letter.body}"
    return found[1]


def registration(**changes: str) -> dict[str, str]:
    return {
        "user_id": "carol",
        "name": "Carol",
        "email": "carol@example.com",
        "password1": PASSWORD,
        "password2": PASSWORD,
        **changes,
    }
