"""An address that nobody has costs the sender what one costs that somebody has."""

from collections.abc import Callable
from email.message import Message
from typing import Any

import pytest
from django.core import mail as django_mail
from django.core.mail import EmailMultiAlternatives
from django.test import Client

from mail.causes import Cause
from mail.models import Mail, State
from mail.queue.alarms import alarms
from tests.conftest import deliver_all
from users import accounts
from users.models import User

RESET, RESEND = "/users/password/reset/", "/users/activate/resend/"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The subjects of all messages that were turned into bytes, whoever got them."""
    subjects: list[str] = []
    make = EmailMultiAlternatives.message

    def message(self: EmailMultiAlternatives, *args: Any, **options: Any) -> Message:
        subjects.append(str(self.subject))
        return make(self, *args, **options)

    monkeypatch.setattr(EmailMultiAlternatives, "message", message)
    return subjects


@pytest.mark.parametrize("form", [RESET, RESEND])
def test_a_letter_for_nobody_is_written_and_thrown_away(
    form: str, browser: Client, written: list[str]
) -> None:
    browser.post(form, {"email": "nobody@example.com"})
    assert deliver_all() == []
    assert len(written) == 1
    mail = Mail.objects.get()
    assert (mail.state, mail.cause) == (State.DROPPED, Cause.NOT_NEEDED)
    assert not User.objects.exists(), "the sample person is in no database"


@pytest.mark.parametrize("form", [RESET, RESEND])
def test_an_owner_and_nobody_cost_the_same_writing(
    form: str, browser: Client, alice: User, written: list[str]
) -> None:
    browser.post(form, {"email": alice.email})
    assert len(deliver_all()) == 1
    for_alice = len(written)
    browser.post(form, {"email": "nobody@example.com"})
    assert deliver_all() == []
    assert len(written) == 2 * for_alice


def test_the_owner_of_a_disabled_account_costs_the_same(
    browser: Client, dora: User, written: list[str]
) -> None:
    browser.post(RESET, {"email": dora.email})
    assert deliver_all() == []
    assert len(written) == 1


def test_an_owner_who_wants_no_notices_costs_the_same(
    browser: Client, alice: User, written: list[str]
) -> None:
    accounts.stop_notices(alice)
    browser.post(RESEND, {"email": alice.email})
    assert deliver_all() == []
    assert len(written) == 1
    assert Mail.objects.get().cause == Cause.SUPPRESSED


def test_a_claim_that_is_gone_is_no_secret(
    browser: Client, cast: Callable[..., User], written: list[str]
) -> None:
    """Its own browser cancelled it, so nothing is pretended."""
    bob = cast("bob", "waiting")
    mail = Mail.objects.create(letter="register", user=bob, address=bob.email, language="en")
    bob.delete()
    deliver_all()
    assert (Mail.objects.get(pk=mail.pk).state, written) == (State.DROPPED, [])


def test_while_nothing_is_sent_nothing_is_written_for_nobody(
    browser: Client, alice: User, written: list[str]
) -> None:
    alarms.raise_(Cause.LOGIN, "the login was refused")
    for address in (alice.email, "nobody@example.com"):
        browser.post(RESET, {"email": address})
    deliver_all()
    assert written == [] == django_mail.outbox
