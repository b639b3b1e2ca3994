"""What a stranger can make us store: only what a limited form does, and so only so much a day."""

import re
from typing import Any

import pytest
from django.apps import apps
from django.core.cache import cache
from django.test import Client
from django.urls import get_resolver

from tests.conftest import registration

pytestmark = pytest.mark.django_db


# What the guard counts of wrong passwords: so many rows a network and day (`test_guard.py`).
COUNTS = ("Tally", "FailedSignIn")


def rows() -> dict[str, int]:
    models = [model for model in apps.get_models() if model.__name__ not in COUNTS]
    return {model.__name__: model._default_manager.count() for model in models}


def addresses() -> list[str]:
    """Of every page for visitors, with rubbish in the place of an id or a token."""
    [users] = [one for one in get_resolver().url_patterns if "users" in str(one.pattern)]
    return [
        "/" + str(users.pattern) + re.sub(r"<\w+>", "rubbish", str(page.pattern))
        for page in users.url_patterns
    ]


@pytest.mark.parametrize("method", ["get", "post"])
def test_rubbish_is_stored_nowhere(method: str) -> None:
    before = rows()
    assert len(addresses()) > 15
    for address in addresses():
        for number in range(2):
            fields = {"user_id": f"m{number}", "email": "rubbish", "username": "m", "password": "m"}
            assert getattr(Client(), method)(address, fields).status_code < 500
    # Wrong passwords are counted, in rows that the guard bounds and prunes (users/guard.py).
    guesses = {"Tally", "FailedSignIn"}
    assert {name: n for name, n in rows().items() if name not in guesses} == {
        name: n for name, n in before.items() if name not in guesses
    }


STORING: list[tuple[str, dict[str, str]]] = [
    ("/users/register/", registration()),
    ("/users/password/reset/", {"email": "nobody@example.com"}),
    ("/users/activate/resend/", {"email": "nobody@example.com"}),
]


def test_what_is_stored_has_been_counted(settings: Any) -> None:
    settings.FORMS_PER_NETWORK_LIMIT = len(STORING)
    assert {Client().post(path, fields).status_code for path, fields in STORING} == {302}
    full = rows()
    for path, fields in STORING:
        assert Client().post(path, fields).status_code == 429
    assert rows() == full


def test_a_form_that_stores_nothing_twice_is_no_row_more() -> None:
    """Asking again for a letter that still waits is the same row."""
    for _ in range(5):
        cache.clear()
        Client().post("/users/password/reset/", {"email": "nobody@example.com"})
    assert rows()["Mail"] == 1
