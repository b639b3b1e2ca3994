"""An alarm is raised where mail cannot leave, whoever's fault it is; a message that leaves ends it.

Our own configuration is an operator's at once. A server that is away is theirs after a while.

It must not go by the path that is broken: it is in the log, and above every page of the admin.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from mail.causes import Cause, Kind
from mail.models import ERROR_MAX_LENGTH, Alarm, Mail, State

log = logging.getLogger("mail.alarm")

NOTIFY_EVERY = timedelta(hours=1)
WARNING = 2  # the row that remembers the last warning; the alarm itself is 1
WARN_EVERY = timedelta(days=1)
# An alarm that nobody has confirmed for so long is history: the site may have been stopped since.
FADES_AFTER = timedelta(hours=1)
NOTIFY_OF_TROUBLE_AFTER = timedelta(minutes=10)
# While it is raised, one message a minute tries whether it is fixed: a login that is refused too
# often gets an account locked. The others sleep; the first that leaves wakes them.
PROBE_EVERY = timedelta(minutes=1)
# A server that is only away is asked more often at first, with a sixth of the time it has been so:
# most are back within seconds, and somebody looks into their mailbox meanwhile.
PROBE_TROUBLE_EVERY = timedelta(seconds=1)
HOLD_FOR = timedelta(minutes=15)
# How long a process believes what it has read: asking for each message would cost more than
# sending it.
LOOK_EVERY = timedelta(seconds=10)


class Alarms:
    """What one process knows of the one alarm, which is a row that all processes share."""

    def __init__(self, clock: Callable[[], datetime] = timezone.now) -> None:
        self.clock = clock
        self.forget()

    def raise_(self, cause: Cause, error: str) -> timedelta:
        """Records the fault; notifies the operators of it, but once an hour at the most.

        Returns after what time the message that has met it may try again.
        """
        now = self.clock()
        error = error[:ERROR_MAX_LENGTH]
        with transaction.atomic():
            Alarm.objects.get_or_create(pk=1, defaults={"error": error, "ended_at": now})
            # One that has ended begins anew.
            ended = Alarm.objects.filter(pk=1, ended_at__isnull=False)
            ended.update(since=now, times=0, ended_at=None)
            seen = {"cause": cause, "error": error, "last_at": now, "times": F("times") + 1}
            since = Alarm.objects.get(pk=1).since
            wait = PROBE_EVERY
            if cause.kind is Kind.TRANSIENT:
                wait = min(max(PROBE_TROUBLE_EVERY, (now - since) / 6), PROBE_EVERY)
            Alarm.objects.filter(pk=1).update(probe_at=now + wait, **seen)
        self._believe(cause)
        if self._is_the_operators(cause, since):
            self._notify(error)
        return wait * 1.5

    def _is_the_operators(self, cause: str, since: datetime) -> bool:
        lasts = self.clock() - since >= NOTIFY_OF_TROUBLE_AFTER
        return lasts or Cause.of(cause).kind is not Kind.TRANSIENT

    def _notify(self, error: str) -> None:
        now = self.clock()
        quiet = Q(notified_at__isnull=True) | Q(notified_at__lte=now - NOTIFY_EVERY)
        if Alarm.objects.filter(quiet, pk=1).update(notified_at=now):
            log.critical("mail cannot leave, and waits: %s", error)

    def warn(self, error: str) -> None:
        """Notifies the operators of what will keep mail from leaving; once a day at the most."""
        now = self.clock()
        Alarm.objects.get_or_create(pk=WARNING, defaults={"error": error, "ended_at": now})
        quiet = Q(notified_at__isnull=True) | Q(notified_at__lte=now - WARN_EVERY)
        if Alarm.objects.filter(quiet, pk=WARNING).update(notified_at=now, error=error):
            log.critical("%s", error)

    def is_raised(self, by: Cause | None = None) -> bool:
        """Whether any process has raised it; known with a few seconds' delay."""
        # Both ways: the clock may have been set back.
        if self._looked_at is None or abs(self.clock() - self._looked_at) > LOOK_EVERY:
            self._believe(self._raised().values_list("cause", flat=True).first())
        return self._cause is not None and by in (None, self._cause)

    def take_probe(self) -> bool:
        """Takes the right to try, which one message a minute has; whether it was free."""
        if self._free().update(probe_at=self.clock() + PROBE_EVERY):
            return True
        return not self._raised().exists()  # it has ended meanwhile: everybody may

    def wake_a_probe(self) -> None:
        """Lets one message come when one may try: whoever was to come may have been killed."""
        if self.is_raised() and self._free().exists():
            on_hold = Mail.objects.filter(state=State.PENDING, on_hold=True)
            if mail := on_hold.order_by("priority", "due").first():
                on_hold.filter(pk=mail.pk).update(due=self.clock())

    def hold(self, mail: Mail) -> None:
        """The message waits for the end of the alarm."""
        why = "waits until the mail service accepts mail again"
        mail.wait_until(self.clock() + HOLD_FOR, Cause.ALARM, why, on_hold=True)
        if not self._raised().exists():  # it ended just before, and did not release this one
            self._release()

    def end(self) -> None:
        """A message has left: whatever was wrong is fixed, and what was on hold goes at once."""
        if not self.is_raised():
            return
        self._believe(None)
        if self._raised().update(ended_at=self.clock()):
            log.warning("mail leaves again, and so do %s that were on hold", self._release())

    def current(self) -> Alarm | None:
        """The one that operators have to know of."""
        alarm = self._raised().filter(last_at__gt=self.clock() - FADES_AFTER).first()
        return alarm if alarm and self._is_the_operators(alarm.cause, alarm.since) else None

    def forget(self) -> None:
        """What this process believes, so that it looks again."""
        self._cause: str | None = None
        self._looked_at: datetime | None = None

    def _believe(self, cause: str | None) -> None:
        self._cause, self._looked_at = cause, self.clock()

    def _raised(self) -> QuerySet[Alarm]:
        return Alarm.objects.filter(pk=1, ended_at__isnull=True)

    def _free(self) -> QuerySet[Alarm]:
        """It, if somebody may try."""
        now = self.clock()
        # Or it is later than any probe: the clock was set back.
        return self._raised().filter(Q(probe_at__lte=now) | Q(probe_at__gt=now + PROBE_EVERY))

    def _release(self) -> int:
        on_hold = Mail.objects.filter(on_hold=True, state=State.PENDING)
        return on_hold.update(due=self.clock())


alarms = Alarms()
