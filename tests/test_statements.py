"""How many statements a flow asks of the database: each is a round trip where it is elsewhere."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.conftest import (
    activation_link,
    deliver_all,
    open_link,
    registration,
    sign_in,
)
from users.models import User

# Without a transaction around each test, so that BEGIN and COMMIT are counted.
pytestmark = pytest.mark.django_db(transaction=True)


def statements(do: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        do()
    return [query["sql"] for query in captured.captured_queries]


def at_most(number: int, asked: list[str]) -> None:
    assert len(asked) <= number, "\n".join(asked)


def test_register(browser: Client) -> None:
    browser.get("/users/register/")
    asked = statements(lambda: browser.post("/users/register/", registration()))
    assert User.objects.count() == 1
    at_most(8, asked)


def test_activate_in_the_browser_that_registered(browser: Client) -> None:
    browser.post("/users/register/", registration())
    page = open_link(browser, activation_link(User.objects.get()))
    asked = statements(lambda: browser.post(page))
    assert User.objects.get().is_active
    at_most(10, asked)


def test_reset(browser: Client, alice: User) -> None:
    form = {"email": alice.email}
    at_most(3, statements(lambda: browser.post("/users/password/reset/", form)))
    assert len(deliver_all()) == 1


def test_login(browser: Client, alice: User) -> None:
    at_most(7, statements(lambda: sign_in(browser, "alice")))
    assert browser.get("/").wsgi_request.user == alice


@pytest.mark.parametrize("name", ["alice", "alice@example.com"])
def test_login_with_a_browser_that_is_known(browser: Client, alice: User, name: str) -> None:
    sign_in(browser, "alice")
    browser.post("/users/logout/")
    browser.get("/")  # shows what the sign-out had to say
    del browser.cookies["sessionid"]
    at_most(7, statements(lambda: sign_in(browser, name)))
    assert browser.get("/").wsgi_request.user == alice


def test_home_of_somebody_who_is_signed_in(browser: Client, alice: User) -> None:
    sign_in(browser, "alice")
    browser.get("/")  # shows what the sign-in had to say
    at_most(2, statements(lambda: browser.get("/")))
