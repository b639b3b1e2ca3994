"""Bad input: whatever a field holds, the answer is a message, and the database is as before."""

from collections.abc import Callable
from typing import Any

import pytest
from django import forms
from django.core import mail as django_mail
from django.test import Client

from mail.models import Mail
from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    activation_link,
    database,
    deliver_all,
    registration,
    reset_link,
    sign_in,
    uid,
)
from users import identity
from users.forms import (
    AddressForm,
    ChangeForm,
    LoginForm,
    NewPasswordForm,
    PasswordForm,
    RegistrationForm,
)
from users.models import Tally, User

BAD = {
    "empty": "",
    "blank": " \t\u3000 ",
    "huge": "x" * 100_000,
    "huge and wide": "Ａ" * 100_000,
    "huge address": "a" * 50_000 + "@" + "b." * 25_000 + "example.com",
    "NUL": "carol\0carol@example.com",
    "newline": "carol\ncarol",
    "carriage return": "carol\rcarol",
    "line separator": "carol\u2028carol",
    "header": "a@b.example\r\nBcc: x@example.com",
    "folded header": "a@b.example\n\tBcc: x@example.com",
    "emoji": "🐴🔋",
    "emoji family": "👨‍👩‍👧",
    "combining": "c" + "\u0301" * 500,
    "Cyrillic": "саrоl@ехаmрlе.com",
    "dotless i": "dıana@example.com",
    "RTL override": "carol\u202eloracm@example.com",
    "zero width": "ca\u200brol",
    "byte order mark": "\ufeffcarol",
    "not a character": "carol\uffff",
    "private use": "carol\ue000",
    "replacement": "carol\ufffd",
    "HTML": "<script>alert(1)</script>",
    "attribute": "\"><img src=x onerror=alert(1)>'",
    "template": "{{ settings.SECRET_KEY }}{% debug %}",
    "SQL": "'; DROP TABLE users_user; --",
    "wildcards": "%_%@%.com",
    "format": "%s%n{0}{}",
    "path": "../../../../etc/passwd",
    "quoted": '"a@b"@example.com',
    "two at": "carol@example.com@evil.example",
    "comment": "carol(evil)@example.com",
    "list": "carol@example.com, mallory@example.com",
    "named": "Carol <carol@example.com>",
    "source route": "@evil.example:carol@example.com",
    "percent": "carol%evil.example@",
    "number": "0",
    "none": "None",
}
SURROGATES = {"lone surrogate": "carol\ud800", "surrogate address": "\udfffcarol@example.com"}
NEW = {"new_password": NEW_PASSWORD}
FORMS: dict[str, dict[str, str]] = {
    "/users/register/": registration(),
    "/users/register/address/": {"email": "carol@example.com"},
    "/users/activate/resend/": {"email": "carol@example.com"},
    "/users/login/": {"username": "alice", "password": "wrong-horse"},
    "/users/password/reset/": {"email": "carol@example.com"},
    "/users/password/change/": {"old_password": PASSWORD, **NEW},
    "/users/activate/<bob>/open/": {"password": PASSWORD},
    "/users/activate/<bob>/password/": NEW,
    "/users/password/reset/<alice>/open/": NEW,
    "/users/language/": {"language": "ko", "next": "/"},
}
FIELDS = [(form, field) for form, fields in FORMS.items() for field in fields]


@pytest.fixture
def visit(alice: User, bob: User) -> Callable[[str], tuple[Client, str]]:
    """A browser that may send the form, and the form's address."""

    def make(form: str) -> tuple[Client, str]:
        browser = Client(headers={"accept-language": "en"})
        if "<bob>" in form:
            browser.get(activation_link(bob))
        if "<alice>" in form:
            browser.get(reset_link(alice))
        if "register/address" in form:
            sign_in(browser, "bob")
        if "change" in form:
            alice.refresh_from_db()
            browser.force_login(alice)
        return browser, form.replace("<bob>", uid(bob)).replace("<alice>", uid(alice))

    return make


def assert_refused(response: Any, before: list[Any]) -> None:
    """A message on a page, or a 4xx; and nothing has happened."""
    assert response.status_code == 200 or 400 <= response.status_code < 500
    assert response.status_code != 200 or 'role="alert"' in response.text
    assert database() == before


# Every field of every form

# Of each kind one; the form below it takes them all.
FEW = ["empty", "blank", "huge", "NUL", "newline", "header", "emoji family", "RTL override", "HTML"]
FEW_PASSWORDS = ["empty", "huge", "NUL", "emoji family"]  # each is only ever hashed
# What is odd and yet allowed: a password of any characters, and a few names.
ALLOWED = {"user_id": {"none"}, "email": set(), "old_password": set(), "username": set()}


@pytest.mark.parametrize(("form", "field"), FIELDS)
def test_no_field_can_break_its_form(visit: Any, form: str, field: str) -> None:
    browser, path = visit(form)
    for what in FEW_PASSWORDS if "password" in field else FEW:
        before = database()
        response = browser.post(path, FORMS[form] | {field: BAD[what]})
        if form == "/users/language/":
            assert response.status_code == 302
        elif response.status_code == 302:
            assert what in ALLOWED.get(field, BAD), what
            assert database() != before, what
            browser, path = visit(form)
        else:
            assert_refused(response, before)


# The rest share the fields of these.
@pytest.mark.parametrize(
    ("form_class", "path", "field"),
    [
        (RegistrationForm, "/users/register/", "user_id"),
        (RegistrationForm, "/users/register/", "name"),
        (RegistrationForm, "/users/register/", "email"),
        (LoginForm, "/users/login/", "username"),
    ],
)
def test_a_form_refuses_what_is_bad_of_any_kind(
    browser: Client, form_class: Any, path: str, field: str
) -> None:
    for what, value in BAD.items():
        typed = FORMS[path] | {field: value}
        if form_class(data=typed).is_valid():
            assert what in ALLOWED.get(field, BAD), what
            assert browser.post(path, typed).status_code == 302, what
            User.objects.all().delete()
        Tally.objects.all().delete()  # the guard takes most of these for one name


@pytest.mark.parametrize("form", FORMS)
def test_a_form_without_one_field_or_without_any_is_refused(visit: Any, form: str) -> None:
    browser, path = visit(form)
    before = database()
    for missing in [*([field] for field in FORMS[form]), list(FORMS[form])]:
        typed = {name: value for name, value in FORMS[form].items() if name not in missing}
        response = browser.post(path, typed)
        if form == "/users/language/":
            assert response.status_code == 302, missing
            assert database() == before, missing
        else:
            assert_refused(response, before)


@pytest.mark.parametrize("form", FORMS)
def test_the_good_values_are_good(visit: Any, form: str) -> None:
    """Otherwise the tests above would show nothing."""
    browser, path = visit(form)
    before = database()
    response = browser.post(path, FORMS[form])
    if form in ("/users/login/", "/users/language/"):
        assert database() == before
    else:
        assert response.status_code == 302
        assert database() != before


@pytest.mark.parametrize(
    "what",
    [
        "empty",
        "blank",
        "huge",
        "NUL",
        "emoji family",
        "combining",
        "RTL override",
        "zero width",
        "byte order mark",
        "not a character",
        "private use",
    ],
)
def test_a_name_that_cannot_be_shown_is_refused(browser: Client, what: str) -> None:
    assert_refused(browser.post("/users/register/", registration(name=BAD[what])), [])


FORM_CLASSES: list[tuple[Any, tuple[Any, ...], dict[str, str]]] = [
    (RegistrationForm, (), registration()),
    (AddressForm, (), {"email": "carol@example.com"}),
    (LoginForm, (None,), {"username": "alice", "password": PASSWORD}),
    (PasswordForm, (User(),), {"password": PASSWORD}),
    (NewPasswordForm, (User(),), NEW),
    (ChangeForm, (User(),), {"old_password": PASSWORD, **NEW}),
]
BOXES = {"terms", "privacy"}  # ticked, whatever is sent
FORM_FIELDS = [
    (cls, args, good, field)
    for cls, args, good in FORM_CLASSES
    for field in sorted({*good} - BOXES)
]


@pytest.mark.parametrize(("cls", "args", "good", "field"), FORM_FIELDS)
def test_half_a_character_is_refused_by_every_form(
    db: None, cls: type[forms.Form], args: Any, good: dict[str, str], field: str
) -> None:
    for what in [*SURROGATES, "NUL"]:
        form = cls(*args, data=good | {field: (BAD | SURROGATES)[what]})
        assert not form.is_valid(), what
    assert not User.objects.exists()


@pytest.mark.parametrize("form", FORMS)
def test_a_browser_without_cookies_breaks_nothing(visit: Any, form: str) -> None:
    _, path = visit(form)
    browser = Client(headers={"accept-language": "en"})
    for method in ("get", "post", "get"):
        browser.cookies.clear()
        assert getattr(browser, method)(path, FORMS[form]).status_code < 500


# Look-alikes


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("ＣａｒｏＬ", "CaroL"),
        ("\N{KELVIN SIGN}im", "Kim"),
        ("\N{LATIN SMALL LETTER LONG S}am", "sam"),
        ("ﬁona", "fiona"),
        ("ca①rol", "ca1rol"),
    ],
)
def test_a_compatible_letter_becomes_the_plain_one(
    browser: Client, typed: str, stored: str
) -> None:
    browser.post("/users/register/", registration(user_id=typed))
    assert User.objects.get().user_id == stored


@pytest.mark.parametrize(
    "user_id", ["саrol", "carоl", "dıana", "carol١", "かろる", "홍길동", "çarol"]
)
def test_a_letter_that_only_looks_alike_is_refused(browser: Client, user_id: str) -> None:
    response = browser.post("/users/register/", registration(user_id=user_id))
    assert "Use 3 to 30 Latin letters" in response.text
    assert database() == []


@pytest.mark.parametrize(
    "twin", ["\N{KELVIN SIGN}im", "ｋｉｍ", "KIM", "ＫＩＭ", "kim ", "\u00a0kim"]
)
def test_a_twin_of_a_taken_name_is_taken(browser: Client, cast: Any, twin: str) -> None:
    cast("kim")
    response = browser.post("/users/register/", registration(user_id=twin))
    assert "This ID is taken." in response.text


def test_an_international_domain_is_stored_in_ascii(browser: Client) -> None:
    browser.post("/users/register/", registration(email="carol@한국.com"))
    assert User.objects.get().email == "carol@xn--3e0b707e.com"
    [letter] = deliver_all()
    assert letter.to == ["carol@xn--3e0b707e.com"]


@pytest.mark.parametrize("typed", ["ＣＡＲＯＬ", "carol@한국.com", "홍 길동", "한글"])
def test_cleaning_twice_is_cleaning_once(typed: str) -> None:
    for clean in (identity.clean_user_id, identity.clean_address, identity.clean_name):
        try:
            once = clean(typed)
        except forms.ValidationError:
            continue
        assert clean(once) == once


# What is shown


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "<b>Alice</b>", 'Ali"><img src=x>', "{{ user.password }}"]
)
def test_a_name_is_shown_and_never_run(browser: Client, cast: Any, name: str) -> None:
    cast("alice", name=name)
    sign_in(browser, "alice")
    page = browser.get("/").text
    assert name not in page or "<" not in name
    assert name.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;") in page


@pytest.mark.parametrize("what", ["HTML", "attribute", "RTL override"])
def test_what_was_typed_comes_back_escaped(browser: Client, what: str) -> None:
    typed = registration(user_id=BAD[what], name=BAD[what], email=BAD[what])
    page = browser.post("/users/register/", typed).text
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_a_name_of_html_never_reaches_a_message(browser: Client) -> None:
    """A stranger's words in a letter to somebody else's mailbox: only the user_id is there."""
    link = "<a href='https://evil.example'>Win</a>"
    browser.post("/users/register/", registration(name=link))
    [letter] = deliver_all()
    assert "evil.example" not in f"{letter.body}{letter.alternatives}{letter.subject}"


def test_a_header_in_an_address_adds_no_recipient(browser: Client, alice: User) -> None:
    for form in ("/users/register/", "/users/password/reset/", "/users/activate/resend/"):
        for email in ("alice@example.com\r\nBcc: m@example.com", "alice@example.com\nX: y"):
            browser.post(form, registration(email=email))
    assert not Mail.objects.exists()
    assert deliver_all() == []
    assert django_mail.outbox == []
