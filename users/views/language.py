"""The language switch: sets a cookie, and the language of the account that is signed in."""

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from users import accounts


@require_POST
def choose_language(request: HttpRequest) -> HttpResponseBase:
    chosen = request.POST.get("language", "")
    if not isinstance(request.user, AnonymousUser) and chosen in dict(settings.LANGUAGES):
        accounts.choose_language(request.user, chosen)
    return set_language(request)
