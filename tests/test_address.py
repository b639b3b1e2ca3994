"""Address: the new mailbox confirms it, the old one may undo it, and nobody else gets either."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail.models import Mail, Suppression
from tests.conftest import (
    PASSWORD,
    activation_link,
    database,
    deliver_all,
    fresh,
    is_signed_in,
    link_in,
    open_link,
    page_text,
    queries_of,
    sign_in,
)
from users import accounts, chores
from users.models import UNDO_FOR, AddressChange, Event, User

ADDRESS = "/users/account/address/"
OLD, NEW = "alice@example.com", "alice@example.org"
FORM = {"email": NEW}


def confirmed(person: User, new: str) -> User:
    accounts.request_address(fresh(person), new)
    return accounts.confirm_address(fresh(person))


def test_alice_changes_her_address(hers: Client, alice: User) -> None:
    response = hers.post(ADDRESS, FORM, follow=True)
    assert "Check the new mailbox" in response.text
    assert NEW in response.text
    assert fresh(alice).email == OLD
    [letter] = deliver_all()
    assert letter.to == [NEW]
    assert letter.subject == "alice, confirm your new e-mail address"
    page = open_link(hers, link_in(letter))
    assert fresh(alice).email == OLD
    response = hers.post(page, follow=True)
    assert "Your e-mail address was changed." in response.text
    assert fresh(alice).email == NEW
    assert is_signed_in(hers)
    [notice] = deliver_all()
    assert notice.to == [OLD]
    assert "/users/take-back/" in str(notice.body)
    assert NEW not in f"{notice.body}{notice.alternatives}"
    tags = list(Event.objects.order_by("at").values_list("tag", flat=True))
    assert tags[-2:] == ["address_requested", "address_changed"]


def test_opening_the_link_changes_nothing(hers: Client, alice: User) -> None:
    hers.post(ADDRESS, FORM)
    [letter] = deliver_all()
    before = database(), list(AddressChange.objects.values_list())
    page = open_link(Client(), link_in(letter))
    for method in ("get", "head", "options"):
        getattr(hers, method)(link_in(letter))
        getattr(hers, method)(page)
    assert (database(), list(AddressChange.objects.values_list())) == before


def test_without_the_session_it_asks_for_the_password(
    hers: Client, other_browser: Client, alice: User
) -> None:
    """Whoever reads a mailbox that she has mistyped has no account by it."""
    hers.post(ADDRESS, FORM)
    [letter] = deliver_all()
    page = open_link(other_browser, link_in(letter))
    assert 'type="password"' in other_browser.get(page).text
    for typed in ({}, {"password": ""}, {"password": "wrong-horse"}):
        assert other_browser.post(page, typed).status_code == 200
        assert fresh(alice).email == OLD
    assert other_browser.post(page, {"password": PASSWORD}).status_code == 302
    assert fresh(alice).email == NEW
    assert not is_signed_in(other_browser)


def test_the_session_of_another_person_is_none(
    hers: Client, other_browser: Client, alice: User, cast: Callable[..., User]
) -> None:
    cast("eve")
    sign_in(other_browser, "eve")
    hers.post(ADDRESS, FORM)
    page = open_link(other_browser, link_in(deliver_all()[0]))
    assert other_browser.post(page).status_code == 200
    assert fresh(alice).email == OLD


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"email": ""}, "required"),
        ({"email": "no address"}, "valid e-mail address"),
        ({"email": "alice@localhost"}, "valid e-mail address"),
        ({"email": OLD}, "This is your address already"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_asked(
    hers: Client, changes: dict[str, str], complaint: str
) -> None:
    before = database()
    response = hers.post(ADDRESS, FORM | changes)
    assert response.status_code == 200
    assert complaint in response.text
    assert database() == before
    assert not AddressChange.objects.exists()


def test_a_mistyped_domain_is_proposed_and_corrected(hers: Client, alice: User) -> None:
    page = hers.post(ADDRESS, FORM | {"email": "alice@gmial.com"}, follow=True)
    assert "alice@gmail.com" in page.text
    hers.post(ADDRESS, FORM | {"email": "alice@gmail.com"})
    assert [letter.to for letter in deliver_all()] == [["alice@gmail.com"]]


def test_a_visitor_is_asked_to_sign_in(browser: Client, alice: User) -> None:
    for path in (ADDRESS, f"{ADDRESS}cancel/"):
        assert browser.post(path, FORM)["Location"].startswith("/users/login/")
    assert not AddressChange.objects.exists()


def test_ten_minutes_after_the_sign_in_the_password_is_asked_for_again(
    hers: Client, alice: User, clock: Any
) -> None:
    clock(timezone.now() + timedelta(minutes=11))
    assert 'name="proof"' in hers.post(ADDRESS, FORM).text
    assert not AddressChange.objects.exists()
    hers.post(ADDRESS, FORM | {"proof": PASSWORD})
    assert AddressChange.objects.get().new == NEW


# An unproven address is never confirmed


def link_to(person: User, new: str) -> str:
    accounts.request_address(fresh(person), new)
    return link_in(deliver_all()[-1])


def press(browser: Client, link: str) -> int:
    page = browser.get(link, follow=True)
    where = page.redirect_chain[-1][0] if page.redirect_chain else link
    return int(browser.post(where, {"password": PASSWORD}).status_code)


def test_a_second_request_voids_the_first(hers: Client, alice: User) -> None:
    first = link_to(alice, NEW)
    page = open_link(hers, first)
    accounts.request_address(alice, "other@example.org")
    assert hers.get(page).status_code == 404
    assert hers.post(page).status_code == 404
    assert fresh(alice).email == OLD


def test_not_even_one_that_came_in_the_same_moment(
    hers: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CVE-2026-32700: checked for one address, it confirmed another."""
    page = open_link(hers, link_to(alice, NEW))
    confirm = accounts.confirm_address

    def too_late(person: User, *args: Any) -> User:
        accounts.request_address(fresh(alice), "unproven@example.org")
        return confirm(person, *args)

    monkeypatch.setattr(accounts, "confirm_address", too_late)
    assert hers.post(page).status_code == 404
    assert fresh(alice).email == OLD


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda person: accounts.choose_password(person, "the-other-password"),
        accounts.take_back,
        accounts.disable,
        accounts.cancel_address,
        accounts.confirm_address,
    ],
    ids=["password", "take_back", "disable", "cancel", "confirm"],
)
@pytest.mark.parametrize("when", ["before", "in the same moment"])
def test_what_happens_to_the_account_voids_the_link(
    hers: Client, alice: User, monkeypatch: pytest.MonkeyPatch, meanwhile: Any, when: str
) -> None:
    link = link_to(alice, NEW)
    page, confirm = open_link(hers, link), accounts.confirm_address
    if when == "before":
        meanwhile(fresh(alice))
        assert Client().get(link).status_code == 404
    else:

        def too_late(person: User, *args: Any) -> User:
            meanwhile(fresh(alice))
            return confirm(person, *args)

        monkeypatch.setattr(accounts, "confirm_address", too_late)
    expected = NEW if meanwhile is confirm else OLD
    assert hers.post(page).status_code == 404
    assert fresh(alice).email == expected
    assert Mail.objects.filter(letter="address_changed").count() == (expected == NEW)


def test_it_works_for_a_day(hers: Client, alice: User, clock: Any) -> None:
    link, now = link_to(alice, NEW), timezone.now()
    clock(now + timedelta(hours=24, minutes=1))
    sign_in(hers, "alice")
    assert press(hers, link) == 404
    assert fresh(alice).email == OLD


def test_the_database_holds_one_pending_change_a_person(alice: User) -> None:
    AddressChange.objects.create(person=alice, old=OLD, new=NEW)
    with pytest.raises(IntegrityError), transaction.atomic():
        AddressChange.objects.create(person=alice, old=OLD, new="b@example.org")


# An address that has an owner


@pytest.mark.usefixtures("still")
def test_a_taken_address_looks_the_same_after_the_same_work(
    hers: Client, cast: Callable[..., User]
) -> None:
    cast("eve")
    seen = []
    for email in ("free@example.com", "eve@example.com"):
        with CaptureQueriesContext(connection) as captured:
            response = hers.post(ADDRESS, FORM | {"email": email})
        page = hers.get(ADDRESS)
        seen.append((
            response.status_code, queries_of(captured), page_text(page).replace(email, ""),
        ))  # fmt: skip
        AddressChange.objects.all().delete()
    assert seen[0][:2] == seen[1][:2]
    assert seen[0][2] == seen[1][2]


@pytest.mark.parametrize("state", ["active", "disabled"])
def test_its_owner_is_told_once_a_day_and_may_stop_it(
    hers: Client, cast: Callable[..., User], clock: Any, state: str
) -> None:
    eve, now = cast("eve", state), timezone.now()
    hers.post(ADDRESS, FORM | {"email": "EVE@example.com"})
    [letter] = deliver_all()
    assert letter.to == ["eve@example.com"]
    assert letter.subject == "eve, this address already has an account"
    assert "/users/address/" not in str(letter.body)
    assert "alice" not in f"{letter.body}{letter.alternatives}"
    clock(now + timedelta(hours=2))
    Client().post(
        "/users/register/",
        {"user_id": "m", "email": "eve@example.com", "name": "M", "password": PASSWORD,
         "terms": "on", "privacy": "on"},
    )  # fmt: skip
    accounts.request_address(User.objects.get(user_id="alice"), "eve@example.com")
    assert not deliver_all()
    if state == "active":
        accounts.stop_notices(eve)
        clock(now + timedelta(hours=30))
        accounts.request_address(User.objects.get(user_id="alice"), "eve@example.com")
        assert not deliver_all()


def test_whoever_proved_it_first_has_it(
    hers: Client, alice: User, cast: Callable[..., User]
) -> None:
    eve = cast("eve")
    link = link_to(alice, NEW)
    confirmed(eve, NEW)
    assert press(hers, link) == 404
    assert (fresh(alice).email, fresh(eve).email) == (OLD, NEW)
    assert AddressChange.objects.pending().count() == 1, "all or nothing"


def test_a_claim_that_proved_it_first_has_it(
    hers: Client, alice: User, cast: Callable[..., User]
) -> None:
    link = link_to(alice, NEW)
    cast("carol", email=NEW)
    assert press(hers, link) == 404
    assert fresh(alice).email == OLD


# While it can be undone, the old address is nobody else's


def test_a_claim_to_the_old_address_does_not_win_it(
    alice: User, bob: User, cast: Callable[..., User], clock: Any
) -> None:
    claim = cast("carol", "waiting", email=OLD)
    now = timezone.now()
    confirmed(alice, NEW)
    deliver_all()
    assert Client().get(activation_link(claim)).status_code == 404
    with pytest.raises(accounts.LinkSpent):
        accounts.activate(claim)
    with pytest.raises(accounts.LinkSpent):
        accounts.activate_by_staff(claim)
    assert fresh(claim).is_waiting
    clock(now + UNDO_FOR + timedelta(minutes=1))
    assert accounts.activate(fresh(claim)).email == OLD


def test_neither_does_a_change_of_address(
    alice: User, cast: Callable[..., User], clock: Any
) -> None:
    eve, now = cast("eve"), timezone.now()
    confirmed(alice, NEW)
    accounts.request_address(eve, OLD)
    assert {letter.subject for letter in deliver_all()} == {
        "alice, your e-mail address was changed",
        "alice, this address already has an account",
    }
    with pytest.raises(accounts.LinkSpent):
        accounts.confirm_address(fresh(eve))
    clock(now + UNDO_FOR + timedelta(minutes=1))
    assert confirmed(eve, OLD).email == OLD


def test_a_registration_with_it_is_a_notice_to_the_old_mailbox(
    browser: Client, alice: User
) -> None:
    confirmed(alice, NEW)
    deliver_all()
    browser.post(
        "/users/register/",
        {"user_id": "carol", "email": OLD, "name": "C", "password": PASSWORD,
         "terms": "on", "privacy": "on"},
    )  # fmt: skip
    [letter] = deliver_all()
    assert letter.to == [OLD]
    assert letter.subject == "alice, you already have an account"
    assert "/users/notices/" not in str(letter.body)


def test_a_reset_that_the_old_address_asks_for_shows_the_way_back(
    browser: Client, alice: User
) -> None:
    confirmed(alice, NEW)
    deliver_all()
    browser.post("/users/password/reset/", {"email": OLD.upper()})
    [letter] = deliver_all()
    assert letter.to == [OLD]
    assert "/users/take-back/" in str(letter.body)


# Limits: who asks, and who receives


def test_a_thief_of_a_session_mails_three_addresses_a_day_and_no_owner_waits(
    alice: User, cast: Callable[..., User], clock: Any
) -> None:
    now = timezone.now()
    for number in range(10):
        clock(now + timedelta(minutes=2 * number))
        accounts.request_address(alice, f"victim{number}@example.org", asker="a")
        deliver_all()
    sent = Mail.objects.filter(letter="address_confirm", state="sent")
    assert sent.values("mailbox").distinct().count() == 3
    Client().post("/users/password/reset/", {"email": OLD})
    assert [letter.to for letter in deliver_all()] == [[OLD]]


def test_an_address_whose_owner_wants_no_mail_gets_none(alice: User) -> None:
    Suppression.objects.suppress(NEW, Suppression.Reason.DECLINED)
    accounts.request_address(alice, NEW)
    assert not deliver_all()


def test_a_network_sends_the_form_so_often_an_hour(hers: Client, settings: Any) -> None:
    settings.FORMS_PER_NETWORK_LIMIT = 2
    codes = [hers.post(ADDRESS, FORM).status_code for _ in range(3)]
    assert codes == [302, 302, 429]


def test_old_changes_go_by_themselves(alice: User, clock: Any) -> None:
    confirmed(alice, NEW)
    assert chores.prune_address_changes(10) == 0
    clock(timezone.now() + chores.ADDRESS_CHANGES_KEPT_FOR + timedelta(days=1))
    assert chores.prune_address_changes(10) == 1


@pytest.mark.parametrize("pending", [False, True])
def test_the_pages_ask_the_database_little(hers: Client, alice: User, pending: bool) -> None:
    link = link_to(alice, NEW) if pending else ""
    hers.get("/")
    for page in [ADDRESS, *([open_link(hers, link)] if pending else [])]:
        with CaptureQueriesContext(connection) as captured:
            assert hers.get(page).status_code == 200
        assert len(captured) <= 8, page
