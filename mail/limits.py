"""How much may leave: so that nobody makes a weapon of us, and no service closes our account.

The outbox itself is the count, so there is nothing to keep in step. All of it is silent: a mail
waits or ends, and what the visitor sees is the same.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from mail.models import HANDED_OVER, Mail, Priority
from mail.registry import letters

DAY = timedelta(hours=24)
GAP = timedelta(minutes=1)  # between two letters of a kind to one address
# The last part of a day's budget is kept for what somebody waits for.
BUDGET_FOR_NOTICES = 0.8
BUDGET_LOOK_AGAIN = timedelta(minutes=10)

# Two clicks, or two processes on PostgreSQL: the later row has nothing new to say.
SAME = "the same has left since this was asked for"
TOO_MANY = "enough letters of this kind to this address for a day"


class Over(Exception):
    """This mail is one too many, and ends; the words say why."""


class Turns:
    """When each of some mails may leave. What has left before them is asked once for all."""

    def __init__(self, mails: Iterable[Mail]) -> None:
        limited = [mail for mail in mails if _is_limited(mail)]
        sent = Q(state__in=HANDED_OVER, sent_at__gt=timezone.now() - DAY)
        alike = Mail.objects.to(*{mail.address for mail in limited}).filter(
            sent | Mail.in_flight(), letter__in={mail.letter for mail in limited}
        )
        self.alike: dict[tuple[str, str], list[Mail]] = defaultdict(list)
        for mail in alike.only("address", "letter", "sent_at", "created_at", "user_id"):
            self.alike[mail.address.lower(), mail.letter].append(mail)

    def wait_for(self, mail: Mail) -> tuple[datetime, str] | None:
        """When the mail may leave, and why not now; None if now. `Over` if it is one too many."""
        return (self._at_this_address(mail) if _is_limited(mail) else None) or _of_the_budget(mail)

    def _at_this_address(self, mail: Mail) -> tuple[datetime, str] | None:
        """One a minute of each kind, where the second waits for its minute; and a few a day."""
        now = timezone.now()
        before: list[datetime] = []
        for other in self.alike[mail.address.lower(), mail.letter]:
            at = other.sent_at
            if other == mail:
                continue
            if at and at > mail.created_at and other.user_id == mail.user_id and not mail.args:
                raise Over(SAME)
            # Of two that senders hold in this moment, the older goes first.
            if at or (other.created_at, other.pk) < (mail.created_at, mail.pk):
                before.append(at or now)
        if len(before) >= settings.EMAIL_PER_ADDRESS_LIMIT:
            raise Over(TOO_MANY)
        if before and max(before) + GAP > now:
            why = "one of its kind has just gone to this address: a minute later"
            return max(before) + GAP, why
        return None


def _is_limited(mail: Mail) -> bool:
    return mail.letter in letters and letters[mail.letter].limited


def _of_the_budget(mail: Mail) -> tuple[datetime, str] | None:
    """What the mail service takes in a day; letters that somebody waits for go first."""
    budget = settings.EMAIL_DAILY_LIMIT
    if not budget:
        return None
    if mail.priority > Priority.WAITED_FOR:
        budget = max(1, int(budget * BUDGET_FOR_NOTICES))
    now = timezone.now()
    # As much of the newest as would use it up: the oldest of these is the one that must leave
    # the day before there is room again.
    last_day = Mail.objects.filter(sent_at__gt=now - DAY).order_by("-sent_at")
    full = last_day.values_list("sent_at", flat=True)[budget - 1 : budget]
    for oldest in full:
        room = max(oldest + DAY, now + BUDGET_LOOK_AGAIN) if oldest else now
        return room, f"the day's budget of {budget} mails is used up"
    return None
