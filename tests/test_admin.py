"""The admin: staff starts things; what only the person may do stays theirs."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from mail.api import suppress, suppression_of
from mail.models import Mail, Suppression
from mail.queue import posting
from tests.conftest import PASSWORD, deliver_all, link_in, open_link
from users import accounts
from users.admin import UserAdmin
from users.models import Event, State, User


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


def test_staff_sends_the_link_for_another_address_and_never_types_it_in(
    office: Client, alice: User
) -> None:
    path = f"/admin/users/user/{alice.pk}/change/"
    fields = {"name": "Alice", "department": "x", "level": "2", "language": "en"}
    office.post(path, {**fields, "new_address": "alice@example.org"})
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"
    assert "alice@example.org" in office.get(path).text
    [letter] = deliver_all()
    assert letter.to == ["alice@example.org"]
    browser = Client()
    page = open_link(browser, link_in(letter))
    browser.post(page)
    alice.refresh_from_db()
    assert alice.email == "alice@example.com", "not without her password"
    browser.post(page, {"password": PASSWORD})
    alice.refresh_from_db()
    assert alice.email == "alice@example.org"
    [notice] = deliver_all()
    assert notice.to == ["alice@example.com"]
    assert "/users/take-back/" in str(notice.body)
    requested = Event.objects.get(tag="address_requested")
    assert requested.by == User.objects.get(user_id="root")


def test_staff_corrects_the_address_of_a_registration(office: Client, bob: User) -> None:
    fields = {"name": "Bob", "department": "x", "level": "2", "language": "en"}
    office.post(f"/admin/users/user/{bob.pk}/change/", {**fields, "new_address": "bob@example.org"})
    assert [letter.to for letter in deliver_all()] == [["bob@example.org"]]


def test_staff_keeps_an_account_that_is_to_be_deleted(office: Client, alice: User) -> None:
    accounts.request_deletion(alice)
    assert "2026" in office.get(f"/admin/users/user/{alice.pk}/change/").text
    act(office, "keep", alice)
    alice.refresh_from_db()
    assert alice.deletion_asked_at is None


def test_whom_staff_deletes_leaves_no_address_behind(office: Client, alice: User) -> None:
    Client().post("/users/password/reset/", {"email": alice.email})
    deliver_all()
    data = {"action": "delete_selected", "_selected_action": [str(alice.pk)], "post": "yes"}
    office.post("/admin/users/user/", data)
    assert not User.objects.filter(user_id="alice").exists()
    assert not Mail.objects.filter(address=alice.email).exists()


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


MOMENT = "2026-11-20+00:00:00%2B09:00"

QUERIES_OF_NO_FILTER = [
    "level__regex=(", "level__iregex=[", "name__contains=x", "args__contains=", "password=x",
    "mails__error__contains=x", "created_at__year__gt=1", "created_at__gte=x", "level=%00",
    "q=%00", "user_permissions__codename__regex=(",
]  # fmt: skip


@pytest.mark.parametrize("model", ["users/user", "mail/mail", "mail/suppression", "mail/report"])
def test_a_list_is_asked_only_what_its_own_filters_ask(
    browser: Client, db: None, model: str
) -> None:
    """An expression that is none, or a NUL, was a 500 for whoever typed it into the URL."""
    browser.force_login(User.objects.create_superuser("root", "root@example.com", PASSWORD))
    for query in QUERIES_OF_NO_FILTER:
        assert browser.get(f"/admin/{model}/?{query}").status_code == 400, query


@pytest.mark.parametrize(
    ("model", "queries"),
    [
        ("users/user", ["level__exact=2", "is_staff=1", "state=waiting", "state=active",
                        "state=disabled", "q=alice",
                        f"created_at__gte={MOMENT}&created_at__lt={MOMENT}"]),
        ("mail/mail", ["state__exact=sent", "letter=register", "q=x", "o=-1",
                       f"state__exact=failed&letter=adhoc&created_at__lt={MOMENT}"]),
        ("mail/suppression", ["reason__exact=declined", "q=x"]),
    ],
)  # fmt: skip
def test_the_filters_of_the_lists_still_work(
    browser: Client, db: None, model: str, queries: list[str]
) -> None:
    browser.force_login(User.objects.create_superuser("root", "root@example.com", PASSWORD))
    for query in queries:
        assert browser.get(f"/admin/{model}/?{query}").status_code == 200, query


VALUES_WITHOUT_SENSE = [
    "created_at__gte=99999999999999999999", "created_at__lt=x",
    "created_at__gte=9999-12-31+23:59:59-12:00", "created_at__gte=0001-01-01+00:00:00%2B12:00",
    "created_at__gte=2026-11-20", "p=older+9999-12-31T23:59:59-12:00+x",
    "p=99999999999999999999", "p=-1", "p=x", "p=older", "p=newer+2026-11-20+x", "p=older+x+x",
    "p=older+0001-01-01T00:00:00%2B00:00+x", "p=older+2026-11-20+00000000000000000000000000000000",
    "o=99.x.-7", "is_staff__exact=x", "e=1", "all=x",
]  # fmt: skip


def test_a_value_that_makes_no_sense_is_no_500(browser: Client, db: None) -> None:
    browser.force_login(User.objects.create_superuser("root", "root@example.com", PASSWORD))
    for query in VALUES_WITHOUT_SENSE:
        assert browser.get(f"/admin/users/user/?{query}").status_code < 500, query


@pytest.mark.parametrize("chosen", ["x", "\0", "", "9" * 20])
def test_an_action_on_what_is_no_row_is_no_500(browser: Client, db: None, chosen: str) -> None:
    browser.force_login(User.objects.create_superuser("root", "root@example.com", PASSWORD))
    for model, action in (
        ("users/user", "disable"),
        ("mail/mail", "cancel"),
        ("mail/suppression", "clear"),
    ):
        typed = {"action": action, "_selected_action": [chosen]}
        assert browser.post(f"/admin/{model}/", typed).status_code < 500, model


# Lists of a site that has grown


def test_a_list_goes_on_from_row_to_row_and_back(
    office: Client, cast: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also through those that were made at one moment; and while others come."""
    monkeypatch.setattr("users.admin.UserAdmin.list_per_page", 3)
    for number in range(8):
        cast(f"member{number}")
    User.objects.filter(user_id__in=["member2", "member3", "member4"]).update(
        created_at=User.objects.get(user_id="member3").created_at
    )
    shown, url = [], "/admin/users/user/"
    pages = []
    while url:
        changelist = office.get(url).context["cl"]
        pages.append(list(changelist.result_list))
        shown += changelist.result_list
        url = changelist.older_url and f"/admin/users/user/{changelist.older_url}"
    assert shown == list(User.objects.order_by("-created_at", "-pk"))
    assert [len(page) for page in pages] == [3, 3, 3]
    cast("newest")
    url = f"/admin/users/user/{changelist.newer_url}"
    back = office.get(url).context["cl"]
    assert list(back.result_list) == pages[1]
    assert back.older_url
    first = office.get(f"/admin/users/user/{back.newer_url}").context["cl"]
    assert list(first.result_list) == pages[0]
    assert first.newer_url, "somebody has come meanwhile"
    page = office.get(f"/admin/users/user/{first.newer_url}")
    assert page.context["cl"].result_list[0].user_id == "newest"
    assert not page.context["cl"].newer_url
    assert "Older" in page.text
    assert "Newer" not in page.text


def test_a_filter_stays_from_page_to_page(
    office: Client, cast: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("users.admin.UserAdmin.list_per_page", 2)
    for number in range(3):
        cast(f"waiting{number}", "waiting")
        cast(f"active{number}")
    first = office.get("/admin/users/user/?state=waiting").context["cl"]
    second = office.get(f"/admin/users/user/{first.older_url}").context["cl"]
    assert [one.user_id for one in [*first.result_list, *second.result_list]] == [
        "waiting2",
        "waiting1",
        "waiting0",
    ]
    assert not second.older_url


@pytest.mark.parametrize("typed", ["alice", "ALICE", "ali", "Alice Lid", "ALICE@example.com"])
def test_people_are_found_by_address_and_how_id_and_name_begin(
    office: Client, cast: Callable[..., User], typed: str
) -> None:
    alice = cast("alice", name="Alice Liddell")
    cast("malice", email="xalice@example.com")
    found = office.get("/admin/users/user/", {"q": typed}).context["cl"].result_list
    assert list(found) == [alice]


@pytest.mark.parametrize("typed", ["Ali.ce+x@gmail.com", "alice", "m-17"])
def test_mail_is_found_by_mailbox_person_and_the_services_id(
    office: Client, cast: Callable[..., User], bob: User, typed: str
) -> None:
    alice = cast("alice", email="alice@gmail.com")
    hers = posting.post("password_change", user=alice)
    Mail.objects.filter(pk=hers.pk).update(provider_id="m-17")
    posting.post("register", user=bob)
    found = office.get("/admin/mail/mail/", {"q": typed}).context["cl"].result_list
    assert list(found) == [hers]
    assert not office.get("/admin/mail/mail/", {"q": "nobody"}).context["cl"].result_list


def test_the_admin_has_the_name_that_the_operator_has_set(office: Client, settings: Any) -> None:
    settings.SITE_NAME = {"ko": "수학과", "en": "Mathematics", "zh-hant": "數學系"}
    page = office.get("/admin/").text
    assert '<a href="/admin/">Mathematics</a>' in page
    assert " | Mathematics</title>" in page
