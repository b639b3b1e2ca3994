"""The admin: staff starts things; what only the person may do stays theirs."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from mail.api import suppress, suppression_of
from mail.models import Mail, Suppression
from mail.queue import posting
from tests.conftest import PASSWORD, deliver_all, link_in
from users import accounts
from users.admin import UserAdmin
from users.models import State, User


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root", "root@example.com", PASSWORD, language="en")


@pytest.fixture
def staff(cast: Callable[..., User]) -> User:
    """Steve may change and look at people, and is no superuser."""
    steve = cast("steve")
    User.objects.filter(pk=steve.pk).update(is_staff=True)
    steve.user_permissions.set(
        Permission.objects.filter(codename__in=["view_user", "change_user", "delete_user"])
    )
    return steve


@pytest.fixture
def office(browser: Client, root: User) -> Client:
    browser.force_login(root)
    return browser


def act(client: Client, action: str, *people: User) -> str:
    data = {"action": action, "_selected_action": [str(person.pk) for person in people]}
    response = client.post("/admin/users/user/", data, follow=True)
    assert response.status_code == 200
    return response.text


def state_of(person: User) -> State:
    return User.objects.get(pk=person.pk).state


def test_every_page_of_the_admin_opens(office: Client, alice: User) -> None:
    mail = posting.post("password_change", user=alice)
    suppress("eve@example.com", Suppression.Reason.DECLINED)
    for path in (
        "/admin/",
        "/admin/users/user/",
        "/admin/users/user/?state=waiting&q=alice",
        f"/admin/users/user/{alice.pk}/change/",
        "/admin/mail/mail/",
        f"/admin/mail/mail/{mail.pk}/change/",
        "/admin/mail/suppression/",
        f"/admin/mail/suppression/{Suppression.objects.get().pk}/change/",
    ):
        assert office.get(path).status_code == 200, path


def test_people_are_filtered_by_their_state(
    office: Client, alice: User, bob: User, dora: User
) -> None:
    for state, shown in [("active", alice), ("waiting", bob), ("disabled", dora)]:
        listed = office.get(f"/admin/users/user/?state={state}").context["cl"].result_list
        assert shown in listed
        assert len({alice, bob, dora} & set(listed)) == 1


def test_the_activation_link_is_sent_again_to_those_who_wait(
    office: Client, alice: User, bob: User
) -> None:
    page = act(office, "resend_activation", alice, bob)
    assert "Done for 1 person." in page
    assert "1 person was passed over" in page
    [letter] = deliver_all()
    assert letter.to == [bob.email]
    assert link_in(letter).startswith("/users/activate/")


def test_staff_activates_without_the_link_and_again_after_disabling(
    office: Client, bob: User, dora: User
) -> None:
    act(office, "activate", bob, dora)
    assert state_of(bob) == state_of(dora) == State.ACTIVE


def test_staff_cannot_activate_a_claim_to_an_address_that_has_an_owner(
    office: Client, alice: User, cast: Callable[..., User]
) -> None:
    twin = cast("mallory", "waiting", email="ALICE@example.com")
    assert "1 person was passed over" in act(office, "activate", twin)
    assert state_of(twin) == State.WAITING


def test_disabling_ends_the_session_and_cancels_a_claim(
    office: Client, other_browser: Client, alice: User, bob: User
) -> None:
    other_browser.login(username="alice", password=PASSWORD)
    act(office, "disable", alice, bob)
    assert state_of(alice) == State.DISABLED
    assert not User.objects.filter(pk=bob.pk).exists()
    assert not other_browser.get("/").wsgi_request.user.is_authenticated
    act(office, "activate", alice)
    assert not other_browser.get("/").wsgi_request.user.is_authenticated, "it does not come back"


def test_nobody_disables_themselves(office: Client, root: User) -> None:
    act(office, "disable", root)
    assert state_of(root) == State.ACTIVE


def test_staff_starts_a_reset_and_never_sees_or_types_a_password(
    office: Client, alice: User
) -> None:
    act(office, "send_reset", alice)
    [letter] = deliver_all()
    assert letter.to == [alice.email]
    page = office.get(f"/admin/users/user/{alice.pk}/change/")
    assert "password" not in page.context["adminform"].form.fields
    assert alice.password not in page.text
    assert office.get(f"/admin/users/user/{alice.pk}/password/", follow=True).status_code in (
        200,
        404,
    )
    assert User.objects.get(pk=alice.pk).check_password(PASSWORD)


def test_the_name_and_address_of_a_person_are_not_staffs_to_change(
    office: Client, alice: User
) -> None:
    office.post(
        f"/admin/users/user/{alice.pk}/change/",
        {
            "name": "Alice B.",
            "department": "수학과",
            "level": "1",
            "language": "ko",
            "email": "mallory@example.com",
            "user_id": "mallory",
            "is_active": "",
            "mails-TOTAL_FORMS": "0",
            "mails-INITIAL_FORMS": "0",
        },
    )
    alice.refresh_from_db()
    assert (alice.name, alice.department, alice.level) == ("Alice B.", "수학과", "1")
    assert (alice.user_id, alice.email, alice.is_active) == ("alice", "alice@example.com", True)


def test_only_what_was_changed_is_written_because_the_rest_may_have_changed_meanwhile(
    office: Client, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob activates the account while staff corrects the name."""
    save_model = UserAdmin.save_model

    def slowly(*arguments: Any) -> None:
        accounts.activate(User.objects.get(pk=bob.pk))
        save_model(*arguments)

    monkeypatch.setattr(UserAdmin, "save_model", slowly)
    office.post(
        f"/admin/users/user/{bob.pk}/change/",
        {
            "name": "Bob B.",
            "department": bob.department,
            "level": bob.level,
            "language": bob.language,
            "mails-TOTAL_FORMS": "0",
            "mails-INITIAL_FORMS": "0",
        },
    )
    assert state_of(bob) == State.ACTIVE
    assert User.objects.get(pk=bob.pk).name == "Bob B."


def test_staff_without_all_rights_cannot_give_them_to_itself(browser: Client, staff: User) -> None:
    browser.force_login(staff)
    browser.post(
        f"/admin/users/user/{staff.pk}/change/",
        {
            "name": "Steve",
            "department": "x",
            "level": "2",
            "language": "ko",
            "is_superuser": "on",
            "mails-TOTAL_FORMS": "0",
            "mails-INITIAL_FORMS": "0",
        },
    )
    staff.refresh_from_db()
    assert not staff.is_superuser


def test_staff_does_not_touch_a_superuser(browser: Client, staff: User, root: User) -> None:
    browser.force_login(staff)
    assert "1 person was passed over" in act(browser, "disable", root)
    assert state_of(root) == State.ACTIVE
    act(browser, "delete_selected", root)
    assert User.objects.filter(pk=root.pk).exists()
    assert browser.post(f"/admin/users/user/{root.pk}/delete/", {"post": "yes"}).status_code == 403


def test_staff_without_any_right_sees_nobody(
    browser: Client, cast: Callable[..., User], bob: User
) -> None:
    viewer = cast("viewer")
    User.objects.filter(pk=viewer.pk).update(is_staff=True)
    browser.force_login(viewer)
    assert browser.get("/admin/users/user/").status_code == 403


def test_people_are_not_added_here(office: Client) -> None:
    assert office.get("/admin/users/user/add/").status_code == 403


def test_mail_rows_are_read_only(office: Client, alice: User) -> None:
    mail = posting.post("password_change", user=alice)
    assert office.get("/admin/mail/mail/add/").status_code == 403
    assert office.post(f"/admin/mail/mail/{mail.pk}/change/", {"state": "sent"}).status_code == 403
    assert office.post(f"/admin/mail/mail/{mail.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Mail.objects.get(pk=mail.pk).state == "pending"


def test_clearing_a_suppression_lets_letters_through_again(office: Client) -> None:
    suppress("bob@example.com", Suppression.Reason.DECLINED)
    row = Suppression.objects.get()
    office.post(f"/admin/mail/suppression/{row.pk}/delete/", {"post": "yes"})
    assert not suppression_of("bob@example.com")


def test_a_visitor_and_a_plain_member_do_not_get_in(browser: Client, alice: User) -> None:
    assert browser.get("/admin/").status_code == 302
    browser.force_login(alice)
    assert browser.get("/admin/users/user/").status_code == 302


# What staff can ask a list


@pytest.mark.parametrize(
    "query",
    ["level__regex=(", "level__iregex=[", "name__contains=x", "args__contains=", "password=x",
     "mails__error__contains=x", "created_at__year__gt=1", "created_at__gte=x", "level=%00",
     "q=%00", "user_permissions__codename__regex=("],
)  # fmt: skip
@pytest.mark.parametrize("model", ["users/user", "mail/mail", "mail/suppression", "mail/report"])
def test_a_list_is_asked_only_what_its_own_filters_ask(
    browser: Client, db: None, model: str, query: str
) -> None:
    """An expression that is none, or a NUL, was a 500 for whoever typed it into the URL."""
    browser.force_login(User.objects.create_superuser("root", "root@example.com", PASSWORD))
    assert browser.get(f"/admin/{model}/?{query}").status_code == 400


@pytest.mark.parametrize(
    ("model", "queries"),
    [
        ("users/user", ["level__exact=2", "level__isnull=True", "department=x", "is_staff__exact=1",
                        "state=waiting", "q=alice", "created_at__year=2026",
                        "created_at__year=2026&created_at__month=11&created_at__day=20"]),
        ("mail/mail", ["state__exact=sent", "letter=register", "language=ko", "priority__exact=0",
                       "created_at__year=2026", "q=x", "o=-1"]),
        ("mail/suppression", ["reason__exact=declined", "q=x"]),
    ],
)  # fmt: skip
def test_the_filters_of_the_lists_still_work(
    browser: Client, db: None, model: str, queries: list[str]
) -> None:
    browser.force_login(User.objects.create_superuser("root", "root@example.com", PASSWORD))
    for query in queries:
        assert browser.get(f"/admin/{model}/?{query}").status_code == 200, query


@pytest.mark.parametrize(
    "query",
    ["created_at__year=99999999999999999999", "created_at__year=9999", "created_at__year=x",
     "created_at__year=9999&created_at__month=12&created_at__day=31",
     "created_at__month=13&created_at__year=1",
     "p=99999999999999999999", "p=-1", "p=x", "o=99.x.-7", "is_staff__exact=x", "e=1", "all=x"],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_no_500(browser: Client, db: None, query: str) -> None:
    browser.force_login(User.objects.create_superuser("root", "root@example.com", PASSWORD))
    assert browser.get(f"/admin/users/user/?{query}").status_code < 500


@pytest.mark.parametrize("chosen", ["x", "\0", ""])
def test_an_action_on_what_is_no_row_is_no_500(browser: Client, db: None, chosen: str) -> None:
    browser.force_login(User.objects.create_superuser("root", "root@example.com", PASSWORD))
    for model, action in (
        ("users/user", "disable"),
        ("mail/mail", "cancel"),
        ("mail/suppression", "clear"),
    ):
        typed = {"action": action, "_selected_action": [chosen]}
        assert browser.post(f"/admin/{model}/", typed).status_code < 500, model
