"""Middleware for every request and every page of this site."""

import re
from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth import logout
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.utils.cache import add_never_cache_headers

from cs_web.databases import VISITOR, patience
from cs_web.health import healthz
from cs_web.proxies import FORWARDED, watch
from cs_web.sessions import keep

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

# As Django makes them.
SESSION_KEY = re.compile("[a-z0-9]{32}")


def front_door(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """The outermost. /healthz comes before everything else: probes use internal names, without
    https or a session. Every response has a Content-Security-Policy, its view's own or the site's.

    And from here on somebody waits, so for no database as long as a sender of mail may. (The page
    about one that is in trouble is in cs_web.outage.)
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        before = patience.set(VISITOR)
        try:
            probes = request.path_info == "/healthz"
            response = healthz(request) if probes else get_response(request)
        finally:
            patience.reset(before)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return middleware


def read_plainly(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Reads a request so that no page and no database stumbles over what it holds.

    Forms are UTF-8, whatever charset is declared: others ("utf-7") can produce half a surrogate
    pair, which no page can be encoded with. A NUL, which PostgreSQL refuses, is no part of a
    query; and a session key that cannot be ours is none. It is also where a proxy is noticed that
    is not trusted: before the redirect to https, which never ends behind one.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        if any(name in request.META for name in FORWARDED):
            watch.look(request)
        request.encoding = "utf-8"
        if asked := request.META.get("HTTP_ACCEPT_LANGUAGE"):
            # Last of all: who reads none of ours gets English, and not Korean.
            request.META["HTTP_ACCEPT_LANGUAGE"] = f"{asked[:400]},en;q=0.001"
        if "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("a NUL in the query")
        if not SESSION_KEY.fullmatch(request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")):
            request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
        return get_response(request)

    return middleware


def personal(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Uses the language of whoever is signed in, ends their session in time, and keeps their pages
    and the responses to forms out of the browser's cache.

    Runs after LocaleMiddleware, whose choice (cookie, then browser) applies to everybody else.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        # request.user reads the session from the database: not needed without a session cookie.
        if request.session.session_key and request.user.is_authenticated and not keep(request):
            logout(request)
        if request.session.session_key and request.user.is_authenticated:
            translation.activate(request.user.language)
            request.LANGUAGE_CODE = translation.get_language()
        response = get_response(request)
        signed_in = request.session.session_key and request.user.is_authenticated
        if signed_in:
            keep(request)  # it may have begun with this request
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
