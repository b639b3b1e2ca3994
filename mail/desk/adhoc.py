"""Messages with a text of their own: an operator's (`mail.send_mail`), and error reports."""

from collections.abc import Sequence
from datetime import timedelta
from email.utils import getaddresses
from functools import partial

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import BadHeaderError, EmailMultiAlternatives
from django.core.validators import validate_email
from django.db import transaction

from mail.models import SUBJECT_MAX_LENGTH, Draft, Mail, Priority
from mail.queue.letters import Outcome, Writer, add_sample, letter
from mail.queue.posting import post


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


def report_to_admins(subject: str, body: str) -> None:
    """An error on its way to ADMINS. Never raises: something has gone wrong already."""
    recipients = [address for _, address in settings.ADMINS]
    if recipients:
        # The address of a page, which may be longer, is part of it.
        subject = f"{settings.EMAIL_SUBJECT_PREFIX}{subject}"[:SUBJECT_MAX_LENGTH]
        send_mail(subject, recipients, body, None, True, None, "error_report")


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
    return partial(_written, draft, mail.address) if draft else None


def _written(draft: Draft, address: str) -> EmailMultiAlternatives:
    sender = draft.from_email or None
    message = EmailMultiAlternatives(draft.subject, draft.body, sender, [address])
    if draft.html:
        message.attach_alternative(draft.html, "text/html")
    return message


@letter(useful_for=timedelta(hours=72), priority=Priority.NOTICE, drafted=True)
def error_report(mail: Mail) -> Writer | Outcome | None:
    """To ADMINS. A page that breaks for everybody must not fill their mailboxes: `limited`."""
    return adhoc(mail)


SAMPLE = Draft(subject="Test", body="This is a test.", html="<p>This is a test.</p>")
add_sample("adhoc", lambda language: _written(SAMPLE, "nobody@example.com"))
