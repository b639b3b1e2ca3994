"""Notices: an owner stops being notified that somebody registered with their address."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from users import accounts, texts, tokens
from users.models import User
from users.views.pages import LinkPage


class NoticesView(LinkPage):
    """The link of such a notice. Opening it changes nothing; the button on its page does."""

    token_generator = tokens.notices
    url_name = "users:notices"
    accepts_expired = True  # it has no end but its use

    def accepts(self, person: User) -> bool:
        return person.activated_at is not None

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return render(request, "users/notices.html", {"address": self.person.email})

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        accounts.stop_notices(self.person)
        messages.success(request, texts.NOTICES_STOPPED)
        return self.without_token(redirect("home"))
