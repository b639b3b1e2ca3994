"""Pages for requests that Django itself refuses."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that was open too long, or a browser without cookies, explained in plain words."""
    return render(request, "403_csrf.html", status=403)
