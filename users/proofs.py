"""Before they change what counts, people show again that they know the password.

Nothing is stored but the time of the last proof, in the session. A form that comes too late is
answered by a page with its fields and one for the password, sent to the same URL: with the right
password the form goes on as if it had come in time.
"""

import functools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from users.forms import ProofForm
from users.visitors import View, guarded

PROVEN_AT = "proven_at"
LASTS = timedelta(minutes=10)
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
# Of the page that asks: the password, and whether it was asked in the place of a page.
PASSWORD, OF_A_PAGE = "proof", "proof_of_a_page"
OURS = (PASSWORD, OF_A_PAGE, "csrfmiddlewaretoken")


def remember(request: HttpRequest) -> None:
    """They have just signed in, or given the password."""
    request.session[PROVEN_AT] = timezone.now().timestamp()


def is_recent(request: HttpRequest) -> bool:
    proven_at = request.session.get(PROVEN_AT)
    if not isinstance(proven_at, float):
        return False
    return 0 <= timezone.now().timestamp() - proven_at < LASTS.total_seconds()


def proven(view: View, *, page: bool = False) -> View:
    """Every form for this view needs a recent proof; with `page`, the page itself, too."""

    @functools.wraps(view)
    @sensitive_post_parameters(PASSWORD)
    @sensitive_variables()
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        asks = page or request.method not in SAFE
        if not (asks and request.user.is_authenticated):
            return view(request, *args, **kwargs)
        is_answer = PASSWORD in request.POST
        if not is_recent(request):
            data = request.POST if is_answer else None
            form = ProofForm(data, user=request.user, request=request)
            if not form.is_valid():
                context = {"form": form, "fields": list(_kept(request)), "of_a_page": OF_A_PAGE}
                context["is_page"] = request.method in SAFE or OF_A_PAGE in request.POST
                return render(request, "users/proof.html", context)
            request.session.cycle_key()
            remember(request)
        if OF_A_PAGE in request.POST:
            return redirect(request.get_full_path())
        if is_answer:
            request.POST = _without_answer(request.POST)  # type: ignore[assignment]
        return view(request, *args, **kwargs)

    return guarded(wrapper)


def _kept(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """What the form held, for hidden fields: so no password, of which none is needed twice."""
    for name, values in request.POST.lists():
        if name not in OURS and "password" not in name.lower():
            yield from ((name, str(value)) for value in values)


def _without_answer(typed: QueryDict) -> QueryDict:
    rest = typed.copy()
    del rest[PASSWORD]
    rest._mutable = False
    return rest
