"""What several flows need of a view."""

from typing import Any

from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.http import urlsafe_base64_decode
from django.views.generic import View

from users.models import User
from users.tokens import is_ours

# Takes the place of the token in the address, once the token is in the session.
TOKEN_IN_SESSION = "open"  # noqa: S105


class VisitorsOnly(View):
    """Whoever is signed in has no business here and goes home."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return redirect("home")
        return super().dispatch(request, *args, **kwargs)


class KeyedPage(View):
    """A page that a link from a mailbox opens.

    The token goes from the address into the session before anything is shown; then the page is
    there while the key is ours, the person is in the state that the key was made for, and it is
    not too old. Never stored, never listed, telling no other site its address.
    """

    http_method_names = ["get", "head", "post", "options"]

    keys: PasswordResetTokenGenerator
    name: str  # of the URL with the token
    renew_name: str  # of the URL that answers a link whose only fault is its age
    renews = False  # whether this is that URL's page

    person: User

    def opens_for(self, person: User) -> bool:
        """Whether the account is in the state that the key was made for."""
        raise NotImplementedError

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = self.refusal(request, **kwargs) or super().dispatch(request, *args, **kwargs)
        add_never_cache_headers(response)
        # Nothing goes to another site. Not "no-referrer": with it a browser sends "Origin: null",
        # and the check against forged forms would refuse the page's own.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["X-Robots-Tag"] = "noindex"
        return response

    def refusal(
        self, request: HttpRequest, uidb64: str, token: str = TOKEN_IN_SESSION
    ) -> HttpResponseBase | None:
        """What to answer to somebody whom this page is not for; None if it is."""
        in_address = token != TOKEN_IN_SESSION
        key = token if in_address else request.session.get(self.name)
        person = person_in_link(uidb64)
        if not (person and self.opens_for(person) and is_ours(self.keys, person, key)):
            return bad_link(request)
        if in_address:
            request.session[self.name] = key
            return redirect(self.name, uidb64, TOKEN_IN_SESSION)
        if not self.renews and not self.keys.check_token(person, key):
            return expired_link(request, reverse(self.renew_name, args=[uidb64]))
        self.person = person
        return None

    def forget_key(self) -> None:
        self.request.session.pop(self.name, None)


def person_in_link(uidb64: str) -> User | None:
    """The person that a link names. Whatever stands there, this answers and never raises."""
    try:
        pk = User._meta.pk.to_python(urlsafe_base64_decode(uidb64).decode())
    except (ValueError, ValidationError):
        return None
    return User.objects.filter(pk=pk).first()


def bad_link(request: HttpRequest) -> HttpResponse:
    """The one plain page for every link that does not work, so that it tells nothing else."""
    return render(request, "users/link_bad.html", status=404)


def expired_link(request: HttpRequest, action: str) -> HttpResponse:
    """Only for a link that was ours and is too old: one click, `action`, sends a new one."""
    return render(request, "users/link_expired.html", {"action": action}, status=410)
