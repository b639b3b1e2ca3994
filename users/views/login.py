"""Sign in and out: Django's views, with our form."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from users import accounts, guard, sessions, texts, visitors
from users.forms import LoginForm
from users.views.deletion import ask_to_keep


class LoginView(auth_views.LoginView):
    template_name = "users/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def form_valid(self, form: Any) -> Any:
        user = form.get_user()
        accounts.renew_hash(user, form.cleaned_data["password"])
        if user.deletion_asked_at:
            return ask_to_keep(user)
        # After registering, the first is theirs: nobody else has had the password for long.
        is_news = user.last_login is not None and not guard.is_known(self.request, user)
        response = super().form_valid(form)
        if is_news:
            accounts.report_new_device(user, visitors.where(self.request))
        sessions.remember(self.request, longer=form.cleaned_data["remember"])
        guard.welcome_back(self.request, response, user)
        return response

    def form_invalid(self, form: Any) -> HttpResponse:
        if form.waiting:
            # The right password gives this browser what the one that registered may do.
            visitors.remember_claim(self.request, form.waiting)
        return self.render_to_response(self.get_context_data(form=form, waiting=form.waiting))


class LogoutView(auth_views.LogoutView):
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        was_signed_in = request.user.is_authenticated
        response = super().post(request, *args, **kwargs)
        if was_signed_in:  # or each such POST would leave a session with this message
            messages.success(request, texts.SIGNED_OUT)
        return response


def admin_login(request: HttpRequest) -> HttpResponse:
    """The admin uses the sign-in of the site: one form, one log, one set of rules."""
    if request.user.is_authenticated:
        if request.user.is_staff:  # signed in already, by a bookmark
            return redirect("admin:index")
        raise PermissionDenied(texts.STAFF_ONLY)
    return redirect_to_login(request.GET.get("next", reverse("admin:index")))
