"""The account of whoever is signed in: its profile, its security, its activity, its data."""

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views.generic import FormView, TemplateView

from users import accounts, activity, texts
from users.forms import ProfileForm
from users.models import User


def person_of(request: HttpRequest) -> User:
    """Of a view that is for people who are signed in."""
    return cast(User, request.user)


@method_decorator(login_required, name="dispatch")
class AccountView(FormView):
    template_name = "users/account.html"
    form_class = ProfileForm

    def get_initial(self) -> dict[str, Any]:
        person = person_of(self.request)
        return {"name": person.name, "language": person.language}

    def form_valid(self, form: ProfileForm) -> HttpResponse:
        person, typed = person_of(self.request), form.cleaned_data
        accounts.change_profile(
            person, typed["name"], typed["language"], activity.where(self.request)
        )
        translation.activate(person.language)  # for the message
        messages.success(self.request, texts.PROFILE_SAVED)
        return redirect("users:account")


@method_decorator(login_required, name="dispatch")
class AccountSecurityView(TemplateView):
    template_name = "users/account_security.html"


@method_decorator(login_required, name="dispatch")
class AccountActivityView(TemplateView):
    template_name = "users/account_activity.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        entries = activity.of(person_of(self.request))
        days = activity.KEPT_FOR.days
        return super().get_context_data(entries=entries, days=days, **kwargs)


@method_decorator(login_required, name="dispatch")
class AccountDataView(TemplateView):
    template_name = "users/account_data.html"
