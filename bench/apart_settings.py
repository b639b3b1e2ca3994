"""The site's own settings, but for static files that were not collected, and a quick hasher: what
is compared comes after the answer for which a password was hashed."""

from cs_web.settings import *  # noqa: F403

STORAGES = {
    **STORAGES,  # noqa: F405
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
