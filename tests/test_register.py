"""Register: a claim on a name and an address, and a mail."""

import re
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail.models import Mail
from tests.conftest import (
    NEW_PASSWORD,
    PASSWORD,
    activation_link,
    database,
    deliver_all,
    link_in,
    page_text,
    queries_of,
    registration,
)
from users import accounts
from users.models import User

LATER = timedelta(hours=24, seconds=1)  # when a claim made now has expired


def test_a_visitor_registers_reads_the_mail_and_is_signed_in(browser: Client) -> None:
    response = browser.post("/users/register/", registration(), follow=True)
    assert response.redirect_chain == [("/users/register/success/", 302)]
    assert "carol@example.com" in response.text

    carol = User.objects.get(user_id="carol")
    assert carol.is_waiting
    assert (carol.level, carol.department) == ("2", "컴퓨터공학부")

    [letter] = deliver_all()
    assert letter.to == ["carol@example.com"]
    page = browser.get(link_in(letter), follow=True)
    assert page.status_code == 200
    assert not User.objects.get().is_active, "opening a link changes nothing"

    response = browser.post(page.wsgi_request.path, follow=True)
    assert response.redirect_chain == [("/", 302)]
    assert response.wsgi_request.user == carol
    assert "Your e-mail address is verified." in response.text


def test_a_korean_visitor_reads_it_in_korean(browser: Client) -> None:
    korean = {"accept-language": "ko"}
    response = browser.post("/users/register/", registration(), follow=True, headers=korean)
    assert "입력하신 이메일 주소로 인증 메일을 보냅니다." in response.text
    assert User.objects.get().language == "ko"


def test_nobody_registers_as_staff(browser: Client) -> None:
    ambition = {"level": "0", "is_staff": "on", "is_superuser": "on", "is_active": "on"}
    ambition |= {"department": "총장실", "activated_at": "2020-01-01"}
    browser.post("/users/register/", registration(**ambition))
    carol = User.objects.get()
    assert carol.is_waiting
    assert (carol.level, carol.department) == ("2", "컴퓨터공학부")
    assert (carol.is_staff, carol.is_superuser) == (False, False)


@pytest.mark.parametrize(
    ("password", "complaint"),
    [
        ("short1!", "too short"),
        ("password1", "too common"),
        ("carol2026", "too similar to the ID"),
        ("carol@example.com", "too similar"),
        ("csweb1234", "too close to the name of this site"),
        ("컴퓨터공학123", "too close to the name of this site"),
        ("x" * 257, "at most 256 characters"),
    ],
)
def test_a_weak_password_is_refused(browser: Client, password: str, complaint: str) -> None:
    typed = registration(password=password)
    response = browser.post("/users/register/", typed)
    assert complaint in response.text
    assert database() == []


@pytest.mark.parametrize("box", ["terms", "privacy"])
def test_without_consent_nothing_is_kept(browser: Client, box: str) -> None:
    typed = registration()
    del typed[box]
    response = browser.post("/users/register/", typed)
    assert "Without it we cannot make an account for you." in response.text
    assert f'href="/{box}/"' in response.text
    assert database() == []


def test_the_consent_is_kept_with_its_date_and_version(browser: Client, settings: Any) -> None:
    browser.post("/users/register/", registration())
    carol = User.objects.get()
    assert carol.consent_version == settings.CONSENT_VERSION
    assert carol.consented_at is not None
    assert abs(timezone.now() - carol.consented_at) < timedelta(hours=1)


def test_errors_are_listed_with_links_and_what_was_typed_stays(browser: Client) -> None:
    response = browser.post("/users/register/", registration(user_id="홍길동", password="short"))
    assert 'role="alert" tabindex="-1" autofocus' in response.text
    for field in ("user_id", "password"):
        assert f'<li><a href="#id_{field}">' in response.text
    assert 'value="carol@example.com"' in response.text
    assert re.search(r'id="id_terms"[^>]* checked', response.text)
    assert PASSWORD not in response.text
    assert '<form class="panel" method="post" novalidate>' in response.text


# The same form twice


def test_a_double_click_leads_to_the_same_page_and_sends_one_mail(browser: Client) -> None:
    """Both were sent before an answer came: the second with the cookies of the first."""
    browser.get("/users/register/")
    cookies = browser.cookies.copy()
    assert browser.post("/users/register/", registration()).status_code == 302
    browser.cookies = cookies
    again = browser.post("/users/register/", registration(), follow=True)
    assert again.redirect_chain == [("/users/register/success/", 302)]
    assert "carol@example.com" in again.text
    assert User.objects.count() == 1
    assert len(deliver_all()) == 1


def test_the_same_form_once_more_later_is_no_new_registration(browser: Client) -> None:
    browser.get("/users/register/")
    browser.post("/users/register/", registration())
    [letter] = deliver_all()
    before = database()
    again = browser.post("/users/register/", registration(), follow=True)
    assert again.redirect_chain == [("/users/register/success/", 302)]
    assert database() == before
    assert browser.get(link_in(letter)).status_code == 302, "its link still works"


@pytest.mark.parametrize(
    "change", [{"email": "x@example.com"}, {"name": "X"}, {"password": NEW_PASSWORD}]
)
def test_another_form_of_the_same_browser_is_no_double_click(
    browser: Client, change: dict[str, str]
) -> None:
    browser.get("/users/register/")
    cookies = browser.cookies.copy()
    browser.post("/users/register/", registration())
    browser.cookies = cookies
    assert "This ID is taken." in browser.post("/users/register/", registration(**change)).text


def test_the_same_form_of_another_browser_is_no_double_click(
    browser: Client, other_browser: Client
) -> None:
    for reader in (browser, other_browser):
        reader.get("/users/register/")
    browser.post("/users/register/", registration())
    assert "This ID is taken." in other_browser.post("/users/register/", registration()).text


# The name


@pytest.mark.parametrize("user_id", ["20231234", "2023-kim", "3d-lab", "abc", "a_b-c"])
def test_a_student_number_is_an_id(browser: Client, user_id: str) -> None:
    assert browser.post("/users/register/", registration(user_id=user_id)).status_code == 302
    assert User.objects.get().user_id == user_id


@pytest.mark.parametrize("user_id", ["010-1234-5678", "01012345678", "1588-1234", "-abc", "_abc"])
def test_what_looks_like_a_telephone_number_is_no_id(browser: Client, user_id: str) -> None:
    """A stranger can have it mailed to anybody, and telephones make a link of it."""
    response = browser.post("/users/register/", registration(user_id=user_id))
    assert "such as hong-gildong or 20231234" in response.text
    assert database() == []


def test_whether_an_id_is_free_is_said_as_the_form_says_it(
    browser: Client, other_browser: Client, alice: User, clock: Any
) -> None:
    def asked(user_id: str, reader: Client = browser) -> tuple[bool, str]:
        answer = reader.get("/users/register/id/", {"user_id": user_id}).json()
        return answer["free"], answer["says"]

    assert asked("carol") == (True, "This ID is free.")
    assert asked("ALICE") == (False, "This ID is taken. Please choose another.")
    assert asked("admin")[0] is False
    assert "3 to 30" in asked("홍길동")[1]
    browser.post("/users/register/", registration())
    assert asked("carol")[0], "its own claim gives way"
    assert not asked("carol", other_browser)[0]
    clock(timezone.now() + LATER)
    assert asked("carol", other_browser)[0]


def test_whether_an_id_is_free_is_asked_so_often_an_hour_and_no_more(
    browser: Client, settings: Any
) -> None:
    settings.FORMS_PER_NETWORK_LIMIT = 2
    answers = [browser.get("/users/register/id/", {"user_id": "carol"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert browser.post("/users/register/", registration()).status_code == 302, "counted apart"


@pytest.mark.parametrize(
    ("state", "user_id"),
    [
        *product(["waiting"], ["carol", "CAROL", "cAROl", "ｃａｒｏｌ", "ＣＡＲＯＬ", " carol "]),
        ("active", "carol"),
        ("disabled", "CAROL"),
    ],
)
def test_a_taken_user_id_is_refused_ignoring_case_and_width(
    browser: Client, cast: Callable[..., User], user_id: str, state: str
) -> None:
    cast("carol", state)
    before = database()
    typed = registration(user_id=user_id, email="mallory@example.com")
    response = browser.post("/users/register/", typed)
    assert response.status_code == 200
    assert "This ID is taken." in response.text
    assert database() == before
    assert browser.get("/users/register/success/").status_code == 403


def test_only_a_taken_user_id_is_reported_as_taken(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row of the message may violate something, too: a fault of ours, and no taken name."""

    def broken(*_: Any, **__: Any) -> None:
        raise IntegrityError("CHECK constraint failed: mail")

    monkeypatch.setattr("mail.api.post", broken)
    with pytest.raises(IntegrityError):
        accounts.register(
            user_id="carol", email="c@example.com", name="C", password=PASSWORD, language="en"
        )
    browser.raise_request_exception = False
    page = browser.post("/users/register/", registration())
    assert page.status_code == 500
    assert "taken" not in page.text
    assert "constraint" not in page.text
    assert "Traceback" not in page.text
    assert database() == []


def test_a_user_id_that_is_taken_in_the_same_moment_is_reported_as_taken(
    browser: Client, cast: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database says so: nobody has looked before."""
    set_password = User.set_password

    def slowly(claim: User, password: str) -> None:
        monkeypatch.setattr(User, "set_password", set_password)
        cast("CAROL", "waiting")
        set_password(claim, password)

    monkeypatch.setattr(User, "set_password", slowly)
    with pytest.raises(accounts.UserIdTaken):
        accounts.register(
            user_id="carol", email="c@example.com", name="C", password=PASSWORD, language="en"
        )
    assert User.objects.get().user_id == "CAROL"


@pytest.mark.parametrize(
    "user_id", ["admin", "Admin", "ｒｏｏｔ", "no-reply", "cs_web", "POSTMASTER", "developer"]
)
def test_a_name_of_the_site_itself_is_refused(browser: Client, user_id: str) -> None:
    response = browser.post("/users/register/", registration(user_id=user_id))
    assert "kept for the site itself" in response.text
    assert database() == []


def test_the_same_browser_may_register_again_with_the_same_user_id(browser: Client) -> None:
    browser.post("/users/register/", registration())
    [old_letter] = deliver_all()
    again = browser.post("/users/register/", registration(email="carol@example.net"), follow=True)
    assert again.redirect_chain == [("/users/register/success/", 302)]
    assert "carol@example.net" in again.text
    assert User.objects.get().email == "carol@example.net", "its own claim is replaced"

    assert browser.get(link_in(old_letter)).status_code == 404
    [new_letter] = deliver_all()
    assert new_letter.to == ["carol@example.net"]
    assert browser.get(link_in(new_letter)).status_code == 302


def test_a_second_registration_before_the_first_mail_left_sends_only_the_second(
    browser: Client,
) -> None:
    browser.post("/users/register/", registration(email="typo@example.com"))
    browser.post("/users/register/", registration())
    assert [letter.to for letter in deliver_all()] == [["carol@example.com"]]


def test_a_browser_keeps_its_claim_when_the_next_name_is_taken(
    browser: Client, alice: User
) -> None:
    browser.post("/users/register/", registration())
    before = database()
    refused = browser.post("/users/register/", registration(user_id="alice"))
    assert "This ID is taken." in refused.text
    assert database() == before, "all or nothing"
    assert browser.get("/users/register/success/").status_code == 200


def test_another_browser_cannot_replace_a_claim(browser: Client, other_browser: Client) -> None:
    browser.post("/users/register/", registration())
    before = database()
    typed = registration(email="mallory@example.com")
    assert "This ID is taken." in other_browser.post("/users/register/", typed).text
    assert database() == before


def test_the_name_of_an_expired_claim_is_released_and_not_before(
    browser: Client, bob: User, clock: Any
) -> None:
    link, expiry = activation_link(bob), bob.claim_expires_at
    typed = registration(user_id="BOB")
    clock(expiry - timedelta(minutes=1))
    assert "This ID is taken." in browser.post("/users/register/", typed).text
    assert User.objects.get() == bob

    clock(expiry)
    assert browser.post("/users/register/", typed).status_code == 302
    carol = User.objects.get()
    assert (carol.user_id, carol.email) == ("BOB", "carol@example.com")
    assert browser.get(link).status_code == 404, "the old link opens nothing of the new claim"


@pytest.mark.parametrize("state", ["active", "disabled"])
def test_the_name_of_an_account_is_never_released(
    browser: Client, cast: Callable[..., User], clock: Any, state: str
) -> None:
    person = cast("carol", state)
    clock(person.claim_expires_at + timedelta(days=400))
    typed = registration(email="mallory@example.com")
    assert "This ID is taken." in browser.post("/users/register/", typed).text
    assert User.objects.get() == person


def test_an_expired_claim_with_another_name_is_left_alone(
    browser: Client, bob: User, clock: Any
) -> None:
    clock(bob.claim_expires_at + timedelta(hours=1))
    browser.post("/users/register/", registration())
    assert User.objects.filter(pk=bob.pk).exists()


def test_of_two_who_send_the_same_user_id_at_once_the_second_gets_a_form_error(
    browser: Client, cast: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rival's claim is written after ours was checked, while our password is being hashed."""
    hash_password, rivals = User.set_password, ["carol"]

    def slowly(self: User, password: str | None) -> None:
        while rivals:
            cast(rivals.pop(), email="rival@example.com")
        hash_password(self, password)

    monkeypatch.setattr(User, "set_password", slowly)
    response = browser.post("/users/register/", registration(user_id="Carol"))
    assert response.status_code == 200
    assert "This ID is taken." in response.text
    assert User.objects.get().email == "rival@example.com"
    assert not Mail.objects.exists()


def test_the_door_says_which_error_it_was(alice: User) -> None:
    with pytest.raises(accounts.UserIdTaken):
        accounts.register(
            user_id="ALICE", email="m@example.com", name="M", password=PASSWORD, language="en"
        )


# The address


@pytest.mark.parametrize("state", ["active", "disabled"])
@pytest.mark.usefixtures("still")
def test_a_taken_address_shows_the_same_page_after_the_same_work(
    cast: Callable[..., User], state: str
) -> None:
    cast("alice", state)
    pages, queries = [], []
    for user_id, email in [("carol", "alice@example.com"), ("carla", "carla@example.com")]:
        browser = Client(headers={"accept-language": "en"})
        with CaptureQueriesContext(connection) as captured:
            typed = registration(user_id=user_id, email=email)
            response = browser.post("/users/register/", typed, follow=True)
        assert response.redirect_chain == [("/users/register/success/", 302)]
        pages.append(page_text(response).replace(email, "…").replace(user_id, "…"))
        queries.append(queries_of(captured))
    assert pages[0] == pages[1]
    assert queries[0] == queries[1]
    assert len(queries[0]) > 3, "something was captured"


@pytest.mark.parametrize(
    "email",
    ["alice@example.com", "ALICE@example.com", "alice@EXAMPLE.com", "ａｌｉｃｅ＠example.com"],
)
def test_the_owner_of_a_taken_address_is_notified_and_nobody_gets_a_link(
    browser: Client, alice: User, email: str
) -> None:
    browser.post("/users/register/", registration(email=email))
    [letter] = deliver_all()
    assert letter.to == ["alice@example.com"], "the stored address, not the typed one"
    assert letter.subject == "alice, you already have an account"
    parts = [str(letter.body), str(letter.alternatives[0][0])]
    assert not any("/users/activate/" in part for part in parts)
    assert all("http://127.0.0.1:8000/users/login/" in part for part in parts)
    assert "carol" not in letter.body, "what a stranger typed does not reach her"
    assert User.objects.get(user_id="carol").is_waiting


def test_a_taken_address_cannot_be_activated_even_with_a_genuine_link(
    browser: Client, alice: User
) -> None:
    browser.post("/users/register/", registration(email="alice@example.com"))
    link = activation_link(User.objects.get(user_id="carol"))
    page = browser.get(link, follow=True)
    before = database()
    assert browser.post(page.wsgi_request.path).status_code == 404
    assert database() == before


def test_many_claims_to_one_address_may_wait_and_each_gets_its_link(
    cast: Callable[..., User], clock: Any
) -> None:
    now, letters = timezone.now(), []
    for minute, user_id in enumerate(("bob1", "bob2", "bob3")):
        clock(now + timedelta(minutes=minute))
        typed = registration(user_id=user_id, email="bob@example.com")
        assert Client().post("/users/register/", typed).status_code == 302
        letters += deliver_all()
    assert len({link_in(letter) for letter in letters}) == 3
    assert {tuple(letter.to) for letter in letters} == {("bob@example.com",)}
    assert User.objects.waiting().at_address("bob@example.com").count() == 3


def test_the_letter_for_an_address_lists_the_newest_three_claims(
    browser: Client, cast: Callable[..., User], clock: Any
) -> None:
    now = timezone.now()
    for minute in range(4):
        clock(now + timedelta(minutes=minute))
        cast(f"bob{minute}", "waiting", email="bob@example.com")
    browser.post("/users/activate/resend/", {"email": "bob@example.com"})
    [letter] = deliver_all()
    named = [user_id for user_id in ("bob3", "bob2", "bob1", "bob0") if user_id in letter.body]
    assert named == ["bob3", "bob2", "bob1"]
    assert letter.body.count("/users/activate/") == 3
