"""A person who is signed in reads the site in the language of the account."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import translation


def account_language(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Runs after LocaleMiddleware, whose choice (cookie, then browser) stands for all others."""

    def middleware(request: HttpRequest) -> HttpResponse:
        # Asking the user reads the session; without a session cookie there is nobody to ask.
        if request.session.session_key and request.user.is_authenticated:
            translation.activate(request.user.language)
            request.LANGUAGE_CODE = translation.get_language()
        return get_response(request)

    return middleware
