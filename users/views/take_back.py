"""Take back: "this wasn't me", in a letter to the owner of an account that somebody else uses."""

from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from users import accounts, texts, tokens, visitors
from users.models import User
from users.views.pages import LinkPage, person_in_link


class TakeBackView(LinkPage):
    """One page and one button, without a sign-in. Opening it changes nothing."""

    token_generator = tokens.take_back
    url_name = "users:take_back"
    purpose = "take_back"

    def accepts(self, person: User) -> bool:
        return person.is_active

    def people(self, uidb64: str) -> list[User]:
        """By the mailbox that the letter went to: the present one, or one before."""
        person = person_in_link(uidb64)
        return person.selves() if person else []

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return render(request, "users/take_back.html", {"person": self.person})

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        try:
            accounts.take_back(self.person, visitors.where(request))
        except accounts.LinkSpent:  # pressed twice at once, or disabled in this moment
            return self.bad_link()
        if request.user == self.person:
            logout(request)  # it has just ended; the next page would drop the message with it
        messages.success(request, texts.TAKEN_BACK)
        response = redirect("users:password_reset_sent")
        return self.without_token(visitors.remember_request(request, response, self.person.email))
