"""`{% site as site %}`: the name and the face of the site, on every page and without a request;
`{% path "users:login" %}`: the address of a page; `{{ at|moment }}`: a time with its date."""

from datetime import datetime
from functools import lru_cache
from typing import Any

from django import template
from django.conf import settings
from django.urls import URLResolver, get_resolver, get_script_prefix, get_urlconf, reverse
from django.utils.dateformat import DateFormat, re_escaped, re_formatchars
from django.utils.formats import get_format
from django.utils.translation import get_language

from users.texts import LANGUAGES

register = template.Library()


@register.simple_tag
def site() -> dict[str, Any]:
    language = get_language() or settings.LANGUAGE_CODE
    return {
        "name": settings.SITE_NAME[language],
        "language": LANGUAGES[language],
        "languages": LANGUAGES.items(),
        "logo": settings.SITE_LOGO,
        "accent": settings.ACCENT_COLOR,
        "theme": settings.ACCENT_COLOR != settings.OUR_ACCENT_COLOR,
        "office": settings.OFFICE_ADDRESS,
        "phone": settings.OFFICE_PHONE,
        "email": settings.OFFICE_EMAIL,
    }


@register.simple_tag
def path(name: str) -> str:
    """{% url %} of a page without arguments. It was a tenth of a page: a dozen of them, each looked
    up again, and each time the same."""
    return _path(name, get_resolver(get_urlconf()), get_script_prefix())


@lru_cache(maxsize=200)
def _path(name: str, resolver: URLResolver, prefix: str) -> str:
    return reverse(name)


@register.filter(expects_localtime=True)
def moment(at: datetime) -> str:
    """`|date:"DATETIME_FORMAT"`, whose work is mostly to read that format again, for each line of a
    list."""
    written, parts = DateFormat(at), _parts(get_format("DATETIME_FORMAT"))
    return "".join(text or str(getattr(written, name)()) for text, name in parts)


@lru_cache(maxsize=20)
def _parts(form: str) -> list[tuple[str, str]]:
    """Each a text, or the name of a part of the time."""
    pieces = enumerate(re_formatchars.split(form))
    return [("", it) if n % 2 else (re_escaped.sub(r"\1", it), "") for n, it in pieces if it]
