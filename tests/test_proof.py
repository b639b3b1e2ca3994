"""Whatever counts asks for the password, unless it was given in the last ten minutes."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from mail.models import Mail, Suppression
from tests.conftest import PASSWORD, database, deliver_all, sign_in, uid
from tests.crawler import routes
from users import guard, proofs, urls
from users.models import User

ASKED = "Please enter your password"
# Forms for people who are signed in: each changes what counts, or does not. One that is new belongs
# into one of the two.
SENSITIVE = {"account_session_end", "account_sessions_end", "address", "deletion", "export"}
PLAIN = {
    "account",  # name and language
    "language",
    "logout",
    "password_change",  # asks for the current password itself
    "password_change_forgot",  # a link to the mailbox
    "address_cancel",  # everything stays as it is
    # Not for people who are signed in.
    "login", "register", "activate_resend", "activate_resend_sent", "password_reset",
    # Of a registration, or behind a mailed link.
    "register_address", "register_cancel", "register_resend", "activate", "activate_password",
    "activate_decline", "activate_renew", "password_reset_confirm", "password_reset_renew",
    "notices", "address_confirm", "take_back", "deletion_undo",
}  # fmt: skip
PLAIN_IN_ADMIN = {"admin/logout/", "admin/login/", "admin/password_change/"}


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root", "root@example.com", PASSWORD, language="en")


@pytest.fixture
def late(browser: Client, root: User, clock: Any) -> Client:
    """A browser of staff, eleven minutes after the sign-in."""
    sign_in(browser, "root")
    clock(timezone.now() + timedelta(minutes=11))
    return browser


def act(browser: Client, person: User, **more: Any) -> Any:
    typed = {"action": "disable", "_selected_action": [str(person.pk)], **more}
    return browser.post("/admin/users/user/", typed)


def is_disabled(person: User) -> bool:
    return not User.objects.get(pk=person.pk).is_active


def answer(page: Any, password: str = PASSWORD) -> dict[str, list[str]]:
    """The form of the page that asks, filled in."""
    form = page.text.split('<form class="panel"')[1].split("</form>")[0]
    fields: dict[str, list[str]] = {"proof": [password]}
    for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form):
        if name != "csrfmiddlewaretoken":
            fields.setdefault(name, []).append(value)
    return fields


# Every URL


def test_every_form_for_people_who_are_signed_in_asks_or_is_known_not_to(
    late: Client, root: User
) -> None:
    asking, people = set(), list(User.objects.values_list("pk", "password", "is_active"))
    known = {"uidb64": uid(root), "token": "open"}
    for pattern in urls.urlpatterns:
        names = pattern.pattern.converters
        path = reverse(f"users:{pattern.name}", kwargs={n: known.get(n, "x") for n in names})
        key = late.cookies["sessionid"].value
        response = late.post(path)
        if pattern.name == "logout":
            late.cookies["sessionid"] = key
            late.force_login(root)
            session = late.session
            session[proofs.PROVEN_AT] = 0.0
            session.save()
        if response.status_code == 405:
            continue
        assert pattern.name in SENSITIVE | PLAIN, f"{pattern.name}: does it ask for the password?"
        if ASKED in response.text:
            asking.add(pattern.name)
    assert asking == SENSITIVE
    assert list(User.objects.values_list("pk", "password", "is_active")) == people


def test_every_change_in_the_admin_asks(late: Client, root: User, alice: User, bob: User) -> None:
    mail = Mail.objects.create(letter="register", user=bob, language="en")
    row = Suppression.objects.create(address="x@example.com", reason="declined")
    before, seen = database(), 0
    from cs_web.urls import urlpatterns

    for route in routes(urlpatterns):
        if not route.startswith("admin/") or route in PLAIN_IN_ADMIN or "final_catch_all" in route:
            continue
        for pk in (alice.pk, mail.pk, row.pk):
            path = "/" + re.sub(r"<[^>]+>", str(pk), route)
            if "(" in path:  # an expression
                continue
            response = late.post(path, {"name": "Mallory", "_save": "on", "post": "yes"})
            assert ASKED in response.text, path
            seen += 1
    assert seen > 30
    assert database() == before


def test_staff_signs_out_without_a_proof(late: Client) -> None:
    late.post("/admin/logout/")
    assert not late.get("/").wsgi_request.user.is_authenticated


# The form that asks


def test_the_form_goes_on_with_the_right_password(late: Client, alice: User) -> None:
    page = act(late, alice)
    assert ASKED in page.text
    assert not is_disabled(alice)
    assert page.headers["Cache-Control"].count("no-store")
    response = late.post("/admin/users/user/", answer(page))
    assert response.status_code == 302
    assert is_disabled(alice)


def test_and_then_nothing_is_asked_for_ten_minutes(
    late: Client, alice: User, cast: Callable[..., User], clock: Any
) -> None:
    late.post("/admin/users/user/", answer(act(late, alice)))
    clock(timezone.now() + timedelta(minutes=9))
    assert act(late, cast("carol")).status_code == 302
    clock(timezone.now() + timedelta(minutes=1))
    assert ASKED in act(late, cast("dave")).text


def test_nothing_is_asked_right_after_signing_in(browser: Client, root: User, alice: User) -> None:
    sign_in(browser, "root")
    assert act(browser, alice).status_code == 302
    assert is_disabled(alice)


@pytest.mark.parametrize("password", ["wrong-horse", "", "x" * 300, "nul\0"])
def test_a_wrong_password_changes_nothing_and_keeps_the_form(
    late: Client, alice: User, password: str
) -> None:
    fields = answer(act(late, alice), password)
    page = late.post("/admin/users/user/", fields)
    assert ASKED in page.text
    assert answer(page) == {**fields, "proof": [PASSWORD]}
    assert password not in page.text or not password
    assert not is_disabled(alice)
    assert late.post("/admin/users/user/", answer(page)).status_code == 302
    assert is_disabled(alice)


def test_guesses_are_as_bounded_as_everywhere(late: Client, alice: User) -> None:
    page = act(late, alice)
    statuses = [
        late.post("/admin/users/user/", answer(page, "wrong-horse")).status_code
        for _ in range(guard.PER_PROVEN)
    ]
    assert statuses.count(429) > 2
    assert late.post("/admin/users/user/", answer(page)).status_code == 429
    assert not is_disabled(alice)


def test_a_proof_is_of_one_session(late: Client, root: User, alice: User) -> None:
    other = Client()
    other.cookies["sessionid"] = late.cookies["sessionid"].value
    late.post("/admin/users/user/", answer(act(late, alice)))
    assert late.cookies["sessionid"].value != other.cookies["sessionid"].value
    assert not other.get("/").wsgi_request.user.is_authenticated, "a stolen cookie ends with it"


@pytest.mark.parametrize("proven_at", [None, "x", True, 1e12, [1], 0])
def test_a_session_with_a_strange_proof_has_none(
    late: Client, root: User, alice: User, proven_at: Any
) -> None:
    session = late.session
    session[proofs.PROVEN_AT] = proven_at
    session.save()
    assert ASKED in act(late, alice).text
    assert not is_disabled(alice)


def test_who_has_no_password_cannot_prove_one(late: Client, root: User, alice: User) -> None:
    page = act(late, alice)
    root.set_unusable_password()
    User.objects.filter(pk=root.pk).update(password=root.password)
    late.force_login(root)
    session = late.session
    session[proofs.PROVEN_AT] = 0.0
    session.save()
    for password in (PASSWORD, "", root.password):
        late.post("/admin/users/user/", answer(page, password))
    assert not is_disabled(alice)
    assert "/users/password/change/forgot/" in page.text, "there is a way out"


def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.method} {sorted(request.POST.lists())}")


def test_no_password_is_put_into_a_hidden_field(late: Client, root: User) -> None:
    typed = {"old_password": "secret-1", "NewPassword": "secret-2", "a": ["1", "2"], "proof": "x"}
    request = RequestFactory().post("/x", typed)
    request.user, request.session = root, {}  # type: ignore[assignment]
    page = proofs.proven(view)(request)
    assert "secret" not in page.text  # type: ignore[attr-defined]
    assert answer(page)["a"] == ["1", "2"]


def test_what_was_typed_is_escaped(late: Client) -> None:
    page = late.post("/admin/users/user/", {'"><b>': '"><script>'})
    assert ASKED in page.text
    assert "<script>" not in page.text.split("<main")[1]
    assert '"><b>' not in page.text


def test_the_view_does_not_see_the_password(browser: Client, root: User) -> None:
    sign_in(browser, "root")
    request = RequestFactory().post("/x", {"proof": PASSWORD, "a": "1"})
    request.user, request.session = root, browser.session  # type: ignore[assignment]
    assert proofs.proven(view)(request).content.decode() == "POST [('a', ['1'])]"  # type: ignore


def test_a_page_that_asks_is_shown_afterwards(late: Client, root: User) -> None:
    def ask(method: str, data: Any = None) -> Any:
        request = getattr(RequestFactory(), method)("/x?a=1", data or {})
        request.user, request.session = root, late.session
        return proofs.proven(view, page=True)(request)

    page = ask("get")
    assert ASKED in page.text
    response = ask("post", answer(page))
    assert (response.status_code, response["Location"]) == (302, "/x?a=1")


def test_a_strangers_form_is_not_asked_for_anything(alice: User) -> None:
    response = Client().post("/admin/users/user/", {"proof": PASSWORD})
    assert response.status_code == 302
    assert not deliver_all()
