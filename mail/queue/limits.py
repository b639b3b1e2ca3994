"""How much may leave: so that nobody makes a weapon of us, and no service closes our account.

The queue itself is the count, so there is nothing to keep in step. All of it is silent: a message
waits or ends, and what the visitor sees is the same. Each limit answers with the outcome, or with
None if the message may leave.
"""

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from mail import conf
from mail.causes import Cause
from mail.models import HANDED_OVER, Mail, Priority, State
from mail.queue.letters import Letter, Outcome

DAY = timedelta(hours=24)
GAP = timedelta(minutes=1)  # between two messages of a kind to one address
# The last part of a day's budget is reserved for what somebody waits for.
BUDGET_FOR_NOTICES = 0.8
BUDGET_LOOK_AGAIN = timedelta(minutes=10)


def of_the_address(mail: Mail, letter: Letter) -> Outcome | None:
    """One a minute and a few a day of each kind; the second of a minute waits for the next."""
    if not letter.limited:
        return None
    now = timezone.now()
    sent = Q(state__in=HANDED_OVER, sent_at__gt=now - DAY)
    alike = Mail.objects.to(mail.address).filter(letter=mail.letter).exclude(pk=mail.pk)
    before: list[datetime] = []
    for sent_at, created_at, pk, user_id in alike.filter(sent | Mail.in_flight()).values_list(
        "sent_at", "created_at", "pk", "user_id"
    ):
        # Two clicks, or two processes on PostgreSQL: the later row has nothing new to say.
        same = user_id == mail.user_id and not letter.drafted
        if sent_at and sent_at > mail.created_at and same:
            why = "the same has left since this was asked for"
            return Outcome(State.DROPPED, Cause.DUPLICATE, why)
        # Of two in flight, the older goes first.
        if sent_at or (created_at, pk) < (mail.created_at, mail.pk):
            before.append(sent_at or now)
    if len(before) >= conf.EMAIL_PER_ADDRESS_LIMIT:
        why = "enough messages of this kind to this address for a day"
        return Outcome(State.DROPPED, Cause.LIMIT, why)
    if before and max(before) + GAP > now:
        why = "one of its kind has just left to this address: a minute later"
        return Outcome(State.PENDING, Cause.TURN, why, max(before) + GAP)
    return None


def of_the_budget(mail: Mail) -> Outcome | None:
    """What the mail service accepts in a day; what somebody waits for goes first."""
    budget = conf.EMAIL_DAILY_LIMIT
    if not budget:
        return None
    if mail.priority > Priority.WAITED_FOR:
        budget = max(1, int(budget * BUDGET_FOR_NOTICES))
    now = timezone.now()
    # As many of the newest as would use it up: the oldest of these must leave the day before there
    # is room again.
    last_day = Mail.objects.filter(sent_at__gt=now - DAY).order_by("-sent_at")
    for oldest in last_day.values_list("sent_at", flat=True)[budget - 1 : budget]:
        room = max(oldest + DAY, now + BUDGET_LOOK_AGAIN) if oldest else now
        why = f"the day's budget of {budget} messages is used up"
        return Outcome(State.PENDING, Cause.BUDGET, why, room)
    return None
