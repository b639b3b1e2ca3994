"""Register: the form, and the page of a claim that waits for activation."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe
from django.views.generic import FormView

from users import accounts, progress, texts, visitors
from users.forms import CorrectionForm, RegistrationForm


@method_decorator(sensitive_post_parameters(), name="dispatch")
class RegisterView(FormView):
    template_name = "users/register.html"
    form_class = RegistrationForm

    def form_valid(self, form: RegistrationForm) -> HttpResponse:
        typed = form.cleaned_data
        earlier = visitors.claim_of(self.request)
        try:
            claim = accounts.register(
                user_id=typed["user_id"],
                email=typed["email"],
                name=typed["name"],
                password=typed["password1"],
                language=self.request.LANGUAGE_CODE,
                replacing=earlier.pk if earlier else None,
                asker=visitors.asker(self.request),
            )
        except accounts.UserIdTaken:
            form.add_error("user_id", texts.USER_ID_TAKEN)
            return self.form_invalid(form)
        visitors.remember_claim(self.request, claim, asked=True)
        messages.success(self.request, texts.REGISTERED)
        return redirect("users:register_success")


@method_decorator(never_cache, name="dispatch")
class RegisterSuccessView(FormView):
    """ "Your mail is on its way": for the browser that registered, and for nobody else."""

    template_name = "users/register_success.html"
    form_class = CorrectionForm
    http_method_names = ["get", "head", "options"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        claim = _claim(self.request)
        status = progress.of_registration(claim, visitors.times_asked(self.request))
        return super().get_context_data(claim=claim, status=status, **kwargs)


class RegisterAddressView(RegisterSuccessView):
    """Corrects the address; an invalid one shows the same page again."""

    http_method_names = ["post"]

    def form_valid(self, form: CorrectionForm) -> HttpResponse:
        claim, asker = _claim(self.request), visitors.asker(self.request)
        try:
            accounts.correct_address(claim, form.cleaned_data["email"], asker)
        except accounts.LinkSpent:
            raise PermissionDenied(texts.NOT_YOUR_REGISTRATION) from None
        visitors.remember_asking(self.request, elsewhere=True)
        messages.success(self.request, texts.ADDRESS_CORRECTED)
        return redirect("users:register_success")


@require_safe
@never_cache
def register_status(request: HttpRequest) -> HttpResponse:
    """The part of that page with the status of the message; static/site.js polls it."""
    claim = visitors.claim_of(request)
    status = progress.GONE
    if claim:
        status = progress.of_registration(claim, visitors.times_asked(request))
    return render(request, "users/register_status.html", {"status": status})


@require_POST
def register_resend(request: HttpRequest) -> HttpResponse:
    # The login form offers this to whoever knows the password, however late they come.
    accounts.resend_activation(_claim(request, include_expired=True), visitors.asker(request))
    visitors.remember_asking(request)
    messages.success(request, texts.ACTIVATION_SENT_AGAIN)
    return redirect("users:register_success")


@require_POST
def register_cancel(request: HttpRequest) -> HttpResponse:
    try:
        accounts.cancel(_claim(request))
    except accounts.LinkSpent:  # activated in this moment
        raise PermissionDenied(texts.NOT_YOUR_REGISTRATION) from None
    visitors.forget_claim(request)
    messages.success(request, texts.CANCELLED)
    return redirect("home")


def _claim(request: HttpRequest, *, include_expired: bool = False) -> Any:
    claim = visitors.claim_of(request, include_expired=include_expired)
    if claim is None:
        raise PermissionDenied(texts.NOT_YOUR_REGISTRATION)
    return claim
