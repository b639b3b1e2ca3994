"""System checks: a mail service that cannot work is reported before it is tried."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from mail import conf


@register("mail")
def check_mail(**_: Any) -> list[CheckMessage]:
    return [
        (Error if found.is_error else Warning)(
            f"{found.name} {found.what}.", hint=found.hint, id=found.id
        )
        for found in conf.findings(settings)
    ]
