"""The status of a registration's message, as shown to the browser that registered.

It depends on what this browser did, and on the mail service. What others do shows nowhere: whether
somebody else has registered this address, owns it, or wants no mail. So it says when the message
was asked for, which the browser knows, and never when it has left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from mail import api
from users.models import User

# Longer than a mail service takes: what is not sent at all ends sooner than what is.
SHOWN_AFTER = timedelta(seconds=5)
GAP = timedelta(minutes=1)  # between two messages to an address


@dataclass(frozen=True)
class Progress:
    step: str  # waiting, turn, later, held, sent, refused, failed, gone
    at: datetime | None = None  # when it was asked for, or will be tried next

    @property
    def time(self) -> str:
        """`at` in local time; with the date, unless it is today."""
        if self.at is None:
            return ""
        at = timezone.localtime(self.at)
        today = at.date() == timezone.localdate()
        return at.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")

    @property
    def is_final(self) -> bool:
        return self.step in ("refused", "failed", "gone")


GONE = Progress("gone")  # activated elsewhere, cancelled or expired


def of_registration(claim: User, asked: Sequence[datetime]) -> Progress:
    """`asked`: when this browser has asked for the message, the last time and the one before."""
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
