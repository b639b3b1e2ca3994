"""What an operator hears of Amazon SES."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber
from moto.moto_api._internal import moto_api_backend
from moto.server import ThreadedMotoServer

from mail.desk import trial
from tests.test_mail_command import ADDRESS, mail


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
