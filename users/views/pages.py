"""What the pages behind a mailed link have in common."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.http import urlsafe_base64_decode
from django.views.generic import TemplateView, View

from users import mailboxes, progress, visitors
from users.models import User
from users.tokens import is_genuine

# Replaces the token in the URL, once the token is in a cookie.
TOKEN_IN_COOKIE = "open"  # noqa: S105
# Seconds. Whoever has left the page open for longer than a link lives is still offered a new one.
COOKIE_AGE = 2 * 24 * 60 * 60
ID_BYTES = 16  # of a UUID


class LinkPage(View):
    """A page that a mailed link opens.

    The token moves from the URL into a cookie before anything is shown: not into a session, which
    would be a row for everybody who opens a link, however often. The page is then shown while the
    token is genuine, the account is in the state that it was made for, and it has not expired.
    Never cached, never indexed, and its URL is never sent to another site.
    """

    http_method_names = ["get", "head", "post", "options"]

    token_generator: PasswordResetTokenGenerator
    url_name: str  # of the URL with the token
    renew_url_name = ""  # of the URL that replaces an expired link, if there is one
    accepts_expired = False  # whether this is that URL's page
    purpose = ""  # what the page of a bad link says it was for

    person: User

    def accepts(self, person: User) -> bool:
        """Whether the account is in the state that the token was made for."""
        raise NotImplementedError

    def people(self, uidb64: str) -> list[User]:
        """Whose link it may be."""
        person = person_in_link(uidb64)
        return [person] if person else []

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = self.refusal(request, **kwargs) or super().dispatch(request, *args, **kwargs)
        add_never_cache_headers(response)
        # No referrer to other sites. Not "no-referrer": with it a browser sends "Origin: null", and
        # Django's CSRF check would refuse the page's own form.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["X-Robots-Tag"] = "noindex"
        return response

    def refusal(
        self, request: HttpRequest, uidb64: str, token: str = TOKEN_IN_COOKIE
    ) -> HttpResponseBase | None:
        """The response for somebody who may not see this page; None if they may."""
        in_url = token != TOKEN_IN_COOKIE
        key = token if in_url else self.token_in_cookie(request, uidb64)
        people = self.people(uidb64)
        accepted = (one for one in people if self.accepts(one))
        person = next((one for one in accepted if is_genuine(self.token_generator, one, key)), None)
        if person is None:
            return self.not_accepted(people)
        if in_url:
            return self.with_token(redirect(self.url_name, uidb64, TOKEN_IN_COOKIE), uidb64, token)
        if not self.accepts_expired and not self.token_generator.check_token(person, key):
            if not self.renew_url_name:
                return self.bad_link()
            return expired_link(request, reverse(self.renew_url_name, args=[uidb64]))
        self.person = person
        return None

    def not_accepted(self, people: list[User]) -> HttpResponse:
        """The response for whoever may not, where the link names these people."""
        return self.bad_link()

    def bad_link(self, *, done: bool = False) -> HttpResponse:
        """The same for every link that does not work, whatever the reason. `done`: whoever holds
        it may know that it has been used."""
        context = {"purpose": self.purpose, "done": done}
        return render(self.request, "users/link_bad.html", context, status=404)

    def token_in_cookie(self, request: HttpRequest, uidb64: str) -> str | None:
        return request.get_signed_cookie(
            settings.LINK_COOKIE_NAME, None, salt=self.cookie_salt(uidb64), max_age=COOKIE_AGE
        )

    def with_token(self, response: HttpResponseBase, uidb64: str, token: str) -> HttpResponseBase:
        """Until the browser is closed; the signature ends by itself."""
        response.set_signed_cookie(
            settings.LINK_COOKIE_NAME,
            token,
            salt=self.cookie_salt(uidb64),
            path=self.cookie_path(uidb64),
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
        return response

    def without_token(self, response: HttpResponse) -> HttpResponse:
        path = self.cookie_path(self.kwargs["uidb64"])
        response.delete_cookie(settings.LINK_COOKIE_NAME, path, samesite="Lax")
        return response

    def cookie_salt(self, uidb64: str) -> str:
        """One cookie is good for one purpose and one person."""
        return f"{self.url_name}/{uidb64}"

    def cookie_path(self, uidb64: str) -> str:
        """Of all pages of this link, and of no other."""
        return reverse(self.url_name, args=[uidb64, TOKEN_IN_COOKIE]).removesuffix(
            f"{TOKEN_IN_COOKIE}/"
        )


def person_in_link(uidb64: str) -> User | None:
    """The person that a link names, or None. Never raises, whatever the link contains.

    By the bytes of their id, or by its text as in older letters."""
    try:
        named = urlsafe_base64_decode(uidb64)
        pk = UUID(bytes=named) if len(named) == ID_BYTES else UUID(named.decode())
    except ValueError:
        return None
    return User.objects.filter(pk=pk).first()


def expired_link(request: HttpRequest, action: str) -> HttpResponse:
    """Only for a genuine link that has expired: one click on `action` sends a new one."""
    return render(request, "users/link_expired.html", {"action": action}, status=410)


class LinkSentView(TemplateView):
    """After a form that anybody may send for any address. It shows what this browser has asked for,
    and nothing of what became of it: not even that no mail leaves, which an alarm at this moment
    would say of this very address."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        address, at = visitors.requested(self.request)
        return super().get_context_data(
            address=address,
            time=progress.Progress("sent", at).time,
            step="waiting",  # nobody is to know whether anything is sent
            mailbox=mailboxes.service_of(address),
            suggestion=mailboxes.suggestion(address) if address else "",
            **kwargs,
        )
