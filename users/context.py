"""Template context for every page."""

from django.conf import settings
from django.http import HttpRequest


def page(request: HttpRequest) -> dict[str, str | int]:
    """`language_next`: where the language switch returns to; never a POST-only URL."""
    resolved = request.resolver_match
    from_get = request.method in ("GET", "HEAD") and resolved is not None
    return {
        "language_next": request.get_full_path() if from_get else "/",
        "activation_hours": settings.ACTIVATION_TIMEOUT // 3600,
        "reset_minutes": settings.RESET_TIMEOUT // 60,
    }
