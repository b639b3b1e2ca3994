"""Messages with a text of their own: an operator's (`mail.send_mail`), and error reports."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from email.utils import getaddresses
from functools import partial

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import BadHeaderError, EmailMultiAlternatives
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from mail.models import FAULT_MAX_LENGTH, SUBJECT_MAX_LENGTH, Draft, Mail, Priority, Report
from mail.queue.letters import Decision, Writer, add_sample, letter
from mail.queue.posting import post

log = logging.getLogger(__name__)

# The same fault, as long as it goes on. Not by address and day: one that a stranger can cause
# would keep all others from being reported.
REPORT_AGAIN_AFTER = timedelta(hours=6)


def send_mail(
    subject: str,
    recipient_list: Sequence[str],
    body: str,
    from_email: str | None,
    fail_silently: bool,
    html: str | None,
    letter_name: str = "adhoc",
) -> int:
    try:
        _check(subject, recipient_list, from_email)
        text = {"subject": subject, "body": body, "html": html or ""}
        with transaction.atomic():
            for recipient in recipient_list:
                mail = post(letter_name, address=recipient, anew=True)
                Draft.objects.create(mail=mail, from_email=from_email or "", **text)
    except Exception:
        if not fail_silently:
            raise
        return 0
    return len(recipient_list)


def report_to_admins(subject: str, body: str, fault: str) -> None:
    """An error on its way to ADMINS, or counted, if the same `fault` was reported lately.

    Never raises: something has gone wrong already.
    """
    recipients = [address for _, address in settings.ADMINS]
    try:
        with transaction.atomic():
            report = _count(fault[:FAULT_MAX_LENGTH])
            if not recipients or not report:
                return
            if report.times > 1:
                since = report.since.isoformat(" ", "seconds")
                body = f"This has happened {report.times} times since {since}.\n\n{body}"
            # The address of a page, which may be longer, is part of it.
            subject = f"{settings.EMAIL_SUBJECT_PREFIX}{subject}"[:SUBJECT_MAX_LENGTH]
            send_mail(subject, recipients, body, None, False, None, "error_report")
    except Exception as error:
        log.error("an error report could not be queued: %s", error)


def _count(fault: str) -> Report | None:
    """One more of this fault; None unless it is time to report it."""
    now = timezone.now()
    Report.objects.get_or_create(fault=fault)
    report = Report.objects.filter(fault=fault)
    report.update(times=F("times") + 1, last_at=now)
    quiet = Q(notified_at__isnull=True) | Q(notified_at__lte=now - REPORT_AGAIN_AFTER)
    return report.get() if report.filter(quiet).update(notified_at=now) else None


def _check(subject: str, recipient_list: Sequence[str], from_email: str | None) -> None:
    """Reports what is certain to fail to the caller, who is a person at a prompt."""
    if isinstance(recipient_list, str):
        raise TypeError('recipient_list is a list, such as ["name@example.com"]')
    if not recipient_list:
        raise ValueError("recipient_list is empty: there is nobody to write to")
    if len(subject) > SUBJECT_MAX_LENGTH:
        raise ValueError(f"the subject is longer than {SUBJECT_MAX_LENGTH} characters")
    if "\n" in subject or "\r" in subject:
        raise BadHeaderError("the subject has a line break")
    for text in [*recipient_list, *filter(None, [from_email])]:
        try:
            [(_, address)] = getaddresses(text.splitlines())  # a line break makes it two
            validate_email(address)
        except (ValueError, ValidationError):
            raise ValueError(f"{text!r} is not an e-mail address") from None


@letter(useful_for=timedelta(hours=72), priority=Priority.NOTICE, limited=False, drafted=True)
def adhoc(mail: Mail) -> Writer | None:
    draft = Draft.objects.filter(mail=mail).first()
    return Writer(partial(_written, draft, mail.address)) if draft else None


def _written(draft: Draft, address: str) -> EmailMultiAlternatives:
    sender = draft.from_email or None
    message = EmailMultiAlternatives(draft.subject, draft.body, sender, [address])
    if draft.html:
        message.attach_alternative(draft.html, "text/html")
    return message


@letter(useful_for=timedelta(hours=72), priority=Priority.NOTICE, limited=False, drafted=True)
def error_report(mail: Mail) -> Decision:
    """To ADMINS. A page that breaks for everybody does not fill their mailboxes: `_count`."""
    return adhoc(mail)


SAMPLE = Draft(subject="Test", body="This is a test.", html="<p>This is a test.</p>")
add_sample("adhoc", lambda language: _written(SAMPLE, "nobody@example.com"))
