"""What a failure to send means. One table a service, for the program and for a person."""

import enum
import re
import smtplib
import ssl

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)


class Fault(enum.Enum):
    PASSING = "the server, or the way to it, has a passing trouble: try again later"
    LASTING = "the server will never take this mail"
    NO_MAILBOX = "the server says that there is no such mailbox"
    OURS = "our login, sender or quota is refused: every mail waits until an operator mends it"
    UNKNOWN = "nobody foresaw this: try again a few times"


# A whole reply decides before its code does. Quotas come as 4xx and as 5xx; they are ours.
SMTP_QUOTA = re.compile(
    r"\b[45]\.4\.5\b|daily (?:user )?sending (?:limit|quota)|quota exceeded", re.I
)
# The reader's quota, not ours: one full mailbox must not hold up everybody's mail.
SMTP_MAILBOX_FULL = re.compile(r"\b[45]\.2\.2\b|mailbox", re.I)
SMTP_MAIL_TOO_LARGE_CODE = 552  # to MAIL FROM, with a SIZE: about this mail alone
# 5.1.x is about the mailbox; 5.7.1 (we are blocked), 5.2.2 (full) and others are not.
SMTP_NO_MAILBOX_CODES = {550, 551, 553}
SMTP_OTHER_REASON = re.compile(r"\b5\.(?!1\.|0\.)\d+\.\d+\b")
SMTP_LOGIN_CODES = {454, 530, 534, 535, 538}

SES_OURS = {
    "AccessDenied",
    "AccessDeniedException",
    "AccountSendingPausedException",
    "AccountSuspendedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "LimitExceededException",
    "MailFromDomainNotVerifiedException",
    "MessageRejected",  # an unverified sender, or, in the sandbox, an unverified recipient
    "NotFoundException",  # the configuration set
    "SendingPausedException",
    "SignatureDoesNotMatch",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "UnrecognizedClientException",
}
SES_LASTING = {"BadRequestException", "InvalidParameterValue", "ValidationError"}


def explain(error: BaseException) -> tuple[Fault, str]:
    """What the failure means, and what to show for it, on one line and without a letter's text."""
    fault, words = _explain(error)
    # A server's answer may have several lines, and what looks like one of our own log.
    return fault, " ".join("".join(c if c.isprintable() else " " for c in words).split())


def _explain(error: BaseException) -> tuple[Fault, str]:
    if isinstance(error, ClientError):
        return _ses(error)
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return Fault.OURS, f"Amazon SES has no keys: {error}"
    if isinstance(error, BotoCoreError):
        return Fault.PASSING, f"Amazon SES cannot be reached: {error}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, reply = next(iter(error.recipients.values()))
        fault, words = _smtp(code, reply, "the recipient was refused")
        no_mailbox = code in SMTP_NO_MAILBOX_CODES and not SMTP_OTHER_REASON.search(_text(reply))
        return (Fault.NO_MAILBOX if fault is Fault.LASTING and no_mailbox else fault), words
    if isinstance(error, smtplib.SMTPAuthenticationError):
        # Also with 421 or 451: too many logins, which one probe a minute mends.
        _, words = _smtp(error.smtp_code, error.smtp_error, "the login was refused")
        return Fault.OURS, words
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return Fault.PASSING, f"the mail server hung up: {error}"
    if isinstance(error, smtplib.SMTPDataError):
        return _smtp(error.smtp_code, error.smtp_error, "the mail server said no")
    if isinstance(error, smtplib.SMTPResponseException):  # to the sender, the greeting or STARTTLS
        refused = isinstance(error, smtplib.SMTPSenderRefused)
        what = "the sender was refused" if refused else "the mail server does not want us"
        fault, words = _smtp(error.smtp_code, error.smtp_error, what)
        too_large = refused and error.smtp_code == SMTP_MAIL_TOO_LARGE_CODE
        return (Fault.OURS if fault is Fault.LASTING and not too_large else fault), words
    if isinstance(error, smtplib.SMTPException):  # no STARTTLS, no AUTH: a wrong setting
        return Fault.OURS, f"the mail server does not offer what the settings ask for: {error}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            Fault.OURS,
            f"the mail server's certificate is not to be trusted: {error.verify_message}",
        )
    if isinstance(error, OSError):  # refused, unreachable, timed out, no such host
        return Fault.PASSING, f"the mail server cannot be reached: {error}"
    return Fault.UNKNOWN, f"{type(error).__name__}: {error}"


def _smtp(code: int, reply: bytes | str, what: str) -> tuple[Fault, str]:
    said = _text(reply)
    words = f"{what}: {code} {said}"
    ours = SMTP_QUOTA.search(said) and not SMTP_MAILBOX_FULL.search(said)
    if code in SMTP_LOGIN_CODES or ours:
        return Fault.OURS, words
    return (Fault.LASTING if 500 <= code < 600 else Fault.PASSING), words


def _text(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


def _ses(error: ClientError) -> tuple[Fault, str]:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    words = f"Amazon SES: {code}: {error.response.get('Error', {}).get('Message', '')}"
    if code in SES_OURS:
        return Fault.OURS, words
    if code in SES_LASTING:
        return Fault.LASTING, words
    return (Fault.PASSING if status >= 500 else Fault.UNKNOWN), words
