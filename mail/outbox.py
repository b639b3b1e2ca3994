"""Posting: the one way in. The row is part of the caller's transaction; senders do the rest."""

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from mail import tasks
from mail.models import Mail, State, Suppression
from mail.registry import letters

log = logging.getLogger(__name__)


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
        address=address,
        language=language or getattr(user, "language", "") or settings.LANGUAGE_CODE,
        args=args or {},
    )
    same = Mail.objects.filter(
        letter=letter, user=user, address=address, args=mail.args, state=State.PENDING, attempts=0
    )
    with transaction.atomic():
        # An UPDATE, so that a sender who is about to claim the row waits for our commit, and reads
        # what we have changed; or has claimed it, and then it no longer counts.
        if args is None and same.update(due=timezone.now()):
            mail = same[0]
        else:
            mail.save(force_insert=True)
        # Only a hint: one that is lost is given again by the sweep, a doubled one finds the row
        # taken. A lambda, not functools.partial, whose failure Django 5.2 cannot report.
        transaction.on_commit(lambda: tasks.hint(mail.pk), robust=True)
    return mail


def suppress(address: str, *, purpose: str, reason: str, for_: timedelta | None = None) -> None:
    """No more letters of this purpose to this address; for ever, or for a time."""
    Suppression.objects.filter(address__iexact=address, purpose=purpose).delete()
    Suppression.objects.create(
        address=address,
        purpose=purpose,
        reason=reason,
        until=timezone.now() + for_ if for_ else None,
    )
    log.info("suppressed an address for %s: %s", purpose, reason)


def is_suppressed(address: str, purpose: str) -> bool:
    in_force = Q(until__isnull=True) | Q(until__gt=timezone.now())
    return Suppression.objects.filter(in_force, address__iexact=address, purpose=purpose).exists()
