"""Deletion: asked for by whoever knows the password, undone for two weeks, and then for good."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail.models import Attempt, Mail, State
from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    database,
    deliver_all,
    fresh,
    is_signed_in,
    link_in,
    open_link,
    registration,
    reset_link,
    sign_in,
)
from users import accounts, chores, guard
from users.models import DELETED_AFTER, AddressChange, Event, FailedSignIn, User

DELETION = "/users/account/deletion/"
A_MINUTE = timedelta(minutes=1)


def asked(person: User) -> str:
    """The link of the letter."""
    accounts.request_deletion(person)
    return link_in(deliver_all()[-1])


def test_alice_asks_for_it_and_is_signed_out_everywhere(
    hers: Client, other_browser: Client, alice: User
) -> None:
    sign_in(other_browser, "alice")
    response = hers.post(DELETION, follow=True)
    assert "Your account will be deleted in 14 days." in response.text
    assert not is_signed_in(hers)
    assert not is_signed_in(other_browser)
    [letter] = [one for one in deliver_all() if "deleted" in one.subject]
    assert (letter.to, letter.subject) == (
        ["alice@example.com"],
        "alice, your account will be deleted",
    )
    assert "/users/take-back/" in str(letter.body)
    assert Event.objects.filter(person=alice, tag="deletion_asked").exists()


def test_the_link_keeps_the_account_and_opening_it_does_not(
    browser: Client, alice: User, clock: Any
) -> None:
    link, now = asked(alice), timezone.now()
    clock(now + DELETED_AFTER - A_MINUTE)
    before = database()
    page = open_link(browser, link)
    assert "Keep your account?" in browser.get(page).text
    assert database() == before
    response = browser.post(page, follow=True)
    assert "Your account stays." in response.text
    assert fresh(alice).deletion_asked_at is None
    clock(now + DELETED_AFTER + A_MINUTE)
    assert chores.prune_leaving(10) == 0
    assert browser.get(link).status_code == 404, "it works once"


def test_a_link_from_before_keeps_no_account_that_is_to_go_again(
    browser: Client, alice: User
) -> None:
    link = asked(alice)
    accounts.keep(alice)
    accounts.request_deletion(fresh(alice))
    assert browser.get(link).status_code == 404
    assert fresh(alice).deletion_asked_at


def test_signing_in_asks_whether_to_keep_it(browser: Client, alice: User) -> None:
    asked(alice)
    response = browser.post(
        "/users/login/", {"username": "alice", "password": PASSWORD}, follow=True
    )
    assert "Keep your account?" in response.text
    assert not is_signed_in(browser)
    assert fresh(alice).deletion_asked_at, "not without asking"
    browser.post(response.redirect_chain[-1][0])
    assert fresh(alice).deletion_asked_at is None
    sign_in(browser, "alice")
    assert is_signed_in(browser)


def test_with_a_wrong_password_it_looks_like_any_account(browser: Client, alice: User) -> None:
    asked(alice)
    assert "do not match" in sign_in(browser, "alice", "wrong-horse").text


def test_a_new_password_alone_does_not_keep_it(browser: Client, alice: User) -> None:
    asked(alice)
    page = open_link(browser, reset_link(fresh(alice)))
    browser.post(page, {"new_password": NEW_PASSWORD})
    assert fresh(alice).deletion_asked_at


# Afterwards


def test_in_time_it_goes_with_all_that_hangs_on_it(
    hers: Client, alice: User, cast: Callable[..., User], clock: Any
) -> None:
    eve, now = cast("eve"), timezone.now()
    accounts.request_address(alice, "alice@example.org")
    deliver_all()
    accounts.confirm_address(fresh(alice))
    for name in ("alice", "alice@example.org", "eve"):
        Client().post("/users/login/", {"username": name, "password": "wrong-horse"})
    Client().post("/users/password/reset/", {"email": "Alice@example.org"})
    Client().post("/users/password/reset/", {"email": eve.email})
    accounts.request_deletion(fresh(alice))
    deliver_all()
    mail = Mail.objects.filter(user=alice).latest("created_at")
    Attempt.objects.create(mail=mail, number=1, what="550 <alice@example.org> unknown")
    kind = ContentType.objects.get_for_model(User)
    LogEntry.objects.create(
        user=eve, content_type=kind, object_id=str(alice.pk), object_repr="alice", action_flag=2
    )
    sent = Mail.objects.filter(state=State.SENT).count()
    clock(now + DELETED_AFTER + A_MINUTE)
    assert chores.prune_leaving(10) == 1
    assert list(User.objects.all()) == [eve]
    assert not AddressChange.objects.exists()
    assert not Event.objects.filter(person=alice.pk).exists()
    # What stays are statistics.
    assert Mail.objects.filter(state=State.SENT).count() == sent
    names = ("alice", str(alice.pk), *(hash_ for hash_ in guard.names_of(alice)))
    everything = [
        *Mail.objects.values_list(),
        *Attempt.objects.values_list(),
        *LogEntry.objects.values_list("object_repr", "change_message"),
        *FailedSignIn.objects.values_list(),
    ]
    assert not [row for row in everything if any(name in repr(row) for name in names)]
    assert Mail.objects.filter(address=eve.email).exists()
    assert FailedSignIn.objects.filter(name__in=guard.names_of(eve)).exists()
    # And the ID and the address are free again.
    hers.post("/users/register/", registration(user_id="alice", email="alice@example.org"))
    assert [letter.subject for letter in deliver_all()] == ["alice, activate your account"]


def test_not_a_minute_before(alice: User, clock: Any) -> None:
    now = timezone.now()
    accounts.request_deletion(alice)
    clock(now + DELETED_AFTER - A_MINUTE)
    assert chores.prune_leaving(10) == 0
    clock(now + DELETED_AFTER + A_MINUTE)
    assert chores.prune_leaving(10) == 1


def test_nobody_else_goes(
    alice: User, bob: User, dora: User, cast: Callable[..., User], clock: Any
) -> None:
    staff, now = cast("chief"), timezone.now()
    for one in (alice, bob, dora, staff):
        User.objects.filter(pk=one.pk).update(deletion_asked_at=now)
    User.objects.filter(pk=staff.pk).update(is_staff=True)
    User.objects.filter(pk=alice.pk).update(deletion_asked_at=None)
    clock(now + 100 * DELETED_AFTER)
    assert chores.prune_leaving(10) == 0
    assert User.objects.count() == 4


def test_a_batch_at_a_time(cast: Callable[..., User], clock: Any) -> None:
    for number in range(3):
        accounts.request_deletion(cast(f"person{number}"))
    clock(timezone.now() + DELETED_AFTER + A_MINUTE)
    assert [chores.prune_leaving(2) for _ in range(3)] == [2, 1, 0]


def test_whom_staff_disables_is_not_deleted_when_they_are_let_in_again(
    alice: User, clock: Any
) -> None:
    accounts.request_deletion(alice)
    accounts.disable(fresh(alice))
    accounts.activate_by_staff(fresh(alice))
    clock(timezone.now() + DELETED_AFTER + A_MINUTE)
    assert chores.prune_leaving(10) == 0


@pytest.mark.parametrize("field", ["is_staff", "is_superuser"])
def test_staff_is_deleted_by_an_administrator(hers: Client, alice: User, field: str) -> None:
    User.objects.filter(pk=alice.pk).update(**{field: True})
    assert "by an administrator" in hers.get(DELETION).text
    assert hers.post(DELETION)["Location"] == DELETION
    assert fresh(alice).deletion_asked_at is None
    assert is_signed_in(hers)


def test_a_visitor_is_asked_to_sign_in(browser: Client, alice: User) -> None:
    assert browser.post(DELETION)["Location"].startswith("/users/login/")


def test_the_pages_ask_the_database_little(hers: Client, alice: User) -> None:
    with CaptureQueriesContext(connection) as captured:
        assert hers.get(DELETION).status_code == 200
    assert len(captured) <= 8
    browser = Client()
    page = open_link(browser, asked(alice))
    with CaptureQueriesContext(connection) as captured:
        assert browser.get(page).status_code == 200
    assert len(captured) <= 8


def test_who_knows_the_password_cannot_fill_the_mailbox_by_it(alice: User) -> None:
    """Nor keep the last letter from its owner: it comes later, as their resets do."""
    for _ in range(3):
        accounts.request_deletion(fresh(alice))
        accounts.keep(alice)
    accounts.request_deletion(fresh(alice))
    assert len(deliver_all()) == 1
