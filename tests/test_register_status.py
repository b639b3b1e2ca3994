"""Visitors see how their message is doing, and nothing of what others have done with an address."""

import re
import smtplib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.mail.backends.locmem import EmailBackend
from django.test import Client
from django.utils import timezone
from django.utils.dateformat import format as date_format

from mail.causes import Cause
from mail.models import Mail, State, Suppression
from mail.queue.alarms import alarms
from tests.conftest import PASSWORD, deliver_all, link_in, page_text, registration, take
from users import accounts
from users.models import User

STATUS, PAGE = "/users/register/status/", "/users/register/success/"
SENDING, HANDED = "Sending the activation e-mail", "We sent the activation e-mail"
NOON = datetime.fromisoformat("2026-11-20T05:03:12Z")  # 14:03:12 in Seoul
CANNOT = "We can't deliver to this address"
SOON, MINUTE = timedelta(seconds=6), timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _noon(clock: Callable[[datetime], None]) -> None:
    clock(NOON)


@pytest.fixture
def registered(browser: Client) -> Client:
    browser.post("/users/register/", registration())
    return browser


@pytest.fixture
def soon(clock: Callable[[datetime], None]) -> Callable[[], list[Any]]:
    """The senders have done what they can, and some seconds have passed. What has left."""

    def deliver(after: timedelta = SOON) -> list[Any]:
        sent = deliver_all()
        clock(timezone.now() + after)
        return sent

    return deliver


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def send(*_: Any) -> int:
        raise error

    monkeypatch.setattr(EmailBackend, "send_messages", send)


def shown(browser: Client) -> str:
    """The status, which a page without script shows as well."""
    status, page = (page_text(browser.get(path)) for path in (STATUS, PAGE))
    assert status.strip() in page
    [heading] = re.findall(r"<h1[^>]*>(.*?)</h1>", page)
    assert f"<title>{heading} ·" in page, "the title says the same"
    return status.replace("\N{NO-BREAK SPACE}", " ")


def test_being_sent_then_handed_over_with_the_time_it_was_asked_for(
    registered: Client, soon: Any
) -> None:
    assert SENDING in shown(registered)
    soon()
    assert f"{HANDED} at 2:03 PM KST" in shown(registered)


def test_what_is_not_sent_yet_is_being_sent(registered: Client, clock: Any) -> None:
    clock(NOON + MINUTE)
    assert SENDING in shown(registered)


def test_a_refusal_is_general_and_opens_the_field(
    registered: Client, soon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own words would make us an oracle for the mailboxes of any domain."""
    refusal = {"carol@example.com": (550, b"5.1.1 no such user")}
    with monkeypatch.context() as patch:
        refuse(patch, smtplib.SMTPRecipientsRefused(refusal))
        soon()
    page = registered.get(PAGE).text
    assert CANNOT in page
    assert "no such user" not in page
    assert page.count('id="correct"') == 1
    assert page.index('id="correct"') < page.index('id="help"'), "the field is there at once"
    assert "Send it again" not in page

    before = Mail.objects.count()
    registered.post("/users/register/resend/")
    assert Mail.objects.count() == before, "whatever a page from before still offers"

    registered.post("/users/register/address/", {"email": "carol.b@example.com"})
    assert SENDING in shown(registered)
    assert [letter.to for letter in soon()] == [["carol.b@example.com"]]
    assert HANDED in shown(registered)


def test_a_full_mailbox_is_no_wrong_address(
    registered: Client, soon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, smtplib.SMTPRecipientsRefused({"x": (552, b"5.2.2 mailbox full")}))
    soon()
    assert Mail.objects.get().state == State.FAILED
    assert not Suppression.objects.exists()
    assert "could not be delivered" in shown(registered)


def test_an_address_that_was_refused_before_is_not_tried_again_at_once(
    browser: Client, registered: Client, soon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        refuse(patch, smtplib.SMTPRecipientsRefused({"x": (550, b"5.1.1 no such user")}))
        soon()
    registered.post("/users/register/cancel/")
    browser.post("/users/register/", registration(user_id="carol2"))
    assert soon() == []
    assert CANNOT in shown(browser)


def test_a_server_that_is_away_shows_when_it_is_tried_next(
    registered: Client, soon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, ConnectionRefusedError())
    soon()
    due = timezone.localtime(Mail.objects.get().due)
    assert f"We try again at {date_format(due, 'g:i A')} KST;" in shown(registered)
    tomorrow = due + timedelta(days=1)
    Mail.objects.update(due=tomorrow)
    assert f"We try again at {date_format(tomorrow, 'j F Y, g:i A')} KST;" in shown(registered)


def test_while_a_retry_is_being_sent_it_is_being_sent(registered: Client, clock: Any) -> None:
    Mail.objects.update(cause=Cause.DISCONNECTED, error="the server hung up", attempts=1)
    clock(NOON + SOON)
    assert take(Mail.objects.get().pk)
    assert SENDING in shown(registered)


def test_a_second_mail_within_a_minute_says_when_it_leaves(registered: Client, soon: Any) -> None:
    soon()
    registered.post("/users/register/resend/")
    soon()
    page = shown(registered)
    assert "The next goes at 2:04 PM KST." in page
    assert 'data-seconds="48"' in page
    assert "We sent" not in page
    soon(MINUTE)
    assert f"{HANDED} at 2:03 PM KST" in shown(registered)


def test_a_budget_that_is_used_up_and_an_alarm_read_alike_and_name_no_time(
    registered: Client, soon: Any
) -> None:
    soon(SOON)
    tomorrow = timezone.now() + timedelta(hours=20)
    pages = []
    for cause, due in ((Cause.BUDGET, tomorrow), (Cause.ALARM, tomorrow), (Cause.LOGIN, NOON)):
        on_hold = cause != Cause.BUDGET
        state = State.PENDING
        Mail.objects.update(state=state, cause=cause, due=due, on_hold=on_hold, sent_at=None)
        pages.append(shown(registered))
    assert "We cannot send e-mail at the moment." in pages[0]
    assert len(set(pages)) == 1


def test_nobody_else_sees_it_and_it_changes_nothing(
    registered: Client, other_browser: Client
) -> None:
    registered.post("/users/register/cancel/")
    for reader in (other_browser, registered):
        page = reader.get(STATUS).text
        assert "This registration has ended" in page
        assert "carol@example.com" not in page
    assert registered.post(STATUS).status_code == 405
    assert "no-store" in registered.get(STATUS).headers["Cache-Control"]


def test_activated_elsewhere_it_says_so(
    registered: Client, other_browser: Client, soon: Any
) -> None:
    [letter] = soon()
    opened = other_browser.get(link_in(letter), follow=True)
    other_browser.post(opened.wsgi_request.path, {"password": PASSWORD})
    assert "The link was opened in another browser" in shown(registered)


# What others did with this address. In each story mallory registers an address with a history, and
# at the same moment one without, and compares what the two pages show.


def has_an_owner(address: str) -> None:
    claim = accounts.register(
        user_id="alice", email=address, name="A", password=PASSWORD, language="en"
    )
    accounts.activate(claim)


def was_registered_by_somebody_in_this_minute(address: str) -> None:
    accounts.register(user_id="bob", email=address, name="B", password=PASSWORD, language="en")
    deliver_all()


def was_registered_six_times_today(address: str) -> None:
    sent = {"letter": "register", "state": State.SENT, "language": "ko", "address": address}
    for hours in range(1, 7):
        Mail.objects.create(**sent, sent_at=NOON - timedelta(hours=hours))


def wants_no_mail(address: str) -> None:
    Suppression.objects.suppress(address, Suppression.Reason.DECLINED, timedelta(days=30))


def complained(address: str) -> None:
    Suppression.objects.suppress(address, Suppression.Reason.COMPLAINED)


HISTORIES = [
    has_an_owner,
    was_registered_by_somebody_in_this_minute,
    was_registered_six_times_today,
    wants_no_mail,
    complained,
]


@pytest.fixture
def mallorys(browser: Client, other_browser: Client) -> Callable[[], list[str]]:
    """Registers both, and says what the two pages show at this moment."""

    def pages() -> list[str]:
        mine = {"unknown@": "known@", "mallory2": "mallory1"}
        pages = [shown(browser), shown(other_browser)]
        for name, other in mine.items():
            pages = [page.replace(name, other) for page in pages]
        return pages

    return pages


def register_both(browser: Client, other_browser: Client) -> None:
    browser.post("/users/register/", registration(user_id="mallory1", email="known@example.com"))
    other_browser.post(
        "/users/register/", registration(user_id="mallory2", email="unknown@example.com")
    )


@pytest.mark.parametrize("history", HISTORIES)
def test_the_past_of_an_address_does_not_show(
    history: Any, browser: Client, other_browser: Client, mallorys: Any, soon: Any
) -> None:
    history("known@example.com")
    register_both(browser, other_browser)
    seen = [mallorys()]
    soon(timedelta(seconds=1))
    seen.append(mallorys())  # what is not sent is done sooner, and that does not show either
    soon()
    seen.append(mallorys())
    for reader in (browser, other_browser):
        reader.post("/users/register/resend/")
    seen.append(mallorys())
    soon()
    seen.append(mallorys())
    soon(2 * MINUTE)
    seen.append(mallorys())
    assert [one for one, _ in seen] == [other for _, other in seen]
    assert len({one for one, _ in seen}) > 2, "it does show something"


@pytest.mark.parametrize("history", HISTORIES)
def test_nor_while_mail_cannot_leave(
    history: Any, browser: Client, other_browser: Client, mallorys: Any, soon: Any
) -> None:
    history("known@example.com")
    alarms.raise_(Cause.LOGIN, "the login was refused")
    register_both(browser, other_browser)
    soon()
    one, other = mallorys()
    assert one == other
    assert "We cannot send e-mail at the moment." in one
    alarms.end()
    soon()
    one, other = mallorys()
    assert one == other
    assert HANDED in one


@pytest.mark.parametrize("history", HISTORIES)
def test_nor_while_the_budget_is_used_up(
    history: Any, browser: Client, other_browser: Client, mallorys: Any, soon: Any, settings: Any
) -> None:
    history("known@example.com")
    settings.EMAIL_DAILY_LIMIT = 1
    Mail.objects.create(letter="register", state=State.SENT, language="ko", sent_at=NOON)
    register_both(browser, other_browser)
    soon()
    one, other = mallorys()
    assert one == other
    assert "We cannot send e-mail at the moment." in one


def test_the_owner_who_comes_after_does_not_show(
    browser: Client, other_browser: Client, mallorys: Any, soon: Any, cast: Callable[..., User]
) -> None:
    """A stranger's claim to the address lives on, and acts as before."""
    register_both(browser, other_browser)
    soon(2 * MINUTE)
    has_an_owner("known@example.com")
    for path in (STATUS, PAGE):
        one, other = (page_text(reader.get(path)) for reader in (browser, other_browser))
        assert one.replace("known", "unknown").replace("unun", "un") == other.replace(
            "mallory2", "mallory1"
        )
    actions = [
        ("/users/register/resend/", {}),
        ("/users/register/address/", {"email": "third@example.com"}),
        ("/users/register/cancel/", {}),
    ]
    for path, fields in actions:
        answers = [reader.post(path, fields) for reader in (browser, other_browser)]
        assert len({(answer.status_code, answer["Location"]) for answer in answers}) == 1
