"""The page that says where the mail goes: correct the address, ask again, cancel."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from mail.models import Mail
from mail.models import State as MailState
from tests.conftest import (
    PASSWORD,
    database,
    deliver_all,
    link_in,
    open_link,
    page_text,
    registration,
    sign_in,
)
from users import accounts, texts
from users.models import User

LATER = timedelta(hours=24, seconds=1)  # when a claim made now has expired


def test_only_the_browser_that_registered_may_open_the_page(
    browser: Client, other_browser: Client
) -> None:
    browser.post("/users/register/", registration())
    assert browser.get("/users/register/success/").status_code == 200
    refused = other_browser.get("/users/register/success/")
    assert refused.status_code == 403
    assert "only to the browser that registered" in refused.text
    assert "carol" not in refused.text


def test_the_page_says_that_the_account_was_activated_elsewhere(
    browser: Client, other_browser: Client
) -> None:
    browser.post("/users/register/", registration())
    opened = other_browser.get(link_in(deliver_all()[0]), follow=True)
    other_browser.post(opened.wsgi_request.path, {"password": PASSWORD})
    assert User.objects.get().is_active
    page = browser.get("/users/register/success/")
    assert page.status_code == 200
    assert "Your account is active" in page.text
    assert 'class="button" href="/users/login/"' in page.text
    assert "carol@example.com" not in page.text
    assert "Cancel this registration" not in page.text


def test_whoever_is_signed_in_meanwhile_goes_home(browser: Client) -> None:
    """The link was opened in another tab of this browser; the tab that waits asks, and is told."""
    browser.post("/users/register/", registration())
    browser.post(open_link(browser, link_in(deliver_all()[0])))
    assert 'class="button" href="/"' in browser.get("/users/register/status/").text
    assert browser.get("/users/register/success/")["Location"] == "/"
    for action in ("address", "resend", "cancel"):
        response = browser.post(
            f"/users/register/{action}/", {"email": "c@example.com"}, follow=True
        )
        assert response.redirect_chain[-1] == ("/", 302)
        assert response.status_code == 200
    assert User.objects.get().email == "carol@example.com"


def test_when_the_claim_expires_the_page_offers_a_new_link(browser: Client, clock: Any) -> None:
    now = timezone.now()
    clock(now)
    browser.post("/users/register/", registration())
    clock(now + timedelta(hours=23, minutes=59))
    assert browser.get("/users/register/success/").status_code == 200
    clock(now + timedelta(hours=24))
    page = browser.get("/users/register/success/")
    assert "This link has expired" in page.text
    assert "Send me a new link" in page.text
    browser.post("/users/register/resend/")
    assert "Sending the activation e-mail" in browser.get("/users/register/success/").text
    assert len(deliver_all()) == 1


def test_the_page_closes_when_the_registration_is_cancelled(browser: Client) -> None:
    browser.post("/users/register/", registration())
    browser.post("/users/register/cancel/")
    assert browser.get("/users/register/success/").status_code == 403


def test_the_page_is_never_stored(browser: Client) -> None:
    browser.post("/users/register/", registration())
    assert "no-store" in browser.get("/users/register/success/")["Cache-Control"]


def test_whoever_knew_the_session_before_does_not_see_the_claim(
    browser: Client, other_browser: Client
) -> None:
    sign_in(browser, "nobody-yet")
    session = browser.session
    session["planted"] = True
    session.save()
    browser.cookies["sessionid"] = other_browser.cookies["sessionid"] = session.session_key
    browser.post("/users/register/", registration())
    assert other_browser.get("/users/register/success/").status_code == 403
    assert browser.get("/users/register/success/").status_code == 200


# The address


def test_an_address_corrected_gets_the_mail_and_the_old_link_dies(browser: Client) -> None:
    browser.post("/users/register/", registration(email="typo@example.com"))
    [old_letter] = deliver_all()
    response = browser.post("/users/register/address/", {"email": "carol@EXAMPLE.com"}, follow=True)
    assert response.redirect_chain == [("/users/register/success/", 302)]
    assert "Sending the activation e-mail" in response.text
    assert "carol@example.com" in response.text
    assert "typo@example.com" not in response.text

    assert browser.get(link_in(old_letter)).status_code == 404
    [letter] = deliver_all()
    assert letter.to == ["carol@example.com"]
    assert browser.get(link_in(letter)).status_code == 302


def test_correcting_again_and_again_leaves_one_mail_to_send(browser: Client) -> None:
    browser.post("/users/register/", registration())
    for number in range(4):
        browser.post("/users/register/address/", {"email": f"carol{number}@example.com"})
    assert Mail.objects.filter(state=MailState.PENDING).count() == 1
    assert [letter.to for letter in deliver_all()] == [["carol3@example.com"]]


@pytest.mark.usefixtures("still")
def test_correcting_to_a_taken_address_shows_the_same_page(browser: Client, alice: User) -> None:
    browser.post("/users/register/", registration(), follow=True)
    pages = []
    for email in ("alice@example.com", "carla@example.com"):
        response = browser.post("/users/register/address/", {"email": email}, follow=True)
        pages.append(page_text(response).replace(email, "…"))
    assert pages[0] == pages[1]


def test_correcting_to_a_taken_address_notifies_its_owner(browser: Client, alice: User) -> None:
    browser.post("/users/register/", registration())
    browser.post("/users/register/address/", {"email": "alice@example.com"})
    [letter] = deliver_all()
    assert (letter.to, letter.subject) == (
        ["alice@example.com"],
        "alice, you already have an account",
    )


@pytest.mark.parametrize("email", ["", "carol", "carol@", "carol@example", "a b@example.com"])
def test_a_mistake_in_the_corrected_address_shows_the_page_again(
    browser: Client, email: str
) -> None:
    browser.post("/users/register/", registration())
    before = database()
    response = browser.post("/users/register/address/", {"email": email})
    assert response.status_code == 200
    assert 'aria-invalid="true"' in response.text
    assert "carol@example.com" in response.text
    assert database() == before


def test_the_correction_opens_with_the_typed_address_in_it(browser: Client) -> None:
    browser.post("/users/register/", registration(email="carol@example.org"))
    page = browser.get("/users/register/success/").text
    assert re.search(r'<input type="email" name="email" value="carol@example.org"', page)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("carol@gmial.com", "carol@gmail.com"),
        ("carol@naver.con", "carol@naver.com"),
        ("carol@nvaer.com", "carol@naver.com"),
        ("carol@hanmial.net", "carol@hanmail.net"),
        ("carol@GMAIL.CO", "carol@gmail.com"),
        ("carol@naver.com", ""),
        ("carol@mail.com", ""),
        ("carol@snu.ac.kr", ""),
    ],
)
def test_a_mistyped_domain_is_proposed_in_one_click_and_never_changed(
    browser: Client, typed: str, meant: str
) -> None:
    browser.post("/users/register/", registration(email=typed))
    page = browser.get("/users/register/success/").text
    assert re.findall(r'name="email" value="([^"]+)">Yes', page) == ([meant] if meant else [])
    assert User.objects.get().email.lower() == typed.lower()


def test_the_mailbox_of_a_known_domain_is_one_click_away(browser: Client, clock: Any) -> None:
    now = timezone.now()
    clock(now)
    for minute, (domain, button) in enumerate(
        [("naver.com", "https://mail.naver.com/"), ("gmail.com", "https://mail.google.com/")]
    ):
        clock(now + timedelta(minutes=3 * minute))
        browser.post("/users/register/", registration(email=f"carol@{domain}"))
        page = browser.get("/users/register/success/").text
        assert f'class="button plain" href="{button}"' in page, "not the main action: not sent yet"
        deliver_all()
        clock(now + timedelta(minutes=3 * minute, seconds=6))
        assert f'class="button" href="{button}"' in browser.get("/users/register/success/").text


# Again, or not at all


def test_the_mail_can_be_sent_again(browser: Client, clock: Any) -> None:
    browser.post("/users/register/", registration())
    [first] = deliver_all()
    clock(timezone.now() + timedelta(minutes=1))
    response = browser.post("/users/register/resend/", follow=True)
    assert response.redirect_chain == [("/users/register/success/", 302)]
    assert "Sending the activation e-mail" in response.text
    [second] = deliver_all()
    assert second.to == first.to
    assert browser.get(link_in(second)).status_code == 302


def test_asking_again_before_the_mail_has_left_posts_no_second(browser: Client) -> None:
    browser.post("/users/register/", registration())
    for _ in range(3):
        browser.post("/users/register/resend/")
    assert len(deliver_all()) == 1


def test_a_cancelled_registration_leaves_nothing(browser: Client) -> None:
    browser.post("/users/register/", registration())
    [letter] = deliver_all()
    response = browser.post("/users/register/cancel/", follow=True)
    assert response.redirect_chain == [("/", 302)]
    assert "was cancelled" in response.text
    assert not User.objects.exists()
    assert browser.get(link_in(letter)).status_code == 404
    assert browser.post("/users/register/", registration()).status_code == 302


def test_a_cancelled_registration_sends_no_mail_that_still_waits(browser: Client) -> None:
    browser.post("/users/register/", registration())
    browser.post("/users/register/cancel/")
    assert deliver_all() == []
    assert Mail.objects.get().state == MailState.DROPPED


def test_cancelling_never_touches_an_activated_account(browser: Client) -> None:
    browser.post("/users/register/", registration())
    carol = accounts.activate(User.objects.get())
    before = database()
    response = browser.post("/users/register/cancel/", follow=True)
    assert "Your account is active" in response.text
    with pytest.raises(accounts.LinkSpent):
        accounts.cancel(carol)
    assert database() == before


def test_cancelling_while_the_link_is_pressed_elsewhere_does_not_say_cancelled(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.post("/users/register/", registration())
    cancel = accounts.cancel

    def too_late(claim: User) -> None:
        accounts.activate(User.objects.get(pk=claim.pk))
        cancel(claim)

    monkeypatch.setattr(accounts, "cancel", too_late)
    assert "Your account is active" in browser.post("/users/register/cancel/", follow=True).text
    assert User.objects.get().is_active
    assert str(texts.CANCELLED) not in browser.get("/").text


@pytest.mark.parametrize("action", ["address", "resend", "cancel"])
def test_a_stranger_does_nothing_to_a_registration(
    browser: Client, other_browser: Client, bob: User, action: str
) -> None:
    browser.post("/users/register/", registration())
    before = database()
    response = other_browser.post(
        f"/users/register/{action}/", {"email": "mallory@example.com", "claim": str(bob.pk)}
    )
    assert response.status_code == 403
    assert database() == before


@pytest.mark.parametrize("action", ["address", "cancel"])
def test_an_expired_claim_is_no_longer_the_browsers(
    browser: Client, clock: Any, action: str
) -> None:
    browser.post("/users/register/", registration())
    before = database()
    clock(timezone.now() + LATER)
    response = browser.post(f"/users/register/{action}/", {"email": "new@example.com"})
    assert response["Location"] == "/users/register/success/"
    assert database() == before


def test_a_broken_hint_loses_neither_the_page_nor_the_mail(
    browser: Client, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    def broken(*_: Any) -> None:
        raise ConnectionError("the broker is away")

    monkeypatch.setattr("mail.queue.engines.work.Work.hint", broken)
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        response = browser.post("/users/register/", registration())
    assert callbacks, "a hint was given"
    assert response.status_code == 302
    assert len(deliver_all()) == 1
