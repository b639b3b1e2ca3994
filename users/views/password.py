"""Password: reset by e-mail, and change."""

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST
from django.views.generic import FormView, TemplateView

from users import accounts, guard, proofs, texts, tokens, visitors
from users.forms import AddressForm, ChangeForm, NewPasswordForm
from users.models import User
from users.views.pages import LinkPage, LinkSentView


class PasswordResetView(FormView):
    template_name = "users/password_reset.html"
    form_class = AddressForm

    def form_valid(self, form: AddressForm) -> HttpResponse:
        address = form.cleaned_data["email"]
        asker = guard.asker(self.request, address)
        accounts.request_reset(address, self.request.LANGUAGE_CODE, asker)
        response = redirect("users:password_reset_sent")
        return visitors.remember_request(self.request, response, address)


class PasswordResetSentView(LinkSentView):
    template_name = "users/password_reset_sent.html"


class ResetLink(LinkPage):
    """Every page behind a reset link: for active accounts only."""

    token_generator = tokens.reset
    url_name = "users:password_reset_confirm"
    purpose = "reset"
    renew_url_name = "users:password_reset_renew"

    def accepts(self, person: User) -> bool:
        return person.is_active


@method_decorator(sensitive_post_parameters(), name="dispatch")
class PasswordResetConfirmView(ResetLink, FormView):
    """Not Django's view, which cannot tell an expired link from a forged one."""

    template_name = "users/password_reset_confirm.html"
    form_class = NewPasswordForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.person}

    def form_valid(self, form: NewPasswordForm) -> HttpResponse:
        try:
            where = visitors.where(self.request)
            password = form.cleaned_data["new_password"]
            accounts.choose_password(self.person, password, where, by_mailbox=True)
        except accounts.LinkSpent:
            return self.bad_link()
        response = self.without_token(redirect("users:password_reset_done"))
        # They are about to sign in here, and strangers may have used up the guesses at their name.
        guard.welcome_back(self.request, response, self.person)
        return response


class PasswordResetRenewView(ResetLink):
    """Sends a new link for a genuine one that has expired, in one click."""

    http_method_names = ["post"]
    accepts_expired = True

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        asker = guard.asker(request, self.person.email)
        accounts.request_reset(self.person.email, self.person.language, asker)
        response = redirect("users:password_reset_sent")
        return visitors.remember_request(request, response, self.person.email)


class PasswordResetDoneView(TemplateView):
    template_name = "users/password_reset_done.html"


@method_decorator([login_required, sensitive_post_parameters()], name="dispatch")
class PasswordChangeView(FormView):
    template_name = "users/password_change.html"
    form_class = ChangeForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request, "user": self.request.user}

    def form_valid(self, form: ChangeForm) -> HttpResponse:
        try:
            where = visitors.where(self.request)
            user = accounts.choose_password(form.user, form.cleaned_data["new_password"], where)
        except accounts.LinkSpent:  # changed or disabled elsewhere at this moment
            return redirect("users:login")
        update_session_auth_hash(self.request, user)  # all sessions end but this one
        proofs.remember(self.request)
        messages.success(self.request, texts.PASSWORD_CHANGED)
        return redirect("home")


@require_POST
@login_required
def change_forgot(request: HttpRequest) -> HttpResponse:
    """Signed in, and the current password is forgotten: the mailbox proves who it is."""
    user = cast(User, request.user)
    accounts.request_reset(user.email, user.language, guard.asker(request, user.email))
    response = redirect("users:password_reset_sent")
    return visitors.remember_request(request, response, user.email)
