"""Activate: the link from the mail. Opening it changes nothing; the button on its page does."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from users import accounts, claims, texts, tokens
from users.forms import ActivationForm, ActivationPasswordForm, AddressForm
from users.models import User
from users.views.pages import TOKEN_IN_SESSION, KeyedPage, VisitorsOnly, bad_link, person_in_link


class ActivationLink(KeyedPage):
    """Every page behind an activation link: for a waiting account, and for no other."""

    keys = tokens.activation
    name = "users:activate"
    renew_name = "users:activate_renew"

    def opens_for(self, person: User) -> bool:
        return person.is_waiting

    def refusal(
        self, request: HttpRequest, uidb64: str, token: str = TOKEN_IN_SESSION
    ) -> HttpResponseBase | None:
        if request.user.is_authenticated and request.user == person_in_link(uidb64):
            return redirect("home")  # a second click on a link that has done its work
        return super().refusal(request, uidb64, token)

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
        """Whether this is the browser that registered: it has typed the password already."""
        return claims.of_browser(self.request) == self.person

    def open_account(self, user: User) -> HttpResponse:
        login(self.request, user)
        self.forget_key()
        claims.forget(self.request)
        translation.activate(user.language)  # the next page is in it, and shows the message
        messages.success(self.request, texts.ACTIVATED)
        return redirect("home")


@method_decorator(sensitive_post_parameters(), name="dispatch")
class ActivateView(ActivationLink, FormView):
    template_name = "users/activate.html"

    def get_form(self, form_class: Any = None) -> forms.Form:
        if self.same_browser:
            return forms.Form(**self.get_form_kwargs())
        return ActivationForm(self.person, **self.get_form_kwargs())

    def form_valid(self, form: forms.Form) -> HttpResponse:
        try:
            return self.open_account(accounts.activate(self.person))
        except accounts.LinkSpent:
            return bad_link(self.request)


@method_decorator(sensitive_post_parameters(), name="dispatch")
class ActivatePasswordView(ActivationLink, FormView):
    """The mailbox is proven; a new password shuts out whoever chose the old one."""

    template_name = "users/activate_password.html"
    form_class = ActivationPasswordForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.person}

    def form_valid(self, form: ActivationPasswordForm) -> HttpResponse:
        try:
            return self.open_account(form.save())
        except accounts.LinkSpent:
            return bad_link(self.request)


class ActivateDeclineView(ActivationLink):
    """ "I did not register": the claim goes, and registration mail to this address stops."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        accounts.decline(self.person)
        messages.success(request, texts.DECLINED)
        return redirect("home")


class ActivateRenewView(ActivationLink):
    """A link that was ours and is too old: a new one, in one click."""

    http_method_names = ["post"]
    renews = True

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        accounts.resend_activation(self.person)
        messages.success(request, texts.NEW_LINK_SENT)
        return redirect("users:register_success" if self.same_browser else "users:login")


class ActivateResendView(VisitorsOnly, FormView):
    """The activation mail again, for whatever address: the answer is always the same."""

    template_name = "users/activate_resend.html"
    form_class = AddressForm

    def form_valid(self, form: AddressForm) -> HttpResponse:
        accounts.request_activation(form.cleaned_data["email"], self.request.LANGUAGE_CODE)
        messages.success(self.request, texts.ACTIVATION_REQUESTED)
        return redirect("users:login")
