"""Which claim this browser made: kept in its session, and good for nothing once it is activated."""

from django.http import HttpRequest

from users.models import User

SESSION_KEY = "claim"


def remember(request: HttpRequest, claim: User) -> None:
    """This browser has registered, or has given the password of the claim."""
    request.session.cycle_key()  # whoever knew the old session must not see the claim
    request.session[SESSION_KEY] = str(claim.pk)


def forget(request: HttpRequest) -> None:
    request.session.pop(SESSION_KEY, None)


def of_browser(request: HttpRequest, *, expired_too: bool = False) -> User | None:
    """The claim, while it waits and has not expired; or has, where a new link revives it."""
    pk = request.session.get(SESSION_KEY)
    claim = User.objects.waiting().filter(pk=pk).first() if pk else None
    return claim if claim and (expired_too or not claim.claim_is_expired) else None
