"""What every page of this site may do in a browser, and nothing more."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

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


def read_as_utf8(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Our forms are UTF-8, whatever a request says of itself.

    In others ("utf-7") half a character comes in, which no page can be written with.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        request.encoding = "utf-8"
        return get_response(request)

    return middleware


def page_policy(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Content-Security-Policy on every answer; a view may have set a stricter one of its own."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return middleware


def method_not_allowed(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable:
    """Django answers a wrong method with an empty page; a person who lands there needs words."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED and not response.content:
            page = render(request, "405.html", status=response.status_code)
            page.headers["Allow"] = response.headers["Allow"]
            return page
        return response

    return middleware
