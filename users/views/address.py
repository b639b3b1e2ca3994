"""Change of address: asked for in the account, confirmed by a link to the new mailbox."""

import contextlib
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST
from django.views.generic import FormView

from users import accounts, mailboxes, texts, tokens, visitors
from users.forms import AddressChangeForm, PasswordForm
from users.models import User
from users.views.account import person_of
from users.views.pages import LinkPage


@method_decorator(login_required, name="dispatch")
class AddressView(FormView):
    """The form, and below it the change that waits for its link: nothing of what became of the
    letter, which would tell whether the new address has an owner."""

    template_name = "users/address.html"
    form_class = AddressChangeForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": person_of(self.request)}

    def get_initial(self) -> dict[str, Any]:
        change = person_of(self.request).pending_change
        return {"email": mailboxes.suggestion(change.new) if change else ""}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        change = person_of(self.request).pending_change
        if change:
            kwargs |= {"change": change, "mailbox": mailboxes.service_of(change.new)}
        return super().get_context_data(suggestion=self.get_initial()["email"], **kwargs)

    def form_valid(self, form: AddressChangeForm) -> HttpResponse:
        person, asker = person_of(self.request), visitors.asker(self.request)
        where = visitors.where(self.request)
        try:
            accounts.request_address(person, form.cleaned_data["email"], asker, where)
        except accounts.LinkSpent:  # disabled in this moment
            return redirect("users:login")
        return redirect("users:address")


@require_POST
@login_required
def address_cancel(request: HttpRequest) -> HttpResponse:
    with contextlib.suppress(accounts.LinkSpent):  # disabled in this moment
        accounts.cancel_address(person_of(request))
    messages.success(request, texts.ADDRESS_CANCELLED)
    return redirect("users:account")


@method_decorator(sensitive_post_parameters(), name="dispatch")
class AddressConfirmView(LinkPage, FormView):
    """The link in the new mailbox. Whoever holds it shows as well that the account is theirs."""

    template_name = "users/address_confirm.html"
    token_generator = tokens.address
    url_name = "users:address_confirm"
    purpose = "address"

    def accepts(self, person: User) -> bool:
        return person.is_active and person.pending_change is not None

    @property
    def same_browser(self) -> bool:
        return bool(self.request.user == self.person)

    def get_form(self, form_class: Any = None) -> forms.Form:
        if self.same_browser:
            return forms.Form(**self.get_form_kwargs())
        return PasswordForm(self.person, request=self.request, **self.get_form_kwargs())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        change = self.person.pending_change
        return super().get_context_data(
            person=self.person, change=change, same_browser=self.same_browser, **kwargs
        )

    def form_valid(self, form: forms.Form) -> HttpResponse:
        try:
            accounts.confirm_address(self.person, visitors.where(self.request))
        except accounts.LinkSpent:
            return self.bad_link()
        messages.success(self.request, texts.ADDRESS_CHANGED)
        return self.without_token(redirect("users:account" if self.same_browser else "users:login"))
