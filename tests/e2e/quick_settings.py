"""The site's own settings but for a fast hasher: a thousand passwords are not what is tested."""

from cs_web.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
