"""Export: whatever hangs on a person is in it, and no secret."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.conftest import deliver_all, sign_in
from users import accounts, exports
from users.models import Event, User
from users.views.account import SHOWN_OF_EACH

EXPORT, PAGE = "/users/account/data/export/", "/users/account/data/"


@pytest.fixture
def hers(browser: Client, alice: User) -> Client:
    accounts.request_address(alice, "alice@example.org")
    deliver_all()
    accounts.confirm_address(User.objects.get(pk=alice.pk))
    browser.post("/users/login/", {"username": "alice", "password": "wrong-horse"})
    sign_in(browser, "alice")
    return browser


def everything(browser: Client) -> dict[str, list[dict[str, Any]]]:
    response = browser.post(EXPORT)
    assert response["Content-Disposition"] == 'attachment; filename="cs_web-alice.json"'
    assert "no-store" in response["Cache-Control"]
    found: dict[str, Any] = json.loads(response.content)
    return found


def test_it_has_everything(hers: Client) -> None:
    found = everything(hers)
    [profile] = found["profile"]
    assert (profile["user_id"], profile["email"]) == ("alice", "alice@example.org")
    assert [row["old"] for row in found["address_changes"]] == ["alice@example.com"]
    assert {"signed_in", "address_changed", "exported"} <= {row["tag"] for row in found["events"]}
    assert {row["letter"] for row in found["mails"]} == {"address_confirm", "address_changed"}
    assert [row["times"] for row in found["wrong_passwords"]] == [1]


def test_the_page_shows_the_same_in_words(hers: Client) -> None:
    found, page = everything(hers), hers.get(f"{PAGE}?part=all").text
    person = User.objects.get()
    for part in exports.of(person):
        assert len(part.rows) == len(found[part.name])
        assert not part.rows or str(part.title) in page
    for text in ("alice@example.com", "alice@example.org", "Address changed", "Signed in"):
        assert text in page
    assert page.count('<dl class="facts">') == sum(len(rows) for rows in found.values())


def test_each_part_has_a_page_which_leads_to_the_others(hers: Client) -> None:
    found = everything(hers)
    assert found.pop("user_permissions") == [], "is for staff"
    for name, rows in found.items():
        page = hers.get(f"{PAGE}?part={name}").text
        assert page.count('<dl class="facts">') == len(rows)
        assert ("Nothing yet." in page) == (rows == [])
        assert set(re.findall(r'href="\?part=(\w+)"', page)) == {*found, "all"} - {name}


@pytest.mark.parametrize("part", ["x", "", "user_permissions", "\0", "é"])
def test_what_is_no_part_is_the_first(hers: Client, part: str) -> None:
    page = hers.get(PAGE, {"part": part})
    if "\0" in part:
        assert page.status_code == 400
    else:
        assert '<details class="panel more" open>' in page.text
        assert page.context["parts"][0].name == "profile"


def test_staff_sees_their_rights(hers: Client) -> None:
    User.objects.update(is_staff=True)
    permission = Permission.objects.get(codename="view_mail")
    User.objects.get().user_permissions.add(permission)
    assert "view_mail" in hers.get(f"{PAGE}?part=user_permissions").text
    assert "view_mail" in hers.get(f"{PAGE}?part=all").text


def test_the_page_shows_the_newest_and_the_file_all(hers: Client) -> None:
    person = User.objects.get()
    for number in range(SHOWN_OF_EACH + 1):
        Event.objects.create(person=person, tag="signed_in", device=f"Device-{number}-")
    page = hers.get(f"{PAGE}?part=events").text
    assert "the file has all" in page
    assert page.count("Device-") == SHOWN_OF_EACH
    assert json.dumps(everything(hers)).count("Device-") == SHOWN_OF_EACH + 1


def test_letters_that_somebody_asked_for_by_the_address_are_in_it(hers: Client) -> None:
    Client().post("/users/password/reset/", {"email": "Alice@example.org"})
    Client().post("/users/password/reset/", {"email": "eve@example.org"})
    mails = everything(hers)["mails"]
    assert [row["address"] for row in mails if row["letter"] == "password_reset"] == [
        "Alice@example.org"
    ]


def test_it_holds_no_secret(hers: Client) -> None:
    person = User.objects.get()
    secrets = [
        person.password,
        person.get_session_auth_hash(),
        hers.cookies["sessionid"].value,
        hers.cookies["device"].value,
        str(person.pk),
    ]
    text = json.dumps(everything(hers)) + hers.get(f"{PAGE}?part=all").text
    assert not [secret for secret in secrets if secret in text]


def test_whatever_points_at_a_person_is_exported_or_left_out_with_a_reason() -> None:
    """Whoever adds a table or a column decides here."""
    relations = set()
    for one in User._meta.get_fields(include_hidden=True):
        if one.auto_created and not one.concrete and not one.related_model._meta.auto_created:
            named = f"{one.related_model._meta.model_name}s_{one.field.name}"
            relations.add(
                named
                if one.hidden
                else one.name
                if one.name == "logentry"
                else one.get_accessor_name()
            )
    columns = {one.name for one in User._meta.concrete_fields}
    many = {one.name for one in User._meta.many_to_many}
    known = {*exports.PARTS, *exports.PROFILE, *exports.LEFT_OUT}
    assert not (relations | columns | many) - known
    assert not set(exports.LEFT_OUT) - (relations | columns | many), "these are gone"
    assert all(exports.LEFT_OUT.values())


def test_so_is_every_column_of_what_is_exported() -> None:
    """But for keys, and what is a secret or says nothing to them."""
    not_theirs = {
        "address_changes": {"id", "person", "secured_at"},
        "events": {"id", "person", "by"},  # who of staff it was is theirs
        "sessions": {"session_key", "session_data", "public_id", "person"},
        "mails": {
            "id", "user", "mailbox", "asker", "budget", "priority", "due", "attempts", "crashes",
            "claimed", "on_hold", "cause", "error", "provider_id",
        },
    }  # fmt: skip
    for relation in User._meta.related_objects:
        name = relation.get_accessor_name()
        if name in exports.PARTS:
            columns = {field.name for field in relation.related_model._meta.concrete_fields}
            assert columns - set(exports.PARTS[name][2]) == not_theirs[name], name


def test_nobody_gets_another_persons(hers: Client, cast: Callable[..., User]) -> None:
    cast("eve")
    browser = Client()
    sign_in(browser, "eve")
    assert "alice" not in browser.post(EXPORT).content.decode()
    assert "alice@" not in browser.get(f"{PAGE}?part=all").text


def test_a_visitor_is_asked_to_sign_in_and_a_get_is_none(browser: Client, alice: User) -> None:
    assert browser.post(EXPORT)["Location"].startswith("/users/login/")
    sign_in(browser, "alice")
    assert browser.get(EXPORT).status_code == 405
    assert not Event.objects.filter(tag="exported").exists()


def test_the_page_asks_the_database_little(hers: Client) -> None:
    hers.get("/")
    for part, number in {"profile": 2, "events": 3, "mails": 3, "all": 8}.items():
        with CaptureQueriesContext(connection) as captured:
            assert hers.get(f"{PAGE}?part={part}").status_code == 200
        assert len(captured) == number, [query["sql"] for query in captured]
