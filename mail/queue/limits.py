"""How much may leave: so that nobody makes a weapon of us, and no service closes our account.

Nothing that a stranger does spends what is somebody else's. So each limit asks whose message it is
(`Budget`), which mailbox receives it, and who asked: the claim that it belongs to, or a network.
The queue itself is the count, so there is nothing to keep in step. All of it is silent: a message
waits or ends, and what the visitor sees is the same. Each limit answers with the outcome, or with
None if the message may leave.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, Q
from django.utils import timezone

from mail import conf
from mail.causes import Cause
from mail.models import HANDED_OVER, OF_STRANGERS, Budget, Mail, Priority, State
from mail.queue.alarms import alarms
from mail.queue.letters import Letter, Outcome, letters

DAY = timedelta(hours=24)
GAP = timedelta(minutes=1)  # between two messages of a kind that one asks for
# Whoever asks in their name, an owner is never shut out: past the limit, one leaves each hour. A
# reset link works for half an hour, and a request waits for as long: there is always one of them.
OWNERS_GAP = timedelta(hours=1)
ADDRESSES_OF_A_CLAIM = 3
# Parts of a day's budget. The last fifth is for what an owner waits for, and half of that for what
# no stranger can have asked for (`Mail.asker` is empty): they may ask for letters to many owners.
FOR_STRANGERS = 0.5
FOR_ALL_BUT_OWNERS = 0.8
FOR_ALL_BUT_THEMSELVES = 0.9
FOR_A_NETWORK = 0.2
NEARLY = 0.8  # of a part: operators are notified
BUDGET_LOOK_AGAIN = timedelta(minutes=10)


class Earlier(NamedTuple):
    """A message before this one, of its kind or of its claim, that has left or is in flight."""

    pk: object
    letter: str
    budget: str
    mailbox: str
    user_id: object
    asker: str
    claimed: bool
    created_at: datetime
    sent_at: datetime | None


def of_the_address(mail: Mail, letter: Letter) -> Outcome | None:
    """A few a day of each kind, and one a minute; the second of a minute waits for the next."""
    if not letter.limited:
        return None
    now, most, gap = timezone.now(), conf.EMAIL_PER_ADDRESS_LIMIT, GAP
    earlier = _earlier(mail, letter, now)
    here = [one for one in earlier if one.mailbox == mail.mailbox]
    # Two clicks, or two processes on PostgreSQL: the later row has nothing new to say.
    mine = [one for one in here if one.letter == mail.letter and one.user_id == mail.user_id]
    # What has left in a time to come is of a clock that was set back since.
    mine = [one for one in mine if one.sent_at is None or one.sent_at <= now]
    since = [one for one in mine if one.sent_at and one.sent_at > mail.created_at]
    if since and not letter.drafted:
        why = "the same has left since this was asked for"
        return Outcome(State.DROPPED, Cause.DUPLICATE, why)
    by_network = [one for one in here if one.asker == mail.asker]
    if mail.user_id is None:  # nobody's claim: who asks is all that is known
        mine = [one for one in mine if one.asker == mail.asker]
    enough = len(here) >= most
    if mail.budget == Budget.OWNER:
        enough = False
        if len(mine) >= most or len(here) >= 2 * most:
            gap, mine = OWNERS_GAP, here
    elif mail.budget == Budget.NOTICE:
        enough = bool(here)
    elif mail.budget == Budget.OPEN and mail.user_id:
        # An allowance of its own, which nobody takes away who types the same address elsewhere; and
        # in the same network there is room for it when others have used up theirs.
        addresses = {one.mailbox for one in earlier if one.user_id == mail.user_id} | {mail.mailbox}
        enough = len(addresses) > ADDRESSES_OF_A_CLAIM
        enough |= len(mine) >= most or len(by_network) >= 2 * most
    elif mail.budget == Budget.OPEN:
        enough = len(by_network) >= most or len(here) >= 2 * most
    if enough:
        why = "enough messages of this kind to this address for a day"
        return Outcome(State.DROPPED, Cause.LIMIT, why)
    last = max((one.sent_at or now for one in mine), default=None)
    if last and last + gap > now:
        why = "one of its kind has just left to this address: a little later"
        return Outcome(State.PENDING, Cause.TURN, why, last + gap)
    return None


def _earlier(mail: Mail, letter: Letter, now: datetime) -> list[Earlier]:
    kinds = {mail.letter}
    if mail.budget in OF_STRANGERS:  # by whichever letter of those that are counted here
        kinds |= {one.name for one in letters.values() if one.limited}
    near = Q(mailbox=mail.mailbox, created_at__gt=now - DAY - letter.useful_for)
    if mail.budget == Budget.OPEN and mail.user_id:
        near |= Q(user=mail.user_id)
    states = [State.PENDING, *HANDED_OVER]
    rows = Mail.objects.filter(
        near, state__in=states, letter__in=kinds, budget__in=["", mail.budget]
    ).values_list(*Earlier._fields)
    # The times are compared here: in SQL they would tempt its planner away from these two indexes.
    # Of two in flight, the older goes first.
    place = (mail.created_at, mail.pk)
    return [
        one
        for one in map(Earlier._make, rows)
        if one.pk != mail.pk
        and (one.sent_at > now - DAY if one.sent_at else one.claimed)
        and (one.sent_at or (one.created_at, one.pk) < place)
    ]


class Part(NamedTuple):
    """A part of the day's budget, and how much of it has left."""

    name: str
    used: int
    most: int

    def __str__(self) -> str:
        return f"{self.name}: {self.used} of {self.most}"

    @property
    def nearly_used_up(self) -> bool:
        return self.used >= NEARLY * self.most


def parts() -> list[Part]:
    """Of the day's budget: all of it, and the part that strangers may use. None if it is open."""
    budget = conf.EMAIL_DAILY_LIMIT
    if not budget:
        return []
    strangers = Count("sent_at", filter=Q(budget__in=OF_STRANGERS))
    last_day = Mail.objects.filter(sent_at__gt=timezone.now() - DAY)
    used = last_day.aggregate(all=Count("sent_at"), strangers=strangers)
    share = max(1, int(budget * FOR_STRANGERS))
    return [Part("all", used["all"], budget), Part("strangers", used["strangers"], share)]


def of_the_budget(mail: Mail) -> Outcome | None:
    """What the mail service accepts in a day, and what of it one network may cause."""
    budget, by_strangers = conf.EMAIL_DAILY_LIMIT, mail.budget in OF_STRANGERS
    network = max(1, int(budget * FOR_A_NETWORK)) if budget else conf.EMAIL_PER_NETWORK_LIMIT
    if mail.asker and (by_strangers or budget):
        kinds = OF_STRANGERS if by_strangers else [mail.budget]
        asked = Mail.objects.filter(asker=mail.asker, sent_at__gt=timezone.now() - DAY)
        if by_strangers:
            network = min(network, conf.EMAIL_PER_NETWORK_LIMIT)
        if asked.filter(budget__in=kinds).count() >= network:
            why = f"one network causes {network} messages a day"
            return Outcome(State.DROPPED, Cause.LIMIT, why)
    if not budget:
        return None
    whole, strangers = parts()
    in_flight = Mail.objects.filter(Mail.in_flight()).values_list("created_at", flat=True)
    ahead = sum(created_at < mail.created_at for created_at in in_flight)
    most = whole.most
    if mail.budget != Budget.OWNER or mail.priority > Priority.WAITED_FOR:
        most = max(1, int(most * FOR_ALL_BUT_OWNERS))
    elif mail.asker:
        most = max(1, int(most * FOR_ALL_BUT_THEMSELVES))
    if whole.used + ahead >= most:
        return _until_there_is_room(most, Q())
    if by_strangers and strangers.used >= strangers.most:
        return _until_there_is_room(strangers.most, Q(budget__in=OF_STRANGERS))
    return None


def _until_there_is_room(most: int, of_the_part: Q) -> Outcome:
    # As many of the newest as would use it up: the oldest of these must leave the day before there
    # is room again.
    now = timezone.now()
    last_day = Mail.objects.filter(of_the_part, sent_at__gt=now - DAY).order_by("-sent_at")
    oldest = last_day.values_list("sent_at", flat=True)[most - 1 : most].first() or now
    why = f"the day's budget of {most} messages is used up"
    room = max(oldest + DAY, now + BUDGET_LOOK_AGAIN)
    return Outcome(State.PENDING, Cause.BUDGET, why, room)


def warn() -> None:
    """Notifies operators, once a day, that a part of the budget is nearly used up."""
    for part in parts():
        if part.nearly_used_up:
            return alarms.warn(f"the day's budget is nearly used up ({part})")
