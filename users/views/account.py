"""The account of whoever is signed in: its profile, its security, its activity, its data."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST
from django.views.generic import FormView, TemplateView

from users import accounts, activity, exports, sessions, texts, visitors
from users.forms import ProfileForm
from users.models import User

SHOWN_OF_EACH = 20  # of what is exported; the file has all


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
            person, typed["name"], typed["language"], visitors.where(self.request)
        )
        translation.activate(person.language)  # for the message
        messages.success(self.request, texts.PROFILE_SAVED)
        return redirect("users:account")


@method_decorator(login_required, name="dispatch")
class AccountSecurityView(TemplateView):
    template_name = "users/account_security.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        here = self.request.session.session_key
        living = sessions.of(person_of(self.request), here)
        return super().get_context_data(sessions=living, **kwargs)


@require_POST
@login_required
def session_end(request: HttpRequest) -> HttpResponse:
    """One, by its id. What is not theirs, or no id, ends nothing, and the answer is the same."""
    person = person_of(request)
    with suppress(ValueError):
        accounts.end_session(person, UUID(request.POST.get("session", "")), visitors.where(request))
    messages.success(request, texts.SESSION_ENDED)
    return redirect("users:account_security")


@require_POST
@login_required
def sessions_end(request: HttpRequest) -> HttpResponse:
    """All others; or all, and this one, too."""
    person, everywhere = person_of(request), "everywhere" in request.POST
    session: Any = request.session
    here = None if everywhere else session.stored_key
    accounts.end_sessions(person, but=here, where=visitors.where(request))
    if everywhere:
        logout(request)
    messages.success(request, texts.SIGNED_OUT if everywhere else texts.SESSIONS_ENDED)
    return redirect("home" if everywhere else "users:account_security")


@method_decorator(login_required, name="dispatch")
class AccountActivityView(TemplateView):
    template_name = "users/account_activity.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        person, before = person_of(self.request), _moment(self.request.GET.get("before", ""))
        entries, older = activity.of(person, activity.SHOWN, before)
        context = {"entries": entries, "older": older and older.timestamp()}
        return super().get_context_data(**context, days=activity.KEPT_FOR.days, **kwargs)


def _moment(typed: str) -> datetime:
    """As our own link writes it; for rubbish the end of time."""
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(float(typed), UTC)
    return activity.EVER


@method_decorator(login_required, name="dispatch")
class AccountDataView(TemplateView):
    template_name = "users/account_data.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """One part, unless all are asked for: each has a statement of its own."""
        person, asked = person_of(self.request), self.request.GET.get("part", "profile")
        titles = exports.titles(person)
        names = list(titles) if asked == "all" else [asked if asked in titles else "profile"]
        parts = exports.of(person, SHOWN_OF_EACH, names)
        context = {
            "parts": [part for part in parts if part.found] or parts,
            "others": [(name, title) for name, title in titles.items() if name not in names],
            "shown": SHOWN_OF_EACH,
        }
        return super().get_context_data(**context, **kwargs)
