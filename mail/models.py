"""The queue: one row a message. A row never holds a body, a token or a link."""

import logging
import random
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mail import conf
from mail.causes import Cause

log = logging.getLogger(__name__)

RETRY_FIRST = timedelta(seconds=10)
RETRY_LONGEST = timedelta(minutes=15)
UNANSWERED_LONGEST = timedelta(hours=4)
# How long a claim holds when nothing more is heard of its sender (see `mail.queue.leases`).
LEASE = timedelta(minutes=1)
CRASHES_AT_MOST = 5  # claims in a row that ended in a crash or an unexpected error
# What an address that nobody has proven causes by a refusal: so long, and twice as long each time.
# Only refusals on so many different days last.
SUPPRESSED_FIRST, SUPPRESSED_LONGEST = timedelta(hours=2), timedelta(days=7)
DAYS_UNTIL_IT_LASTS = 3
ERROR_MAX_LENGTH = 500
SUBJECT_MAX_LENGTH = 200  # of a draft
FAULT_MAX_LENGTH = 250


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


# The mail server has accepted these, whatever became of them.
HANDED_OVER = (State.SENT, State.DELIVERED, State.BOUNCED, State.COMPLAINED)


class Priority(models.IntegerChoices):
    """Who goes first when not all can go."""

    WAITED_FOR = 0, _("somebody waits for it")
    NOTICE = 1, _("notice")


class Budget(models.TextChoices):
    """Whose message it is: the part of a day's budget that it draws on (`mail.queue.limits`)."""

    OWNER = "owner", _("to the owner of an account")
    OPEN = "open", _("to an address that nobody has proven")
    NOTICE = "notice", _("to an owner, about what a stranger did")
    SITE = "site", _("of the site itself")


# What anybody causes by typing an address.
OF_STRANGERS = (Budget.OPEN, Budget.NOTICE)

# Conditions of indexes, and of the queries that stand on them.
TO_NOBODY = Q(state=State.DROPPED, user__isnull=True)
LISTED = Q(priority__gte=0)  # always true
NEVER_LONGER = Q(times=0)  # suppressions that do not last longer the next time

# Where one mailbox has many addresses: its domain, and what of the local part means nothing.
VARIANTS = {"gmail.com": ("gmail.com", "."), "googlemail.com": ("gmail.com", "."),
            "naver.com": ("naver.com", "")}  # fmt: skip


def mailbox_of(address: str) -> str:
    """The mailbox of an address, as a key: the same for all variants that are known to reach it."""
    local, at, domain = address.lower().rpartition("@")
    if domain in VARIANTS and not local.startswith("+"):
        domain, ignored = VARIANTS[domain]
        local = local.split("+")[0].translate(str.maketrans("", "", ignored))
    return f"{local}{at}{domain}"


class MailQuerySet(models.QuerySet["Mail"]):
    def has_left_within(self, time: timedelta) -> bool:
        """Whether the mail service has accepted anything lately, from whichever process."""
        now = timezone.now()
        return self.filter(sent_at__gt=now - time, sent_at__lte=now).exists()

    def due(self) -> "MailQuerySet":
        return self.filter(state=State.PENDING, due__lte=timezone.now())

    def overdue(self) -> "MailQuerySet":
        """What no sender has claimed and nobody should still be waiting for, most urgent first."""
        return self.due().order_by("priority", "due")

    def waiting(self) -> "MailQuerySet":
        """What can be cancelled: a message in flight may have left already."""
        return self.filter(state=State.PENDING).exclude(Mail.in_flight())

    def cancel(self) -> int:
        """Cancels what waits; how many there were."""
        return self.waiting().update(state=State.CANCELLED)

    def with_provider_id(self, provider_id: str) -> "MailQuerySet":
        """By an index, which SQLite takes only where the query says that it is not empty."""
        return self.filter(provider_id=provider_id).exclude(provider_id="")

    def to(self, address: str) -> "MailQuerySet":
        return self.filter(mailbox=mailbox_of(address), address__iexact=address)


class Mail(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    letter = models.CharField(_("letter"), max_length=50)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="mails",
        verbose_name=_("person"), db_index=False,  # `mail_by_person`
    )  # fmt: skip
    address = models.EmailField(_("address"), max_length=254, blank=True)
    mailbox = models.CharField(max_length=254, blank=True, editable=False)  # `mailbox_of`
    asker = models.CharField(max_length=32, blank=True, editable=False)  # a key of a network
    budget = models.CharField(_("budget"), max_length=10, choices=Budget.choices, blank=True)
    language = models.CharField(_("language"), max_length=10)
    priority = models.SmallIntegerField(
        _("priority"), choices=Priority.choices, default=Priority.NOTICE
    )
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.PENDING
    )
    # When to send, or, while a sender has claimed the row, when another may.
    due = models.DateTimeField(_("due"), default=timezone.now)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    crashes = models.PositiveSmallIntegerField(default=0)
    claimed = models.BooleanField(_("claimed"), default=False)  # by a sender, until `due`
    on_hold = models.BooleanField(default=False)  # until the alarm ends
    cause = models.CharField(_("cause"), max_length=20, blank=True)  # a `Cause`
    error = models.CharField(_("last error"), max_length=ERROR_MAX_LENGTH, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    sent_at = models.DateTimeField(_("sent"), null=True)
    provider_id = models.CharField(_("id at the mail service"), max_length=200, blank=True)

    objects = MailQuerySet.as_manager()

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
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
            models.Index("due", name="mail_in_flight", condition=Q(claimed=True)),
            models.Index("created_at", name="mail_by_age"),
            # Both of them count a day: how much of it each part has had, and each network.
            models.Index("sent_at", "budget", name="mail_by_sending"),
            models.Index("asker", "sent_at", name="mail_by_asker"),
            models.Index("mailbox", "created_at", name="mail_by_mailbox"),
            models.Index("provider_id", name="mail_by_provider_id", condition=~Q(provider_id="")),
            # Not where there is nobody: a planner would take it for "nobody" as well, half of all.
            models.Index("user", name="mail_by_person", condition=Q(user__isnull=False)),
            models.Index("created_at", name="mail_to_nobody", condition=TO_NOBODY),
            # Only for lists. Without statistics SQLite would take them for the flows as well, and
            # walk through all that was sent: so a query must say that it means one of these.
            models.Index("state", "created_at", name="mail_listed_by_state", condition=LISTED),
            models.Index("letter", "created_at", name="mail_listed_by_letter", condition=LISTED),
        ]

    def __str__(self) -> str:
        return f"{self.letter} {self.pk}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.mailbox = mailbox_of(self.address)
        super().save(*args, **kwargs)

    @staticmethod
    def in_flight() -> Q:
        """Rows that a sender has claimed and not finished, for as long as its lease lasts."""
        return Q(state=State.PENDING, claimed=True, due__gt=timezone.now())

    # The verbs. Each is one UPDATE with a condition, and says whether the condition held.

    def claim(self) -> bool:
        """Claims the row for this sender, if nothing has happened to it since it was read."""
        as_read = {"state": State.PENDING, "due__lte": timezone.now(), "attempts": self.attempts}
        lease = LEASE
        if self.crashes:  # what crashed together must not return together: one may be the reason
            lease += LEASE * random.random()  # noqa: S311
        return self._change(
            as_read,
            due=timezone.now() + lease,
            claimed=True,
            on_hold=False,
            attempts=self.attempts + 1,
            crashes=self.crashes + 1,
        )

    def renew(self) -> bool:
        """Extends the lease: its sender is still at work. The object may be in use elsewhere."""
        due = timezone.now() + LEASE
        return bool(Mail.objects.filter(pk=self.pk, **self._ours()).update(due=due))

    def holds(self) -> bool:
        """Whether the claim is still ours: its sender may have slept since."""
        return timezone.now() < self.due - LEASE / 2 or self.renew()

    # The ends of a claim. They hold only while it is ours: a sender that slept past its lease must
    # not overwrite what the next one found.

    def mark_sent(self, provider_id: str = "") -> bool:
        return self._finish(State.SENT, sent_at=timezone.now(), provider_id=provider_id)

    def end(self, state: State, cause: Cause, error: str) -> bool:
        """It has ended without leaving, now."""
        return self._finish(state, cause, error, due=timezone.now())

    def wait_until(self, due: datetime, cause: Cause, error: str, *, on_hold: bool = False) -> bool:
        """Not now: its turn comes later, and that costs no attempt."""
        free = {"attempts": self.attempts - 1, "crashes": 0, "on_hold": on_hold}
        return self._finish(State.PENDING, cause, error, due=due, **free)

    def retry(self, cause: Cause, error: str) -> bool:
        """Temporary trouble: again, and ever more rarely."""
        first, longest = RETRY_FIRST, RETRY_LONGEST
        if cause is Cause.UNANSWERED:  # it has perhaps left: each try may be one copy more
            first, longest = timedelta(seconds=conf.MAIL_UNANSWERED_AFTER), UNANSWERED_LONGEST
        wait = min(first * 2 ** min(self.attempts - 1, 20), longest)
        return self._finish(State.PENDING, cause, error, due=_soon(wait), crashes=0)

    def snooze(self, cause: Cause, error: str, wait: timedelta) -> bool:
        """Nobody's mail leaves: it waits for the alarm to end, or for the next probe."""
        return self.wait_until(timezone.now() + wait, cause, error, on_hold=True)

    def retry_after_crash(self, cause: Cause, error: str) -> bool:
        """An unexpected error: again, but only a few times."""
        if self.crashes >= CRASHES_AT_MOST:
            return self.end(State.FAILED, cause, error)
        due = _soon(RETRY_FIRST * 2**self.crashes)
        return self._finish(State.PENDING, cause, error, due=due)

    def _ours(self) -> dict[str, Any]:
        # The attempts are the fence: whoever has claimed it since has counted one more.
        return {"state": State.PENDING, "claimed": True, "attempts": self.attempts}

    def _finish(self, state: State, cause: str = "", error: str = "", **changes: Any) -> bool:
        ended: dict[str, Any] = {"state": state, "cause": cause, "error": error[:ERROR_MAX_LENGTH]}
        ended |= {"budget": self.budget, "claimed": False}
        return self._change(self._ours(), **ended, **changes)

    def _change(self, expected: dict[str, Any], **changes: Any) -> bool:
        """Changes this object, and the row if it is as expected; whether it was."""
        for name, value in changes.items():
            setattr(self, name, value)
        return bool(Mail.objects.filter(pk=self.pk, **expected).update(**changes))


def _soon(wait: timedelta) -> datetime:
    """After `wait`, give or take a quarter: what failed together must not return together."""
    return timezone.now() + wait * random.uniform(0.75, 1.25)  # noqa: S311


class Attempt(models.Model):
    """A try that did not send the message, or what came back later: the timeline beside the row."""

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


class Report(models.Model):
    """A fault of the site, of which ADMINS were notified: however often it comes, it is one row."""

    fault = models.CharField(_("fault"), max_length=FAULT_MAX_LENGTH, unique=True)
    times = models.PositiveIntegerField(_("how often"), default=0)
    since = models.DateTimeField(_("since"), default=timezone.now)
    last_at = models.DateTimeField(_("last seen"), default=timezone.now)
    notified_at = models.DateTimeField(_("reported"), null=True)

    class Meta:
        verbose_name = _("fault of the site")
        verbose_name_plural = _("faults of the site")

    def __str__(self) -> str:
        return self.fault


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def reason_for(self, address: str) -> "Suppression.Reason | None":
        """Why unrequested messages do not go to this address; None if they do."""
        row = self.filter(address=mailbox_of(address)).first()
        if row is None or (row.until and row.until <= timezone.now()):
            return None
        return Suppression.Reason(row.reason)

    def suppress(
        self, address: str, reason: "Suppression.Reason", for_: timedelta | None = None
    ) -> None:
        """Nothing unrequested goes to this address: for a time, or until staff clears it."""
        before = self.filter(address=mailbox_of(address))
        if for_ and before.filter(until__isnull=True).exists():
            return  # what staff must clear does not become a matter of days
        until = timezone.now() + for_ if for_ else None
        try:
            with transaction.atomic():
                before.delete()
                self.create(address=mailbox_of(address), reason=reason, until=until)
        except IntegrityError:  # another process has just done the same
            return
        log.info("suppressed an address: %s", reason)

    def after(self, mail: "Mail | None", reason: "Suppression.Reason", address: str = "") -> None:
        """What a message has caused: for good only where its owner has proven the address."""
        expires = mail is not None and mail.budget in OF_STRANGERS
        suppress = self.suppress_for_a_while if expires else self.suppress
        suppress(address or mail.address, reason)  # type: ignore[union-attr]

    def suppress_for_a_while(self, address: str, reason: "Suppression.Reason") -> None:
        """The same for a message that anybody can cause: a mailbox may be made tomorrow.

        It lasts hours, twice as many each time, and only after several days for ever.
        """
        now, today = timezone.now(), timezone.localdate()
        new = {"address": mailbox_of(address), "reason": reason, "until": now}
        with transaction.atomic():
            self.bulk_create([self.model(**new)], ignore_conflicts=True)
            rows = self.filter(address=new["address"], until__isnull=False)
            for row in rows.select_for_update():
                row.days += row.last_day != today
                row.times, row.last_day, row.reason = row.times + 1, today, reason
                wait = min(SUPPRESSED_FIRST * 2 ** min(row.times - 1, 20), SUPPRESSED_LONGEST)
                lasts = row.days >= DAYS_UNTIL_IT_LASTS
                row.until = None if lasts else max(row.until or now, now + wait)
                row.save()
        log.info("suppressed an address for a while: %s", reason)


class Suppression(models.Model):
    """An address that gets no message which anybody can cause by typing it into a form."""

    class Reason(models.TextChoices):
        DECLINED = "declined", _("its owner wants none")
        REFUSED = "refused", _("the mail server refused the address")
        BOUNCED = "bounced", _("mail came back")
        COMPLAINED = "complained", _("reported as spam")

    address = models.EmailField(_("address"), max_length=254, unique=True)  # by `mailbox_of`
    reason = models.CharField(_("reason"), max_length=50, choices=Reason.choices)
    created_at = models.DateTimeField(_("since"), default=timezone.now)
    until = models.DateTimeField(_("until"), null=True, blank=True)
    # How often it was refused, on how many days, and the last of these (`suppress_for_a_while`).
    times = models.PositiveIntegerField(_("how often"), default=0)
    days = models.PositiveSmallIntegerField(default=0)
    last_day = models.DateField(null=True)

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        verbose_name = _("suppressed address")
        verbose_name_plural = _("suppressed addresses")
        indexes = [
            models.Index("created_at", name="suppression_by_age"),
            models.Index("reason", "created_at", name="suppression_by_reason"),
            models.Index("until", name="suppression_by_end"),
            models.Index("until", name="suppression_once_by_end", condition=NEVER_LONGER),
        ]

    def __str__(self) -> str:
        return self.address


class Alarm(models.Model):
    """What only an operator can fix keeps mail from leaving. One row, which ends and returns."""

    cause = models.CharField(max_length=20, blank=True)  # a `Cause`
    error = models.CharField(_("what is wrong"), max_length=ERROR_MAX_LENGTH)
    since = models.DateTimeField(_("since"), default=timezone.now)
    last_at = models.DateTimeField(_("last seen"), default=timezone.now)
    times = models.PositiveIntegerField(_("how often"), default=1)
    notified_at = models.DateTimeField(null=True)
    probe_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")

    def __str__(self) -> str:
        return self.error


class PulseQuerySet(models.QuerySet["Pulse"]):
    def probe(self) -> None:
        """Raises if nothing can be stored."""
        row = self.model(pk=self.model.OF_PROBES, at=timezone.now())
        self.bulk_create([row], update_conflicts=True, unique_fields=["id"], update_fields=["at"])


class Pulse(models.Model):
    """When senders without a web server were last at work: one row, for all of them. And when a
    monitor last found out whether the database can be written."""

    OF_SENDERS, OF_PROBES = 1, 2

    at = models.DateTimeField()

    objects = PulseQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.at}"
