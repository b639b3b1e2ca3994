"""The admin, whose lists answer no question that the database cannot: staff may type any into the
URL, and Django finds out too late that an expression is none, a year too far, or a key no key."""

from typing import Any

from django.contrib.admin import ModelAdmin, sites
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

# What a list's own filters and dates append to a column.
OFFERED = ("", "exact", "isnull", "year", "month", "day")


class CarefulList(ModelAdmin):
    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        name, _, how = lookup.partition("__")
        filters = [getattr(each, "parameter_name", each) for each in self.list_filter]
        offered = name in [*filters, self.date_hierarchy] and how in OFFERED
        return offered and super().lookup_allowed(lookup, value, request)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        try:
            return super().get_changelist_instance(request)
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters from error

    def response_action(  # type: ignore[override]
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> Any:
        try:
            for key in request.POST.getlist("_selected_action"):
                self.model._meta.pk.to_python(key)
        except ValidationError as error:
            raise BadRequest("an action on what is no row") from error
        return super().response_action(request, queryset)


class Site(sites.AdminSite):
    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        admin_class = admin_class or ModelAdmin
        careful = type(admin_class.__name__, (CarefulList, admin_class), {})
        super().register(model_or_iterable, careful, **options)
