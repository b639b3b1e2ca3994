"""How the mail of a registration is doing, as the browser that registered may see it.

It is read from the row alone, which is the same whether the address has an owner or not.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from mail import limits
from mail.models import Mail, State
from mail.registry import CAME_BACK
from users.models import User


@dataclass(frozen=True)
class Progress:
    step: str  # waiting, turn, later, sent, delivered, refused, failed, gone
    at: datetime | None = None  # when it was sent, or when it is tried next
    reason: str = ""  # the mail server's own words
    came_back: bool = False  # not this mail, which was not sent for that, but one before

    @property
    def time(self) -> str:
        """When that is, here; with the day, if it is another one."""
        if self.at is None:
            return ""
        at = timezone.localtime(self.at)
        today = at.date() == timezone.localdate()
        return at.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")

    @property
    def is_final(self) -> bool:
        return self.step in ("delivered", "refused", "failed", "gone")


GONE = Progress("gone")  # opened elsewhere, cancelled or expired: nothing is left to tell


ADDRESS = re.compile(r"[^\s<>;,\"'()]+@[^\s<>;,\"'()]+")
REFUSED = (State.REFUSED, State.BOUNCED)
# Ended by us and in silence: what shows is the mail before, or that one is on its way.
SILENT = (State.DROPPED, State.CANCELLED)


def of_registration(claim: User) -> Progress:
    mails = Mail.objects.filter(user=claim, letter="register", address=claim.email)
    mail = mails.exclude(state__in=SILENT).order_by("-created_at").first()
    if mail is None:
        return Progress("waiting")
    if mail.state in REFUSED and mail.error.startswith(CAME_BACK):
        return Progress("refused", came_back=True)
    if mail.state in REFUSED:
        # The server repeats the address as its owner spells it, which is not for a stranger to see.
        return Progress("refused", reason=ADDRESS.sub(claim.email, mail.error))
    if mail.state == State.FAILED:
        return Progress("failed")
    if mail.state == State.DELIVERED:
        return Progress("delivered", mail.sent_at)
    if mail.state in (State.SENT, State.COMPLAINED):
        return Progress("sent", mail.sent_at)
    now = timezone.now()
    if not mail.error or mail.taken or mail.due <= now:
        return Progress("waiting")
    turn = not (mail.attempts or mail.held) and mail.due - now <= limits.GAP
    return Progress("turn" if turn else "later", mail.due)
