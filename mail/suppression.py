"""Addresses that we do not write to, because they said so or because mail came back."""

import logging
from collections.abc import Iterable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.utils import timezone

from mail.models import Suppression

log = logging.getLogger(__name__)

Reason = Suppression.Reason

# Letters that anybody can have sent to any address by filling in a form.
REGISTRATION = "registration"


def suppress(address: str, reason: Reason, for_: timedelta | None = None) -> None:
    """No more registration letters to this address: for a time, or until staff clears it."""
    before = _at(address)
    if for_ and before.filter(until__isnull=True).exists():
        return  # what staff must clear does not become a matter of days
    try:
        with transaction.atomic():
            before.delete()
            Suppression.objects.create(
                address=address,
                purpose=REGISTRATION,
                reason=reason,
                until=timezone.now() + for_ if for_ else None,
            )
    except IntegrityError:  # another has just done the same
        return
    log.info("suppressed an address: %s", reason)


def reason_for(address: str) -> Reason | None:
    """Why registration letters do not go to this address; None if they do."""
    return reasons_for([address]).get(address.lower())


def reasons_for(addresses: Iterable[str]) -> dict[str, Reason]:
    """The same for several, by address in small letters; without those that get letters."""
    in_force = Q(until__isnull=True) | Q(until__gt=timezone.now())
    rows = _at(*addresses).filter(in_force)
    return {row.address.lower(): Reason(row.reason) for row in rows}


def _at(*addresses: str) -> QuerySet[Suppression]:
    # Not `iexact`: the index is over LOWER.
    rows = Suppression.objects.alias(key=Lower("address"))
    keys = [address.lower() for address in addresses]
    return rows.filter(key__in=keys, purpose=REGISTRATION)
