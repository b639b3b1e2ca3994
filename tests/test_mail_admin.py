"""The queue in the admin: what happened, send again, cancel, and how the letters look."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from mail import send_mail
from mail.api import suppress
from mail.causes import Cause
from mail.desk.trial import sample_names
from mail.models import Attempt, Mail, State, Suppression
from mail.queue import posting
from mail.queue.alarms import alarms
from tests.conftest import PASSWORD, deliver_all
from users.models import User


@pytest.fixture
def office(browser: Client, db: None) -> Client:
    root = User.objects.create_superuser("root", "root@example.com", PASSWORD, language="en")
    browser.force_login(root)
    return browser


def act(client: Client, action: str, *mails: Mail) -> str:
    data = {"action": action, "_selected_action": [str(mail.pk) for mail in mails]}
    return client.post("/admin/mail/mail/", data, follow=True).text


def test_the_timeline_is_beside_the_row(office: Client, bob: User) -> None:
    mail = posting.post("register", user=bob)
    Attempt.objects.create(mail=mail, number=1, what="the mail server hung up")
    page = office.get(f"/admin/mail/mail/{mail.pk}/change/").text
    assert "the mail server hung up" in page
    assert "/users/activate/" not in page


def test_sent_again_as_a_new_message(office: Client, bob: User) -> None:
    mail = posting.post("register", user=bob)
    Mail.objects.update(state=State.FAILED, error="no")
    assert "Done for 1 message." in act(office, "send_again", mail)
    assert len(deliver_all()) == 1
    assert Mail.objects.get(pk=mail.pk).state == State.FAILED, "what happened stays on record"


def test_an_operators_own_message_is_sent_again_only_while_it_is_kept(office: Client) -> None:
    send_mail("Hello", ["kim@example.com"], "text")
    mail = Mail.objects.get()
    Mail.objects.update(state=State.FAILED)
    act(office, "send_again", mail)
    [letter] = deliver_all()
    assert (letter.subject, letter.body) == ("Hello", "text")
    assert "1 message was passed over" in act(office, "send_again", Mail.objects.get(state="sent"))


def test_cancel_takes_back_what_waits_and_nothing_else(office: Client, bob: User) -> None:
    waiting = posting.post("register", user=bob)
    sent = Mail.objects.create(
        letter="register", language="en", state=State.SENT, sent_at=timezone.now()
    )
    page = act(office, "cancel", waiting, sent)
    assert "Done for 1 message." in page
    assert "1 message was passed over" in page
    assert deliver_all() == []
    assert Mail.objects.get(pk=sent.pk).state == State.SENT


def test_the_banner_is_above_every_page_while_mail_cannot_leave(office: Client) -> None:
    assert "Mail cannot leave" not in office.get("/admin/").text
    alarms.raise_(Cause.LOGIN, "the login was refused: 535 <b>bad</b>")
    page = office.get("/admin/users/user/").text
    assert "Mail cannot leave, and waits." in page
    assert "535 &lt;b&gt;bad&lt;/b&gt;" in page
    alarms.end()
    assert "Mail cannot leave" not in office.get("/admin/").text


def test_overdue_mail_and_dangerous_rates_are_reported(office: Client) -> None:
    Mail.objects.create(letter="register", language="en", due=timezone.now() - timedelta(minutes=6))
    assert "is a sender running?" in office.get("/admin/").text
    for state, count in ((State.SENT, 92), (State.BOUNCED, 8)):
        Mail.objects.bulk_create(
            Mail(letter="register", language="en", state=state, sent_at=timezone.now())
            for _ in range(count)
        )
    page = office.get("/admin/mail/mail/").text
    assert "the mail service may stop us" in page
    assert "In 7 days, of 10,000 at most: 100 sent, 8.0% came back" in page


def test_a_persons_page_says_that_mail_came_back(office: Client, bob: User) -> None:
    suppress(bob.email, Suppression.Reason.BOUNCED)
    assert "mail came back" in office.get(f"/admin/users/user/{bob.pk}/change/").text


@pytest.mark.parametrize("language", ["ko", "en", "zh-hant"])
def test_every_letter_can_be_looked_at_in_every_language(office: Client, language: str) -> None:
    for name in sample_names():
        query = f"?letter={name}&language={language}"
        page = office.get(f"/admin/mail/mail/preview/{query}")
        assert page.status_code == 200
        assert page.context["message"].subject in page.text.replace("&#x27;", "'")
        html = office.get(f"/admin/mail/mail/preview/html/{query}")
        assert html.headers["Content-Security-Policy"].startswith("sandbox")
        assert f'lang="{language}"' in html.text or name == "adhoc", "an operator's own"


@pytest.mark.parametrize(
    ("query", "status"),
    [("?letter=nonsense", 404), ("?language=xx", 404), ("?letter=", 404), ("?letter=%00", 400)],
)
def test_a_preview_of_nothing_is_not_found(office: Client, query: str, status: int) -> None:
    assert office.get(f"/admin/mail/mail/preview/{query}").status_code == status


def test_whoever_may_not_see_mail_sees_no_preview_and_has_no_actions(
    browser: Client, cast: Callable[..., User], bob: User
) -> None:
    viewer: Any = cast("viewer")
    User.objects.filter(pk=viewer.pk).update(is_staff=True)
    browser.force_login(viewer)
    mail = posting.post("register", user=bob)
    assert browser.get("/admin/mail/mail/preview/").status_code == 403
    act(browser, "cancel", mail)
    assert Mail.objects.get(pk=mail.pk).state == State.PENDING


def test_clearing_a_suppression(office: Client) -> None:
    suppress("bob@example.com", Suppression.Reason.REFUSED)
    [row] = office.get("/admin/mail/suppression/").context["cl"].result_list
    data = {"action": "clear", "_selected_action": [str(row.pk)]}
    office.post("/admin/mail/suppression/", data)
    assert office.get("/admin/mail/suppression/").context["cl"].result_count == 0
