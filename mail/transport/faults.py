"""What a failure to send means: from an exception to a cause, and to words for a person."""

import re
import smtplib
import socket
import ssl

from mail.causes import Cause
from mail.transport.connection import CannotConnect, Unanswered

# A whole reply decides before its code does. Quotas come as 4xx and as 5xx; they are ours.
QUOTA = re.compile(r"\b[45]\.4\.5\b|daily (?:user )?sending (?:limit|quota)|quota exceeded", re.I)
# The reader's quota, not ours: one full mailbox must not stop everybody's mail.
MAILBOX_FULL = re.compile(r"\b[45]\.2\.2\b|mailbox", re.I)
MESSAGE_TOO_LARGE_CODE = 552  # to MAIL FROM, with a SIZE: about this message alone
# These say that there is no such mailbox; 5.7.1 (we are blocked), 5.2.2 (full), 5.1.8 (about the
# sender) and others do not, and neither does a policy that has no code of its own.
NO_MAILBOX_CODES = {550, 551, 553}
MAILBOX_REASON = re.compile(r"\b5\.1\.(?:1|2|3|6|10)\b")
OTHER_REASON = re.compile(r"\b5\.(?!0\.|1\.0\b)\d+\.\d+\b")
POLICY = re.compile(
    r"policy|polic(?:ies|ed)|spam|block|black ?list|deny|denied|relay|reputation|\brbl\b|dnsbl"
    r"|sender|\bspf\b|dkim|dmarc|authenticat|not allowed|too many|content|virus|banned|reverse dns",
    re.I,
)
ABOUT_THE_SENDER = re.compile(
    r"sender address|\b5\.7\.(?:1|26|27)\b.*(?:SPF|DKIM|DMARC|sender)", re.I
)
LOGIN_CODES = {454, 530, 534, 535, 538}
TLS_NOT_NOW_CODE = 454  # to STARTTLS (RFC 3207); to a login and what follows it: too many
TOO_MANY_LOGINS = re.compile(r"\b454\b|too many login", re.I)
NO_TLS_ON_THIS_PORT = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


def explain(error: BaseException) -> tuple[Cause, str]:
    """The cause of the failure, and what to show for it: one line, without a message's text."""
    if isinstance(error, CannotConnect):
        error = error.why
    if type(error).__module__.startswith("botocore."):
        from mail.transport import ses  # only where SES is used is botocore imported

        cause, words = ses.explain(error)
    else:
        cause, words = _explain(error)
    # A server's answer may have several lines, and what looks like a line of our own log.
    return cause, " ".join("".join(c if c.isprintable() else " " for c in words).split())


def _explain(error: BaseException) -> tuple[Cause, str]:
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, reply = next(iter(error.recipients.values()))
            cause, said = _smtp(code, reply, permanent=_about_the_recipient(code, _text(reply)))
            return cause, f"the recipient was refused: {said}"
        case smtplib.SMTPAuthenticationError():
            # Also with 421 or 451: too many logins, which one probe a minute fixes.
            said = f"{error.smtp_code} {_text(error.smtp_error)}"
            too_many = TOO_MANY_LOGINS.search(said)
            return (
                Cause.TOO_MANY_LOGINS if too_many else Cause.LOGIN,
                f"the login was refused: {said}",
            )
        case Unanswered():
            return Cause.UNANSWERED, f"the mail server did not say whether it accepts it: {error}"
        case smtplib.SMTPServerDisconnected():
            silent = isinstance(error.__context__, TimeoutError)
            cause = Cause.TIMED_OUT if silent else Cause.DISCONNECTED
            return cause, f"the mail server hung up: {error}"
        case smtplib.SMTPDataError():
            about_us = ABOUT_THE_SENDER.search(_text(error.smtp_error))
            permanent = Cause.SENDER_POLICY if about_us else Cause.REJECTED
            cause, said = _smtp(error.smtp_code, error.smtp_error, permanent=permanent)
            return cause, f"the mail server said no: {said}"
        case smtplib.SMTPSenderRefused():
            too_large = error.smtp_code == MESSAGE_TOO_LARGE_CODE
            permanent = Cause.REJECTED if too_large else Cause.SENDER
            cause, said = _smtp(error.smtp_code, error.smtp_error, permanent=permanent)
            return cause, f"the sender was refused: {said}"
        case smtplib.SMTPResponseException():  # to the greeting or STARTTLS
            cause, said = _smtp(error.smtp_code, error.smtp_error, permanent=Cause.UNWELCOME)
            if error.smtp_code == TLS_NOT_NOW_CODE:
                cause = Cause.BUSY
            return cause, f"the mail server refuses us: {said}"
        case smtplib.SMTPException():  # no STARTTLS, no AUTH: a wrong setting
            return Cause.NOT_OFFERED, f"the mail server does not offer what is configured: {error}"
        case ssl.SSLCertVerificationError():
            words = f"the mail server's certificate cannot be trusted: {error.verify_message}"
            return Cause.CERTIFICATE, words
        case OSError():
            return _of_the_network(error), f"the mail server cannot be reached: {error}"
    return Cause.UNEXPECTED, f"{type(error).__name__}: {error}"


def _smtp(code: int, reply: bytes | str, *, permanent: Cause) -> tuple[Cause, str]:
    """The cause of a reply, and the reply; `permanent` is what a 5xx of its command means."""
    said = _text(reply)
    words = f"{code} {said}"
    if QUOTA.search(said) and not MAILBOX_FULL.search(said):
        return Cause.QUOTA, words
    if code in LOGIN_CODES:
        return Cause.TOO_MANY_LOGINS if TOO_MANY_LOGINS.search(words) else Cause.LOGIN, words
    return permanent if 500 <= code < 600 else Cause.BUSY, words


def _about_the_recipient(code: int, said: str) -> Cause:
    if code in NO_MAILBOX_CODES:
        other = OTHER_REASON.search(said) or POLICY.search(said)
        if MAILBOX_REASON.search(said) or not other:
            return Cause.NO_MAILBOX
    return Cause.SENDER_POLICY if ABOUT_THE_SENDER.search(said) else Cause.RECIPIENT


def _of_the_network(error: OSError) -> Cause:
    if isinstance(error, ssl.SSLError) and error.reason in NO_TLS_ON_THIS_PORT:
        return Cause.WRONG_PORT
    if isinstance(error, socket.gaierror):
        return Cause.DNS
    if isinstance(error, ConnectionRefusedError):
        return Cause.CONNECTION_REFUSED
    return Cause.TIMED_OUT if isinstance(error, TimeoutError) else Cause.UNREACHABLE


def _text(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
