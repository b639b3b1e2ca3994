"""`{% site as site %}`: the name and the face of the site, on every page and without a request."""

from typing import Any

from django import template
from django.conf import settings
from django.utils.translation import get_language

register = template.Library()


@register.simple_tag
def site() -> dict[str, Any]:
    return {
        "name": settings.SITE_NAME[get_language() or settings.LANGUAGE_CODE],
        "logo": settings.SITE_LOGO,
        "accent": settings.ACCENT_COLOR,
        "theme": settings.ACCENT_COLOR != settings.OUR_ACCENT_COLOR,
        "office": settings.OFFICE_ADDRESS,
        "phone": settings.OFFICE_PHONE,
        "email": settings.OFFICE_EMAIL,
    }
