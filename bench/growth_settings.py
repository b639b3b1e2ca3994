"""The site's own settings, with what `bench.growth` puts into the environment; hashes apart."""

from cs_web.settings import *  # noqa: F403

STORAGES = {
    **STORAGES,  # noqa: F405
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# A hash is slow on purpose. The second is one that nobody has: whether somebody has is asked.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", "users.hashing.PBKDF2"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
LOGGING = {"version": 1, "disable_existing_loggers": True}
