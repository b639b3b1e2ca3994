"""Why a message did not leave, as a code: the one thing that the rest of the program switches on.

The words beside a code are for people only. Nothing reads them again.
"""

import enum


class Kind(enum.Enum):
    """What a cause means for the message."""

    DECISION = "this site decided so"
    TRANSIENT = "the server, or the way to it, has temporary trouble: it is tried again later"
    PERMANENT = "the server will never take this message"
    CONFIGURATION = "our login, sender or quota is refused: all mail waits until it is fixed"
    UNEXPECTED = "an unexpected error: it is tried again a few times"


class Cause(enum.StrEnum):
    def __new__(cls, code: str, kind: Kind) -> "Cause":
        member = str.__new__(cls, code)
        member._value_, member.kind = code, kind
        return member

    @classmethod
    def of(cls, code: str) -> "Cause":
        """The cause of that code; one that another release wrote may be unknown here."""
        return next((cause for cause in cls if cause == code), cls.UNEXPECTED)

    kind: Kind

    # Decided here. The first four wait, the others have ended.
    TURN = "turn", Kind.DECISION  # another of its kind has just left to this address
    BUDGET = "budget", Kind.DECISION
    ALARM = "alarm", Kind.DECISION
    CROWDED = "crowded", Kind.DECISION  # no more connections beside those that are open
    NOT_NEEDED = "not_needed", Kind.DECISION
    DUPLICATE = "duplicate", Kind.DECISION
    LIMIT = "limit", Kind.DECISION
    TOO_LATE = "too_late", Kind.DECISION
    CRASHED = "crashed", Kind.DECISION
    SUPPRESSED = "suppressed", Kind.DECISION

    BUSY = "busy", Kind.TRANSIENT
    DISCONNECTED = "disconnected", Kind.TRANSIENT
    TIMED_OUT = "timed_out", Kind.TRANSIENT
    UNANSWERED = "unanswered", Kind.TRANSIENT  # it may have it: tried again late, and seldom
    REFUSED_IN_A_ROW = "refused_in_a_row", Kind.TRANSIENT  # several addresses: the server's fault
    UNREACHABLE = "unreachable", Kind.TRANSIENT
    CONNECTION_REFUSED = "connection_refused", Kind.TRANSIENT
    DNS = "dns", Kind.TRANSIENT
    WRONG_PORT = "wrong_port", Kind.TRANSIENT

    NO_MAILBOX = "no_mailbox", Kind.PERMANENT
    RECIPIENT = "recipient", Kind.PERMANENT
    SENDER_POLICY = "sender_policy", Kind.PERMANENT
    REJECTED = "rejected", Kind.PERMANENT

    LOGIN = "login", Kind.CONFIGURATION
    TOO_MANY_LOGINS = "too_many_logins", Kind.CONFIGURATION
    SENDER = "sender", Kind.CONFIGURATION
    QUOTA = "quota", Kind.CONFIGURATION
    UNWELCOME = "unwelcome", Kind.CONFIGURATION
    CERTIFICATE = "certificate", Kind.CONFIGURATION
    NOT_OFFERED = "not_offered", Kind.CONFIGURATION
    # Amazon SES
    NO_KEYS = "no_keys", Kind.CONFIGURATION
    UNKNOWN_KEY = "unknown_key", Kind.CONFIGURATION
    SIGNATURE = "signature", Kind.CONFIGURATION
    EXPIRED_KEY = "expired_key", Kind.CONFIGURATION
    ACCESS_DENIED = "access_denied", Kind.CONFIGURATION
    UNVERIFIED = "unverified", Kind.CONFIGURATION
    CONFIGURATION_SET = "configuration_set", Kind.CONFIGURATION
    MAIL_FROM_DOMAIN = "mail_from_domain", Kind.CONFIGURATION
    THROTTLED = "throttled", Kind.CONFIGURATION
    PAUSED = "paused", Kind.CONFIGURATION

    UNEXPECTED = "unexpected", Kind.UNEXPECTED
