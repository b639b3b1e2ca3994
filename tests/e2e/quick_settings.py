"""The site's own settings, but for what takes long and is not what is tested."""

from cs_web.settings import *  # noqa: F403

# A server that hangs up late, and what it may have accepted, would take a quarter of an hour.
EMAIL_ACCEPT_TIMEOUT, MAIL_UNANSWERED_AFTER = 30, 5
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
