"""Addresses that we do not write to, because they said so or because mail came back."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Lower
from django.utils import timezone

from mail.models import Suppression

log = logging.getLogger(__name__)

Reason = Suppression.Reason

# Letters that anybody can have sent to any address by filling in a form.
REGISTRATION = "registration"


def suppress(address: str, reason: Reason, for_: timedelta | None = None) -> None:
    """No more registration letters to this address: for a time, or until staff clears it."""
    with transaction.atomic():
        Suppression.objects.filter(address__iexact=address, purpose=REGISTRATION).delete()
        Suppression.objects.create(
            address=address,
            purpose=REGISTRATION,
            reason=reason,
            until=timezone.now() + for_ if for_ else None,
        )
    log.info("suppressed an address: %s", reason)


def reason_for(address: str) -> Reason | None:
    """Why registration letters do not go to this address; None if they do."""
    # LOWER, as the index has it: LIKE would read the whole table for every mail.
    at_address = Suppression.objects.alias(address_key=Lower("address"))
    found = at_address.filter(address_key=address.lower(), purpose=REGISTRATION)
    for reason, until in found.values_list("reason", "until"):
        if until is None or until > timezone.now():
            return Reason(reason)
    return None
