"""Which claim this browser made: kept in its session, and good for nothing once it is activated."""

from django.http import HttpRequest
from django.utils import timezone

from users.models import User

SESSION_KEY = "claim"


def remember(request: HttpRequest, claim: User) -> None:
    """This browser has registered, or has given the password of the claim."""
    request.session.cycle_key()  # whoever knew the old session must not see the claim
    request.session[SESSION_KEY] = str(claim.pk)


def forget(request: HttpRequest) -> None:
    request.session.pop(SESSION_KEY, None)


def of_browser(request: HttpRequest) -> User | None:
    """The claim, while it waits and has not expired."""
    pk = request.session.get(SESSION_KEY)
    if pk is None:
        return None
    return User.objects.waiting().filter(pk=pk, claim_expires_at__gt=timezone.now()).first()
