"""Events of Amazon SES over real HTTP, really signed: what comes back turns the row."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from django.test import RequestFactory, override_settings
from django.utils import timezone
from django_ses import utils

from mail.api import suppress
from mail.desk import operations
from mail.models import Mail, State, Suppression
from mail.urls import events
from tests.conftest import deliver_all
from tests.elsewhere import SECONDS
from users import accounts
from users.models import User

TOPIC = "arn:aws:sns:ap-northeast-2:123456789012:ses-events"
CERTIFICATE = "https://sns.ap-northeast-2.amazonaws.com/SimpleNotificationService-test.pem"
Reason = Suppression.Reason
SIGNED = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def amazon() -> Iterator[rsa.RSAPrivateKey]:
    """Amazon's key; its certificate lies where django-ses keeps those that it has fetched."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    utils._CERT_CACHE[CERTIFICATE] = certificate
    yield key
    utils.clear_cert_cache()


@pytest.fixture
def post(live_server: Any, amazon: rsa.RSAPrivateKey) -> Iterator[Callable[..., int]]:
    """Posts an event as SNS does; the status of the answer."""

    def post(event: Any, *, key: rsa.RSAPrivateKey = amazon, **changes: str) -> int:
        message = {
            "Type": "Notification",
            "MessageId": "1",
            "TopicArn": TOPIC,
            "Timestamp": "2026-11-20T00:00:00.000Z",
            "Message": json.dumps(event),
            "SigningCertURL": CERTIFICATE,
            **changes,
        }
        text = "".join(f"{name}\n{message[name]}\n" for name in SIGNED if name in message)
        signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA1())
        message.setdefault("Signature", base64.b64encode(signature).decode())
        return raw(live_server, json.dumps(message).encode())

    with override_settings(AWS_SNS_EVENT_TRUSTED_TOPIC_ARNS=[TOPIC]):
        yield post


def raw(live_server: Any, body: bytes) -> int:
    request = Request(f"{live_server.url}/mail/events/", body, {"Content-Type": "text/plain"})
    try:
        with urlopen(request, timeout=SECONDS) as answer:
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code


@pytest.fixture
def sent(bob: User) -> Mail:
    accounts.resend_activation(bob)
    deliver_all()
    Mail.objects.update(provider_id="ses-1")
    return Mail.objects.get()


def event(kind: str, **about: Any) -> dict[str, Any]:
    old = (timezone.now() - timedelta(minutes=5)).isoformat()
    return {
        "eventType": kind,
        "mail": {"messageId": "ses-1", "timestamp": old},
        kind.lower(): about,
    }


BOUNCE = event(
    "Bounce",
    bounceType="Permanent",
    bouncedRecipients=[
        {"emailAddress": "bob@example.com", "diagnosticCode": "smtp; 550 5.1.1 unknown"}
    ],
)


def test_a_bounce_turns_the_row_and_stops_registration_letters(
    post: Callable[..., int], sent: Mail, bob: User
) -> None:
    assert post(BOUNCE) == 200
    sent.refresh_from_db()
    assert sent.state == State.BOUNCED
    assert "550 5.1.1 unknown" in sent.timeline.get().what
    assert Suppression.objects.get().reason == Reason.BOUNCED
    accounts.request_activation("bob@example.com", "en")
    assert deliver_all() == []


def test_staff_clears_it_and_letters_go_again(
    post: Callable[..., int], sent: Mail, bob: User
) -> None:
    post(BOUNCE)
    Suppression.objects.all().delete()
    accounts.request_activation("bob@example.com", "en")
    assert len(deliver_all()) == 1


def test_a_transient_bounce_is_only_recorded(post: Callable[..., int], sent: Mail) -> None:
    soft = event("Bounce", bounceType="Transient", bouncedRecipients=[])
    assert post(soft) == 200
    sent.refresh_from_db()
    assert sent.state == State.SENT
    assert sent.timeline.count() == 1
    assert not Suppression.objects.exists()


def test_a_complaint_and_a_delivery(post: Callable[..., int], sent: Mail) -> None:
    assert post(event("Delivery", smtpResponse="250 ok")) == 200
    sent.refresh_from_db()
    assert sent.state == State.DELIVERED
    people = [{"emailAddress": "bob@example.com"}]
    assert post(event("Complaint", complainedRecipients=people)) == 200
    sent.refresh_from_db()
    assert sent.state == State.COMPLAINED
    assert Suppression.objects.get().reason == Reason.COMPLAINED
    assert post(event("Delivery", smtpResponse="250 ok")) == 200
    sent.refresh_from_db()
    assert sent.state == State.COMPLAINED, "a late delivery does not hide a complaint"


def test_an_event_that_is_faster_than_our_own_update_is_asked_for_again(
    post: Callable[..., int], db: None
) -> None:
    new = event("Delivery")
    new["mail"]["timestamp"] = timezone.now().isoformat()
    assert post(new) == 503
    assert post(event("Delivery")) == 200, "one that is no message of ours is accepted"


def test_forged_events_change_nothing(
    post: Callable[..., int], live_server: Any, sent: Mail
) -> None:
    mallory = rsa.generate_private_key(65537, 2048)
    for status in (
        post(BOUNCE, key=mallory),
        post(BOUNCE, TopicArn="arn:aws:sns:ap-northeast-2:666666666666:mallory"),
        post(BOUNCE, Signature="not base64 at all!"),
        post(BOUNCE, Signature=""),
        post(BOUNCE, SigningCertURL="https://mallory.example/x.pem"),
        post(BOUNCE, SigningCertURL="http://sns.ap-northeast-2.amazonaws.com/x.pem"),
        raw(live_server, json.dumps(BOUNCE).encode()),
        raw(live_server, b"[]"),
        raw(live_server, b"null"),
        raw(live_server, b"\xff\x00 rubbish"),
        raw(live_server, b""),
    ):
        assert status == 400
    sent.refresh_from_db()
    assert sent.state == State.SENT
    assert not Suppression.objects.exists()


def test_signed_rubbish_is_no_500(post: Callable[..., int], sent: Mail) -> None:
    for rubbish in ([], "x", 7, None, {"eventType": "Bounce"}, {"eventType": "Bounce", "mail": 3}):
        assert post(rubbish) in (200, 400)


@pytest.mark.parametrize(
    "changes",
    [
        {"Type": "Notification\n2026-11-21 CRITICAL mail.alarm: forged"},
        {"Type": "x" * 100_000},
        {"Type": ["Notification"]},
        {"Type": {}},
        {"TopicArn": "arn:aws:sns:x:1:y\nforged"},
        {"TopicArn": [TOPIC]},
        {"TopicArn": {}},
        {"TopicArn": None},
    ],
)
def test_what_is_not_from_our_topic_leaves_no_trace(
    live_server: Any, post: Callable[..., int], caplog: Any, changes: dict[str, Any]
) -> None:
    message = {"Type": "Notification", "TopicArn": TOPIC, "Message": "{}", **changes}
    assert raw(live_server, json.dumps(message).encode()) == 400
    assert "forged" not in caplog.text
    assert len(caplog.text) < 1000


@pytest.mark.parametrize("size", [256 * 1024 + 1, 2_400_000, 3_000_000])
def test_a_long_body_is_refused_unread(
    live_server: Any, post: Callable[..., int], caplog: Any, size: int
) -> None:
    assert raw(live_server, b"x" * size) == 413
    assert len(caplog.text) < 1000


def test_a_body_without_a_length_is_refused_as_well(settings: Any) -> None:
    """A server for ASGI has read it before Django sees it."""
    settings.AWS_SNS_EVENT_TRUSTED_TOPIC_ARNS = [TOPIC]
    request = RequestFactory().post("/mail/events/", b"x" * 300_000, content_type="text/plain")
    _ = request.body
    del request.META["CONTENT_LENGTH"]
    assert events(request).status_code == 413


@pytest.mark.parametrize("rubbish", [b"[" * 200_000, b'{"a":' * 40_000, b'{"Type": NaN}', b"1e999"])
def test_rubbish_of_any_depth_is_no_500(
    live_server: Any, post: Callable[..., int], rubbish: bytes
) -> None:
    assert raw(live_server, rubbish) == 400


def test_a_strangers_topic_makes_us_fetch_nothing(
    post: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*_: Any, **__: Any) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr("requests.get", fetch)
    other = "https://sns.ap-northeast-2.amazonaws.com/SimpleNotificationService-other.pem"
    assert post(BOUNCE, TopicArn="arn:aws:sns:x:1:y", SigningCertURL=other) == 400


def test_a_certificate_that_could_not_be_fetched_is_tried_again(
    post: Callable[..., int], monkeypatch: pytest.MonkeyPatch, sent: Mail
) -> None:
    import requests

    def fail(*_: Any, **__: Any) -> None:
        raise requests.ConnectionError

    other = "https://sns.ap-northeast-2.amazonaws.com/SimpleNotificationService-other.pem"
    monkeypatch.setattr("requests.get", fail)
    assert post(BOUNCE, SigningCertURL=other) == 400
    assert other not in utils._CERT_CACHE


def test_without_a_topic_of_ours_there_is_no_such_page(live_server: Any) -> None:
    with override_settings(AWS_SNS_EVENT_TRUSTED_TOPIC_ARNS=[]):
        assert raw(live_server, json.dumps(BOUNCE).encode()) == 404


def test_rates_are_compared_with_what_ses_tolerates(db: None) -> None:
    states = [State.SENT] * 90 + [State.BOUNCED] * 8 + [State.COMPLAINED] * 2
    now = timezone.now()
    Mail.objects.bulk_create(
        Mail(letter="register", language="en", state=state, sent_at=now) for state in states
    )
    rates = operations.rates()
    assert (rates.rate(rates.bounced), rates.rate(rates.complained)) == (0.08, 0.02)
    assert rates.in_danger


def test_a_suppression_is_renewed_and_not_doubled(db: None) -> None:
    suppress("Bob@example.com", Reason.DECLINED)
    suppress("bob@EXAMPLE.com", Reason.BOUNCED)
    assert Suppression.objects.get().reason == Reason.BOUNCED


def test_a_complaint_is_not_weakened_by_i_did_not_register(db: None) -> None:
    suppress("bob@example.com", Reason.COMPLAINED)
    suppress("bob@example.com", Reason.DECLINED, timedelta(days=30))
    assert Suppression.objects.get().reason == Reason.COMPLAINED
    assert Suppression.objects.get().until is None


def test_an_address_that_was_not_even_tried_makes_no_rate(db: None) -> None:
    Mail.objects.create(letter="register", language="en", state=State.REFUSED)
    assert operations.rates().sent == 0
