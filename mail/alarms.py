"""An alarm is raised where mail cannot leave by a fault of ours, and ends when a mail leaves.

It must not go by the path that is broken: it stands in the log, and above every page of the admin.
"""

import logging
import time
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from mail.models import ERROR_MAX_LENGTH, Alarm, Mail, State

log = logging.getLogger("mail.alarm")

TOLD_EVERY = timedelta(hours=1)
# An alarm that nobody has confirmed for so long is history: the site may have been stopped since.
FADES_AFTER = timedelta(hours=1)
# While it stands, one mail a minute tries whether it is mended: a login that is refused too often
# gets an account locked. The others sleep; the first that leaves wakes them.
PROBE_EVERY = timedelta(minutes=1)
HELD_FOR = timedelta(minutes=15)

# Seconds for which a process believes what it has read: asking at every mail would cost more than
# the sending.
LOOK_EVERY = 10.0

_stands = False
_looked_at = float("-inf")


def raise_alarm(words: str) -> None:
    """Notes the fault; tells the operators of it, but once an hour at the most."""
    now = timezone.now()
    words = words[:ERROR_MAX_LENGTH]
    with transaction.atomic():
        Alarm.objects.get_or_create(pk=1, defaults={"words": words, "ended_at": now})
        # One that has ended begins anew.
        Alarm.objects.filter(pk=1, ended_at__isnull=False).update(since=now, times=0, ended_at=None)
        Alarm.objects.filter(pk=1).update(
            words=words, last_at=now, times=F("times") + 1, probe_at=now + PROBE_EVERY
        )
    _remember(True)
    quiet = Q(told_at__isnull=True) | Q(told_at__lte=now - TOLD_EVERY)
    if Alarm.objects.filter(quiet, pk=1).update(told_at=now):
        log.critical("mail cannot leave, and waits: %s", words)


def hold_until() -> datetime | None:
    """While an alarm stands: when this mail may try. None: now, as the probe or without alarm."""
    if not _is_raised():
        return None
    now = timezone.now()
    if _standing().filter(probe_at__lte=now).update(probe_at=now + PROBE_EVERY):
        return None
    return now + HELD_FOR if _standing().exists() else None


def mail_left() -> None:
    """A mail was sent: whatever was wrong is mended, and what it held up goes at once."""
    if not _is_raised():
        return
    _remember(False)
    if _standing().update(ended_at=timezone.now()):
        log.warning("mail leaves again, and so do %s that were held up", _let_go())


def was_held() -> None:
    """After a mail was held up: if the alarm ended meanwhile, `mail_left` has not seen it."""
    if not _standing().exists():
        _let_go()


def current() -> Alarm | None:
    fresh = timezone.now() - FADES_AFTER
    return _standing().filter(last_at__gt=fresh).first()


def _standing() -> QuerySet[Alarm]:
    return Alarm.objects.filter(pk=1, ended_at__isnull=True)


def _let_go() -> int:
    return Mail.objects.filter(held=True, state=State.PENDING).update(due=timezone.now())


def _is_raised() -> bool:
    """Whether an alarm stands, whichever process raised it; known with a few seconds' delay."""
    if time.monotonic() - _looked_at > LOOK_EVERY:
        _remember(_standing().exists())
    return _stands


def _remember(stands: bool) -> None:
    global _stands, _looked_at
    _stands, _looked_at = stands, time.monotonic()
