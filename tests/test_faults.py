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

from mail.causes import Cause, Kind
from mail.transport.connection import CannotConnect, Unanswered
from mail.transport.faults import explain


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


def tls(reason: str) -> Exception:
    error = ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:1006)")
    error.reason = reason
    return error


def silent() -> Exception:
    """As smtplib has it of a server that does not answer in time."""
    try:
        try:
            raise TimeoutError("timed out")
        except OSError:
            raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed") from None
    except smtplib.SMTPException as error:
        return error


AWS = "https://email.ap-northeast-2.amazonaws.com"

# fmt: off
TABLE = [
    # the recipient
    (rcpt(550, "5.1.1 no such user"),                       Cause.NO_MAILBOX, "the recipient was refused: 550 5.1.1 no such user"),
    (rcpt(550, "no such box"),                              Cause.NO_MAILBOX, "550 no such box"),
    (rcpt(551, "user not local"),                           Cause.NO_MAILBOX, "551"),
    (rcpt(553, "5.1.3 bad address syntax"),                 Cause.NO_MAILBOX, "553"),
    (rcpt(550, "5.7.1 relaying denied"),                    Cause.RECIPIENT, "550 5.7.1 relaying denied"),
    (rcpt(550, "5.7.1 SPF check failed"),                   Cause.SENDER_POLICY, "550 5.7.1 SPF"),
    (rcpt(552, "mailbox full"),                             Cause.RECIPIENT, "552 mailbox full"),
    (rcpt(552, "5.2.2 <kim@x.kr> Quota exceeded (mailbox for user is full)"), Cause.RECIPIENT, "552"),
    (rcpt(452, "4.2.2 The mailbox is over quota exceeded"), Cause.BUSY, "452"),
    (rcpt(452, "4.2.2 over quota of the mailbox"),          Cause.BUSY, "452"),
    (rcpt(450, "4.2.1 mailbox busy"),                       Cause.BUSY, "the recipient was refused: 450"),
    (rcpt(451, "greylisted"),                               Cause.BUSY, "451 greylisted"),
    (rcpt(421, "closing"),                                  Cause.BUSY, "421"),
    # the message
    (data(550, "5.7.1 looks like spam"),                    Cause.REJECTED, "the mail server said no: 550"),
    (data(552, "message too big"),                          Cause.REJECTED, "552 message too big"),
    (data(554, "transaction failed"),                       Cause.REJECTED, "554"),
    (data(550, "5.1.0 rule 5.4.55"),                        Cause.REJECTED, "5.4.55"),
    (sender(552, "5.3.4 Message size exceeds fixed limit"), Cause.REJECTED, "552"),
    (data(550, "5.7.26 DMARC policy of the sender's domain"), Cause.SENDER_POLICY, "5.7.26"),
    (data(421, "4.7.0 try again later"),                    Cause.BUSY, "421"),
    (data(451, "local error"),                              Cause.BUSY, "451 local error"),
    # our sender, our login, our quota
    (sender(550, "not your address"),                       Cause.SENDER, "the sender was refused: 550 not your address"),
    (sender(553, "5.7.1 sender rejected"),                  Cause.SENDER, "553"),
    (sender(530, "5.7.0 must issue STARTTLS first"),        Cause.LOGIN, "530"),
    (sender(454, "4.7.0 Too many login attempts"),          Cause.TOO_MANY_LOGINS, "454"),
    (sender(451, "try again"),                              Cause.BUSY, "the sender was refused: 451"),
    (sender(421, "too many connections"),                   Cause.BUSY, "421"),
    (login(535, "5.7.8 bad credentials"),                   Cause.LOGIN, "the login was refused: 535 5.7.8 bad credentials"),
    (login(534, "5.7.9 app password needed"),               Cause.LOGIN, "534"),
    (login(454, "4.7.0 too many logins"),                   Cause.TOO_MANY_LOGINS, "454"),
    (login(421, "too many logins"),                         Cause.TOO_MANY_LOGINS, "421"),
    (login(451, "try again"),                               Cause.LOGIN, "451"),
    (rcpt(530, "authentication required"),                  Cause.LOGIN, "530"),
    (data(550, "5.4.5 Daily user sending limit exceeded"),  Cause.QUOTA, "550 5.4.5"),
    (data(452, "4.4.5 too much today"),                     Cause.QUOTA, "452 4.4.5"),
    (rcpt(550, "Daily sending quota exceeded"),             Cause.QUOTA, "quota"),
    (smtplib.SMTPNotSupportedError("no STARTTLS"),          Cause.NOT_OFFERED, "does not offer what is configured: no STARTTLS"),
    (smtplib.SMTPException("No suitable authentication method found."), Cause.NOT_OFFERED, "does not offer"),
    (certificate("self-signed certificate"),                Cause.CERTIFICATE, "cannot be trusted: self-signed certificate"),
    # the way
    (smtplib.SMTPServerDisconnected("closed"),              Cause.DISCONNECTED, "the mail server hung up: closed"),
    (silent(),                                              Cause.TIMED_OUT, "the mail server hung up: Connection"),
    (smtplib.SMTPConnectError(421, b"busy"),                Cause.BUSY, "421 busy"),
    (smtplib.SMTPConnectError(554, b"your address is blocked"), Cause.UNWELCOME, "the mail server refuses us: 554 your"),
    (smtplib.SMTPHeloError(501, b"strange name"),           Cause.UNWELCOME, "501 strange name"),
    (smtplib.SMTPResponseException(454, "no TLS now"),      Cause.BUSY,            "454 no TLS now"),
    (smtplib.SMTPHeloError(450, b"later"),                  Cause.BUSY, "450 later"),
    (ConnectionRefusedError(111, "Connection refused"),     Cause.CONNECTION_REFUSED, "cannot be reached: [Errno 111] Connection refused"),
    (TimeoutError("timed out"),                             Cause.TIMED_OUT, "cannot be reached: timed out"),
    (OSError(113, "No route to host"),                      Cause.UNREACHABLE, "No route to host"),
    (socket.gaierror(-2, "Name or service not known"),      Cause.DNS, "Name or service not known"),
    (tls("WRONG_VERSION_NUMBER"),                           Cause.WRONG_PORT, "WRONG_VERSION_NUMBER"),
    (tls("RECORD_LAYER_FAILURE"),                           Cause.WRONG_PORT, "RECORD_LAYER_FAILURE"),
    (tls("UNEXPECTED_EOF_WHILE_READING"),                   Cause.UNREACHABLE, "UNEXPECTED_EOF"),
    # Amazon SES
    (ses("MessageRejected", "Email address is not verified."), Cause.UNVERIFIED, "Amazon SES: MessageRejected: Email address"),
    (ses("MessageRejected", "Sending paused for this account"), Cause.PAUSED, "Sending paused"),
    (ses("AccountSendingPausedException", "x"),             Cause.PAUSED, "AccountSendingPaused"),
    (ses("AccountSuspendedException", "paused"),            Cause.PAUSED, "paused"),
    (ses("SendingPausedException", "paused"),               Cause.PAUSED, "paused"),
    (ses("AccessDenied", "not authorized"),                 Cause.ACCESS_DENIED, "not authorized"),
    (ses("AccessDeniedException", "not authorized"),        Cause.ACCESS_DENIED, "not authorized"),
    (ses("InvalidClientTokenId", "bad key"),                Cause.UNKNOWN_KEY, "bad key"),
    (ses("UnrecognizedClientException", "The security token is invalid"), Cause.UNKNOWN_KEY, "token"),
    (ses("SignatureDoesNotMatch", "bad secret"),            Cause.SIGNATURE, "bad secret"),
    (ses("IncompleteSignature", "bad secret"),              Cause.SIGNATURE, "bad secret"),
    (ses("ExpiredToken", "expired"),                        Cause.EXPIRED_KEY, "expired"),
    (ses("ExpiredTokenException", "expired"),               Cause.EXPIRED_KEY, "expired"),
    (ses("MailFromDomainNotVerifiedException", "mx"),       Cause.MAIL_FROM_DOMAIN, "mx"),
    (ses("NotFoundException", "no configuration set"),      Cause.CONFIGURATION_SET, "no configuration set"),
    (ses("LimitExceededException", "24 hour quota"),        Cause.THROTTLED, "24 hour quota"),
    (ses("Throttling", "Maximum sending rate exceeded."),   Cause.THROTTLED, "Maximum sending rate"),
    (ses("ThrottlingException", "Maximum sending rate", 429), Cause.THROTTLED, "Maximum sending rate"),
    (ses("TooManyRequestsException", "Maximum sending rate", 429), Cause.THROTTLED, "Maximum sending rate"),
    (ses("BadRequestException", "illegal address"),         Cause.REJECTED, "illegal address"),
    (ses("InvalidParameterValue", "Missing '@'"),           Cause.REJECTED, "Missing '@'"),
    (ses("ValidationError", "Missing '@'"),                 Cause.REJECTED, "Missing '@'"),
    (ses("InternalFailure", "try again", 500),              Cause.BUSY, "try again"),
    (ses("ServiceUnavailable", "try again", 503),           Cause.BUSY, "try again"),
    (ses("SomethingNew", "what?"),                          Cause.UNEXPECTED, "Amazon SES: SomethingNew: what?"),
    (ClientError({}, "SendEmail"),                          Cause.UNEXPECTED, "Amazon SES"),
    (EndpointConnectionError(endpoint_url=AWS),             Cause.UNREACHABLE, "Amazon SES cannot be reached"),
    (ConnectTimeoutError(endpoint_url=AWS),                 Cause.UNREACHABLE, "Amazon SES cannot be reached"),
    (ReadTimeoutError(endpoint_url=AWS),                    Cause.UNANSWERED, "Amazon SES did not say"),
    (Unanswered("timed out"),                               Cause.UNANSWERED, "did not say whether it accepts it: timed out"),
    (CannotConnect(ConnectionRefusedError("no")),           Cause.CONNECTION_REFUSED, "cannot be reached: no"),
    (NoCredentialsError(),                                  Cause.NO_KEYS, "Amazon SES has no keys"),
    (PartialCredentialsError(provider="env", cred_var="secret"), Cause.NO_KEYS, "Amazon SES has no keys"),
    # what is unexpected
    (ZeroDivisionError("division by zero"),                 Cause.UNEXPECTED, "ZeroDivisionError: division by zero"),
    (KeyError("name"),                                      Cause.UNEXPECTED, "KeyError: 'name'"),
]

KINDS = {
    Kind.TRANSIENT: "busy disconnected timed_out unanswered refused_in_a_row unreachable connection_refused dns wrong_port",
    Kind.PERMANENT: "no_mailbox recipient sender_policy rejected",
    # All mail waits: a wrong row here loses it, or locks an account.
    Kind.CONFIGURATION: "login too_many_logins sender quota unwelcome certificate not_offered no_keys "
    "unknown_key signature expired_key access_denied unverified configuration_set mail_from_domain "
    "throttled paused",
    Kind.UNEXPECTED: "unexpected",
}
# fmt: on


@pytest.mark.parametrize(("error", "cause", "words"), TABLE, ids=lambda value: repr(value)[:60])
def test_an_answer_means(error: Exception, cause: Cause, words: str) -> None:
    found, said = explain(error)
    assert (found, words in said) == (cause, True), said


def test_each_cause_is_of_the_kind_that_decides_about_the_message() -> None:
    for kind, causes in KINDS.items():
        assert [cause for cause in Cause if cause.kind is kind] == causes.split()


def test_the_table_has_every_cause_that_is_not_of_our_own_decision() -> None:
    answers = set(" ".join(KINDS.values()).split()) - {Cause.REFUSED_IN_A_ROW}
    assert {cause for _, cause, _ in TABLE} == answers


def test_a_reply_that_is_no_utf_8_is_still_shown() -> None:
    cause, words = explain(smtplib.SMTPDataError(550, b"\xbd\xba\xc6\xd4"))
    assert cause is Cause.REJECTED
    assert words.startswith("the mail server said no: 550 ")


def test_what_a_server_says_cannot_forge_a_line_of_our_log() -> None:
    _, words = explain(data(550, "no\r\n2026-03-02 CRITICAL \x1b[31mall is lost\u2028!"))
    assert words == "the mail server said no: 550 no 2026-03-02 CRITICAL [31mall is lost !"
