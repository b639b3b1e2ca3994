"""Amazon SES: what its errors mean, and what it says about the account. Imported only for it."""

from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)

from mail.causes import Cause

CAUSES = {
    "AccessDenied": Cause.ACCESS_DENIED,
    "AccessDeniedException": Cause.ACCESS_DENIED,
    "AccountSendingPausedException": Cause.PAUSED,
    "AccountSuspendedException": Cause.PAUSED,
    "SendingPausedException": Cause.PAUSED,
    "ExpiredToken": Cause.EXPIRED_KEY,
    "ExpiredTokenException": Cause.EXPIRED_KEY,
    "IncompleteSignature": Cause.SIGNATURE,
    "SignatureDoesNotMatch": Cause.SIGNATURE,
    "InvalidClientTokenId": Cause.UNKNOWN_KEY,
    "UnrecognizedClientException": Cause.UNKNOWN_KEY,
    "LimitExceededException": Cause.THROTTLED,
    "Throttling": Cause.THROTTLED,
    "ThrottlingException": Cause.THROTTLED,
    "TooManyRequestsException": Cause.THROTTLED,
    "MailFromDomainNotVerifiedException": Cause.MAIL_FROM_DOMAIN,
    "MessageRejected": Cause.UNVERIFIED,  # the sender, or, in the sandbox, the recipient
    "NotFoundException": Cause.CONFIGURATION_SET,
    "BadRequestException": Cause.REJECTED,
    "InvalidParameterValue": Cause.REJECTED,
    "ValidationError": Cause.REJECTED,
}
MAY_NOT_ASK = {"AccessDenied", "AccessDeniedException"}


def explain(error: BaseException) -> tuple[Cause, str]:
    """The cause of an exception of botocore's, and the words for it."""
    if isinstance(error, ClientError):
        said, code = (error.response.get("Error", {}).get(part, "") for part in ("Message", "Code"))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        words = f"Amazon SES: {code}: {said}"
        if code == "MessageRejected" and "paused" in said.lower():
            return Cause.PAUSED, words
        return CAUSES.get(code, Cause.BUSY if status >= 500 else Cause.UNEXPECTED), words
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return Cause.NO_KEYS, f"Amazon SES has no keys: {error}"
    if isinstance(error, (ReadTimeoutError, ConnectionClosedError)):  # it had the request
        return Cause.UNANSWERED, f"Amazon SES did not say whether it accepts it: {error}"
    return Cause.UNREACHABLE, f"Amazon SES cannot be reached: {error}"


def account(client: Any) -> str:
    """What Amazon says about the account, which also proves the keys."""
    try:
        found = client.get_account()
    except ClientError as error:
        if error.response["Error"]["Code"] not in MAY_NOT_ASK:
            raise
        return "the keys are known; allow ses:GetAccount to see sandbox and quota here"
    quota = found["SendQuota"]
    where = "production" if found["ProductionAccessEnabled"] else "sandbox"
    paused = "" if found["SendingEnabled"] else "; Amazon has PAUSED sending"
    used, most = int(quota["SentLast24Hours"]), int(quota["Max24HourSend"])
    return f"{where}, {used} of {most} messages in 24 hours{paused}"
