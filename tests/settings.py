"""The site's own settings, for tests: no secrets.json, a fast hasher, no sender threads."""

import os
import secrets

os.environ.update(
    {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DEBUG": "false",
        "SITE_URL": "http://127.0.0.1:8000",
        "ALLOWED_HOSTS": "testserver,127.0.0.1",
        "EMAIL_SERVICE": "console",
    }
)

from cs_web.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Hints go nowhere; a test that wants mail delivered says so (`deliver_all`).
MAIL_ENGINE = "work"
STORAGES = {
    **STORAGES,  # noqa: F405
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = True  # collectstatic is not for unit tests
if ENGINE.endswith("sqlite3"):  # noqa: F405
    # Django's default, which pytest-django knows only by the name of Django's own engine.
    DATABASES["default"]["TEST"] = {"NAME": ":memory:"}  # noqa: F405
