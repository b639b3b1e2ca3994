"""Strangers spend nothing that is somebody else's: each story is an attack that worked once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core import mail as django_mail
from django.core.mail import EmailMultiAlternatives
from django.db import connection as database_connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail import api
from mail.causes import Cause
from mail.desk import operations
from mail.models import Budget, Mail, State, Suppression, mailbox_of
from mail.queue import delivering
from mail.queue.refusals import refusals
from tests.conftest import (
    LINK,
    deliver_all,
    open_link,
    page_text,
    registration,
    sign_in,
    uid,
)
from tests.conftest import database as everything
from users import accounts, tokens
from users.models import User

CAMPUS, CAFE, HOME = "203.0.113.9", "198.51.100.7", "192.0.2.33"

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> Any:
    """A clock that stands until a story moves it."""
    with time_machine.travel("2026-11-20T09:00:00Z", tick=False) as clock:
        yield clock


def visitor(network: str = HOME) -> Client:
    return Client(headers={"accept-language": "en"}, REMOTE_ADDR=network)


def register(browser: Client, user_id: str, email: str) -> None:
    form = registration(user_id=user_id, email=email)
    assert browser.post("/users/register/", form).status_code == 302


def ask(browser: Client, page: str, email: str) -> None:
    assert browser.post(f"/users/{page}/", {"email": email}).status_code == 302


def deliver_for(clock: Any, minutes: int) -> list[EmailMultiAlternatives]:
    """What leaves within so many minutes."""
    letters_ = []
    for _ in range(minutes):
        letters_ += deliver_all()
        clock.shift(60)
    return letters_


def refuse(monkeypatch: pytest.MonkeyPatch, code: int, reply: bytes) -> list[str]:
    """A mail server that refuses every recipient; who was tried."""
    import smtplib

    tried: list[str] = []

    def send(message: EmailMultiAlternatives, _: object) -> bool:
        tried.extend(message.to)
        raise smtplib.SMTPRecipientsRefused({message.to[0]: (code, reply)})

    monkeypatch.setattr("mail.transport.connection.send", send)
    return tried


# 1. One visitor and all mail of a day


@override_settings(EMAIL_DAILY_LIMIT=15)
def test_corrections_of_one_claim_mail_three_addresses_and_no_reset_waits(
    now: Any, alice: User
) -> None:
    mallory = visitor()
    register(mallory, "mallory", "stranger0@example.com")
    deliver_all()
    for number in range(1, 16):
        ask(mallory, "register/address", f"stranger{number}@example.com")
        deliver_all()
    assert len(django_mail.outbox) == 3
    ask(visitor(CAMPUS), "password/reset", "alice@example.com")
    [letter] = deliver_all()
    assert letter.to == ["alice@example.com"]


@override_settings(EMAIL_DAILY_LIMIT=12)
def test_strangers_of_many_networks_leave_the_owners_part_alone(now: Any, alice: User) -> None:
    for number in range(14):
        register(visitor(f"192.0.2.{number}"), f"stranger{number}", f"s{number}@example.com")
        deliver_all()
    assert len(django_mail.outbox) == 6, "half of the budget"
    waiting = Mail.objects.filter(state=State.PENDING)
    assert {mail.cause for mail in waiting} == {Cause.BUDGET}
    for number in range(4):
        ask(visitor(f"198.51.100.{number}"), "password/reset", "alice@example.com")
        assert len(deliver_all()) == 1, "hers leaves at once"
        now.shift(timedelta(minutes=61))


@override_settings(EMAIL_DAILY_LIMIT=30)
def test_the_last_part_of_the_budget_is_for_owners_whatever_used_up_the_rest(
    now: Any, alice: User
) -> None:
    """Invitations and error reports count as well."""
    for number in range(24):
        Mail.objects.create(
            letter="adhoc",
            address=f"{number}@example.com",
            language="en",
            state=State.SENT,
            sent_at=timezone.now(),
        )
    register(visitor(), "carol", "carol@example.com")
    ask(visitor(CAMPUS), "password/reset", "alice@example.com")
    assert [letter.to for letter in deliver_all()] == [["alice@example.com"]]


@override_settings(EMAIL_DAILY_LIMIT=30)
def test_the_last_part_of_all_is_for_owners_in_a_browser_of_theirs(now: Any, alice: User) -> None:
    """Resets for owners, by strangers of several networks, have used up what strangers may."""
    hers, office = visitor(CAMPUS), visitor(CAMPUS)
    sign_in(hers, "alice")
    hers.post("/users/logout/")
    for number in range(27):
        Mail.objects.create(
            letter="password_reset",
            address=f"{number}@example.com",
            asker=f"network {number % 6}",
            budget=Budget.OWNER,
            language="en",
            state=State.SENT,
            sent_at=timezone.now(),
        )
    ask(office, "password/reset", "alice@example.com")
    assert deliver_all() == []
    assert Mail.objects.get(state=State.PENDING).cause == Cause.BUDGET
    ask(hers, "password/reset", "alice@example.com")
    assert [letter.to for letter in deliver_all()] == [["alice@example.com"]]


def test_a_browser_of_another_s_is_a_stranger_s(now: Any, alice: User, cast: Any) -> None:
    cast("mallory")
    browser = visitor()
    sign_in(browser, "mallory")
    browser.post("/users/logout/")
    ask(browser, "password/reset", "alice@example.com")
    ask(browser, "password/reset", "mallory@example.com")
    askers = dict(Mail.objects.filter(letter="password_reset").values_list("address", "asker"))
    assert askers["alice@example.com"]
    assert not askers["mallory@example.com"]


@pytest.mark.parametrize(("budget", "share"), [(0, 8), (100, 8), (30, 6)])
def test_one_network_causes_so_many_letters_to_strangers_and_another_its_own(
    now: Any, budget: int, share: int
) -> None:
    with override_settings(EMAIL_DAILY_LIMIT=budget, EMAIL_PER_NETWORK_LIMIT=8):
        for number in range(12):
            register(visitor(CAMPUS), f"stranger{number}", f"s{number}@example.com")
            deliver_all()
        assert len(django_mail.outbox) == share
        register(visitor(CAFE), "carol", "carol@example.com")
        [letter] = deliver_all()
        assert letter.to == ["carol@example.com"]
        now.shift(timedelta(hours=25))
        register(visitor(CAMPUS), "dave", "dave@example.com")
        assert len(deliver_all()) == 1, "the next day is a new one"


@override_settings(EMAIL_PER_NETWORK_LIMIT=3)
def test_what_leads_to_no_letter_uses_up_nothing(now: Any) -> None:
    mallory = visitor(CAMPUS)
    for number in range(4):
        form = registration(user_id="x", email=f"s{number}@example.com")
        assert mallory.post("/users/register/", form).status_code == 200, "invalid"
        ask(mallory, "password/reset", f"nobody{number}@example.com")
        deliver_all()
    register(visitor(CAMPUS), "carol", "carol@example.com")
    assert len(deliver_all()) == 1


@override_settings(EMAIL_PER_NETWORK_LIMIT=3)
def test_a_network_of_ipv6_is_what_one_customer_is_given(now: Any) -> None:
    for number in range(5):
        register(visitor(f"2001:db8:7:{number}::1"), f"stranger{number}", f"s{number}@example.com")
        deliver_all()
    assert len(django_mail.outbox) == 3
    register(visitor("2001:db8:8::1"), "carol", "carol@example.com")
    assert len(deliver_all()) == 1


def test_a_row_does_not_hold_the_address_of_a_visitor(now: Any) -> None:
    register(visitor(CAMPUS), "carol", "carol@example.com")
    mail = Mail.objects.get()
    assert len(mail.asker) == 32
    assert CAMPUS not in mail.asker


@override_settings(EMAIL_DAILY_LIMIT=40)
def test_a_network_does_not_use_up_the_owners_part_with_resets_of_many_members(
    now: Any, cast: Callable[..., User]
) -> None:
    for number in range(20):
        cast(f"member{number}")
        ask(visitor(CAFE), "password/reset", f"member{number}@example.com")
        deliver_all()
    assert len(django_mail.outbox) == 8
    ask(visitor(CAMPUS), "password/reset", "member19@example.com")
    assert len(deliver_all()) == 1


@override_settings(EMAIL_DAILY_LIMIT=10)
def test_operators_are_notified_once_when_a_part_of_the_budget_is_nearly_used_up(
    now: Any,
    caplog: pytest.LogCaptureFixture,
    admin_user: User,
    admin_client: Client,
    client: Client,
) -> None:
    def notices() -> list[str]:
        return [one.getMessage() for one in caplog.records if one.name == "mail.alarm"]

    for number in range(3):
        register(visitor(f"192.0.2.{number}"), f"person{number}", f"p{number}@example.com")
        deliver_all()
    assert not notices()
    accounts.choose_language(admin_user, "en")
    assert "budget" not in admin_client.get("/admin/").text
    assert "budget" not in client.get("/healthz").json()
    for number in range(3, 5):
        register(visitor(f"192.0.2.{number}"), f"person{number}", f"p{number}@example.com")
        deliver_all()
    [notice] = notices()
    assert "4 of 5" in notice
    assert "5 of 5" in admin_client.get("/admin/").text
    health = client.get("/healthz")
    assert health.status_code == 503
    assert "nearly used up" in health.json()["budget"]


# 2. A chosen address


def shut_out(clock: Any, network: str, address: str) -> list[EmailMultiAlternatives]:
    """The 18 POSTs; what they send."""
    for number in range(6):
        register(visitor(network), f"mallory{number}", address)
        ask(visitor(network), "activate/resend", address)
        ask(visitor(network), "password/reset", address)
    return deliver_for(clock, 20)


@pytest.mark.parametrize("network", [CAFE, CAMPUS])
def test_her_own_registration_arrives_whoever_asked_before(now: Any, network: str) -> None:
    """Also for somebody in the same network, such as a fellow student."""
    shut_out(now, network, "carol@example.com")
    carol = visitor(CAMPUS)
    register(carol, "carol", "carol@example.com")
    letter = deliver_for(now, 2)[-1]
    assert "Hello carol" in letter.body
    assert len(LINK.findall(str(letter.body))) == 1, "her own claim's link, and no other"


def test_the_resend_of_her_own_claim_names_it_after_strangers_have_asked(now: Any) -> None:
    carol = visitor(CAMPUS)
    register(carol, "carol", "carol@example.com")
    deliver_all()
    shut_out(now, CAFE, "carol@example.com")
    assert carol.post("/users/register/resend/").status_code == 302
    [letter] = deliver_for(now, 2)
    assert "Hello carol" in letter.body


def test_mail_again_in_the_browser_that_registered_is_for_its_own_claim(now: Any) -> None:
    carol = visitor(CAMPUS)
    register(carol, "carol", "carol@example.com")
    deliver_all()
    for number in range(3):
        register(visitor(CAFE), f"mallory{number}", "carol@example.com")
    deliver_for(now, 5)
    ask(carol, "activate/resend", "carol@example.com")
    [letter] = deliver_all()
    assert "Hello carol" in letter.body


def test_newer_claims_from_elsewhere_do_not_push_hers_out_of_mail_again(now: Any) -> None:
    register(visitor(CAMPUS), "carol", "carol@example.com")
    deliver_all()
    for number in range(4):
        now.shift(60)
        register(visitor(CAFE), f"mallory{number}", "carol@example.com")
        deliver_all()
    ask(visitor(CAMPUS), "activate/resend", "carol@example.com")
    letter = deliver_for(now, 2)[-1]
    assert "Hello carol" in letter.body
    assert "mallory3" in letter.body


def test_eighteen_posts_are_no_longer_eighteen_letters(now: Any) -> None:
    assert len(shut_out(now, CAFE, "carol@example.com")) <= 12


@pytest.mark.parametrize("network", [CAFE, CAMPUS])
def test_an_owner_has_a_working_reset_link_within_the_hour_whoever_asks(
    now: Any, alice: User, network: str
) -> None:
    mallory = visitor(network)
    for _ in range(10):  # an hour and a half
        ask(mallory, "password/reset", "alice@example.com")
        deliver_for(now, 9)
    asked = timezone.now()
    while timezone.now() < asked + timedelta(hours=1):
        ask(visitor(CAMPUS), "password/reset", "alice@example.com")
        deliver_for(now, 5)
    newest = Mail.objects.filter(letter="password_reset", state=State.SENT).latest("sent_at")
    assert newest.sent_at
    assert newest.sent_at > asked - timedelta(minutes=25), "its link still works"
    assert len(django_mail.outbox) <= (9 if network == CAMPUS else 14)


# 3. Suppression


def test_an_address_that_does_not_exist_yet_is_written_to_when_it_does(
    now: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        tried = refuse(broken, 550, b"5.1.1 no such user")
        for number in range(4):
            register(visitor(CAFE), f"mallory{number}", f"2026{number:04}@example.ac.kr")
            deliver_all()
            refusals.forget()  # somebody else's message has left: it is no fault of the server
        assert len(tried) == 4
        register(visitor(CAFE), "mallory-again", "20260001@example.ac.kr")
        deliver_all()
        assert len(tried) == 4, "for hours nothing is tried again"
    now.shift(timedelta(hours=25))
    for number in range(4):
        register(visitor(CAMPUS), f"student{number}", f"2026{number:04}@example.ac.kr")
        deliver_all()
    assert len(django_mail.outbox) == 4


def test_each_refusal_lasts_twice_as_long_and_those_of_three_days_for_ever(
    now: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, 550, b"5.1.1 no such user")
    address, lasted = "ghost@example.com", []
    for number in range(20):
        register(visitor(), f"ghost{number}", address)
        deliver_all()
        until = Suppression.objects.get().until
        if until is None:
            break
        lasted.append((until - timezone.now()) / timedelta(hours=1))
        now.move_to(until + timedelta(seconds=1))
    assert lasted == [2, 4, 8, 16]
    assert Suppression.objects.get().until is None, "the third day"


def test_pruning_does_not_make_it_the_first_refusal_again(now: Any) -> None:
    Suppression.objects.suppress_for_a_while("a@example.com", Suppression.Reason.REFUSED)
    now.shift(timedelta(days=29))
    assert not operations.expired_suppressions().exists()
    now.shift(timedelta(days=2))
    assert operations.expired_suppressions().exists()


def test_a_bounce_of_a_letter_to_an_unproven_address_expires_and_a_complaint_does_not(
    now: Any,
) -> None:
    register(visitor(), "carol", "carol@example.com")
    deliver_all()
    carol = Mail.objects.get()
    Suppression.objects.after(carol, Suppression.Reason.BOUNCED)
    assert Suppression.objects.get().until
    Suppression.objects.after(None, Suppression.Reason.COMPLAINED, carol.address)
    assert Suppression.objects.get().until is None


def test_refusals_of_one_day_are_never_for_ever(now: Any) -> None:
    for _ in range(100):
        Suppression.objects.suppress_for_a_while("a@example.com", Suppression.Reason.REFUSED)
    row = Suppression.objects.get()
    assert row.until
    assert row.until <= timezone.now() + timedelta(days=7)


def test_what_came_back_from_a_proven_owner_stays(
    now: Any, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, 550, b"5.1.1 no such user")
    ask(visitor(), "password/reset", "alice@example.com")
    deliver_all()
    assert Suppression.objects.get().until is None


@pytest.mark.parametrize(
    "reply",
    [
        b"Message rejected due to local policy",
        b"5.7.1 blocked",
        b"blocked using zen.example.org",
        b"Relaying denied",
        b"5.1.8 sender domain does not exist",
        b"sender verify failed",
        b"Too many spam messages from your network",
    ],
)
def test_a_550_of_a_policy_says_nothing_about_the_mailbox(
    now: Any, reply: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, 550, reply)
    register(visitor(), "carol", "carol@example.com")
    deliver_all()
    assert Mail.objects.get().state == State.FAILED
    assert not Suppression.objects.exists()


def test_the_page_does_not_repeat_the_words_of_a_foreign_server(
    now: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, 550, b"5.1.1 no such user; try hong@example.com")
    browser = visitor()
    register(browser, "carol", "carol@example.com")
    deliver_all()
    now.shift(6)
    page = browser.get("/users/register/success/").text
    assert "The mail server does not accept it" in page
    assert "no such user" not in page
    assert "5.1.1" not in page


# 4. The owner of an address


def notices(messages: list[EmailMultiAlternatives]) -> list[EmailMultiAlternatives]:
    return [one for one in messages if "you already have an account" in one.subject]


def test_one_notice_a_day_reaches_an_owner(now: Any, alice: User) -> None:
    sent = []
    for number in range(4):
        network = f"192.0.2.{number}"
        register(visitor(network), f"mallory{number}", "alice@example.com")
        ask(visitor(network), "activate/resend", "alice@example.com")
        sent += deliver_for(now, 3)
    assert len(notices(sent)) == 1
    assert len(sent) == 1
    now.shift(timedelta(hours=24))
    register(visitor(CAFE), "mallory-again", "alice@example.com")
    assert len(notices(deliver_all())) == 1


def test_a_claim_to_a_notified_owners_address_looks_like_any_other(now: Any, alice: User) -> None:
    pages = []
    register(visitor(CAFE), "first", "alice@example.com")
    register(visitor(CAFE), "second", "free@example.com")
    deliver_all()
    for user_id, email in (("third", "alice@example.com"), ("fourth", "free@example.com")):
        browser = visitor(HOME)
        register(browser, user_id, email)
        deliver_all()
        now.shift(6)
        page = page_text(browser.get("/users/register/status/"))
        pages.append(page.replace(email, "…").replace(user_id, "…"))
        now.shift(-6)
    assert "We sent the activation e-mail" in pages[0]
    assert pages[0] == pages[1]


def test_a_notice_of_one_kind_does_not_take_the_place_of_another(now: Any, alice: User) -> None:
    """Or whoever registers with her address, and then guesses at her password, is not noticed."""
    register(visitor(CAFE), "mallory", "alice@example.com")
    assert len(notices(deliver_all())) == 1
    api.post("login_failures", address="alice@example.com")
    [letter] = deliver_all()
    assert "someone is trying to sign in" in letter.subject
    now.shift(timedelta(hours=25))
    api.post("login_failures", address="alice")
    assert len(deliver_all()) == 1
    api.post("login_failures", address="alice@example.com")
    assert deliver_all() == [], "once a day, whichever name it was"
    register(visitor(HOME), "mallory2", "alice@example.com")
    assert len(notices(deliver_all())) == 1
    budgets = Mail.objects.filter(letter="login_failures", state=State.SENT)
    assert {mail.budget for mail in budgets} == {"notice"}


@pytest.fixture
def stop_link(alice: User) -> str:
    register(visitor(CAFE), "mallory", "alice@example.com")
    [letter] = deliver_all()
    [link] = [link for link in LINK.findall(str(letter.body)) if "/notices/" in link]
    assert link in str(letter.alternatives[0][0])
    return str(link)


def test_the_owner_says_no_more_in_the_notice(now: Any, alice: User, stop_link: str) -> None:
    reader = visitor(HOME)
    before = everything()
    page = open_link(reader, stop_link)
    assert "no longer" in reader.get(page).text
    assert everything() == before, "opening it changes nothing"
    response = reader.post(page, follow=True)
    assert response.redirect_chain == [("/", 302)]
    assert "not write to you" in response.text
    now.shift(timedelta(days=2))
    stranger = visitor(CAFE)
    register(stranger, "mallory-again", "alice@example.com")
    assert deliver_all() == []
    now.shift(6)
    assert "We sent the activation e-mail" in stranger.get("/users/register/status/").text
    ask(visitor(HOME), "password/reset", "alice@example.com")
    assert len(deliver_all()) == 1, "what they ask for themselves still comes"
    assert reader.get(stop_link).status_code == 404, "it has been used"


def test_the_link_of_a_notice_is_good_for_nothing_else(
    now: Any, alice: User, stop_link: str
) -> None:
    token = stop_link.rstrip("/").split("/")[-1]
    reader = visitor(HOME)
    assert reader.get(f"/users/password/reset/{uid(alice)}/{token}/").status_code == 404
    assert reader.get(f"/users/activate/{uid(alice)}/{token}/").status_code == 404
    reset = tokens.reset.make_token(alice)
    assert reader.get(f"/users/notices/{uid(alice)}/{reset}/").status_code == 404


def test_the_link_of_a_notice_works_weeks_later_and_after_a_new_sign_in(
    now: Any, alice: User, stop_link: str
) -> None:
    visitor(HOME).post("/users/login/", {"username": "alice", "password": "correct-horse-battery"})
    now.shift(timedelta(days=40))
    assert visitor(HOME).get(stop_link).status_code == 302


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        ("Hong.Gil.Dong+news@Gmail.com", "honggildong@gmail.com"),
        ("honggildong@googlemail.com", "honggildong@gmail.com"),
        ("Hong.Gil+x@naver.com", "hong.gil@naver.com"),
        ("Hong.Gil+x@Example.com", "hong.gil+x@example.com"),
        ("+x@gmail.com", "+x@gmail.com"),
        ("", ""),
    ],
)
def test_the_mailbox_of_an_address(address: str, mailbox: str) -> None:
    assert mailbox_of(address) == mailbox


def test_variants_of_one_mailbox_count_as_one(now: Any) -> None:
    for number in range(6):
        ask_for = (
            f"vic.tim+{number}@gmail.com" if number % 2 else f"v.ictim+{number}@googlemail.com"
        )
        browser = visitor(CAFE)
        register(browser, f"mallory{number}", ask_for)
        for _ in range(2):
            browser.post("/users/register/resend/")
            deliver_for(now, 2)
    assert len(django_mail.outbox) == 12


def test_who_declined_hears_nothing_at_the_variants_either(now: Any) -> None:
    register(visitor(CAFE), "mallory", "victim+1@gmail.com")
    assert len(deliver_all()) == 1
    accounts.decline(User.objects.get())
    register(visitor(CAFE), "mallory", "vic.tim+2@gmail.com")
    assert deliver_all() == []


@pytest.mark.parametrize(
    "address",
    [
        "root@localhost",
        "root@mailhost",
        "root@[127.0.0.1]",
        "root@[IPv6:::1]",
        "root@10.0.0.10",
        "root@a.localhost",
        "root@printer.local",
        "noreply@cs.example.com",
        "NoReply@cs.example.com",
    ],
)
def test_an_address_that_no_outside_mailbox_has_is_refused(now: Any, address: str) -> None:
    with override_settings(DEFAULT_FROM_EMAIL="Computer Science <noreply@cs.example.com>"):
        browser = visitor()
        form = registration(email=address)
        assert browser.post("/users/register/", form).status_code == 200
        register(browser, "carol", "carol@example.com")
        response = browser.post("/users/register/address/", {"email": address})
        assert response.status_code == 200
        assert User.objects.get().email == "carol@example.com"


@override_settings(DEBUG=True)
def test_development_may_write_to_itself(now: Any) -> None:
    register(visitor(), "carol", "carol@localhost")
    assert len(deliver_all()) == 1


# The cost of all this


def test_the_limits_of_a_letter_are_few_statements_each_on_an_index(now: Any) -> None:
    """With many recent rows, and with what ANALYZE tells the planner about them."""
    register(visitor(CAMPUS), "carol", "carol@example.com")
    sent = {"letter": "register", "budget": "open", "state": State.SENT, "sent_at": timezone.now()}
    Mail.objects.bulk_create(
        Mail(**sent, mailbox=f"{number}@example.com", asker=f"{number % 50:032}")
        for number in range(2000)
    )
    mail = Mail.objects.select_related("user").get(state=State.PENDING)
    with (
        override_settings(EMAIL_DAILY_LIMIT=10_000),
        CaptureQueriesContext(database_connection) as asked,
    ):
        assert callable(delivering.decide(mail))
    said = "is it held, owned, suppressed; the network, the budget twice, the mailbox"
    assert len(asked) == 7, said
    if database_connection.vendor != "sqlite":
        return
    plans = []
    with database_connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        for query in asked.captured_queries:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plans.append(" ".join(str(row[3]) for row in cursor.fetchall()))
    assert "SCAN mail_mail" not in " ".join(plans)
    assert "mail_by_asker (asker=? AND sent_at>?)" in plans[3]
    assert "COVERING INDEX mail_by_sending (sent_at>?)" in plans[4]
    assert "mail_in_flight (due>?)" in plans[5]
    assert "mail_by_mailbox (mailbox=? AND created_at>?)" in plans[6]
    assert "(user_id=?)" in plans[6]
