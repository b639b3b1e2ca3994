"""Sign-ins, sign-outs and refused sign-ins: for the log, and for the list of the account. Without
anything that was typed."""

import logging
from typing import Any

from django.contrib.auth import signals
from django.dispatch import receiver
from django.http import HttpRequest

from users import activity, proofs, sessions, visitors
from users.models import Tag

log = logging.getLogger(__name__)


@receiver(signals.user_logged_in, dispatch_uid="users.audit")
def signed_in(request: HttpRequest, user: Any, **_: Any) -> None:
    log.info("signed in: %s from %s", user.pk, visitors.network(request))
    sessions.begin(request)
    proofs.remember(request)
    activity.record(user, Tag.SIGNED_IN, visitors.where(request))


@receiver(signals.user_logged_out, dispatch_uid="users.audit")
def signed_out(request: HttpRequest, user: Any, **_: Any) -> None:
    if user is not None:
        log.info("signed out: %s", user.pk)
        activity.record(user, Tag.SIGNED_OUT, visitors.where(request))


@receiver(signals.user_login_failed, dispatch_uid="users.audit")
def sign_in_refused(request: HttpRequest | None = None, **_: Any) -> None:
    log.warning("sign-in refused from %s", visitors.network(request) if request else "a command")
