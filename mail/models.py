"""The outbox: one row a mail, which is the queue. A row never holds a body, a token or a link."""

import random
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mail import rows

RETRY_FIRST = timedelta(seconds=10)
RETRY_LONGEST = timedelta(minutes=15)
# After a fault of ours this mail tries whether it is mended: when the next probe may, never before.
SNOOZE = timedelta(seconds=90)
# How long a claim holds if its sender is heard of no more (see `mail.holding`).
LEASE = timedelta(minutes=1)
FAULTS_AT_MOST = 5  # claims in a row that ended in a crash or in an error nobody foresaw
ERROR_MAX_LENGTH = 500
SUBJECT_MAX_LENGTH = 200  # of a draft
DRAFTED = ("adhoc", "error_report")  # letters whose text is kept as a Draft


class State(models.TextChoices):
    PENDING = "pending", _("waiting to be sent")
    SENT = "sent", _("handed to the mail server")
    DELIVERED = "delivered", _("delivered to the mailbox")
    BOUNCED = "bounced", _("bounced")
    COMPLAINED = "complained", _("reported as spam")
    REFUSED = "refused", _("address refused")
    FAILED = "failed", _("failed")
    DROPPED = "dropped", _("no longer needed")
    CANCELLED = "cancelled", _("cancelled")


# The mail server has taken these, whatever became of them.
HANDED_OVER = (State.SENT, State.DELIVERED, State.BOUNCED, State.COMPLAINED)


class Priority(models.IntegerChoices):
    """Who goes first when not all can go."""

    WAITED_FOR = 0, _("somebody waits for it")
    NOTICE = 1, _("notice")
    BULK = 2, _("bulk")


class MailQuerySet(models.QuerySet["Mail"]):
    def due(self) -> "MailQuerySet":
        return self.filter(state=State.PENDING, due__lte=timezone.now())

    def overdue(self) -> "MailQuerySet":
        """What nobody holds and nobody should still be waiting for, the most urgent first."""
        return self.due().order_by("priority", "due")

    def read(self, pks: Sequence[Any]) -> "list[Mail]":
        """Those of these rows that are due, as they are now, the most urgent first."""
        due = self.due().filter(pk__in=pks).select_related("user")
        return list(due.order_by("priority", "created_at"))

    def waiting(self) -> "MailQuerySet":
        """What can be taken back: what a sender holds in this moment may have left already."""
        return self.filter(state=State.PENDING).exclude(Mail.in_flight())

    def cancel(self) -> int:
        """Takes back what waits; how many there were."""
        return self.waiting().update(state=State.CANCELLED)

    def to(self, *addresses: str) -> "MailQuerySet":
        keys = [address.lower() for address in addresses]
        return self.alias(address_key=Lower("address")).filter(address_key__in=keys)


class Mail(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    letter = models.CharField(_("letter"), max_length=50)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="mails",
        verbose_name=_("person"),
    )
    address = models.EmailField(_("address"), max_length=254, blank=True)
    language = models.CharField(_("language"), max_length=10)
    args = models.JSONField(_("arguments"), default=dict)
    priority = models.SmallIntegerField(
        _("priority"), choices=Priority.choices, default=Priority.NOTICE
    )
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.PENDING
    )
    # When to send, or, while a sender holds the row, when it may be taken from him.
    due = models.DateTimeField(_("due"), default=timezone.now)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    faults = models.PositiveSmallIntegerField(_("faults"), default=0)
    # Some sender holds it, until `due`.
    taken = models.BooleanField(_("taken"), default=False)
    # Waits for an alarm to end, not for its own turn.
    held = models.BooleanField(_("held up"), default=False)
    error = models.CharField(_("last error"), max_length=ERROR_MAX_LENGTH, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    sent_at = models.DateTimeField(_("sent"), null=True)
    provider_id = models.CharField(_("id at the mail service"), max_length=200, blank=True)

    # What the letter's `look_up` has found out for its writer.
    known: Any = None

    objects = MailQuerySet.as_manager()

    class Meta:
        verbose_name = _("mail")
        verbose_name_plural = _("mails")
        constraints = [
            models.CheckConstraint(
                name="mail_handed_over_means_sent_at",
                condition=~Q(state__in=HANDED_OVER) | Q(sent_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                "priority", "due", name="mail_pending_by_due", condition=Q(state=State.PENDING)
            ),
            models.Index("created_at", name="mail_by_age"),
            models.Index("sent_at", name="mail_by_sending"),
            models.Index(Lower("address"), "letter", name="mail_by_address"),
            models.Index("provider_id", name="mail_by_provider_id", condition=~Q(provider_id="")),
        ]

    def __str__(self) -> str:
        return f"{self.letter} {self.pk}"

    @staticmethod
    def in_flight() -> Q:
        """Rows that a sender holds in this moment, or died with: until the end of the lease."""
        return Q(state=State.PENDING, taken=True, due__gt=timezone.now())

    # The verbs. Each is one UPDATE with a condition, and says whether it held.

    def claim(self) -> bool:
        """Takes the row for this sender alone, if nothing has happened to it since it was read."""
        as_read = {
            "id": self.pk,
            "state": State.PENDING,
            "due": self.due,
            "attempts": self.attempts,
        }
        lease = LEASE
        if self.faults:  # what died together must not come back together: one of them may kill
            lease += LEASE * random.random()  # noqa: S311
        counted = {"attempts": self.attempts + 1, "faults": self.faults + 1}
        return self._change(as_read, due=timezone.now() + lease, taken=True, held=False, **counted)

    def renew(self) -> bool:
        """Its sender is still at it."""
        return rows.change(Mail, self._ours(), {"due": timezone.now() + LEASE})

    # The ends of a claim. They hold only while it is ours: a sender that slept through its lease
    # must not overwrite what the next one found.

    def mark_sent(self, provider_id: str = "") -> bool:
        return self._finish(State.SENT, sent_at=timezone.now(), provider_id=provider_id)

    def mark_failed(self, error: str) -> bool:
        return self._finish(State.FAILED, error)

    def mark_refused(self, error: str) -> bool:
        """The server says that there is no such mailbox."""
        return self._finish(State.REFUSED, error)

    def mark_dropped(self, why: str) -> bool:
        return self._finish(State.DROPPED, why)

    def retry(self, error: str) -> bool:
        """The server, or the way to it, has a passing trouble: later, and ever more rarely."""
        wait = min(RETRY_FIRST * 2 ** min(self.attempts - 1, 20), RETRY_LONGEST)
        return self._finish(State.PENDING, error, due=_soon(wait), faults=0)

    def snooze(self, error: str) -> bool:
        """Nothing is wrong with this mail, so it costs no attempt."""
        return self.wait_until(_soon(SNOOZE), error, held=True)

    def wait_until(self, due: datetime, why: str, *, held: bool = False) -> bool:
        """Not now: its turn comes later, and it has lost nothing."""
        attempts = self.attempts - 1
        return self._finish(State.PENDING, why, due=due, faults=0, attempts=attempts, held=held)

    def retry_after_fault(self, error: str) -> bool:
        """Something that nobody foresaw: again, but not for ever."""
        if self.faults >= FAULTS_AT_MOST:
            return self.mark_failed(error)
        return self._finish(State.PENDING, error, due=_soon(RETRY_FIRST * 2**self.faults))

    def _ours(self) -> dict[str, Any]:
        # Whoever has claimed it since has counted one more.
        return {"id": self.pk, "state": State.PENDING, "taken": True, "attempts": self.attempts}

    def _finish(self, state: State, error: str = "", **changes: Any) -> bool:
        error = error[:ERROR_MAX_LENGTH]
        finished = self._change(self._ours(), state=state, error=error, taken=False, **changes)
        if finished and self.letter in DRAFTED and state in (State.SENT, State.DROPPED):
            Draft.objects.filter(pk=self.pk).delete()  # a failed one can still be read, and mended
        return finished

    def _change(self, expected: dict[str, Any], **changes: Any) -> bool:
        """Here, and in the row if it is as expected; whether it was."""
        for name, value in changes.items():
            setattr(self, name, value)
        return rows.change(Mail, expected, changes)


def _soon(wait: timedelta) -> datetime:
    """After `wait`, give or take a quarter: what failed together must not return together."""
    return timezone.now() + wait * random.uniform(0.75, 1.25)  # noqa: S311


class Attempt(models.Model):
    """A try that did not send the mail, and what came back later: the timeline beside the row."""

    mail = models.ForeignKey(Mail, models.CASCADE, related_name="timeline")
    at = models.DateTimeField(_("at"), default=timezone.now)
    number = models.PositiveIntegerField(_("attempt"))
    what = models.CharField(_("what"), max_length=ERROR_MAX_LENGTH)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("timeline")
        ordering = ["at"]

    def __str__(self) -> str:
        return self.what


class Draft(models.Model):
    """What an operator (`mail.send_mail`) or an error report says, kept only until it is sent."""

    mail = models.OneToOneField(Mail, models.CASCADE, primary_key=True)
    subject = models.CharField(max_length=SUBJECT_MAX_LENGTH)
    body = models.TextField(blank=True)
    html = models.TextField(blank=True)
    from_email = models.CharField(max_length=320, blank=True)

    def __str__(self) -> str:
        return f"draft of {self.mail_id}"


class Suppression(models.Model):
    """An address that we do not write to, for one purpose."""

    class Reason(models.TextChoices):
        DECLINED = "declined", _("the owner says: I did not register")
        REFUSED = "refused", _("the mail server refused the address")
        BOUNCED = "bounced", _("mail came back")
        COMPLAINED = "complained", _("reported as spam")

    address = models.EmailField(_("address"), max_length=254)
    purpose = models.CharField(_("purpose"), max_length=50)
    reason = models.CharField(_("reason"), max_length=50, choices=Reason.choices)
    created_at = models.DateTimeField(_("since"), default=timezone.now)
    until = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta:
        verbose_name = _("suppressed address")
        verbose_name_plural = _("suppressed addresses")
        constraints = [
            models.UniqueConstraint(
                Lower("address"), "purpose", name="suppression_once_an_address_and_purpose"
            )
        ]

    def __str__(self) -> str:
        return f"{self.address} ({self.purpose})"


class Alarm(models.Model):
    """What only an operator can mend keeps mail from leaving. One row, which ends and returns."""

    words = models.CharField(_("what is wrong"), max_length=ERROR_MAX_LENGTH)
    since = models.DateTimeField(_("since"), default=timezone.now)
    last_at = models.DateTimeField(_("last seen"), default=timezone.now)
    times = models.PositiveIntegerField(_("how often"), default=1)
    told_at = models.DateTimeField(null=True)
    probe_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")

    def __str__(self) -> str:
        return self.words
