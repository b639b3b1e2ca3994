"""What became of a mail after the server took it: Amazon SES tells, by signed events.

A bounce or a complaint turns the row, stands in its timeline, and stops registration letters to
the address until staff clears it.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q
from django.dispatch import receiver
from django.utils import timezone
from django_ses import signals

from mail.models import ERROR_MAX_LENGTH, HANDED_OVER, Attempt, Mail, State
from mail.suppression import Reason, suppress

log = logging.getLogger(__name__)

# An event may be faster than our own note of the mail's id; SNS then brings it again.
OURS_FOLLOWS_WITHIN = timedelta(minutes=1)

# Where SES begins to review an account.
BOUNCE_REVIEW, COMPLAINT_REVIEW = 0.05, 0.001
RATES_FROM = 100  # mails; of fewer, one typing error makes a rate


class NotYet(Exception):
    """The mail is too new for us to know its id."""


@receiver(signals.bounce_received, dispatch_uid="mail.feedback")
def bounced(mail_obj: dict[str, Any], bounce_obj: dict[str, Any], **_: Any) -> None:
    people = bounce_obj.get("bouncedRecipients", [])
    said = "; ".join(str(person.get("diagnosticCode", "")) for person in people).strip("; ")
    if bounce_obj.get("bounceType") == "Permanent":
        words = f"the mail came back: {said}"
        _came_back(mail_obj, people, State.BOUNCED, Reason.BOUNCED, words)
    else:
        _note(mail_obj, f"a passing trouble at the reader's server: {said}")


@receiver(signals.complaint_received, dispatch_uid="mail.feedback")
def complained(mail_obj: dict[str, Any], complaint_obj: dict[str, Any], **_: Any) -> None:
    people = complaint_obj.get("complainedRecipients", [])
    words = "the reader reported the mail as spam"
    _came_back(mail_obj, people, State.COMPLAINED, Reason.COMPLAINED, words)


@receiver(signals.delivery_received, dispatch_uid="mail.feedback")
def delivered(mail_obj: dict[str, Any], delivery_obj: dict[str, Any], **_: Any) -> None:
    mail = _find(mail_obj)
    if mail:
        Mail.objects.filter(pk=mail.pk, state=State.SENT).update(state=State.DELIVERED)
        _note(mail_obj, str(delivery_obj.get("smtpResponse", "delivered")))


def _came_back(
    mail_obj: dict[str, Any],
    people: Iterable[dict[str, Any]],
    state: State,
    reason: Reason,
    words: str,
) -> None:
    with transaction.atomic():
        mail = _find(mail_obj)
        if mail:
            mine = Mail.objects.filter(pk=mail.pk, state__in=HANDED_OVER)
            mine.update(state=state, error=words[:ERROR_MAX_LENGTH])
            _note(mail_obj, words)
        for person in people:
            suppress(str(person["emailAddress"]), reason)


def _note(mail_obj: dict[str, Any], words: str) -> None:
    mail = _find(mail_obj)
    if mail:
        what = words[:ERROR_MAX_LENGTH]
        Attempt.objects.create(mail=mail, number=mail.attempts, what=what)


def _find(mail_obj: dict[str, Any]) -> Mail | None:
    """The row of the event; None if it is no mail of the outbox (`django.core.mail` sends too)."""
    mail = Mail.objects.filter(provider_id=mail_obj["messageId"]).first()
    if mail is None:
        sent = datetime.fromisoformat(mail_obj["timestamp"])
        if timezone.now() - sent < OURS_FOLLOWS_WITHIN:
            raise NotYet
        log.info("an event for a mail that is not in the outbox")
    return mail


@dataclass
class Rates:
    """How the mails of some days fared, to be held against what SES tolerates."""

    sent: int
    bounced: int
    complained: int

    @property
    def bounces(self) -> float:
        return self.bounced / self.sent if self.sent else 0.0

    @property
    def complaints(self) -> float:
        return self.complained / self.sent if self.sent else 0.0

    @property
    def bounces_percent(self) -> str:
        return f"{self.bounces * 100:.1f}"

    @property
    def complaints_percent(self) -> str:
        return f"{self.complaints * 100:.2f}"

    @property
    def in_danger(self) -> bool:
        high = self.bounces >= BOUNCE_REVIEW or self.complaints >= COMPLAINT_REVIEW
        return high and self.sent >= RATES_FROM


def rates(days: int = 7) -> Rates:
    recent = Mail.objects.filter(created_at__gt=timezone.now() - timedelta(days=days))
    # An address that the server refused at once counts as a bounce: to the reader's side it is. One
    # that was never tried, because mail had come back before, does not.
    tried = Exists(Attempt.objects.filter(mail=OuterRef("pk")))
    refused = Q(state=State.REFUSED) & Q(tried)
    counted = recent.aggregate(
        sent=Count("pk", filter=Q(state__in=HANDED_OVER) | refused),
        bounced=Count("pk", filter=Q(state=State.BOUNCED) | refused),
        complained=Count("pk", filter=Q(state=State.COMPLAINED)),
    )
    return Rates(**counted)
