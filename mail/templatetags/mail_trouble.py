"""What stands above every page of the admin while mail is in trouble."""

from typing import Any

from django import template
from django.utils import timezone

from mail import alarms, feedback, health

register = template.Library()


@register.inclusion_tag("admin/mail/trouble.html")
def mail_trouble() -> dict[str, Any]:
    age = health.oldest_overdue()
    late = age is not None and age > health.OVERDUE_TOO_LONG
    return {
        "alarm": alarms.current(),
        "late_since": timezone.now() - age if age and late else None,
        "rates": feedback.rates(),
    }
