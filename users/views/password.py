"""Password: reset by mail, and change. Django's views, with our forms, keys and letters."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import PasswordChangeForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView, TemplateView

from users import accounts, texts, tokens
from users.forms import ChangeForm, ResetForm, ResetRequestForm
from users.models import User
from users.views.pages import KeyedPage, VisitorsOnly, bad_link


class PasswordResetView(VisitorsOnly, auth_views.PasswordResetView):
    template_name = "users/password_reset.html"
    form_class = ResetRequestForm
    success_url = reverse_lazy("users:password_reset_sent")


class PasswordResetSentView(VisitorsOnly, TemplateView):
    template_name = "users/password_reset_sent.html"


class ResetLink(KeyedPage):
    """Every page behind a reset link: for an active account, and for no other."""

    keys = tokens.reset
    name = "users:password_reset_confirm"
    renew_name = "users:password_reset_renew"

    def opens_for(self, person: User) -> bool:
        return person.is_active


@method_decorator(sensitive_post_parameters(), name="dispatch")
class PasswordResetConfirmView(ResetLink, FormView):
    """Not Django's view: that one cannot tell a link that is too old from one that is forged."""

    template_name = "users/password_reset_confirm.html"
    form_class = ResetForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.person}

    def form_valid(self, form: ResetForm) -> HttpResponse:
        try:
            form.save()
        except accounts.LinkSpent:
            return bad_link(self.request)
        self.forget_key()
        return redirect("users:password_reset_done")


class PasswordResetRenewView(ResetLink):
    """A link that was ours and is too old: a new one, in one click."""

    http_method_names = ["post"]
    renews = True

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        accounts.request_reset(self.person.email, self.person.language)
        return redirect("users:password_reset_sent")


class PasswordResetDoneView(TemplateView):
    template_name = "users/password_reset_done.html"


class PasswordChangeView(auth_views.PasswordChangeView):
    template_name = "users/password_change.html"
    form_class = ChangeForm
    success_url = reverse_lazy("home")

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        try:
            response = super().form_valid(form)
        except accounts.LinkSpent:  # changed or disabled elsewhere in this very moment
            return redirect("users:login")
        messages.success(self.request, texts.PASSWORD_CHANGED)
        return response
