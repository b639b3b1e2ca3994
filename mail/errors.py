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
    OURS = "our login, sender or quota is refused: every mail waits until an operator mends it"
    UNKNOWN = "nobody foresaw this: try again a few times"


# A whole reply decides before its code does. Quotas come as 4xx and as 5xx; they are ours.
SMTP_QUOTA = re.compile(
    r"\b[45]\.4\.5\b|daily (?:user )?sending (?:limit|quota)|quota exceeded", re.I
)
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
    """What the failure means, and what to show for it. The words never hold a letter's text."""
    if isinstance(error, ClientError):
        return _ses(error)
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return Fault.OURS, f"Amazon SES has no keys: {error}"
    if isinstance(error, BotoCoreError):
        return Fault.PASSING, f"Amazon SES cannot be reached: {error}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, reply = next(iter(error.recipients.values()))
        return _smtp(code, reply, "the recipient was refused")
    if isinstance(error, smtplib.SMTPAuthenticationError):
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
        return (Fault.OURS if fault is Fault.LASTING else fault), words
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
    said = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
    words = f"{what}: {code} {said}"
    if code in SMTP_LOGIN_CODES or SMTP_QUOTA.search(said):
        return Fault.OURS, words
    return (Fault.LASTING if 500 <= code < 600 else Fault.PASSING), words


def _ses(error: ClientError) -> tuple[Fault, str]:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    words = f"Amazon SES: {code}: {error.response.get('Error', {}).get('Message', '')}"
    if code in SES_OURS:
        return Fault.OURS, words
    if code in SES_LASTING:
        return Fault.LASTING, words
    return (Fault.PASSING if status >= 500 else Fault.UNKNOWN), words
