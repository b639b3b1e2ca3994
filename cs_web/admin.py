"""The admin, whose lists answer no question that the database cannot, or would have to read all its
rows for: staff may type any into the URL, and Django finds out too late that an expression is none,
a day too far, or a key no key."""

import contextlib
from datetime import datetime
from typing import Any

from django.contrib.admin import ModelAdmin, ShowFacets, sites
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from users.proofs import proven

# What a list's own filters and dates append to a column.
EQUAL = ("", "exact")
OFFERED = (*EQUAL, "gte", "lt")


def _moment(text: str) -> datetime | None:
    """With a time zone, as our own links write it."""
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else None
    return None


class NewestFirst(ChangeList):
    """In the one order that has an index, and from row to row: nothing is counted, and of what is
    before a page nothing is read. The page is named by the last row of the one before."""

    newer_url = older_url = ""
    _get_default_ordering: Any

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return [f"-{self.column}", "-pk"]

    @property
    def column(self) -> str:
        [column] = self._get_default_ordering()
        return str(column).removeprefix("-")

    def get_results(self, request: HttpRequest) -> None:
        where, _, key = request.GET.get(PAGE_VAR, "").partition(" ")
        rows: list[Any] = []
        if where == "newer":
            rows = self._some(self._beyond(key, "gte", "lte").reverse())[::-1]
        # Newer than the second page is the first, whole.
        has_newer, has_older = len(rows) > self.list_per_page, True
        if has_newer:
            rows = rows[1:]
        else:
            rows = self._some(
                self._beyond(key, "lte", "gte") if where == "older" else self.queryset
            )
            has_newer, has_older = where == "older", len(rows) > self.list_per_page
            rows = rows[: self.list_per_page]
        if has_newer and rows:
            self.newer_url = self._url("newer", rows[0])
        if has_older and rows:
            self.older_url = self._url("older", rows[-1])
        self.result_list = rows
        self.result_count = self.full_result_count = len(rows)  # as many as can be selected
        self.show_full_result_count, self.show_admin_actions = False, True
        self.can_show_all = self.multi_page = False

    def _some(self, rows: QuerySet[Any]) -> list[Any]:
        """Those of a page, and one that shows that there are more."""
        return list(rows[: self.list_per_page + 1])

    def _beyond(self, key: str, beyond: str, not_beyond: str) -> QuerySet[Any]:
        moment, _, pk = key.partition(" ")
        if not (at := _moment(moment)):
            raise IncorrectLookupParameters
        try:
            equal = {self.column: at, f"pk__{not_beyond}": self.lookup_opts.pk.to_python(pk)}
            rows: QuerySet[Any] = self.queryset.filter(**{f"{self.column}__{beyond}": at})
            return rows.exclude(**equal)
        except ValidationError as error:
            raise IncorrectLookupParameters from error

    def _url(self, where: str, row: Any) -> str:
        key = f"{where} {getattr(row, self.column).isoformat()} {row.pk}"
        return str(self.get_query_string({PAGE_VAR: key}))


class CarefulList(ModelAdmin):
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # a count for each choice of a filter
    sortable_by = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NewestFirst

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        name, _, how = lookup.partition("__")
        filters = [each[0] if isinstance(each, tuple) else each for each in self.list_filter]
        offered = [getattr(each, "parameter_name", each) for each in filters]
        allowed = name in offered and how in OFFERED and (how in EQUAL or bool(_moment(value)))
        return allowed and super().lookup_allowed(lookup, value, request)

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
                self.model._meta.pk.run_validators(self.model._meta.pk.to_python(key))
        except ValidationError as error:
            raise BadRequest("an action on what is no row") from error
        return super().response_action(request, queryset)


class Site(sites.AdminSite):
    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Whatever staff changes needs a recent proof; signing out does not."""
        return super().admin_view(view if view == self.logout else proven(view), cacheable)

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        admin_class = admin_class or ModelAdmin
        careful = type(admin_class.__name__, (CarefulList, admin_class), {})
        super().register(model_or_iterable, careful, **options)
