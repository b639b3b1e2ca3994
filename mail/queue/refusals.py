"""Refusals in a row: where a server refuses everybody for good, the fault is the server's.

A relay whose directory is away says "no such user" to each address. Their mail waits then, instead
of ending, and nobody is suppressed: also not those who were refused before it was noticed.
"""

from uuid import UUID

from django.utils import timezone

from mail.causes import Cause
from mail.models import Mail, State, Suppression

ENDED = (State.REFUSED, State.FAILED)
IN_A_ROW = 4  # mailboxes, with no message between them that was accepted


class Refusals:
    """What one process has seen since a message of its own was last accepted."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.seen: dict[str, UUID] = {}  # the mailboxes, and the messages to them

    def are_the_servers(self, mail: Mail) -> bool:
        """Whether this refusal, with those before it, says more of the server than of the mailbox.

        The ones before then wait, too, as if nothing had been said about their mailboxes.
        """
        if not self.seen:
            self.since = timezone.now()
        self.seen[mail.mailbox] = mail.pk
        if len(self.seen) < IN_A_ROW:
            return False
        ended = Mail.objects.filter(pk__in=list(self.seen.values()), state__in=ENDED)
        ended.update(state=State.PENDING, on_hold=True, cause=Cause.REFUSED_IN_A_ROW)
        new = Suppression.objects.filter(address__in=self.seen, created_at__gte=self.since)
        new.filter(reason=Suppression.Reason.REFUSED).delete()
        return True


refusals = Refusals()
