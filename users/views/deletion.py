"""Deletion: of one's own account, after two weeks in which it can be kept."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import urlsafe_base64_encode
from django.views.generic import TemplateView

from users import accounts, texts, tokens, visitors
from users.models import DELETED_AFTER, User
from users.views.account import person_of
from users.views.pages import TOKEN_IN_COOKIE, LinkPage


@method_decorator(login_required, name="dispatch")
class DeletionView(TemplateView):
    template_name = "users/deletion.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        when = timezone.now() + DELETED_AFTER
        return super().get_context_data(when=when, days=DELETED_AFTER.days, **kwargs)

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            accounts.request_deletion(person_of(request), visitors.where(request))
        except accounts.LinkSpent:  # of staff; or asked for elsewhere in this moment
            return redirect("users:deletion")
        logout(request)
        messages.success(request, texts.DELETION_ASKED)
        return redirect("home")


class DeletionUndoView(LinkPage):
    """The link of the letter; and where a sign-in leads until then."""

    token_generator = tokens.deletion
    url_name = "users:deletion_undo"
    purpose = "deletion"

    def accepts(self, person: User) -> bool:
        return person.is_active and person.deletion_asked_at is not None

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return render(request, "users/deletion_undo.html", {"person": self.person})

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        try:
            accounts.keep(self.person, visitors.where(request))
        except accounts.LinkSpent:  # twice in the same moment
            return self.bad_link()
        messages.success(request, texts.DELETION_UNDONE)
        return self.without_token(redirect("users:login"))


def ask_to_keep(person: User) -> HttpResponseBase:
    """For somebody who has just given the password: the page of the link, as if they had it."""
    uidb64 = urlsafe_base64_encode(person.pk.bytes)
    page = redirect(DeletionUndoView.url_name, uidb64, TOKEN_IN_COOKIE)
    return DeletionUndoView().with_token(page, uidb64, tokens.deletion.make_token(person))
