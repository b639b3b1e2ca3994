"""What every failure means to an operator, and what to do about it."""

from typing import Any

import pytest

from mail.causes import Cause, Kind
from mail.transport.remedies import Remedy, remedy, texts

KNOWN = [  # to whom it happens, and what it means to them
    ("smtp", Cause.BUSY, "tried again later"),
    ("smtp", Cause.DISCONNECTED, "ended the connection"),
    ("smtp", Cause.TIMED_OUT, "Nobody answers"),
    ("smtp", Cause.UNREACHABLE, "Nobody answers"),
    ("smtp", Cause.CONNECTION_REFUSED, "nothing listens on that port"),
    ("smtp", Cause.DNS, "no server of that name"),
    ("smtp", Cause.WRONG_PORT, "does not speak TLS from the start"),
    ("smtp", Cause.NO_MAILBOX, "for this recipient"),
    ("smtp", Cause.RECIPIENT, "for this recipient"),
    ("smtp", Cause.SENDER_POLICY, "as DEFAULT_FROM_EMAIL"),
    ("smtp", Cause.SENDER, "as DEFAULT_FROM_EMAIL"),
    ("smtp", Cause.REJECTED, "does not accept this message"),
    ("smtp", Cause.LOGIN, "The server does not let this site sign in"),
    ("smtp", Cause.TOO_MANY_LOGINS, "The server does not let this site sign in"),
    ("smtp", Cause.QUOTA, "as it does in a day"),
    ("smtp", Cause.UNWELCOME, "does not talk to this machine"),
    ("smtp", Cause.CERTIFICATE, "cannot prove to be EMAIL_HOST"),
    ("smtp", Cause.NOT_OFFERED, "lacks STARTTLS, or a login"),
    ("smtp", Cause.UNEXPECTED, "does not know what that means"),
    ("naver", Cause.LOGIN, "Naver does not let"),
    ("naver", Cause.TOO_MANY_LOGINS, "Naver does not let"),
    ("naver", Cause.SENDER, "in the name of the account itself"),
    ("naver", Cause.SENDER_POLICY, "in the name of the account itself"),
    (
        "naver",
        Cause.QUOTA,
        "Naver has accepted as many messages",
    ),
    ("gmail", Cause.LOGIN, "Gmail does not let"),
    ("gmail", Cause.TOO_MANY_LOGINS, "pauses"),
    ("gmail", Cause.SENDER, "Gmail does not know this sender"),
    ("gmail", Cause.SENDER_POLICY, "Gmail does not know this sender"),
    ("gmail", Cause.QUOTA, "Gmail has accepted as many"),
    ("ses", Cause.UNREACHABLE, "does not reach Amazon SES"),
    ("ses", Cause.NO_KEYS, "no keys for Amazon SES"),
    ("ses", Cause.UNKNOWN_KEY, "this access key"),
    ("ses", Cause.SIGNATURE, "clock is wrong"),
    ("ses", Cause.EXPIRED_KEY, "temporary"),
    ("ses", Cause.ACCESS_DENIED, "may not send"),
    ("ses", Cause.UNVERIFIED, "has not verified an address"),
    ("ses", Cause.CONFIGURATION_SET, "no such configuration set"),
    ("ses", Cause.MAIL_FROM_DOMAIN, "MAIL FROM"),
    ("ses", Cause.THROTTLED, "accepts no more"),
    ("ses", Cause.PAUSED, "stopped this account"),
    ("ses", Cause.REJECTED, "does not accept this message"),
    ("ses", Cause.BUSY, "tried again later"),
    ("smtp", Cause.UNANSWERED, "did not say"),
    ("smtp", Cause.REFUSED_IN_A_ROW, "refuses everybody"),
]


@pytest.mark.parametrize(("service", "cause", "meaning"), KNOWN)
def test_each_cause_has_its_remedy(settings: Any, service: str, cause: Cause, meaning: str) -> None:
    settings.EMAIL_SERVICE = service
    found = remedy(cause)
    assert meaning in found.meaning
    assert found.steps


def test_no_cause_that_reaches_an_operator_is_without_a_remedy() -> None:
    reported = {cause for cause in Cause if cause.kind is not Kind.DECISION}
    assert {cause for _, cause, _ in KNOWN} == reported


def test_every_text_of_the_table_is_shown_to_somebody(settings: Any) -> None:
    """A name that is no cause would never be found."""
    shown = []
    for settings.EMAIL_SERVICE, cause, _ in KNOWN:
        shown.append(remedy(cause))
    for name, entry in texts().items():
        for one in [entry] if "meaning" in entry else entry.values():
            assert Remedy(**one) in shown, name


@pytest.mark.parametrize(
    ("host", "name"), [("smtp.naver.com", "Naver"), ("smtp.GMAIL.com", "Gmail")]
)
def test_naver_and_gmail_are_known_by_their_servers_too(
    settings: Any, host: str, name: str
) -> None:
    settings.EMAIL_SERVICE, settings.EMAIL_HOST = "smtp", host
    assert name in remedy(Cause.LOGIN).meaning
