"""The queue for staff: what became of each message, and what may be done. No body is shown."""

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

from mail.desk import operations
from mail.desk.mailbox import in_sandbox
from mail.desk.trial import sample_names
from mail.models import LISTED, Attempt, Mail, Report, State, Suppression, mailbox_of
from mail.queue.letters import letters, samples
from mail.queue.posting import post_again

FOUND_AT_MOST = 200  # messages, the newest by each way to look for them


class ReadOnly:
    def has_add_permission(self, *args: Any) -> bool:
        return False

    has_change_permission = has_add_permission


class Timeline(ReadOnly, admin.TabularInline):
    model = Attempt
    template = "admin/mail/table.html"
    fields = ("at", "number", "what")
    readonly_fields = fields
    extra = 0
    can_delete = False


class StateFilter(admin.ChoicesFieldListFilter):
    def queryset(self, request: HttpRequest, queryset: QuerySet[Mail]) -> QuerySet[Mail]:
        listed = queryset.filter(LISTED) if self.used_parameters else queryset
        found: Any = super().queryset(request, listed)
        return found  # type: ignore[no-any-return]


class LetterFilter(admin.SimpleListFilter):
    title = _("letter")
    parameter_name = "letter"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(name, name) for name in sorted(letters)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Mail]) -> QuerySet[Mail]:
        return queryset.filter(LISTED, letter=self.value()) if self.value() else queryset


@admin.register(Mail)
class MailAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["letter", "to", "state", "when", "attempts", "error"]
    # Each of them, and the search, stands on an index.
    list_filter = [("state", StateFilter), LetterFilter, "created_at"]
    list_select_related = ["user"]
    search_fields = ["address", "user", "provider_id"]
    search_help_text = _("A whole e-mail address, an ID, or an id at the mail service.")
    ordering = ["-created_at"]
    list_per_page = 50
    exclude = ["crashes", "on_hold"]
    inlines = [Timeline]
    actions = ["send_again", "cancel"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Mail], search_term: str
    ) -> tuple[QuerySet[Mail], bool]:
        if term := search_term.strip():
            queryset = queryset.filter(pk__in=operations.found_by(term, FOUND_AT_MOST))
        return queryset, False

    @admin.display(description=_("to"), ordering="address")
    def to(self, mail: Mail) -> str:
        return f"{mail.user} <{mail.address}>" if mail.user else mail.address

    @admin.display(description=_("sent, or next try"))
    def when(self, mail: Mail) -> Any:
        return mail.due if mail.state == State.PENDING else mail.sent_at

    has_delete_permission = ReadOnly.has_add_permission  # type: ignore[assignment]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Rows are never edited; whoever may "change" them may send again and cancel."""
        return request.user.has_perm("mail.change_mail")

    @admin.action(description=_("Send again, as a new message"), permissions=["operate"])
    def send_again(self, request: HttpRequest, mails: QuerySet[Mail]) -> None:
        # The text of a drafted one is not kept once it has left: there is nothing to send again.
        drafted = [letter.name for letter in letters.values() if letter.drafted]
        again = mails.exclude(state=State.PENDING).exclude(letter__in=drafted, draft=None)
        for mail in (ended := list(again)):
            post_again(mail)
            self.log_change(request, mail, "send_again")
        self._report(request, len(ended), mails.count() - len(ended))

    @admin.action(description=_("Cancel"), permissions=["operate"])
    def cancel(self, request: HttpRequest, mails: QuerySet[Mail]) -> None:
        count = mails.count()
        for mail in mails.filter(state=State.PENDING):
            self.log_change(request, mail, "cancel")
        done = mails.order_by().cancel()  # type: ignore[attr-defined]
        self._report(request, done, count - done)

    def _report(self, request: HttpRequest, done: int, passed_over: int) -> None:
        if done:
            text = ngettext("Done for %d message.", "Done for %d messages.", done)
            self.message_user(request, text % done, messages.SUCCESS)
        if passed_over:
            text = ngettext(
                "%d message was passed over: not in a state for it.",
                "%d messages were passed over: not in a state for it.",
                passed_over,
            )
            self.message_user(request, text % passed_over, messages.WARNING)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        rates = operations.rates()
        context = {
            "rates": rates,
            "bounces_percent": f"{rates.rate(rates.bounced) * 100:.1f}",
            "complaints_percent": f"{rates.rate(rates.complained) * 100:.2f}",
            "bounce_review": rates.BOUNCE_REVIEW * 100,
            "complaint_review": rates.COMPLAINT_REVIEW * 100,
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
            "names": sample_names(),
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
        names = sample_names()
        name = request.GET.get("letter", names[0])
        language = request.GET.get("language", settings.LANGUAGE_CODE)
        if name not in names or language not in dict(settings.LANGUAGES):
            raise Http404
        return name, language, samples[name](language)


@admin.register(Suppression)
class SuppressionAdmin(ReadOnly, admin.ModelAdmin):
    """Staff clears a suppression by deleting it."""

    list_display = ["address", "reason", "created_at", "until"]
    list_filter = ["reason"]
    search_fields = ["address"]
    search_help_text = _("A whole e-mail address.")
    ordering = ["-created_at"]
    actions = ["clear"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Suppression], search_term: str
    ) -> tuple[QuerySet[Suppression], bool]:
        if term := search_term.strip():
            queryset = queryset.filter(address=mailbox_of(term))
        return queryset, False

    @admin.action(description=_("Clear: write to this address again"), permissions=["delete"])
    def clear(self, request: HttpRequest, rows: QuerySet[Suppression]) -> None:
        for row in rows:
            self.log_change(request, row, "clear")
        rows.delete()

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # the same under a name that says less
        return actions


@admin.register(Report)
class ReportAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ["fault", "times", "since", "last_at", "notified_at"]
    ordering = ["-last_at"]
