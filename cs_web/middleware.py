"""Middleware for every request and every page of this site."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.utils.cache import add_never_cache_headers

from cs_web.health import healthz

# The Content-Security-Policy: what a page may load and do, and nothing more.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)


def answer_probes(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """/healthz, before everything else: probes use internal names, without https or a session."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return healthz(request) if request.path_info == "/healthz" else get_response(request)

    return middleware


def read_as_utf8(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Decodes forms as UTF-8, whatever charset a request declares.

    Others ("utf-7") can produce half a surrogate pair, which no page can be encoded with.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        request.encoding = "utf-8"
        return get_response(request)

    return middleware


def page_policy(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Content-Security-Policy on every response, unless the view has set its own."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return middleware


def personal(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Uses the language of whoever is signed in, and keeps their pages and the responses to forms
    out of the browser's cache.

    Runs after LocaleMiddleware, whose choice (cookie, then browser) applies to everybody else.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        # request.user reads the session from the database: not needed without a session cookie.
        if request.session.session_key and request.user.is_authenticated:
            translation.activate(request.user.language)
            request.LANGUAGE_CODE = translation.get_language()
        response = get_response(request)
        signed_in = request.session.session_key and request.user.is_authenticated
        if signed_in or request.method == "POST":
            add_never_cache_headers(response)
        return response

    return middleware


def method_not_allowed(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Shows a page where Django answers a wrong method with an empty response."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED and not response.content:
            page = render(request, "405.html", status=response.status_code)
            page.headers["Allow"] = response.headers["Allow"]
            return page
        return response

    return middleware
