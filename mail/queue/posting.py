"""Posting: the one way in. The row is part of the caller's transaction; senders do the rest."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from mail import conf
from mail.models import Attempt, Draft, Mail, State, mailbox_of
from mail.queue import engines
from mail.queue.letters import letters


def post(
    letter: str,
    *,
    user: Any = None,
    address: str = "",
    language: str = "",
    asker: str = "",
    anew: bool = False,
) -> Mail:
    """Queues a letter to a person, or to an address that may be nobody's.

    `asker` is a key of who has asked for it, which `limits` count. One of the same name and asker
    that still waits for its first attempt serves for this one too, unless it is asked for `anew`.
    """
    if letter not in letters:
        raise LookupError(f"no letter is named {letter!r}; there are {sorted(letters)}")
    mail = Mail(
        letter=letter,
        user=user,
        address=address or user.email,
        asker=asker,
        priority=letters[letter].priority,
        language=language or getattr(user, "language", "") or settings.LANGUAGE_CODE,
    )
    same = Mail.objects.filter(
        letter=letter,
        user=user,
        mailbox=mailbox_of(mail.address),
        address=mail.address,
        asker=asker,
        state=State.PENDING,
        attempts=0,
    )
    now = timezone.now()
    # An UPDATE of what a claim expects: a sender that has read the row before our commit does not
    # get it, and our hint is the one that counts. Its useful life begins anew. One of the two
    # writes, so they need no transaction of their own; two at once may both insert.
    if not anew and same.update(due=now, created_at=now):
        mail = same[0]
    else:
        mail.save(force_insert=True)
    # Only a hint: the sweep repeats a lost one, and a doubled one finds the row claimed. A
    # lambda, because Django 5.2 cannot report the failure of a functools.partial.
    transaction.on_commit(lambda: engines.named(conf.MAIL_ENGINE).hint(mail), robust=True)
    return mail


def post_again(mail: Mail) -> Mail:
    """The same letter as a new row: what became of the first stays on record."""
    to = {"user": mail.user} if mail.user else {"address": mail.address}
    with transaction.atomic():
        new = post(mail.letter, language=mail.language, anew=True, **to)
        draft = Draft.objects.filter(pk=mail.pk).first()
        if draft:
            draft.pk = new.pk
            draft.save(force_insert=True)
    return new


def forget(user: Any, addresses: Iterable[str]) -> None:
    """Of the messages to somebody who is gone, and to these addresses of theirs, stays when which
    was sent and what became of it."""
    mine = Mail.objects.filter(user=user)
    mine.cancel()
    # To an address that somebody typed: only what is done, and of nobody else.
    typed = [
        Mail.objects.to(one).filter(user=None).exclude(state=State.PENDING) for one in addresses
    ]
    for rows in [mine, *typed]:
        pks = list(rows.values_list("pk", flat=True))
        Attempt.objects.filter(mail__in=pks).delete()  # which repeats what a server said
        Mail.objects.filter(pk__in=pks).update(
            address="", mailbox="", asker="", error="", provider_id=""
        )


def cancel(user: Any, letter: str) -> int:
    """Cancels what still waits of a letter to a person; how many there were."""
    return Mail.objects.filter(user=user, letter=letter).cancel()
