"""What is above every page of the admin while mail is in trouble."""

from typing import Any

from django import template
from django.utils import timezone

from mail.desk import operations
from mail.queue import limits
from mail.queue.alarms import alarms

register = template.Library()


@register.inclusion_tag("admin/mail/trouble.html")
def mail_trouble() -> dict[str, Any]:
    age = operations.oldest_overdue()
    late = age is not None and age > operations.OVERDUE_TOO_LONG
    return {
        "alarm": alarms.current(),
        "late_since": timezone.now() - age if age and late else None,
        "nearly_used_up": [part for part in limits.parts() if part.nearly_used_up],
        "rates": operations.rates(),
    }
