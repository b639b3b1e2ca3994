"""The outbox and the suppressed addresses, to look at. No body is stored, so none is shown."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from mail.models import Mail, Suppression


class ReadOnly(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Mail)
class MailAdmin(ReadOnly):
    list_display = ["letter", "user", "address", "state", "due", "attempts", "error", "created_at"]
    list_filter = ["state", "letter", "language"]
    list_select_related = ["user"]
    search_fields = ["address", "user__user_id", "user__email", "provider_id"]
    ordering = ["-created_at"]
    date_hierarchy = "created_at"
    list_per_page = 50
    exclude = ["args", "faults"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Suppression)
class SuppressionAdmin(ReadOnly):
    """Staff clears a suppression by deleting it."""

    list_display = ["address", "purpose", "reason", "created_at", "until"]
    list_filter = ["purpose", "reason"]
    search_fields = ["address"]
    ordering = ["-created_at"]
