"""The status of a registration's message, as shown to the browser that registered.

It is read from the row alone, which looks the same whether the address has an owner or not.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from mail import api
from users.models import User

ADDRESS = re.compile(r"[^\s<>;,\"'()]+@[^\s<>;,\"'()]+")


@dataclass(frozen=True)
class Progress:
    step: str  # of `api.Status`, or gone
    at: datetime | None = None  # when it was sent, or will be tried next
    reason: str = ""  # the mail server's own words
    came_back: bool = False  # an earlier message did, so this one was not sent

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
        return self.step in ("delivered", "refused", "failed", "gone")


GONE = Progress("gone")  # activated elsewhere, cancelled or expired


def of_registration(claim: User) -> Progress:
    status = api.status_of(claim, "register", claim.email)
    came_back = status.cause == api.Cause.SUPPRESSED
    reason = ""
    if status.step == "refused" and not came_back:
        # The server may repeat the address as its owner spells it: not for a stranger to see.
        reason = ADDRESS.sub(claim.email, status.error)
    return Progress(status.step, status.at, reason, came_back)
