"""The state of a registration, as shown to the browser that registered.

It depends on what this browser did, and on the mail service. What others do shows nowhere: whether
somebody else has registered this address, owns it, or wants no mail. So it says when the message
was asked for, which the browser knows, and never when it has left or arrived.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.formats import date_format

from mail import api
from users.models import User

# Longer than a mail service takes: what is not sent at all ends sooner than what is.
SHOWN_AFTER = timedelta(seconds=5)
GAP = timedelta(minutes=1)  # between two messages to an address

OPEN = ("waiting", "turn", "later", "held", "sent", "refused", "failed")
CLOSED = ("expired", "confirmed", "ended")


@dataclass(frozen=True)
class Progress:
    step: str  # one of OPEN or CLOSED
    at: datetime | None = None  # when it was asked for, or will be tried next

    @property
    def time(self) -> str:
        """`at` with its zone, as the reader writes it; with the date, unless it is today."""
        if self.at is None:
            return ""
        at = timezone.localtime(self.at)
        today = at.date() == timezone.localdate()
        return date_format(at, "TIME_FORMAT" if today else "DATETIME_FORMAT")

    @property
    def seconds(self) -> int:
        """Until `at`."""
        return max(0, round((self.at - timezone.now()).total_seconds())) if self.at else 0

    @property
    def is_open(self) -> bool:
        return self.step in OPEN

    @property
    def is_waiting(self) -> bool:
        """The message has not left yet."""
        return self.step in ("waiting", "turn", "later", "held")

    @property
    def is_final(self) -> bool:
        """Nothing but an action of the visitor's changes it."""
        return self.step in ("refused", "failed", *CLOSED)


def of_registration(claim: User | None, asked: Sequence[datetime]) -> Progress:
    """`claim`: what this browser has registered, whatever became of it.

    `asked`: when this browser has asked for the message, the last time and the one before.
    """
    if claim is None or not (claim.is_active or claim.is_waiting):
        return Progress("ended")  # cancelled, declined, or deleted
    if claim.is_active:
        return Progress("confirmed")
    if claim.claim_is_expired:
        return Progress("expired")
    now = timezone.now()
    last = asked[-1] if asked else claim.created_at
    if now < last + SHOWN_AFTER:
        return Progress("waiting")
    status = api.status_of(claim, "register", claim.email)
    if status.step != "left":
        return Progress(status.step, status.at)
    # The second of a minute leaves in the next.
    if len(asked) > 1 and last < asked[0] + GAP and now < asked[0] + GAP:
        return Progress("turn", asked[0] + GAP)
    return Progress("sent", last)
