"""How much may leave: so that nobody makes a weapon of us, and no service closes our account.

The outbox itself is the count, so there is nothing to keep in step. All of it is silent: a mail
waits or ends, and what the visitor sees is the same.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from mail.models import HANDED_OVER, Mail, Priority, State
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


def alone(mails: Iterable[Mail]) -> set[Any]:
    """The keys of those to whose address no other of their kind goes: there is nothing to count."""
    limited = [mail for mail in mails if mail.letter in letters and letters[mail.letter].limited]
    alike = Mail.objects.to(*{mail.address for mail in limited}).filter(
        _sent_in_a_day() | Q(state=State.PENDING), letter__in={mail.letter for mail in limited}
    )
    rows = alike.values_list("address", "letter")
    number = Counter((address.lower(), letter) for address, letter in rows)
    return {mail.pk for mail in limited if number[mail.address.lower(), mail.letter] == 1}


def wait_for_turn(mail: Mail, is_alone: bool = False) -> tuple[datetime, str] | None:
    """When the mail may leave, and why not now; None if now. `Over` if it is one too many."""
    ask = letters[mail.letter].limited and not is_alone
    return (_to_this_address(mail) if ask else None) or _of_the_budget(mail)


def _sent_in_a_day() -> Q:
    return Q(state__in=HANDED_OVER, sent_at__gt=timezone.now() - DAY)


def _to_this_address(mail: Mail) -> tuple[datetime, str] | None:
    """One a minute, and a few a day, of each kind; the second of a minute waits for the next."""
    now = timezone.now()
    alike = Mail.objects.to(mail.address).filter(letter=mail.letter).exclude(pk=mail.pk)
    before: list[datetime] = []
    for at, created_at, pk, user_id in alike.filter(
        _sent_in_a_day() | Mail.in_flight()
    ).values_list("sent_at", "created_at", "pk", "user_id"):
        if at and at > mail.created_at and user_id == mail.user_id and not mail.args:
            raise Over(SAME)
        # Of two that senders hold in this moment, the older goes first.
        if at or (created_at, pk) < (mail.created_at, mail.pk):
            before.append(at or now)
    if len(before) >= settings.EMAIL_PER_ADDRESS_LIMIT:
        raise Over(TOO_MANY)
    if before and max(before) + GAP > now:
        return max(before) + GAP, "one of its kind has just gone to this address: a minute later"
    return None


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
