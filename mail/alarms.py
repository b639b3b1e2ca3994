"""An alarm is raised where mail cannot leave by a fault of ours, and ends when a mail leaves.

It must not go by the path that is broken: it stands in the log, and above every page of the admin.
"""

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from mail.models import ERROR_MAX_LENGTH, Alarm, Mail, State

log = logging.getLogger("mail.alarm")

TOLD_EVERY = timedelta(hours=1)
# An alarm that nobody has confirmed for so long is history: the site may have been stopped since.
FADES_AFTER = timedelta(hours=1)
# While it stands, one mail a minute tries whether it is mended: a login that is refused too often
# gets an account locked.
PROBE_EVERY = timedelta(minutes=1)

# Whether this process may have an alarm to end; asking the database after every mail would cost
# more than the sending. True at first: the process before may have left one.
_may_be_raised = True


def raise_alarm(words: str) -> None:
    """Notes the fault; tells the operators of it, but once an hour at the most."""
    global _may_be_raised
    _may_be_raised = True
    now = timezone.now()
    words = words[:ERROR_MAX_LENGTH]
    with transaction.atomic():
        probe_at = now + PROBE_EVERY
        seen = Alarm.objects.filter(pk=1).update(
            words=words, last_at=now, times=F("times") + 1, probe_at=probe_at
        )
        if not seen:
            Alarm.objects.get_or_create(pk=1, defaults={"words": words, "probe_at": probe_at})
    quiet = Q(told_at__isnull=True) | Q(told_at__lte=now - TOLD_EVERY)
    if Alarm.objects.filter(quiet, pk=1).update(told_at=now):
        log.critical("mail cannot leave, and waits: %s", words)


def hold_until() -> datetime | None:
    """While an alarm stands: when this mail may try. None: now, as the probe or without alarm."""
    global _may_be_raised
    if not _may_be_raised:
        return None
    alarm = Alarm.objects.filter(pk=1).first()
    if alarm is None:
        _may_be_raised = False
        return None
    now = timezone.now()
    mine = Alarm.objects.filter(pk=1, probe_at__lte=now).update(probe_at=now + PROBE_EVERY)
    return None if mine else alarm.probe_at


def mail_left() -> None:
    """A mail was sent: whatever was wrong is mended, and what it held up goes at once."""
    global _may_be_raised
    if _may_be_raised:
        _may_be_raised = False
        if Alarm.objects.filter(pk=1).delete()[0]:
            log.warning("mail leaves again, and so do %s that were held up", _let_go())


def was_held() -> None:
    """After a mail was held up: if the alarm ended meanwhile, `mail_left` has not seen it."""
    if not Alarm.objects.filter(pk=1).exists():
        _let_go()


def _let_go() -> int:
    return Mail.objects.filter(held=True, state=State.PENDING).update(due=timezone.now())


def current() -> Alarm | None:
    return Alarm.objects.filter(pk=1, last_at__gt=timezone.now() - FADES_AFTER).first()
