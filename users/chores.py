"""What is over goes by itself, first what strangers made us store: the senders of mail do these.

A batch at a time. Nothing here can reach an account (activated, disabled, or of staff) but
`prune_leaving`, and that only one whose owner has asked for it two weeks ago.
"""

from datetime import timedelta

from django.utils import timezone

from mail import api
from users import accounts, activity
from users.models import DELETED_AFTER, AddressChange, Session

# An expired claim is kept so long: whoever comes late is offered a new link.
CLAIMS_KEPT_FOR = timedelta(days=7)


@api.chore
def prune_claims(at_most: int) -> int:
    return accounts.prune_claims(timezone.now() - CLAIMS_KEPT_FOR, at_most)


@api.chore
def prune_sessions(at_most: int) -> int:
    return api.delete_some(Session.objects.filter(expire_date__lt=timezone.now()), at_most)


@api.chore
def prune_events(at_most: int) -> int:
    return activity.prune(timezone.now(), at_most)


# As long as events: with them it is the history of an account.
ADDRESS_CHANGES_KEPT_FOR = activity.KEPT_FOR


@api.chore
def prune_address_changes(at_most: int) -> int:
    old = AddressChange.objects.filter(asked_at__lt=timezone.now() - ADDRESS_CHANGES_KEPT_FOR)
    return api.delete_some(old, at_most)


@api.chore
def prune_leaving(at_most: int) -> int:
    return accounts.prune_leaving(timezone.now() - DELETED_AFTER, at_most)
