# ruff: noqa: E501  a table is read across
"""What each answer of a mail service means: one table, to be read by whoever wonders."""

import smtplib
import socket
import ssl
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)

from mail.errors import Fault, explain

PASSING, LASTING, OURS, UNKNOWN = Fault.PASSING, Fault.LASTING, Fault.OURS, Fault.UNKNOWN
NO_MAILBOX = Fault.NO_MAILBOX


def data(code: int, reply: str) -> Exception:
    return smtplib.SMTPDataError(code, reply.encode())


def rcpt(code: int, reply: str) -> Exception:
    return smtplib.SMTPRecipientsRefused({"alice@example.com": (code, reply.encode())})


def sender(code: int, reply: str) -> Exception:
    return smtplib.SMTPSenderRefused(code, reply.encode(), "noreply@example.com")


def login(code: int, reply: str) -> Exception:
    return smtplib.SMTPAuthenticationError(code, reply.encode())


def ses(code: str, message: str, status: int = 400) -> Exception:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "SendEmail")


def certificate(words: str) -> Exception:
    error = ssl.SSLCertVerificationError(1, words)
    error.verify_message = words
    return error


AWS = "https://email.ap-northeast-2.amazonaws.com"

# fmt: off
TABLE = [
    # the recipient
    (rcpt(552, "5.2.2 <kim@x.kr> Quota exceeded (mailbox for user is full)"), LASTING, "552"),
    (rcpt(452, "4.2.2 The mailbox is over quota exceeded"), PASSING, "452"),
    (smtplib.SMTPSenderRefused(552, b"5.3.4 Message size exceeds fixed limit", "a@b.kr"), LASTING, "552"),
    (rcpt(550, "5.1.1 no such user"),                  NO_MAILBOX, "the recipient was refused: 550 5.1.1 no such user"),
    (rcpt(552, "mailbox full"),                        LASTING, "552 mailbox full"),
    (rcpt(553, "5.1.3 bad address syntax"),            NO_MAILBOX, "553"),
    (rcpt(450, "4.2.1 mailbox busy"),                  PASSING, "the recipient was refused: 450"),
    (rcpt(451, "greylisted"),                          PASSING, "451 greylisted"),
    (rcpt(452, "4.2.2 over quota of the mailbox"),     PASSING, "452"),
    (rcpt(421, "closing"),                             PASSING, "421"),
    # the mail
    (data(550, "5.7.1 looks like spam"),               LASTING, "the mail server said no: 550"),
    (data(552, "message too big"),                     LASTING, "552 message too big"),
    (data(554, "transaction failed"),                  LASTING, "554"),
    (data(421, "4.7.0 try again later"),               PASSING, "421"),
    (data(451, "local error"),                         PASSING, "451 local error"),
    # the sender, the login, the quota: ours
    (sender(550, "not your address"),                  OURS,    "the sender was refused: 550 not your address"),
    (sender(553, "5.7.1 sender rejected"),             OURS,    "553"),
    (sender(530, "5.7.0 must issue STARTTLS first"),   OURS,    "530"),
    (sender(451, "try again"),                         PASSING, "the sender was refused: 451"),
    (sender(421, "too many connections"),              PASSING, "421"),
    (login(535, "5.7.8 bad credentials"),              OURS,    "the login was refused: 535 5.7.8 bad credentials"),
    (login(534, "5.7.9 app password needed"),          OURS,    "534"),
    (login(454, "4.7.0 too many logins"),              OURS,    "454"),
    (login(421, "too many logins"),                    OURS,    "421"),
    (data(550, "5.4.5 Daily user sending limit exceeded"), OURS, "550 5.4.5"),
    (data(452, "4.4.5 too much today"),                OURS,    "452 4.4.5"),
    (rcpt(550, "Daily sending quota exceeded"),        OURS,    "quota"),
    (rcpt(530, "authentication required"),             OURS,    "530"),
    (data(550, "5.1.0 rule 5.4.55"),                   LASTING, "5.4.55"),
    (smtplib.SMTPNotSupportedError("no STARTTLS"),     OURS,    "does not offer what the settings ask for: no STARTTLS"),
    (smtplib.SMTPException("No suitable authentication method found."), OURS, "does not offer"),
    (certificate("self-signed certificate"),           OURS,    "not to be trusted: self-signed certificate"),
    # the way
    (smtplib.SMTPServerDisconnected("closed"),         PASSING, "the mail server hung up: closed"),
    (smtplib.SMTPConnectError(421, b"busy"),           PASSING, "421 busy"),
    (smtplib.SMTPConnectError(554, b"your address is blocked"), OURS, "the mail server does not want us: 554 your"),
    (smtplib.SMTPHeloError(501, b"strange name"),      OURS,    "501 strange name"),
    (smtplib.SMTPResponseException(454, "no TLS now"), OURS,    "454 no TLS now"),
    (smtplib.SMTPHeloError(450, b"later"),             PASSING, "450 later"),
    (ConnectionRefusedError(111, "Connection refused"), PASSING, "cannot be reached: [Errno 111] Connection refused"),
    (TimeoutError("timed out"),                        PASSING, "cannot be reached: timed out"),
    (socket.gaierror(-2, "Name or service not known"), PASSING, "Name or service not known"),
    (ssl.SSLError(1, "wrong version number"),          PASSING, "wrong version number"),
    # Amazon SES
    (ses("MessageRejected", "Email address is not verified."), OURS, "Amazon SES: MessageRejected: Email address"),
    (ses("AccessDeniedException", "not authorized"),   OURS,    "not authorized"),
    (ses("InvalidClientTokenId", "bad key"),           OURS,    "bad key"),
    (ses("SignatureDoesNotMatch", "bad secret"),       OURS,    "bad secret"),
    (ses("ExpiredTokenException", "expired"),          OURS,    "expired"),
    (ses("AccountSuspendedException", "paused"),       OURS,    "paused"),
    (ses("SendingPausedException", "paused"),          OURS,    "paused"),
    (ses("MailFromDomainNotVerifiedException", "mx"),  OURS,    "mx"),
    (ses("NotFoundException", "no configuration set"), OURS,    "no configuration set"),
    (ses("LimitExceededException", "24 hour quota"),   OURS,    "24 hour quota"),
    (ses("BadRequestException", "illegal address"),    LASTING, "illegal address"),
    (ses("InvalidParameterValue", "Missing '@'"),      LASTING, "Missing '@'"),
    (ses("InternalFailure", "try again", 500),         PASSING, "try again"),
    (ses("ServiceUnavailable", "try again", 503),      PASSING, "try again"),
    (ses("SomethingNew", "what?"),                     UNKNOWN, "Amazon SES: SomethingNew: what?"),
    (ClientError({}, "SendEmail"),                     UNKNOWN, "Amazon SES"),
    (EndpointConnectionError(endpoint_url=AWS),        PASSING, "Amazon SES cannot be reached"),
    (ConnectTimeoutError(endpoint_url=AWS),            PASSING, "Amazon SES cannot be reached"),
    (ReadTimeoutError(endpoint_url=AWS),               PASSING, "Amazon SES cannot be reached"),
    (NoCredentialsError(),                             OURS,    "Amazon SES has no keys"),
    (PartialCredentialsError(provider="env", cred_var="secret"), OURS, "Amazon SES has no keys"),
    # nobody knows
    (ZeroDivisionError("division by zero"),            UNKNOWN, "ZeroDivisionError: division by zero"),
    (KeyError("name"),                                 UNKNOWN, "KeyError: 'name'"),
]
# fmt: on


@pytest.mark.parametrize(("error", "fault", "words"), TABLE, ids=lambda value: repr(value)[:60])
def test_an_answer_means(error: Exception, fault: Fault, words: str) -> None:
    found, said = explain(error)
    assert (found, words in said) == (fault, True), said


@pytest.mark.parametrize("code", ["Throttling", "ThrottlingException", "TooManyRequestsException"])
def test_throttling_by_ses_costs_no_mail_its_life(code: str) -> None:
    fault, _ = explain(ses(code, "Maximum sending rate exceeded.", 429))
    assert fault in (PASSING, OURS)


def test_a_reply_that_is_no_utf_8_is_still_told() -> None:
    fault, words = explain(smtplib.SMTPDataError(550, b"\xbd\xba\xc6\xd4"))
    assert fault is LASTING
    assert words.startswith("the mail server said no: 550 ")
