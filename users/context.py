"""Template context for every page."""

from django.conf import settings
from django.http import HttpRequest

from users import activity


def page(request: HttpRequest) -> dict[str, str | int]:
    """`language_next`: where the language switch returns to; never a POST-only URL."""
    view = getattr(request.resolver_match and request.resolver_match.func, "view_class", None)
    readable = request.method in ("GET", "HEAD") or (view and "get" in view.http_method_names)
    return {
        "language_next": request.get_full_path() if readable else "/",
        "consent_version": settings.CONSENT_VERSION,
        "activation_hours": settings.ACTIVATION_TIMEOUT // 3600,
        "activity_days": activity.KEPT_FOR.days,
        "reset_minutes": settings.RESET_TIMEOUT // 60,
    }
