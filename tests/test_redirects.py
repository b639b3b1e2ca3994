"""Where a form leads to: back to where it was asked for, and never to another site."""

import pytest
from django.test import Client

from tests.conftest import (
    PASSWORD,
    sign_in,
)
from users.models import User

EVIL = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example/",
    "http:evil.example",
    r"\\evil.example",
    r"/\evil.example",
    "javascript:alert(1)",
    "https://testserver@evil.example/",
    "http://testserver.evil.example/",
    "\thttps://evil.example/",
    "\r\nLocation: https://evil.example/",
    "x" * 100_000 + "://evil.example",
]


@pytest.mark.parametrize("where", EVIL)
def test_signing_in_never_leads_to_another_site(browser: Client, alice: User, where: str) -> None:
    page = browser.get("/users/login/", {"next": where})
    typed = {"username": "alice", "password": PASSWORD, "next": where}
    assert browser.post("/users/login/", typed)["Location"] == "/"
    assert 'name="next" value="http' not in page.text
    assert page.text.count('name="next"') == 1, "the language switch, which checks it itself"
    switched = browser.post("/users/language/", {"language": "en", "next": where})
    assert switched["Location"] == "/"


def test_nor_does_signing_out(browser: Client, alice: User) -> None:
    sign_in(browser, "alice")
    assert browser.post("/users/logout/", {"next": "//evil.example/"})["Location"] == "/"


def test_signing_in_leads_back_to_where_it_was_asked_for(browser: Client, alice: User) -> None:
    asked = browser.get("/users/password/change/")["Location"]
    assert asked == "/users/login/?next=/users/password/change/"
    page = browser.get(asked)
    assert 'name="next" value="/users/password/change/"' in page.text
    response = browser.post(asked, {"username": "alice", "password": PASSWORD})
    assert response["Location"] == "/users/password/change/"
