"""Bad requests: wrong methods, encodings, cookies, hosts, and forms of other sites."""

import re
import urllib.parse
from itertools import product
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import URLPattern, reverse

from mail.models import Mail
from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    activation_link,
    database,
    deliver_all,
    is_signed_in,
    registration,
    reset_link,
    sign_in,
    uid,
)
from users import accounts, urls
from users.models import Session, User

NEW = {"new_password": NEW_PASSWORD}

# Encodings and bodies

CHARSETS = ["utf-7", "utf-16", "unicode-escape", "raw-unicode-escape", "no-such-thing", ""]


@pytest.mark.parametrize(
    ("path", "methods", "charset"),
    [
        *product(["/users/register/"], ["post"], CHARSETS),
        ("/users/login/", "get post put", "utf-7"),  # `next` comes with the URL or in the form
    ],
)
def test_half_a_character_does_not_come_in_by_another_encoding(
    browser: Client, path: str, methods: str, charset: str
) -> None:
    """In UTF-7 "+2AA-" is a lone surrogate, which no page can be written with."""
    fields = ("user_id", "name", "email", "username", "next", "password", "terms")
    part = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n+2AA-\\ud800\r\n'
    body = "".join(part.format(field) for field in fields) + "--x--\r\n"
    content_type = f"multipart/form-data; boundary=x; charset={charset}"
    for method in methods.upper().split():
        url = f"{path}?next=+2AA-%5cud800"
        response = browser.generic(method, url, body, content_type=content_type)
        assert response.status_code < 500, method
    assert database() == []


FORM = "application/x-www-form-urlencoded"
NO_FORMS = {
    "broken UTF-8": (b"\xff\xfe\x00=%ff%fe&user_id=%ed%a0%80", FORM),
    "UTF-16": (b"user_id=x", f"{FORM}; charset=utf-16"),
    "garbage": (b"not multipart at all", "multipart/form-data; boundary=x"),
    "no boundary": (b"--x", "multipart/form-data"),
    "long boundary": (b"--x\r\n\r\n", "multipart/form-data; boundary=" + "x" * 500),
    "JSON": (b"{}", "application/json"),
    "many": (b"&".join(b"a%d=1" % number for number in range(2000)), FORM),
    "3 MB": (b"user_id=" + b"x" * 3_000_000, FORM),
}


@pytest.mark.parametrize(
    ("path", "what"),
    [
        *product(["/users/register/"], NO_FORMS),
        *product(["/users/login/", "/users/password/reset/"], ["broken UTF-8"]),
    ],
)
def test_a_body_that_is_no_form_is_refused(browser: Client, path: str, what: str) -> None:
    body, content_type = NO_FORMS[what]
    response = browser.generic("POST", path, body, content_type=content_type)
    assert response.status_code in (200, 400)
    assert database() == []


# Every address, with every method


def every_path(person: User) -> list[str]:
    known = {"uidb64": uid(person), "token": "open"}
    paths = []
    for pattern in urls.urlpatterns:
        assert isinstance(pattern, URLPattern)
        names = pattern.pattern.converters
        paths.append(reverse(f"users:{pattern.name}", kwargs={n: known[n] for n in names}))
    return paths


VISITORS = ["visitor", "bob with a link", "alice with a link"]
FEWER = [("visitor", method) for method in ("head", "options", "patch", "trace")]


@pytest.mark.parametrize(("who", "method"), [*FEWER, *product(VISITORS, ["get", "put", "delete"])])
def test_only_post_changes_anything(alice: User, bob: User, method: str, who: str) -> None:
    person = alice if who.startswith("alice") else bob
    browser = Client(headers={"accept-language": "en"})
    if who.startswith("bob"):
        sign_in(browser, "bob")
        browser.get(activation_link(bob))
    if who.startswith("alice"):
        browser.force_login(alice)
        alice.refresh_from_db()
        browser.get(reset_link(alice))
    before = database()
    form = urllib.parse.urlencode(registration() | NEW | {"username": "alice", "language": "ko"})
    for path in every_path(person):
        if method in ("put", "patch", "delete"):
            kind = "application/x-www-form-urlencoded"
            response = getattr(browser, method)(path, form, content_type=kind)
        else:
            response = getattr(browser, method)(path)
        assert response.status_code in (200, 302, 403, 404, 405), path
        if method in ("patch", "delete", "trace") and response.status_code not in (302, 404):
            assert response.status_code == 405, path
        if method == "trace":
            assert "sessionid" not in response.text
    assert database() == before
    assert is_signed_in(browser) == who.startswith("alice")


@pytest.mark.parametrize("who", VISITORS)
def test_a_form_from_another_site_is_refused(alice: User, bob: User, who: str) -> None:
    person = alice if who.startswith("alice") else bob
    browser = Client(enforce_csrf_checks=True, headers={"accept-language": "en"})
    if who.startswith("bob"):
        browser.get(activation_link(bob))
    if who.startswith("alice"):
        browser.force_login(alice)
        alice.refresh_from_db()
        browser.get(reset_link(alice))
    before = database()
    typed = registration() | NEW | {"username": "alice", "password": PASSWORD, "language": "ko"}
    for path in every_path(person):
        response = browser.post(path, typed)
        assert response.status_code == 403, path
        assert "Please send the form again" in response.text
    forged = browser.post(path, typed | {"csrfmiddlewaretoken": "x" * 64})
    assert forged.status_code == 403
    assert database() == before
    assert is_signed_in(browser) == who.startswith("alice")


def test_a_form_of_ours_passes_the_same_check(db: None) -> None:
    """Otherwise the test above would show nothing."""
    browser = Client(enforce_csrf_checks=True)
    page = browser.get("/users/register/").text
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found
    typed = registration(csrfmiddlewaretoken=found[1])
    assert browser.post("/users/register/", typed).status_code == 302


def test_a_link_says_that_the_browser_blocks_cookies(browser: Client, bob: User) -> None:
    address = browser.get(activation_link(bob))["Location"]
    browser.cookies.clear()
    response = browser.get(address)
    assert response.status_code == 404
    assert "Your browser blocks cookies" in response.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *product(["sessionid"], ["x" * 8, "../../etc", "a" * 4000, "'; --", "\x01", "É"]),
        ("csrftoken", "É"),
        ("django_language", "a" * 4000),
        ("messages", "'; --"),
    ],
)
def test_a_forged_cookie_is_nobody(browser: Client, alice: User, name: str, value: str) -> None:
    browser.cookies[name] = value
    before = database()
    for path in ("/", "/users/login/", "/users/register/success/"):
        assert browser.get(path).status_code in (200, 403)
    assert not is_signed_in(browser)
    assert database() == before


@pytest.mark.parametrize("key", ["\\000" * 32, "x" * 31, "X" * 32, "é" * 32, "a" * 33, "\0"])
def test_a_session_key_that_cannot_be_ours_does_not_reach_the_database(
    browser: Client, django_assert_num_queries: Any, key: str
) -> None:
    """PostgreSQL refuses a NUL: each such cookie was a 500, and a report to ADMINS."""
    with django_assert_num_queries(0):
        for path in ("/", "/users/login/"):
            assert browser.get(path, headers={"cookie": f'sessionid="{key}"'}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/users/login/", "/nothing/", "/admin/users/user/"])
def test_a_nul_in_a_query_is_refused(browser: Client, path: str) -> None:
    for query in ("next=%00", "%00=1", "level=a%00b"):
        assert browser.get(f"{path}?{query}").status_code == 400


def test_a_claim_in_the_session_that_is_none_is_nobody(browser: Client, bob: User) -> None:
    sign_in(browser, "bob")
    accounts.cancel(bob)
    assert "This registration has ended" in browser.get("/users/register/success/").text


@pytest.mark.parametrize("language", ["", "x" * 5000, "en\0", "../ko", "zz-ZZ", "ko,en;q=2", "🐴"])
def test_a_language_that_is_none_is_ignored(browser: Client, alice: User, language: str) -> None:
    sign_in(browser, "alice")
    before = database()
    browser.post("/users/language/", {"language": language, "next": "/"})
    assert browser.get("/", headers={"accept-language": language.strip("\0🐴")}).status_code == 200
    assert database() == before


def test_a_visitor_who_only_looks_leaves_no_session(bob: User) -> None:
    for path in [*every_path(bob), "/", "/nothing/", "/admin/", "/.well-known/change-password"]:
        for method in ("get", "head", "options"):
            getattr(Client(), method)(path, follow=True)
    Client().post("/users/language/", {"language": "ko"})
    Client().post("/users/logout/")
    Client().post("/users/login/", {"username": "bob", "password": "wrong"})
    assert not Session.objects.exists()


# The Host of a request


@pytest.mark.parametrize(
    "host",
    ["evil.example", "testserver.evil.example", "testserver@evil.example", "a b", "", "[::1"],
)
def test_a_foreign_host_is_refused(browser: Client, alice: User, host: str) -> None:
    for path in ("/", "/users/login/", "/users/password/reset/"):
        assert browser.get(path, headers={"host": host}).status_code == 400
        response = browser.post(path, {"email": alice.email}, headers={"host": host})
        assert response.status_code == 400
        assert "evil" not in response.text
    assert not Mail.objects.exists()


@override_settings(ALLOWED_HOSTS=["*"])
def test_every_link_in_every_letter_begins_with_our_own_address(
    browser: Client, alice: User, bob: User, dora: User
) -> None:
    """Even where an operator lets every Host in."""
    evil = {"host": "evil.example", "x-forwarded-host": "evil.example"}
    browser.post("/users/register/", registration(), headers=evil)
    Client().post("/users/register/", registration(user_id="c2", email=alice.email), headers=evil)
    for email in (alice.email, bob.email, dora.email):
        browser.post("/users/password/reset/", {"email": email}, headers=evil)
        browser.post("/users/activate/resend/", {"email": email}, headers=evil)
    accounts.choose_password(alice, NEW_PASSWORD)
    letters = deliver_all()
    subjects = {letter.subject.partition(", ")[2] for letter in letters}
    assert len(subjects) == 4, "each letter is among them"
    for letter in letters:
        for part in (str(letter.body), str(letter.alternatives[0][0])):
            found = re.findall(r"https?://[^\s\"<]+", part)
            assert found
            assert all(link.startswith("http://127.0.0.1:8000") for link in found)
        assert "evil" not in str(letter.message())


# The language switch


def test_the_language_is_changed_by_post_alone(browser: Client, alice: User) -> None:
    browser.force_login(alice)
    before = database()
    for method in ("get", "head", "put", "delete"):
        response = getattr(browser, method)("/users/language/?language=ko")
        assert response.status_code == 405
    assert database() == before
    assert "django_language" not in browser.cookies


@pytest.mark.parametrize(
    ("host", "path", "query", "status"),
    [
        ("evil.example", "/", "", 400),
        ("testserver", "/", "q=%00", 400),
        ("testserver", "/no/such/page/", "", 404),
    ],
)
def test_the_page_of_a_refusal_does_not_read_the_request_again(
    db: None, host: str, path: str, query: str, status: int
) -> None:
    """Django's looks for a CSRF token in the form, which may not be readable at all."""
    browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
    browser.cookies["csrftoken"] = "x" * 32
    kind, headers = "multipart/form-data", {"host": host}
    response = browser.generic("POST", path, b"x", kind, headers=headers, QUERY_STRING=query)
    assert response.status_code == status
    assert "<h1>" in response.text
