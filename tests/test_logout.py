"""Logout: a POST, which ends the session and not only the cookie."""

import pytest
from django.test import Client

from tests.conftest import (
    is_signed_in,
    sign_in,
)
from users.models import User


def test_logout_ends_the_session_and_not_only_the_cookie(
    browser: Client, other_browser: Client, alice: User
) -> None:
    sign_in(browser, "alice")
    other_browser.cookies["sessionid"] = browser.cookies["sessionid"].value
    assert is_signed_in(other_browser)
    response = browser.post("/users/logout/", follow=True)
    assert response.redirect_chain == [("/", 302)]
    assert "You are signed out." in response.text
    assert not is_signed_in(browser)
    assert not is_signed_in(other_browser)


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "trace", "options"])
def test_logout_takes_nothing_but_post(browser: Client, alice: User, method: str) -> None:
    sign_in(browser, "alice")
    response = getattr(browser, method)("/users/logout/")
    assert response.status_code == (200 if method == "options" else 405)
    assert is_signed_in(browser)


def test_nobody_may_log_out(browser: Client) -> None:
    assert browser.post("/users/logout/")["Location"] == "/"
