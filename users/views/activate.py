"""Activate: the mailed link. Opening it changes nothing; the button on its page does."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from users import accounts, guard, texts, tokens, visitors
from users.forms import AddressForm, NewPasswordForm, PasswordForm
from users.models import User
from users.views.pages import LinkPage, LinkSentView


class ActivationLink(LinkPage):
    """Every page behind an activation link: for waiting accounts whose address is free."""

    token_generator = tokens.activation
    url_name = "users:activate"
    purpose = "activation"
    renew_url_name = "users:activate_renew"

    def accepts(self, person: User) -> bool:
        return person.is_waiting and User.objects.is_free(person.email)

    def not_accepted(self, people: list[User]) -> HttpResponse:
        """A second click on a link that has been used leads home, or to signing in."""
        if not any(person.is_active for person in people):
            return self.bad_link()
        return redirect("home") if self.request.user in people else self.bad_link(done=True)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        return {
            **context,
            "claim": self.person,
            "same_browser": self.same_browser,
            "uidb64": self.kwargs["uidb64"],
        }

    @property
    def same_browser(self) -> bool:
        """Whether this browser has registered, or has given the password: no need to ask again."""
        return visitors.is_claim_of(self.request, self.person)

    def welcome(self, user: User) -> HttpResponse:
        login(self.request, user)
        visitors.forget_claim(self.request)
        translation.activate(user.language)  # for the next page, and the message on it
        messages.success(self.request, texts.ACTIVATED)
        response = self.without_token(redirect("home"))
        guard.welcome_back(self.request, response, user)
        return response


@method_decorator(sensitive_post_parameters(), name="dispatch")
class ActivateView(ActivationLink, FormView):
    template_name = "users/activate.html"

    def get_form(self, form_class: Any = None) -> forms.Form:
        if self.same_browser:
            return forms.Form(**self.get_form_kwargs())
        return PasswordForm(self.person, request=self.request, **self.get_form_kwargs())

    def form_valid(self, form: forms.Form) -> HttpResponse:
        try:
            return self.welcome(accounts.activate(self.person))
        except accounts.LinkSpent:
            return self.bad_link()


@method_decorator(sensitive_post_parameters(), name="dispatch")
class ActivatePasswordView(ActivationLink, FormView):
    """The mailbox is proven; a new password locks out whoever chose the old one."""

    template_name = "users/activate_password.html"
    form_class = NewPasswordForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.person}

    def form_valid(self, form: NewPasswordForm) -> HttpResponse:
        try:
            password = form.cleaned_data["new_password"]
            return self.welcome(accounts.activate(self.person, password))
        except accounts.LinkSpent:
            return self.bad_link()


class ActivateDeclineView(ActivationLink):
    """ "I did not register": deletes the claim, and stops registration mail to this address."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        try:
            accounts.decline(self.person)
        except accounts.LinkSpent:  # activated in this moment
            return self.bad_link()
        messages.success(request, texts.DECLINED)
        return self.without_token(redirect("home"))


class ActivateRenewView(ActivationLink):
    """Sends a new link for a genuine one that has expired, in one click."""

    http_method_names = ["post"]
    accepts_expired = True

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        accounts.resend_activation(self.person, visitors.asker(request))
        if visitors.is_claim_of(request, self.person, include_expired=True):
            visitors.remember_asking(request)
            return redirect("users:register_success")
        response = redirect("users:activate_resend_sent")
        return visitors.remember_request(request, response, self.person.email)


class ActivateResendView(FormView):
    """The activation message again, for any address: the response is always the same."""

    template_name = "users/activate_resend.html"
    form_class = AddressForm

    def form_valid(self, form: AddressForm) -> HttpResponse:
        address, asker = form.cleaned_data["email"], visitors.asker(self.request)
        claim = visitors.claim_of(self.request, include_expired=True)
        if claim and claim.email.lower() == address.lower():
            accounts.resend_activation(claim, asker)  # which nobody else's claims use up
            visitors.remember_asking(self.request)
            return redirect("users:register_success")
        accounts.request_activation(address, self.request.LANGUAGE_CODE, asker)
        response = redirect("users:activate_resend_sent")
        return visitors.remember_request(self.request, response, address)


class ActivateResendSentView(LinkSentView):
    template_name = "users/activate_resend_sent.html"
