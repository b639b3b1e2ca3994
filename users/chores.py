"""What is over goes by itself, first what strangers made us store: the senders of mail do these.

A batch at a time. Nothing here can reach an account: activated, disabled, or of staff.
"""

from datetime import timedelta

from django.utils import timezone

from mail import api
from users import accounts, activity
from users.models import Session

# An expired claim is kept so long: whoever comes late is offered a new link.
CLAIMS_KEPT_FOR = timedelta(days=7)


@api.chore
def prune_claims(at_most: int) -> int:
    return accounts.prune_claims(timezone.now() - CLAIMS_KEPT_FOR, at_most)


@api.chore
def prune_sessions(at_most: int) -> int:
    ended = Session.objects.filter(expire_date__lt=timezone.now())
    keys = list(ended.values_list("pk", flat=True)[:at_most])
    ended.filter(pk__in=keys).delete()
    return len(keys)


@api.chore
def prune_events(at_most: int) -> int:
    return activity.prune(timezone.now(), at_most)
