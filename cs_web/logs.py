"""Keeps keys out of the log: a link's token never stands in a line, nor in a mail to ADMINS."""

import logging
import re
from typing import Any

from mail.logs import AdminMailHandler

# /users/activate/<uid64>/<token>/ and /users/password/reset/<uid64>/<token>/
LINK = re.compile(r"(/users/(?:activate|password/reset)/[^/\s]+/)[^/\s]+")


class WithoutLinks(logging.Filter):
    """Writes `[token]` in the place of a token, in the message and in its arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        cleaned = _without_token(message)
        if cleaned != message:
            record.msg, record.args = cleaned, ()
        return True


class AdminMails(AdminMailHandler):
    """The report about a broken page names the address of the page, with what stands in it."""

    def send_mail(self, subject: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        super().send_mail(_without_token(subject), _without_token(message), *args, **kwargs)


def _without_token(text: str) -> str:
    return LINK.sub(r"\1[token]", text)
