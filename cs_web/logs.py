"""Redacts tokens in the log and in reports to ADMINS."""

import logging
import re
from typing import Any

from django.utils.log import AdminEmailHandler

# /users/activate/<uid64>/<token>/ and /users/password/reset/<uid64>/<token>/
LINK = re.compile(r"(/users/(?:activate|password/reset)/[^/\s]+/)[^/\s]+")


class RedactTokens(logging.Filter):
    """Replaces each token with `[token]`, in the message and in its arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        cleaned = LINK.sub(r"\1[token]", message)
        if cleaned != message:
            record.msg, record.args = cleaned, ()
        return True


class AdminReports(AdminEmailHandler):
    """Queues error reports to ADMINS, so that a broken page does not wait for a mail server too.

    A report contains the URL of the page, and so its token.
    """

    def send_mail(self, subject: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        from mail import api  # logging is set up before models can be imported

        api.report_to_admins(LINK.sub(r"\1[token]", subject), LINK.sub(r"\1[token]", message))
