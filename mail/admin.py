"""The outbox for staff: what became of each mail, and what may be done. No body is shown."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mail import feedback, outbox, registry
from mail.mailbox import in_sandbox
from mail.models import DRAFTED, Attempt, Mail, State, Suppression


class ReadOnly(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Timeline(admin.TabularInline):
    model = Attempt
    fields = ("at", "number", "what")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, *args: Any) -> bool:
        return False

    def has_change_permission(self, *args: Any) -> bool:
        return False


@admin.register(Mail)
class MailAdmin(ReadOnly):
    list_display = ["letter", "to", "state", "when", "attempts", "error"]
    list_filter = ["state", "letter", "language", "priority"]
    list_select_related = ["user"]
    search_fields = ["address", "user__user_id", "user__email", "provider_id"]
    ordering = ["-created_at"]
    date_hierarchy = "created_at"
    list_per_page = 50
    exclude = ["args", "faults", "held"]
    inlines = [Timeline]
    actions = ["send_again", "cancel"]

    @admin.display(description=_("to"), ordering="address")
    def to(self, mail: Mail) -> str:
        return f"{mail.user} <{mail.address}>" if mail.user else mail.address

    @admin.display(description=_("sent, or next try"))
    def when(self, mail: Mail) -> Any:
        return mail.due if mail.state == State.PENDING else mail.sent_at

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Rows are never edited; whoever may "change" them may send again and cancel."""
        return request.user.has_perm("mail.change_mail")

    # The actions

    @admin.action(description=_("Send again, as a new mail"), permissions=["operate"])
    def send_again(self, request: HttpRequest, mails: QuerySet[Mail]) -> None:
        ended = [mail for mail in mails if mail.state != State.PENDING]
        # An operator's own mail is not kept once it has left, so there is nothing to send again.
        kept = [mail for mail in ended if mail.letter not in DRAFTED or hasattr(mail, "draft")]
        for mail in kept:
            outbox.again(mail)
            self.log_change(request, mail, "send_again")
        self._tell(request, len(kept), mails.count() - len(kept))

    @admin.action(description=_("Cancel"), permissions=["operate"])
    def cancel(self, request: HttpRequest, mails: QuerySet[Mail]) -> None:
        count = mails.count()
        for mail in mails.filter(state=State.PENDING):
            self.log_change(request, mail, "cancel")
        done = mails.order_by().cancel()  # type: ignore[attr-defined]
        self._tell(request, done, count - done)

    def _tell(self, request: HttpRequest, done: int, passed_over: int) -> None:
        if done:
            text = ngettext("Done for %d mail.", "Done for %d mails.", done)
            self.message_user(request, text % done, messages.SUCCESS)
        if passed_over:
            text = ngettext(
                "%d mail was passed over: not in a state for it.",
                "%d mails were passed over: not in a state for it.",
                passed_over,
            )
            self.message_user(request, text % passed_over, messages.WARNING)

    # How the mails of these days fare, and what each letter looks like

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {
            "rates": feedback.rates(),
            "bounce_review": feedback.BOUNCE_REVIEW * 100,
            "complaint_review": feedback.COMPLAINT_REVIEW * 100,
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def get_urls(self) -> list[URLPattern]:
        wrap: Callable[..., Any] = self.admin_site.admin_view
        return [
            path("preview/", wrap(self.preview), name="mail_preview"),
            path("preview/html/", wrap(self.preview_html), name="mail_preview_html"),
            *super().get_urls(),
        ]

    def preview(self, request: HttpRequest) -> HttpResponse:
        """Every letter in every language, with sample data: text, and HTML narrow and wide."""
        name, language, message = self._sample(request)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Preview of the letters"),
            "opts": self.opts,
            "names": registry.sample_names(),
            "languages": settings.LANGUAGES,
            "name": name,
            "language": language,
            "message": message,
        }
        return render(request, "admin/mail/preview.html", context)

    def preview_html(self, request: HttpRequest) -> HttpResponse:
        *_both, message = self._sample(request)
        return in_sandbox(str(message.alternatives[0][0]))

    def _sample(self, request: HttpRequest) -> tuple[str, str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        names = registry.sample_names()
        name = request.GET.get("letter", names[0])
        language = request.GET.get("language", settings.LANGUAGE_CODE)
        if name not in names or language not in dict(settings.LANGUAGES):
            raise Http404
        return name, language, registry.sample(name, language)


@admin.register(Suppression)
class SuppressionAdmin(ReadOnly):
    """Staff clears a suppression by deleting it."""

    list_display = ["address", "purpose", "reason", "created_at", "until"]
    list_filter = ["purpose", "reason"]
    search_fields = ["address"]
    ordering = ["-created_at"]
    actions = ["clear"]

    @admin.action(description=_("Clear: write to this address again"), permissions=["delete"])
    def clear(self, request: HttpRequest, rows: QuerySet[Suppression]) -> None:
        for row in rows:
            self.log_change(request, row, "clear")
        rows.delete()

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # the same under a name that says less
        return actions
