"""The admin of people: who they are, their state, and what staff may do.

Staff starts things; what only the person may do (prove a mailbox, choose a password) stays theirs.
"""

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mail import api
from users import accounts, activity, guard, sessions
from users.forms import AddressField
from users.models import ACTIVE, DISABLED, WAITING, State, Tag, User

FAILURES_SHOWN = 30  # lines, each a day and a network
EVENTS_SHOWN, LETTERS_SHOWN = 100, 50
FOUND_AT_MOST = 200  # people, by each way to look for them

admin.site.unregister(Group)  # levels say who somebody is; groups would say it twice


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return State.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        conditions = {"waiting": WAITING, "active": ACTIVE, "disabled": DISABLED}
        condition = conditions.get(self.value() or "")
        return queryset.filter(condition) if condition else queryset


class StaffFilter(admin.SimpleListFilter):
    title = _("staff")
    parameter_name = "is_staff"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("1", _("staff"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        return queryset.filter(is_staff=True) if self.value() == "1" else queryset


def _letters_to(person: User) -> list[activity.Entry]:
    """Theirs, and those for which somebody typed their address: not of others who claim it."""
    mine = person.mails.order_by("-created_at")[:LETTERS_SHOWN]
    here = api.Mail.objects.to(person.email).order_by("-created_at")[:LETTERS_SHOWN]
    rows = {row.pk: row for row in [*mine, *here] if row.user_id in (None, person.pk)}
    return [
        activity.Entry(row.created_at, row.letter, row.get_state_display(), row.error)
        for row in rows.values()
    ]


class UserForm(forms.ModelForm):
    """With another address, which only its mailbox can confirm: nothing of it is saved here."""

    new_address = AddressField(
        outside=True,
        required=False,
        help_text=_(
            "A link goes there, which needs the person's password; the current address is notified "
            "of the change, and can undo it for seven days."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "new_address" in self.fields:
            self.fields["new_address"].label = _("New e-mail address")


@admin.register(User)
class UserAdmin(admin.ModelAdmin):
    list_display = ["user_id", "name", "email", "state", "level", "is_staff", "created_at"]
    # Each of them, and the search, stands on an index.
    list_filter = [StateFilter, StaffFilter, "level", "created_at"]
    search_fields = ["user_id", "name", "email"]
    search_help_text = _("A whole e-mail address, or how an ID or a name begins.")
    ordering = ["-created_at"]
    list_per_page = 50
    form = UserForm
    actions = ["resend_activation", "activate", "disable", "send_reset", "end_sessions", "keep"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "user_id",
                    "name",
                    "email",
                    "new_address",
                    "pending_address",
                    "department",
                    "level",
                    "language",
                ]
            },
        ),
        (
            _("State"),
            {
                "fields": [
                    "state",
                    "mail_trouble",
                    "created_at",
                    "claim_expires_at",
                    "activated_at",
                    "leaves_at",
                    "consented_at",
                    "consent_version",
                    "last_login",
                    "taken_notices",
                    "failed_sign_ins",
                    "signed_in",
                ]
            },
        ),
        (_("Rights"), {"fields": ["is_staff", "is_superuser", "user_permissions"]}),
        (_("What happened, and messages to this person"), {"fields": ["timeline"]}),
    ]
    readonly_fields = [
        # user_id and email identify the account: only the owner's own flows change them.
        "user_id",
        "email",
        "pending_address",
        "leaves_at",
        "state",
        "mail_trouble",
        "created_at",
        "claim_expires_at",
        "activated_at",
        "consented_at",
        "consent_version",
        "last_login",
        "failed_sign_ins",
        "signed_in",
        "timeline",
    ]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Django lets staff filter by any column in the URL, which would leak a hash bit by bit."""
        return not lookup.startswith("password") and super().lookup_allowed(lookup, value, request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        if term := search_term.strip():
            queryset = queryset.filter(pk__in=User.objects.found_by(term, FOUND_AT_MOST))
        return queryset, False

    @admin.display(description=_("mail to this address"))
    def mail_trouble(self, user: User) -> str:
        reason = api.suppression_of(user.email)
        return str(reason.label) if reason else "-"

    @admin.display(description=_("waits for its link"))
    def pending_address(self, user: User) -> str:
        change = user.pending_change
        return change.new if change else "-"

    @admin.display(description=_("will be deleted"))
    def leaves_at(self, user: User) -> Any:
        return user.leaves_at

    @admin.display(description=_("failed sign-ins, last 7 days"))
    def failed_sign_ins(self, user: User) -> str:
        rows = guard.failures_of(user).exclude(network="")[:FAILURES_SHOWN]
        lines = [(row.day, row.times, row.network) for row in rows]
        return format_html_join(mark_safe("<br>"), "{}: {} × {}", lines) or "-"

    @admin.display(description=_("signed in"))
    def signed_in(self, user: User) -> str:
        lines = [(timezone.localtime(one.last_used_at), one) for one in sessions.of(user)]
        texts = [(f"{at:%Y-%m-%d %H:%M}", one.device, one.network) for at, one in lines]
        return format_html_join(mark_safe("<br>"), "{}: {} {}", texts) or "-"

    @admin.display(description=_("timeline"))
    def timeline(self, user: User) -> str:
        entries, _older = activity.of(user, EVENTS_SHOWN)
        entries = activity.in_order([*entries, *_letters_to(user)])
        return render_to_string("admin/users/timeline.html", {"entries": entries})

    @admin.display(description=_("state"))
    def state(self, user: User) -> str:
        return str(user.state.label)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Only a superuser grants rights; otherwise staff could grant them to themselves."""
        if request.user.is_superuser:
            return self.readonly_fields
        return [*self.readonly_fields, "is_staff", "is_superuser", "user_permissions"]

    def formfield_for_manytomany(self, *args: Any, **kwargs: Any) -> Any:
        """A box for each right that means something here. Django's two lists have sixty, and labels
        that screen readers do not read."""
        models = [model._meta.model_name for model in self.admin_site._registry]
        rights = Permission.objects.select_related("content_type")
        kwargs["queryset"] = rights.filter(content_type__model__in=models)
        kwargs["widget"] = forms.CheckboxSelectMultiple
        return super().formfield_for_manytomany(*args, **kwargs)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Saves only what was edited: the state may have changed since the form was opened."""
        columns = {field.name for field in User._meta.concrete_fields}
        obj.save(update_fields=[name for name in form.changed_data if name in columns])
        if form.changed_data:
            activity.record(obj, Tag.BY_STAFF, by=cast(User, request.user))
        if address := form.cleaned_data.get("new_address"):
            self._send_link_to(request, obj, address)

    def _send_link_to(self, request: HttpRequest, person: User, address: str) -> None:
        try:
            if person.is_waiting:
                accounts.correct_address(person, address)
            else:
                accounts.request_address(person, address, by=cast(User, request.user))
        except accounts.LinkSpent:  # disabled, or activated in this moment
            self.message_user(request, _("No link was sent."), messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        with transaction.atomic():
            accounts.forget(obj)
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        with transaction.atomic():
            for person in queryset:
                accounts.forget(person)
            super().delete_queryset(request, queryset)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # people register; the first administrator comes from createsuperuser

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Staff cannot change the account of a superuser."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or not obj.is_superuser or request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or not obj.is_superuser or request.user.is_superuser)

    # The actions

    @admin.action(description=_("Send the activation link again"), permissions=["change"])
    def resend_activation(self, request: HttpRequest, people: QuerySet[User]) -> None:
        self._apply(request, people, accounts.resend_activation, only=[State.WAITING])

    @admin.action(description=_("Activate without the link"), permissions=["change"])
    def activate(self, request: HttpRequest, people: QuerySet[User]) -> None:
        only = [State.WAITING, State.DISABLED]
        self._apply(request, people, accounts.activate_by_staff, only=only, by=request.user)

    @admin.action(
        description=_("Disable (ends every session; cancels a waiting registration)"),
        permissions=["change"],
    )
    def disable(self, request: HttpRequest, people: QuerySet[User]) -> None:
        # You cannot lock yourself out.
        others = people.exclude(user_id=request.user.get_username())
        only = [State.WAITING, State.ACTIVE]
        self._apply(request, others, accounts.disable, only=only, by=request.user)

    @admin.action(description=_("Send a link to choose a new password"), permissions=["change"])
    def send_reset(self, request: HttpRequest, people: QuerySet[User]) -> None:
        self._apply(request, people, accounts.send_reset, only=[State.ACTIVE], by=request.user)

    @admin.action(description=_("Sign out everywhere"), permissions=["change"])
    def end_sessions(self, request: HttpRequest, people: QuerySet[User]) -> None:
        only = [State.ACTIVE]
        self._apply(request, people, accounts.end_sessions, only=only, by=request.user)

    @admin.action(description=_("Keep an account that is to be deleted"), permissions=["change"])
    def keep(self, request: HttpRequest, people: QuerySet[User]) -> None:
        self._apply(request, people, accounts.keep, only=[State.ACTIVE], by=request.user)

    def _apply(
        self,
        request: HttpRequest,
        people: QuerySet[User],
        action: Callable[..., object],
        only: list[State],
        **how: Any,
    ) -> None:
        """Acts on everybody in a suitable state, logs it in the history, and reports how many."""
        done = skipped = 0
        for person in people:
            allowed = person.state in only and self.has_change_permission(request, person)
            try:
                if not allowed:
                    raise accounts.LinkSpent
                action(person, **how)
            except accounts.LinkSpent:
                skipped += 1
                continue
            self.log_change(request, person, action.__name__)
            done += 1
        if done:
            text = ngettext("Done for %d person.", "Done for %d people.", done)
            self.message_user(request, text % done, messages.SUCCESS)
        if skipped:
            text = ngettext(
                "%d person was passed over: not in a state for it, or not yours to change.",
                "%d people were passed over: not in a state for it, or not yours to change.",
                skipped,
            )
            self.message_user(request, text % skipped, messages.WARNING)
