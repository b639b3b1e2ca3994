"""An operator's own mail: `mail.send_mail`, Django's `send_mail` without the wait."""

from collections.abc import Sequence
from datetime import timedelta
from email.utils import getaddresses

from django.core.exceptions import ValidationError
from django.core.mail import BadHeaderError, EmailMultiAlternatives
from django.core.validators import validate_email
from django.db import transaction

from mail import outbox
from mail.models import SUBJECT_MAX_LENGTH, Draft, Mail, Priority
from mail.registry import letter


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
        drafts = [
            Draft(subject=subject, body=body, html=html or "", from_email=from_email or "")
            for _ in _checked(subject, recipient_list, from_email)
        ]
        with transaction.atomic():
            for recipient, draft in zip(recipient_list, drafts, strict=True):
                draft.mail = outbox.post(letter_name, address=recipient, args={})
                draft.save(force_insert=True)
    except Exception:
        if not fail_silently:
            raise
        return 0
    return len(drafts)


def _checked(subject: str, recipient_list: Sequence[str], from_email: str | None) -> Sequence[str]:
    """What is certain to fail is told to the caller, who is a person at a prompt."""
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
            raise ValueError(f"{text!r} is no e-mail address") from None
    return recipient_list


@letter(useful_for=timedelta(hours=72), priority=Priority.NOTICE, limited=False)
def adhoc(mail: Mail) -> EmailMultiAlternatives | None:
    draft = Draft.objects.filter(mail=mail).first()
    if draft is None:
        return None
    message = EmailMultiAlternatives(
        draft.subject, draft.body, draft.from_email or None, [mail.address]
    )
    if draft.html:
        message.attach_alternative(draft.html, "text/html")
    return message


@letter(useful_for=timedelta(hours=72), priority=Priority.NOTICE)
def error_report(mail: Mail) -> EmailMultiAlternatives | None:
    """To ADMINS. A page that breaks for everybody must not fill their mailboxes: `limited`."""
    return adhoc(mail)
