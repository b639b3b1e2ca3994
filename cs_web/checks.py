"""System checks: what anybody with an account on this machine could read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.checks import CheckMessage, Error, Tags, Warning, register

FOR_OTHERS = 0o007


@register()
def check_logo(**_: Any) -> list[CheckMessage]:
    if finders.find(settings.SITE_LOGO):
        return []
    what = f"SITE_LOGO: there is no {settings.SITE_LOGO} in static/."
    return [Error(what, hint="Put the file there, then run collectstatic.", id="cs_web.E001")]


@register(Tags.security)
def check_files(**_: Any) -> list[CheckMessage]:
    """Not in development, where the machine is the developer's own."""
    if settings.DEBUG:
        return []
    return [
        Warning(
            f"{path} is open to everybody on this machine (mode {path.stat().st_mode & 0o777:o}).",
            hint=f"chmod o= {path}",
            id="cs_web.W001",
        )
        for path in _private()
        if path.exists() and path.stat().st_mode & FOR_OTHERS
    ]


def _private() -> Iterator[Path]:
    yield settings.BASE_DIR / "secrets.json"
    yield settings.VAR_DIR
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        file = Path(str(database["NAME"]))
        if not file.is_relative_to(settings.VAR_DIR):  # whose mode is enough
            yield file
