"""Posting: the one way in. The row is part of the caller's transaction; senders do the rest."""

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from mail import tasks
from mail.models import Draft, Mail, State
from mail.registry import letters


def post(
    letter: str,
    *,
    user: Any = None,
    address: str = "",
    language: str = "",
    args: dict[str, Any] | None = None,
) -> Mail:
    """Queues a letter to a person, or to an address that may be nobody's.

    A letter of the same name that still waits for its first attempt serves for this one too.
    """
    if letter not in letters:
        raise LookupError(f"no letter is named {letter!r}; there are {sorted(letters)}")
    mail = Mail(
        letter=letter,
        user=user,
        address=address or user.email,
        priority=letters[letter].priority,
        language=language or getattr(user, "language", "") or settings.LANGUAGE_CODE,
        args=args or {},
    )
    same = Mail.objects.filter(
        letter=letter, user=user, address=mail.address, state=State.PENDING, attempts=0
    )
    with transaction.atomic():
        # An UPDATE of what a claim expects, so that a sender who has read the row before our commit
        # does not get it, and our hint is the one that counts; or has it, and then it is no longer
        # the same.
        now = timezone.now()
        if args is None and same.update(due=now, created_at=now):  # its useful life begins anew
            mail = same[0]
        else:
            mail.save(force_insert=True)
        # Only a hint: one that is lost is given again by the sweep, a doubled one finds the row
        # taken. A lambda, not functools.partial, whose failure Django 5.2 cannot report.
        transaction.on_commit(lambda: tasks.hint(mail), robust=True)
    return mail


def again(mail: Mail) -> Mail:
    """The same letter anew, as a row of its own: what became of the first stays on record."""
    with transaction.atomic():
        # Empty arguments, and not none: whoever asks for this wants one more, whatever waits.
        new = post(
            mail.letter,
            user=mail.user,
            address="" if mail.user else mail.address,
            language=mail.language,
            args=mail.args,
        )
        draft = Draft.objects.filter(pk=mail.pk).first()
        if draft:
            draft.pk = new.pk
            draft.save(force_insert=True)
    return new
