"""What browsers and crawlers ask for by fixed names, and the colour that an operator has set."""

from datetime import timedelta

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

# In the dark the same hue, light enough for any ground of ours.
THEME = """:root {{ --accent: {accent}; --accent-strong: color-mix(in oklab, {accent} 78%, black);
  --tint: color-mix(in oklab, {accent} 9%, white); }}
@media (prefers-color-scheme: dark) {{ :root {{ --accent: color-mix(in oklab, {accent} 40%, white);
  --accent-strong: color-mix(in oklab, {accent} 22%, white); --on-accent: #0b1114;
  --tint: color-mix(in oklab, {accent} 22%, #10171b); }} }}
"""


@require_safe
@cache_control(max_age=60 * 60)
def theme(request: HttpRequest) -> HttpResponse:
    """A stylesheet, because the Content-Security-Policy allows no style within a page."""
    return HttpResponse(THEME.format(accent=settings.ACCENT_COLOR), content_type="text/css")


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    closed = "\n".join(f"Disallow: {path}" for path in ("/users/", "/admin/", "/mailbox/"))
    return HttpResponse(f"User-agent: *\n{closed}\n", content_type="text/plain")


@require_safe
def security(request: HttpRequest) -> HttpResponse:
    """RFC 9116. Only where there is somebody to write to."""
    if not settings.OFFICE_EMAIL:
        raise Http404
    expires = timezone.now().replace(microsecond=0) + timedelta(days=180)
    lines = [
        f"Contact: mailto:{settings.OFFICE_EMAIL}",
        f"Expires: {expires.isoformat()}",
        "Preferred-Languages: ko, en",
        f"Canonical: {settings.SITE_URL}{reverse('security')}",
    ]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")


@require_safe
def icon(request: HttpRequest) -> HttpResponse:
    return redirect(static("favicon.ico"))


@require_safe
def touch_icon(request: HttpRequest) -> HttpResponse:
    return redirect(static("apple-touch-icon.png"))
