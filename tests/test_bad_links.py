"""Bad links: whatever is in one, the answer is the plain page, and nothing happens."""

import re
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils.http import urlsafe_base64_encode

from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    activation_link,
    database,
    reset_link,
    uid,
)
from users import accounts, letters, tokens
from users.models import User

NEW = {"new_password": NEW_PASSWORD}


GENUINE = object()
TOKENS: dict[str, Any] = {
    "random": "c9yx1w-0123456789abcdef0123456789abcdef",
    "no dash": "0123456789abcdef",
    "dashes": "---",
    "oldest": "0-0123456789abcdef0123456789abcdef",
    "far future": "zzzzzzzzzzzzz-0123456789abcdef0123456789abcdef",
    "beyond every clock": "2gosa7pa2gv-0123456789abcdef0123456789abcdef",
    "too big a number": "z" * 14 + "-0123456789abcdef",
    "sign": "+5-abc",
    "full-width digits": "１２３-abc",
    "NUL": "%00",
    "NUL inside": "c9yx1w-%00",
    "newline": "c9yx1w-abc%0d%0aSet-Cookie:%20a=b",
    "no UTF-8": "%ff%fe%fd",
    "surrogate": "%ed%a0%80",
    "emoji": "🐴-🔋",
    "very long": "a" * 20_000,
    "very long digest": "c9yx1w-" + "f" * 20_000,
    "HTML": "%3Cscript%3Ealert(1)%3C",
    "dots": "..",
    "the name of our own page": "open",
}
UIDS = {
    "not base64": "!!!",
    "nobody": "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAw",
    "nobody, short": "AAAAAAAAAAAAAAAAAAAAAA",
    "sixteen letters": "YWJjZGVmZ2hpamtsbW5vcA",
    "fifteen bytes": "AAAAAAAAAAAAAAAAAAAA",
    "seventeen bytes": "AAAAAAAAAAAAAAAAAAAAAAA",
    "number": "MQ",
    "nothing": "%20",
    "NUL": "%00",
    "no UTF-8": "%ff%fe",
    "no UTF-8 inside": "__79_A",
    "very long": "YWJj" * 5_000,
    "emoji": "🐴",
    "path": "..%2f..",
}
LINKS = {
    "/users/activate/": ("bob", activation_link),
    "/users/password/reset/": ("alice", reset_link),
}
LINK_NAMES = {
    "/users/activate/": "users:activate",
    "/users/password/reset/": "users:password_reset_confirm",
    "/users/notices/": "users:notices",
    "/users/address/": "users:address_confirm",
    "/users/take-back/": "users:take_back",
    "/users/deletion/": "users:deletion_undo",
}
each_kind = pytest.mark.parametrize("path", LINK_NAMES)
# The pages behind both are LinkPages: what is odd about a link is tried with one of them.
ONE, OTHER = LINKS


@each_kind
def test_a_link_of_an_older_letter_works_with_its_longer_id(
    browser: Client, alice: User, bob: User, path: str
) -> None:
    """It held the 36 characters of the id; now it holds its 16 bytes."""
    person, keys = {
        "/users/activate/": (bob, tokens.activation),
        "/users/password/reset/": (alice, tokens.reset),
        "/users/notices/": (alice, tokens.notices),
        "/users/address/": (alice, tokens.address),
        "/users/take-back/": (alice, tokens.take_back),
        "/users/deletion/": (alice, tokens.deletion),
    }[path]
    if path == "/users/address/":
        accounts.request_address(alice, "alice@example.org")
    if path == "/users/deletion/":
        accounts.request_deletion(alice)
        alice.refresh_from_db()
    letters_own = urlsplit(letters._link(LINK_NAMES[path], person, keys)).path
    assert letters_own.startswith(f"{path}{uid(person)}/")
    assert len(uid(person)) == 22
    older = letters_own.replace(uid(person), urlsafe_base64_encode(str(person.pk).encode()))
    for link in (letters_own, older):
        page = browser.get(link, follow=True)
        assert page.status_code == 200, link
        assert page.redirect_chain == [(link.replace(link.split("/")[-2], "open"), 302)]
        assert 'method="post"' in page.text
    before = database()
    browser.post(page.redirect_chain[0][0], {"password": PASSWORD, **NEW})
    assert database() != before


@pytest.mark.parametrize(
    ("prefix", "what"),
    [*product([ONE], TOKENS), *product([OTHER], ["random", "beyond every clock"])],
)
def test_a_token_that_is_none_gets_the_plain_page(
    browser: Client, alice: User, bob: User, prefix: str, what: str
) -> None:
    person = {"bob": bob, "alice": alice}[LINKS[prefix][0]]
    path, before = f"{prefix}{uid(person)}/{TOKENS[what]}/", database()
    for response in (browser.get(path, follow=True), browser.post(path, NEW, follow=True)):
        assert response.status_code == 404
        failed = "Mail verification failed." if prefix == ONE else "no longer be used"
        assert failed in response.text or what == "dots"
        assert prefix == ONE or "verification" not in response.text
    assert database() == before


@pytest.mark.parametrize(("prefix", "what"), [*product([ONE], UIDS), (OTHER, "nobody")])
def test_a_person_who_is_none_gets_the_plain_page(
    browser: Client, alice: User, bob: User, prefix: str, what: str
) -> None:
    person, link = LINKS[prefix]
    token = link({"bob": bob, "alice": alice}[person]).split("/")[-2]
    before = database()
    for page in (token, "open", "password", "decline", "renew"):
        path = f"{prefix}{UIDS[what]}/{page}/"
        assert browser.get(path, follow=True).status_code in (404, 405)
        assert browser.post(path, NEW, follow=True).status_code == 404
    assert database() == before


@pytest.mark.parametrize("prefix", LINKS)
def test_a_damaged_token_gets_the_plain_page(
    browser: Client, alice: User, bob: User, prefix: str
) -> None:
    person, make = LINKS[prefix]
    link = make({"bob": bob, "alice": alice}[person]).rstrip("/")
    before = database()
    damaged = [link[:-1], link[:-20], f"{link}f", f"{link}%20", f"{link}.", f"{link}%3E"]
    damaged += [link.swapcase(), link.replace("-", "%E2%80%93"), link[:-1] + "%EF%BC%90"]
    for path in damaged:
        assert browser.get(f"{path}/", follow=True).status_code == 404, path
    assert database() == before


@pytest.mark.parametrize("prefix", LINKS)
def test_every_plain_page_is_the_same(alice: User, bob: User, dora: User, prefix: str) -> None:
    pages = set()
    person = {"bob": bob, "alice": alice}[LINKS[prefix][0]]
    for path in (
        f"{prefix}{uid(person)}/c9yx1w-0123456789abcdef0123456789abcdef/",
        f"{prefix}{uid(dora)}/c9yx1w-0123456789abcdef0123456789abcdef/",
        f"{prefix}{UIDS['nobody']}/c9yx1w-0123456789abcdef0123456789abcdef/",
        f"{prefix}{uid(person)}/open/",
        f"{prefix}!!!/x/",
    ):
        text = Client(headers={"accept-language": "en"}).get(path).text
        text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", text)
        pages.add(text.replace(path, "…"))
    assert len(pages) == 1
