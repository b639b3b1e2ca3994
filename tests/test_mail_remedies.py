"""What an operator hears of Amazon SES, and what every failure means to them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber
from moto.moto_api._internal import moto_api_backend
from moto.server import ThreadedMotoServer

from mail.causes import Cause, Kind
from mail.desk import trial
from mail.transport.remedies import Remedy, remedy, texts
from tests.test_mail_command import ADDRESS, mail

# Amazon SES


@pytest.fixture
def ses(settings: Any, monkeypatch: Any) -> Iterator[str]:
    """Amazon SES over HTTP. The sender is not verified yet."""
    moto_api_backend.reset()  # what another test has had verified outlives its server
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    settings.EMAIL_SERVICE, settings.EMAIL_BACKEND = "ses", "django_ses.SESBackend"
    settings.USE_SES_V2, settings.AWS_SES_AUTO_THROTTLE = True, None
    settings.AWS_SES_REGION_NAME = "ap-northeast-2"
    settings.AWS_SES_REGION_ENDPOINT_URL = f"http://{host}:{port}"
    settings.AWS_ACCESS_KEY_ID, settings.AWS_SECRET_ACCESS_KEY = "AKIATEST1234", "secret"
    settings.DEFAULT_FROM_EMAIL = "noreply@cs.example.ac.kr"
    yield f"http://{host}:{port}"
    server.stop()


def verify_the_sender() -> None:
    backend = trial.Trial().backend
    backend.open()
    backend.connection.create_email_identity(EmailIdentity="noreply@cs.example.ac.kr")


def test_ses_shows_the_id_of_the_message(ses: str) -> None:
    verify_the_sender()
    code, said = mail("test", ADDRESS)
    assert code == 0
    assert re.search(rf"(?m)^server +{ses}$", said)
    assert re.search(r"(?m)^region +ap-northeast-2$", said)
    assert re.search(r"(?m)^login +access key …1234$", said)
    assert re.search(r"(?m)^register \(\w+\) +\d+\.\d{3} s  accepted as \S{20,}$", said)
    assert "AKIATEST" not in said
    assert "secret" not in said


def test_ses_with_an_unverified_sender_names_sandbox_and_region(ses: str) -> None:
    code, said = mail("test", ADDRESS)
    assert code == 1
    assert "Amazon SES: MessageRejected" in said
    for words in ("Verify its domain", "sandbox", "AWS_SES_REGION_NAME"):
        assert words in said


def test_ses_without_keys(ses: str, settings: Any, monkeypatch: Any) -> None:
    settings.AWS_ACCESS_KEY_ID = settings.AWS_SECRET_ACCESS_KEY = None
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    code, said = mail("test", ADDRESS)
    assert code == 1
    assert "There are no keys for Amazon SES." in said


ACCOUNT = {
    "ProductionAccessEnabled": False,
    "SendingEnabled": True,
    "SendQuota": {"Max24HourSend": 200, "MaxSendRate": 1, "SentLast24Hours": 12},
}


def account(**answer: Any) -> str:
    """What is shown of an account that Amazon describes, or refuses to describe, like this."""
    tried = trial.Trial()
    tried.connect()
    with Stubber(tried.backend.connection) as amazon:
        if "service_error_code" in answer:
            amazon.add_client_error("get_account", **answer)
        else:
            amazon.add_response("get_account", answer)
        return tried.account()


def test_ses_shows_sandbox_quota_and_a_pause(ses: str) -> None:
    assert account(**ACCOUNT) == "sandbox, 12 of 200 messages in 24 hours"
    stopped = account(**ACCOUNT | {"ProductionAccessEnabled": True, "SendingEnabled": False})
    assert stopped.startswith("production, ")
    assert "Amazon has PAUSED sending" in stopped


def test_keys_that_may_send_and_nothing_else_are_good_keys(ses: str) -> None:
    assert "the keys are known" in account(service_error_code="AccessDeniedException")
    with pytest.raises(Exception, match="InvalidClientTokenId"):
        account(service_error_code="InvalidClientTokenId")


# The table of remedies

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
