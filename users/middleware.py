"""What is different for a person who is signed in: the language, and that no page is kept."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import add_never_cache_headers


def account_language(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Runs after LocaleMiddleware, whose choice (cookie, then browser) stands for all others."""

    def middleware(request: HttpRequest) -> HttpResponse:
        # Asking the user reads the session; without a session cookie there is nobody to ask.
        if request.session.session_key and request.user.is_authenticated:
            translation.activate(request.user.language)
            request.LANGUAGE_CODE = translation.get_language()
        return get_response(request)

    return middleware


def not_stored(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Neither a person's pages nor the answer to a form stay behind in the browser."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        somebody = request.session.session_key and request.user.is_authenticated
        if somebody or request.method == "POST":
            add_never_cache_headers(response)
        return response

    return middleware
