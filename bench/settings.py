"""The site's own settings, as an operator of a plain SMTP service has them, in a folder that goes.

`bench.run` puts the rest into the environment: the database, the mail server, MAIL_THREADS.
"""

import os
import secrets

os.environ.update(
    {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DEBUG": "false",
        "SITE_URL": "http://127.0.0.1:8000",
        "ALLOWED_HOSTS": "127.0.0.1",
        "EMAIL_SERVICE": "smtp",
        "DEFAULT_FROM_EMAIL": "컴퓨터공학부 <noreply@cs.example.ac.kr>",
        "LANGUAGE_CODE": "ko",
        "MAIL_ENGINE": "threads",  # what is measured runs in the measured process
    }
)

from cs_web.settings import *  # noqa: F403

LOGGING["root"]["level"] = "WARNING"  # type: ignore[index]  # noqa: F405
STORAGES = {
    **STORAGES,  # noqa: F405
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
SILENCED_SYSTEM_CHECKS = ["mail.W003"]  # SITE_URL is a machine's own: so are the readers
