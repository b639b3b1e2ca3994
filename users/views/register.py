"""Register: the form, and the page of a claim that waits for activation."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe
from django.views.generic import FormView

from users import accounts, identity, mailboxes, progress, texts, visitors
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
                password=typed["password"],
                language=self.request.LANGUAGE_CODE,
                replacing=earlier.pk if earlier else None,
                consent=settings.CONSENT_VERSION,
                made_by=visitors.form_key(self.request),
                asker=visitors.asker(self.request),
            )
        except accounts.UserIdTaken:
            form.add_error("user_id", texts.USER_ID_TAKEN)
            return self.form_invalid(form)
        if claim != earlier:  # else it is a second click
            visitors.remember_claim(self.request, claim, asked=True)
        return redirect("users:register_success")


@require_safe
@never_cache
def register_id(request: HttpRequest) -> JsonResponse:
    """What the form would say of this ID, and no more; static/site.js asks it while one types."""
    try:
        user_id = identity.clean_user_id(request.GET.get("user_id", ""))
    except ValidationError as error:
        return JsonResponse({"free": False, "says": error.messages[0]})
    free = accounts.is_free(user_id, visitors.claim_of(request))
    return JsonResponse({"free": free, "says": texts.USER_ID_FREE if free else texts.USER_ID_TAKEN})


@method_decorator(never_cache, name="dispatch")
class RegisterSuccessView(FormView):
    """How the message is doing: for the browser that registered, and for nobody else."""

    template_name = "users/register_success.html"
    form_class = CorrectionForm
    http_method_names = ["get", "head", "options"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if str(request.method).lower() in self.http_method_names:
            if request.user.is_authenticated:  # the link was opened in this browser
                return redirect("home")
            _only_who_registered(request)
        return super().dispatch(request, *args, **kwargs)

    def get_form(self, form_class: Any = None) -> CorrectionForm:
        form: CorrectionForm = super().get_form(form_class)
        if claim := visitors.claim_of(self.request):
            form.initial["email"] = claim.email
        return form

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**_status(self.request), **kwargs)


class RegisterAddressView(RegisterSuccessView):
    """Corrects the address; an invalid one shows the same page again."""

    http_method_names = ["post"]
    extra_context = {"language_next": "/users/register/success/"}

    def form_valid(self, form: CorrectionForm) -> HttpResponse:
        claim = visitors.claim_of(self.request)
        if claim and form.cleaned_data["email"] != claim.email:
            try:
                asker = visitors.asker(self.request)
                accounts.correct_address(claim, form.cleaned_data["email"], asker)
                visitors.remember_asking(self.request, elsewhere=True)
            except accounts.LinkSpent:  # confirmed in this moment: the page says so
                pass
        return redirect("users:register_success")


@require_safe
@never_cache
def register_status(request: HttpRequest) -> HttpResponse:
    """The part of that page which depends on the state; static/site.js polls it."""
    context = {"form": CorrectionForm(), **_status(request)}
    if claim := context["claim"]:
        context["form"] = CorrectionForm(initial={"email": claim.email})
    return render(request, "users/register_status.html", context)


@require_POST
def register_resend(request: HttpRequest) -> HttpResponse:
    # The login form offers this to whoever knows the password, however late they come.
    claim = visitors.claim_of(request, include_expired=True)
    _only_who_registered(request)
    # Not to an address that takes no mail: it is corrected, or stays as it is.
    if claim and _status(request)["status"].step != "refused":
        accounts.resend_activation(claim, visitors.asker(request))
        visitors.remember_asking(request)
    return redirect("users:register_success")


@require_POST
def register_cancel(request: HttpRequest) -> HttpResponse:
    _only_who_registered(request)
    claim = visitors.claim_of(request)
    try:
        if claim is None:  # it has ended otherwise: the page says how
            return redirect("users:register_success")
        accounts.cancel(claim)
    except accounts.LinkSpent:  # activated in this moment
        return redirect("users:register_success")
    visitors.forget_claim(request)
    messages.success(request, texts.CANCELLED)
    return redirect("home")


def _only_who_registered(request: HttpRequest) -> None:
    if not visitors.has_registered(request) and not request.user.is_authenticated:
        raise PermissionDenied(texts.NOT_YOUR_REGISTRATION)


def _status(request: HttpRequest) -> dict[str, Any]:
    """What the page shows, and where its one action leads."""
    claim = visitors.registered_by(request)
    status = progress.of_registration(claim, visitors.times_asked(request))
    if request.user.is_authenticated:
        status = progress.Progress("confirmed")
    if claim is None or not status.is_open:
        return {"claim": None, "status": status, "next": _after(request)}
    return {
        "claim": claim,
        "status": status,
        "mailbox": mailboxes.service_of(claim.email),
        "suggestion": mailboxes.suggestion(claim.email),
    }


def _after(request: HttpRequest) -> str:
    return reverse("home" if request.user.is_authenticated else "users:login")
